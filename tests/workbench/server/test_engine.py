"""The engine's own process behind the server: started by the first run, steered, killed, restarted by one request."""

import asyncio
import json
import os
import re
import signal
import stat
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tornado.httpclient import HTTPClientError

sys.path.append(str(Path(__file__).parents[2] / "hogwild"))

from scripted_model import call, save

from toolsets.policy import CallPolicy
from workbench import Workbench
from workbench.engine.client import EngineClient
from workbench.engine.service import _plain
from workbench.errors import EngineError, UsageError
from workbench.log import RunLog
from workbench.server.desk import Desk, most_telling

FOR_EVER = (
    ["# Alice\n", "tick ", "tick "],
    ["# Bob\n", "tock ", "tock "],
    ["# Carol\n", call("gcd", a=84, b=126)],
    ["Joint answer:\n", "Never."],
)
TASK = "What?"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save(tmp_path_factory.mktemp("endless"), *FOR_EVER, max_positions=200_000))


@pytest.fixture
def engine(model: str, data_dir: Path) -> Any:
    client = EngineClient(model)
    yield client
    client.stop()


async def post(fetch: Any, *path: str, key: str = "", **body: Any) -> Any:
    headers = {"Idempotency-Key": key} if key else {}
    reply = await fetch(
        "workbench", "api", *path, method="POST", body=json.dumps(body), headers=headers, request_timeout=120
    )
    return json.loads(reply.body)


async def status(fetch: Any) -> dict[str, Any]:
    return dict(json.loads((await fetch("workbench", "api", "status")).body)["engine"])


async def events_until(log: RunLog, run_id: str, kind: str) -> Any:
    """The first event of this kind."""

    def wait() -> Any:
        return next(event for event in log.follow(run_id, timeout_s=60) if event.kind == kind)

    return await asyncio.to_thread(wait)


async def test_a_run_is_started_steered_and_survives_until_its_engine_is_killed(
    jp_fetch: Any, log: RunLog, model: str, engine: EngineClient
) -> None:
    assert (await status(jp_fetch))["state"] == "absent"
    settings = {"model": model, "workers": 2}
    started = await post(jp_fetch, "runs", key="once", task=TASK, settings=settings)
    again = await post(jp_fetch, "runs", key="once", task=TASK, settings=settings)
    run_id = started["run_id"]
    assert again["run_id"] == run_id
    found = await status(jp_fetch)
    assert found["state"] == "busy"
    assert found["pid"] != os.getpid()

    await events_until(log, run_id, "tokens_added")
    for _ in range(2):
        told = await post(jp_fetch, "runs", run_id, "control", key="k1", command="pause")
        assert told == {"key": "k1", "accepted": True}
    await post(jp_fetch, "runs", run_id, "control", key="k2", command="say", text="slower", worker="Bob", when="queued")
    line = await events_until(log, run_id, "say_queued")
    assert (line.payload.text, line.payload.when) == ("slower", "queued")
    with pytest.raises(HTTPClientError) as refused:
        await post(jp_fetch, "runs", run_id, "control", command="fly")
    assert refused.value.code == 400
    commands = [event.payload.command for event in log.events(run_id) if event.kind == "steered"]
    assert commands == ["pause"]

    os.kill(found["pid"], signal.SIGKILL)
    async with asyncio.timeout(10):
        while (await status(jp_fetch))["state"] != "dead":
            await asyncio.sleep(0.02)
    assert log.summary(run_id).status == "interrupted"
    again = (await post(jp_fetch, "engine", action="restart"))["engine"]
    assert again["state"] == "ready"
    assert again["pid"] != found["pid"]


def test_only_its_owner_reaches_an_engine_and_only_with_its_secret(engine: EngineClient, model: str) -> None:
    engine.start()
    place = engine.place
    assert stat.S_IMODE(place.socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.info.stat().st_mode) == 0o600
    info = place.read()
    assert info is not None
    place.write(info | {"secret": "guessed"})
    with pytest.raises(EngineError, match="secret"):
        engine.call("status")
    place.write(info)
    with pytest.raises(UsageError, match="does not know"):
        engine.call("close")
    with Workbench(model, engine="process") as bench:
        run = bench.run(TASK, workers=1)
        assert run.status == "running"
    other = Workbench(model, engine="process")  # the run outlives the bench that started it
    assert engine.status()["runs"] == [run.id]
    run.stop()
    assert run.wait(60)
    assert run.status == "stopped"
    attached = other.attach(run.id)
    assert (attached.answer, attached.status) == (run.answer, "stopped")
    with pytest.raises(EngineError, match="device cpu, not cuda"):
        Workbench(model, engine="process", device="cuda").run(TASK)
    other.close()
    assert engine.stop()["state"] == "absent"
    assert not place.socket.exists()


def test_a_call_in_the_engines_process_is_approved_and_its_result_read_from_here(
    engine: EngineClient, model: str
) -> None:
    with Workbench(model, engine="process", memory="none") as bench:
        with pytest.raises(UsageError, match="no 'aproval'"):
            bench.run(TASK, policy={"aproval": True})
        run = bench.run(TASK, workers=3, policy=CallPolicy(approval=True))
        next(event for event in run.events() if event.kind == "approval_asked")
        (asked,) = run.pending
        assert (asked.tool, asked.arguments) == ("gcd", {"a": 84, "b": 126})
        with pytest.raises(UsageError, match="Call c9 does not wait"):
            run.approve("c9")
        with pytest.raises(UsageError, match="b of gcd must be a whole number, not 'ten'"):
            run.approve(asked, arguments={"a": 84, "b": "ten"})
        assert run.pending == (asked,)
        run.approve(asked, arguments={"a": 84, "b": 10}, key="once")  # or asked.call, its name
        run.approve(asked, arguments={"a": 84, "b": 12}, key="once")
        next(event for event in run.events() if event.kind == "call_finished")
        assert run.pending == ()
        assert run.results == {asked.call: 2}
        run.stop()
        assert run.wait(60)
        assert run.pending == ()


def test_a_run_in_the_engines_process_pauses_at_its_breakpoints(engine: EngineClient, model: str) -> None:
    with Workbench(model, engine="process", memory="none") as bench:
        run = bench.run(TASK, workers=3, break_at=[{"tool": "gcd"}, {"text": re.compile("never", re.IGNORECASE)}])
        hit = run.next_break(60)
        assert hit is not None
        assert (hit.breakpoint, hit.call) == ("b1", "c1")
        assert run.view().calls["c1"].state == "planned"
        assert [str(one) for one in run.breakpoints.values()] == ["before gcd", "at /never/i"]
        with pytest.raises(UsageError, match="works in the process of its run only"):
            run.break_when(lambda event: True)
        with pytest.raises(UsageError, match="works in the process of its run only"):
            bench.run(TASK, break_at=lambda event: True)
        assert run.break_at(step=hit.step + 2) == "b3"
        run.remove_breakpoint("b1")
        child = run.fork(hit.step, break_at={"step": hit.step + 1})
        run.resume()
        again, ours = run.next_break(60), child.next_break(60)
        assert again is not None
        assert (again.breakpoint, again.step) == ("b3", hit.step + 2)
        assert ours is not None
        assert (ours.breakpoint, ours.step) == ("b3", hit.step + 1), "the fork begins where b1 had paused its parent"
        for one in (run, child):
            one.stop()
            assert one.wait(60)
        assert list(child.breakpoints) == ["b1", "b2", "b3"]


async def test_a_breakpoint_is_set_over_rest_and_refused_in_a_sentence(
    jp_fetch: Any, log: RunLog, model: str, engine: EngineClient
) -> None:
    workers = ["Alice", {"name": "Bob", "temperature": 0.5, "tools": ["gcd"], "instruction": "Be quick."}]
    settings = {"model": model, "workers": workers, "memory": "none", "break_at": [{"step": 3}]}
    run_id = (await post(jp_fetch, "runs", task=TASK, settings=settings))["run_id"]
    hit = await events_until(log, run_id, "breakpoint_hit")
    assert (hit.payload.breakpoint, hit.payload.step) == ("b1", 3)
    alice, bob = [one.payload for one in log.events(run_id) if one.kind == "worker_added"]
    assert (alice.worker, alice.tools, alice.sampling["temperature"]) == ("Alice", None, 0.0)
    assert (bob.worker, bob.tools, bob.sampling["temperature"], bob.instruction) == ("Bob", ["gcd"], 0.5, "Be quick.")
    told = await post(jp_fetch, "runs", run_id, "control", key="k1", command="break_at", tool="gcd")
    assert told["breakpoint"] == "b2"
    for wrong in ({"tool": "gdc"}, {"step": 3.5}, {"pattern": "("}, {"when": "x"}, {}):
        with pytest.raises(HTTPClientError) as refused:
            await post(jp_fetch, "runs", run_id, "control", command="break_at", **wrong)
        assert refused.value.code == 400
    await post(jp_fetch, "runs", run_id, "control", command="stop")
    await events_until(log, run_id, "run_finished")


async def test_a_run_is_forked_resumed_and_compared_over_rest(
    jp_fetch: Any, jp_ws_fetch: Any, log: RunLog, model: str, engine: EngineClient
) -> None:
    run_id = (await post(jp_fetch, "runs", task=TASK, settings={"model": model, "max_tokens": 2000}))["run_id"]
    await events_until(log, run_id, "tokens_added")
    given = {"step": 1, "say": "slower", "worker": "Bob", "sampling": {"temperature": 0.5}}
    child = (await post(jp_fetch, "runs", run_id, "fork", key="once", **given))["run_id"]
    assert (await post(jp_fetch, "runs", run_id, "fork", key="once", **given))["run_id"] == child
    line = await events_until(log, child, "sampling_changed")
    assert line.payload.sampling["temperature"] == 0.5
    assert log.summary(child).parent["run_id"] == run_id
    for wrong in ({"steps": 1}, {"step": "1"}, {"replace": "x"}, {"step": 10**6}):
        with pytest.raises(HTTPClientError) as refused:
            await post(jp_fetch, "runs", run_id, "fork", **wrong)
        assert refused.value.code == 400

    panel = await jp_ws_fetch("workbench", "api", "runs", child, "events")
    assert json.loads(await panel.read_message())["live"]
    os.kill((await status(jp_fetch))["pid"], signal.SIGKILL)
    async with asyncio.timeout(10):
        while (frame := json.loads(await panel.read_message()))["frame"] != "engine":
            assert frame["frame"] == "events"
    assert frame["state"] == "dead"
    assert (await status(jp_fetch))["state"] == "dead"
    before = log.summary(child).events
    assert (await post(jp_fetch, "runs", child, "resume"))["run_id"] == child
    await events_until(log, child, "run_resumed")
    await asyncio.to_thread(lambda: next(e for e in log.follow(child, before, 60) if e.kind == "tokens_added"))
    with pytest.raises(HTTPClientError) as refused:
        await post(jp_fetch, "runs", child, "resume")
    assert refused.value.code == 400
    await post(jp_fetch, "runs", child, "control", command="stop")
    await events_until(log, child, "run_finished")

    found = json.loads((await jp_fetch("workbench", "api", "runs", "compare", params={"a": run_id, "b": child})).body)
    assert found["aligned"]["run"] == run_id
    assert found["aligned"]["step"] == 1
    assert {pair["name"] for pair in found["workers"]} == {"Alice", "Bob"}
    proof = await post(jp_fetch, "runs", child, "prove")
    assert proof["proved"], proof


def test_all_engines_that_are_there_are_told_and_none_that_is_not(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    assert desk.status()["engines"] == []
    engines = [EngineClient(str(save(tmp_path / name, ["tick "])), tmp_path) for name in ("one", "two", "three")]
    try:
        for engine in engines:
            engine.start()
        os.kill(engines[2].status()["pid"], signal.SIGKILL)
        while engines[2].place.is_held():
            time.sleep(0.02)
        told = {one["model"]: one["state"] for one in desk.status()["engines"]}
        assert told == {str(tmp_path / "one"): "ready", str(tmp_path / "two"): "ready"}
    finally:
        for engine in engines:
            engine.stop()


def test_the_engine_that_works_is_shown_rather_than_an_idle_one() -> None:
    absent, ready, busy, dead = ({"state": state} for state in ("absent", "ready", "busy", "dead"))
    assert most_telling(ready, [absent, busy]) is busy
    assert most_telling(ready, [dead, absent]) is ready
    assert most_telling(absent, [absent, ready, busy]) is busy
    assert most_telling(absent, [dead, ready]) is ready
    assert most_telling(dead, [busy]) is dead


def test_a_result_that_json_has_no_form_for_comes_as_text() -> None:
    assert _plain({(1, 2): 3}) == "{(1, 2): 3}"
    endless: list[Any] = []
    endless.append(endless)
    assert _plain(endless) == "[[...]]"
