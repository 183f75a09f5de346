"""How well a model works on worksheets that it was never trained on: `workbench eval worksheets`.

In: a model, held-out generator seeds, workers, a layout. Out: figures. Several worksheets share the engine's steps;
each counts its own. Neighbours: `driver`, `hogwild.embedded.worksheets`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hogwild.collaboration import advance
from hogwild.embedded.worksheets import Worksheet, make_worksheet
from hogwild.prompting import NAMES
from toolsets.builtin import BUILTINS
from workbench.driver import Driver, Spec
from workbench.worksheet import claims_in

if TYPE_CHECKING:
    from hogwild import Engine

AT_ONCE = 8
STEP_LIMIT = 1500


@dataclass(frozen=True, slots=True)
class Score:
    """One worksheet: right answers, items, items claimed more than once, engine steps, sampled tokens."""

    right: int
    items: int
    duplicated: int
    steps: int
    tokens: int


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
    scores: list[Score] = []
    waiting = iter(make_worksheet(seed, "held_out", num_items=items, all_tools=True) for seed in seeds)
    active: list[tuple[Worksheet, Driver]] = []
    while True:
        active += _begin(engine, waiting, AT_ONCE - len(active), workers, layout)
        if not active:
            break
        drivers = {driver.run: driver for _, driver in active}
        for run, happenings, step, feeds in advance(engine, list(drivers)):
            drivers.pop(run).stepped(happenings, step, feeds)
        for driver in drivers.values():
            driver.settle()
        for pair in [pair for pair in active if pair[1].ended or pair[1].steps > STEP_LIMIT]:
            active.remove(pair)
            scores.append(_score(*pair))
            pair[1].close()
            progress(len(scores))
    return _report(scores, time.perf_counter() - began)


def _begin(
    engine: Engine, waiting: Iterator[Worksheet], room: int, workers: int, layout: str
) -> list[tuple[Worksheet, Driver]]:
    begun = []
    for _, sheet in zip(range(room), waiting, strict=False):
        spec = Spec(sheet.text(), NAMES[:workers], layout=layout, max_tokens=1000)
        driver = Driver(engine, spec, BUILTINS, lambda _: None)
        driver.open()
        begun.append((sheet, driver))
    return begun


def _score(sheet: Worksheet, driver: Driver) -> Score:
    given = {item["item"]: item["answer"] for item in driver.outcome().items}
    right = sum(given.get(item.number) == ("no result" if item.failed else item.answer) for item in sheet.items)
    claims = [claim for text in driver.lanes.values() for claim in set(claims_in(text))]
    duplicated = sum(claims.count(item.number) > 1 for item in sheet.items)
    return Score(right, len(sheet.items), duplicated, driver.steps, driver.run.sampled)


def _report(scores: list[Score], wall_s: float) -> dict[str, Any]:
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
