"""The runs of a log as a table: figures that the events tell, filters and orders, damage, and what a notebook shows.

In: runs written by hand (`staged_runs`), and one that was run. Out: rows, HTML, JSON, a DataFrame. Neighbours:
`workbench.runs_table`; `test_log.py` for what else damage does.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

sys.path.append(str(Path(__file__).parent))

from staged_runs import HOSTILE, worksheet

from workbench import Workbench
from workbench import events as ev
from workbench.cli import app
from workbench.errors import UsageError
from workbench.log import RunLog
from workbench.runs_table import COLUMNS, Runs


@pytest.fixture
def log(tmp_path: Path) -> RunLog:
    """Three runs: a hostile one that was interrupted, a usual one, and one whose call failed."""
    made = RunLog(tmp_path / "runs.sqlite3")
    stories: dict[str, list[ev.Event]] = {
        "hostile": worksheet(1, finished=False, task=HOSTILE),
        "usual": worksheet(2),
        "failing": worksheet(3, layout="combined"),
    }
    for name, events in stories.items():
        with made.open_run(name, events[0].payload.task, "embedded") as writer:  # type: ignore[union-attr]
            for event in events:
                payload = event.payload
                if name == "failing" and isinstance(payload, ev.CallFinished) and payload.call == "c2":
                    payload = ev.CallFinished("c2", "timed_out", "", "too long")
                writer.append(payload)
    return made


def test_a_table_has_the_figures_of_each_run(log: RunLog) -> None:
    runs = Runs.of(log)
    assert [row.run_id for row in runs] == ["failing", "usual", "hostile"]
    failing, usual, hostile = runs
    assert (failing.calls, failing.failed_calls, failing.prompt_tokens) == (4, 1, 40)
    assert (usual.calls, usual.failed_calls, usual.status, usual.workers) == (4, 0, "solved", 2)
    assert (usual.tokens_per_s, usual.wall_s, usual.layout, usual.parent) == (41.5, 3.2, "contiguous", None)
    assert (hostile.status, hostile.calls, hostile.damaged) == ("interrupted", 4, False)
    assert hostile.wall_s is not None


def test_runs_are_filtered_sorted_and_sliced(log: RunLog) -> None:
    runs = Runs.of(log)
    assert [row.run_id for row in runs.where(status="solved", layout="combined")] == ["failing"]
    assert [row.run_id for row in runs.where(lambda row: row.workers < 3)] == ["usual", "hostile"]
    assert [row.run_id for row in runs.search("ALERT(1)")] == ["hostile"]
    assert [row.workers for row in runs.sort("workers")] == [1, 2, 3]
    assert [row.workers for row in runs.sort("workers", reverse=True)[:2]] == [3, 2]
    for wrong in (lambda: runs.sort("speed"), lambda: runs.where(speed=3)):
        with pytest.raises(UsageError, match="no column 'speed'; they have run_id, created"):
            wrong()


def test_what_a_notebook_shows_has_every_text_escaped(log: RunLog) -> None:
    html = Runs.of(log)._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "\x1b" not in str(Runs.of(log))
    assert "There are no runs here." in Runs([])._repr_html_()
    many = Runs(list(Runs.of(log)) * 20)
    assert many._repr_html_().count("<tr>") == 51
    assert "10 more runs" in many._repr_html_()
    assert "10 more runs" in str(many)


@pytest.mark.parametrize(("kind", "unknown"), [("call_finished", "failed_calls"), ("block_opened", "prompt_tokens")])
def test_a_damaged_event_costs_one_figure_of_its_run(log: RunLog, kind: str, unknown: str) -> None:
    with closing(sqlite3.connect(log.path)) as connection, connection:
        where = "kind = ? AND run = (SELECT run FROM runs WHERE run_id = 'usual')"
        connection.execute(f"UPDATE events SET fields = substr(fields, 2) WHERE {where}", (kind,))
    failing, usual, _ = Runs.of(log)
    assert (usual.damaged, getattr(usual, unknown), usual.tokens_per_s) == (True, None, 41.5)
    assert (failing.damaged, failing.calls) == (False, 4)
    assert "solved (damaged)" in str(Runs.of(log))


def test_a_text_that_is_none_leaves_the_other_runs_readable(log: RunLog) -> None:
    with closing(sqlite3.connect(log.path)) as connection, connection:
        where = "kind = 'run_finished' AND run = (SELECT run FROM runs WHERE run_id = 'usual')"
        connection.execute(f"UPDATE events SET fields = CAST(x'7bff1b5b' || fields AS TEXT) WHERE {where}")
    failing, usual, hostile = Runs.of(log)
    assert (usual.damaged, usual.tokens_per_s, usual.steps > 0) == (True, None, True)
    assert not failing.damaged
    assert not hostile.damaged


def test_a_dataframe_needs_pandas_and_says_so(log: RunLog, monkeypatch: pytest.MonkeyPatch) -> None:
    pandas = pytest.importorskip("pandas")
    frame = Runs.of(log).to_pandas()
    assert list(frame.columns) == list(COLUMNS)
    assert frame["calls"].sum() == 12
    assert isinstance(frame["created"].iloc[0], pandas.Timestamp)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match="pip install pandas, or use to_json"):
        Runs.of(log).to_pandas()


def test_a_bench_and_the_command_line_show_the_same_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_DATA_DIR", str(tmp_path))
    with Workbench(memory="none") as bench:
        assert len(bench.runs) == 0
        run = bench.run("What is 3+4?")
        assert run.wait(60)
        child = run.fork(2)
        assert child.wait(60)
        forked, first = bench.runs
        assert (first.answer, first.tokens, first.steps) == (
            run.answer,
            bench.log.summary(run.id).tokens,
            run.metrics["steps"],
        )
        assert forked.parent == run.id
        (prompt,) = [one.payload for one in run.events() if getattr(one.payload, "role", "") == "prompt"]
        assert first.prompt_tokens == forked.prompt_tokens == len(prompt.tokens)

    def listed(*options: str) -> Any:
        done = CliRunner().invoke(app, ["runs", "list", "--json", *options])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    assert [row["run_id"] for row in listed()] == [child.id, run.id]
    assert listed()[1]["prompt_tokens"] == first.prompt_tokens
    assert [row["run_id"] for row in listed("--limit", "1")] == [child.id]
    assert [row["steps"] for row in listed("--sort", "steps", "--limit", "1")] == [max(forked.steps, first.steps)]
    assert listed("--search", "no such thing") == []
