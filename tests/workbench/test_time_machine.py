"""Forks, resumed runs and comparisons: the past is shared and never done again, and what follows is proved.

In: runs of the embedded model and of scripted ones (`tests/hogwild/scripted_model.py`). Out: their children's events.
Neighbours: `workbench.rehearsal`, `workbench.comparing`; `test_replay.py` for the proof.
"""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.append(str(Path(__file__).parents[1] / "hogwild"))

from scripted_model import WORDS, call, save

from hogwild.views import Block
from toolsets.policy import CallPolicy
from toolsets.tool import Tool
from workbench import Run, Workbench
from workbench import events as ev
from workbench.comparing import compare
from workbench.errors import UsageError
from workbench.rehearsal import _Rehearsal, past_of

TASK = "1. What is the gcd of 48 and 36?\n2. Spell the word lantern backwards.\n3. Is 97 a prime number?"
LIMIT_S = 20.0


@pytest.fixture(scope="module", params=["contiguous", "combined"])
def sampled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Run]]:
    """A finished run that drew its tokens, with calls in it."""
    with Workbench(
        data_dir=tmp_path_factory.mktemp("log"), layout=request.param, temperature=0.7, seed=5, max_tokens=150
    ) as bench:
        run = bench.run(TASK)
        assert run.wait(LIMIT_S)
        yield bench, run


def of(run: Any, kind: type, *, until: float = float("inf")) -> list[Any]:
    return [
        one.payload
        for one in itertools.takewhile(lambda one: one.seq < until, run.events())
        if isinstance(one.payload, kind)
    ]


def chosen(run: Any) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for step in of(run, ev.TokensAdded):
        for one in step.tokens:
            found.setdefault(one["worker"], []).extend(one["ids"])
    return found


@pytest.mark.parametrize("part", [0.0, 0.4, 1.0])
def test_an_unchanged_fork_draws_what_its_parent_drew_and_repeats_no_call(sampled: Any, part: float) -> None:
    bench, run = sampled
    step = round(part * max(one.step for one in of(run, ev.TokensAdded)))
    child = run.fork(step)
    assert child.wait(LIMIT_S)
    assert child.answer == run.answer
    assert chosen(child) == chosen(run)
    assert child.prove()
    (started,) = of(child, ev.RunStarted)
    assert started.parent["run_id"] == run.id
    assert compare(list(run.events()), list(child.events())).settings == {}
    assert bench.log.summary(child.id).parent == started.parent
    ends = [one.call for one in of(child, ev.CallFinished)]
    assert len(ends) == len(set(ends)) == len(of(run, ev.CallFinished))
    assert {step for step, count in _counts(child).items() if count > 1} == set()


def _counts(run: Any) -> dict[int, int]:
    steps = [one.step for one in of(run, ev.TokensAdded)]
    return {step: steps.count(step) for step in steps}


def test_a_fork_with_words_another_temperature_and_a_seed_parts_and_is_proved(sampled: Any) -> None:
    _, run = sampled
    child = run.fork(20, say="Begin with the last.", worker="Bob", sampling={"temperature": 2.5}, seed=12)
    assert child.wait(LIMIT_S)
    assert [one.worker for one in of(child, ev.TextInjected) if one.source == "person"] == ["Bob"]
    assert {one.sampling["temperature"] for one in of(child, ev.SamplingChanged)[-2:]} == {2.5}
    assert child.prove(), str(child.prove())
    found = compare(list(run.events()), list(child.events()))
    assert (found.aligned.run, found.aligned.step) == (run.id, 20)
    assert found.settings["seed"] == (5, 12)
    assert any(pair.same_steps is not None for pair in found.workers)
    assert f"They part after step 20 of {run.id}." in str(found)


def test_what_a_worker_said_is_replaced_and_nobody_hears_the_old_words_again(sampled: Any) -> None:
    _, run = sampled
    child = run.fork(12, replace={"Alice": "I take 3: prime.\n\n"})
    assert child.wait(LIMIT_S)
    (edit,) = [one for one in of(child, ev.TextInjected) if one.source == "edit"]
    assert (edit.worker, edit.text) == ("Alice", "I take 3: prime.\n\n")
    opened = [one.block for one in of(child, ev.BlockOpened) if one.worker == "Alice"]
    assert edit.block in opened
    assert child.prove(), str(child.prove())
    for step in (14, None):  # the child's past is one to go on from, too
        grandchild = child.fork(step)
        assert grandchild.wait(LIMIT_S)
        assert chosen(grandchild) == chosen(child)
        assert grandchild.answer == child.answer
        assert grandchild.prove()


def test_a_worker_of_a_fork_amid_an_item_hears_its_words_when_it_has_answered_it(tmp_path: Path) -> None:
    words = {**WORDS, "closing_part": "Joint answer, {first} to {last}:\n"}
    alice = ["# Alice\n", "I take 1: ", "one.\n", "Answer 1: 42\n\n", "I take nothing.\n\n"]
    folder = save(tmp_path / "model", alice, ["Joint answer, 1 to 1:\n", "1: 42"], words=words)
    with Workbench(str(folder), workers=1, data_dir=tmp_path, memory="none") as bench:
        run = bench.run("1. What is the gcd of 84 and 126?")
        assert run.wait(LIMIT_S)
        other = run.fork(1, say="Be brief.")
        assert other.wait(LIMIT_S)
        child = other.fork(1, say="Be exact.")
        assert child.wait(LIMIT_S)
        course = [one.payload for one in child.events() if isinstance(one.payload, ev.TextInjected | ev.TokensAdded)]
        told = [one for one in course if isinstance(one, ev.TextInjected) and one.source == "person"]
        assert [one.line for one in told] == ["line-fork", "line-fork-1"]
        before = [step for step in course[: course.index(told[0])] if isinstance(step, ev.TokensAdded)]
        assert "".join(one["text"] for step in before for one in step.tokens).endswith("Answer 1: 42\n\n")
        assert child.prove()


@pytest.mark.parametrize("max_tokens", [1, 2])
def test_a_fork_of_the_closing_hears_nothing_of_a_call_that_the_budget_ended(max_tokens: int, tmp_path: Path) -> None:
    """The budget ends in the middle of the call, or with its last token, when it is not run any more."""
    chains = (["# Alice\n", '<tool_call>{"name": ', '"gcd", "arguments": {"a": 4, "b": 6}}</tool_call>'],
              ["Joint answer:\n", "It ", "is ", "2."])  # fmt: skip
    folder = save(tmp_path / "model", *chains)
    with Workbench(str(folder), workers=1, data_dir=tmp_path, tools=["gcd"], max_tokens=max_tokens) as bench:
        run = bench.run("What?")
        assert run.answer == "It is 2."
        (asked,) = [one.seq for one in run.events() if getattr(one.payload, "source", "") == "closing"]
        step = next(one.payload.step for one in run.events(asked) if isinstance(one.payload, ev.TokensAdded))
        child = run.fork(step)
        assert child.answer == "It is 2."
        assert len(of(child, ev.CallFinished)) == max_tokens - 1
        assert [one.source for one in of(child, ev.TextInjected)] == ["header", "closing"]


def test_a_fork_that_makes_no_sense_is_refused_in_one_sentence(sampled: Any) -> None:
    bench, run = sampled
    for given, says in (
        ({"step": 100_000}, "choose one of 0 to"),
        ({"replace": {"Zoe": "x"}}, "no worker Zoe"),
        ({"without_tools": ["fly"]}, "no tool 'fly'"),
        ({"replace": {"Bob": ""}}, "give some text"),
        ({"step": "3"}, "step must be a whole number; it is '3'"),
        ({"step": 1.5}, "step must be a whole number"),
        ({"replace": "x"}, "replace must be an object of workers and texts"),
        ({"replace": {"Bob": 5}}, "replace must be an object of workers and texts"),
        ({"without_tools": "fly"}, "no tool 'fly'"),
        ({"seed": "x"}, "seed must be a whole number"),
        ({"seed": 1 << 63}, "at most 64 bits"),
        ({"sampling": {"heat": 1}}, "no 'heat' in a worker's sampling"),
        ({"sampling": {"temperature": "x"}}, "temperature must be a number"),
        ({"sampling": {"worker": "Zoe", "temperature": 1}}, "no worker Zoe"),
    ):
        with pytest.raises(UsageError, match=says):
            run.fork(**given)
    with pytest.raises(UsageError, match="was not interrupted"):
        bench.resume(run.id)


def test_a_fork_without_a_tool_fails_its_calls(tmp_path: Path) -> None:
    with Workbench(data_dir=tmp_path, workers=1, max_tokens=60, guided_calls=False) as bench:
        run = bench.run("1. What is the gcd of 48 and 36?")
        assert run.wait(LIMIT_S)
        child = run.fork(1, without_tools=["gcd"])
        assert child.wait(LIMIT_S)
    assert [one.status for one in of(run, ev.CallFinished)][:1] == ["succeeded"]
    assert [one.status for one in of(child, ev.CallFinished)][:1] == ["failed"]


def test_a_fork_goes_by_the_settings_of_its_parent_not_by_those_of_its_workbench(tmp_path: Path) -> None:
    chains = (["# Alice\n", "a1 ", call("gcd", a=4, b=6)], ["</tool_response>", "So."], ["Joint answer:\n", "2."])
    how: Any = {"model": str(save(tmp_path / "model", *chains)), "workers": 1, "data_dir": tmp_path, "tools": ["gcd"]}
    with Workbench(**how, memory="none") as bench:
        run = bench.run("What?")
        assert run.wait(LIMIT_S)
    other: Any = {"front": "python", "async_tools": True, "policy": CallPolicy(max_result_chars=1)}
    with Workbench(**how, memory="none", **other) as bench:
        for step in (1, None):
            child = bench.fork(run.id, step)
            assert child.wait(LIMIT_S)
            assert child.answer == run.answer
            assert compare(list(run.events()), list(child.events())).settings == {}


def test_a_fork_of_a_run_that_goes_on_shares_its_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is computed again: a step of the child feeds what waited, and no more."""
    with Workbench(data_dir=tmp_path, temperature=0.7, seed=3, max_tokens=150) as bench:
        run = bench.run(TASK)
        for event in run.events():
            if isinstance(event.payload, ev.TokensAdded) and event.payload.step >= 15:
                break
        run.pause()
        for event in run.events():
            if isinstance(event.payload, ev.WorkerStateChanged) and event.payload.state == "paused":
                break
        engine, fed = bench.loaded(), []
        step_last = engine.step_last
        monkeypatch.setattr(engine, "rebuild", lambda *_: pytest.fail("the past was computed again"))
        monkeypatch.setattr(
            engine, "step_last",
            lambda feeds, **how: (fed.append(sum(len(one.tokens) for one in feeds)), step_last(feeds, **how))[1],
        )  # fmt: skip
        child = run.fork(12)
        assert child.wait(LIMIT_S)
        assert fed[0] == 2
        assert sum(fed) < 600, "no prompt among it"
        assert child.prove()
        run.resume()
        assert run.wait(LIMIT_S)
        assert run.prove()
        assert chosen(child) == chosen(run)
        assert [one.child for one in of(run, ev.RunForked)] == [child.id]
        engine.cache.check()
        assert engine.cache.num_tokens == 0


@pytest.mark.parametrize(("effect", "end"), [("read", "succeeded"), ("write", "not_executed")])
def test_an_interrupted_run_goes_on_and_repeats_no_change(effect: Any, end: str, tmp_path: Path) -> None:
    chains = (
        ["# Alice\n", "a1 ", call("keep", text="x"), "\n"],
        ["# Bob\n", "b1 ", "b2 ", "b3."],
        ["</tool_response>", "Told."],
        ["Joint answer:\n", "Done."],
    )
    model = str(save(tmp_path / "model", *chains))
    times: list[str] = []

    def keep(text: str) -> str:
        """Keeps a text."""
        times.append(text)
        return "kept"

    tool = Tool.from_function(keep, effect=effect)
    with Workbench(model, data_dir=tmp_path, tools=[tool]) as bench:
        whole = bench.run("What?")
        assert whole.wait(LIMIT_S)
        events = list(whole.events())
        at = next(index for index, one in enumerate(events) if isinstance(one.payload, ev.CallStarted))
        writer = bench.log.open_run("killed", "What?", model)
        for event in events[: at + 1]:  # what an engine that was killed has left
            writer.append(event.payload)
        writer.close()
        assert bench.log.summary("killed").status == "interrupted"
        times.clear()
        run = bench.resume("killed")
        assert run.wait(LIMIT_S)
        assert run.id == "killed"
        assert run.status == "solved", run._error
        assert of(run, ev.RunResumed)
        assert [one.status for one in of(run, ev.CallFinished)] == [end]
        assert times == (["x"] if effect == "read" else [])
        told = [one.text for one in of(run, ev.TextInjected) if one.source == "tool"]
        assert ("unknown" in told[0]) == (effect == "write")
        assert [one.seq for one in run.events()] == list(range(1, len(list(run.events())) + 1))
        assert run.prove()


SLOW = (
    ["# Alice\n", "a1 ", call("keep", text="x"), "\n"],
    ["# Bob\n", "tock ", "tock "],
    ["</tool_response>", "Told."],
    ["(Go.)", "Gone."],
    ["other words", " follow."],
    ["Joint answer:\n", "Done."],
)


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[tuple[Workbench, Run, threading.Event]]:
    """A run that is paused while a worker waits for a call, and what lets the call end."""
    let = threading.Event()

    def keep(text: str) -> str:
        """Keeps a text."""
        let.wait(LIMIT_S)
        return "kept"

    model = str(save(tmp_path / "model", *SLOW))
    tools = [Tool.from_function(keep)]
    with Workbench(model, data_dir=tmp_path, tools=tools, memory="none", max_tokens=100) as bench:
        run = bench.run("What?")
        waits = next(one.seq for one in run.events() if getattr(one.payload, "state", "") == "waiting")
        next(one for one in run.events(waits) if isinstance(one.payload, ev.TokensAdded))
        run.pause()
        next(one for one in run.events() if getattr(one.payload, "state", "") == "paused")
        yield bench, run, let
        let.set()
        run.stop()


def written(run: Run, worker: str) -> str:
    return "".join(one["text"] for step in of(run, ev.TokensAdded) for one in step.tokens if one["worker"] == worker)


def test_a_fork_goes_on_where_a_result_came_in_a_pause(slow: tuple[Workbench, Run, threading.Event]) -> None:
    _, run, let = slow
    let.set()
    next(one for one in run.events() if getattr(one.payload, "source", "") == "tool")
    child = run.fork()
    assert child.wait(LIMIT_S)
    assert child.status == "solved", child._error
    assert written(child, "Alice").endswith("Told.Done.")
    commands = [(one.command, one.by) for one in of(child, ev.Steered)]
    assert commands == [("pause", ""), ("resume", "fork")], "its log does not leave it paused"


def test_a_worker_goes_on_with_other_words_in_the_place_of_a_call_that_it_waited_for(
    slow: tuple[Workbench, Run, threading.Event],
) -> None:
    _, run, let = slow
    child = run.fork(replace={"Alice": "other words"})
    assert child.wait(LIMIT_S)
    let.set()
    assert child.status == "solved", child._error
    assert written(child, "Alice").endswith(" follow.Done.")
    assert child.prove()
    (edited,) = [one.seq for one in child.events() if getattr(one.payload, "source", "") == "edit"]
    grandchild = child.fork(max(one.step for one in of(child, ev.TokensAdded, until=edited)))
    assert grandchild.wait(LIMIT_S)
    assert chosen(grandchild) == chosen(child)


def test_a_fork_knows_at_once_who_works_and_which_lines_wait(slow: tuple[Workbench, Run, threading.Event]) -> None:
    _, run, let = slow
    run.add_worker()
    line = run.say("Go.", worker="Bob", when="queued")
    next(one for one in run.events() if isinstance(one.payload, ev.SayQueued))
    child = run.fork()
    assert child.add_worker() == "Dave"
    assert child.say("Stay.", worker="Bob", when="queued") != line
    child.cancel_say(line)
    let.set()
    assert child.wait(LIMIT_S)
    assert child.status == "solved", child._error
    assert [one.text for one in of(child, ev.TextInjected) if one.source == "person"] == ["(Stay.)"]


def test_words_that_wait_wait_as_long_in_a_fork(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.driver.LONG_STEP", 30)
    model = str(save(tmp_path / "model", *SLOW, max_positions=20_000))
    with Workbench(model, data_dir=tmp_path, memory="none") as bench:
        run = bench.run("What?")
        next(one for one in run.events() if getattr(one.payload, "step", 0) == 40)
        run.say("Go.", worker="Bob")
        queued = next(one for one in run.events() if isinstance(one.payload, ev.SayQueued))
        step = next(one.payload.step for one in run.events(queued.seq) if isinstance(one.payload, ev.TokensAdded))
        said = []
        for one in (run, run.fork(step)):
            heard = next(event for event in one.events() if getattr(event.payload, "source", "") == "person")
            said.append(max(step.step for step in of(one, ev.TokensAdded, until=heard.seq)))
            one.stop()
        assert said[0] == said[1] >= step + 25


def test_a_tool_that_was_taken_away_stays_away(tmp_path: Path) -> None:
    chains = (
        ["# Alice\n", "a1 ", "a2 ", call("gcd", a=4, b=6)],
        ["</tool_response>", "So."],
        ["Joint answer:\n", "2."],
    )
    model = str(save(tmp_path / "model", *chains))
    with Workbench(model, workers=1, data_dir=tmp_path, tools=["gcd"], memory="none") as bench:
        run = bench.run("What?")
        assert run.wait(LIMIT_S)
        child = run.fork(1, without_tools=["gcd", "gcd"])
        assert child.wait(LIMIT_S)
        grandchild = child.fork(2)
        events = list(child.events())
        at = next(index for index, one in enumerate(events) if isinstance(one.payload, ev.TokensAdded))
        with bench.log.open_run("killed", "What?", model) as writer:
            for event in events[: at + 3]:
                writer.append(event.payload)
        again = bench.resume("killed")
        for run in (child, grandchild, again):
            assert run.wait(LIMIT_S)
            assert [one.status for one in of(run, ev.CallFinished)] == ["failed"], run.id


PARAGRAPHS = (
    ["# Alice\n", "a1 ", "a2 ", "a3", "\n\n"],
    ["# Bob\n", "b1 ", "b2", "\n\n"],
    ["(The same?)", "No. ", "No"],
    ["Joint answer:\n", "Done."],
)


def paragraphs(folder: Path, **words: Any) -> str:
    return str(save(folder / "model", *PARAGRAPHS, words={**WORDS, "step_header": "# {name}\n", **words}))


def test_a_fork_of_a_fork_shares_no_block_that_is_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log of a run that has a past does not call blocks as the engine does."""
    how: Any = {"data_dir": tmp_path, "layout": "combined", "max_tokens": 60, "memory": "none"}
    model, shared, wrong = paragraphs(tmp_path), [], []
    theirs = _Rehearsal._shared

    def looked_at(one: _Rehearsal, old: list[Block]) -> list[Block]:
        cache, made = one.run.engine.cache, theirs(one, old)
        for block, right in zip(made, one.run.engine.rebuild(one.memory.tape, old) if made else (), strict=True):
            shared.append(block.length)
            same = all(map(torch.allclose, cache.read(block, 0), cache.read(right, 0)))
            wrong.extend([] if same else [block])
        return made

    with Workbench(model, **how) as bench:
        first = bench.run("What?")
        assert first.wait(LIMIT_S)
        last = first.metrics["steps"]
    monkeypatch.setattr(_Rehearsal, "_shared", looked_at)
    with Workbench(model, **how) as bench:
        child = bench.fork(first.id, last - 12)
        child.pause()
        next(one for one in child.events() if getattr(one.payload, "state", "") == "paused")
        for step in range(0, last - 12, 4):
            assert child.fork(step).wait(LIMIT_S)
        child.stop()
    assert wrong == []
    assert shared


def test_a_run_that_was_being_stopped_is_not_resumed_but_forked(tmp_path: Path) -> None:
    model = paragraphs(tmp_path)
    with Workbench(model, workers=1, data_dir=tmp_path, max_tokens=3, memory="none") as bench:
        whole = bench.run("What?")
        assert whole.wait(LIMIT_S)
        begun = [one.payload for one in whole.events() if getattr(one.payload, "step", 0) < 3]
        with bench.log.open_run("killed", "What?", model) as writer:
            for payload in (*begun[:9], ev.Steered("stop", {}), ev.WorkerStateChanged("Alice", "stopped")):
                writer.append(payload)
        with pytest.raises(UsageError, match="being stopped when its engine ended: fork it"):
            bench.resume("killed")
        assert bench.fork("killed").answer == whole.answer


def test_a_run_that_broke_off_when_its_budget_was_spent_goes_on_to_its_answer(tmp_path: Path) -> None:
    model = paragraphs(tmp_path)
    with Workbench(model, workers=1, data_dir=tmp_path, max_run_tokens=1, memory="none") as bench:
        whole = bench.run("What?")
        whole.say("The same?", when="queued")
        assert whole.wait(LIMIT_S)
        events = list(whole.events())
        (spent,) = [at for at, one in enumerate(events) if getattr(one.payload, "step", 0) == 2]
        with bench.log.open_run("killed", "What?", model) as writer:
            for event in events[: spent + 1]:
                writer.append(event.payload)
        run = bench.resume("killed")
        assert run.wait(LIMIT_S)
        assert (run.status, run.answer) == ("solved", whole.answer), run._error
        assert run.prove()


def test_a_fork_asks_a_worker_that_its_parent_was_about_to_ask(tmp_path: Path) -> None:
    model = paragraphs(tmp_path, check="(The same?)", check_every=5)
    with Workbench(model, data_dir=tmp_path, layout="combined", max_tokens=12, memory="none") as bench:
        run = bench.run("What?")
        assert run.wait(LIMIT_S)
        told = [(one.worker, one.text) for one in of(run, ev.TextInjected)]
        assert [text for _, text in told].count("(The same?)") > 1
        for step in range(run.metrics["steps"]):
            child = run.fork(step)
            assert child.wait(LIMIT_S)
            assert [(one.worker, one.text) for one in of(child, ev.TextInjected)] == told, step


def test_the_end_of_a_step_that_is_taken_back_is_not_counted(tmp_path: Path) -> None:
    model = str(save(tmp_path / "model", *PARAGRAPHS[:1], ["b.", "\n\n"], ["# Alice 2\n", "Well."], PARAGRAPHS[-1]))
    with Workbench(model, workers=1, data_dir=tmp_path, layout="combined", memory="none") as bench:
        run = bench.run("What?")
        ended = next(one.step for one in of(run, ev.TokensAdded) if one.tokens[0]["text"] == "\n\n")
        child = run.fork(ended, replace={"Alice": "b."})
        assert child.wait(LIMIT_S)
        headers = [one.text for one in of(child, ev.TextInjected) if one.source == "header"]
    assert headers[:2] == ["# Alice\n", "# Alice 2\n"]


def test_a_fork_reads_texts_as_texts_and_reads_on_in_what_was_cut(tmp_path: Path) -> None:
    def digits() -> str:
        """Many digits."""
        return "1234567890" * 100

    chains = (
        ["# Alice\n", call("reverse_text", text="21") + call("digits")],
        [
            "</tool_response>",
            "So. ",
            call("reverse_text", text="$1") + call("read_result", result="Alice-2/2", start=900),
        ],
        ["Joint answer:\n", "Done."],
    )
    tools = ["reverse_text", Tool.from_function(digits)]
    model = str(save(tmp_path / "model", *chains, max_positions=2000))
    with Workbench(model, workers=1, data_dir=tmp_path, tools=tools, memory="none", max_tokens=4) as bench:
        run = bench.run("What?")
        assert run.wait(LIMIT_S)
        child = run.fork(2)
        assert child.wait(LIMIT_S)
        # Two calls at once may end in either order.
        results = {one.call: (one.status, one.text) for one in of(run, ev.CallFinished)}
    assert results["c3"] == ("succeeded", "21")
    assert results["c4"] == ("succeeded", "1234567890" * 10)
    assert {one.call: (one.status, one.text) for one in of(child, ev.CallFinished)} == results


def test_a_fork_says_of_the_rest_of_a_result_that_the_log_does_not_have_it(tmp_path: Path) -> None:
    def digits() -> str:
        """Many digits."""
        return "1234567890" * 10

    chains = (
        ["# Alice\n", call("digits"), "So. ", call("read_result", result="Alice-1/1", start=50)],
        ["</tool_response>", "So. "],
        ["Joint answer:\n", "Done."],
    )
    model = str(save(tmp_path / "model", *chains))
    how: Any = {"tools": [Tool.from_function(digits)], "policy": CallPolicy(max_result_chars=30), "max_tokens": 4}
    with Workbench(model, workers=1, data_dir=tmp_path, memory="none", **how) as bench:
        run = bench.run("What?")
        assert run.wait(LIMIT_S)
        child = run.fork(1)
        assert child.wait(LIMIT_S)
        assert [one.text for one in of(run, ev.CallFinished)][1] == "1234567890" * 5
        cut, read = of(child, ev.CallFinished)
        assert cut.cut
        assert (read.status, "make the call again" in read.text) == ("failed", True)
        assert list(child.results) == []
        with pytest.raises(UsageError, match="only the part that was shown"):
            child.results["c1"]


def test_an_interrupted_run_of_another_model_is_refused_and_stays_interrupted(tmp_path: Path) -> None:
    with Workbench(data_dir=tmp_path, workers=1, max_tokens=20) as bench:
        whole = bench.run("1. Is 97 a prime number?")
        assert whole.wait(LIMIT_S)
        first, *others = [one.payload for one in whole.events()][:20]
        assert isinstance(first, ev.RunStarted)
        with bench.log.open_run("killed", "a task", "embedded") as writer:
            for payload in (replace(first, model_fingerprint="0f1e"), *others):
                writer.append(payload)
        run = bench.resume("killed")
        assert run.wait(LIMIT_S)
        with pytest.raises(UsageError, match="model has changed"):
            _ = run.answer
        assert bench.log.summary("killed").status == "interrupted"


@pytest.mark.parametrize(("layout", "max_tokens"), [("contiguous", 90), ("combined", 90), ("contiguous", 40)])
def test_a_run_that_broke_off_anywhere_goes_on_to_the_same_end(layout: str, max_tokens: int, tmp_path: Path) -> None:
    with Workbench(data_dir=tmp_path, layout=layout, max_tokens=max_tokens) as bench:
        whole = bench.run("1. What is the gcd of 48 and 36?\n2. Is 97 a prime number?")
        assert whole.wait(LIMIT_S)
        events = list(whole.events())
        told = [(at, one.payload) for at, one in enumerate(events, 1) if isinstance(one.payload, ev.TextInjected)]
        one_begun, closing = told[0][0], [at for at, one in told if one.source == "closing"]
        # Between what a worker wrote and the call in it, the end of its plan and its waiting, a result and its telling.
        planned, waits, results = (
            [at - 1 for at, one in enumerate(events, 1) if is_one(one.payload)]
            for is_one in (
                lambda one: isinstance(one, ev.CallPlanned),
                lambda one: isinstance(one, ev.WorkerStateChanged) and one.state == "waiting",
                lambda one: isinstance(one, ev.TextInjected) and one.source == "tool",
            )
        )
        for cut in (one_begun, *closing, *planned, *waits, *results, len(events) // 3):
            name = f"cut-{cut}"
            writer = bench.log.open_run(name, "two questions", "embedded")
            for event in events[:cut]:
                writer.append(event.payload)
            writer.close()
            run = bench.resume(name)
            assert run.wait(LIMIT_S)
            ended = (run.answer, run.status, run.items)
            assert ended == (whole.answer, whole.status, whole.items), f"cut after {events[cut - 1].payload}"
            assert run.prove(), f"cut after {events[cut - 1].payload}: {run.prove()}"


def test_forks_of_a_run_part_after_the_step_of_the_earlier_also_where_the_run_was_forked_before(sampled: Any) -> None:
    """A fork leaves out what its parent's log tells of other forks, so that its events have other numbers there."""
    _, run = sampled
    whole = [one.payload for one in run.events()]
    at = next(index for index, one in enumerate(whole) if isinstance(one, ev.TokensAdded) and one.step == 3)
    parent = [*whole[:at], *[ev.RunForked("another", 5)] * 4, *whole[at:]]

    def fork(step: int, words: str) -> list[ev.Event]:
        seq = max(index for index, one in enumerate(parent, 1) if isinstance(one, ev.TokensAdded) and one.step == step)
        started = replace(parent[0], parent=ev.Origin(run_id=run.id, seq=seq))
        past = [one for one in parent[1:seq] if not isinstance(one, ev.RunForked)]
        later = [
            replace(one, tokens=[{**told, "text": words} for told in one.tokens])
            for one in whole
            if isinstance(one, ev.TokensAdded) and one.step > step
        ]
        return [ev.Event(words, number, 0.0, one) for number, one in enumerate([started, *past, *later], 1)]

    for pair in ((fork(5, "x"), fork(9, "y")), (fork(9, "x"), fork(5, "y"))):
        aligned = compare(*pair).aligned
        assert (aligned.run, aligned.step) == (run.id, 5)


def test_two_runs_without_a_common_past_are_compared_from_the_beginning(tmp_path: Path) -> None:
    with Workbench(data_dir=tmp_path, workers=1, max_tokens=30) as bench:
        runs = [bench.run(task) for task in ("1. Is 97 a prime number?", "1. Is 91 a prime number?")]
        assert all(run.wait(LIMIT_S) for run in runs)
        found = compare(*(list(run.events()) for run in runs)).to_json()
    assert found["aligned"] == {"run": None, "seq": 0, "step": 0}
    assert [pair["name"] for pair in found["workers"]] == ["Alice"]
    assert found["answers"]["same"] == (runs[0].answer == runs[1].answer)


def test_a_log_that_has_lost_its_beginning_is_not_gone_on_with_and_says_so() -> None:
    written = [ev.TextInjected("Bob", "b1", "Be brief.", [1], "person"), ev.TokensAdded(1, [], {}, 0.1)]
    events = [ev.Event("run", seq, float(seq), payload) for seq, payload in enumerate(written, 2)]
    with pytest.raises(UsageError, match="has lost its beginning"):
        past_of(events, None)
