"""Anthropic's `tool_use` content blocks: {"type": "tool_use", "id": ..., "name": ..., "input": {...}}.

In: a message, a list of blocks, or blocks one by one, as JSON. Out: a plan; other blocks are passed over.
Neighbours: `json_calls`. Pure.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from toolsets.fronts.front import Front, refuse_order
from toolsets.fronts.json_calls import JsonParser, Shape, call_objects, json_text, object_starts
from toolsets.fronts.objects import Place
from toolsets.plan import Plan

_AROUND: Final = {None, "content", "message", "messages"}


def _wanted(place: Place) -> bool:
    return place[-1][1] is None and all(key in _AROUND for _, key in place)


def _normal(value: Mapping[str, Any]) -> Mapping[str, Any] | None:
    if value.get("type") != "tool_use":
        return None
    return {"id": value.get("id"), "name": value.get("name"), "arguments": value.get("input", {})}


SHAPE: Final = Shape(
    '{"type": "tool_use", "id": "...", "name": "...", "input": {...}}',
    _wanted,
    re.compile(r"""["']?\btype["']?\s*:\s*["']?tool_use\b"""),
    _normal,
)


def parser(earlier: Collection[str] = ()) -> JsonParser:
    """Reads `tool_use` blocks."""
    return JsonParser(SHAPE, earlier)


def render(plan: Plan) -> str:
    """The content of an assistant's message."""
    refuse_order(plan, "tool_use")
    blocks = [
        json_text({"type": "tool_use", "id": call.id, "name": call.tool, "input": arguments})
        for call, arguments in call_objects(plan)
    ]
    return f"[{', '.join(blocks)}]"


def starts(text: str) -> list[int]:
    """Where a block could be read."""
    return object_starts(text, [SHAPE])


FRONT: Final = Front("tool_use", parser, render, starts)
