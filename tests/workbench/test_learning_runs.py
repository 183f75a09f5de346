"""From runs to a tool and back: real runs of the embedded model teach one, a person approves it, later runs have it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "hogwild"))
sys.path.append(str(Path(__file__).parents[1] / "memory"))

from hash_embedder import HashEmbedder
from scripted_model import call, save

from workbench import Workbench
from workbench import events as ev
from workbench.libraries import Libraries

ASKED = ((80, 25, 20), (200, 15, 30), (640, 35, 224))
NEXT = "What is left of 300 after 15 percent off?"


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """The data folder, and the id and the name of the tool that three runs of the embedded model taught."""
    folder = tmp_path_factory.mktemp("learnt")
    with Workbench(workers=1, data_dir=folder, memory="none") as bench:
        for price, percent, off in ASKED:
            run = bench.run(f"1. What is {percent} percent of {price}?\n2. What is {price} minus {off}?")
            assert run.wait(120)
            assert run.status == "solved"
            assert [item["answer"] for item in run.items] == [str(off), str(price - off)]
        (tool,) = bench.learn_tools()
        assert tool.state == "proposed"
        assert bench.tools.try_(tool.id).passed
        bench.tools.approve(tool.id)
    return folder, tool.id, tool.name


def test_the_embedded_model_is_shown_the_tool_that_its_own_runs_taught(learnt: tuple[Path, str, str]) -> None:
    folder, row_id, _ = learnt
    with Workbench(workers=1, data_dir=folder) as bench:
        bench.library = Libraries(folder, embedder=HashEmbedder())
        run = bench.run(NEXT)
        shown = [event.payload for event in run.events() if isinstance(event.payload, ev.LibraryShown)]
        assert row_id in {row["row"] for one in shown for row in one.rows}
        assert run.wait(120)
        assert bench.tools.why(run.id, row_id)


GRAVEL = '''def gravel_price(tons: float, rate: float) -> float:
    """Price of gravel.

    >>> gravel_price(3, 20)
    60
    """
    return tons * rate
'''


def test_the_embedded_model_calls_a_tool_that_a_person_imported_and_approved(tmp_path: Path) -> None:
    """It has never seen the tool; the library finds it for the question, and its code runs in the sandbox."""
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "gravel.py").write_text(GRAVEL, encoding="utf-8")
    with Workbench(workers=2, data_dir=tmp_path / "data") as bench:
        bench.tools.import_from(tmp_path / "tools").apply()
        (tool,) = bench.tools.rows(states=("proposed",))
        bench.tools.approve(tool.id)
        run = bench.run("1. What is the price of gravel for tons 4 and rate 25?\n2. What is the sum of 4 and 9?")
        assert run.wait(120)
        assert [item["answer"] for item in run.items] == ["100", "13"]
        calls = [event.payload for event in run.events() if isinstance(event.payload, ev.CallPlanned)]
        assert ("gravel_price", {"tons": 4, "rate": 25}) in [(one.tool, one.arguments) for one in calls]
        assert bench.tools.why(run.id, tool.id)


def test_a_later_run_calls_it_and_the_library_knows(learnt: tuple[Path, str, str], tmp_path: Path) -> None:
    folder, row_id, name = learnt
    chains = (
        ["# Alice\n", "One call does it. ", call(name, percent=15, value=300)],
        ["<tool_response>255</tool_response>", "So 255.\n\nAnswer 1: 255"],
        ["Joint answer:\n", "1: 255"],
    )
    with Workbench(str(save(tmp_path / "model", *chains)), workers=1, data_dir=folder) as bench:
        bench.library = Libraries(folder, embedder=HashEmbedder())
        run = bench.run(f"1. {NEXT}")
        assert run.wait(120)
        assert run.answer == "1: 255"
        assert bench.tools.why(run.id, row_id)[0]["used"] is True
