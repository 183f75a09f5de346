"""Worksheets of every kind: plans, second rounds, unseen tools, concepts, answers that build on answers, refusals.

In: a seed, a split, a `Scope` (what may occur how often). Out: a `Worksheet`. The same arguments always give the same
worksheet. Below: `worksheets` (values, numbers, words), `plans`, `hints`, `made_tools`, `outside`. Above: `lessons`
(training), and the evaluation sets of `workbench.evaluate_sets`.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final

from hogwild.embedded.hints import Concept, draw_hinted, misleading, rendered
from hogwild.embedded.made_tools import Kind, Made, make_shelf
from hogwild.embedded.outside import REFUSAL, SAYS, add_line, draw_outside, skip_line
from hogwild.embedded.phrases import FRAMES_HELD_OUT, FRAMES_TRAIN, PHRASES
from hogwild.embedded.plans import SHAPES, Broken, Task, draw_plan, draw_rounds
from hogwild.embedded.typed import draw_several, draw_sum
from hogwild.embedded.worksheets import MAX_RESULT, Call, Draw, Item, Line, Split, Worksheet, hurried, single
from toolsets.builtin import BUILTINS
from toolsets.direct import run_direct
from toolsets.parse import ToolCall
from toolsets.standard import STANDARD
from toolsets.tool import Tool

SHELVES: Final = 64
"""Training draws from so many shelves; a held-out worksheet from the one held-out shelf of seed 0."""
WORDY: Final = 32
"""Where tools share words, so many neighbouring worksheets draw from one shelf, and there is no end of shelves."""


INVENTED_AGAIN: Final = 0.6
"""How often training draws again where an invented tool came up."""


@dataclass(frozen=True)
class Scope:
    """What may occur on a worksheet.

    items: least and most. kinds: weights of call, hasty, plan, rounds, sum, several, uses, concept, made, absent,
    refusal. shapes: of plans. listed: weights of how tools are listed: `all` built-in ones in their order, `few`,
    or the needed among `eight`. given: the share of worksheets that show the concepts their questions need.
    misleading: least and most concepts beside those. lines: the share of worksheets in which a person says
    something on the way. shelf: the split whose made tools occur, by default the worksheet's own; so held-out
    wordings can be asked of tools that training shows. words: how many words the tools of a training shelf share,
    as in `make_shelf`. near: the share of worksheets whose eight tools are, beside the needed ones, those that
    share most words with the questions, as retrieval lists them.
    """

    items: tuple[int, int] = (2, 7)
    kinds: Mapping[str, float] = field(default_factory=lambda: {"call": 1.0})
    shapes: tuple[str, ...] = SHAPES
    listed: Mapping[str, float] = field(default_factory=lambda: {"all": 0.4, "few": 0.4, "eight": 0.2})
    given: float = 1.0
    misleading: tuple[int, int] = (0, 0)
    lines: float = 0.0
    shelf: Split | None = None
    words: int = 0
    near: float = 0.0


def make_sheet(seed: int, scope: Scope, split: Split = "train") -> Worksheet:
    """The worksheet of a seed."""
    return _Sheet(seed, scope, split).make()


def shelf_of(seed: int, split: Split, words: int = 0) -> tuple[Made, ...]:
    """The tools that a worksheet of this seed may draw from."""
    if split == "held_out":
        return _shelf(0, split)
    return _shelf(seed // WORDY, split, words) if words else _shelf(seed % SHELVES, split)


@lru_cache(maxsize=SHELVES + 1)
def _shelf(number: int, split: Split, words: int = 0) -> tuple[Made, ...]:
    return tuple(make_shelf(number, split, words=words))


class _Sheet:
    """One worksheet under way."""

    def __init__(self, seed: int, scope: Scope, split: Split) -> None:
        self.seed, self.scope, self.split = seed, scope, split
        self.draw = Draw(random.Random(f"world:{split}:{seed}"), split)
        self.rng = self.draw.rng
        self.shelf = shelf_of(seed, scope.shelf or split, scope.words)
        self.tools: dict[str, Tool] = {}
        self.concepts: list[Concept] = []
        self.shows_concepts = self.rng.random() < scope.given
        self.items: list[Item] = []
        self.only_made = set(scope.kinds) <= {"made", "refusal"}
        self.doubled: set[str] = set()
        self.absent_tools: set[str] = set()

    def make(self) -> Worksheet:
        kinds, weights = list(self.scope.kinds), list(self.scope.kinds.values())
        for _ in range(self.rng.randint(*self.scope.items)):
            self.items.append(self.item(self.rng.choices(kinds, weights)[0]))
        concepts = self.shown_concepts()
        tools = self.listed()
        lines = self.lines(tools) if self.rng.random() < self.scope.lines else ()
        return Worksheet(self.seed, tuple(self.items), tools, rendered(concepts), lines)

    def item(self, kind: str) -> Item:
        number = len(self.items) + 1
        if kind == "uses":
            return self.uses(number) or self.call(number)
        made: Item = getattr(self, kind)(number)
        return made

    # One method for each kind of item.

    def call(self, number: int) -> Item:
        text, name, arguments, answer, failed = self.draw.question()
        return single(number, text, self.need(name), arguments, answer, failed)

    def hasty(self, number: int) -> Item:
        """A call whose question was typed in a hurry."""
        text, name, arguments, answer, failed = self.draw.question()
        return single(number, hurried(text, self.rng), self.need(name), arguments, answer, failed, "hasty")

    def plan(self, number: int) -> Item:
        return self.planned(number, draw_plan(self.draw, self.scope.shapes), "plan")

    def sum(self, number: int) -> Item:
        return self.planned(number, draw_sum(self.draw), "sum")

    def several(self, number: int) -> Item:
        return self.planned(number, draw_several(self.draw), "several")

    def planned(self, number: int, task: Task, kind: str) -> Item:
        """An item of one round of calls."""
        says = self.says([call.tool for call in task.rounds[0]])
        return Item(number, task.question, task.answer, task.rounds, says, kind=kind)

    def rounds(self, number: int) -> Item:
        task = draw_rounds(self.draw)
        for tool in task.tools:
            self.need(tool)
        says = f"{BUILTINS[task.rounds[0][0].tool].description} first"
        return Item(number, task.question, task.answer, task.rounds, says, kind="rounds")

    def uses(self, number: int) -> Item | None:
        """A question about another item's answer; None where no item has a number for an answer."""
        numeric = [item for item in self.items if _number(item.answer) is not None and not item.needs]
        if not numeric:
            return None
        base = self.rng.choice(numeric)
        value = _number(base.answer)
        for _ in range(20):
            name = self.rng.choice(("add", "subtract", "multiply", "gcd", "remainder", "digit_sum", "is_prime"))
            arguments, shown = self.draw.arguments(name)
            slot = self.rng.choice(list(arguments))
            arguments[slot], shown[slot] = value, f"the answer of item {base.number}"
            result = run_direct(ToolCall(name, arguments, ""), BUILTINS)
            if result.status == "succeeded" and len(result.text) <= MAX_RESULT:
                question = self.framed(self.noun(name).format(**shown))
                made = single(number, question, self.need(name), arguments, result.text, False, "uses")
                return replace(made, needs=(base.number,))
        return None

    def concept(self, number: int) -> Item:
        for _ in range(50):
            hinted = draw_hinted(self.draw)
            if all(hinted.concept.cue != other.cue for other in self.concepts):
                break
        self.concepts.append(hinted.concept)
        if not self.shows_concepts:
            return Item(number, hinted.question, REFUSAL, (), SAYS, kind="concept")
        says = f"{hinted.concept.title}: {self.says([call.tool for call in hinted.calls])}"
        return Item(number, hinted.question, hinted.answer, (hinted.calls,), says, kind="concept")

    def made(self, number: int) -> Item:
        """A question for a tool of the shelf."""
        while True:
            one = self.rng.choice(self.shelf)
            # In training the few tools that mean something come more often than the many invented ones.
            if self.split == "train" and not one.means and self.rng.random() < INVENTED_AGAIN:
                continue
            # Beside its own double a built-in tool could be meant as well.
            if (one.base and not self.only_made) or one.tool.name in self.absent_tools:
                continue
            try:
                text, arguments = self.asked(one)
            except Broken:
                continue
            result = run_direct(ToolCall(one.tool.name, arguments, ""), {one.tool.name: one.tool})
            if result.status == "succeeded" and len(result.text) <= MAX_RESULT:
                self.tools[one.tool.name] = one.tool
                self.doubled.add(one.base)
                return single(number, text, one.tool, arguments, result.text, False, "made")

    def absent(self, number: int) -> Item:
        """A question for an invented tool of the shelf that is not listed: nothing else could answer it."""
        one = self.rng.choice([made for made in self.shelf if not made.means and made.tool.name not in self.tools])
        self.absent_tools.add(one.tool.name)
        return Item(number, self.asked(one)[0], REFUSAL, (), SAYS, kind="refusal")

    def refusal(self, number: int) -> Item:
        return Item(number, draw_outside(self.draw), REFUSAL, (), SAYS, kind="refusal")

    # What they are made of.

    def need(self, name: str) -> Tool:
        return self.tools.setdefault(name, STANDARD[name])

    def says(self, names: Sequence[str]) -> str:
        first, *others = [self.need(name).description for name in names]
        return first + "".join(f", then {one[0].lower()}{one[1:]}" for one in others)

    def asked(self, one: Made) -> tuple[str, dict[str, Any]]:
        """How a question asks for a tool of the shelf, and the arguments in the tool's own order."""
        if one.base:
            arguments, shown = self.draw.arguments(one.base)
            text = self.draw.wording(one.base, shown)
            new = {one.renamed[name]: value for name, value in arguments.items()}
            return text, {name: new[name] for name in one.tool.parameters["properties"]}
        arguments = {name: self.value(kind) for name, kind in one.kinds.items()}
        shown = {name: self.draw.shown(value, True) for name, value in arguments.items()}
        return self.framed(one.noun.format(**shown)), arguments

    def value(self, kind: Kind) -> Any:
        if kind == "int":
            return self.draw.whole(3, least=1)
        if kind == "number":
            return self.draw.number(3)
        if kind == "text":
            return self.draw.word()
        return self.draw.day() if kind == "date" else self.draw.numbers()

    def noun(self, name: str) -> str:
        bank = PHRASES[name]
        return self.rng.choice(bank.nouns_held_out if self.draw.held_out else bank.nouns_train)

    def framed(self, noun: str) -> str:
        frames = FRAMES_HELD_OUT if self.draw.held_out else FRAMES_TRAIN
        return self.draw.cased(self.rng.choice(frames).replace("{x}", noun))

    def shown_concepts(self) -> list[Concept]:
        shown = list(self.concepts) if self.shows_concepts else []
        for _ in range(self.rng.randint(*self.scope.misleading)):
            shown.append(misleading(self.draw, self.concepts))
        self.rng.shuffle(shown)
        return shown

    def listed(self) -> tuple[Tool, ...]:
        how = self.rng.choices(list(self.scope.listed), list(self.scope.listed.values()))[0]
        how = "eight" if how == "all" and self.doubled - {""} else how
        needed = list(self.tools.values())
        if how == "all":
            others = [tool for tool in needed if tool.name not in BUILTINS]
            self.rng.shuffle(others)
            return (*BUILTINS.values(), *others)
        room = self.rng.randint(0, 4) if how == "few" else max(0, 8 - len(needed))
        taken = {*self.tools, *self.doubled, *self.absent_tools}
        pool = [tool for name, tool in BUILTINS.items() if name not in taken]
        if how == "eight":
            pool = [made.tool for made in self.shelf if made.tool.name not in taken and not made.base]
            pool += [tool for name, tool in STANDARD.items() if name not in taken and len(tool.description) < 50]
        if how == "eight" and self.rng.random() < self.scope.near:
            listed = needed + self.nearest(pool)[:room]
        else:
            listed = needed + self.rng.sample(pool, min(room, len(pool)))
        self.rng.shuffle(listed)
        return tuple(listed)

    def nearest(self, pool: Sequence[Tool]) -> list[Tool]:
        """Those that share words with the questions, the more and the rarer the earlier; of equals any."""
        uses = Counter(word for tool in pool for word in _words_of(tool))
        asked = {word for item in self.items for word in _WORD.findall(item.question.lower())}
        shares = [(sum(1 / uses[word] for word in _words_of(tool) & asked), self.rng.random(), tool) for tool in pool]
        return [tool for _, _, tool in sorted(shares, key=lambda one: one[:2], reverse=True)]

    def lines(self, tools: tuple[Tool, ...]) -> tuple[Line, ...]:
        """What a person says: an item is dropped, or one is added that the listed tools can answer; at times both."""
        dropped, added = self.dropping(), self.adding(tools)
        if dropped and added and not self.draw.held_out and self.rng.random() < 0.2:
            return (*dropped, *added)
        return dropped if dropped and self.rng.random() < 0.5 else added

    def dropping(self) -> tuple[Line, ...]:
        used = {number for item in self.items for number in item.needs}
        droppable = [item.number for item in self.items if item.number not in used]
        if len(self.items) < 3 or not droppable:
            return ()
        number = self.rng.choice(droppable)
        return (Line(skip_line(self.rng, self.draw.held_out, number), "skip", number),)

    def adding(self, tools: tuple[Tool, ...]) -> tuple[Line, ...]:
        names, number = {tool.name for tool in tools if tool is BUILTINS.get(tool.name)}, len(self.items) + 1
        for _ in range(60):
            text, name, arguments, answer, failed = self.draw.question()
            if name in names and not failed:
                item = single(number, text, BUILTINS[name], arguments, answer, False)
                return (Line(add_line(self.rng, self.draw.held_out, number, text), "add", number, item),)
        return ()


@lru_cache(maxsize=4096)
def _words_of(tool: Tool) -> frozenset[str]:
    """Words that a tool is found by: of its description, its name and its parameters."""
    return frozenset(_WORD.findall(f"{tool.description} {tool.name} {' '.join(tool.parameters['properties'])}".lower()))


_WORD: Final = re.compile(r"[a-z]{3,}")


def _number(text: str) -> int | float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return int(value) if value == int(value) and "." not in text and "e" not in text else value


def needed_tools(sheet: Worksheet) -> set[str]:
    """Names of the tools that a worksheet's calls use, later added items included."""
    items = [*sheet.items, *(line.item for line in sheet.lines if line.item is not None)]
    return {call.tool for item in items for call in item.calls}


__all__ = ["Call", "Scope", "Worksheet", "make_sheet", "needed_tools", "shelf_of"]
