"""Questions outside the embedded model's world, which get an honest refusal; and what a person says in mid-run.

In: a `Draw`. Out: questions and lines. The held-out ones share no template with the training ones. Neighbours: `world`.
"""

from __future__ import annotations

import random
from typing import Final

from hogwild.embedded.wordings import unfold
from hogwild.embedded.worksheets import Draw

REFUSAL: Final = "cannot answer"
"""The answer to a question that no listed tool and no concept answers."""
SAYS: Final = "No tool for this"

SUBJECTS: Final = {
    "train": (
        "France",
        "Japan",
        "Hamlet",
        "Mozart",
        "Einstein",
        "Rome",
        "Canada",
        "poetry",
        "chess",
        "football",
        "gravity",
        "coffee",
        "jazz",
        "Napoleon",
        "Venus",
    ),
    "held_out": ("Brazil", "Dickens", "Galileo", "Oslo", "cricket", "opera", "magnets", "Cleopatra", "Saturn", "tea"),
}
QUESTIONS: Final = {
    "train": (
        "Who wrote {s}?", "What is the capital of {s}?", "When was {s} born?", "Tell me a joke about {s}.",
        "Write a poem about {s}.", "Who invented {s}?", "Why is the sky blue?", "What do you think of {s}?",
        "Translate {w} into French.", "Who is the president of {s}?", "How is the weather in {s}?",
        "What is the best book about {s}?", "Explain {s} to a child.", "Where can I buy a {w}?", "Draw a {w}.",
        "What colour is a {w}?", "Is {s} better than {t}?", "Recommend a film about {s}.", "Where is {s}?",
        "How old is {s}?", "Who won the game yesterday?", "Send a letter to {s}.", "Book a flight to {s}.",
        "What does {w} mean?", "Sing a song about a {w}.", "What is your name?", "Do you like {s}?",
        "Who discovered {s}?", "When did {s} begin?", "What is the population of {s}?", "Tell me about {s}.",
        "Which language is spoken in {s}?", "Give me advice on {s}.", "Write a letter about a {w}.",
        "What is the meaning of life?", "How far away is {s}?", "Who is your favourite {w}?", "Compare {s} with {t}.",
        "Is {s} dangerous?", "How do I cook a {w}?", "What is the best {w} in {s}?", "Play some {s}.", "Open the {w}.",
        "What did {s} say?", "Why do people like {s}?", "How is {s} made?", "When does the {w} close?",
        "How many people live in {s}?", "What year did {s} end?", "Describe {s} in two words.", "How tall is {s}?",
        "Who owns the {w}?", "Remind me to buy a {w}.", "What is a {w}?", "List three facts about {s}.",
        "Turn on the {w}.", "Which {w} is the best?", "Can {s} fly?", "Which country is next to {s}?",
        "Hello.", "Hello", "Hi.", "Hi there!", "Hey", "Good morning.", "Thank you.", "Thanks!", "Help", "Who are you?",
        "What can you do?", "How are you?", "Are you there?", "Test", "sqrt({n})", "The square root of {n}", "{n}!",
        "{n} factorial", "log({n})", "sin({n})", "cos({n})", "{n}", "{w}", "{w}?",
        "Round {n}.", "Is {n} odd?", "Random number", "What time is it?", "ok",
        "What day is it?", "What is today's date?", "When was {s} last seen?",
        "Which days is the {w} open?", "How many weeks did {s} last?", "What did {s} do on the weekend?",
        "How long is the way to {s}?", "How many words are there in {s}?", "What is the average age in {s}?",
        "What is the difference between {s} and {t}?", "How many times did {s} win?", "Count the people in {s}.",
        "How much does a {w} cost?", "How much does {s} weigh?", "What is the size of {s}?", "What is {s}?",
        "How many {w} are there in {s}?", "How many letters did {s} write?", "Is {s} a good number?", "Is {s} prime?",
        "What remains of {s}?", "What is the product of {s}?", "What is the sum of {s} and {t}?", "Divide {s} by {t}.",
        "What is the temperature in {s}?", "What was new in {s} this year?",
        "When is the next {w}?", "Which year was {s} built?", "Add {s} to my list.", "Convert {s} to {t}.",
        "Who are the parents of {s}?", "Where did {s} happen?",
        "How far is it from {s} to {t}?", "How many miles to {s}?", "What rhymes with {w}?", "Is {w} a word?",
        "Translate {w}.", "What is the plural of {w}?", "Who said {w}?", "Define {w}.", "{s}", "{s} and {t}",
        "{s} news", "Weather in {s}", "Find me a picture of {s}.", "Tell a story about a {w}.",
        "Where does {s} come from?", "Teach me {s}.",
    ),
    "held_out": (
        "Which river flows through {s}?", "Give me a recipe with {s}.", "What is the history of {s}?",
        "Name a famous person from {s}.", "How do you spell {s} in German?", "Who painted the {w}?",
        "Summarise the story of {s}.", "What happened in {s} last week?", "Please call {s} for me.",
    ),
}  # fmt: skip

SKIPS: Final = {
    "train": ("<Please|Kindly> <skip|leave out|ignore|omit|cancel> <item|number> {n}.",
              "<Skip|Leave out|Ignore|Omit|Cancel> item {n}[, please].", "<We|I> do not need item {n}[ any more].",
              "Item {n} <is not needed any more|can be left out|is done already|is cancelled>.",
              "<No need for|Never mind|Nobody needs> item {n}.", "<Forget|Strike|Remove|Delete> item {n}[ for now].",
              "You <may|should> <skip|ignore|forget> <item|number> {n}.", "Do not <do|answer|solve> item {n}.",
              "<Let us|Let's> <drop|forget about|leave out> <number|question> {n}.", "Leave item {n} alone.",
              "<Item|Number|Question> {n} <has been solved by somebody else|was a mistake|makes no sense|can go>.",
              "<Stop|Stay away from|Keep off|Hands off> <item|number> {n}[, please].",
              "<Item|Number> {n} is <off the list|obsolete>.",
              "<I was wrong about|I take back|Nobody wants> <item|question> {n}[ now].",
              "<There is no need to|You need not> <do|answer|solve|work on> <item|number|question> {n}[ any more].",
              "<All of you|Everybody|Alice|Bob>, <drop|skip|leave out> <item|number|question> {n}[, please].",
              "<The answer|An answer> <to|of> item {n} is <not needed|known already>."),
    "held_out": ("Forget about item {n}, please.", "You can drop item {n}."),
}  # fmt: skip
ADDS: Final = {
    "train": ("<Also|One more|Another one|Please add>, item {n}: {q}", "<New item|Item|Add item> {n}: {q}",
              "<Please|Now> also <do|answer|solve> item {n}: {q}", "There is one more, item {n}: {q}",
              "<Please|Kindly> <take|solve|answer|add> this <as|under> <item|number> {n}[ as well|, please]: {q}",
              "<Here is|I have|We need> <one more|another> <item|question>, <number|item> {n}: {q}",
              "<Do|Solve|Answer> <this one|the following> <too|as well>, <as|it is|call it> <item|number> {n}: {q}",
              "<Item|Number|Question> {n} <is new|has come in|was forgotten|comes on top>: {q}",
              "{q} <This|That> is <item|number> {n}.", "{q} <Do that|Take it> as <item|number> {n}[, please].",
              "<Could|Would> <you|somebody|one of you> <add|do|work out> item {n}[ as well| too]: {q}",
              "<On top of that|Besides|In addition|And>, <item|number|question> {n}: {q}", "{n}. {q}",
              "Make <this|the following> item {n}: {q}", "Let <this|the following> be item {n}[ too| as well]: {q}",
              "<The list grows|The list is longer now>, <item|number> {n}: {q}",
              "<Also|And|Then|Besides>: {q}", "<One more|Another one|A last one|Something else>: {q}",
              "<Please|Can you> <also|now also> <do|answer|solve> <this|the following>: {q}",
              "<I forgot|I nearly forgot|We forgot> <one|something|a question>: {q}",
              "{q} <Add that|Answer that too>[, please].", "<Add|Append> <this|to the list>: {q}",
              "<There is|We have> <a new|another> <question|item>[ for you]: {q}"),
    "held_out": ("Please do this as item {n} too: {q}", "While you are at it: {q}"),
}  # fmt: skip


def draw_outside(draw: Draw) -> str:
    """A question that no tool answers."""
    split = "held_out" if draw.held_out else "train"
    s, t = draw.rng.sample(SUBJECTS[split], 2)
    if not draw.held_out and draw.rng.random() < 0.4:
        s, t = draw.word().capitalize(), draw.word().capitalize()
    question, w = draw.rng.choice(QUESTIONS[split]), draw.word()
    n = 0 if draw.held_out else draw.whole(3)  # held-out questions have no numbers
    return draw.cased(question.format(s=s, t=t, w=w, n=n))


def skip_line(rng: random.Random, held_out: bool, number: int) -> str:
    return unfold(rng.choice(SKIPS["held_out" if held_out else "train"]), rng).format(n=number)


def add_line(rng: random.Random, held_out: bool, number: int, question: str) -> str:
    return unfold(rng.choice(ADDS["held_out" if held_out else "train"]), rng).format(n=number, q=question)
