"""What a person writes in the place of a call's arguments, read and checked before anything runs.

In: the arguments as they were asked for, whole and as a person was shown them, and what the person has written. Out: an
`Edit`, or a sentence that says what is wrong. Neighbours: `calls` asks and decides; `toolsets.check` judges a person's
arguments as it judges a model's. Pure.

A person is shown values with the results already in the place of references. What they leave as it stands stays what it
was, whole, also where the log has only its beginning. A text that they write is read as a worker's: `$1` is the result
of call 1, `$$1` the text.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from toolsets.check import Checker
from toolsets.damaged import well_formed
from toolsets.diagnostics import DiagnosticKind
from toolsets.errors import ToolsetError
from toolsets.executor.preparing import call_key, prepare
from toolsets.fronts.references import read_references
from toolsets.plan import PlannedCall
from toolsets.rendering import told_as
from toolsets.results import CallOutcome
from toolsets.tool import Tool
from workbench.errors import UsageError
from workbench.told import MOST_ITEMS, logged

_AS_TEXT: Final = ' Write "$$" for a "$" that is text.'
_EXACT: Final = 2**53
_CUT: Final = re.compile(r"… [\d,]+ more\Z")


@dataclass(frozen=True, slots=True)
class Edit:
    """arguments: what the tool gets. written: the same as the person wrote it, for the log. needs: labels of the calls
    that it refers to."""

    arguments: dict[str, Any]
    written: dict[str, Any]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person was asked about. call: its label and tool. arguments: as the tool would get them."""

    label: str
    tool: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Kept:
    """A value that the person has left as it was shown; it is not read once more."""

    value: Any


def read_edit(
    asked: Asked, given: Any, tools: Mapping[str, Tool], ended: Mapping[str, CallOutcome] | None = None
) -> Edit | None:
    """None where nothing has been changed. ended: calls that the person may refer to, by label. Raises UsageError."""
    tool, ended = tools.get(asked.tool), ended or {}
    if tool is None:
        raise UsageError(f"There is no tool {asked.tool[:80]} any more: the call can only be rejected.")
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise UsageError(
            f"The arguments of a call are an object with a value for each parameter: give them as {tool.signature()}."
        )
    shown = logged(asked.arguments)
    try:
        kept = {
            name: _kept(value, shown[name], asked.arguments[name]) if name in asked.arguments else value
            for name, value in given.items()
        }
        _refuse_cut(kept, {tail for text in _texts(shown) if (tail := _tail(text))})
        typed = {name: _unwrapped(read_references(value, ended)) for name, value in kept.items()}
        call = PlannedCall(asked.label, asked.tool, typed)
        sound, problems = Checker(tools, {id: one.tool for id, one in ended.items()}).add(call)
        if sound is None:
            more = _AS_TEXT if problems[0].kind is DiagnosticKind.UNKNOWN_REFERENCE else ""
            raise UsageError(problems[0].message + more)  # one thing at a time
        needs = tuple(dict.fromkeys(ref.call for ref in sound.refs()))
        for id in needs:
            if not ended[id].succeeded:
                raise UsageError(f"${id} has no value, because that call {ended[id].text[:200]} Write a value.")
        arguments = prepare(sound, tool, {id: ended[id] for id in needs})
        written = logged(given, whole=True)
    except ToolsetError as error:
        raise UsageError(str(error)) from error
    except RecursionError:
        raise UsageError("These arguments are nested too deeply: give flatter ones.") from None
    key = call_key(tool, arguments)
    if key is not None and key == call_key(tool, asked.arguments):
        return None
    return Edit(arguments, written, needs)


def written_as(arguments: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments that a call has been given, as a person would have written them: what is as it was asked for as it was
    shown, anything else whole."""
    shown, now = logged(asked), logged(arguments)
    return {
        name: now[name] if name in shown and _same(now[name], shown[name]) else logged(value, whole=True)
        for name, value in arguments.items()
    }


def changed_names(given: Mapping[str, Any], asked: Mapping[str, Any]) -> set[str]:
    """Of which parameters a person's arguments say something else than what was asked for."""
    return {name for name in {*given, *asked} if name not in given or name not in asked or given[name] != asked[name]}


def _kept(given: Any, shown: Any, original: Any) -> Any:
    """What was given, with the original in the place of what is as it was shown."""
    if _same(given, shown):
        return _Kept(original)
    if isinstance(given, Mapping) and isinstance(shown, Mapping):
        whole = {well_formed(str(name)): value for name, value in _parts(original, Mapping).items()}
        unseen = {name: _Kept(value) for name, value in whole.items() if name not in shown}
        return unseen | {
            name: _kept(value, shown[name], whole[name]) if name in shown and name in whole else value
            for name, value in given.items()
        }
    if isinstance(given, list) and isinstance(shown, list):
        items = list(_parts(original, list | tuple))
        rest: list[Any] = []
        if len(items) > MOST_ITEMS and given and given[-1] == shown[-1]:
            given, rest = given[:-1], [_Kept(item) for item in items[MOST_ITEMS:]]
        seen = list(zip(shown, items, strict=False))
        kept = [_kept(value, *seen[at]) if at < len(seen) else value for at, value in enumerate(given)]
        return [*kept, *rest]
    return given


def _parts(value: Any, kind: Any) -> Any:
    return value if isinstance(value, kind) else told_as(value)


def _unwrapped(value: Any) -> Any:
    if isinstance(value, _Kept):
        return value.value
    if isinstance(value, list):
        return [_unwrapped(item) for item in value]
    if isinstance(value, dict):
        return {name: _unwrapped(item) for name, item in value.items()}
    return value


def _same(one: Any, other: Any) -> bool:
    """Whether two JSON values are one; 1 and true are two. other: what was shown, of which a browser has rounded whole
    numbers of many digits."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one == other or (abs(other) > _EXACT and one in (float(other), Decimal(repr(float(other)))))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return type(one) is type(other) and bool(one == other)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def _tail(text: str) -> str:
    found = _CUT.search(text)
    return found[0] if found else ""


def _refuse_cut(kept: Mapping[str, Any], tails: Collection[str]) -> None:
    """A text whose shown beginning was changed has lost its end."""
    for name, value in kept.items():
        if any(_tail(text) in tails for text in _texts(value) if _tail(text)):
            raise UsageError(f"The end of {name} was not shown (…): leave that text as it stands, or give all of it.")
