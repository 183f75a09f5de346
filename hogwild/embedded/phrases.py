# ruff: noqa: E501, SIM905, RUF100
"""The phrase bank behind the embedded model: English wordings for each built-in tool, as data only.

In: nothing. Out: FRAMES_*, PHRASES, WORDS*, EVERYDAY; the worksheet generator fills the slots, which are named as the tool's
parameters. A noun phrase is put into a frame at {x}; a question stands by itself. The held-out parts are never trained
on: they measure whether the model understands another wording of the same thing. Neighbours: the worksheet generator
of this folder, and toolsets.builtin, whose tool and parameter names are the keys and slots here.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Phrases:
    """The wordings for one tool: noun phrases, whole questions, other names for the tool and other descriptions."""

    nouns_train: tuple[str, ...]
    questions_train: tuple[str, ...]
    nouns_held_out: tuple[str, ...]
    questions_held_out: tuple[str, ...]
    names: tuple[str, ...]
    descriptions: tuple[str, ...]


FRAMES_TRAIN: tuple[str, ...] = (
    "What is {x}?",
    "What's {x}?",
    "Find {x}.",
    "Compute {x}.",
    "Calculate {x}.",
    "Work out {x}.",
    "Give {x}.",
    "Give me {x}, please.",
    "Tell me {x}.",
    "Please tell me {x}.",
    "Can you work out {x}?",
    "Could you find {x} for me?",
    "I need {x}.",
    "{x}",
    "{x}?",
)

FRAMES_HELD_OUT: tuple[str, ...] = (
    "I would like to know {x}.",
    "Could somebody figure out {x}, please?",
    "Do you know {x}?",
    "Please calculate {x} for us.",
    "Now we want to have {x}.",
)

# Several wordings share a line, so that one tool fits on a screen. Where the order of the arguments does not matter, the
# first one named is the first argument.
# fmt: off
PHRASES: dict[str, Phrases] = {
    "add": Phrases(
        nouns_train=(
            "the sum of {a} and {b}", "{a} plus {b}", "the total of {a} and {b}", "{a} and {b} added together", "the result of adding {a} and {b}", "{a} increased by {b}", "{a} more than {b}",
            "{a} added to {b}", "the sum {a} + {b}",
        ),
        questions_train=(
            "{a} + {b}", "{a} + {b} = ?", "What is {a} + {b}?", "Add {a} and {b}.", "Add {a} to {b}.", "How much is {a} plus {b}?", "What do {a} and {b} add up to?", "How much do {a} and {b} make?",
            "Tom has {a} apples and gets {b} more. How many has he now?", "Priya collected {a} shells on Saturday and {b} on Sunday. How many shells is that in total?",
            "A shirt costs {a} euros and a hat costs {b} euros. How much do they cost together?", "There are {a} red and {b} blue balls in a box. How many balls are there altogether?",
        ),
        nouns_held_out=("the total when {a} is added to {b}", "the sum of the numbers {a} and {b}", "the result of {a} plus {b}"),
        questions_held_out=("If you add {a} to {b}, how much is that in total?", "{a} and {b} make what sum together?", "Omar had {a} stamps. His sister gave him {b} more. How many stamps has he now in total?"),
        names=("plus", "sum_two", "add_numbers", "total_of"),
        descriptions=("Total of two numbers", "Adds one number to another", "Two numbers added together"),
    ),
    "subtract": Phrases(
        nouns_train=(
            "{a} minus {b}", "the result of subtracting {b} from {a}", "{a} decreased by {b}", "{a} reduced by {b}", "{b} less than {a}", "{b} subtracted from {a}", "{b} taken away from {a}",
            "the rest of {a} after taking away {b}", "the difference {a} - {b}",
        ),
        questions_train=(
            "{a} - {b}", "{a} - {b} = ?", "What is {a} - {b}?", "Subtract {b} from {a}.", "Take {b} away from {a}.", "How much is {a} minus {b}?",
            "Anna had {a} marbles and gave {b} of them to a friend. How many are left?", "There were {a} birds on a tree and {b} flew away. How many birds are left?",
            "Ben had {a} euros and spent {b} euros. How much money has he left?", "A rope is {a} metres long. {b} metres are cut off. How long is the rest?",
        ),
        nouns_held_out=("the result of {a} minus {b}", "the difference when {b} is subtracted from {a}", "{a} with {b} taken away"),
        questions_held_out=("If you take {b} from {a}, how much is left?", "From {a}, please subtract {b}.", "Ella baked {a} cookies and gave {b} of them away. How many cookies has she left?"),
        names=("minus", "difference", "take_away", "subtract_numbers"),
        descriptions=("First number minus the second", "How much is left after subtracting", "Takes one number from another"),
    ),
    "multiply": Phrases(
        nouns_train=(
            "the product of {a} and {b}", "{a} times {b}", "{a} multiplied by {b}", "the result of multiplying {a} by {b}", "{a} and {b} multiplied together", "the product {a} * {b}",
            "the result of {a} times {b}", "the value of {a} multiplied by {b}",
        ),
        questions_train=(
            "{a} * {b}", "{a} * {b} = ?", "{a} x {b}", "What is {a} * {b}?", "Multiply {a} by {b}.", "How much is {a} times {b}?", "A box holds {a} eggs. How many eggs are in {b} boxes?",
            "Maria buys {a} pens for {b} euros each. How much does she pay?", "There are {a} rows with {b} chairs in each row. How many chairs are there?",
            "Ali runs {a} metres every day. How many metres does he run in {b} days?",
        ),
        nouns_held_out=("the product when {a} is multiplied by {b}", "{a} taken times {b}", "the product of the numbers {a} and {b}"),
        questions_held_out=("If you multiply {a} and {b}, what is the product?", "What do you get when you multiply {a} times {b}?", "Each of {a} bags holds {b} oranges. How many oranges are there?"),
        names=("times", "product", "multiply_numbers", "product_of_two"),
        descriptions=("The product of a and b", "Multiplies two numbers", "One number times another"),
    ),
    "divide": Phrases(
        nouns_train=(
            "{a} divided by {b}", "the quotient of {a} and {b}", "the result of dividing {a} by {b}", "the quotient {a} / {b}", "{a} split into {b} equal parts", "{a} over {b}", "the ratio of {a} to {b}",
            "the size of each part when {a} is split into {b} equal parts",
        ),
        questions_train=(
            "{a} / {b}", "{a} / {b} = ?", "What is {a} / {b}?", "Divide {a} by {b}.", "How much is {a} divided by {b}?", "How many times does {b} go into {a}?",
            "{a} oranges are shared equally among {b} friends. How many does each friend get?", "Noah pays {a} euros for {b} books of the same price. How much is one book?",
            "A rope of {a} metres is cut into {b} equal pieces. How long is each piece?", "Mei packs {a} cookies equally into {b} bags. How many cookies are in each bag?",
        ),
        nouns_held_out=("the quotient when {a} is divided by {b}", "the result of {a} divided by {b}", "one of {b} equal parts of {a}"),
        questions_held_out=("If you divide {a} by {b}, what is the quotient?", "Split {a} equally into {b} parts. How much is each part?", "{b} friends share {a} euros equally. How much does each get?"),
        names=("quotient", "divide_numbers", "split_equally", "ratio"),
        descriptions=("First number divided by the second", "Splits a number into equal parts", "Divides one number by another"),
    ),
    "power": Phrases(
        nouns_train=(
            "{base} to the power of {exponent}", "{base} raised to the power {exponent}", "{base} to the power {exponent}", "the power {base}^{exponent}", "{base} with the exponent {exponent}",
            "the power with base {base} and exponent {exponent}", "the value of {base}^{exponent}", "pow({base}, {exponent})", "the result of raising {base} to the power of {exponent}",
        ),
        questions_train=(
            "{base} ^ {exponent}", "{base} ** {exponent}", "{base}^{exponent} = ?", "What is {base} ** {exponent}?", "Raise {base} to the power of {exponent}.", "How much is {base} to the power of {exponent}?",
            "What do you get when {base} is raised to the power {exponent}?", "Take {base} as the base and {exponent} as the exponent. What is the power?",
        ),
        nouns_held_out=("the value of {base} raised to the exponent {exponent}", "the power of {base} with exponent {exponent}"),
        questions_held_out=("If the base is {base} and the exponent is {exponent}, what is the power?", "How big is {base} raised to the power of {exponent}?", "With exponent {exponent}, raise {base} to a power."),
        names=("pow", "raise_to", "exponentiate", "to_the_power"),
        descriptions=("Base raised to an exponent", "A number to a power", "Raises a number to a power"),
    ),
    "percent_of": Phrases(
        nouns_train=(
            "{percent} % of {value}", "{percent} percent of {value}", "{percent}% of {value}", "{percent} per cent of {value}", "a share of {percent} percent of {value}",
            "the part of {value} equal to {percent} percent", "the amount that is {percent} percent of {value}", "the value of {percent} % of {value}",
        ),
        questions_train=(
            "{percent}% of {value} = ?", "How much is {percent} % of {value}?", "How much is {percent} percent of {value}?", "Take {percent} percent of {value}.",
            "A coat costs {value} euros. The discount is {percent} percent. How big is the discount?", "Sofia earns {value} euros and saves {percent} % of it. How much does she save?",
            "A school has {value} pupils and {percent} percent of them walk to school. How many pupils walk?", "The bill is {value} euros and the tip is {percent} %. How much is the tip?",
        ),
        nouns_held_out=("{percent} percent of the value {value}", "a share equal to {percent} % of {value}"),
        questions_held_out=("If you take {percent} percent of {value}, how much is it?", "Of {value}, how much is {percent} %?", "A bike costs {value} euros and Lucas gets a discount of {percent} %. How big is his discount?"),
        names=("percentage", "percent_share", "part_in_percent", "take_percent"),
        descriptions=("A percentage of a value", "Given percent of a number", "How much a percent share is"),
    ),
    "gcd": Phrases(
        nouns_train=(
            "the greatest common divisor of {a} and {b}", "the gcd of {a} and {b}", "gcd({a}, {b})", "the largest number that divides both {a} and {b}", "the highest common factor of {a} and {b}",
            "the greatest common factor of {a} and {b}", "the largest common divisor of {a} and {b}", "the biggest number that goes into both {a} and {b}", "the GCD of the numbers {a} and {b}",
        ),
        questions_train=(
            "Which is the greatest common divisor of {a} and {b}?", "What is the largest number that divides {a} as well as {b}?", "Which greatest common factor do {a} and {b} have?", "gcd of {a}, {b}",
            "Which is the largest divisor that {a} and {b} share?", "{a} and {b} have which highest common factor?",
            "A gardener has {a} roses and {b} tulips. What is the largest number of equal bunches that uses all of them?", "How big is the gcd of {a} and {b}?",
        ),
        nouns_held_out=("the greatest divisor shared by {a} and {b}", "the biggest common factor of {a} and {b}", "the gcd for {a} and {b}"),
        questions_held_out=("For {a} and {b}, what is the greatest divisor that they have in common?", "Which largest number divides both {a} and {b}?", "{a} and {b} have what gcd?"),
        names=("greatest_divisor", "common_factor", "hcf", "gcd_of"),
        descriptions=("Highest common factor", "Largest number dividing both numbers", "Greatest divisor of two integers"),
    ),
    "lcm": Phrases(
        nouns_train=(
            "the least common multiple of {a} and {b}", "the lcm of {a} and {b}", "lcm({a}, {b})", "the smallest number that both {a} and {b} divide", "the lowest common multiple of {a} and {b}",
            "the smallest common multiple of {a} and {b}", "the smallest number that is a multiple of both {a} and {b}", "the LCM of the numbers {a} and {b}", "the first multiple that {a} and {b} share",
        ),
        questions_train=(
            "Which is the least common multiple of {a} and {b}?", "What is the smallest multiple of {a} that is also a multiple of {b}?", "Which least common multiple do {a} and {b} have?", "lcm of {a}, {b}",
            "Which is the smallest multiple that {a} and {b} share?", "{a} and {b} have which lowest common multiple?",
            "One bus comes every {a} minutes and another every {b} minutes. After how many minutes do they come together again?", "How big is the lcm of {a} and {b}?",
        ),
        nouns_held_out=("the least multiple shared by {a} and {b}", "the lowest multiple that {a} and {b} have in common", "the lcm for {a} and {b}"),
        questions_held_out=("For {a} and {b}, what is the least multiple that they have in common?", "Which smallest number is a multiple of {a} and of {b}?", "{a} and {b} have what lcm?"),
        names=("least_multiple", "common_multiple", "lowest_multiple", "lcm_of"),
        descriptions=("Lowest common multiple", "Smallest multiple shared by two integers", "Least number both divide"),
    ),
    "remainder": Phrases(
        nouns_train=(
            "the remainder of {a} divided by {b}", "{a} mod {b}", "{a} modulo {b}", "the remainder when {a} is divided by {b}", "the remainder of the division {a} / {b}", "the remainder of dividing {a} by {b}",
            "the remainder after dividing {a} by {b}", "mod({a}, {b})", "the rest that is left after dividing {a} by {b}",
        ),
        questions_train=(
            "{a} mod {b} = ?", "What remains when {a} is divided by {b}?", "What is the remainder if you divide {a} by {b}?", "Divide {a} by {b} and give only the remainder.",
            "Which remainder does {a} leave when divided by {b}?", "{a} divided by {b} leaves which remainder?", "Yuki packs {a} eggs into boxes of {b}. How many eggs remain that do not fill a box?",
            "{a} cards are dealt equally to {b} players. How many cards remain over?",
        ),
        nouns_held_out=("the remainder that {a} leaves modulo {b}", "the remainder on division of {a} by {b}"),
        questions_held_out=("When {a} is divided by {b}, which remainder is left?", "How big is the remainder of {a} after dividing it by {b}?", "Dividing {a} by {b} leaves what remainder?"),
        names=("modulo", "mod", "rest_of_division", "left_over"),
        descriptions=("Rest after whole division", "First integer modulo the second", "What a division leaves over"),
    ),
    "is_prime": Phrases(
        nouns_train=(
            "the primality of {n}", "the result of a prime test on {n}", "the yes-or-no answer to whether {n} is prime", "the answer to whether {n} is a prime number",
            "the truth about {n} being a prime number", "the result of checking whether {n} is prime", "the prime check for {n}", "the primality of the number {n}",
        ),
        questions_train=(
            "Is {n} a prime number?", "Is {n} prime?", "Is {n} a prime?", "Is the number {n} prime or not?", "Check if {n} is prime.", "Tell me whether {n} is a prime number.",
            "Does {n} count as a prime number?", "Prime or not: {n}?", "Is it true that {n} is a prime?", "Test {n} for primality.", "Has {n} no divisors other than one and itself?",
        ),
        nouns_held_out=("the result of checking if the number {n} is a prime", "the answer to whether {n} is prime or not"),
        questions_held_out=("{n}: is it a prime number?", "Does the number {n} count as prime or not?", "Can you check whether {n} is a prime number?"),
        names=("prime_test", "check_prime", "primality", "prime_number"),
        descriptions=("Whether an integer is prime", "Tests a number for primality", "Yes if prime, no otherwise"),
    ),
    "digit_sum": Phrases(
        nouns_train=(
            "the digit sum of {n}", "the sum of the digits of {n}", "the sum of all digits of {n}", "the total of the digits of {n}", "the digits of {n} added together", "the cross sum of {n}",
            "the sum of the digits in the number {n}", "the result of adding all digits of {n}",
        ),
        questions_train=(
            "Add up the digits of {n}.", "What do the digits of {n} add up to?", "Which digit sum does {n} have?", "How big is the digit sum of {n}?", "digit sum {n}",
            "How much are the digits of {n} together?", "Sum all digits of {n}.", "Leo adds all digits of his ticket number {n}. Which sum does he get?",
        ),
        nouns_held_out=("the total of all the digits in {n}", "the digit sum of the number {n}", "the sum of every digit of {n}"),
        questions_held_out=("If you add all the digits of {n} together, what is the sum?", "The digits of {n} have which sum?", "How much is it when I add up all digits in {n}?"),
        names=("sum_digits", "cross_sum", "add_digits", "digit_total"),
        descriptions=("Sum of all decimal digits", "Adds up an integer's digits", "Cross sum of an integer"),
    ),
    "days_between": Phrases(
        nouns_train=(
            "the number of days between {start} and {end}", "the number of days from {start} to {end}", "the span in days between {start} and {end}", "the distance in days from {start} to {end}",
            "the number of days that pass from {start} to {end}", "the time from {start} until {end} in days", "the number of days from {start} until {end}", "the day count between {start} and {end}",
        ),
        questions_train=(
            "How many days are there between {start} and {end}?", "How many days is it from {start} to {end}?", "How many days pass from {start} until {end}?", "Count the days from {start} to {end}.",
            "days between {start} and {end}", "How many days after {start} is {end}?", "How many days before {end} is {start}?", "A trip starts on {start} and ends on {end}. How many days lie between?",
            "Today is {start} and the party is on {end}. How many days are left until then?", "Amara ordered a book on {start} and it came on {end}. How many days did it take?",
        ),
        nouns_held_out=("the count of days from {start} until {end}", "the distance between {start} and {end} in days", "the number of days that lie between {start} and {end}"),
        questions_held_out=("From {start} to {end}, how many days is that?", "Between {start} and {end}, how many days pass?", "School starts on {start} and ends on {end}. How many days are between them?"),
        names=("date_difference", "count_days", "days_from_to", "days_apart"),
        descriptions=("Number of days between dates", "Days from start to end", "How far apart dates are"),
    ),
    "add_days": Phrases(
        nouns_train=(
            "the date {days} days after {day}", "the date that comes {days} days after {day}", "{day} plus {days} days", "the day {days} days later than {day}", "the date {days} days from {day}",
            "the date after adding {days} days to {day}", "the calendar date {days} days past {day}", "the result of adding {days} days to {day}", "the new date when {day} moves forward by {days} days",
        ),
        questions_train=(
            "Add {days} days to {day}.", "What date is {days} days after {day}?", "Which date is {days} days later than {day}?", "{day} + {days} days", "Which date comes {days} days after {day}?",
            "Today is {day}. What will the date be in {days} days?", "Emma borrows a book on {day} for {days} days. On which date is it due?",
            "A ship leaves on {day} and arrives {days} days later. On which date does it arrive?", "A seed is planted on {day} and sprouts {days} days later. On which date does it sprout?",
            "Starting on {day}, count {days} days forward. Which date is it then?", "If it is {day} now, which date do we have in {days} days?",
        ),
        nouns_held_out=("the date that is {days} days later than {day}", "the calendar date {days} days later than {day}", "the date {day} with {days} days added"),
        questions_held_out=("Starting on {day}, which date comes {days} days later?", "After {day}, what will the date be in {days} days?", "Ivan leaves on {day} and comes home {days} days later. On which date is that?"),
        names=("date_after", "shift_date", "days_later", "date_plus_days"),
        descriptions=("A date plus some days", "Moves a date forward by days", "The date after given days"),
    ),
    "weekday": Phrases(
        nouns_train=(
            "the day of the week of {day}", "the weekday of {day}", "the day of the week for {day}", "the weekday on {day}", "the name of the weekday of {day}", "the day of the week on {day}",
            "the weekday that belongs to {day}", "the weekday on which {day} falls", "the day of the week for the date {day}",
        ),
        questions_train=(
            "Which day of the week is {day}?", "What day of the week is {day}?", "What weekday is {day}?", "On which weekday does {day} fall?", "On which day of the week is {day}?",
            "{day} falls on which weekday?", "weekday {day}", "Is {day} a Monday, a Tuesday or another day of the week?", "Anna was born on {day}. Which day of the week was that?",
            "The concert is on {day}. Which weekday is it?",
        ),
        nouns_held_out=("the weekday for the date {day}", "the name of the day of the week on {day}"),
        questions_held_out=("{day} is which day of the week?", "The date is {day}. Which weekday is that?", "On {day}, which day of the week was it?"),
        names=("day_of_week", "which_weekday", "day_name", "week_day_of"),
        descriptions=("Day of the week", "Name of a date's weekday", "Monday to Sunday for a date"),
    ),
    "reverse_text": Phrases(
        nouns_train=(
            "{text} backwards", "{text} in reverse", "the reverse of {text}", "the word {text} spelled backwards", "the letters of {text} in reverse order", "{text} written backwards",
            "the reversed word {text}", "{text} spelled from the last letter to the first", "the backwards spelling of {text}",
        ),
        questions_train=(
            "Spell {text} backwards.", "Reverse {text}.", "Reverse the word {text}.", "Write {text} backwards.", "How is {text} spelled backwards?", "What does {text} look like in reverse?",
            "Turn the word {text} around.", "How do you write {text} from back to front?", "Put the letters of {text} in reverse order.", "What do you read when {text} is reversed?",
        ),
        nouns_held_out=("the word {text} in reverse order", "the reverse spelling of {text}", "the word {text} written backwards"),
        questions_held_out=("Backwards, how do you spell {text}?", "How does the word {text} look when it is reversed?", "Write the letters of {text} in reverse."),
        names=("backwards", "reverse_word", "spell_backwards", "flip_text"),
        descriptions=("Text spelled backwards", "Letters in reverse order", "Reverses a word or text"),
    ),
    "count_letter": Phrases(
        nouns_train=(
            "the number of times the letter {letter} occurs in {text}", "the number of times {letter} appears in {text}", "the count of the letter {letter} in {text}",
            "the number of occurrences of {letter} in {text}", "the count of {letter} in the word {text}", "the frequency of the letter {letter} in {text}", "the number of letters {letter} in {text}",
            "the letter count for {letter} in the word {text}",
        ),
        questions_train=(
            "How often does the letter {letter} occur in {text}?", "How many times does {letter} appear in {text}?", "How many {letter}'s are there in {text}?", "Count the letter {letter} in {text}.",
            "How often is {letter} in the word {text}?", "In {text}, how many times does the letter {letter} occur?", "Count how often {letter} appears in {text}.",
            "How many letters {letter} does the word {text} contain?", "{text} contains the letter {letter} how many times?", "How many times do you write the letter {letter} in {text}?",
        ),
        nouns_held_out=("the number of times the word {text} contains the letter {letter}", "the number of occurrences of the letter {letter} in the word {text}", "the frequency of {letter} in {text}"),
        questions_held_out=("In the word {text}, how often does {letter} appear?", "How many times does the word {text} contain the letter {letter}?", "Count how many times {letter} occurs in {text}."),
        names=("letter_count", "occurrences", "how_often", "count_char"),
        descriptions=("How often a letter occurs", "Counts one letter in a text", "Occurrences of a character"),
    ),
    "text_length": Phrases(
        nouns_train=(
            "the length of {text}", "the number of letters in {text}", "the number of characters in {text}", "the length of the word {text}", "the letter count of {text}", "the length of {text} in letters",
            "the number of letters that {text} has", "the character count of {text}", "the total number of letters in the word {text}",
        ),
        questions_train=(
            "How long is {text}?", "How long is the word {text}?", "How many letters does {text} have?", "How many letters are in {text}?", "How many characters does {text} have?",
            "Count the letters of {text}.", "How many letters do you need to write {text}?", "Of how many letters is {text} made?", "{text} has how many letters?", "Count all characters in {text}.",
        ),
        nouns_held_out=("the number of characters that the word {text} has", "the total length of the word {text}", "the count of all letters in {text}"),
        questions_held_out=("How many letters long is {text}?", "In the word {text}, how many letters are there?", "What length does the word {text} have?"),
        names=("word_length", "count_characters", "length_of", "number_of_letters"),
        descriptions=("Number of characters", "How long a text is", "Counts all letters of a text"),
    ),
    "convert_units": Phrases(
        nouns_train=(
            "{value} {unit} in {to}", "{value} {unit} converted to {to}", "{value} {unit} expressed in {to}", "the number of {to} in {value} {unit}", "{value} {unit} as {to}",
            "the conversion of {value} {unit} to {to}", "the value of {value} {unit} in {to}", "the result of converting {value} {unit} into {to}", "{value} {unit} changed into {to}",
        ),
        questions_train=(
            "Convert {value} {unit} to {to}.", "Convert {value} {unit} into {to}.", "How many {to} are {value} {unit}?", "How much is {value} {unit} in {to}?", "How many {to} are there in {value} {unit}?",
            "{value} {unit} = ? {to}", "{value} {unit} to {to}", "Express {value} {unit} in {to}.", "A sign says {value} {unit}. How much is that in {to}?", "Change {value} {unit} into {to}.",
        ),
        nouns_held_out=("the conversion of {value} {unit} into {to}", "the value in {to} of {value} {unit}", "{value} {unit} expressed as {to}"),
        questions_held_out=("Expressed in {to}, how much is {value} {unit}?", "If you convert {value} {unit} to {to}, how much is it?", "How do I convert {value} {unit} into {to}?"),
        names=("unit_converter", "change_unit", "to_unit", "convert_measure"),
        descriptions=("Value in another unit", "Converts between units of measure", "Changes a measure's unit"),
    ),
    "mean": Phrases(
        nouns_train=(
            "the mean of {numbers}", "the average of {numbers}", "the arithmetic mean of {numbers}", "the average value of {numbers}", "the mean value of {numbers}", "the mean of the numbers {numbers}",
            "the average of the numbers {numbers}", "avg({numbers})", "the mean of the list {numbers}",
        ),
        questions_train=(
            "Average {numbers}.", "What is the average if the values are {numbers}?", "Which mean do {numbers} have?", "mean of {numbers}", "How much are {numbers} on average?",
            "Mia's scores were {numbers}. What was her average score?", "The temperatures this week were {numbers}. What was the mean temperature?",
            "The children are {numbers} years old. How old are they on average?", "On her walks Nora counted {numbers} birds. How many was that on average?",
        ),
        nouns_held_out=("the arithmetic average of {numbers}", "the average of the list {numbers}", "the mean of the values {numbers}"),
        questions_held_out=("For the numbers {numbers}, what is the mean?", "{numbers} have which average?", "Sam's scores were {numbers}. How much is that on average?"),
        names=("average", "arithmetic_mean", "avg", "mean_of"),
        descriptions=("Average of a list", "Mean value of the numbers", "Sum divided by the count"),
    ),
    "median": Phrases(
        nouns_train=(
            "the median of {numbers}", "the middle value of {numbers}", "the median value of {numbers}", "the middle number of {numbers}", "the middle of {numbers} after sorting",
            "the median of the numbers {numbers}", "the middle one of the sorted numbers {numbers}", "median({numbers})", "the median of the list {numbers}",
        ),
        questions_train=(
            "Which number is in the middle when {numbers} are sorted?", "What is the median if the values are {numbers}?", "Which median do {numbers} have?", "median of {numbers}",
            "We sort {numbers}. Which value is in the middle?", "Paul's scores were {numbers}. What was his median score?", "The temperatures this week were {numbers}. What was the median temperature?",
            "The prices are {numbers} euros. Which is the median price?",
        ),
        nouns_held_out=("the median of the values {numbers}", "the middle value of the list {numbers}", "the middle of the sorted list {numbers}"),
        questions_held_out=("For the numbers {numbers}, what is the median?", "{numbers} have which median?", "If we sort {numbers}, which number is in the middle?"),
        names=("middle_value", "median_of", "middle_number", "sorted_middle"),
        descriptions=("Middle value of a list", "Middle number after sorting", "Median of some numbers"),
    ),
}
# fmt: on

WORDS: tuple[str, ...] = tuple(
    """
    able above across actor adult after again agree airport album alive alley almond alone amber anchor angle animal ankle answer apple april apron arch
    area arrow artist autumn award baby bacon badge bag baker balcony ball bamboo banana band bank barn basket bath beach beacon bean bear beauty
    bed bee bell belt bench berry bicycle bird biscuit blanket blue board boat bone book border bottle bowl box branch brave bread breeze brick
    bridge bright broom brother brush bubble bucket building butter button cabin cactus cake camel camera camp candle candy canvas captain car card carpet carrot
    castle cat ceiling cellar chain chair chalk cheese cherry chess chicken child chimney church circle circus city clay clean climb clock cloth cloud clover
    coast coat cobbler coffee coin collar color comb comet compass cookie copper coral corner cotton country cousin cow cradle crayon cream cricket crown cup
    curtain cushion daisy dance daughter dawn deer desert desk diamond dinner doctor dog dolphin donkey door dragon dream dress drum duck eagle ear early
    earth east easy echo egg eight elbow elephant empty engine evening eye fabric falcon family farmer feather fence fern festival field finger fire fish
    flag flame flower flute forest fork fossil fountain fox freedom friend frog fruit garage garden garlic gate ghost giant ginger giraffe glass glove goat
    gold goose grain grape grass green guitar hammer hand happy harbor harvest hat hazel heart helmet hero hill holiday honey horse hotel house hundred
    ice idea insect iron island ivory jacket jam jar jelly jewel journey juice jungle kettle key king kitchen kite kitten knee knife ladder lake
    lamb lamp lantern laptop lawn leaf leather lemon leopard lesson library light lily lion lizard lobster lunch machine magic magnet mango maple marble market
    meadow melon message metal milk mirror mitten monkey moon morning mother mountain mouse muffin museum music napkin nature needle nest night north notebook nurse
    oak ocean office olive onion orange orchard otter owl oyster paint palace panda paper parade parent parrot party peach peanut pear pebble pencil penguin
    pepper piano picnic pillow pilot pine pirate pizza planet plate pocket poem pond potato prince pumpkin puppet purple puzzle queen quiet rabbit radio rain
    rainbow raven ribbon rice river road robin robot rocket roof rose ruby sailor salad salt sand sandwich school scissors season secret seed shadow sheep
    shelf ship silver sister sky snail snow soap soccer soup spider spoon spring squirrel star station stone storm street sugar summer sun swan table
    """.split()
)

EVERYDAY: tuple[str, ...] = tuple(
    """
    abc abcd abcde abracadabra africa agent algorithm alien alphabet amazing america anger ant apartment apples arabic arm array asdf asia ask atom
    attention august aunt avenue awful bakery bananas bar baseball basketball bathroom baz beautiful bedroom beef beer begin berlin berries big bike
    bitter black blood blueberry bookkeeper boolean boots boss boy brain break breakfast brown browser budget build bus butcher buy bye cache call
    canada cap catch cats cell cent champion cherries children chin china chinese chocolate civic class client close coach code cold college come
    committee complex computer constant cool cost couch crab cry dad dark data date day debt december dictionary difficult dinosaur dogs dollar
    drawer drink driver drop dry eat edge education egypt email encyclopedia end energy english eraser euro europe exam example excellent face
    factory fall fast fate fear february feel feet file film find flat floor flour fly fog folder foo foot football force france french fresh friday
    frost function galaxy game german germany girl give gloves goal golden golf goodbye government grade gradient grammar grandma grandpa grapefruit
    graph gravity gray greek guide hard hate head hear heat heavy hebrew hello help hen hey hi highway hindi hold home hope horrible hospital hot
    hour huge husband important impossible india information integer internet ipsum italy january java joy july jump june jupiter jupyter kayak keep
    kernel kid knight know language large late latin laugh lawyer lazy learn learning leave leg letter letters lettuce level lie life like line link
    lip list listen loan london long look lorem lose loud love luck luggage madam madrid make man map march mars match matrix maybe meat medal
    meeting memory men mexico minute mississippi model mom monday money monster month mosquito motel moth mouth move movie name narrow necessary neck
    need neighbor nephew network neural new niece ninja no node noodle noon normal nose note novel november number numbers october okay old
    onomatopoeia open oranges page palindrome pants paris park passport pasta path pay peace pen people perfect pharmacy phone pig pineapple pink
    plan plane platform play player please pork possible potatoes pound power price profit program project pull purse push python question queue
    quick qwerty race racecar radar read red refer refrigerator rent report restaurant result rhythm ring rome room rooster root rotor rugby ruler
    run russia salary salty sample saturday scarf score screen script sea seal second see sell send sentence september server shark shirt shoe shoes
    short shoulder show shower shrimp simple sing singer sink skin skirt sleep slow small smell smile snack snake sock socks soda sofa soft son song
    sorry sound sour space spain spanish speak speed spelling sport square stage stairs start stats stay stew stock stop story strange strawberry
    string student subway sunday supermarket supper sweet swim syzygy take tall taste tax taxi tea teach teacher team teeth tell temple tennis tensor
    terrible test texas text thanks theater thick thin think thread throw thursday ticket time tiny title today toe toilet token tokyo tomatoes
    tomorrow tongue tool tooth touch tour tower town trade traffic train transformer travel tree trip trophy truck truth try tuesday tunnel turkey
    turn uncle unicorn university valley variable vector vegetable venus vienna village vinegar vocabulary volleyball waiter walk wall wallet want
    war warehouse warm watch water watermelon wave weather website wednesday week welcome wet whale white wide wife win wind wine witch wizard wolf
    woman women wonderful word words work worker world worm wow write writer xyz year yes yesterday young zipper zombie
    """.split()
)
"""Words that people try first, none of them held out."""

WORDS_HELD_OUT: tuple[str, ...] = tuple(
    """
    acorn attic avocado balloon barrel beetle blossom bonfire bracelet buffalo cabbage canoe cinnamon coconut cottage crystal cucumber curious dentist dessert
    emerald envelope fiddle fisherman flamingo furniture gallery gravel hamster hedgehog hockey igloo jigsaw kangaroo keyboard lavender lemonade lighthouse mammal meteor
    mushroom mustard nutmeg octopus orchestra paddle pancake peacock pelican pigeon postcard puddle quilt raccoon raspberry sandal saddle sapphire skeleton snowflake
    sparrow spinach statue sunrise sweater tadpole teapot thunder tiger tomato tractor treasure trumpet tulip turtle umbrella vanilla violin volcano walnut waterfall
    whistle willow window winter yellow zebra
    """.split()
)
