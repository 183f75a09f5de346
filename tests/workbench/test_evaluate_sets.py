"""What the sets of `workbench eval` measure, held to models whose every word the test has written.

In: worksheets of the sets, scripted models that solve them, disobey, or see too little. Out: scores and figures.
Neighbours: `workbench.evaluate_sets`, `workbench.evaluate`, `workbench.evaluate_command`, `workbench.intervals`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

sys.path.append(str(Path(__file__).parents[1] / "hogwild"))
sys.path.append(str(Path(__file__).parents[1] / "memory"))

from hash_embedder import HashEmbedder
from scripted_model import WORDS, save

from hogwild import Engine
from hogwild.embedded.made_tools import make_shelf
from hogwild.embedded.script import call_text, plan_response
from hogwild.embedded.worksheets import Line, Worksheet, make_worksheet
from hogwild.embedded.world import Scope, make_sheet, needed_tools
from workbench import evaluate, evaluate_sets, intervals
from workbench.cli import app
from workbench.evaluate import Playing, Score, Trial, play
from workbench.evaluate_command import ABOUT
from workbench.evaluate_retrieved import HIT, MISSED, Retrieval
from workbench.evaluate_sets import SETS, Figure, evaluate_set
from workbench.models import load_engine

LIST = {**WORDS, "closing_part": "Joint answer, {first} to {last}:\n", "plan_end": "\n"}


def one_plan(seed: int) -> Worksheet:
    return make_sheet(seed, Scope((1, 1), {"plan": 1.0}, listed={"all": 1.0}), "held_out")


def played(folder: Path, trial: Trial, *chains: list[str]) -> Score:
    (score,) = play(Engine.from_pretrained(save(folder, *chains, words=LIST, max_positions=16384)), [trial])
    return score


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_several_calls_in_one_turn_are_a_plan_whose_references_the_driver_resolves(seed: int, tmp_path: Path) -> None:
    sheet = one_plan(seed)
    (item,) = sheet.items
    (calls,) = item.rounds
    assert len(calls) > 1
    assert any("$1" in str(call.arguments) for call in calls)
    last = plan_response(len(calls), calls[-1].tool, calls[-1].result) + "</tool_response>"
    score = played(
        tmp_path,
        Trial(sheet, workers=1),
        ["# Alice\n", "I take 1.\n\n", "".join(map(call_text, calls)) + "\n"],
        # Only the driver can have put this here: the results of the calls before were handed on.
        [last, f"Answer 1: {item.answer}\n\n"],
    )
    assert (score.right, score.items) == (1, 1)
    assert score.by["plan"] == (1, 1)


def test_a_plan_without_its_references_comes_out_wrong(tmp_path: Path) -> None:
    sheet = one_plan(0)
    (calls,) = sheet.items[0].rounds
    last = plan_response(len(calls), calls[-1].tool, calls[-1].result) + "</tool_response>"
    score = played(
        tmp_path,
        Trial(sheet, workers=1),
        ["# Alice\n", "I take 1.\n\n", call_text(calls[-1]) + "\n"],
        [last, f"Answer 1: {sheet.items[0].answer}\n\n"],
    )
    assert (score.right, score.items) == (0, 1)


def told_to_skip(number: int) -> Worksheet:
    sheet = make_worksheet(0, "held_out", num_items=3, all_tools=True)
    return Worksheet(0, sheet.items, sheet.tools, lines=(Line(f"Drop item {number}.", "skip", number),))


ALICE = ["# Alice\n", "I take 1.\n\n", "Answer 1: x\n\n", "I take 3.\n\n"]


def test_a_line_that_is_obeyed_counts_and_its_item_is_not_missed(tmp_path: Path) -> None:
    score = played(tmp_path, Trial(told_to_skip(3), workers=1), ALICE, ["(Drop item 3.)", "I take 2.\n\n"])
    assert (score.obeyed, score.in_time, score.items) == (1, 1, 2)


def test_a_line_that_is_not_obeyed_counts_against_the_model(tmp_path: Path) -> None:
    score = played(tmp_path, Trial(told_to_skip(3), workers=1), ALICE, ["(Drop item 3.)", "I take 3.\n\n"])
    assert (score.obeyed, score.in_time) == (0, 1)


def test_a_line_about_an_item_that_is_taken_already_comes_too_late_to_count(tmp_path: Path) -> None:
    score = played(tmp_path, Trial(told_to_skip(1), workers=1), ALICE)
    assert (score.obeyed, score.in_time) == (0, 0)


def test_an_added_item_must_be_answered_rightly(tmp_path: Path) -> None:
    sheet = next(
        sheet
        for seed in range(50)
        if (sheet := make_sheet(seed, Scope((2, 2), listed={"all": 1.0}, lines=1.0), "held_out")).lines[0].kind == "add"
    )
    (line,) = sheet.lines
    assert line.item is not None
    for answer, obeyed in ((line.item.answer, 1), (line.item.answer + "0", 0)):
        chains = (ALICE[:3], [f"({line.text})", f"Answer 3: {answer}\n\n"])
        assert played(tmp_path / str(obeyed), Trial(sheet, workers=1), *chains).obeyed == obeyed


def test_concepts_are_in_the_prompt_with_memory_and_only_then() -> None:
    engine = load_engine("embedded")
    shown, hidden = (case.trial(7) for case in SETS["concepts"].cases)
    title = shown.sheet.concepts.splitlines()[0]
    assert shown.sheet == hidden.sheet
    prompts = [Playing(engine, trial).driver.run.prompt_text() for trial in (shown, hidden)]
    assert [title in prompt for prompt in prompts] == [True, False]


def test_irrelevant_concepts_change_neither_questions_nor_needed_concepts() -> None:
    alone, misled = (case.trial(3).sheet for case in SETS["misled"].cases)
    assert [item.question for item in alone.items] == [item.question for item in misled.items]
    titles = {line for line in alone.concepts.splitlines() if line.startswith("- ")}
    more = {line for line in misled.concepts.splitlines() if line.startswith("- ")}
    assert titles < more


def test_seen_tools_come_from_the_shelf_of_training_and_unseen_ones_do_not() -> None:
    seed = 5
    of_training = {made.tool.name for made in make_shelf(seed, "train")}
    seen, unseen = (needed_tools(case.trial(seed).sheet) for case in SETS["unseen"].cases)
    assert seen <= of_training
    assert not unseen & of_training


@pytest.fixture(scope="module")
def retrieval() -> Retrieval:
    return Retrieval(HashEmbedder())


def test_the_prompt_lists_only_what_retrieval_returns_of_more_than_300_tools(retrieval: Retrieval) -> None:
    assert len(retrieval.home.library.rows("tool", states=("active",))) == len(retrieval.tools) > 300
    tags: list[str] = []
    for seed in range(4):
        trial = retrieval.trial(seed)
        assert trial.tools is not None
        assert len(trial.tools) == 8
        for item in trial.sheet.items:
            needed = {call.tool for call in item.calls}
            assert trial.tags[item.number] == (HIT if needed <= trial.tools.keys() else MISSED)
        tags += trial.tags.values()
    assert tags.count(HIT) >= 4


def test_every_set_gives_a_report_and_the_command_line_names_them_all(
    monkeypatch: pytest.MonkeyPatch, retrieval: Retrieval
) -> None:
    assert list(ABOUT) == list(SETS)
    monkeypatch.setattr(evaluate, "STEP_LIMIT", 2)
    monkeypatch.setattr(evaluate, "ITEM_STEPS", 0)
    engine = load_engine("embedded")
    monkeypatch.setattr(evaluate_sets, "packaged", lambda: retrieval)
    for name in SETS:
        told: list[int] = []
        report = evaluate_set(engine, name, range(1), told.append)
        found = json.loads(json.dumps(report.to_json()))
        assert found["set"] == name
        assert all(one["low"] <= one["value"] <= one["high"] for one in found["figures"])
        assert told == list(range(1, len(SETS[name].cases) + 1))
    assert engine.cache.num_tokens == 0


def test_a_set_is_measured_from_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "STEP_LIMIT", 2)
    found = CliRunner().invoke(app, ["eval", "plans", "--seeds", "0:2", "--json"])
    assert found.exit_code == 0
    report = json.loads(found.stdout)
    assert report["worksheets"] == 2
    assert (report["figures"][0]["bar"], report["figures"][0]["holds"]) == (">= 0.9", False)


def test_bars_are_judged_by_their_direction() -> None:
    verdicts = [Figure("", value, 0.0, 1.0, 9, bar).holds for value in (0.2, 0.3) for bar in (">= 0.3", "<= 0.2", "")]
    assert verdicts == [False, True, None, True, False, None]


def test_intervals_cover_what_they_should() -> None:
    # Wilson (1927), as in Newcombe's examples: 81 of 263 gives 0.2553 to 0.3662.
    assert intervals.share(81, 263) == pytest.approx((0.3080, 0.2553, 0.3662), abs=1e-4)
    assert intervals.share(0, 20)[:2] == (0.0, 0.0)
    # Newcombe (1998), method 10: 56/70 less 48/80 gives 0.0524 to 0.3339.
    assert intervals.difference((56, 70), (48, 80)) == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)
    value, low, high = intervals.ratio([1.0, 3.0] * 20, [4.0] * 40)
    assert (value, low < 0.5 < high) == (0.5, True)
