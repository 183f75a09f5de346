"""The Python face: runs started, watched, held, stopped and awaited; several at once; and what a bad request is told.

In: a scripted model (`tests/hogwild/scripted_model.py`) or the embedded one, and a log in a folder of the test's own.
Out: handles, events, errors. Neighbours: `workbench.session`; `test_driver.py` for what happens inside a run.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sqlite3
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[1] / "hogwild"))

from scripted_model import WORDS, call, save

from hogwild import Layout
from toolsets.tool import Tool
from workbench import Run, Workbench
from workbench import events as ev
from workbench.errors import LogError, ModelError, UsageError, WorkbenchError
from workbench.host import Host
from workbench.log import RunLog
from workbench.paths import log_path

CHAINS = (
    ["# Alice\n", "a1 ", call("gcd", a=84, b=126)],
    ["<tool_response>42</tool_response>", "So 42."],
    ["# Bob\n", "b1 ", "b2 ", "b3."],
    ["# Carol\n", "c1."],
    ["# Zoe\n", "z1."],
    ["(slower)", "All right."],
    ["Joint answer:\n", "It is 42."],
)
FOR_EVER = (["# Alice\n", "tick ", "tick "], ["# Bob\n", "tock ", "tock "], ["Joint answer:\n", "Never."])
TASKS = (
    "1. What is the greatest common divisor of 84 and 126?\n2. Is 97 a prime number?",
    "1. Spell the word lantern backwards.\n2. What is 15 percent of 240?",
    "1. How many days are there between 2024-02-10 and 2024-03-15?",
)
LIMIT_S = 60.0


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save(tmp_path_factory.mktemp("scripted"), *CHAINS))


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model whose workers never end by themselves, with room for thousands of tokens."""
    return str(save(tmp_path_factory.mktemp("endless"), *FOR_EVER, max_positions=20_000))


@pytest.fixture(scope="module")
def bench(model: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    with Workbench(model, data_dir=tmp_path_factory.mktemp("data")) as made:
        yield made


@pytest.fixture(scope="module")
def endless_bench(endless: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    with Workbench(endless, data_dir=tmp_path_factory.mktemp("data")) as made:
        yield made


@pytest.fixture
def deaths(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Threads that ended with an exception."""
    found: list[str] = []
    monkeypatch.setattr(
        threading, "excepthook", lambda args: found.append(f"{args.exc_type.__name__}: {args.exc_value}")
    )
    return found


def ended(run: Run, deaths: list[str]) -> Run:
    """Wait for the end of a run, or for the death of the thread that would have brought it."""
    for _ in range(int(LIMIT_S / 0.02)):
        if run.wait(0.02):
            return run
        assert not deaths, f"the engine's thread died: {deaths}"
    raise AssertionError("the run does not end")


def of(run: Run, kind: type) -> list[Any]:
    return [event.payload for event in run.events() if isinstance(event.payload, kind)]


def texts(run: Run) -> dict[str, str]:
    said: dict[str, str] = {}
    for payload in of(run, ev.TokensAdded):
        for one in payload.tokens:
            said[one["worker"]] = said.get(one["worker"], "") + one["text"]
    return said


# A run's way.


def test_the_answer_waits_for_the_end(bench: Workbench) -> None:
    run = bench.run("What?")
    assert run.answer == "It is 42."
    assert run.status == "solved"
    assert run.items == []
    assert run.metrics["calls"] == 1
    assert [(one["name"], one["state"]) for one in run.metrics["workers"]] == [
        ("Alice", "finished"),
        ("Bob", "finished"),
    ]
    assert run.id in repr(run)


def test_a_run_can_be_awaited_while_the_loop_goes_on(bench: Workbench) -> None:
    async def both() -> tuple[Run, Run]:
        return await asyncio.wait_for(asyncio.gather(_await(bench.run("What?")), _await(bench.run("And?"))), LIMIT_S)

    async def _await(run: Run) -> Run:
        return await run

    assert [run.status for run in asyncio.run(both())] == ["solved", "solved"]


def test_events_come_to_an_event_loop_that_goes_on_meanwhile(endless_bench: Workbench) -> None:
    run = endless_bench.run("What?")

    async def watch() -> tuple[list[int], int]:
        seen, beside = [], 0

        async def tick() -> None:
            nonlocal beside
            while True:
                beside += 1
                await asyncio.sleep(0)

        ticking = asyncio.create_task(tick())
        async for event in run.events():
            seen.append(event.seq)
            if event.kind == "tokens_added" and event.payload.step == 3:
                run.stop()
        ticking.cancel()
        return seen, beside

    seen, beside = asyncio.run(asyncio.wait_for(watch(), LIMIT_S))
    assert seen == [event.seq for event in run.events()]
    assert beside > 3
    assert run.status == "stopped"


def test_a_loop_that_looks_away_from_a_silent_run_can_end(endless_bench: Workbench) -> None:
    run = endless_bench.run("What?")
    run.pause()

    async def watch() -> None:
        async for _ in run.events():
            pass

    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(watch(), 1.0))
    assert run.status == "running"
    run.stop()
    run.wait()


def test_a_view_is_the_run_as_it_is_now(bench: Workbench, endless_bench: Workbench) -> None:
    going = endless_bench.run("What?")
    next(event for event in going.events() if event.kind == "tokens_added")
    assert going.view().status == "running"
    going.stop()
    going.wait()
    assert going.view().status == "stopped"

    run = bench.run("What?")
    run.wait()
    view = run.view()
    reported = {one["name"]: one["tokens"] for one in run.metrics["workers"]}
    assert {name: lane.tokens for name, lane in view.lanes.items()} == reported
    assert [(call.tool, call.text, call.state) for call in view.calls.values()] == [("gcd", "42", "succeeded")]
    assert repr(view) == f"<RunView of {run.id}: solved, {view.steps} steps, {view.tokens} tokens, 1 calls>"


def test_a_run_is_compared_with_another_or_its_id(bench: Workbench) -> None:
    run, other = bench.run("What?"), bench.run("What?", workers=1)
    other.wait()
    run.wait()
    found = run.compare(other)
    assert (found.a, found.b) == (run.id, other.id)
    assert found.settings["workers"] == (2, 1)
    assert run.compare(other.id).to_json() == found.to_json()
    assert repr(found) == str(found)


def test_events_come_while_the_run_goes_on_and_end_with_it(endless_bench: Workbench) -> None:
    run = endless_bench.run("What?")
    events = run.events()
    first = next(event for event in events if event.kind == "tokens_added")
    assert run.status == "running"
    run.stop()
    rest = list(events)
    assert [event.seq for event in rest] == list(range(first.seq + 1, first.seq + 1 + len(rest)))
    assert rest[-1].kind == "run_finished"
    assert run.wait(LIMIT_S)
    assert run.status == "stopped"
    assert [event.seq for event in run.events(since=rest[-2].seq)] == [rest[-1].seq]


def test_the_log_begins_with_what_is_needed_to_do_it_again(bench: Workbench) -> None:
    run = bench.run("What?", seed=5, max_tokens=50)
    assert run.wait(LIMIT_S)
    (started,) = of(run, ev.RunStarted)
    assert (started.task, started.model, started.seed, started.layout) == ("What?", bench.model, 5, "contiguous")
    assert started.workers == ["Alice", "Bob"]
    assert started.settings["max_tokens"] == 50
    assert set(started.versions) >= {"python", "torch", "transformers"}
    assert len(started.model_fingerprint) == 16
    assert next(iter(run.events())).kind == "run_started"


def test_settings_of_one_run_do_not_stay_for_the_next(bench: Workbench) -> None:
    assert len(bench.run("What?", workers=1).metrics["workers"]) == 1
    assert len(bench.run("What?").metrics["workers"]) == 2


@pytest.mark.parametrize("layout", ["contiguous", "interleaved", "combined", "independent"])
def test_a_run_ends_in_every_layout(layout: str, bench: Workbench) -> None:
    assert bench.run("What?", layout=layout).answer == "It is 42."


def test_a_budget_per_worker_and_one_per_run_end_a_run_with_an_answer(endless_bench: Workbench) -> None:
    run = endless_bench.run("What?", max_tokens=5)
    assert run.answer == "Never."
    assert texts(run)["Bob"] == "tock " * 5
    run = endless_bench.run("What?", max_run_tokens=10)
    assert run.answer == "Never."
    assert 8 <= len("".join(texts(run).values()).replace("Never.", "").split()) <= 11


def test_attention_is_logged_when_it_is_asked_for(bench: Workbench) -> None:
    asked, not_asked = bench.run("What?", attention=True), bench.run("What?")
    shares = [one.attention for one in of(asked, ev.TokensAdded)]
    assert all(sum(mine.values()) == pytest.approx(1, abs=1e-3) for one in shares for mine in one.values())
    assert {one.attention for one in of(not_asked, ev.TokensAdded)} == {None}


# Wishes.


def test_a_run_that_is_stopped_before_it_has_begun_ends(endless: str, tmp_path: Path) -> None:
    with Workbench(endless, data_dir=tmp_path) as bench:
        run = bench.run("What?")
        run.stop()
        run.stop()
        assert run.wait(LIMIT_S)
        assert (run.status, run.answer) == ("stopped", "")
        run.stop()  # again is harmless
        run.pause()


def test_a_paused_run_says_nothing_until_it_is_resumed(endless_bench: Workbench) -> None:
    run = endless_bench.run("What?")
    run.pause()
    events = run.events()
    paused: set[str] = set()
    while len(paused) < 2:
        payload = next(events).payload
        if isinstance(payload, ev.WorkerStateChanged):
            paused.add(payload.worker) if payload.state == "paused" else paused.discard(payload.worker)
    other = endless_bench.run("What?", max_tokens=30)  # thirty steps in which the paused run could have said something
    assert other.wait(LIMIT_S)
    assert run.status == "running"
    before = endless_bench.log.summary(run.id).events
    run.resume()
    assert next(event for event in events if event.kind == "tokens_added").seq > before
    run.stop()
    assert run.wait(LIMIT_S)
    held = [
        one for one in run.events() if isinstance(one.payload, ev.WorkerStateChanged) and one.payload.state == "paused"
    ]
    between = {event.kind for event in run.events(since=held[0].seq) if event.seq <= before}
    assert "tokens_added" not in between


def test_a_step_that_fails_ends_the_runs_that_took_part_and_no_other(
    endless_bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused = endless_bench.run("What?")
    paused.pause()
    next(one for one in paused.events() if getattr(one.payload, "state", "") == "paused")
    engine = endless_bench.loaded()
    step_last = engine.step_last

    def broken(feeds: Any, **how: Any) -> Any:
        return step_last(feeds, **how) if not feeds[0].tag else 1 / 0  # a prompt, or workers

    with monkeypatch.context() as patched:
        patched.setattr(engine, "step_last", broken)
        other = endless_bench.run("What?")
        assert other.wait(LIMIT_S)
    assert (other.status, paused.status) == ("failed", "running")
    paused.resume()
    assert next(one for one in paused.events(paused._writer._committed_seq) if one.kind == "tokens_added")
    paused.stop()
    assert paused.wait(LIMIT_S)
    assert paused.status == "stopped"


def test_a_paused_run_can_be_stopped(endless_bench: Workbench) -> None:
    run = endless_bench.run("What?")
    run.pause()
    run.stop()
    assert run.wait(LIMIT_S)
    assert run.status == "stopped"


def test_a_worker_may_join_in_mid_run(endless_bench: Workbench) -> None:
    run = endless_bench.run("What?", workers=1, max_tokens=200)
    assert run.add_worker() == "Bob"
    assert [one["name"] for one in run.metrics["workers"]] == ["Alice", "Bob"]
    assert texts(run)["Bob"].startswith("tock tock ")


def test_a_persons_words_reach_the_worker(endless_bench: Workbench) -> None:
    run = endless_bench.run("What?", workers=1)
    run.say("slower")
    (said,) = list(_until(run, "person"))
    assert (said.payload.worker, said.payload.text) == ("Alice", "(slower)")
    run.stop()
    assert run.wait(LIMIT_S)


def _until(run: Run, source: str) -> Iterator[Any]:
    """The first text from this source."""
    for event in run.events():
        if isinstance(event.payload, ev.TextInjected) and event.payload.source == source:
            yield event
            return


# Several runs.


def test_runs_on_one_engine_at_once_say_what_they_say_alone(tmp_path: Path) -> None:
    with Workbench(data_dir=tmp_path) as bench:
        alone = []
        for task in TASKS:
            run = bench.run(task)
            assert run.wait(LIMIT_S)
            alone.append((run.answer, [one["answer"] for one in run.items], texts(run)))
        together = [bench.run(task) for task in TASKS]
        assert all(run.wait(LIMIT_S) for run in together)
        assert [(run.answer, [one["answer"] for one in run.items], texts(run)) for run in together] == alone
        assert len({str(said) for _, _, said in alone}) == len(TASKS)
        assert [one.task for one in bench.log.runs()][: len(TASKS)] == [run._task for run in reversed(together)]


def test_one_seed_gives_the_same_tokens_twice_and_another_seed_others(tmp_path: Path) -> None:
    with Workbench(data_dir=tmp_path, temperature=1.5, max_tokens=25) as bench:
        runs = [bench.run(TASKS[0], seed=seed) for seed in (1, 2)]
        assert all(run.wait(LIMIT_S) for run in runs)
        again = bench.run(TASKS[0], seed=1)
        assert texts(again) == texts(runs[0])
        assert texts(runs[1]) != texts(runs[0])


def test_a_run_whose_task_is_too_long_fails_alone(bench: Workbench) -> None:
    good, bad, other = bench.run("What?"), bench.run("x" * 5000), bench.run("What?")
    with pytest.raises(UsageError, match=r"6,\d\d\d tokens long and the model holds 2,048"):
        _ = bad.answer
    assert bad.status == "failed"
    assert bench.log.summary(bad.id).status == "failed"
    assert (good.answer, other.answer) == ("It is 42.", "It is 42.")


# Bad requests.


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"workers": 0}, "between 1 and 8"),
        ({"workers": 9}, "between 1 and 8"),
        ({"workers": 2.0}, "between 1 and 8"),
        ({"layout": "diagonal"}, "contiguous, interleaved"),
        ({"layout": Layout("own", lambda given, worker: given.open[worker])}, "hogwild.Collaboration"),
        ({"max_tokens": 0}, "max_tokens must be at least 1"),
        ({"max_run_tokens": -1}, "max_run_tokens must be at least 1"),
        ({"max_tokens": "many"}, "max_tokens must be at least 1"),
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"colour": "red"}, "no setting 'colour'"),
    ],
    ids=str,
)
def test_a_setting_that_makes_no_sense_is_refused_at_once(bad: dict[str, Any], said: str, bench: Workbench) -> None:
    before = len(bench.log.runs())
    with pytest.raises(UsageError, match=said) as error:
        bench.run("What?", **bad)
    assert "\n" not in str(error.value)
    assert len(bench.log.runs()) == before


@pytest.mark.parametrize(
    "task", ["", " \n", "\0", "x" * 200_001, None], ids=["empty", "blank", "binary", "huge", "none"]
)
def test_a_task_that_is_none_is_refused_at_once(task: Any, bench: Workbench) -> None:
    before = len(bench.log.runs())
    with pytest.raises(UsageError):
        bench.run(task)
    assert len(bench.log.runs()) == before


def test_a_temperature_that_is_no_number_is_refused(bench: Workbench) -> None:
    with pytest.raises(UsageError, match="temperature"):
        bench.run("What?", temperature="hot")


@pytest.mark.parametrize("seed", [None, "seven", 2**64], ids=str)
def test_a_seed_that_is_none_is_refused_and_ends_no_other_run(
    seed: Any, model: str, tmp_path: Path, deaths: list[str]
) -> None:
    with Workbench(model, data_dir=tmp_path) as bench:
        with pytest.raises(WorkbenchError, match="seed"):
            _ = ended(bench.run("What?", seed=seed), deaths).answer
        assert ended(bench.run("What?"), deaths).answer == "It is 42."


def test_a_task_that_is_no_unicode_is_refused_and_ends_no_other_run(
    model: str, tmp_path: Path, deaths: list[str]
) -> None:
    """As a shell hands it over that was given Latin-1."""
    with Workbench(model, data_dir=tmp_path) as bench:
        with pytest.raises(WorkbenchError):
            _ = ended(bench.run("na\udcefve?"), deaths).answer
        assert ended(bench.run("What?"), deaths).answer == "It is 42."


@pytest.mark.parametrize(
    "words", [{**WORDS, "heading": "x"}, {"rules": 5}, [], None], ids=["unknown", "typed", "list", "json"]
)
def test_a_prompting_that_cannot_be_read_is_one_clear_sentence(words: Any, tmp_path: Path, deaths: list[str]) -> None:
    folder = save(tmp_path / "model", *CHAINS)
    (folder / "prompting.json").write_text("{" if words is None else json.dumps(words))
    with Workbench(str(folder), data_dir=tmp_path) as bench, pytest.raises(WorkbenchError, match=r"prompting") as error:
        _ = ended(bench.run("What?"), deaths).answer
    assert "\n" not in str(error.value)


def test_a_device_that_is_not_supported_is_one_clear_sentence(model: str, tmp_path: Path, deaths: list[str]) -> None:
    with Workbench(model, device="mps", data_dir=tmp_path) as bench, pytest.raises(WorkbenchError, match="device"):
        _ = ended(bench.run("What?"), deaths).answer


def test_a_model_that_is_not_there_fails_every_run_that_asks_for_it(tmp_path: Path) -> None:
    with Workbench(str(tmp_path / "nowhere"), data_dir=tmp_path) as bench:
        for run in (bench.run("What?"), bench.run("And?")):
            with pytest.raises(UsageError, match="nowhere"):
                _ = run.answer
            assert run.status == "failed"
            (finished,) = of(run, ev.RunFinished)
            assert finished.error == str(run._error)


def test_a_model_whose_weights_are_cut_short_is_one_clear_sentence(tmp_path: Path) -> None:
    folder = save(tmp_path / "model", *CHAINS)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with Workbench(str(folder), data_dir=tmp_path) as bench, pytest.raises(ModelError, match="fetch the model again"):
        _ = bench.run("What?").answer


def test_an_engine_that_breaks_outside_of_a_run_ends_every_run_with_a_sentence_and_another_can_begin(
    endless: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(host: Host) -> None:
        raise ImportError("cannot import name 'X' from partially initialized module 'y'")

    with Workbench(endless, data_dir=tmp_path / "data") as bench:
        first = bench.run(TASKS[0])
        next(event for event in first.events() if isinstance(event.payload, ev.TokensAdded))
        monkeypatch.setattr(Host, "_grant_wishes", broken)
        for run in (first, bench.run(TASKS[1])):
            assert run.wait(LIMIT_S)
            with pytest.raises(WorkbenchError, match="broke off: ImportError: cannot import name 'X'"):
                _ = run.answer
        monkeypatch.undo()
        later = bench.run(TASKS[1])
        later.stop()
        assert later.wait(LIMIT_S)
        assert (first.status, later.status) == ("failed", "stopped")


def test_a_run_whose_workers_all_wait_for_nothing_is_ended_with_a_sentence_and_not_waited_for(
    endless_bench: Workbench, deaths: list[str]
) -> None:
    run = endless_bench.run("What?")
    for name in ("Alice", "Bob"):
        run._wish(lambda driver, name=name: driver.run.hold(name))
    with pytest.raises(WorkbenchError, match="no worker can go on"):
        _ = ended(run, deaths).answer
    assert endless_bench.run("What?", max_tokens=2).answer == "Never."


def test_an_awaited_run_that_fails_raises_its_sentence(bench: Workbench) -> None:
    async def wait() -> None:
        await bench.run("x" * 5000)

    with pytest.raises(UsageError, match="tokens long"):
        asyncio.run(wait())


def test_workers_have_the_names_of_the_prompting(tmp_path: Path) -> None:
    folder = save(tmp_path / "model", *CHAINS, words={**WORDS, "names": ["Zoe", "Carol"]})
    with Workbench(str(folder), data_dir=tmp_path) as bench:
        assert [one["name"] for one in bench.run("What?").metrics["workers"]] == ["Zoe", "Carol"]


# The end of a workbench.


def test_closing_stops_what_still_runs_and_nothing_starts_after_it(endless: str, tmp_path: Path) -> None:
    bench = Workbench(endless, data_dir=tmp_path)
    runs = [bench.run("What?"), bench.run("And?")]
    next(event for event in runs[0].events() if event.kind == "tokens_added")
    bench.close()
    bench.close()
    assert [run.status for run in runs] == ["stopped", "stopped"]
    assert [one.status for one in RunLog(log_path(tmp_path)).runs()] == ["stopped", "stopped"]
    with pytest.raises(UsageError, match="closed"):
        bench.run("What?")


def test_the_engine_rests_while_every_run_waits_and_a_new_ones_library_is_still_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go, running, learnt, rests = (threading.Event() for _ in range(4))

    def hang() -> str:
        """Never returns by itself."""
        running.set()
        let_go.wait(LIMIT_S)
        return "late"

    folder = save(tmp_path / "model", ["# Alice\n", call("hang")])
    with Workbench(str(folder), workers=1, data_dir=tmp_path, tools={"hang": Tool.from_function(hang)}) as bench:
        monkeypatch.setattr(bench.learning, "settle", lambda: learnt.wait(LIMIT_S))
        wait = bench._changed.wait

        def watched(timeout_s: float | None = None) -> bool:
            if bench._waiting:
                rests.set()
            return wait(timeout_s)

        monkeypatch.setattr(bench._changed, "wait", watched)
        try:
            bench.run("What?")
            assert running.wait(LIMIT_S)
            late = bench.run("What?", memory="continual")
            assert rests.wait(20)
        finally:
            let_go.set()
            learnt.set()
        assert late.wait(LIMIT_S)


def test_a_closed_workbench_neither_forks_nor_resumes(model: str, tmp_path: Path) -> None:
    """Its engine's thread is gone: whoever waited for such a run would wait for ever."""
    with Workbench(model, data_dir=tmp_path) as bench:
        run = bench.run(TASKS[0])
        assert run.wait(60)
    before = len(bench.log.runs())
    for begin in (run.fork, lambda: bench.resume(run.id)):
        with pytest.raises(UsageError, match="is closed"):
            begin()
    assert len(bench.log.runs()) == before


def test_a_workbench_begins_nothing_in_a_fork_of_its_process(bench: Workbench) -> None:
    """As `multiprocessing` makes them: the engine's thread is not there, so its runs would never begin."""
    child = os.fork()
    if not child:
        code = 1
        with contextlib.suppress(BaseException):
            try:
                bench.run(TASKS[0])
            except UsageError as error:
                code = 0 if "make a new one here" in str(error) else 2
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_run_that_has_ended_takes_no_words_and_no_workers(bench: Workbench) -> None:
    run = bench.run(TASKS[0])
    assert run.wait(60)
    for steer in (lambda: run.say("hello"), run.add_worker, lambda: run.set_sampling(temperature=1)):
        with pytest.raises(UsageError, match=r"has ended \(\w+\): there is nothing to steer"):
            steer()


def test_a_model_may_be_named_by_a_path(model: str, tmp_path: Path) -> None:
    with Workbench(Path(model), data_dir=tmp_path) as bench:
        assert bench.run(TASKS[0]).wait(60)
        assert bench.log.runs()[0].model == model
    with pytest.raises(UsageError, match="The model must be a name or a directory; it is 5"):
        Workbench(5)  # type: ignore[arg-type]


def test_a_workbench_that_ran_nothing_closes(tmp_path: Path) -> None:
    with Workbench(data_dir=tmp_path):
        pass


def test_closing_does_not_wait_for_a_tool_that_never_returns(tmp_path: Path) -> None:
    let_go, running = threading.Event(), threading.Event()

    def hang() -> str:
        """Never returns by itself."""
        running.set()
        let_go.wait(LIMIT_S)
        return "late"

    folder = save(tmp_path / "model", ["# Alice\n", call("hang")])
    bench = Workbench(str(folder), workers=1, data_dir=tmp_path, tools={"hang": Tool.from_function(hang)})
    run = bench.run("What?")
    closing = threading.Thread(target=bench.close, daemon=True)
    try:
        assert running.wait(LIMIT_S)
        run.stop()
        assert run.wait(LIMIT_S)
        closing.start()
        closing.join(2.0)
        assert not closing.is_alive()
    finally:
        let_go.set()
        closing.join(LIMIT_S)


# The log.


def test_a_log_that_is_held_by_another_program_ends_the_run_with_one_sentence(endless: str, tmp_path: Path) -> None:
    """What was saved before is kept, the run counts as interrupted, and the next run goes on."""
    with Workbench(endless, data_dir=tmp_path) as bench:
        bench.log = RunLog(log_path(tmp_path), busy_timeout_s=0.2)
        run = bench.run("What?")
        seen = next(event.seq for event in run.events() if event.kind == "tokens_added")
        held = sqlite3.connect(log_path(tmp_path), isolation_level=None)
        held.execute("BEGIN EXCLUSIVE")
        try:
            assert run.wait(LIMIT_S)
        finally:
            held.execute("ROLLBACK")
            held.close()
        with pytest.raises(LogError, match=r"held by another program") as error:
            _ = run.answer
        assert "\n" not in str(error.value)
        assert len(bench.log.events(run.id)) >= seen
        assert bench.run("What?", max_tokens=3).answer == "Never."


def test_a_run_that_could_not_be_recorded_is_not_said_to_be_running(endless: str, tmp_path: Path) -> None:
    with Workbench(endless, data_dir=tmp_path) as bench:
        bench.log = RunLog(log_path(tmp_path), busy_timeout_s=0.2)
        run = bench.run("What?")
        next(event for event in run.events() if event.kind == "tokens_added")
        held = sqlite3.connect(log_path(tmp_path), isolation_level=None)
        held.execute("BEGIN EXCLUSIVE")
        try:
            assert run.wait(LIMIT_S)
        finally:
            held.execute("ROLLBACK")
            held.close()
        assert bench.log.summary(run.id).status != "running"


def test_two_benches_share_a_log(model: str, endless: str, tmp_path: Path) -> None:
    with Workbench(model, data_dir=tmp_path) as one, Workbench(endless, data_dir=tmp_path, max_tokens=5) as two:
        runs = [one.run("What?"), two.run("What?")]
        assert [run.answer for run in runs] == ["It is 42.", "Never."]
        assert {summary.run_id for summary in one.log.runs()} == {run.id for run in runs}


# In a notebook.


def test_a_run_displays_itself_while_it_runs_and_after(endless_bench: Workbench) -> None:
    run = endless_bench.run("What?")
    shown = _shown(run)
    assert run.status == "running"
    assert {"text/html", "text/plain", "application/vnd.jupyter.widget-view+json"} <= set(shown)
    run.stop()
    assert run.wait(LIMIT_S)
    assert "stopped" in _shown(run)["text/plain"]


def _shown(run: Run) -> dict[str, Any]:
    made = run._repr_mimebundle_(include=None, exclude=None)
    data: dict[str, Any] = made[0] if isinstance(made, tuple) else made
    return data


def test_a_run_can_be_written_as_a_notebook_while_it_runs_and_after(endless_bench: Workbench, tmp_path: Path) -> None:
    run = endless_bench.run("What?")
    next(event for event in run.events() if event.kind == "tokens_added")
    assert json.loads(run.export(tmp_path / "early.ipynb").read_text())["nbformat"] == 4
    run.stop()
    assert run.wait(LIMIT_S)
    assert run.id in run.export(tmp_path / "late.ipynb").read_text()
