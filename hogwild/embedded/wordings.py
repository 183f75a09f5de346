# ruff: noqa: E501, SIM905, RUF100
"""Patterns that unfold into very many training wordings, as data, and the few lines that unfold them.

In: a random source. Out: English with the slots of `phrases.py`, plus {who}, {friend}, {thing}, {unit_thing} filled in.
`<a|b>` stands for one of its parts, `[a]` for `a` or nothing; both nest. Training draws from these and from
`phrases.py`; no pattern can unfold into a wording that is held out there (tests/hogwild/test_phrases.py).
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

WHO = tuple(
    "Anna Ben Carla David Eva Felix Greta Hugo Ines Jonas Kira Leo Mila Nico Olga Pavel Rosa Samir Tina Uwe Vera Wim Yara Zoe "
    "Amina Bruno Chen Dana Emil Farid Gina Hana Igor Jana Karim Lena Marco Nadia Otto Petra".split()
)
THINGS = tuple(
    "apples pears coins cards marbles shells stickers tickets books pencils stones beads candles chairs plates cups keys "
    "buttons photos letters boxes plums nuts eggs rolls flowers trees toys bricks bottles hats maps".split()
)

_DO = "<find|compute|calculate|determine|work out|tell me|give me|get|evaluate|figure out|write down|name|show>"
FRAMES = (
    "<What is|What's|Find|Compute|Calculate|Work out|Determine|Evaluate|State|Give|Get|Name|Find out> {x}<.|?|>",
    "<Can|Could|Would|Will> <you|anyone|someone> [please ]" + _DO + " {x}[ for me| now| today]?",
    "<Please|Kindly|Now|Next,|Then|Also|First|Now please> " + _DO + " {x}[, please].",
    "<I|We> <want|need|have|would love> to <know|find|get|compute|calculate|see|learn> {x}.",
    "<I|We>'d like [to <know|have|see|get>] {x}[, please].",
    "<Help me|Help us|Let us|Let's> <find|compute|calculate|determine|work out|get> {x}.",
    "<Question|Quick question|Next|Task|Exercise|Problem|To do>: {x}<?|.|>",
    "{x}<, please| =| = ?| is what|: how much is it>?",
    "<How|What> about {x}?",
    "<I wonder|I ask myself|Tell us|Say|Explain|Let me know> what {x} is.",
    "<Any idea|Who knows|Can you say|Guess|Do we know> what {x} is?",
    "<My teacher|My homework|The exercise|{who}|The form> asks <for|about> {x}.",
    "<Give|Send|Hand> <me|us> {x}.",
    "{x}<!|;|...>",
    "<We are looking|I am looking|{who} is looking> for {x}.",
)


@dataclass(frozen=True, slots=True)
class Wordings:
    """Patterns of one tool: noun phrases, which go into a frame, and whole questions."""

    nouns: tuple[str, ...]
    questions: tuple[str, ...]


# fmt: off
WORDINGS: dict[str, Wordings] = {
    "add": Wordings(
        nouns=(
            "[the value of ]{a} <plus|+|and then plus> {b}", "the <sum|total> <of|from|for> [the two numbers ]{a} <and|plus|with> {b}", "what <{a} and {b}|{a} plus {b}> <makes|gives|comes to>",
            "{a} with {b} <added|added on top|on top>", "<the amount|the number|the value> <you get|we get|one gets> by adding {a} <and|to> {b}", "{a} <raised by|increased by|together with|combined with> {b}",
            "the <combined|overall> <total|sum|amount> of {a} and {b}", "the <addition|adding up> of {a} and {b}",
        ),
        questions=(
            "<Add|Sum|Add up|Sum up|Put together> {a} <and|with|to> {b}<.|!|, please.>", "<When|If|Suppose> <I|we|someone> <add|adds|put> {a} and {b} together[, then]<,|:> <what comes out|what is the total|how much is it|what do we have>?",
            "<To|On top of> {a}<,| please> add {b}<.|, what is it?>", "<Starting with|Start with|Begin with> {a}<, add|, then add|; add> {b}<.|. What is the total?|. Where do we end?>",
            "{who} has {a} {thing} and <finds|buys|gets|is given|receives|wins> {b} more. How many {thing} does {who} have <now|then|in all|altogether>?", "{who} had {a} {thing}. Then {friend} <brought|added|gave> <him|her> <another {b}|{b} others|{b} extra>. How many <are there|does that make|{thing} are there> <now|altogether|in all>?",
            "<Yesterday|On Monday|In May> {who} <sold|picked|read|made> {a} {thing}, and <today|on Tuesday|in June> {b}. <How many is that together|What is the total|How many in all>?", "There are {a} {thing} <on the table|in the bag|here> and {b} <in the drawer|in the box|there>. How many {thing} <are there together|is that|are there overall>?",
            "<A ticket|A lamp|Lunch|The bus> costs {a} euros <and|,> <a book|a cup|dinner|the train> <costs |>{b}[ euros]. <What do I pay together|How much is it for both|What is the sum>?",
            "<By|With> {b} more than {a}, <what is it|how many is that>?", "{who} walks {a} km and then {b} km more. How far <is that|does {who} walk> <in all|altogether>?", "{a} and {b}<: sum|: total|, summed|, added up>?",
            "{a} {b} sum", "sum {a} {b}", "add {a} {b}", "{a}+{b}",
        ),
    ),
    "subtract": Wordings(
        nouns=(
            "[the value of ]{a} <minus|-|less> {b}", "the <difference|gap> <of|from|between> {a} <and|to> {b}", "what <is left|remains|stays> <of|from> {a} <after removing|without|minus|when you remove> {b}", "{b} <deducted|removed|taken off|taken|subtracted> from {a}",
            "{a} <lowered by|reduced by|without|diminished by> {b}", "the <rest|remainder left> when <you take|we take> {b} <off|away from> {a}", "the <amount|number|value> {b} <below|under|smaller than> {a}", "<how much|what> {a} <exceeds {b} by|is above {b}>",
            "{a} <with|once|after> {b} <removed|taken off|subtracted|is gone|is taken off>",
        ),
        questions=(
            "<Subtract|Take away|Deduct|Remove|Take> {b} from {a}<.|!|, please.>", "<From|Out of> {a} <take|remove|deduct|take away> {b}<.|, what is left?|. What remains?>", "<When|If|Suppose> <I|we|someone> <remove|removes|subtract|lose> {b} <from|out of> {a}<,|:> <what is left|what remains|how much is there still>?",
            "<Starting with|Start with|Begin with> {a}<, subtract|, then take away|; remove> {b}<.|. What is left?|. Where do we end?>", "{who} has {a} {thing} and <loses|sells|gives away|eats|breaks|hands {friend}> {b}[ of them]. How many {thing} <are left|remain|does {who} keep|does {who} have now>?",
            "{who} had {a} {thing}. {friend} took {b}[ of them][ away]. How many <remain|are left|are still there|{thing} are left>?", "<A shop|A box|A bus|The store> <had|holds|has> {a} {thing} and <sells|loses> {b}. How many <remain|are left over|are there now>?",
            "{who} <has|saved|owns> {a} euros and <spends|pays> {b}. How <much|many euros> <is left|are left|remains>?", "How much <bigger|larger|more> is {a} than {b}?", "By how much <is {a} greater than {b}|does {a} exceed {b}>?", "{who} is {a} years old and {friend} is {b}. How many years <are between them|older is {who}>?",
            "{a} and {b}<: difference|, what is the difference>?", "A rope of {a} m <loses|is shortened by> {b} m. How long is it <now|then>?",
            "{a}-{b}", "{a} less {b}", "minus: {a}, {b}",
        ),
    ),
    "multiply": Wordings(
        nouns=(
            "[the value of ]{a} <times|*|x|multiplied with> {b}", "the product <of|from|for> [the two numbers ]{a} <and|with> {b}", "what {a} <times|multiplied by> {b} <makes|gives|comes to>", "<the amount|the number|the value> <you get|we get|one gets> by multiplying {a} <and|with|by> {b}",
            "{a} <lots|groups|sets> of {b}", "the multiplication of {a} <and|by|with> {b}", "{a} <scaled by|multiplied with> {b}",
            "{a} <taken|counted|repeated|added up> {b} times[ over]",
        ),
        questions=(
            "<Multiply|Take the product of> {a} <and|with|by> {b}<.|!|, please.>", "<When|If|Suppose> <I|we|someone> <multiply|multiplies> {a} <and|with|by> {b}<,|:> <what comes out|what is it|how much is it>?", "<Starting with|Start with|Begin with> {a}<, multiply by|, then multiply with|; times> {b}<.|. What comes out?>",
            "{who} <has|packs|fills|buys> {a} <boxes|bags|baskets|crates|packs> <of|with> {b} {thing}[ each][ in each]. How many {thing} <are there|is that|does {who} have> <in all|altogether|in total>?", "<Each|Every> <box|bag|tray|shelf|crate> <holds|has|contains> {b} {thing}. How many {thing} <are in|do> {a} <of them|boxes hold|bags hold>?",
            "There are {a} <tables|rows|shelves|classes|teams> <with|of> {b} <{thing}|people|pupils|players> each. How many <{thing}|are there|is that> <in total|altogether|overall>?", "One <ticket|lamp|book|cup> costs {b} euros. <What|How much> do {a} <of them|cost together|pieces cost>?",
            "{who} <works|reads|runs|earns> {b} <hours|pages|km|euros> <a|per|each> <day|week>. How many <is that|in all> <in|after> {a} <days|weeks>?", "A <garden|room|field> is {a} m long and {b} m wide. <What is its area|How big is the area>?", "{a} and {b}<: product|, multiplied|, what is the product>?", "How many {thing} are {a} <bags|boxes> of {b}[ {thing}]?",
            "{a}*{b}", "{a}x{b}", "multiply {a} {b}", "{a} by {b} product",
        ),
    ),
    "divide": Wordings(
        nouns=(
            "[the value of ]{a} <divided by|/|over|split by> {b}", "the quotient <of|from|for> {a} <and|by|over> {b}", "what {a} <divided by|over> {b} <makes|gives|comes to>", "<the amount|the number|the value> <you get|we get|one gets> by dividing {a} <by|into> {b}[ equal parts]", "{a} <shared among|cut into|spread over|split among> {b}",
            "the division of {a} <by|through> {b}", "<a share|each share|one share> of {a} <among|for|between> {b}", "the {b}th part of {a}",
            "<one|each> of <the |>{b} <pieces|shares|portions> <of|made of|cut from> {a}", "<one|each> <part|piece|portion> when {a} is <cut|split|divided> <in|into> {b}",
        ),
        questions=(
            "<Divide|Split|Share> {a} <by|into|through|among> {b}<.|!|, please.>", "<When|If|Suppose> <I|we|someone> <divide|divides|split|splits> {a} <by|into> {b}[ parts]<,|:> <what comes out|how much is it|what does one part hold|how big is the result>?", "<Starting with|Start with|Begin with> {a}<, divide by|, then divide by> {b}<.|. What comes out?>",
            "{who} <shares|splits|divides> {a} {thing} <equally |fairly |>among {b} <friends|children|people|cats>. How many <{thing} |>does each <get|have|receive>?", "{b} <children|people|cousins|players|workers> <share|split> {a} <{thing}|euros|litres> <equally|fairly|evenly>. <How many|How much|What> <does each one get|is one share|goes to each>?",
            "{a} {thing} <go|are put|are packed> <evenly |equally |>into {b} <boxes|bags|rows>. How many <per|in one|are in each> <box|bag|row>?", "{b} <tickets|lamps|books|cups> cost {a} euros. <What|How much> <is one|does one cost>?", "{who} <drives|walks|runs> {a} km in {b} hours. How many km <is that per hour|per hour>?",
            "How often does {b} <fit|go> into {a}?", "How many times <is {b} contained in {a}|does {a} contain {b}>?", "{a} and {b}<: quotient|, divided>?", "A <board|cable|tape> of {a} m is <sawn|cut> into {b} <equal |>pieces. How long is one?",
            "{a}/{b}", "divide {a} {b}", "{a}:{b}", "{a} div {b}",
        ),
    ),
    "power": Wordings(
        nouns=(
            "[the value of ]{base} <^|**|to the power|to the power of|to the exponent> {exponent}", "{base} <multiplied by itself {exponent} times|to the {exponent}th power|to the {exponent}th>", "the {exponent}th power of {base}", "the power of {base} <to|for> the exponent {exponent}",
            "<the result|the number|what you get> <of raising|from raising|when you raise> {base} to [the power ]{exponent}", "<base|the base> {base}<,| and| with> exponent {exponent}", "exponent {exponent} <on|over|for> [the ]base {base}", "{exponent} as <the|an> exponent of {base}",
        ),
        questions=(
            "<Raise|Lift|Take> {base} to <the power|the exponent|the {exponent}th power, that is> {exponent}<.|, please.>", "<When|If|Suppose> {base} is <raised to|put to|taken to> [the power ]{exponent}<,|:> <what comes out|what is the result|how much is it>?", "<Use|Take> {exponent} as <the |>exponent and {base} as <the |>base<.|. What comes out?>",
            "<With|For> base {base} and exponent {exponent}<,|:> <compute|find|what is> the power<.|?>", "<The exponent is|Exponent> {exponent}<,| and> <the base is|base> {base}<.|:> <What is the power?|Compute it.|What comes out?>", "How <much|large> is {base} <^|**|to the power> {exponent}?",
            "A <population|colony|sum> grows {base} times each <day|year>. By what factor <does it grow|is it bigger> in {exponent} <days|years>?", "{base} times itself, {exponent} <factors|times> in all<?|: what is it?>", "<Apply|Put> [the ]exponent {exponent} to [the ]<base|number> {base}<.|, please.>",
            "{base}^{exponent}", "{base}**{exponent}", "power {base} {exponent}", "pow {base} {exponent}",
        ),
    ),
    "percent_of": Wordings(
        nouns=(
            "{percent} <%|percent|per cent|pct> <of|from|out of> {value}", "<a|the> <share|part|portion|fraction> of {percent} <%|percent> <of|from> {value}", "<the|a> {percent} <%|percent> <share|part|portion|cut> of {value}", "{value} at {percent} <%|percent>", "<what|how much> {percent} <%|percent> of {value} <is|makes|comes to>",
            "from {value} the {percent} <%|percent>[ part]",
        ),
        questions=(
            "<Take|Get|Find> {percent} <%|percent> <of|from> {value}<.|!|, please.>", "<Of|From|Out of> {value}<, take|, find|: what is|, what is> {percent} <%|percent>?", "<If|When|Suppose> <something|the whole|a price|all> is {value}<,|:> <what|how much> is {percent} <%|percent> of it?", "{who} <earns|has|gets> {value} euros and <spends|saves|gives away|pays> {percent} <%|percent>[ of it]. How much is <that|it>?",
            "<A|The> <coat|phone|lamp|bed|car> costs {value} euros <and|;> <the tax|the tip|the discount|the deposit|the fee> is {percent} <%|percent>. How <much|many euros> is <that|the tax|the discount|the fee>?", "<A town|A school|A club|A village> has {value} <people|members|pupils> and {percent} <%|percent> [of them ]<swim|sing|are ill|ride bikes>. How many <is that|are they>?",
            "{who} gets <a discount of {percent} <%|percent>|{percent} <%|percent> off> on <a|the> <lamp|table|ticket|shirt> of {value} euros. How much <does {who} save|is the discount|is taken off>?", "{value} <{thing}|euros>, {percent} <%|percent><: how many|: how much|, what is that>?", "Interest is {percent} <%|percent> on {value} euros. How much <interest is that|is the interest>?",
            "{percent}% {value}", "{percent}% of {value}[ =[ ?]]", "{percent} pct of {value}",
        ),
    ),
    "gcd": Wordings(
        nouns=(
            "the <gcd|GCD|hcf|HCF> <of|from|between> {a} <and|with> {b}", "the <<greatest|largest|highest> common <divisor|factor>|biggest common divisor> <of|from|for|between> [the numbers ]{a} and {b}", "gcd({a}, {b})", "the <greatest|largest|biggest|highest> <number|integer|factor|divisor> that <divides|goes into|fits into> [both ]{a} and {b}",
            "the <greatest|largest> factor <common to|both share of|shared between> {a} and {b}", "the common divisor of {a} and {b} that is <largest|greatest|biggest>",
        ),
        questions=(
            "<What|Which> is the <largest|greatest|biggest> <number|integer> <dividing|that divides|which divides> [both ]{a} and {b}[ evenly| without rest]?", "By what <largest|greatest|biggest> number can {a} and {b} both be divided?", "{a} and {b}<: gcd|, what is their gcd|: greatest common divisor|, largest common factor>?",
            "<If|When> {a} and {b} are factored<,|:> what is their <largest|greatest> common factor?", "{who} <wants|has> to cut <ropes|boards> of {a} m and {b} m into <equal pieces|pieces of one length> as long as possible<. How long is a piece|. What is the greatest length>?", "<Reduce|To reduce> the fraction {a}/{b}<: by which greatest common divisor|, which gcd do I need>?",
            "<Find|Give> the <gcd|greatest common factor|greatest common divisor>: {a}<,| and> {b}.", "What is the <highest|greatest|largest> factor [that ]{a} and {b} <share|have in common>?",
            "gcd {a} {b}", "gcd of {a},{b}", "gcd: {a}, {b}",
        ),
    ),
    "lcm": Wordings(
        nouns=(
            "the <lcm|LCM> <of|from|between> {a} <and|with> {b}", "the <least|smallest|lowest> common multiple <of|from|for|between> [the numbers ]{a} and {b}", "lcm({a}, {b})", "the <least|smallest|lowest> <number|integer> that <both {a} and {b} divide|is divisible by both {a} and {b}|{a} and {b} both go into>",
            "the <smallest|least|lowest> multiple <common to|both share of|shared between> {a} and {b}", "the common multiple of {a} and {b} that is <smallest|least|lowest>",
        ),
        questions=(
            "<What|Which> is the <smallest|least|lowest> <number|integer> <divisible by|that can be divided by> [both ]{a} and {b}?", "<What|Which> <smallest|least|lowest> number do {a} and {b} both divide?", "{a} and {b}<: lcm|, what is their lcm|: least common multiple|, smallest common multiple>?",
            "One <bell|lamp|bus> <rings|flashes|comes> every {a} <minutes|seconds> and another every {b}. After how many <minutes|seconds> do they <ring|meet|come> together <again|next>?", "<Find|Give> the <lcm|least common multiple|smallest common multiple>: {a}<,| and> {b}.", "What is the <lowest|least|smallest> multiple [that ]{a} and {b} <share|both have>?",
            "The fractions 1/{a} and 1/{b} need which <least|smallest|lowest> common <denominator|multiple>?",
            "lcm {a} {b}", "lcm of {a},{b}", "lcm: {a}, {b}",
        ),
    ),
    "remainder": Wordings(
        nouns=(
            "the <remainder|rest> <of|from|in|after> <{a} divided by {b}|dividing {a} by {b}|the division {a} / {b}|{a} over {b}>", "{a} <mod|modulo|%> {b}", "the <remainder|rest> <when|if> {a} is <divided|split> by {b}", "what <remains|is left over|is left> <when|after> <dividing {a} by {b}|you divide {a} by {b}|{a} is divided by {b}>",
            "the <modulus|modulo> of {a} <by|and> {b}", "<the leftover|leftovers|the rest> of {a} in groups of {b}",
        ),
        questions=(
            "<When|If> <I|we|someone> <divide|divides> {a} by {b}<,|:> <what is left over|what remains|what is the remainder|which rest stays>?", "<Divide|Split> {a} by {b}<.|:> <What is the remainder|What remains|What is left over|Which rest is there>?", "{who} packs {a} {thing} into <boxes|bags|rows> of {b}. How many <{thing} |>are left <over|unpacked|at the end>?",
            "{a} {thing} are shared <equally |fairly |>among {b} <children|people>. How many are left <over|at the end>?", "<With|In> whole numbers, {a} by {b} leaves <which|what> <rest|remainder>?", "What <rest|remainder> does {a} <give|have|leave> <by|modulo|when divided by> {b}?", "{a} and {b}<: remainder|, what is the remainder>?",
            "<Teams|Groups> of {b} are made from {a} <pupils|players>. How many <are left without a team|remain over|are left over>?",
            "{a}%{b}", "{a} mod {b}[ =[ ?]]", "{a}mod{b}", "mod {a} {b}", "{a}/{b} remainder",
        ),
    ),
    "is_prime": Wordings(
        nouns=(
            "<if|whether> {n} is <prime|a prime|a prime number>", "the primality of {n}", "<if|whether> [the number ]{n} has <no divisors except 1 and itself|only two divisors>", "<if|whether> {n} is <prime or composite|composite or prime>",
        ),
        questions=(
            "Is {n} <prime|a prime|a prime number>[ or not| or composite]?", "Is the <number|integer> {n} [a ]prime?", "{n}<: prime|, prime|: prime or not|, prime or composite|: is that prime>?", "<Check|Test|Tell me|Say|Decide|Find out> <if|whether> {n} is <prime|a prime>[, please].", "<Prime|Prime number>: {n}?", "Would you call {n} <prime|a prime number>?",
            "<Do|Can> only 1 and {n} divide {n}?", "{who} <says|thinks|claims> [that ]{n} is <prime|a prime>. Is <that true|that right|it>?", "Are there no divisors of {n} <but|except> 1 and itself?", "Is {n} among the prime numbers?", "<Could|Can> {n} be <prime|a prime number>?",
            "prime {n}", "{n} prime", "<is|is it> {n} prime", "{n}: prime", "isprime {n}",
        ),
    ),
    "digit_sum": Wordings(
        nouns=(
            "the <digit sum|cross sum|sum of digits|sum of the digits|digit total> <of|from|for|in> [the code ]{n}", "the <sum|total> <of|over> <all |the |><single digits|figures|digits> <of|in> {n}", "the digits of {n} <added|summed|added up|added together>", "what the digits <of|in> {n} <add up to|sum to|make together>", "digit_sum({n})", "{n}'s <digit sum|cross sum|digits added up>",
        ),
        questions=(
            "<Add|Sum|Add up|Sum up> [all ]the digits <of|in> {n}<.|!|, please.>", "<When|If> <I|we|someone> <add|adds|sum> <up the|the single> digits <of|in> {n}<,|:> <what comes out|what is it|how much is it>?", "What do the <digits|figures> <of|in> {n} <add up to|sum to|make|give> [together]?", "{n}<: digit sum|, digit sum|: cross sum|, sum of digits|: add the digits>?",
            "<Write|Take> {n} and add its digits<.|. What do you get?>", "{who} adds <the|all> digits of <the house number|the code|the number> {n}. What <does {who} get|comes out>?", "How <much|big> is the <digit sum|cross sum> <of|for> {n}?",
            "digit sum {n}", "digitsum {n}", "sum digits {n}", "cross sum {n}",
        ),
    ),
    "days_between": Wordings(
        nouns=(
            "the <days|number of days|count of days|time in days> <from|between> {start} <to|and|till|up to> {end}", "how many days <lie between|are between|there are between|separate> {start} and {end}", "the <gap|difference|span|interval> in days <from|between> {start} <to|and> {end}", "the days that <pass|go by> from {start} <to|till> {end}",
        ),
        questions=(
            "How many days <are there|is it|are|lie|pass> <from|between> {start} <to|and|till> {end}?", "How many days <after|later than> {start} is {end}?", "How many days before {end} is {start}?", "{start} <to|till|-> {end}<: how many days|, in days|: days>?", "<Count|Find|Give> the days <from|between> {start} <to|and|till> {end}.",
            "{who}'s <holiday|trip|course|project|rent> <starts|begins> on {start} and <ends|is over|finishes> on {end}. How many days <is that|does it last|does it take>?", "Today is {start}<.| and> <The|the> <exam|party|concert|move> is on {end}. How many days <are left|is it|to go>?", "<A|The> <letter|parcel|ship> <left|was sent> on {start} and <arrived|came> on {end}. How many days did it <take|travel>?",
            "<If|When> it is {start} now, how many days <are left|remain|is it> until {end}?", "It was {start} and now it is {end}. How many days have <passed|gone by>?",
            "days {start} to {end}", "{start} to {end} days", "{start} - {end} in days", "days between {start}, {end}",
        ),
    ),
    "add_days": Wordings(
        nouns=(
            "the <date|day> {days} days <after|from|past|on from> {day}", "{day} plus {days} days", "{days} days <after|on from|past|added to> {day}", "the <date|day> <you get|we get|that comes> <when adding|by adding> {days} days to {day}", "<what|which> <date|day> <it is|is> {days} days after {day}", "the date <reached|that follows> after {days} days <from|counting from> {day}",
        ),
        questions=(
            "<Which|What> <date|day> is [it ]{days} days <after|from|past> {day}?", "<Add|Count> {days} days <to|from|on from> {day}<.|!|, please.>", "<From|Counting from> {day}<, go|, count|, move> {days} days <on|ahead|forward><.|. Which date is it?>", "<In|After> {days} days<, counted from|, from|, starting at> {day}<,|:> <what|which> date <is it|do we have>?", "{day} <+|and then> {days} days<: date|, which date|?>?",
            "Today is {day}. <What|Which> date <is it|will it be|do we have> in {days} days?", "{who} <books|borrows a book|starts a diet|orders> on {day} <for|and waits> {days} days. <When|On which date> <is it over|does it end>?", "<A|The> <parcel|course|repair> <takes|lasts|needs> {days} days <from|starting on> {day}. <When|On what date> is it <done|there|over>?",
            "{days} days <after|later than> {day}<: what date is it|: which date|, what is the date>?", "<A bill|An offer> of {day} <is due|ends> {days} days <later|after that>. <On what|Which> date is <that|it>?",
            "{day}+{days} days", "{day} + {days}d", "{days} days after {day}", "{day} plus {days}",
        ),
    ),
    "weekday": Wordings(
        nouns=(
            "the <weekday|day of the week> <of|on|for|at> [the day ]{day}", "<what|which> <weekday|day of the week> <{day} is|{day} was|falls on {day}>", "the name of the <weekday|day> <of|for> {day}", "weekday({day})", "the day of the week <that {day} falls on|{day} falls on>",
        ),
        questions=(
            "<What|Which> <day of the week|weekday> <is|was|will be|falls on> {day}?", "<On|At> <what|which> <day of the week|weekday> <is|was|falls|fell|does> {day}[ fall]?", "{day}<: weekday|, weekday|: which weekday|, what day of the week|: what weekday is it>?", "Is {day} a Monday, a Tuesday or <what|which day>?", "{who} was born on {day}. <What|Which> <weekday|day of the week> <was that|was it>?",
            "<A|The> <party|meeting|wedding|race> is on {day}. <What|Which> <weekday|day of the week> is <that|it>?", "<Tell|Give> me <the|its> weekday: {day}.", "Which <day|weekday>, from Monday to Sunday, is {day}?", "<If|When> the date is {day}, <what|which> weekday is it?",
            "weekday {day}", "{day} weekday", "what day is {day}", "day of week {day}",
        ),
    ),
    "reverse_text": Wordings(
        nouns=(
            "{text} <backwards|reversed|in reverse|back to front|from back to front|the other way round>", "the <reverse|reversal|mirror image> of [the word ]{text}", "the <letters|word> <of |>{text} <from the end to the start|from last to first|back to front|turned around>", "<how|what> {text} <reads backwards|looks backwards|is backwards>", "{text} <spelled|spelt|read|written> <backwards|in reverse|from the end>", "reverse({text})", "the <backward|reversed|backwards> <form|spelling|version> of {text}",
        ),
        questions=(
            "<Reverse|Turn around|Flip|Mirror|Invert> [the word |the text |the letters of ]{text}<.|!|, please.>", "<Write|Spell|Read|Say|Type> [the word ]{text} <backwards|in reverse|from back to front|from the end><.|, please.>", "What is [the word ]{text} <backwards|reversed|in reverse|from back to front>?", "<How|What> <does|is> {text} <read|look|written|spelled> <backwards|from the end|from back to front>?",
            "<In reverse|From back to front|From the end>, <what is|how do you write|how does one write> {text}?", "<If|When> <you|we|I> <read|write|turn> {text} <backwards|around|from the end><,|:> what <do you get|comes out|stands there>?", "{text}<: backwards|, backwards|: reversed|, reversed|: reverse it>?", "{who} <writes|reads> {text} <backwards|in a mirror|from the end>. What <stands there|does {who} get|is it>?",
            "Last letter first: {text}<?|.>", "<Start|Begin> with the last letter: how <is|does one spell> {text}[ spelled]?",
            "reverse {text}", "{text} backwards", "{text} reversed", "backwards: {text}", "reverse: {text}",
        ),
    ),
    "count_letter": Wordings(
        nouns=(
            "the <number|count|amount> of [letters ]{letter} in [the word ]{text}", "how often [the letter ]{letter} <is|occurs|appears|comes|stands> in [the word ]{text}", "how many [times ]{letter} <there are|are found|are> in {text}", "the <occurrences|appearances> of [the letter ]{letter} <in|within|inside> {text}", "{text}'s <number|count> of [the letter ]{letter}",
        ),
        questions=(
            "How <often|many times> <is|does> [the letter ]{letter} <in|occur in|appear in|come up in|stand in> [the word ]{text}?", "How many [letters ]{letter} <are|are there|do you see|can be found> in [the word ]{text}?", "How many [letters ]{letter} does {text} <have|contain|hold>?", "<Count|Count up> [the letter |the letters |every ]{letter} in [the word ]{text}<.|!|, please.>",
            "{text}<: how many|, how many|: count the letter|: how often is> {letter}?", "<Looking at|Look at|Take> [the word ]{text}<, how many|: how many|. How many> [letters ]{letter} <are there|does it have>?", "<Which|What> number of [letters ]{letter} <does {text} have|is in {text}>?", "{who} <crosses out|paints|marks> every {letter} in {text}. How many are <that|they>?", "{letter} in {text}<: how often|, how many times|: count>?",
            "{letter} in {text}", "count {letter} in {text}", "how many {letter} in {text}", "{text}: {letter}",
        ),
    ),
    "text_length": Wordings(
        nouns=(
            "the <length|number of letters|number of characters|letter count|size in letters> <of|in> [the word |the text ]{text}", "how <long|many letters long> [the word ]{text} is", "how many <letters|characters> <{text} has|there are in {text}|are in {text}>", "len({text})", "the <count|number> of <letters|characters> <in|of> {text}", "{text}'s <length|number of letters|letter count>",
        ),
        questions=(
            "How many <letters|characters> <are there in|are in|does it take to write|make up|form> [the word ]{text}?", "How many <letters|characters> does [the word ]{text} <have|contain|consist of|count>?", "How long is [the word |the text ]{text}?", "<Count|Count up> <the|all|all the> <letters|characters> <of|in> [the word ]{text}<.|!|, please.>",
            "{text}<: length|, length|: how many letters|, how many letters|: how long is it|: number of letters>?", "<Looking at|Look at|Take> [the word ]{text}<, how many|: how many|. How many> <letters|characters> <has it|does it have|in all>?", "{who} writes {text}<,| with> one letter per <box|tile>. How many <boxes|tiles> <are needed|does {who} need>?", "What is the length of [the word ]{text}?",
            "<Of how many|With how many> <letters|characters> <is|does one write> {text}[ made]?",
            "length {text}", "{text} length", "letters in {text}", "len {text}", "length: {text}",
        ),
    ),
    "convert_units": Wordings(
        nouns=(
            "{value} {unit} <in|into|to|as> {to}", "<the number of|how many|how much> {to} <{value} {unit} are|in {value} {unit}|for {value} {unit}>", "{value} {unit} <converted|changed|turned|translated> <to|into> {to}", "<what|how much> {value} {unit} <is|are|makes> in {to}", "in {to} the <value|amount|measure> of {value} {unit}", "the {to} in {value} {unit}",
        ),
        questions=(
            "<Convert|Change|Turn|Translate|Express> {value} {unit} <to|into|in> {to}<.|!|, please.>", "How <many|much> {to} <are|is|make|are there in|go into> {value} {unit}?", "{value} {unit}<: how many|, how many|, how much is that in| = how many|: what is it in> {to}?", "<In|To> {to}<, what is|: what is|, how much is|, please convert> {value} {unit}?", "<What|How much> is {value} {unit} <in|when given in|when measured in> {to}?",
            "{who} <has|measures|reads> {value} {unit}<.| and wants {to}.> <How many {to}|How much in {to}|What is it in {to}> <is that|?>?", "<If|When> <something|it> is {value} {unit}<, what is it in|, how much is it in|, how many is that in> {to}?", "<From|Go from> {unit} to {to}<: |, please: >{value}<.|?>", "The label <says|shows> {value} {unit}. <What|How much> is <that|it> in {to}?",
            "{value} {unit} to {to}", "{value}{unit} in {to}", "{value}{unit} to {to}", "{value} {unit} = {to}",
        ),
    ),
    "mean": Wordings(
        nouns=(
            "the <mean|average|arithmetic mean|mean value|average value> <of|from|for|over> [the numbers |these numbers: |the data ]{numbers}", "<what|how much> {numbers} <average to|are on average|make on average>", "{numbers} <averaged|on average>", "mean({numbers})", "the <average|mean> [taken ]<over|across> {numbers}", "the sum of {numbers} divided by how many there are",
        ),
        questions=(
            "<Average|Take the mean of|Take the average of|Average out> {numbers}<.|!|, please.>", "What <do|would> {numbers} <average|average to|make on average>?", "{numbers}<: mean|, mean|: average|, what is the average|: what is the mean|: on average>?", "On average, how <much|many> <is|are> {numbers}?", "{who} <got|scored|sold|measured|ran|counted> {numbers}[ points| {thing}| km]. <What is the average|What is the mean|How much is it on average|What was the average>?",
            "<If|When> the <values|marks|grades|prices|times> are {numbers}<,|:> what is <the|their> <average|mean>?", "The <rain|temperatures|prices|marks|times> <were|are> {numbers}. <What is the mean|What is the average|Give the average|And the mean>?", "<Here are|These are> <some|the> <values|numbers|data>: {numbers}. <What is the mean|Their average|What is the average>?", "Which <average|mean> do {numbers} have?",
            "mean {numbers}", "average {numbers}", "avg {numbers}", "mean: {numbers}",
        ),
    ),
    "median": Wordings(
        nouns=(
            "the <median|median value|middle value|middle number|central value> <of|from|for|among> [the numbers |these numbers: |the data ]{numbers}", "<what|which number> is <in the middle of|the middle of> {numbers}[ when sorted]", "the <number|value> in the middle <of|among> {numbers}", "median({numbers})", "{numbers}, <sorted, the middle one|the middle one|the one in the middle>", "the <middle|median> <one|element> <of|among> {numbers}",
        ),
        questions=(
            "<Take|Find|Give|Get> the <median|middle value|middle number> <of|from> {numbers}<.|!|, please.>", "{numbers}<: median|, median|: middle value|, what is the median|: what is the median|: which is in the middle>?", "{who} <got|scored|sold|measured|ran|counted> {numbers}[ points| {thing}| km]. <What is the median|What is the middle value|Which value is the median|What was the median>?",
            "<If|When> the <values|marks|grades|prices|times> are {numbers}<,|:> what is <the|their> <median|middle value>?", "The <rain|temperatures|prices|marks|times> <were|are> {numbers}. <What is the median|Which one is in the middle|Give the median|And the median>?", "<Here are|These are> <some|the> <values|numbers|data>: {numbers}. <What is the median|Their median|Which is the middle one>?",
            "<Sort|Order|Line up> {numbers}<. Which is in the middle|. What stands in the middle|: which one is in the middle>?", "<Sorted|In order>, which of {numbers} <is|stands|lies> in the middle?", "Half of {numbers} <lie|are> below <what|which> <value|middle value>?",
            "median {numbers}", "median: {numbers}", "middle of {numbers}",
        ),
    ),
}
# fmt: on

_CHOICE = re.compile(r"<([^<>\[\]]*)>|\[([^<>\[\]]*)\]")


def unfold(pattern: str, rng: random.Random) -> str:
    """One of the texts that the pattern stands for; the slots of the tool's arguments are left as they are."""
    while match := _CHOICE.search(pattern):
        if match.group(1) is not None:
            chosen = rng.choice(match.group(1).split("|"))
        else:
            chosen = rng.choice(match.group(2).split("|")) if rng.random() < 0.5 else ""
        pattern = pattern[: match.start()] + chosen + pattern[match.end() :]
    if "{who}" in pattern or "{friend}" in pattern:
        who, friend = rng.sample(WHO, 2)
        pattern = pattern.replace("{who}", who).replace("{friend}", friend)
    return pattern.replace("{thing}", rng.choice(THINGS)) if "{thing}" in pattern else pattern


def as_expression(pattern: str) -> str:
    """A regular expression that matches exactly what the pattern can unfold into."""
    tokens = re.split(r"([<>\[\]|])", pattern)
    out = []
    for token in tokens:
        if token in "<>[]|" and token:
            out.append({"<": "(?:", ">": ")", "[": "(?:", "]": ")?", "|": "|"}[token])
        else:
            out.append(
                re.escape(token)
                .replace(r"\{who\}", r"\w+")
                .replace(r"\{friend\}", r"\w+")
                .replace(r"\{thing\}", r"\w+")
            )
    return "".join(out)
