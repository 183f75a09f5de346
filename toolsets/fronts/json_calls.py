"""The three grammars that write calls as JSON objects share this parser; they differ in where a call may stand and how
it spells name, arguments and id.

In: text, in pieces. Out: `PlannedCall` values and diagnostics. Neighbours: `objects` finds the objects; `dta`,
`tool_calls` and `tool_use` say what a call looks like to them. Pure.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from toolsets.fronts.front import Found, Ids, syntax_error
from toolsets.fronts.objects import FoundObject, ObjectScanner, Place
from toolsets.fronts.references import write_references
from toolsets.parse import MAX_CALL, ToolCall, Unreadable, read_call, read_value
from toolsets.plan import Plan, PlannedCall

_NAMES: Final = ("name", "tool", "tool_name")
_ARGUMENTS: Final = ("arguments", "parameters", "args", "input", "tool_input")
_LISTS: Final = (None, "calls", "tool_calls", "function_calls", "actions")
_ARGUMENTS_KEY: Final = re.compile(
    r"""\b(?:arguments|parameters|args|input|tool_input|tool_calls|tool_use)\\?["']?\s*[:,}]"""
)
_FIRST_KEYS: Final = re.compile(
    r"""\{(?=[^{}]{0,1000}?["']?\b(?:name|tool|tool_name|function|type|arguments|parameters|args|input|tool_input|tool_calls)"""
    r"""\\?["']?\s*:)"""
)
CALL_LIKE: Final = re.compile(r"""["']?\b(name|function|tool|tool_name|arguments)["']?\s*:""")


@dataclass(frozen=True, slots=True)
class Shape:
    """How a grammar writes a call. form: shown in errors. like: a text in which it is found was meant as a call, even
    if it cannot be read. normal: the object as {name, arguments, id}; None where it is no call at all."""

    form: str
    wanted: Callable[[Place], bool]
    like: re.Pattern[str]
    normal: Callable[[Mapping[str, Any]], Mapping[str, Any] | None]


class JsonParser:
    """Reads calls of one shape. rounds: each list of the text is a round that waits for the one before."""

    def __init__(self, shape: Shape, earlier: Collection[str] = (), *, rounds: bool = False) -> None:
        self.joins = False
        self._shape = shape
        self._ids = Ids(earlier)
        self._scanner = ObjectScanner(shape.wanted)
        self._rounds = rounds
        self._group = 0
        self._round: list[str] = []
        self._before: tuple[str, ...] = ()

    @property
    def inside(self) -> bool:
        return self._scanner.inside

    @property
    def ended(self) -> bool:
        return False

    def feed(self, text: str) -> Found:
        return self._read(self._scanner.feed(text))

    def finish(self) -> Found:
        return self._read(self._scanner.finish())

    def _read(self, objects: list[FoundObject]) -> Found:
        return [item for found in objects for item in self._call(found)]

    def _call(self, found: FoundObject) -> Found:
        after = self._waits_for(found.group)
        try:
            call = read_object(found, self._shape)
        except Unreadable as error:
            id = self._ids.take()
            return [syntax_error(str(error), found.line, id, self._shape.form, found.text)]
        if call is None:
            return []
        arguments = self._ids.read(call.arguments)
        id = self._ids.take(call.id)
        self._group = found.group
        self._round.append(id)
        return [PlannedCall(id, call.name, arguments, found.line, found.text, after)]

    def _waits_for(self, group: int) -> tuple[str, ...]:
        if self._rounds and group != self._group and self._round:
            self._before, self._round = tuple(self._round), []
        return self._before


def read_object(found: FoundObject, shape: Shape) -> ToolCall | None:
    """The call of an object; None where it was not meant as one. Raises Unreadable."""
    meant = shape.like.search(found.text) is not None
    if found.too_long:
        if meant:
            raise Unreadable(f"The call is longer than {MAX_CALL:,} characters: write a shorter one.")
        return None
    if not found.whole and not found.text.rstrip().endswith(("}", "]")):
        # A number or a text at its end may have been cut.
        if meant:
            raise Unreadable("The call does not end: close it with }.")
        return None
    try:
        value = read_value(found.text)
        normal = shape.normal(value) if isinstance(value, Mapping) else None
        return None if normal is None else read_call(normal, found.text)
    except Unreadable:
        if meant:
            raise
        return None


def normal_call(value: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """An object of the {name, arguments} family as {name, arguments, id}; other models' names for the two count."""
    if isinstance(value.get("function"), Mapping):
        inner = normal_call(value["function"])
        return None if inner is None else {**inner, "id": value.get("id")}
    names = [key for key in (*_NAMES, "function") if isinstance(value.get(key), str)]
    arguments = [key for key in _ARGUMENTS if key in value]
    if not names and not arguments:
        return None
    normal = {"id": value.get("id")}
    if names:
        normal["name"] = value[names[0]]
    if arguments:
        normal["arguments"] = value[arguments[0]]
    elif value.keys() - {*names, "id", "type"}:
        normal["unknown"] = value
    return normal


def object_starts(text: str, shapes: Sequence[Shape]) -> list[int]:
    """Where an object that could be read as a call begins, at whatever place of other JSON it stands."""
    scanner = ObjectScanner(lambda place: True)
    starts = [found.offset for found in [*scanner.feed(text), *scanner.finish()] if _may_be_call(found, shapes)]
    if _ARGUMENTS_KEY.search(text):
        # The text may come to stand where other brackets and quotes are open, so these count even inside quotes.
        starts += [match.start() for match in _FIRST_KEYS.finditer(text)]
    return starts


def _may_be_call(found: FoundObject, shapes: Sequence[Shape]) -> bool:
    for shape in shapes:
        try:
            if read_object(found, shape) is not None:
                return True
        except Unreadable:
            return True
    return False


def in_list(place: Place) -> bool:
    """Whether an object stands alone, in a list, or in the list of calls of an object."""
    *around, (_, key) = place
    if key is not None:
        return False
    if all(bracket == "[" and name is None for bracket, name in around):
        return True
    return [bracket for bracket, _ in around] == ["{", "["] and around[1][1] in _LISTS


def call_objects(plan: Plan) -> list[tuple[PlannedCall, dict[str, Any]]]:
    """The calls with their arguments as JSON values that read back as the same plan."""
    known: set[str] = set()
    objects = []
    for call in plan:
        objects.append((call, write_references(call.arguments, known)))
        known.add(call.id)
    return objects


def json_text(value: Any) -> str:
    """JSON as models write it, on one line."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
