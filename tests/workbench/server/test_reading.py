"""What the server extension shows of the run log, over REST and WebSocket, on a real Jupyter server."""

import asyncio
import json
from typing import Any

import pytest
from recorded import record
from staged_runs import HOSTILE, Story, worksheet
from tornado.httpclient import HTTPClientError

from workbench import events as ev
from workbench.event_json import to_json
from workbench.log import RunLog
from workbench.writer import RunWriter


async def api(fetch: Any, *path: str, **given: Any) -> Any:
    reply = await fetch("workbench", "api", *path, **given)
    return json.loads(reply.body) if reply.body else None


async def frames(socket: Any) -> list[dict[str, Any]]:
    """All frames until the farewell."""
    found = []
    while not found or found[-1]["frame"] != "end":
        text = await asyncio.wait_for(socket.read_message(), 20)
        assert text is not None, "the socket was closed without a farewell"
        found.append(json.loads(text))
    return found


def events_of(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event for frame in found if frame["frame"] == "events" for event in frame["events"]]


async def test_runs_are_listed_newest_first_and_page_by_page(jp_fetch: Any, log: RunLog) -> None:
    for name in ("first", "second", "third"):
        record(log, worksheet(), name)
    page = await api(jp_fetch, "runs", params={"limit": "2"})
    assert [run["run_id"] for run in page["runs"]] == ["third", "second"]
    assert page["more"]
    rest = await api(jp_fetch, "runs", params={"limit": "2", "before": "second"})
    assert [run["run_id"] for run in rest["runs"]] == ["first"]
    assert not rest["more"]
    (run,) = rest["runs"]
    assert (run["status"], run["layout"], run["workers"], run["live"]) == ("solved", "contiguous", 2, False)


async def test_runs_are_searched_in_their_text_literally(jp_fetch: Any, log: RunLog) -> None:
    for name, task in (("a", "100% of it"), ("b", "100 of it"), ("c", "an under_score")):
        story = Story()
        story.begin(["Alice"], task=task)
        story.finish("unanswered")
        record(log, story.events, name)
    for search, expected in (("100%", ["a"]), ("_score", ["c"]), ("OF IT", ["b", "a"]), ("'; DROP", [])):
        page = await api(jp_fetch, "runs", params={"search": search})
        assert [run["run_id"] for run in page["runs"]] == expected


async def test_a_finished_run_comes_whole_over_the_socket(jp_ws_fetch: Any, log: RunLog) -> None:
    run_id = record(log, worksheet())
    found = await frames(await jp_ws_fetch("workbench", "api", "runs", run_id, "events"))
    assert found[0]["frame"] == "hello"
    assert not found[0]["live"]
    assert events_of(found) == [to_json(event) for event in log.events(run_id)]
    last = {"frame": "end", "last_seq": len(log.events(run_id)), "status": "solved"}
    assert found[-1] == last | {"finished": True, "interrupted": False}


async def test_a_client_that_comes_back_gets_what_it_has_not_seen(jp_ws_fetch: Any, log: RunLog) -> None:
    run_id = record(log, worksheet())
    socket = await jp_ws_fetch("workbench", "api", "runs", run_id, "events", params={"since": "30"})
    seqs = [event["seq"] for event in events_of(await frames(socket))]
    assert seqs == list(range(31, len(log.events(run_id)) + 1))


async def test_two_tabs_see_every_event_once_while_the_run_goes_on(
    jp_ws_fetch: Any, log: RunLog, writer: RunWriter
) -> None:
    story = worksheet()
    writer.append(story[0].payload)
    tabs = [await jp_ws_fetch("workbench", "api", "runs", "live-run", "events") for _ in range(2)]
    watching = [asyncio.ensure_future(frames(tab)) for tab in tabs]
    for event in story[1:]:
        await asyncio.to_thread(writer.append, event.payload)
    for found in await asyncio.gather(*watching):
        assert [event["seq"] for event in events_of(found)] == list(range(1, len(story) + 1))


async def test_frames_come_at_most_thirty_times_a_second(jp_ws_fetch: Any, log: RunLog, writer: RunWriter) -> None:
    story = worksheet()
    writer.append(story[0].payload)
    watching = asyncio.ensure_future(frames(await jp_ws_fetch("workbench", "api", "runs", "live-run", "events")))
    loop = asyncio.get_running_loop()
    began = loop.time()
    for event in story[1:]:
        await asyncio.to_thread(writer.append, event.payload)
        await asyncio.to_thread(writer.flush)
    found = await watching
    took_s = loop.time() - began
    assert sum(frame["frame"] == "events" for frame in found) <= 30 * took_s + 2


async def test_a_run_whose_process_is_gone_is_told_as_interrupted(jp_ws_fetch: Any, log: RunLog) -> None:
    writer = log.open_run("lost", "task", "embedded")
    writer.append(worksheet()[0].payload)
    socket = await jp_ws_fetch("workbench", "api", "runs", "lost", "events")
    watching = asyncio.ensure_future(frames(socket))
    await asyncio.to_thread(writer.close)  # without RunFinished: what a killed process leaves behind
    *_, dead, end = await asyncio.wait_for(watching, 2)
    assert dead == {"frame": "engine", "state": "dead"}
    assert (end["last_seq"], end["status"], end["interrupted"]) == (1, "interrupted", True)


async def test_text_that_json_cannot_hold_arrives_all_the_same(jp_ws_fetch: Any, jp_fetch: Any, log: RunLog) -> None:
    story = Story()
    story.begin(["Alice"])
    story.events.append(
        ev.Event("x", 99, 0.0, ev.CallPlanned("c1", "Alice", "gcd", {"a": float("nan"), "b": "\ud83d"}, HOSTILE))
    )
    run_id = record(log, story.events)
    page = await api(jp_fetch, "runs", run_id, "log", params={"since": str(len(story.events) - 1)})
    (planned,) = page["events"]
    assert planned["arguments"] == {"a": "nan", "b": "\ud83d"}
    assert planned["raw"] == HOSTILE
    assert events_of(await frames(await jp_ws_fetch("workbench", "api", "runs", run_id, "events")))[-1] == planned


async def test_an_event_of_a_newer_version_cannot_pass_for_another(jp_fetch: Any, log: RunLog) -> None:
    with log.open_run("newer", "task", "embedded") as writer:
        writer.append(ev.UnknownEvent("from_the_future", {"seq": 77, "run_id": "another", "kind": "run_finished"}))
    (event,) = (await api(jp_fetch, "runs", "newer", "log"))["events"]
    assert (event["seq"], event["run_id"], event["kind"]) == (1, "newer", "from_the_future")


async def test_polling_gives_the_same_events_page_by_page(jp_fetch: Any, log: RunLog) -> None:
    run_id = record(log, worksheet())
    got, since = [], 0
    while True:
        page = await api(jp_fetch, "runs", run_id, "log", params={"since": str(since), "limit": "17"})
        if not page["events"]:
            break
        got += page["events"]
        since = page["last_seq"]
    assert got == [to_json(event) for event in log.events(run_id)]


async def test_a_deleted_run_is_gone_and_a_running_one_stays(jp_fetch: Any, log: RunLog, writer: RunWriter) -> None:
    run_id = record(log, worksheet())
    await api(jp_fetch, "runs", run_id, method="DELETE")
    for path, method, code in (((run_id,), "GET", 404), (("live-run",), "DELETE", 400)):
        with pytest.raises(HTTPClientError) as refused:
            await jp_fetch("workbench", "api", "runs", *path, method=method)
        assert refused.value.code == code
        assert set(json.loads(refused.value.response.body)) == {"message", "code"}


async def test_a_log_that_is_no_log_is_an_error_with_a_sentence(jp_fetch: Any, data_dir: Any) -> None:
    data_dir.mkdir()
    (data_dir / "runs.sqlite3").write_bytes(b"not a database at all" * 100)
    with pytest.raises(HTTPClientError) as refused:
        await jp_fetch("workbench", "api", "runs")
    told = json.loads(refused.value.response.body)
    assert told["code"] == "log_damaged"
    assert "move the file away" in told["message"]


async def test_a_run_that_no_engine_does_is_said_to_be_steered_elsewhere(
    jp_ws_fetch: Any, log: RunLog, writer: RunWriter
) -> None:
    writer.append(worksheet()[0].payload)
    writer.flush()
    socket = await jp_ws_fetch("workbench", "api", "runs", "live-run", "events")
    hello = json.loads(await asyncio.wait_for(socket.read_message(), 30))
    assert (hello["live"], hello["steered"]) == (True, False)
    socket.close()
