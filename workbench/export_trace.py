"""A run as an OpenTelemetry trace, for the tools that people watch their other agents with.

In: the events of a run. Out: JSON as the OpenTelemetry protocol has it over HTTP (`/v1/traces`): a span for the run,
below it one for each worker, below a worker its calls, named and described by the conventions for generative AI
(`gen_ai.*`; what these do not know is `workbench.*`). A call that waited for others' results links to their spans, a
fork to its parent's. The same events give the same bytes. Neighbours: `projection` above, `export` writes the file.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from typing import Any, Final

from workbench import events as ev
from workbench.privacy import scrub
from workbench.projection import CallView, RunView

INTERNAL: Final = 1
OK, ERROR = 1, 2
_ENDED_WELL: Final = frozenset({"solved", "succeeded", "finished", "decoding", "waiting", "paused", "running"})
_TOLD: Final = frozenset({"told", "asks", "decides", "paused"})


def trace_json(events: Iterable[ev.Event]) -> str:
    """The trace as text, without homes and credentials."""
    told = scrub(trace(list(events)), os.path.expanduser("~"))
    return json.dumps(told, ensure_ascii=True, indent=1) + "\n"


def trace(events: list[ev.Event]) -> dict[str, Any]:
    """The body of an export request."""
    view = RunView.of(events).interrupted()
    spans = [_run_span(view), *_worker_spans(view, events), *(_call_span(view, one) for one in view.calls.values())]
    started = view.started
    versions = started.versions if started else {}
    resource = {"service.name": "agent workbench", **{f"workbench.{name}": one for name, one in versions.items()}}
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": _attributes(resource)},
                "scopeSpans": [{"scope": {"name": "workbench.export_trace"}, "spans": spans}],
            }
        ]
    }


def _run_span(view: RunView) -> dict[str, Any]:
    started = view.started
    facts: dict[str, Any] = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.usage.output_tokens": view.tokens,
        "workbench.run": view.run_id,
        "workbench.status": view.status,
        "workbench.steps": view.steps,
        "workbench.cache_tokens": view.cache_tokens,
        "output.value": view.finished.answer if view.finished else "",
    }
    links = []
    if started is not None:
        facts |= {
            "gen_ai.request.model": started.model,
            "workbench.layout": started.layout,
            "workbench.seed": started.seed,
            "input.value": started.task,
        }
        if started.parent is not None:
            parent = started.parent["run_id"]
            links = [_link(parent, "run", {"workbench.parent.seq": started.parent["seq"]})]
    span = _span(
        view.run_id, "run", "", "workbench run", view.started_at or 0.0, view.last_at or 0.0, facts,
        view.status, (view.finished.error if view.finished else None) or view.status,
    )  # fmt: skip
    span["links"] = links
    span["events"] = [
        {
            "timeUnixNano": _nano(moment.time),
            "name": moment.kind,
            "attributes": _attributes({"gen_ai.agent.name": moment.worker, "message": moment.text}),
        }
        for moment in view.moments
        if moment.kind in _TOLD
    ]
    return span


def _worker_spans(view: RunView, events: Iterable[ev.Event]) -> list[dict[str, Any]]:
    """From when a worker joined until it last wrote or was told something."""
    times: dict[str, tuple[float, float]] = {}
    read: dict[str, int] = {}
    for event in events:
        match event.payload:
            case ev.WorkerAdded(worker=name) | ev.WorkerStateChanged(worker=name):
                names = [name]
            case ev.TokensAdded(tokens=tokens):
                names = [one["worker"] for one in tokens]
            case ev.TextInjected(worker=name, ids=ids):
                names = [name]
                read[name] = read.get(name, 0) + len(ids)
            case _:
                names = []
        for name in names:
            times[name] = times.get(name, (event.time, event.time))[0], event.time
    return [
        _span(
            view.run_id, f"worker {name}", "run", f"invoke_agent {name}", *times[name],
            {
                "gen_ai.operation.name": "invoke_agent",
                "gen_ai.agent.name": name,
                "gen_ai.usage.output_tokens": lane.tokens,
                "workbench.tokens_read": read.get(name, 0),
                "workbench.state": lane.state,
                "output.value": "".join(span.text for span in lane.spans),
            },
            lane.state, lane.reason,
        )
        for name, lane in view.lanes.items()
        if name in times
    ]  # fmt: skip


def _call_span(view: RunView, call: CallView) -> dict[str, Any]:
    begun = call.started_at or call.planned_at
    facts = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": call.tool,
        "gen_ai.tool.call.id": call.call,
        "gen_ai.tool.call.arguments": json.dumps(scrub(call.arguments, os.path.expanduser("~")), ensure_ascii=False),
        "gen_ai.tool.call.result": call.text if call.state == "succeeded" else "",
        "gen_ai.agent.name": call.worker,
        "workbench.plan": call.plan,
        "workbench.status": call.state,
        "workbench.effect": call.effect,
        "workbench.attempts": call.attempts,
        "workbench.isolation": call.isolation,
        "workbench.trusted": call.trusted,
        "workbench.waited_s": round(begun - call.planned_at, 6),
    }
    if call.decided_by:
        facts["workbench.decided_by"] = call.decided_by
    if call.edited:
        asked = scrub(call.asked, os.path.expanduser("~"))
        facts["workbench.asked_arguments"] = json.dumps(asked, ensure_ascii=False)
    if call.state != "succeeded":
        facts["error.type"] = call.state
    name = f"execute_tool {call.tool}"
    above = f"worker {call.worker}" if call.worker in view.lanes else "run"
    ended = call.finished_at or view.last_at or begun
    span = _span(view.run_id, f"call {call.call}", above, name, begun, ended, facts, call.state, call.outcome)
    span["links"] = [_link(view.run_id, f"call {need}", {"workbench.needs": need}) for need in call.needs]
    return span


def _span(
    run: str,
    name: str,
    above: str,
    title: str,
    begun: float,
    ended: float,
    facts: Mapping[str, Any],
    state: str,
    why: str,
) -> dict[str, Any]:
    """name: unique in the run, for its id; above: the name of the span that it belongs to."""
    well = state in _ENDED_WELL
    return {
        "traceId": _id(run, 16),
        "spanId": _id(f"{run}/{name}", 8),
        **({"parentSpanId": _id(f"{run}/{above}", 8)} if above else {}),
        "name": title,
        "kind": INTERNAL,
        "startTimeUnixNano": _nano(begun),
        "endTimeUnixNano": _nano(max(begun, ended)),
        "attributes": _attributes(facts),
        "status": {"code": OK} if well else {"code": ERROR, "message": why or state},
    }


def _link(run: str, name: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    return {"traceId": _id(run, 16), "spanId": _id(f"{run}/{name}", 8), "attributes": _attributes(facts)}


def _id(text: str, num_bytes: int) -> str:
    """The same for the same text; hexadecimal, as the protocol has it in JSON."""
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=num_bytes).hexdigest()


def _nano(time_s: float) -> str:
    """64-bit numbers are texts in the protocol's JSON."""
    return str(round(time_s * 1e6) * 1000)


def _attributes(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in facts.items()]


def _value(value: Any) -> dict[str, Any]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case _:
            # Half a character is no text that a collector takes.
            return {"stringValue": str(value).encode("utf-8", "replace").decode()}
