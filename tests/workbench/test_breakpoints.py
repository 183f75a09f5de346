"""A run that pauses by itself: exactly where it was asked to, and otherwise as if nobody had asked.

In: the embedded model on short sums, and a scripted model whose workers write what a test wants. Out: hits, pauses and
the tokens of runs with and without them. Neighbours: `workbench.breakpoints`; `test_steering.py` for a person's pauses.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path += [str(Path(__file__).parents[1] / "hogwild"), str(Path(__file__).parent)]

from scripted_model import call, save

from toolsets.tool import Tool
from workbench import Breakpoint, Run, Workbench
from workbench import events as ev
from workbench.errors import LogTimeout, UsageError
from workbench.projection import RunView

TASK = "1. What is the gcd of 48 and 36?\n2. What is 17 + 25?"
LIMIT_S = 60.0


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    with Workbench(workers=2, memory="none", data_dir=tmp_path_factory.mktemp("data")) as made:
        yield made


@pytest.fixture(scope="module")
def plain(bench: Workbench) -> Run:
    """The same run without a pause."""
    run = bench.run(TASK)
    assert run.wait(LIMIT_S)
    return run


def written(run: Any) -> list[Any]:
    return [
        (one.payload.step, [(told["worker"], told["ids"]) for told in one.payload.tokens])
        for one in run.events()
        if isinstance(one.payload, ev.TokensAdded)
    ]


def hits_of(run: Any) -> list[ev.BreakpointHit]:
    """Let a run go on from every pause to its end."""
    found = []
    while (hit := run.next_break(LIMIT_S)) is not None:
        found.append(hit)
        run.resume()
    return found


def test_a_run_pauses_just_there_and_writes_what_it_would_have_written(bench: Workbench, plain: Run) -> None:
    breaks = [
        {"step": 0}, Breakpoint(step=7), {"tool": "gcd"}, {"text": "Answer 2: 42"}, {"ended": True, "worker": "Bob"},
        lambda event: event.kind == "call_finished" and event.payload.call == "c1",
    ]  # fmt: skip
    run = bench.run(TASK, break_at=breaks)
    assert [str(one) for one in run.breakpoints.values()] == [
        "after step 0", "after step 7", "before gcd", "at 'Answer 2: 42'", "when Bob has ended", "when a function",
    ]  # fmt: skip
    seen = []
    while (hit := run.next_break(LIMIT_S)) is not None:
        view = run.view()
        assert view.breaks.paused
        assert view.breaks.at == hit
        assert view.steps == hit.step
        seen.append(hit)
        if hit.breakpoint == "b3":
            assert hit.call is not None
            assert view.calls[hit.call].state == "planned"
        run.resume()
    assert [(one.breakpoint, one.step) for one in seen][:2] == [("b1", 0), ("b2", 7)]
    assert sorted(one.breakpoint for one in seen) == ["b1", "b2", "b3", "b4", "b5", "b6"]
    assert {one.breakpoint: one.why for one in seen} == {
        "b1": "step 0 is done", "b2": "step 7 is done", "b3": "Alice calls gcd",
        "b4": "Bob has written 'Answer 2: 42'", "b5": "Bob has ended its turn", "b6": seen[2].why,
    }  # fmt: skip
    assert re.fullmatch(r"a function says so of event \d+ \(call_finished\)", seen[2].why)
    assert written(run) == written(plain)
    assert run.answer == plain.answer
    assert run.prove(), str(run.prove())


def test_a_call_has_not_begun_while_the_run_is_paused_before_it(tmp_path: Path) -> None:
    begun: list[str] = []

    def ring(bell: str) -> str:
        """Ring a bell."""
        begun.append(bell)
        return "rung"

    chains = (["# Alice\n", call("ring", bell="big")], ["</tool_response>", "So."], ["Joint answer:\n", "Done."])
    model = str(save(tmp_path / "model", *chains))
    tools = [Tool.from_function(ring)]
    with Workbench(model, workers=1, data_dir=tmp_path, tools=tools, memory="none", max_tokens=9) as bench:
        run = bench.run("What?", break_at={"tool": "*"})
        hit = run.next_break(LIMIT_S)
        assert hit is not None
        assert (begun, hit.call, hit.worker) == ([], "c1", "Alice")
        run.resume()
        assert run.wait(LIMIT_S)
        assert begun == ["big"]
        stopped = bench.run("What?", break_at={"tool": "ring"})
        assert stopped.next_break(LIMIT_S) is not None
        stopped.stop()
        assert stopped.wait(2.0), "a call that was held is given up at once"
        assert stopped.view().calls["c1"].state == "cancelled"
        assert begun == ["big"]


def test_a_text_is_found_over_the_ends_of_tokens_and_once(tmp_path: Path) -> None:
    chains = (["# Alice\n", "st", "op", " 1", "2", "3 ", "sto", "p."], ["Joint answer:\n", "Done."])
    with Workbench(str(save(tmp_path / "m", *chains)), workers=1, data_dir=tmp_path, memory="none") as bench:
        run = bench.run("What?", break_at=[{"text": "stop"}, {"text": re.compile(r"\d+")}])
        found = [(one.breakpoint, one.text, one.step) for one in hits_of(run)]
        late = bench.run("What?", break_at={"text": " 1"})
        assert late.next_break(LIMIT_S) is not None
        late.break_at(text=re.compile("STOP", re.IGNORECASE))  # what is written already is no news
        late.resume()
        again = [(one.breakpoint, one.text) for one in hits_of(late)]
    assert found == [("b1", "stop", 2), ("b2", " 1".strip(), 3), ("b1", "stop", 7)]
    assert again == [("b2", "stop")]


def test_breakpoints_are_set_and_removed_while_a_run_goes_on(bench: Workbench) -> None:
    run = bench.run(TASK, break_at={"step": 3})
    assert run.next_break(LIMIT_S) is not None
    name = run.break_at(step=5, by="me")
    gone = run.break_at(tool="gcd", worker="Alice")
    when = run.break_when(lambda event: event.kind == "text_injected" and event.payload.source == "tool")
    run.remove_breakpoint(gone)
    assert list(run.breakpoints) == ["b1", name, when]
    run.resume()
    hit = run.next_break(LIMIT_S)
    assert (hit.breakpoint, hit.step) == (name, 5) if hit else None
    run.remove_breakpoint(when)
    run.resume()
    assert run.next_break(LIMIT_S) is None
    told = [one.payload for one in run.events() if one.kind == "steered" and "break" in one.payload.command]
    assert [(one.command, one.arguments["breakpoint"], one.by) for one in told] == [
        ("break_at", "b1", ""), ("break_at", "b2", "me"), ("break_at", "b3", ""), ("break_at", "b4", ""),
        ("remove_breakpoint", "b3", ""), ("remove_breakpoint", "b4", ""),
    ]  # fmt: skip


def test_a_function_that_fails_pauses_the_run_and_is_asked_no_more(bench: Workbench) -> None:
    run = bench.run("What is 3+4?", break_at=lambda event: event.payload.step > 2)
    hits = hits_of(run)
    assert [one.why for one in hits] == ["a function failed: AttributeError: 'Steered' object has no attribute 'step'"]
    assert run.wait(LIMIT_S)
    assert run.status == "solved"


def test_a_step_from_a_breakpoint_is_one_step(bench: Workbench) -> None:
    run = bench.run("What is 3+4?", break_at=[{"step": 4}])
    assert run.next_break(LIMIT_S) is not None
    run.step()
    events = run.events()
    next(one for one in events if isinstance(one.payload, ev.TokensAdded) and one.payload.step == 5)
    next(one for one in events if isinstance(one.payload, ev.WorkerStateChanged) and one.payload.state == "paused")
    with pytest.raises(LogTimeout, match="No breakpoint has paused"):
        run.next_break(0.5)
    assert run.view().steps == 5
    run.resume()
    assert run.wait(LIMIT_S)


def test_a_run_is_held_after_its_last_step_and_ends_when_it_goes_on(bench: Workbench) -> None:
    whole = bench.run("What is 3+4?")
    assert whole.wait(LIMIT_S)
    last = whole.metrics["steps"]
    run = bench.run("What is 3+4?", break_at={"step": last})
    hit = run.next_break(LIMIT_S)
    assert hit is not None
    assert hit.step == last
    assert not run.wait(0.7), "it is not over while it is held"
    run.resume()
    assert run.wait(LIMIT_S)
    assert run.answer == whole.answer
    run = bench.run("What is 3+4?", break_at={"step": last})
    assert run.next_break(LIMIT_S) is not None
    run.stop()
    assert run.wait(LIMIT_S)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "one condition"),
        ({"tool": "gcd", "step": 3}, "one condition"),
        ({"step": -1}, "whole number from 0 on"),
        ({"text": ""}, "some text or a compiled expression"),
        ({"text": re.compile("a*")}, "found in no text at all"),
        ({"pattern": "["}, "is no regular expression"),
        ({"pattern": "a", "flags": "z"}, "flags some of"),
        ({"line": 3}, "has no 'line'"),
        ({"step": 3, "worker": "Bob"}, "says whose call, text or end"),
        ("gcd", "is given as"),
    ],
)
def test_a_breakpoint_that_makes_no_sense_is_refused_before_anything_starts(
    bench: Workbench, given: Any, said: str
) -> None:
    before = len(bench.log.runs())
    with pytest.raises(UsageError, match=said):
        bench.run(TASK, break_at=given)
    assert len(bench.log.runs()) == before


def test_a_tool_or_worker_that_the_run_does_not_have_is_refused(bench: Workbench) -> None:
    run = bench.run(TASK, break_at={"tool": "gdc"})
    with pytest.raises(UsageError, match=r"There is no tool 'gdc' to pause before; this run has .*gcd"):
        _ = run.answer
    run = bench.run(TASK, break_at={"step": 2})
    assert run.next_break(LIMIT_S) is not None
    with pytest.raises(UsageError, match="There is no worker Zoe"):
        run.break_at(ended=True, worker="Zoe")
    with pytest.raises(UsageError, match="There is no breakpoint 'b9' in this run; there are b1"):
        run.remove_breakpoint("b9")
    run.stop()


def test_a_fork_has_the_breakpoints_of_its_parent_and_its_own(bench: Workbench, plain: Run) -> None:
    parent = bench.run(TASK, break_at=[{"step": 4}, {"tool": "gcd"}, lambda event: False])
    assert [one.breakpoint for one in hits_of(parent)] == ["b1", "b2"]
    child = parent.fork(20, break_at={"step": 22})
    assert list(child.breakpoints) == ["b1", "b2", "b4"]
    assert [(one.breakpoint, one.step) for one in hits_of(child)[:1]] == [("b4", 22)]
    assert written(child) == written(plain)
    again = parent.fork(2)  # it paused after step 4, and so does this
    assert [one.breakpoint for one in hits_of(again)] == ["b1", "b2"]
    removed = [one.payload for one in again.events() if getattr(one.payload, "command", "") == "remove_breakpoint"]
    assert [one.arguments for one in removed] == [{"breakpoint": "b3"}], "a function is gone with its run"


def test_a_run_whose_engine_was_killed_pauses_where_it_would_have(bench: Workbench, plain: Run) -> None:
    run = bench.run(TASK, break_at=[{"tool": "gcd"}, {"step": 45}, {"text": "42"}])
    told = [(one.breakpoint, one.step) for one in hits_of(run)]
    assert len(told) >= 3
    events = list(run.events())
    first = next(at for at, one in enumerate(events) if one.kind == "tokens_added" and one.payload.step == 38)
    last = next(at for at, one in enumerate(events) if one.kind == "tokens_added" and one.payload.step == 48)
    for cut in range(first, last, 3):
        name = f"killed-{cut}"
        with bench.log.open_run(name, TASK, "embedded") as writer:
            for event in events[:cut]:
                writer.append(event.payload)
        known = [(one.payload.breakpoint, one.payload.step) for one in events[:cut] if one.kind == "breakpoint_hit"]
        again = bench.resume(name)
        after = [(one.breakpoint, one.step) for one in hits_of(again)]
        assert known + after == told, cut
        assert written(again) == written(plain)


def test_a_view_tells_what_is_set_and_what_was_hit() -> None:
    def event(seq: int, payload: ev.Payload) -> ev.Event:
        return ev.Event("r", seq, 1.0, payload)

    view = RunView.of([event(1, ev.Steered("break_at", {"breakpoint": "b1", "tool": "gcd"}))])
    assert view.breaks.set == {"b1": {"breakpoint": "b1", "tool": "gcd"}}
    (moment,) = view.apply(event(2, ev.BreakpointHit("b1", 7, "Alice calls gcd", "Alice", "c1")))
    assert (moment.kind, moment.worker, moment.text) == ("paused", "Alice", "b1: Alice calls gcd")
    view.apply(event(3, ev.Steered("pause", {"breakpoint": "b1"}, by="breakpoint")))
    assert (view.breaks.paused, view.breaks.hits) == (True, {"b1": 1})
    view.apply(event(4, ev.Steered("resume", {})))
    assert (view.breaks.paused, view.breaks.at) == (False, None)
