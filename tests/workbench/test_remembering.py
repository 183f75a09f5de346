"""A library learns from runs: proposed when asked, taken in by itself where memory is continual."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "hogwild"))
sys.path.append(str(Path(__file__).parents[1] / "memory"))

from hash_embedder import HashEmbedder
from scripted_model import call, save

from memory.experience import Experience, MadeCall
from toolsets.builtin import BUILTINS
from toolsets.chat import ChatUnavailable, Message, Reply, Usage
from workbench import Workbench
from workbench import events as ev
from workbench.errors import UsageError
from workbench.libraries import Libraries
from workbench.remembering import AUTHOR, Remembering, learn

TASK = "1. What is 60 plus 7?\n2. What is 8 plus 4?"
CHAINS = (
    ["# Alice\n", "First. ", call("add", a=60, b=7)],
    ["<tool_response>67</tool_response>", "So.\n\nAnswer 1: 67 Then. ", call("add", a=8, b=4)],
    ["<tool_response>12</tool_response>", "Done.\n\nAnswer 2: 12"],
    ["Joint answer:\n", "1: 67\n2: 12"],
)


def added(a: int, b: int) -> Experience:
    return Experience("r1", f"What is {a} plus {b}?", str(a + b), (MadeCall("add", {"a": a, "b": b}, str(a + b)),))


class Told:
    """A chat model that answers from a list; `None` is a server that is away."""

    name = "told"

    def __init__(self, *replies: str | None) -> None:
        self.replies = list(replies)

    def ask(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int | None = None,
        temperature: float | None = None,
        on_text: Callable[[str], object] | None = None,
    ) -> Reply:
        text = self.replies.pop(0)
        if text is None:
            raise ChatUnavailable("Nobody answers.")
        return Reply(text, Usage(), self.name)


@pytest.fixture
def home(tmp_path: Path) -> Libraries:
    return Libraries(tmp_path, embedder=HashEmbedder())


def test_a_continual_memory_learns_from_a_run_and_the_next_one_is_told(tmp_path: Path) -> None:
    model = str(save(tmp_path / "model", *CHAINS))
    with Workbench(model, workers=1, data_dir=tmp_path / "data", tools=BUILTINS, memory="continual") as bench:
        bench.library = Libraries(tmp_path / "data", embedder=HashEmbedder())
        first = bench.run(TASK)
        assert first.wait(60)
        assert first.status == "solved"
        (row,) = bench.concepts.rows()
        assert (row.name, row.state) == ("add", "active")
        assert row.row.content["cues"] == ["what is ... plus ..."]
        assert bench.concepts.history(row.id)[0].version.author == AUTHOR
        assert not any(isinstance(event.payload, ev.LibraryShown) for event in first.events())
        second = bench.run(TASK)
        shown = [event.payload for event in second.events() if isinstance(event.payload, ev.LibraryShown)]
        assert [one["name"] for event in shown for one in event.rows] == ["add"]
        assert second.wait(60)
        bench.concepts.undo(
            1 + next(one["entry"] for one in bench.concepts.journal() if one["action"] == "seed")
        ).apply()
        assert len(bench.concepts.rows()) == 0


def test_a_fixed_memory_learns_nothing_until_it_is_asked_to(tmp_path: Path) -> None:
    model = str(save(tmp_path / "model", *CHAINS))
    with Workbench(model, workers=1, data_dir=tmp_path / "data", tools=BUILTINS) as bench:
        run = bench.run(TASK)
        assert run.wait(60)
        assert len(bench.concepts.rows()) == 0
        proposal = bench.learn_concepts(run.id)
        assert "what is ... plus ..." in str(proposal)
        assert len(bench.concepts.rows()) == 0
        assert proposal.apply().row.state == "proposed"
        assert "already here: add" in str(bench.learn_concepts()) or not bench.learn_concepts().plan.changes


def test_a_memory_is_updated_in_batches_and_with_the_rest_at_the_end(home: Libraries) -> None:
    memory = Remembering(lambda: home, every=2)
    memory.take(lambda: [added(1, 2), added(5, 4)])
    memory.settle()
    assert len(home.concepts.rows()) == 0
    memory.take(list)
    memory.settle()
    assert len(home.concepts.rows()) == 1
    memory.take(lambda: [added(50, 22)])
    memory.close()
    assert len(home.concepts.show("add").row.content["problems"]) == 3


def test_questions_of_several_runs_are_looked_at_together(home: Libraries) -> None:
    memory = Remembering(lambda: home)
    memory.take(lambda: [added(1, 2)])
    memory.take(lambda: [added(5, 4)])
    memory.close()
    assert home.concepts.show("add").state == "active"


def test_a_model_that_is_away_costs_the_lesson_and_not_the_run(home: Libraries) -> None:
    memory = Remembering(lambda: home, Told(None))
    with pytest.warns(UserWarning, match="Nobody answers"):
        memory._took(lambda: [added(1, 2)])


def test_a_model_revises_what_is_known_under_its_title(home: Libraries) -> None:
    home.concepts.add({"title": "sum", "kind": "routine", "cues": ["plus"]})
    chat = Told("summary: a sum", "- title: Sum\n  kind: routine\n  cues:\n    - together\n")
    learning = learn(home, [added(1, 2)], chat)
    assert learning.update.revised == ("sum",)
    assert learning.update.added == ()


def test_a_model_at_hand_selects_what_a_run_is_told_and_its_slips_are_reported(tmp_path: Path) -> None:
    model = str(save(tmp_path / "model", *CHAINS))
    chat = Told("The second.\nSelected:\n- plus two\n- plus too")
    with Workbench(model, workers=1, data_dir=tmp_path / "data", tools=BUILTINS, chat=chat) as bench:
        bench.library = Libraries(tmp_path / "data", embedder=HashEmbedder())
        for title in ("plus one", "plus two"):
            bench.concepts.approve(bench.concepts.add({"title": title, "kind": "routine", "cues": ["what is plus"]}).id)
        with pytest.warns(UserWarning, match="'plus too', which there is not; 'plus two' is near"):
            events = list(bench.run(TASK).events())
        shown = [event.payload for event in events if isinstance(event.payload, ev.LibraryShown)]
        assert {row["name"]: row["why"]["in_full"] for event in shown for row in event.rows} == {
            "plus two": True,
            "plus one": False,
        }


def test_a_batch_of_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="1 or more"):
        Workbench(data_dir=tmp_path, learn_every=0)
