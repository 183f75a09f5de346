"""Finds the tool calls in a worker's text and reads them.

In: text, whole or as it is decoded, in pieces of any size. Out: `ToolCall` values, or `BrokenCall` values that say what
is wrong in one sentence that a model can act on; no text makes this file raise. Neighbours: the session feeds a
`CallScanner` per worker, an executor (`direct`) runs what comes out. Pure: nothing here knows which tools exist.

A call is JSON between two tags: <tool_call>{"name": "gcd", "arguments": {"a": 12, "b": 18}}</tool_call>
Newer models of the Qwen family write <function=gcd><parameter=a>12</parameter>...</function> there instead.
A tag always ends the call before it, so an argument that must hold one spells it with \\u003c.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Never, TypeAlias

from toolsets.damaged import MAX_DEPTH, read_damaged_json, well_formed

OPENING: Final = "<tool_call>"
CLOSING: Final = "</tool_call>"
MAX_CALL: Final = 20_000
"""Characters between the tags; a longer call is broken off there, so that a lost closing tag costs bounded memory."""

_FORM: Final = '{"name": "...", "arguments": {...}}'
_FUNCTION: Final = re.compile(r"<function=([^<>\s]{1,200})>(.*?)(?:</function>)?", re.DOTALL)
_PARAMETER: Final = re.compile(r"\s*<parameter=([^<>\s]{1,200})>(.*?)(?:</parameter>|(?=\n<parameter=)|\Z)", re.DOTALL)
_FENCE: Final = re.compile(r"```\w*\s*(.*?)(?:```)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that could be read; whether the tool exists and the arguments fit is the executor's question."""

    name: str
    arguments: dict[str, Any] = field(hash=False)
    raw: str
    """The text between the tags, as it was written."""
    id: str | None = None
    """The call's own "id", where the model gave it one."""
    line: int = field(default=0, compare=False)
    """The line of the scanned text on which it began; 0 where there is none."""


@dataclass(frozen=True, slots=True)
class BrokenCall:
    """A call that could not be read."""

    raw: str
    reason: str
    """One sentence that says what to do."""
    line: int = field(default=0, compare=False)


AnyCall: TypeAlias = ToolCall | BrokenCall


class Unreadable(Exception):
    """Why a call cannot be read, in one sentence; never leaves the parsers."""


def parse_tool_call(text: str) -> AnyCall:
    """Read one call; the tags around it may be there or not.

    >>> parse_tool_call('{"name": "gcd", "arguments": {"a": 12, "b": 18}}').arguments
    {'a': 12, 'b': 18}
    >>> parse_tool_call('{"name": "gcd"').name
    'gcd'
    """
    try:
        body = _unwrapped(text)
        return read_call(_read_function(body) or read_value(body), text)
    except Unreadable as error:
        return BrokenCall(text, str(error))


class CallScanner:
    """Finds the calls in a text that arrives in pieces; how it is cut into pieces never changes what is found."""

    def __init__(self) -> None:
        self._inside = False
        self._pending = ""
        self._searched = 0
        self._line = 1

    @property
    def inside(self) -> bool:
        """Whether a call has been opened and not yet closed."""
        return self._inside

    @property
    def may_begin(self) -> bool:
        """Whether the text ends with what may become an opening tag."""
        return any(self._pending.endswith(OPENING[:length]) for length in range(1, len(OPENING)))

    def feed(self, text: str) -> list[AnyCall]:
        """Take the next piece of the text; returns the calls that it completes, in order."""
        self._pending += text
        calls: list[AnyCall] = []
        while True:
            if not self._inside and not self._enter():
                return calls
            call = self._leave()
            if call is None:
                return calls
            calls.append(call)

    def finish(self) -> list[AnyCall]:
        """The text has ended: returns the call that was left open, if there is one, and forgets everything."""
        calls = [replace(_unclosed(self._pending), line=self._line)] if self._inside else []
        self._inside, self._pending, self._searched, self._line = False, "", 0, 1
        return calls

    def _enter(self) -> bool:
        """Drop the text up to and with the next opening tag; without one, all but what may be the tag's beginning."""
        before, tag, after = self._pending.partition(OPENING)
        self._inside = bool(tag)
        kept = "" if tag else before[-(len(OPENING) - 1) :]
        self._line += before.count("\n") - kept.count("\n")
        self._pending = after if tag else kept
        self._searched = 0
        return self._inside

    def _leave(self) -> AnyCall | None:
        """Take the open call off the pending text; None where its end has not come yet."""
        while True:
            ends = [(self._pending.find(tag, self._searched), tag) for tag in (CLOSING, OPENING)]
            end, tag = min(((at, tag) for at, tag in ends if 0 <= at <= MAX_CALL), default=(-1, ""))
            if end < 0:
                if len(self._pending) < MAX_CALL + len(CLOSING):
                    self._searched = max(0, len(self._pending) - len(CLOSING) + 1)
                    return None
                end = MAX_CALL
            body, self._pending = self._pending[:end], self._pending[end + len(tag) :]
            self._inside, self._searched = tag == OPENING, 0
            line, self._line = self._line, self._line + body.count("\n")
            if tag != OPENING or body.strip():  # a tag that was written twice opens one call
                break
        return replace(parse_tool_call(body) if tag == CLOSING else _unclosed(body), line=line)


def _unclosed(body: str) -> AnyCall:
    """A call without its closing tag counts only where it is whole: a number at its end may have been cut."""
    try:
        whole = _unwrapped(body)
        tagged = _read_function(whole) if whole.endswith("</function>") else None
        return read_call(tagged or _strict(whole), body)
    except (Unreadable, ValueError, RecursionError):
        return BrokenCall(body, f"The call does not end: close it with {CLOSING}.")


def _unwrapped(text: str) -> str:
    """The JSON without tags and code fences around it."""
    body = text.strip().removeprefix(OPENING).removesuffix(CLOSING).strip()
    fence = _FENCE.fullmatch(body)
    body = fence[1].strip() if fence else body
    if not body:
        raise Unreadable(f"The call is empty: write {_FORM} between the tags.")
    if len(body) > MAX_CALL:
        raise Unreadable(f"The call is longer than {MAX_CALL:,} characters: write a shorter one.")
    return body


def _read_function(body: str) -> dict[str, Any] | None:
    """A call in tags of its own, whose values are texts that a schema may read as numbers; None where it is none."""
    function = _FUNCTION.fullmatch(body)
    if function is None:
        return None
    arguments: dict[str, Any] = {}
    at, inner = 0, function[2]
    while found := _PARAMETER.match(inner, at):
        arguments[found[1]] = found[2].removeprefix("\n").removesuffix("\n")
        at = found.end()
    if rest := inner[at:].strip():
        raise Unreadable(f"The call has {rest[:40]!r} outside its parameters: write <parameter=name>value</parameter>.")
    return {"name": function[1], "arguments": arguments}


def read_value(body: str) -> Any:
    """The JSON value of a text, mended where that needs no guess; raises Unreadable."""
    try:
        return _strict(body)
    except (ValueError, RecursionError):
        pass
    try:
        return read_damaged_json(body)
    except ValueError as error:
        raise Unreadable(f"The call is not JSON ({error}): write {_FORM}.") from None


def _strict(body: str) -> Any:
    # Line breaks in a text are let through: there is only one thing they can mean.
    return json.loads(body, strict=False, parse_constant=_no_constant, parse_float=_finite)


def _no_constant(name: str) -> Never:
    raise ValueError(f"{name} is not a number")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits} is too large")
    return number


def read_call(value: Any, raw: str) -> ToolCall:
    """The call that a JSON value describes; raises Unreadable."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    elif isinstance(value, list):
        raise Unreadable(f"These are {len(value)} calls in one: write each between tags of its own.")
    id = value.get("id") if isinstance(value, Mapping) else None
    if isinstance(value, Mapping) and isinstance(value.get("function"), Mapping):
        value = value["function"]
    if not isinstance(value, Mapping):
        raise Unreadable(f"The call is not a JSON object: write {_FORM}.")
    name = value.get("name")
    if not isinstance(name, str) or not name.strip():
        raise Unreadable(f'The call has no "name": write {_FORM}.')
    arguments = _well_formed(_arguments(value), MAX_DEPTH)
    return ToolCall(well_formed(name.strip()), arguments, raw, well_formed(id) if isinstance(id, str) else None)


def _arguments(call: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments by name; "parameters" and a JSON text are other models' habits for the same thing."""
    arguments = call.get("arguments", call.get("parameters"))
    if isinstance(arguments, str) and arguments.strip():
        arguments = read_value(arguments)
    if arguments in (None, "") and not call.keys() - {"name", "arguments", "parameters", "type", "id"}:
        return {}
    if not isinstance(arguments, dict):
        raise Unreadable(f'The call\'s "arguments" are not a JSON object: write {_FORM}.')
    return arguments


def _well_formed(value: Any, depth: int) -> Any:
    if depth == 0:
        raise Unreadable(f"The call's arguments are nested more than {MAX_DEPTH} levels deep: make them flatter.")
    if isinstance(value, str):
        return well_formed(value)
    if isinstance(value, list):
        return [_well_formed(item, depth - 1) for item in value]
    if isinstance(value, dict):
        return {well_formed(key): _well_formed(item, depth - 1) for key, item in value.items()}
    return value
