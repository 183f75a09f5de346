"""Worksheets: lists of questions with the calls and answers that are right; here, those of one call per question.

In: a seed and a split. Out: `Worksheet` values. Training draws from the training wordings, words and number ranges;
`held_out` draws only wordings and numbers that training never shows. `world.py` makes worksheets of every other kind
from the same values and draws.
Below: `phrases.py`, `wordings.py`, and `toolsets`, whose tools compute the answers. Above: `script.py`, `evaluate`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import lru_cache
from typing import Any, Literal

from hogwild.embedded.phrases import (
    EVERYDAY,
    FRAMES_HELD_OUT,
    FRAMES_TRAIN,
    PHRASES,
    WORDS,
    WORDS_HELD_OUT,
)
from hogwild.embedded.pieces import PIECES
from hogwild.embedded.wordings import FRAMES, WORDINGS, unfold
from toolsets.builtin import BUILTINS
from toolsets.direct import run_direct
from toolsets.parse import ToolCall
from toolsets.tool import Tool

Split = Literal["train", "held_out"]

UNFOLDED = 0.63  # of the training questions; the others are drawn from the phrase bank,
CALLED = 0.03  # or written as a call
HURRIED = 0.15  # of the training questions are typed in a hurry
WORDS_UP_TO_TWELVE = tuple("zero one two three four five six seven eight nine ten eleven twelve".split())  # noqa: SIM905
NUMBER_WORDS = {str(number): word for number, word in enumerate(WORDS_UP_TO_TWELVE)}
MAX_RESULT = 14  # characters: longer results would only teach copying
UNITS = (("km", "mi", "m", "ft"), ("kg", "lb", "g", "oz"), ("l", "gal"), ("C", "F"), ("h", "min", "s"), ("cm", "in"))
LONG_UNITS = (
    ("kilometers", "miles", "meters", "feet"),
    ("kilograms", "pounds", "grams", "ounces"),
    ("liters", "gallons"),
    ("Celsius", "Fahrenheit"),
    ("hours", "minutes", "seconds"),
    ("centimeters", "inches"),
)


@dataclass(frozen=True, slots=True)
class Call:
    """A call as a worker writes it; "$1" in its arguments is the result of the first call of the same round.

    result: the tool's rendered result. failed: it is an error.
    """

    tool: str
    arguments: dict[str, Any] = field(hash=False)
    result: str
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Item:
    """One question. kind: call, hasty, plan, rounds, sum, several, uses, concept, made or refusal; see `world.py`.

    rounds: the calls, round by round; none for a question that cannot be answered. answer: what the last call gives.
    says: what the worker says that it does, in one short sentence. needs: items whose answers it uses.
    """

    number: int
    question: str
    answer: str
    rounds: tuple[tuple[Call, ...], ...]
    says: str
    failed: bool = False
    kind: str = "call"
    needs: tuple[int, ...] = ()

    @property
    def calls(self) -> tuple[Call, ...]:
        return tuple(call for one in self.rounds for call in one)


@dataclass(frozen=True, slots=True)
class Line:
    """A person's words in mid-run, and what they change: `skip` an item, or `add` one (`item`)."""

    text: str
    kind: Literal["skip", "add"]
    number: int
    item: Item | None = None


@dataclass(frozen=True, slots=True)
class Worksheet:
    """Items, the tools that its prompt lists (some of them not needed), concepts as the prompt shows them, and what a
    person says on the way."""

    seed: int
    items: tuple[Item, ...]
    tools: tuple[Tool, ...]
    concepts: str = ""
    lines: tuple[Line, ...] = ()

    def text(self) -> str:
        """The worksheet as a person would type it."""
        return "\n".join(f"{item.number}. {item.question}" for item in self.items)


def held_out_number(n: int) -> bool:
    """Whole numbers of two to four digits that training never shows, about a fifth of each length."""
    n = abs(n)
    return 60 <= n < 70 or 30 <= n < 36 or 600 <= n < 700 or 370 <= n < 430 or 2000 <= n < 3000 or 6500 <= n < 7500


def held_out_year(year: int) -> bool:
    return year % 10 in (3, 7)


def coined(rng: random.Random) -> str:
    """A word that nobody has seen, for training: whoever learns it by heart gains nothing."""
    form = rng.random()
    if form < 0.6:  # so that no piece of a word stays unlearned
        word = "".join(rng.sample(PIECES, rng.choice((1, 2, 2, 2, 3))))[:12]
        if word not in WORDS_HELD_OUT:
            return word
    if form < 0.76:  # letters that follow one another as in words
        word = rng.choice(WORDS)[:2]
        while len(word) < 11 and (nexts := _following().get(word[-2:])) and (letter := rng.choice(nexts)):
            word += letter
        if len(word) > 2 and word not in WORDS_HELD_OUT:
            return word
    if form < 0.9:  # the beginning of one word and the end of another: cut into tokens as words are
        first, second = rng.sample(WORDS, 2)
        blend = first[: rng.randint(1, len(first))] + second[-rng.randint(1, len(second)) :]
        if blend not in WORDS_HELD_OUT and len(blend) <= 11:
            return blend
    letters = [rng.choice("bcdfghjklmnpqrstvwxz" if i % 2 else "aeiouylnrst") for i in range(10)]
    return "".join(letters[: rng.randint(3, 9)])


@lru_cache
def _following() -> dict[str, list[str]]:
    """For two letters, what comes after them in the training words; "" for an end."""
    found: dict[str, list[str]] = {}
    for word in WORDS:
        for at in range(len(word) - 1):
            found.setdefault(word[at : at + 2], []).append(word[at + 2 : at + 3])
    return found


def make_worksheet(
    seed: int,
    split: Split = "train",
    *,
    num_items: int | tuple[int, int] = (2, 8),
    all_tools: bool = False,
    renamed: float = 0.0,
) -> Worksheet:
    """The worksheet of a seed: the same arguments always give the same worksheet.

    all_tools: list all built-in tools in their usual order, as a run does. renamed: the chance that tools appear under
    other names and descriptions.
    """
    draw = Draw(random.Random(f"{split}:{seed}"), split)
    low, high = (num_items, num_items) if isinstance(num_items, int) else num_items
    questions = [draw.question() for _ in range(draw.rng.randint(low, high))]
    listed = list(BUILTINS.values()) if all_tools else draw.listed({tool for _, tool, _, _, _ in questions})
    shown = draw.rename(listed) if draw.rng.random() < renamed else {tool.name: tool for tool in listed}
    items = tuple(
        single(number, text, shown[tool], arguments, answer, failed)
        for number, (text, tool, arguments, answer, failed) in enumerate(questions, start=1)
    )
    return Worksheet(seed, items, tuple(shown[tool.name] for tool in listed))


def single(
    number: int, question: str, tool: Tool, arguments: dict[str, Any], answer: str, failed: bool, kind: str = "call"
) -> Item:
    """An item of one call."""
    call = Call(tool.name, arguments, answer, failed)
    return Item(number, question, answer, ((call,),), tool.description, failed, kind)


def hurried(text: str, rng: random.Random) -> str:
    """The same without what a person in a hurry leaves out: capitals, the last mark, articles."""
    if rng.random() < 0.7:
        text = text[0].lower() + text[1:]
    if rng.random() < 0.7:
        text = text.rstrip("?.!") or text
    if rng.random() < 0.5:
        text = re.sub(r"\b[Tt]he (?=[a-z]+ )", "", text)
    return text.replace("what's ", "whats ") if rng.random() < 0.5 else text


class Draw:
    """Draws questions, arguments and tool lists for one worksheet; the wordings of a split stay within it."""

    def __init__(self, rng: random.Random, split: Split) -> None:
        self.rng = rng
        self.held_out = split == "held_out"

    def question(self) -> tuple[str, str, dict[str, Any], str, bool]:
        """(text, tool, arguments, answer, failed), with an answer short enough to be read."""
        while True:
            tool = self.rng.choice(list(BUILTINS))
            arguments, shown = self.arguments(tool)
            result = run_direct(ToolCall(tool, arguments, ""), BUILTINS)
            failed = result.status == "failed"
            if (failed and self.rng.random() < 0.9) or (not failed and len(result.text) > MAX_RESULT):
                continue
            return self.wording(tool, shown), tool, arguments, result.text, failed

    def wording(self, tool: str, shown: dict[str, str]) -> str:
        if not self.held_out and (form := self.rng.random()) < UNFOLDED + CALLED:
            if form > UNFOLDED:
                between = self.rng.choice((",", ", "))
                return f"{tool}({between.join(shown.values())})"
            pattern = self.unfolded(tool)
            if "}th" not in pattern and self.rng.random() < 0.25:
                shown = {name: NUMBER_WORDS.get(value, value) for name, value in shown.items()}
            return self.cased(pattern.format(**shown))
        bank = PHRASES[tool]
        nouns = bank.nouns_held_out if self.held_out else bank.nouns_train
        questions = bank.questions_held_out if self.held_out else bank.questions_train
        pick = self.rng.randrange(len(nouns) + len(questions))
        if pick >= len(nouns):
            text = questions[pick - len(nouns)].format(**shown)
        else:
            # A held-out noun phrase stands in any frame, and any training phrase in a held-out frame.
            if self.held_out and self.rng.random() < 0.5:
                noun, frames = self.rng.choice(bank.nouns_train), FRAMES_HELD_OUT
            else:
                noun = nouns[pick]
                frames = FRAMES_TRAIN + FRAMES_HELD_OUT if self.held_out else FRAMES_TRAIN
            text = self.rng.choice(frames).replace("{x}", noun).format(**shown)
        return self.cased(text)

    def unfolded(self, tool: str) -> str:
        bank = WORDINGS[tool]
        pick = self.rng.randrange(len(bank.nouns) + len(bank.questions))
        if pick >= len(bank.nouns):
            return unfold(bank.questions[pick - len(bank.nouns)], self.rng)
        frame = unfold(self.rng.choice(FRAMES), self.rng)
        return frame.replace("{x}", unfold(bank.nouns[pick], self.rng))

    def cased(self, text: str) -> str:
        if not self.held_out and self.rng.random() < HURRIED:
            return hurried(text, self.rng)
        return text[0].upper() + text[1:] if self.rng.random() < 0.9 else text

    def arguments(self, tool: str) -> tuple[dict[str, Any], dict[str, str]]:
        """The arguments of a call, and how the question shows them."""
        values: dict[str, Any] = _ARGUMENTS[tool](self)
        return values, {name: self.shown(value, tool != "convert_units") for name, value in values.items()}

    def shown(self, value: Any, quotes: bool) -> str:
        if isinstance(value, list):
            texts = [str(number) for number in value]
            last = self.rng.choice((" and ", ", ", ", ")) if len(texts) > 1 else ""
            between = ", "
            if not self.held_out and self.rng.random() < 0.25:
                between = last = self.rng.choice((",", " "))
            return between.join(texts[:-1]) + last + texts[-1]
        if quotes and isinstance(value, str) and self.rng.random() < 0.3 and not value[0].isdigit():
            return f'"{value}"' if self.rng.random() < 0.6 else f"'{value}'"
        return str(value)

    def whole(self, max_digits: int = 4, least: int = 0) -> int:
        while True:
            digits = self.rng.randint(1, max_digits)
            n = self.rng.randint(10 ** (digits - 1) if digits > 1 else 0, 10**digits - 1)
            if n >= least and (n < 10 or digits > 4 or held_out_number(n) == self.held_out):
                return n

    def number(self, max_digits: int = 4) -> int | float:
        """Mostly whole, sometimes decimal or negative."""
        kind = self.rng.random()
        n = self.whole(max_digits)
        if kind < 0.15:
            places = self.rng.randint(1, 2)
            decimal = round(n + self.rng.randint(1, 10**places - 1) / 10**places, places)
            return int(decimal) if decimal == int(decimal) else decimal
        return -n if kind < 0.22 else n

    def day(self) -> str:
        while True:
            day = date(1950, 1, 1) + timedelta(days=self.rng.randrange(40000))
            if held_out_year(day.year) == self.held_out:
                return day.isoformat()

    def days_apart(self) -> dict[str, Any]:
        start = date.fromisoformat(self.day())
        while True:
            end = start + timedelta(days=self.rng.randint(1, self.rng.choice((30, 400, 2500))))
            if held_out_year(end.year) == self.held_out:
                return {"start": start.isoformat(), "end": end.isoformat()}

    def word(self) -> str:
        if self.held_out:
            return self.rng.choice(WORDS_HELD_OUT)
        kind = self.rng.random()
        return self.rng.choice(WORDS if kind < 0.15 else EVERYDAY) if kind < 0.4 else coined(self.rng)

    def letter(self, word: str) -> str:
        return self.rng.choice(word) if self.rng.random() < 0.85 else self.rng.choice("abcdefghijklmnopqrstuvwxyz")

    def numbers(self) -> list[int | float]:
        return [self.number(3) for _ in range(self.rng.randint(3, 6))]

    def units(self) -> dict[str, Any]:
        unit, to = self.rng.sample(self.rng.choice(UNITS + LONG_UNITS), 2)
        return {"value": abs(self.number(3)), "unit": unit, "to": to}

    def listed(self, needed: set[str]) -> list[Tool]:
        """The needed tools among others, in random order; sometimes all there are."""
        if self.rng.random() < 0.4:
            names = list(BUILTINS)
            if self.rng.random() < 0.3:
                self.rng.shuffle(names)
        else:
            others = [name for name in BUILTINS if name not in needed]
            extra = min(self.rng.randint(0, 4), len(others))
            names = sorted(needed) + self.rng.sample(others, extra)
            self.rng.shuffle(names)
        return [BUILTINS[name] for name in names]

    def rename(self, tools: list[Tool]) -> dict[str, Tool]:
        """Some of the tools under another name or description."""
        shown = {}
        for tool in tools:
            bank = PHRASES[tool.name]
            name = self.rng.choice(bank.names) if self.rng.random() < 0.6 else tool.name
            description = self.rng.choice(bank.descriptions) if self.rng.random() < 0.6 else tool.description
            shown[tool.name] = replace(tool, name=name, description=description)
        return shown


def _two(draw: Draw) -> dict[str, Any]:
    return {"a": draw.number(), "b": draw.number()}


def _two_whole(draw: Draw) -> dict[str, Any]:
    return {"a": draw.whole(least=2), "b": draw.whole(3, least=2)}


def _letter_in(draw: Draw) -> dict[str, Any]:
    word = draw.word()
    return {"text": word, "letter": draw.letter(word)}


_ARGUMENTS: dict[str, Callable[[Draw], dict[str, Any]]] = {
    "add": _two,
    "subtract": _two,
    "multiply": lambda draw: {"a": draw.number(4), "b": draw.number(3)},
    "divide": lambda draw: {"a": draw.number(4), "b": 0 if draw.rng.random() < 0.04 else draw.number(2)},
    "power": lambda draw: {"base": draw.whole(2, least=2), "exponent": draw.rng.randint(2, 9)},
    "percent_of": lambda draw: {"percent": abs(draw.number(2)), "value": draw.whole(4)},
    "gcd": _two_whole,
    "lcm": _two_whole,
    "remainder": _two_whole,
    "is_prime": lambda draw: {"n": draw.whole(5, least=2)},
    "digit_sum": lambda draw: {"n": draw.whole(7)},
    "days_between": lambda draw: draw.days_apart(),
    "add_days": lambda draw: {"day": draw.day(), "days": draw.whole(3, least=1)},
    "weekday": lambda draw: {"day": draw.day()},
    "reverse_text": lambda draw: {"text": draw.word()},
    "count_letter": _letter_in,
    "text_length": lambda draw: {"text": draw.word()},
    "convert_units": lambda draw: draw.units(),
    "mean": lambda draw: {"numbers": draw.numbers()},
    "median": lambda draw: {"numbers": draw.numbers()},
}
