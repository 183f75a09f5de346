"""`tool_calls` as OpenAI, Hermes and Qwen write them.

In: text with `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`, or an OpenAI message as JSON, whose arguments
are JSON in a text. Which of the two it is, the first character decides. Out: a plan. Neighbours: `toolsets.parse` finds
and reads the tagged calls, `json_calls` those of a message. Pure.
"""

import re
from collections.abc import Collection
from typing import Final

from toolsets.diagnostics import Diagnostic
from toolsets.fronts.front import Found, Front, Ids, Parser, refuse_order, syntax_error
from toolsets.fronts.json_calls import (
    CALL_LIKE,
    JsonParser,
    Shape,
    call_objects,
    in_list,
    json_text,
    normal_call,
    object_starts,
)
from toolsets.fronts.objects import Place
from toolsets.parse import CLOSING, OPENING, AnyCall, BrokenCall, CallScanner
from toolsets.plan import Plan, PlannedCall

_FORM: Final = f'{OPENING}{{"name": "...", "arguments": {{...}}}}{CLOSING}'
_TAG: Final = re.compile(f"{OPENING}|{CLOSING}")
_AROUND: Final = {None, "choices", "message", "messages", "delta"}


def _wanted(place: Place) -> bool:
    *around, (_, key) = place
    if around and around[-1] == ("[", "tool_calls") and key is None:
        return all(name in _AROUND for _, name in around[:-1])
    return in_list(place)


SHAPE: Final = Shape('{"tool_calls": [{"function": {"name": "...", "arguments": "{...}"}}]}', _wanted, CALL_LIKE,
                     normal_call)  # fmt: skip


class TaggedParser:
    """Reads calls between tags."""

    def __init__(self, earlier: Collection[str] = ()) -> None:
        self.joins = False
        self._scanner = CallScanner()
        self._ids = Ids(earlier)

    @property
    def inside(self) -> bool:
        return self._scanner.inside or self._scanner.may_begin

    @property
    def ended(self) -> bool:
        return False

    def feed(self, text: str) -> Found:
        return [self._call(found) for found in self._scanner.feed(text)]

    def finish(self) -> Found:
        return [self._call(found) for found in self._scanner.finish()]

    def _call(self, found: AnyCall) -> PlannedCall | Diagnostic:
        if isinstance(found, BrokenCall):
            return syntax_error(found.reason, found.line, self._ids.take(), _FORM, found.raw)
        arguments = self._ids.read(found.arguments)
        return PlannedCall(self._ids.take(found.id), found.name, arguments, found.line, found.raw)


class ToolCallsParser:
    """Reads tagged calls, or a message, as the first character of the text says."""

    def __init__(self, earlier: Collection[str] = ()) -> None:
        self.joins = False
        self._earlier = earlier
        self._before = ""
        self._parser: Parser | None = None

    @property
    def inside(self) -> bool:
        return self._parser is not None and self._parser.inside

    @property
    def ended(self) -> bool:
        return False

    def feed(self, text: str) -> Found:
        if self._parser is not None:
            return self._parser.feed(text)
        self._before += text
        first = self._before.lstrip()[:1]
        if not first:
            return []
        self._parser = JsonParser(SHAPE, self._earlier) if first in "{[" else TaggedParser(self._earlier)
        return self._parser.feed(self._before)

    def finish(self) -> Found:
        return [] if self._parser is None else self._parser.finish()


def render(plan: Plan) -> str:
    """Tagged calls, one a line; ids are told where they are not the calls' numbers."""
    refuse_order(plan, "tool_calls")
    lines = []
    for number, (call, arguments) in enumerate(call_objects(plan), start=1):
        own = {} if call.id == str(number) else {"id": call.id}
        body = json_text({"name": call.tool, "arguments": arguments, **own})
        # A tag always ends a call, so one inside an argument is spelled.
        for tag in (OPENING, CLOSING):
            body = body.replace(tag, f"\\u003c{tag[1:]}")
        lines.append(f"{OPENING}{body}{CLOSING}")
    return "\n".join(lines)


def starts(text: str) -> list[int]:
    """Where a call could be read: the tags, and objects."""
    return [match.start() for match in _TAG.finditer(text)] + object_starts(text, [SHAPE])


FRONT: Final = Front("tool_calls", ToolCallsParser, render, starts)
