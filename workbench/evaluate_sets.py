"""The evaluation sets of the embedded model's world, each with what it measures and the bars that it is held to.

In: a set's name, a model, how many worksheets. Out: a `SetReport`: figures with 95 % intervals, and the scores that
they come from. All worksheets are held out: wordings, numbers, words and years that training never shows, and tools
and concepts too. Below: `evaluate` plays, `intervals` computes. Above: `evaluate_command`, `evaluate_report`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from hogwild.embedded.worksheets import Worksheet, make_worksheet
from hogwild.embedded.world import Scope, make_sheet
from hogwild.layouts import LAYOUTS
from workbench import intervals
from workbench.evaluate import Score, Trial, play
from workbench.evaluate_retrieved import HIT, packaged
from workbench.intervals import Interval

if TYPE_CHECKING:
    from hogwild import Engine

Scores: TypeAlias = Mapping[str, Sequence[Score]]
"""By the name of a set's case."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value with its 95 % interval. num: items, lines or worksheets that it comes from. bar: such as
    ">= 0.9"; empty where none is set."""

    name: str
    value: float
    low: float
    high: float
    num: int
    bar: str = ""

    @property
    def holds(self) -> bool | None:
        """Whether the value reaches its bar; None without one."""
        if not self.bar:
            return None
        sign, limit = self.bar.split()
        return self.value >= float(limit) if sign == ">=" else self.value <= float(limit)

    def to_json(self) -> dict[str, Any]:
        ends = {"value": round(self.value, 4), "low": round(self.low, 4), "high": round(self.high, 4)}
        return {"name": self.name, **ends, "n": self.num, "bar": self.bar or None, "holds": self.holds}


@dataclass(frozen=True, slots=True)
class Case:
    """One of the ways in which a set is played; `trial` makes the trial of a seed."""

    name: str
    trial: Callable[[int], Trial]


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """figures: what the scores of its cases come to."""

    cases: tuple[Case, ...]
    figures: Callable[[Scores], list[Figure]]


@dataclass(frozen=True, slots=True)
class SetReport:
    """What a set came to. speeds: sampled tokens per second of each case, of all its worksheets together."""

    set: str
    worksheets: int
    figures: tuple[Figure, ...]
    scores: Scores
    speeds: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        return {
            "set": self.set,
            "worksheets": self.worksheets,
            "figures": [figure.to_json() for figure in self.figures],
            "tokens_per_s": {name: round(speed, 1) for name, speed in self.speeds.items()},
        }


def evaluate_set(
    engine: Engine, name: str, seeds: range, progress: Callable[[int], None] = lambda _: None
) -> SetReport:
    """Play every case of a set on the worksheets of these seeds. `progress` hears how many have been played in all."""
    chosen, scores, speeds, done = SETS[name], dict[str, list[Score]](), dict[str, float](), 0
    for case in chosen.cases:
        began, base = time.perf_counter(), done
        trials = (case.trial(seed) for seed in seeds)
        scores[case.name] = list(play(engine, trials, lambda count, base=base: progress(base + count)))  # type: ignore[misc]
        speeds[case.name] = sum(one.tokens for one in scores[case.name]) / max(1e-9, time.perf_counter() - began)
        done += len(seeds)
    return SetReport(name, len(seeds), tuple(chosen.figures(scores)), scores, speeds)


# Figures.


def _counted(scores: Sequence[Score], tag: str = "") -> tuple[int, int]:
    """(right, items) of all worksheets, or of the items with this kind or tag."""
    pairs = [score.by.get(tag, (0, 0)) if tag else (score.right, score.items) for score in scores]
    return sum(right for right, _ in pairs), sum(items for _, items in pairs)


def _share(name: str, right: int, total: int, bar: str = "") -> Figure:
    return Figure(name, *intervals.share(right, total), total, bar)


def _gap(name: str, one: tuple[int, int], other: tuple[int, int], bar: str) -> Figure:
    """How much lower the first share is than the second."""
    value, low, high = intervals.difference(other, one)
    return Figure(name, value, low, high, one[1], bar)


def _correct(scores: Sequence[Score], bar: str = "", name: str = "items correct") -> Figure:
    return _share(name, *_counted(scores), bar)


def _twice(scores: Sequence[Score], bar: str = "", name: str = "items claimed twice") -> Figure:
    return _share(name, sum(one.duplicated for one in scores), sum(one.items for one in scores), bar)


def _by_tag(scores: Sequence[Score]) -> list[Figure]:
    tags = sorted({tag for score in scores for tag in score.by})
    return [_share(f"items correct: {tag}", *_counted(scores, tag)) for tag in tags]


# Sets.


def _single(seed: int) -> Trial:
    return Trial(_sheet_of((4, 6), seed))


def _plans(seed: int) -> Trial:
    sheet = make_sheet(seed, Scope((2, 4), {"plan": 0.85, "rounds": 0.15}, listed={"all": 1.0}), "held_out")
    tags = {item.number: f"{len(item.calls)} calls" for item in sheet.items if item.kind == "plan"}
    return Trial(sheet, tags=tags)


def _typed(seed: int) -> Trial:
    sheet = make_sheet(seed, Scope((2, 4), {"sum": 0.5, "several": 0.2, "hasty": 0.3}, listed={"all": 1.0}), "held_out")
    sums = {item.number: f"{len(item.calls)} operation(s)" for item in sheet.items if item.kind == "sum"}
    return Trial(sheet, tags=sums)


def _made(seen: bool) -> Callable[[int], Trial]:
    scope = Scope((4, 6), {"made": 1.0}, listed={"eight": 1.0}, shelf="train" if seen else "held_out")
    return lambda seed: Trial(make_sheet(seed, scope, "held_out"))


def _concepts(shown: bool) -> Callable[[int], Trial]:
    scope = Scope((3, 5), {"concept": 1.0}, listed={"eight": 1.0})

    def trial(seed: int) -> Trial:
        return Trial(make_sheet(seed, scope, "held_out"), concepts=None if shown else "")

    return trial


def _misled(how_many: tuple[int, int]) -> Callable[[int], Trial]:
    scope = Scope((3, 5), {"concept": 0.5, "call": 0.5}, listed={"eight": 1.0}, misleading=how_many)
    return lambda seed: Trial(make_sheet(seed, scope, "held_out"))


def _crowd(workers: int, layout: str = "contiguous") -> Callable[[int], Trial]:
    return lambda seed: Trial(_sheet_of(12, seed), workers, layout)


def _apart(layout: str) -> Callable[[int], Trial]:
    return lambda seed: Trial(_sheet_of((4, 6), seed), layout=layout)


def _lines(seed: int) -> Trial:
    return Trial(make_sheet(seed, Scope((5, 7), listed={"all": 1.0}, lines=1.0), "held_out"))


def _long(seed: int) -> Trial:
    return Trial(_sheet_of(30, seed))


def _sheet_of(items: int | tuple[int, int], seed: int) -> Worksheet:
    return make_worksheet(seed, "held_out", num_items=items, all_tools=True)


def _outside(seed: int) -> Trial:
    scope = Scope((4, 6), {"call": 0.4, "uses": 0.3, "refusal": 0.3}, listed={"all": 1.0})
    return Trial(make_sheet(seed, scope, "held_out"))


def _unseen_figures(scores: Scores) -> list[Figure]:
    seen, unseen = scores["seen"], scores["unseen"]
    return [
        _correct(seen, name="items correct, tools seen in training"),
        _correct(unseen, name="items correct, tools never seen"),
        _gap("how much lower", _counted(unseen), _counted(seen), "<= 0.03"),
    ]


def _concept_figures(scores: Scores) -> list[Figure]:
    return [
        _correct(scores["with"], ">= 0.85", "items correct, with the concepts"),
        _correct(scores["without"], "<= 0.3", "items correct, without them"),
    ]


def _misled_figures(scores: Scores) -> list[Figure]:
    misled, alone = scores["misled"], scores["alone"]
    return [
        _correct(alone, name="items correct, needed concepts alone"),
        _correct(misled, name="items correct, 2 or 3 irrelevant ones beside them"),
        _gap("how much lower", _counted(misled), _counted(alone), "<= 0.03"),
    ]


CROWDS: Final = {2: "<= 0.58", 4: "<= 0.33", 8: "<= 0.22"}
ALONE: Final = "1 worker"


def _crowd_figures(scores: Scores) -> list[Figure]:
    one = [float(score.steps) for score in scores[ALONE]]
    found = []
    for workers, bar in CROWDS.items():
        steps: Interval = intervals.ratio([float(score.steps) for score in scores[f"{workers} workers"]], one)
        found.append(Figure(f"steps of {workers} workers / of 1", *steps, len(one), bar))
    for workers in CROWDS:
        found.append(_twice(scores[f"{workers} workers"], "<= 0.02", f"items claimed twice, {workers} workers"))
    found.append(_twice(scores["independent"], name="items claimed twice, 2 workers, independent"))
    return [*found, *(_correct(each, name=f"items correct, {name}") for name, each in scores.items())]


def _layout_figures(scores: Scores) -> list[Figure]:
    twice = [_twice(each, name=f"items claimed twice, {layout}") for layout, each in scores.items()]
    return [*twice, *(_correct(each, name=f"items correct, {layout}") for layout, each in scores.items())]


def _retrieved(seed: int) -> Trial:
    return packaged().trial(seed)


def _retrieved_figures(scores: Scores) -> list[Figure]:
    (right, hits), (_, items) = _counted(scores["all"], HIT), _counted(scores["all"])
    return [
        _share("items correct, the right tool retrieved", right, hits, ">= 0.93"),
        _share("retrieval: the right tool among 8 of 300", hits, items),
        _correct(scores["all"], name="items correct, end to end"),
    ]


def _line_figures(scores: Scores) -> list[Figure]:
    each = scores["all"]
    obeyed = _share("lines obeyed", sum(one.obeyed for one in each), sum(one.in_time for one in each), ">= 0.9")
    return [obeyed, _correct(each)]


def _one(trial: Callable[[int], Trial], figures: Callable[[Scores], list[Figure]]) -> EvaluationSet:
    """A set of a single case, called all."""
    return EvaluationSet((Case("all", trial),), figures)


SETS: Final[Mapping[str, EvaluationSet]] = {
    "single": _one(_single, lambda scores: [_correct(scores["all"], ">= 0.97"), _twice(scores["all"], "<= 0.02")]),
    "plans": _one(_plans, lambda scores: [_correct(scores["all"], ">= 0.9"), *_by_tag(scores["all"])]),
    "typed": _one(_typed, lambda scores: [_correct(scores["all"], ">= 0.9"), *_by_tag(scores["all"])]),
    "unseen": EvaluationSet((Case("seen", _made(True)), Case("unseen", _made(False))), _unseen_figures),
    "retrieved": _one(_retrieved, _retrieved_figures),
    "concepts": EvaluationSet((Case("with", _concepts(True)), Case("without", _concepts(False))), _concept_figures),
    "misled": EvaluationSet((Case("alone", _misled((0, 0))), Case("misled", _misled((2, 3)))), _misled_figures),
    "crowd": EvaluationSet(
        (
            Case(ALONE, _crowd(1)),
            *(Case(f"{workers} workers", _crowd(workers)) for workers in CROWDS),
            Case("independent", _crowd(2, "independent")),
        ),
        _crowd_figures,
    ),
    "layouts": EvaluationSet(tuple(Case(layout, _apart(layout)) for layout in LAYOUTS), _layout_figures),
    "lines": _one(_lines, _line_figures),
    "long": _one(_long, lambda scores: [_correct(scores["all"], ">= 0.85"), _twice(scores["all"])]),
    "outside": _one(_outside, lambda scores: _by_tag(scores["all"])),
}
"""By the name of the command; `evaluate_command.ABOUT` says what they are about."""
