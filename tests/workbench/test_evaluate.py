"""What `workbench eval worksheets` reports, held to worksheets whose solutions the test has written itself.

In: generated worksheets, and scripted models that answer them rightly, wrongly, twice or never. Out: the report's
figures. The embedded model runs here too, for the shape of its report alone. Neighbours: `workbench.evaluate`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[1] / "hogwild"))

from scripted_model import WORDS, save

from hogwild import Engine
from hogwild.embedded.worksheets import Worksheet, make_worksheet
from workbench import evaluate
from workbench.evaluate import evaluate_worksheets
from workbench.models import load_engine

KEYS = ["worksheets", "items_correct", "worksheets_correct", "duplicated_claims", "steps", "tokens", "wall_s"]
FRACTIONS = KEYS[1:4]
TWO_ITEMS = (2, 2)
LIST = {**WORDS, "closing_part": "Joint answer, {first} to {last}:\n"}


def sheet(seed: int = 0) -> Worksheet:
    return make_worksheet(seed, "held_out", num_items=TWO_ITEMS, all_tools=True)


def right(number: int) -> str:
    item = sheet().items[number - 1]
    return "no result" if item.failed else str(item.answer)


def scripted(folder: Path, *chains: Sequence[str]) -> Engine:
    return Engine.from_pretrained(save(folder, *chains, words=LIST, max_positions=8192))


def closing(first: str, second: str) -> tuple[Sequence[str], ...]:
    """What two workers write when they are asked for their part of the joint answer."""
    return (["Joint answer, 1 to 1:\n", f"1: {first}\n"], ["Joint answer, 2 to 2:\n", f"2: {second}\n"])


def report(engine: Engine, seeds: range = range(1), **how: Any) -> dict[str, Any]:
    found = evaluate_worksheets(engine, seeds, items=TWO_ITEMS, **how)
    assert list(found) == KEYS
    assert all(0.0 <= found[name] <= 1.0 for name in FRACTIONS)
    return found


def test_right_answers_are_counted(tmp_path: Path) -> None:
    engine = scripted(
        tmp_path, ["# Alice\n", "I take 1: x.\n\n"], ["# Bob\n", "I take 2: y.\n\n"], *closing(right(1), right(2))
    )
    found = report(engine)
    assert (found["items_correct"], found["worksheets_correct"], found["duplicated_claims"]) == (1.0, 1.0, 0.0)
    assert found["worksheets"] == 1
    # Both are fed the header and decode a claim, feed it and end; then the same with the answer.
    assert (found["steps"], found["tokens"]) == (4.0, 4.0)
    assert engine.cache.num_tokens == 0


def test_a_wrong_answer_and_an_item_claimed_twice_are_counted(tmp_path: Path) -> None:
    engine = scripted(
        tmp_path,
        ["# Alice\n", "I take 1: x.\n\n"],
        ["# Bob\n", "I take 1: y.\n\n", "I take 1 again.\n\n"],
        *closing(right(1), "something else"),
    )
    found = report(engine)
    assert (found["items_correct"], found["worksheets_correct"], found["duplicated_claims"]) == (0.5, 0.0, 0.5)


def test_one_worker_that_repeats_itself_has_claimed_nothing_twice(tmp_path: Path) -> None:
    engine = scripted(tmp_path, ["# Alice\n", "I take 1: x.\n\n", "I take 1 again.\n\n"])
    assert report(engine, workers=1)["duplicated_claims"] == 0.0


def test_answers_to_another_worksheet_are_wrong(tmp_path: Path) -> None:
    engine = scripted(tmp_path, ["# Alice\n", "I take 1: x.\n\n"], *closing(right(1), right(2)))
    found = report(engine, range(1, 4))
    assert found["worksheets"] == 3
    assert found["worksheets_correct"] == 0.0


@pytest.mark.parametrize("layout", ["contiguous", "interleaved", "combined", "independent"])
@pytest.mark.parametrize("workers", [1, 3])
def test_workers_that_never_end_are_ended(
    workers: int, layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("Alice", "Bob", "Carol")
    engine = scripted(tmp_path, *([f"# {name}\n", f"{name}, ", f"{name}, "] for name in names))
    monkeypatch.setattr(evaluate, "STEP_LIMIT", 20)
    found = report(engine, range(2), workers=workers, layout=layout)
    assert (found["worksheets"], found["items_correct"]) == (2, 0.0)
    assert engine.cache.num_tokens == 0


def test_more_worksheets_than_run_at_once_are_all_counted_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "AT_ONCE", 2)
    told: list[int] = []
    engine = scripted(tmp_path, ["# Alice\n", "Nothing."])
    assert report(engine, range(5), progress=told.append)["worksheets"] == 5
    assert told == [1, 2, 3, 4, 5]


def test_no_worksheets_give_a_report_of_nothing(tmp_path: Path) -> None:
    engine = scripted(tmp_path, ["# Alice\n", "Nothing."])
    assert report(engine, range(0)) == dict.fromkeys(KEYS, 0.0) | {"worksheets": 0}


def test_the_figures_are_the_same_however_many_worksheets_share_a_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = scripted(tmp_path, ["# Alice\n", "I take 1: x.\n\n"], *closing(right(1), right(2)))
    together = report(engine, range(4))
    monkeypatch.setattr(evaluate, "AT_ONCE", 1)
    alone = report(engine, range(4))
    assert {**together, "wall_s": 0} == {**alone, "wall_s": 0}


@pytest.mark.parametrize(("workers", "layout"), [(1, "contiguous"), (2, "contiguous"), (2, "independent")])
def test_the_embedded_model_gives_a_report(workers: int, layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "STEP_LIMIT", 120)
    found = report(load_engine("embedded"), range(2), workers=workers, layout=layout)
    assert found["worksheets"] == 2
    assert 0 < found["steps"] <= 121
    assert found["tokens"] > 0
    assert found["wall_s"] >= 0
    if workers == 1:
        assert found["duplicated_claims"] == 0.0
