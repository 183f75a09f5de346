"""A run as an OpenTelemetry trace: which spans there are, what they say, and what they must not say.

In: staged runs, and one of the embedded model. Out: the trace's JSON, read as a collector reads it. Neighbours:
`workbench.export_trace`; `test_export.py` for notebooks and pages.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from staged_runs import HOSTILE, Story, worksheet

from workbench import Workbench
from workbench import events as ev
from workbench.errors import UsageError
from workbench.export import export_run
from workbench.export_trace import trace_json


def spans_of(events: Sequence[ev.Event]) -> dict[str, dict[str, Any]]:
    """By name of the run, the worker or the call, with attributes as a mapping."""
    (resource,) = json.loads(trace_json(events))["resourceSpans"]
    (scope,) = resource["scopeSpans"]
    found = {}
    for span in scope["spans"]:
        facts = {one["key"]: next(iter(one["value"].values())) for one in span["attributes"]}
        name = facts.get("gen_ai.tool.call.id") or facts.get("gen_ai.agent.name") or "run"
        found[name] = span | {"facts": facts}
    return found


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> list[ev.Event]:
    with Workbench(data_dir=tmp_path_factory.mktemp("log"), memory="none") as bench:
        run = bench.run("1. What is 15 percent of 240?\n2. Is 97 a prime number?")
        run.wait()
        return list(run.events())


def test_a_run_is_a_span_above_its_workers_and_their_calls(real: list[ev.Event]) -> None:
    spans = spans_of(real)
    assert set(spans) == {"run", "Alice", "Bob", "c1", "c2"}
    assert "parentSpanId" not in spans["run"]
    assert {spans[name]["parentSpanId"] for name in ("Alice", "Bob")} == {spans["run"]["spanId"]}
    for call in ("c1", "c2"):
        assert spans[call]["parentSpanId"] == spans[spans[call]["facts"]["gen_ai.agent.name"]]["spanId"]
    assert len({span["traceId"] for span in spans.values()}) == 1
    assert len({span["spanId"] for span in spans.values()}) == 5
    assert {len(span["traceId"]) for span in spans.values()} == {32}
    assert {len(span["spanId"]) for span in spans.values()} == {16}


def test_spans_tell_times_tokens_arguments_and_results(real: list[ev.Event]) -> None:
    spans = spans_of(real)
    (finished,) = [event.payload for event in real if isinstance(event.payload, ev.RunFinished)]
    tokens = {one["name"]: str(one["tokens"]) for one in finished.metrics["workers"]}
    assert {name: spans[name]["facts"]["gen_ai.usage.output_tokens"] for name in tokens} == tokens
    by_tool = {span["facts"].get("gen_ai.tool.name"): span for span in spans.values()}
    asked = by_tool["percent_of"]
    assert asked["name"] == "execute_tool percent_of"
    assert sorted(json.loads(asked["facts"]["gen_ai.tool.call.arguments"]).values()) == [15, 240]
    assert asked["facts"]["gen_ai.tool.call.result"] == "36"
    assert asked["status"] == {"code": 1}
    begun, ended = int(spans["run"]["startTimeUnixNano"]), int(spans["run"]["endTimeUnixNano"])
    assert ended > begun > 1e18  # nanoseconds since 1970
    for span in spans.values():
        assert begun <= int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"]) <= ended


def test_the_same_events_give_the_same_bytes(real: list[ev.Event]) -> None:
    assert trace_json(real) == trace_json(real)


def test_a_call_that_waited_links_to_those_that_it_waited_for() -> None:
    story = Story()
    story.begin(["Alice"])
    planned = {"raw": "", "plan": "p1"}
    story.add(ev.CallPlanned("c1", "Alice", "gcd", {"a": 4, "b": 6}, label="1", **planned))
    story.add(ev.CallPlanned("c2", "Alice", "add", {"a": "$1", "b": 1}, label="2", needs=["c1"], **planned))
    story.add(ev.CallFinished("c1", "failed", "failed: no", "It broke.", 0.1))
    story.add(ev.CallFinished("c2", "skipped", "skipped: c1 failed", "c1 failed", 0.0))
    spans = spans_of(story.events)  # and no end: the run was interrupted
    (link,) = spans["c2"]["links"]
    assert link["spanId"] == spans["c1"]["spanId"]
    assert spans["c1"]["status"] == {"code": 2, "message": "It broke."}
    assert spans["c1"]["facts"]["error.type"] == "failed"
    assert spans["c2"]["facts"]["workbench.status"] == "skipped"
    assert spans["run"]["status"] == {"code": 2, "message": "interrupted"}


def test_a_fork_links_to_the_run_that_it_came_from(real: list[ev.Event]) -> None:
    story = Story("child")
    story.begin(["Alice"], parent=ev.Origin(run_id=real[0].run_id, seq=9))
    (link,) = spans_of(story.events)["run"]["links"]
    assert link["spanId"] == spans_of(real)["run"]["spanId"]


def test_homes_credentials_and_half_characters_do_not_leave() -> None:
    story = Story()
    story.begin(["Alice"])
    place = os.path.expanduser("~") + "/x"
    given = {"place": place, "token": "abcdefghij", "odd": "\ud800", "markup": HOSTILE}
    story.add(ev.CallPlanned("c1", "Alice", "read", given, "", "p1", "1"))
    story.add(ev.CallStarted("c1", 1, given))
    text = trace_json(story.events)
    assert text.isascii()
    text.encode()
    facts = spans_of(story.events)["c1"]["facts"]
    told = json.loads(facts["gen_ai.tool.call.arguments"])
    assert (told["token"], told["place"]) == ("[hidden]", "~/x")


def test_export_writes_a_trace_where_the_name_ends_in_json(tmp_path: Path) -> None:
    events = worksheet()
    written = export_run(events, tmp_path / "run.json")
    assert written.read_text() == trace_json(events)
    with pytest.raises(UsageError, match=r"\.ipynb.*\.html.*\.json for a trace"):
        export_run(events, tmp_path / "run.txt")
