"""Your own problems, solved and judged: what counts as right, rows that lead to runs, comparisons, and bad input.

In: the embedded model. Out: evaluations, in Python and on the command line. Neighbours: `workbench.evaluate_problems`;
`tests/toolsets/making` for files of problems and for when two answers are the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from memory.effects import Effect
from toolsets.making.problems import Problem
from workbench import Workbench
from workbench import events as ev
from workbench.cli import app
from workbench.errors import UsageError, WorkbenchError
from workbench.evaluate_problems import Evaluation, Judged, holds, is_right

PROBLEMS: list[tuple[str, Any]] = [
    ("What is 15 percent of 240?", 36),
    ("Spell the word lantern backwards.", "nretnal"),
    ("1. Is 97 a prime number?\n2. What is the gcd of 84 and 126?", ["yes", 42]),
    ("What is 17 + 25?", "43"),  # a wrong answer is in the table
]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    with Workbench(data_dir=tmp_path_factory.mktemp("data"), memory="none", workers=1) as made:
        yield made


@pytest.fixture(scope="module")
def found(bench: Workbench) -> Evaluation:
    return bench.evaluate(PROBLEMS, at_once=3)


def test_each_problem_is_judged_by_value(found: Evaluation) -> None:
    assert [row.score for row in found] == [1.0, 1.0, 1.0, 0.0]
    value, low, high = found.right
    assert value == 0.75
    assert low < 0.75 < high
    assert [row.question for row in found.wrong] == ["What is 17 + 25?"]


def test_each_row_leads_to_a_run_of_the_log(found: Evaluation, bench: Workbench) -> None:
    for row in found:
        summary = bench.log.summary(row.run)
        assert (summary.steps, summary.tokens, summary.answer) == (row.steps, row.tokens, row.answer)
        assert min(row.steps, row.calls, row.wall_s) > 0


def test_figures_are_means_of_a_problem(found: Evaluation) -> None:
    told = json.loads(json.dumps(found.to_json()))
    assert (told["problems"], told["right"], told["failed"]) == (4, 0.75, 0)
    assert told["tokens"] == round(sum(row.tokens for row in found) / 4, 2)
    assert found.summary in str(found)
    assert "0.750 right" in found.summary
    one = Judged("What is 1 + 1?", "2", "2", 1.0, "run", "solved", 1, 1, 1, 0.1, "")
    assert Evaluation((one,), {}).summary.endswith("1 step, 1 token and 1 call a problem")


def test_a_check_of_your_own_sees_the_run_and_gives_a_score(bench: Workbench) -> None:
    def by_calls(run: Any, problem: Problem) -> float:
        assert problem.answer == "36"
        return 1 / (1 + sum(event.kind == "call_finished" for event in run.events()))

    assert bench.evaluate(PROBLEMS[:1], check=by_calls).rows[0].score == 0.5


def test_a_check_that_fails_costs_its_problem_only(bench: Workbench) -> None:
    def broken(run: Any, problem: Problem) -> bool:
        if problem.answer == "36":
            raise KeyError("x")
        return 3 if problem.answer == "nretnal" else True  # type: ignore[return-value]

    first, second, third = bench.evaluate(PROBLEMS[:3], check=broken)
    assert "The check failed: KeyError" in first.error
    assert "a score from 0 to 1; it gave 3" in second.error
    assert (first.score, second.score, third.score) == (0.0, 0.0, 1.0)


def test_settings_are_those_of_a_run_and_told(bench: Workbench, found: Evaluation) -> None:
    silent = bench.evaluate(PROBLEMS[:2], max_tokens=1)
    assert [row.score for row in silent] == [0.0, 0.0]
    assert silent.settings == {"max_tokens": 1}
    effect = silent.against(found)
    assert (effect.cases, effect.rate_with, effect.rate_without, effect.worse) == (2, 0.0, 1.0, 2)
    with pytest.raises(UsageError, match="no problem in common"):
        silent.against(Evaluation(found.rows[2:], {}))
    with pytest.raises(UsageError, match="no setting 'max_token'"):
        bench.evaluate(PROBLEMS[:1], max_token=1)


def test_a_call_that_asks_waits_for_nobody(bench: Workbench) -> None:
    from toolsets.policy import CallPolicy

    (row,) = bench.evaluate(PROBLEMS[:1], policy=CallPolicy(approval=True), max_tokens=100)
    ends = [e.payload.status for e in bench.log.events(row.run) if isinstance(e.payload, ev.CallFinished)]
    assert set(ends) == {"not_executed"}


def test_an_interruption_stops_the_runs_that_go_on(bench: Workbench) -> None:
    def enough(done: int) -> None:
        raise KeyboardInterrupt

    before = {summary.run_id for summary in bench.log.runs()}
    with pytest.raises(KeyboardInterrupt, match="after 1 of 2 problems") as stopped:
        bench.evaluate(PROBLEMS[2:], at_once=2, progress=enough)
    (row,) = stopped.value.evaluation
    assert (row.question, row.score) == (PROBLEMS[2][0], 1)
    begun = [run.run_id for run in bench.log.runs() if run.run_id not in before]
    assert len(begun) == 2
    for run_id in begun:
        list(bench.log.follow(run_id, timeout_s=30))  # ends, because the run does


BAD: list[tuple[Any, str]] = [
    ([], "no problems"),
    ([("What?",)], "a question and its answer"),
    ([("What?", None)], "no answer to judge by"),
    ([{"question": "What?"}], "no answer to judge by"),
    ([{"answer": "4"}], "a question and its answer"),
    ("nowhere.txt", "neither .csv nor .jsonl"),
]


@pytest.mark.parametrize(("given", "says"), BAD, ids=str)
def test_what_are_no_problems_is_said_in_a_sentence(bench: Workbench, given: Any, says: str) -> None:
    with pytest.raises(Exception, match=says.replace(".", r"\.")) as refused:
        bench.evaluate(given)
    assert isinstance(refused.value, WorkbenchError) or "ToolsetError" in str(type(refused.value).__mro__)
    with pytest.raises(UsageError, match="at_once"):
        bench.evaluate(PROBLEMS, at_once=0)


class Ended:
    """What a check reads of a run."""

    def __init__(self, answer: str, *items: str | None) -> None:
        self.answer, self.items = answer, [{"answer": one} for one in items]


@pytest.mark.parametrize(
    ("run", "answer", "right", "held"),
    [
        (Ended("It is 42."), "42", False, True),
        (Ended("42."), "42.0", True, False),
        (Ended("1: 42", "42"), "42", True, True),
        (Ended("1: 42\n2: yes", "42", "yes"), '["42", "Yes"]', True, False),
        (Ended("1: 42\n2: yes", "42", None), '["42", "Yes"]', False, False),
        (Ended("1: 42\n2: yes", "42", "yes"), "[42]", False, False),
        (Ended("Eiffel\n tower."), "the eiffel tower", False, False),
        (Ended("The  Eiffel\ntower"), "eiffel tower", False, True),
        (Ended("It is 420."), "42", False, False),
    ],
)
def test_right_is_by_value_and_item_and_holding_by_letters(run: Any, answer: str, right: bool, held: bool) -> None:
    assert is_right(run, Problem("", answer)) is right
    assert holds(run, Problem("", answer)) is held


def test_a_hostile_text_is_shown_as_text() -> None:
    row = Judged("<script>x</script>\x1b[2J", "<b>", "<img>", 0.0, "r1", "solved", 1, 2, 3, 0.1, "")
    shown = Evaluation((row,), {})
    assert "<script" not in shown._repr_html_()
    assert "&lt;script" in shown._repr_html_()
    assert "\x1b" not in str(shown)


def test_the_command_line_reads_a_file_of_problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_DATA_DIR", str(tmp_path / "data"))
    file = tmp_path / "mine.csv"
    file.write_text('question,answer\nWhat is 15 percent of 240?,36\n"What is 17 + 25?",41\n')
    done = CliRunner().invoke(app, ["eval", "problems", str(file), "--workers", "1", "--memory", "none", "--json"])
    told = json.loads(done.stdout)
    assert (told["problems"], told["right"]) == (2, 0.5)
    assert [row["answer"] for row in told["rows"]] == ["1: 36", "1: 42"]


def test_an_effect_reads_as_settings_that_helped_or_hurt(found: Evaluation) -> None:
    assert isinstance(found.against(found), Effect)
    assert str(found.against(found)).startswith("unclear")
