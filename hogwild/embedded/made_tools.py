# ruff: noqa: E501, RUF100
"""Tools that no training has seen by name: a shelf of hundreds, to learn and to measure the reading of descriptions.

In: a seed, a split. Out: `Made` tools: each really computes, and carries the noun phrase by which a question asks for
it and the kinds of its arguments. Three families: formulas that mean something, the built-in tools under other names
with other parameters in another order, and invented ones whose words mean nothing, so that only the description tells.
The held-out shelf shares no tool's name, no formula and no invented word with the training one. Neighbours:
`worksheets` draws the numbers and words, `world` puts the tools on worksheets.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from hogwild.embedded.phrases import PHRASES, WORDS, WORDS_HELD_OUT
from hogwild.embedded.worksheets import Split, coined
from toolsets.builtin import BUILTINS
from toolsets.tool import Tool

Kind = Literal["int", "number", "text", "date", "list"]

SCHEMAS: Final[dict[Kind, dict[str, Any]]] = {
    "int": {"type": "integer"},
    "number": {"type": "number"},
    "text": {"type": "string"},
    "date": {"type": "string", "format": "date"},
    "list": {"type": "array", "items": {"type": "number"}},
}
SHELF_SIZE: Final = 240
"""Invented tools are made until a shelf has so many; with the built-in and the standard tools beside it, a library
has more than 300."""


@dataclass(frozen=True, slots=True)
class Made:
    """A tool, and how it is asked for. noun: with a slot for each parameter. base: the built-in tool that it is under
    another name, empty for others; renamed: from that tool's parameters to this one's. means: its words mean something,
    it is not an invented one."""

    tool: Tool
    noun: str
    kinds: dict[str, Kind] = field(hash=False)
    base: str = ""
    renamed: dict[str, str] = field(default_factory=dict, hash=False)
    means: bool = True


@dataclass(frozen=True, slots=True)
class _Formula:
    name: str
    description: str
    noun: str
    kinds: dict[str, Kind]
    function: Callable[..., Any]


def _formula(name: str, description: str, noun: str, function: Callable[..., Any], **kinds: Kind) -> _Formula:
    return _Formula(name, description, noun, kinds, function)


def _whole(value: float) -> float | int:
    value = round(value, 4)
    return int(value) if value == int(value) else value


# fmt: off
FORMULAS: Final = (
    _formula("rectangle_area", "Area of a rectangle", "the area of a rectangle of width {width} and height {height}", lambda width, height: _whole(width * height), width="number", height="number"),
    _formula("rectangle_perimeter", "Perimeter of a rectangle", "the perimeter of a rectangle of width {width} and height {height}", lambda width, height: _whole(2 * (width + height)), width="number", height="number"),
    _formula("box_volume", "Volume of a box", "the volume of a box of length {length}, width {width} and height {height}", lambda length, width, height: _whole(length * width * height), length="number", width="number", height="number"),
    _formula("average_speed", "Average speed of a trip", "the average speed of a trip of distance {distance} and time {time}", lambda distance, time: _whole(distance / time), distance="number", time="int"),
    _formula("simple_interest", "Simple interest of a loan", "the simple interest of a loan with principal {principal}, rate {rate} and years {years}", lambda principal, rate, years: _whole(principal * rate * years / 100), principal="int", rate="number", years="int"),
    _formula("square", "Square of a number", "the square of {n}", lambda n: _whole(n * n), n="number"),
    _formula("half_of", "Half of a number", "half of {value}", lambda value: _whole(value / 2), value="number"),
    _formula("double_of", "Double of a number", "the double of {value}", lambda value: _whole(2 * value), value="number"),
    _formula("list_total", "Total of a list", "the total of the list {values}", lambda values: _whole(sum(values)), values="list"),
    _formula("list_largest", "Largest entry of a list", "the largest entry of the list {values}", lambda values: _whole(max(values)), values="list"),
    _formula("list_length", "Number of entries of a list", "the number of entries of the list {values}", lambda values: len(values), values="list"),
    _formula("year_of", "Year of a date", "the year of the date {day}", lambda day: int(str(day)[:4]), day="date"),
    _formula("month_of", "Month number of a date", "the month number of the date {day}", lambda day: int(str(day)[5:7]), day="date"),
    _formula("first_letter", "First letter of a word", "the first letter of the word {word}", lambda word: word[:1], word="text"),
    _formula("repeat_word", "Word written several times", "the word {word} written {times} times", lambda word, times: word * min(times, 4), word="text", times="int"),
    _formula("join_words", "Two words joined", "the words {left} and {right} joined", lambda left, right: left + right, left="text", right="text"),
    _formula("fuel_cost", "Fuel cost of a drive", "the fuel cost of a drive with litres {litres} and price {price}", lambda litres, price: _whole(litres * price), litres="number", price="number"),
    _formula("seat_count", "Seats of a hall", "the seats of a hall with rows {rows} and seats {seats}", lambda rows, seats: rows * seats, rows="int", seats="int"),
    _formula("body_mass_index", "Body mass index of a person", "the body mass index of a person of weight {weight} and height {height}", lambda weight, height: _whole(weight / (height * height)), weight="number", height="int"),
    _formula("vat_amount", "Value added tax of a price", "the value added tax of the price {price} at rate {rate}", lambda price, rate: _whole(price * rate / 100), price="number", rate="number"),
    _formula("clock_minutes", "Minutes of a duration", "the minutes of a duration of hours {hours} and minutes {minutes}", lambda hours, minutes: 60 * hours + minutes, hours="int", minutes="int"),
    _formula("absolute_value", "Absolute value of a number", "the absolute value of {n}", lambda n: abs(n), n="number"),
)
FORMULAS_HELD_OUT: Final = (
    _formula("triangle_area", "Area of a triangle", "the area of a triangle of base {base} and height {height}", lambda base, height: _whole(base * height / 2), base="number", height="number"),
    _formula("cube_volume", "Volume of a cube", "the volume of a cube of edge {edge}", lambda edge: _whole(edge**3), edge="number"),
    _formula("cube", "Cube of a number", "the cube of {x}", lambda x: _whole(x**3), x="number"),
    _formula("triple_of", "Triple of a number", "the triple of {amount}", lambda amount: _whole(3 * amount), amount="number"),
    _formula("list_smallest", "Smallest entry of a list", "the smallest entry of the list {entries}", lambda entries: _whole(min(entries)), entries="list"),
    _formula("list_range", "Range of a list", "the range of the list {entries}", lambda entries: _whole(max(entries) - min(entries)), entries="list"),
    _formula("day_of_month", "Day of the month of a date", "the day of the month of the date {date}", lambda date: int(str(date)[8:10]), date="date"),
    _formula("last_letter", "Last letter of a word", "the last letter of the word {term}", lambda term: term[-1:], term="text"),
    _formula("wall_paint", "Paint for a wall", "the paint for a wall of area {area} with coats {coats}", lambda area, coats: _whole(area * coats / 10), area="number", coats="int"),
    _formula("wages", "Wages of a worker", "the wages of a worker with hours {hours} and pay {pay}", lambda hours, pay: _whole(hours * pay), hours="number", pay="number"),
    _formula("density", "Density of a body", "the density of a body of mass {mass} and volume {volume}", lambda mass, volume: _whole(mass / volume), mass="number", volume="int"),
    _formula("score_ratio", "Share of right answers", "the share of right answers with right {right} of total {total}", lambda right, total: _whole(right / total), right="int", total="int"),
)
# fmt: on

_STARTS = [
    "ba",
    "be",
    "bi",
    "bo",
    "du",
    "fa",
    "fe",
    "ga",
    "gi",
    "ka",
    "ke",
    "lo",
    "lu",
    "ma",
    "mi",
    "na",
    "ne",
    "po",
    "ra",
    "ri",
    "sa",
    "so",
    "ta",
    "te",
    "vi",
    "za",
]
_MIDDLES = [
    "lan",
    "mer",
    "din",
    "ras",
    "nor",
    "vel",
    "tim",
    "gor",
    "pel",
    "sun",
    "bas",
    "kel",
    "mon",
    "rid",
    "zan",
    "fer",
]
_STARTS_HELD_OUT = [
    "ce",
    "cu",
    "da",
    "di",
    "fo",
    "fu",
    "ha",
    "hu",
    "jo",
    "ju",
    "ko",
    "ly",
    "nu",
    "pe",
    "pu",
    "ro",
    "sy",
    "tu",
    "va",
    "wo",
]
_MIDDLES_HELD_OUT = [
    "bran",
    "cho",
    "dril",
    "fex",
    "glim",
    "hest",
    "jur",
    "klop",
    "mup",
    "nax",
    "plin",
    "quor",
    "stev",
    "trum",
    "wix",
    "yol",
]


def make_shelf(seed: int, split: Split = "train", size: int = SHELF_SIZE, words: int = 0) -> list[Made]:
    """The shelf of a seed: the same arguments always give the same tools; no two have one name.

    words: all tools of a training shelf share so many, as those of the held-out one do, so that what differs in one word
    only ("envelope with tadpole", "envelope with avocado") has to be told apart; 0: each tool has words of its own.
    """
    rng = random.Random(f"shelf:{split}:{seed}")
    held_out = split == "held_out"
    shared = WORDS_HELD_OUT if held_out else _some_words(rng, words)
    formulas = FORMULAS_HELD_OUT if held_out else FORMULAS
    shelf = [_of_formula(formula, rng) for formula in formulas]
    shelf += [_renamed(base, rng, held_out, shared) for base in BUILTINS]
    names = {made.tool.name for made in shelf} | set(BUILTINS)
    while len(shelf) < size:
        made = _invented(rng, held_out, shared)
        if made.tool.name not in names:
            names.add(made.tool.name)
            shelf.append(made)
    return shelf


def schema_of(kinds: dict[str, Kind]) -> dict[str, Any]:
    """The JSON Schema of parameters of these kinds, in this order."""
    properties = {name: dict(SCHEMAS[kind]) for name, kind in kinds.items()}
    return {"type": "object", "properties": properties, "required": list(kinds), "additionalProperties": False}


def _made(name: str, description: str, noun: str, kinds: dict[str, Kind], function: Callable[..., Any]) -> Made:
    tool = Tool(name, description, schema_of(kinds), function, "value", idempotent=True)
    return Made(tool, noun, kinds)


def _of_formula(formula: _Formula, rng: random.Random) -> Made:
    kinds = list(formula.kinds.items())
    rng.shuffle(kinds)
    return _made(formula.name, formula.description, formula.noun, dict(kinds), formula.function)


def _renamed(base: str, rng: random.Random, held_out: bool, shared: tuple[str, ...]) -> Made:
    """A built-in tool with another name, description, parameter names and parameter order.

    Parameters of one type keep their order: nothing else would tell which of two numbers is taken from the other.
    """
    tool, bank = BUILTINS[base], PHRASES[base]
    properties = list(tool.parameters["properties"].items())
    rng.shuffle(properties)
    names = list(tool.parameters["properties"])
    for kind in ("integer", "number", "string"):
        places = [at for at, (_, schema) in enumerate(properties) if schema["type"] == kind]
        ordered = sorted((properties[at] for at in places), key=lambda one: names.index(one[0]))
        for at, one in zip(places, ordered, strict=True):
            properties[at] = one
    words = rng.sample(shared, len(properties)) if shared else _some_words(rng, 6)[: len(properties)]
    renamed = {old: new for (old, _), new in zip(properties, words, strict=True)}

    def function(**given: Any) -> Any:
        return tool.function(**{old: given[new] for old, new in renamed.items()})

    schema = {
        **tool.parameters,
        "properties": {renamed[old]: schema for old, schema in properties},
        "required": [renamed[old] for old, _ in properties],
    }
    name = bank.names[-1] if held_out else rng.choice(bank.names[:-1])
    description = bank.descriptions[-1] if held_out else rng.choice(bank.descriptions[:-1])
    readers = {renamed[old]: reader for old, reader in tool.readers.items()}
    shown = replace(
        tool, name=name, description=description, parameters=schema, function=function, readers=readers, examples=()
    )
    return Made(shown, "", {}, base, renamed)


def _invented(rng: random.Random, held_out: bool, shared: tuple[str, ...]) -> Made:
    words = shared or _some_words(rng, 6)
    kinds = _kinds(rng, words)
    quality, thing, owner = rng.sample(words, 3)
    form = rng.randrange(3)
    description = (
        f"{quality.capitalize()} {thing} of the {owner}",
        f"{thing.capitalize()} with {quality}",
        f"{thing.capitalize()} {quality} number",
    )[form]
    asked = [f"{name} {{{name}}}" for name in kinds]
    rng.shuffle(asked)
    listing = asked[0] if len(asked) == 1 else f"{', '.join(asked[:-1])} and {asked[-1]}"
    noun = f"the {description.lower()} for {listing}"
    made = _made(_name(rng, held_out, thing), description, noun, kinds, _computes(rng, list(kinds)))
    return replace(made, means=False)


def _some_words(rng: random.Random, num: int) -> tuple[str, ...]:
    """Different words, most of them coined, so that reading does not rest on words that are known."""
    words: dict[str, None] = {}
    while len(words) < num:
        words[rng.choice(WORDS) if rng.random() < 0.3 else coined(rng)] = None
    return tuple(words)


def _kinds(rng: random.Random, words: tuple[str, ...]) -> dict[str, Kind]:
    names = rng.sample(words, rng.choice((1, 2, 2, 3)))
    kinds: list[Kind] = rng.choices(
        ["int", "number", "text", "date", "list"], weights=[0.3, 0.3, 0.2, 0.1, 0.1], k=len(names)
    )
    return dict(zip(names, kinds, strict=True))


def _name(rng: random.Random, held_out: bool, thing: str) -> str:
    starts, middles = (_STARTS_HELD_OUT, _MIDDLES_HELD_OUT) if held_out else (_STARTS, _MIDDLES)
    made = rng.choice(starts) + rng.choice(middles)
    if not held_out and rng.random() < 0.7:
        made = coined(rng)
    form = rng.random()
    if form < 0.4:
        return made + rng.choice(middles)
    if form < 0.7:
        return f"{thing}_{made}"
    return f"{rng.choice(('get', 'find', 'calc', 'ask'))}_{made}"


def _computes(rng: random.Random, names: list[str]) -> Callable[..., Any]:
    """What an invented tool computes: a weighted sum of whatever it is given, texts and lists by their length."""
    weights = {name: rng.randint(1, 9) for name in names}

    def weigh(**given: Any) -> float | int:
        return _whole(sum(weights[name] * _size(value) for name, value in given.items()))

    return weigh


def _size(value: Any) -> float:
    if isinstance(value, int | float):
        return value
    if isinstance(value, list):
        return sum(value)
    return len(str(value))
