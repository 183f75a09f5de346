"""The report of `workbench eval worksheets --report`: its plots, its page, its notebook.

In: figures as a measurement gives them, with names that try to be markup; and the embedded model for two steps. Out:
SVG, HTML, a notebook. Neighbours: `workbench.evaluate_report`, `workbench.plots`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import nbformat
import pytest
from typer.testing import CliRunner

from workbench import evaluate
from workbench.cli import app
from workbench.errors import UsageError
from workbench.evaluate_report import PARTS, learning_curve, notebook, page, plots, prepared
from workbench.evaluate_sets import SETS
from workbench.plots import BOTTOM, TOP, Bar, Point, Series, bar_plot, line_plot

EVIL = "<script>alert(1)</script>'''$x$"
FIGURE = {"name": EVIL, "value": 0.5, "low": 0.4, "high": 0.6, "n": 9, "bar": "<= 0.58", "holds": True}
DATA: dict[str, Any] = {
    "model": EVIL,
    "seeds": [0, 3],
    "sets": [{"set": "crowd", "figures": [FIGURE]}],
    "speed_up": [[1, 1.0, 1.0, 1.0], [2, 1.8, 1.7, 1.9], [8, 4.0, 3.0, 5.0]],
    "claimed_twice": [["contiguous", 0.0, 0.0, 0.02], ["independent", 0.68, 0.6, 0.7]],
    "correct": [["built-in tools", 0.94, 0.9, 0.96]],
    "curve": [{"tokens": 1000, "loss": 4.0}, {"tokens": 2000, "loss": 0.5, "call": 0.7}],
}


def drawn(svg: str, tag: str) -> list[dict[str, str]]:
    return [element.attrib for element in ElementTree.fromstring(svg).iter(f"{{http://www.w3.org/2000/svg}}{tag}")]


def test_a_bar_is_as_high_as_its_value() -> None:
    svg = bar_plot("t", "share", [Bar("half", 0.5, 0.4, 0.6), Bar("all", 1.0, 1.0, 1.0)], top=1.0)
    heights = [float(one["height"]) for one in drawn(svg, "rect") if one["fill"] != "#ffffff"]
    assert heights == [(BOTTOM - TOP) / 2, BOTTOM - TOP]


def test_points_stand_where_their_values_are_and_intervals_around_them() -> None:
    (svg,) = [line_plot("t", "x", "y", [Series("s", [Point(1, 0.0), Point(3, 2.0, 1.0, 3.0)])], top=4.0)]
    places = [(float(one["cx"]), float(one["cy"])) for one in drawn(svg, "circle")]
    assert places[0][1] == BOTTOM
    assert places[1][1] == (BOTTOM + TOP) / 2
    assert places[0][0] < places[1][0]
    (whisker,) = drawn(svg, "path")
    assert whisker["d"].startswith(f"M{places[1][0]:.1f} {BOTTOM - (BOTTOM - TOP) / 4:.1f}V")


def test_a_plot_of_nothing_says_so() -> None:
    assert "nothing was measured" in line_plot("t", "x", "y", [Series("s", [])])
    assert "nothing was measured" in plots({**DATA, "curve": []})["learning curve: loss"]


def test_a_page_is_drawn_without_scripts_and_shows_names_as_text() -> None:
    found = page(DATA)
    assert "<script" not in found
    assert "&lt;script&gt;" in found
    assert found.count("<svg") == 5
    assert "reached" in found


def test_the_notebook_shows_its_plots_unexecuted_and_draws_the_same_ones_when_executed() -> None:
    made = nbformat.reads(notebook(DATA), as_version=4)
    nbformat.validate(made)
    code = [cell for cell in made.cells if cell.cell_type == "code"]
    assert all("data:image/svg+xml;base64," in cell.outputs[0]["data"]["text/html"] for cell in code[1:])
    names: dict[str, Any] = {}
    exec(code[0].source, names)
    assert names["data"] == DATA
    shown = [eval(re.sub(r"^SVG\((.*)\)$", r"\1", cell.source), names) for cell in code[1:]]
    assert shown == list(plots(DATA).values())


def test_the_curve_of_a_training_of_several_legs_goes_on_where_the_last_leg_ended(tmp_path: Path) -> None:
    notes = [
        {"leg": 1, "tokens": 10, "loss": 2.0},
        {"leg": 1, "tokens": 30, "call": 0.5},
        {"leg": 2, "tokens": 5, "loss": 1.0},
    ]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, notes)))
    curve = learning_curve(str(tmp_path / "model"))
    assert [note["tokens"] for note in curve] == [10, 30, 35]
    assert learning_curve(str(tmp_path / "nowhere" / "model")) == []
    assert len(learning_curve("embedded")) > 100


def test_a_report_is_measured_and_written_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "STEP_LIMIT", 1)
    monkeypatch.setattr(evaluate, "ITEM_STEPS", 0)
    folder = tmp_path / "new" / "report"
    found = CliRunner().invoke(app, ["eval", "worksheets", "--seeds", "0:1", "--report", str(folder), "--json"])
    assert found.exit_code == 0
    data = json.loads(found.stdout)
    assert [one["set"] for one in data["sets"]] == list(PARTS)
    assert [name for name, *_ in data["claimed_twice"]] == [case.name for case in SETS["layouts"].cases]
    assert json.loads((folder / "report.json").read_text()) == data
    assert (folder / "report.html").read_text() == page(data)
    assert len(data["curve"]) > 100


def test_a_report_that_cannot_be_written_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be a folder"):
        prepared(tmp_path / "file")
