"""A person changes the arguments of calls of real runs: what ran is what every view, export, fork and lesson has.

In: runs of the embedded model and of scripted ones, whose calls ask. Out: their logs and whatever is made of them.
Neighbours: `test_edits.py` for the parts; `workbench.rehearsal`, `workbench.learning`, `workbench.export` and others.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

sys.path.append(str(Path(__file__).parents[1] / "hogwild"))

from scripted_model import call, save

from toolsets.policy import CallPolicy
from toolsets.standard import STANDARD
from toolsets.tool import Tool
from workbench import Run, Workbench
from workbench import events as ev
from workbench.approving import Deciding
from workbench.comparing import compare
from workbench.errors import UsageError
from workbench.event_json import from_json, to_json
from workbench.experience import experiences_of
from workbench.export_trace import trace
from workbench.learning import trace_of
from workbench.live import LiveView, trees
from workbench.panes import frame
from workbench.projection import RunView
from workbench.record import Record

TASK = "1. What is the gcd of 84 and 126?"
LIMIT_S = 60.0
ASKING = CallPolicy(approval=True)


def of(run: Any, kind: type) -> list[Any]:
    return [one.payload for one in run.events() if isinstance(one.payload, kind)]


def asked(run: Run) -> ev.ApprovalAsked:
    return next(one.payload for one in run.events() if isinstance(one.payload, ev.ApprovalAsked))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    with Workbench(workers=1, data_dir=tmp_path_factory.mktemp("data"), memory="none") as made:
        yield made


@pytest.fixture(scope="module")
def edited(bench: Workbench) -> Run:
    """A finished run of which a person has changed the one call: gcd(84, 126) to gcd(84, 10)."""
    run = bench.run(TASK, policy=ASKING)
    question = asked(run)
    assert question.arguments == {"a": 84, "b": 126}
    with pytest.raises(UsageError, match="b of gcd must be a whole number, not 'ten'"):
        run.approve(question.call, arguments={"a": 84, "b": "ten"})
    with pytest.raises(UsageError, match="This is no JSON"):
        run.command("approve", {"call": question.call, "arguments": '{"a": 84, "b"'})
    (pending,) = run.pending
    run.approve(pending, "Smaller.", by="Ann", arguments={**pending.arguments, "b": 10}, key="once")
    run.approve(pending, "Smaller.", by="Ann", arguments={**pending.arguments, "b": 11}, key="once")
    assert run.wait(LIMIT_S)
    return run


def test_what_ran_is_in_the_log_and_the_worker_is_told_of_it_and_answers_with_it(edited: Run) -> None:
    (given,) = of(edited, ev.ApprovalGiven)
    assert (given.by, given.reason, given.arguments) == ("Ann", "Smaller.", {"a": 84, "b": 10})
    assert of(edited, ev.ApprovalAsked)[0].arguments == {"a": 84, "b": 126}
    assert of(edited, ev.CallPlanned)[0].arguments == {"a": 84, "b": 126}
    assert of(edited, ev.CallStarted)[0].arguments == {"a": 84, "b": 10}
    (told,) = [one.text for one in of(edited, ev.TextInjected) if one.source == "tool"]
    assert "2\ngcd(a=84, b=10)" in told
    assert edited.items[0]["answer"] == "2"
    assert edited.prove()


def test_every_view_shows_the_call_that_ran_and_who_changed_it(edited: Run) -> None:
    events = list(edited.events())
    view = RunView.of(events)
    (made,) = view.calls.values()
    assert (made.label, made.asked_label) == ("gcd(a=84, b=10)", "gcd(a=84, b=126)")
    assert "✓ $1 gcd(a=84, b=10) = 2" in "".join(trees(view))
    assert "changed by Ann" in "".join(trees(view))
    said = [one.text for one in view.moments if one.kind == "decides"]
    assert said == ["gcd(a=84, b=126) changed to gcd(a=84, b=10) and approved by Ann: Smaller."]
    record = Record.of(events)
    for shown in (record.calls.text, record.lanes.text, record.lanes.html):
        assert "gcd(a=84, b=10)" in shown
        assert "changed by Ann, who was asked for gcd(a=84, b=126)" in shown


def test_an_export_a_trace_and_a_comparison_have_what_ran_and_what_was_asked_for(
    bench: Workbench, edited: Run, tmp_path: Path
) -> None:
    written = edited.export(tmp_path / "run.ipynb")
    notebook = nbformat.read(written, 4)
    text = json.dumps(notebook)
    assert "changed by Ann" in text
    assert "{'a': 84, 'b': 10}" in text  # the cell that calls the tool again
    spans = trace(list(edited.events()))["resourceSpans"][0]["scopeSpans"][0]["spans"]
    (facts,) = [
        {one["key"]: next(iter(one["value"].values())) for one in span["attributes"]}
        for span in spans
        if span["name"] == "execute_tool gcd"
    ]
    assert json.loads(facts["gen_ai.tool.call.arguments"]) == {"a": 84, "b": 10}
    assert json.loads(facts["workbench.asked_arguments"]) == {"a": 84, "b": 126}
    assert facts["workbench.decided_by"] == "Ann"
    plain = bench.run(TASK)
    assert plain.wait(LIMIT_S)
    compared = compare(list(edited.events()), list(plain.events()))
    line = "c1 gcd(a=84, b=10), changed by Ann, who was asked for gcd(a=84, b=126)"
    assert compared.to_json()["edits"] == {"a": [line], "b": []}
    assert f"call of a: {line}" in str(compared)


def test_what_is_learnt_is_learnt_from_what_ran(edited: Run) -> None:
    events = list(edited.events())
    traced = trace_of(events, STANDARD)
    assert traced is not None
    assert [(one.arguments, one.text) for one in traced.calls] == [({"a": 84, "b": 10}, "2")]
    (experience,) = experiences_of(events)
    assert [(one.arguments, one.result) for one in experience.calls] == [({"a": 84, "b": 10}, "2")]


def test_a_fork_has_the_change_and_makes_no_call_again(edited: Run) -> None:
    child = edited.fork()
    assert child.wait(LIMIT_S)
    assert [one.arguments for one in of(child, ev.ApprovalGiven)] == [{"a": 84, "b": 10}]
    assert of(child, ev.CallFinished)[0].text == "2"
    assert child.prove()
    # From before the question: the call is open there, and ends as the parent's did, as what ran there.
    before = next(one.payload.step for one in edited.events() if isinstance(one.payload, ev.TokensAdded))
    steps = [one.payload.step for one in edited.events() if isinstance(one.payload, ev.TokensAdded)]
    planned = next(
        one.payload.step for one in reversed(list(edited.events()))
        if isinstance(one.payload, ev.TokensAdded) and one.seq < next(
            event.seq for event in edited.events() if isinstance(event.payload, ev.CallPlanned)
        )
    )  # fmt: skip
    assert before <= planned <= steps[-1]
    early = edited.fork(planned)
    assert early.wait(LIMIT_S)
    view = RunView.of(list(early.events()))
    assert [(one.label, one.text) for one in view.calls.values()] == [("gcd(a=84, b=10)", "2")]
    assert early.prove()


def test_a_log_from_before_people_could_change_arguments_is_read() -> None:
    old = {"run_id": "r", "seq": 3, "time": 1.0, "kind": "approval_given", "call": "c1", "approved": True, "by": "Ann"}
    event = from_json(old)
    assert event.payload == ev.ApprovalGiven("c1", True, "Ann")
    new = ev.ApprovalGiven("c1", True, "Ann", "", {"a": "$1"}, ["c0"])
    assert from_json(to_json(ev.Event("r", 3, 1.0, new))).payload == new


KEEPING = (
    ["# Alice\n", "a1 ", call("keep", text="x"), "\n"],
    ["</tool_response>", "Told."],
    ["Joint answer:\n", "Done."],
)


@pytest.mark.parametrize(
    ("until", "effect", "times"),
    [
        (ev.ApprovalAsked, "read", ["mine"]),  # killed while it waited for a person
        (ev.ApprovalGiven, "write", ["yours"]),  # after the word, before it began
        (ev.CallStarted, "read", ["yours"]),  # while it ran
        (ev.CallStarted, "write", []),
        (ev.CallFinished, "read", []),
    ],
)
def test_a_run_whose_engine_was_killed_goes_on_with_what_the_person_gave(
    until: type, effect: Any, times: list[str], tmp_path: Path
) -> None:
    model = str(save(tmp_path / "model", *KEEPING))
    kept: list[str] = []

    def keep(text: str) -> str:
        """Keeps a text."""
        kept.append(text)
        return f"kept {text}"

    tool = Tool.from_function(keep, effect=effect, policy=ASKING)
    with Workbench(model, data_dir=tmp_path, tools=[tool], memory="none", workers=1) as bench:
        whole = bench.run("What?")
        whole.approve(asked(whole).call, by="Ann", arguments={"text": "yours"})
        assert whole.wait(LIMIT_S)
        assert kept == ["yours"]
        events = list(whole.events())
        at = next(index for index, one in enumerate(events) if isinstance(one.payload, until))
        with bench.log.open_run("killed", "What?", model) as writer:
            for event in events[: at + 1]:  # what an engine that was killed has left
                writer.append(event.payload)
        kept.clear()
        run = bench.resume("killed")
        if until is ev.ApprovalAsked:
            while not run.pending:
                threading.Event().wait(0.01)
            run.approve("c1", by="Bob", arguments={"text": "mine"})
        assert run.wait(LIMIT_S)
        assert kept == times
        given = of(run, ev.ApprovalGiven)
        assert [(one.by, one.arguments) for one in given] == (
            [("Bob", {"text": "mine"})] if until is ev.ApprovalAsked else [("Ann", {"text": "yours"})]
        )
        told = [one.text for one in of(run, ev.TextInjected) if one.source == "tool"]
        text = times[0] if times else "yours"
        assert len(told) == 1
        assert (f'keep(text="{text}")' in told[0]) == (of(run, ev.CallFinished)[0].status == "succeeded")
        assert run.prove()


class Terminal:
    """Whoever sits at a terminal: keys, and what the picture shows."""

    def __init__(self, run: Run) -> None:
        from rich.console import Console

        self.view = LiveView(Console(width=100, height=30, file=open("/dev/null", "w")), plain=False)  # noqa: SIM115
        self.press = Deciding(run, self.view)
        for event in run.events():
            self.view.apply(event)
            if isinstance(event.payload, ev.ApprovalAsked):
                break

    def type(self, *keys: str) -> str:
        for key in keys:
            self.press(key)
        with self.view.console.capture() as shown:
            self.view.console.print(frame(self.view.view, self.view.console, 0.0, self.view.edit))
        return shown.get()


def test_a_person_at_a_terminal_edits_the_arguments_in_the_picture(bench: Workbench) -> None:
    run = bench.run(TASK, policy=ASKING)
    terminal = Terminal(run)
    assert "gcd(a=84, b=126)  y: yes  n: no  e: edit" in terminal.type()
    assert '{"a": 84, "b": 126}' in terminal.type("e")
    assert "e: edit" in terminal.type("y", "\x1b")  # a letter is text there, and Escape goes back
    assert run.pending
    assert "This is no JSON" in terminal.type("e", ",", "\n")
    assert run.pending
    shown = terminal.type(*["\x7f"] * 4, *'"ten"', "\n")
    assert '"b": "ten"' in shown  # nothing is lost
    assert "b of gcd must be a whole number, not 'ten'." in shown
    terminal.type(*["\x7f"] * 5, *"10", "\n")
    assert terminal.view.edit is None
    assert run.wait(LIMIT_S)
    (given,) = of(run, ev.ApprovalGiven)
    assert (given.by, given.arguments) == ("terminal", {"a": 84, "b": 10})
