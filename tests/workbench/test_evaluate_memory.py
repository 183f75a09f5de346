"""Memory measured on worksheets: what a library does to them, in pairs, and a memory that learns as they go."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

sys.path.append(str(Path(__file__).parents[1] / "hogwild"))
sys.path.append(str(Path(__file__).parents[1] / "memory"))

from hash_embedder import HashEmbedder
from scripted_model import WORDS, call, save

from hogwild import Engine
from hogwild.embedded.worksheets import make_worksheet
from workbench.cli import app
from workbench.errors import UsageError
from workbench.evaluate import Trial
from workbench.evaluate_memory import ablate, evaluate_memory
from workbench.libraries import Libraries

LIST = {**WORDS, "closing_part": "Joint answer, {first} to {last}:\n"}
ITEMS = (2, 2)
SHEET = make_worksheet(0, "held_out", num_items=ITEMS, all_tools=True)
ANSWERS = ["no result" if item.failed else item.answer for item in SHEET.items]
HINT = "write the secret word"


def scripted(folder: Path) -> Engine:
    """Solves the worksheet of seed 0, one worker, whatever the prompt holds."""
    first, second = SHEET.items
    one, two = (item.calls[0] for item in (first, second))
    chains = (
        ["# Alice\n", "First. ", call(one.tool, **one.arguments)],
        [f"<tool_response>{one.result}</tool_response>", "So.\n\nAnswer 1: x ", call(two.tool, **two.arguments)],
        [f"<tool_response>{two.result}</tool_response>", "So.\n\nAnswer 2: y"],
        ["Joint answer, 1 to 2:\n", f"1: {ANSWERS[0]}\n2: {ANSWERS[1]}\n"],
    )
    return Engine.from_pretrained(save(folder, *chains, words=LIST, max_positions=8192))


@pytest.fixture
def home(tmp_path: Path) -> Libraries:
    made = Libraries(tmp_path / "data", embedder=HashEmbedder())
    row = made.concepts.add({"situation": SHEET.items[0].question, "suggestion": HINT})
    made.concepts.approve(row.id)
    return made


def test_a_fixed_memory_is_compared_with_none_on_the_same_worksheets(tmp_path: Path, home: Libraries) -> None:
    report = evaluate_memory(
        scripted(tmp_path / "model"), range(1), "fixed", workers=1, items=ITEMS, data_dir=tmp_path / "data",
        embedder=HashEmbedder(),
    )  # fmt: skip
    assert (report["items_correct"], report["without"]["items_correct"]) == (1.0, 1.0)
    assert (report["effect"]["cases"], report["effect"]["difference"]) == (1, 0.0)
    assert report["concepts_known"] == 1
    assert home.library.uses() == []


def test_a_continual_memory_learns_in_a_copy_and_leaves_the_library_as_it_is(tmp_path: Path, home: Libraries) -> None:
    before = home.library.journal()
    report = evaluate_memory(
        scripted(tmp_path / "model"), range(3), "continual", workers=1, items=ITEMS, data_dir=tmp_path / "data",
        embedder=HashEmbedder(), batch=1,
    )  # fmt: skip
    assert report["worksheets"] == report["without"]["worksheets"] == 3
    assert report["concepts_known"] >= 1
    assert home.library.journal() == before


def test_an_ablation_keeps_what_a_row_did_where_it_is_curated(tmp_path: Path, home: Libraries) -> None:
    row = home.concepts.rows()[0].row
    told: list[int] = []
    found = list(ablate(scripted(tmp_path / "model"), home, [row], [Trial(SHEET, 1)], "single", progress=told.append))
    assert [(one.row_id, effect.cases, effect.difference) for one, effect in found] == [(row.row_id, 1, 0.0)]
    assert told == [1, 2]
    assert home.concepts.show(row.row_id).to_json()["helped"]["verdict"] == "unclear"
    home.concepts.edit(row.row_id, suggestion="something else")
    assert home.concepts.show(row.row_id).to_json()["helped"] is None


def test_an_ablation_of_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_DATA_DIR", str(tmp_path))
    for words, told in (
        (["concepts", "ablate"], "No concept of your own"),
        (["tools", "ablate", "gcd", "--set", "nowhere"], "no set 'nowhere'"),
    ):
        done = CliRunner().invoke(app, words)
        assert done.exit_code != 0
        assert told in str(done.exception) + done.output
    with Libraries() as made, pytest.raises(UsageError, match="no seeds"):
        made.tools.ablate("gcd", seeds=range(0))


def test_an_ablation_in_python_plays_the_librarys_model_and_is_seen_where_a_person_curates(
    tmp_path: Path, home: Libraries
) -> None:
    model = save(tmp_path / "model", ["# Alice\n", "Nothing."], words=LIST, max_positions=8192)
    home.model = (str(model), "cpu", "auto")
    told: list[int] = []
    (found,) = home.concepts.ablate(seeds=range(1), progress=told.append)
    row = home.concepts.show(found.id)
    assert (found.id, found.version, found.effect.cases) == (row.id, row.version, 1)
    assert told == [1, 2]
    assert row.to_json()["helped"]["cases"] == 1
    assert str(found).startswith(row.name)


def test_an_ablation_on_the_command_line_is_seen_where_a_person_curates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKBENCH_DATA_DIR", str(tmp_path))
    with Libraries() as made:
        made.concepts.approve(made.concepts.add({"situation": "a price", "suggestion": "subtract"}).id)
    model = str(save(tmp_path / "model", ["# Alice\n", "Nothing."], words=LIST, max_positions=8192))
    done = CliRunner().invoke(app, ["concepts", "ablate", "--seeds", "0:1", "--model", model, "--json"])
    assert done.exit_code == 0, done.output
    (effect,) = json.loads(done.stdout)
    assert effect["cases"] == 1
    shown = CliRunner().invoke(app, ["concepts", "show", effect["id"]])
    assert "with, " in shown.stdout
    assert "1 cases" in shown.stdout
