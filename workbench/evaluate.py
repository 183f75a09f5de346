"""Worksheets that a model was never trained on, solved and scored: what `workbench eval` measures with.

In: a model, `Trial`s: a worksheet, how many workers, a layout. Out: a `Score` for each, or the report of
`workbench eval worksheets`. Several worksheets share the engine's steps; each counts its own. Neighbours: `driver`,
`evaluate_sets` (which trials, which bars), `hogwild.embedded.worksheets`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hogwild.embedded.worksheets import Item, Line, Worksheet, make_worksheet
from hogwild.prompting import NAMES
from hogwild.stepping import advance
from toolsets.tool import Tool
from workbench import events as ev
from workbench.driver import Driver, Spec
from workbench.worksheet import claims_in, own_answers

if TYPE_CHECKING:
    from hogwild import Engine

AT_ONCE = 8
STEP_LIMIT = 1500
FEW, ITEM_STEPS = 8, 120
"""A worksheet of more than a few items gets so many more steps, and tokens of each worker, for each of them."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One worksheet to be solved. concepts: what the prompt shows; None for what the worksheet says. tools: what is
    offered; None for what the worksheet lists. tags: what its items are counted as, beside their kind. ended: is told
    all events of the worksheet, when it is over."""

    sheet: Worksheet
    workers: int = 2
    layout: str = "contiguous"
    concepts: str | None = None
    tools: Mapping[str, Tool] | None = None
    tags: Mapping[int, str] = field(default_factory=dict)
    ended: Callable[[Sequence[ev.Event]], object] | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """One worksheet: right answers, items, items claimed more than once, engine steps, sampled tokens.

    by: for each kind or tag, how many items came out right, of how many. obeyed: a person's lines that changed what the
    workers did, of those that came in `time`. cache_tokens: held at the end.
    """

    right: int
    items: int
    duplicated: int
    steps: int
    tokens: int
    by: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    obeyed: int = 0
    in_time: int = 0
    cache_tokens: int = 0
    seed: int = 0
    """Of the worksheet."""


class Playing:
    """A trial under way; a person's lines are said when a worker has finished its first item."""

    def __init__(self, engine: Engine, trial: Trial) -> None:
        self.trial, sheet = trial, trial.sheet
        more = ITEM_STEPS * max(0, len(sheet.items) + len(sheet.lines) - FEW)
        self.step_limit = STEP_LIMIT + more
        spec = Spec(
            sheet.text(),
            NAMES[: trial.workers],
            layout=trial.layout,
            max_tokens=1000 + more,
            concepts=sheet.concepts if trial.concepts is None else trial.concepts,
        )
        tools = {tool.name: tool for tool in sheet.tools} if trial.tools is None else trial.tools
        self._told: list[ev.Payload] = []
        self.driver = Driver(engine, spec, tools, self._told.append if trial.ended else lambda _: None)
        self.driver.open()
        self._unsaid = list(sheet.lines)
        self._said: list[tuple[Line, bool]] = []

    @property
    def over(self) -> bool:
        return self.driver.ended or self.driver.steps > self.step_limit

    def speak(self) -> None:
        """Say a line where a worker has just finished an item, as a person who watches would."""
        if not self._unsaid or self.driver.run.closing:
            return
        for name, text in self.driver.lanes.items():
            if own_answers(text) and text.endswith("\n\n"):
                line = self._unsaid.pop(0)
                self._said.append((line, line.kind == "add" or line.number not in self._claims()))
                self.driver.say(name, line.text)
                return

    def score(self) -> Score:
        sheet, given = self.trial.sheet, {item["item"]: item["answer"] for item in self.driver.outcome().items}
        dropped = {line.number for line, _ in self._said if line.kind == "skip"}
        counted = [item for item in sheet.items if item.number not in dropped]
        by: dict[str, list[bool]] = {}
        for item in counted:
            for tag in {item.kind, self.trial.tags.get(item.number, item.kind)}:
                by.setdefault(tag, []).append(is_right(item, given.get(item.number)))
        claims = self._claims()
        in_time = [line for line, fresh in self._said if fresh]
        return Score(
            right=sum(is_right(item, given.get(item.number)) for item in counted),
            items=len(counted),
            duplicated=sum(claims[item.number] > 1 for item in counted),
            steps=self.driver.steps,
            tokens=self.driver.run.sampled,
            by={tag: (sum(right), len(right)) for tag, right in by.items()},
            obeyed=sum(self._obeyed(line) for line in in_time),
            in_time=len(in_time),
            cache_tokens=self.driver.metrics()["cache_tokens"],
            seed=sheet.seed,
        )

    def tell(self) -> None:
        """What a log would have of this worksheet, told to whoever asked for it."""
        if self.trial.ended is None:
            return
        spec, outcome, task = self.driver.spec, self.driver.outcome(), self.driver.task
        tools = list(self.driver.calls.tools)
        started = ev.RunStarted(
            spec.task, list(task.items), "", "", {}, spec.seed, str(spec.layout), list(spec.workers), {}, tools
        )
        ended = ev.RunFinished(outcome.status, outcome.answer, outcome.items, outcome.metrics, outcome.error)
        name = f"worksheet-{self.trial.sheet.seed}"
        payloads = enumerate((started, *self._told, ended), start=1)
        self.trial.ended([ev.Event(name, number, 0.0, payload) for number, payload in payloads])

    def _claims(self) -> Counter[int]:
        """How many workers have claimed each item."""
        return Counter(claim for text in self.driver.lanes.values() for claim in set(claims_in(text)))

    def _obeyed(self, line: Line) -> bool:
        if line.kind == "skip":
            return line.number not in self._claims()
        answers = [own_answers(text).get(line.number) for text in self.driver.lanes.values()]
        return line.item is not None and any(is_right(line.item, answer) for answer in answers)


def is_right(item: Item, answer: str | None) -> bool:
    return answer == ("no result" if item.failed else item.answer)


def play(engine: Engine, trials: Iterable[Trial], progress: Callable[[int], None] = lambda _: None) -> Iterator[Score]:
    """The scores, in the order in which the worksheets are finished."""
    waiting, active, done = iter(trials), list[Playing](), 0
    while True:
        active += [Playing(engine, trial) for _, trial in zip(range(AT_ONCE - len(active)), waiting, strict=False)]
        if not active:
            return
        idle = {playing.driver.run: playing.driver for playing in active}
        for run, happenings, step, feeds in advance(engine, list(idle)):
            idle.pop(run).stepped(happenings, step, feeds)
        for driver in idle.values():
            driver.settle()
        for playing in active:
            playing.speak()
        for playing in [one for one in active if one.over]:
            active.remove(playing)
            score = playing.score()
            playing.tell()
            playing.driver.close()
            done += 1
            progress(done)
            yield score


def evaluate_worksheets(
    engine: Engine,
    seeds: range,
    *,
    workers: int = 2,
    layout: str = "contiguous",
    items: tuple[int, int] = (4, 6),
    progress: Callable[[int], None] = lambda _: None,
) -> dict[str, Any]:
    """The report: fractions in 0..1, `steps` and `tokens` as means per worksheet, `wall_s` for all."""
    began = time.perf_counter()
    trials = (
        Trial(make_worksheet(seed, "held_out", num_items=items, all_tools=True), workers, layout) for seed in seeds
    )
    return report_of(list(play(engine, trials, progress)), time.perf_counter() - began)


def report_of(scores: list[Score], wall_s: float) -> dict[str, Any]:
    items = sum(score.items for score in scores)
    count = max(1, len(scores))
    return {
        "worksheets": len(scores),
        "items_correct": round(sum(score.right for score in scores) / max(1, items), 4),
        "worksheets_correct": round(sum(score.right == score.items for score in scores) / count, 4),
        "duplicated_claims": round(sum(score.duplicated for score in scores) / max(1, items), 4),
        "steps": round(sum(score.steps for score in scores) / count, 2),
        "tokens": round(sum(score.tokens for score in scores) / count, 2),
        "wall_s": round(wall_s, 2),
    }
