"""A run's view as plain JSON values: what the widget syncs, what an exported notebook carries.

In: a `RunView`. Out: dicts, lists, strings and numbers, in which every text has been made safe to look at (`visible`)
and nothing refers to the view any more. Neighbours: `projection` above; the widget's JavaScript, `static_view` and the
export below.
"""

import math
from typing import Any

from workbench.lanes import Lane, Span, shown
from workbench.projection import CallView, RunView
from workbench.visible import one_line, visible

SNAPSHOT_VERSION = 1
DEEPEST = 20


def snapshot(view: RunView, tail_chars: int | None = None) -> dict[str, Any]:
    """The whole view; with `tail_chars`, only about that much of the end of each lane (a lane then says `cut`)."""
    started = view.started
    return {
        "version": SNAPSHOT_VERSION,
        "run_id": visible(view.run_id),
        "seq": view.seq,
        "status": view.status,
        "task": visible(started.task) if started else "",
        "model": visible(started.model) if started else "",
        "layout": visible(started.layout) if started else "",
        "seed": started.seed if started else 0,
        "model_fingerprint": visible(started.model_fingerprint) if started else "",
        "settings": plain(started.settings) if started else {},
        "versions": plain(started.versions) if started else {},
        "tools": plain(started.tools) if started else [],
        "answer": visible(view.finished.answer) if view.finished else "",
        "error": visible(view.finished.complaint) if view.finished else "",
        "items": [plain(dict(item)) for item in view.items],
        "counters": counters(view),
        "lanes": [_lane(view, lane, tail_chars) for lane in view.lanes.values()],
        "calls": [_call(view, call) for call in view.calls.values()],
        "blocks": [
            {"block": b.block, "role": b.role, "worker": plain(b.worker), "tokens": b.length, "state": b.state}
            for b in view.blocks.values()
        ],
        "timeline": [] if tail_chars is not None else timeline(view),
    }


def counters(view: RunView) -> dict[str, Any]:
    """The figures of the run so far."""
    return {
        "steps": view.steps,
        "tokens": view.tokens,
        "tokens_per_s": round(view.tokens_per_s, 1),
        "cache_tokens": view.cache_tokens,
        "calls": len(view.calls),
        "calls_running": sum(call.is_open for call in view.calls.values()),
        "calls_failed": sum(not call.is_open and call.state != "succeeded" for call in view.calls.values()),
        "calls_asking": len(view.asking),
        "wall_s": round(view.wall_s, 3),
    }


def timeline(view: RunView) -> list[dict[str, Any]]:
    """The moments of the run, in seconds since its start."""
    start = view.started_at or 0.0
    return [
        {
            "at_s": round(moment.time - start, 3),
            "step": moment.step,
            "worker": visible(moment.worker),
            "kind": moment.kind,
            "text": one_line(moment.text, 400),
        }
        for moment in view.moments
    ]


def _lane(view: RunView, lane: Lane, tail_chars: int | None) -> dict[str, Any]:
    spans: list[dict[str, Any]] = []
    left = tail_chars
    cut = False
    for span in shown(lane):
        if left is not None and left <= 0:
            cut = True
            break
        text = span.text if left is None else span.tail(left)[-left:]
        cut = cut or (span.kind != "call" and len(text) < span.chars)
        spans.append(_span(view, span, text))
        left = None if left is None else left - max(len(text), 1)
    shares = view.attention_by_owner(lane.worker) if lane.attention_steps else {}
    return {
        "worker": visible(lane.worker),
        "state": lane.state,
        "reason": visible(lane.reason),
        "tokens": lane.tokens,
        "budget": lane.budget,
        "cut": cut,
        "spans": spans[::-1],
        "attention": [{"of": visible(owner), "share": round(share, 4)} for owner, share in shares.items()],
    }


def _span(view: RunView, span: Span, text: str) -> dict[str, Any]:
    if span.kind != "call":
        shown_span = {"id": span.index, "kind": span.kind, "text": visible(text)}
        return shown_span | {"source": span.source} if span.source else shown_span
    call = view.calls.get(span.call)
    if call is not None:
        return {"id": span.index, "kind": "call", "call": visible(call.call), **_card(call)}
    written = {"id": span.index, "kind": "call", "call": "", "wall_s": 0.0}
    if not span.unread:
        return written | {"label": f"{visible(span.written_tool) or '…'}(…)", "state": "writing", "result": ""}
    if span.cut_short and not span.reply:
        written["label"] = f"{visible(span.written_tool) or '…'}(…)"
        return written | {"state": "cut_short", "result": "It was not written to its end, so it was not run."}
    unread = span.reply or "This call was not run."
    return written | {"label": visible(span.text.strip()), "state": "failed", "result": visible(unread)}


def _card(call: CallView) -> dict[str, Any]:
    return {
        "label": visible(call.label),
        "state": call.state,
        "result": visible(call.outcome),
        "wall_s": round(call.wall_s, 4),
        **({"edit": visible(call.edit)} if call.edited else {}),
    }


def _call(view: RunView, call: CallView) -> dict[str, Any]:
    start = view.started_at or 0.0
    return {
        "call": visible(call.call),
        "worker": visible(call.worker),
        "tool": visible(call.tool),
        "arguments": plain(call.arguments),
        **({"asked": plain(call.asked), "edited_by": visible(call.decided_by)} if call.edited else {}),
        "plan": visible(call.plan),
        "number": visible(call.number),
        "needs": [visible(need) for need in call.needs],
        "effect": visible(call.effect),
        "attempts": call.attempts,
        "isolation": visible(call.isolation),
        "shared_with": [visible(other) for other in call.shared_with],
        "trusted": call.trusted,
        "cut": call.cut,
        "progress": visible(call.progress),
        "problems": [visible(problem) for problem in call.problems],
        "at_s": round(call.planned_at - start, 3),
        **_card(call),
    }


def plain(value: Any, depth: int = 0) -> Any:
    """JSON values with every text in them made visible. A model may nest without end, and write numbers like NaN."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, (dict, list, tuple)) and depth >= DEEPEST:
        return "…"
    if isinstance(value, dict):
        return {visible(str(name)): plain(inner, depth + 1) for name, inner in value.items()}
    return [plain(inner, depth + 1) for inner in value] if isinstance(value, (list, tuple)) else value
