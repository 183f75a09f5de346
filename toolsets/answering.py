"""What may follow in an answer that is being written as JSON by a schema: its fields, its choices, its end.

In: a JSON Schema, and an answer's text, one character after another. Out: the state after each, None where no answer by
this schema goes on so, and whether it may end there. States are those of `json_states`, with these goals above them:

    ("schema", n)                  a value of the schema's part n
    ("texts", (left, ...))         one of these texts
    ("whole", phase)               a whole number
    ("day", pattern)               a date, of which this is left
    ("list", n, count, place)      inside an array: items so far; place: first, more (after a comma), or empty
    ("fields", n, at, place)       inside a record: the next property is number `at` at the earliest
    ("keys", n, ((left, at), ...)) inside a property's name
    ("entries", n, place)          inside a record whose names are free
    ("either", (state, ...))       one of these, which all go on to the end of the answer
    ("end",)                       nothing

Fields stand in the schema's order, those that need not be there may be left out, and there are no others; all of it on
one line. What is not looked at while it is written (bounds, lengths, patterns) is judged afterwards (`answers`). Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from toolsets.damaged import MAX_DEPTH
from toolsets.json_states import GAP, NUMBER_ENDS, STRING, VALUE, Goal, State, any_value, put, state_after, step_json
from toolsets.schemas import options

_END: Final[Goal] = ("end",)
_ANY: Final[Mapping[str, Any]] = {}
_DAY: Final = 'dddd-dd-dd"'
_MOST_GOALS: Final = 4 * MAX_DEPTH
"""A schema that holds itself can be written without an end."""


@dataclass(frozen=True, slots=True)
class _Part:
    """One part of the schema, with the alternatives that it has; `schema` has one type, or none."""

    schema: Mapping[str, Any]
    properties: tuple[tuple[str, Any], ...] = ()
    required: frozenset[str] = frozenset()
    names: tuple[str, ...] = ()
    """Of the properties, as JSON writes them, without the first quotation mark."""


class AnswerGrammar:
    """The answers of this schema.

    >>> grammar = AnswerGrammar({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})
    >>> grammar.after('{"n": 1') is not None, grammar.after('{"m'), grammar.after('{"n": 1.5')
    (True, None, None)
    >>> grammar.may_end(grammar.after('{"n": 12}'))
    True
    """

    one_line: ClassVar[bool] = True

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._root = schema
        self._parts: list[_Part] = []
        self._numbers: dict[int, int] = {}
        self._held: list[Any] = []
        # A blank may stand in front: in many vocabularies words begin with one.
        self.begin: State = (GAP, self._goal(schema), _END)

    def after(self, text: str, state: State | None = None) -> State | None:
        """The state after a text, by default one that begins the answer."""
        state = self.begin if state is None else state
        return state_after(state, text, self.step)

    def may_end(self, state: State) -> bool:
        """Whether what has been written is a whole answer."""
        for goal in state:
            match goal[0]:
                case "end" | "gap":
                    continue
                case "number" | "whole":
                    ends = goal[1] in NUMBER_ENDS
                case "texts":
                    ends = "" in goal[1]
                case "either":
                    ends = any(map(self.may_end, goal[1]))
                case _:
                    ends = False
            if not ends:
                return False
        return True

    def step(self, state: State, char: str) -> State | None:
        """The state after one more character; None where it cannot stand here."""
        if len(state) > _MOST_GOALS:
            return None
        goal, rest = state[0], state[1:]
        match goal[0]:
            case "schema":
                return _one_of(after for one in self._begun(goal[1], rest) if (after := self.step(one, char)))
            case "texts":
                return self._texts(goal[1], char, rest)
            case "whole":
                return self._whole(goal[1], char, rest)
            case "day":
                fits = char.isascii() and char.isdigit() if goal[1][0] == "d" else char == goal[1][0]
                return None if not fits else (("day", goal[1][1:]), *rest) if goal[1][1:] else rest
            case "list":
                return self._list(goal, char, rest)
            case "fields":
                return self._fields(goal, char, rest)
            case "keys":
                return self._keys(goal, char, rest)
            case "entries":
                return self._entries(goal, char, rest)
            case "either":
                return _one_of(after for one in goal[1] if (after := self.step(one, char)))
            case "end":
                return None
            case "string" if char < " ":
                return None
            case "number" if not goal[1]:
                return any_value(char, rest) if char in "-0123456789" else None
            case _:
                return step_json(state, char, self.step)

    # The parts of the schema, which are looked at when they are first met.

    def _goal(self, schema: Any) -> Goal:
        if id(schema) not in self._numbers:
            self._numbers[id(schema)] = len(self._held)
            self._held.append(schema)
        return ("schema", self._numbers[id(schema)])

    def _begun(self, number: int, rest: State) -> list[State]:
        """A state for each alternative of a part."""
        return [state for one in options(self._held[number], self._root) for state in self._alternative(one, rest)]

    def _alternative(self, schema: Mapping[str, Any], rest: State) -> list[State]:
        choices = [schema["const"]] if "const" in schema else schema.get("enum")
        if choices is not None:
            return [(("texts", tuple(json.dumps(one, ensure_ascii=False) for one in choices)), *rest)]
        match schema.get("type"):
            case "string" if schema.get("format") == "date":
                return [(("is", '"'), ("day", _DAY), *rest)]
            case "string":
                return [(("is", '"'), STRING, *rest)]
            case "integer":
                return [(("whole", ""), *rest)]
            case "boolean":
                return [(("texts", ("true", "false")), *rest)]
            case "null":
                return [(("texts", ("null",)), *rest)]
            case "number":
                return [(("number", ""), *rest)]
            case "array":
                return [(("is", "["), ("list", self._part(schema), 0, "first"), *rest)]
            case "object":
                place = "entries" if not schema.get("properties") else "fields"
                inner: Goal = (place, self._part(schema), *((0,) if place == "fields" else ()), "first")
                return [(("is", "{"), inner, *rest)]
            case _:
                return [(VALUE, *rest)]

    def _part(self, schema: Mapping[str, Any]) -> int:
        for number, known in enumerate(self._parts):
            if known.schema is schema or known.schema == schema:
                return number
        properties = tuple(schema.get("properties", {}).items())
        names = tuple(json.dumps(name, ensure_ascii=False)[1:] for name, _ in properties)
        self._parts.append(_Part(schema, properties, frozenset(schema.get("required", ())), names))
        return len(self._parts) - 1

    # What follows inside of them.

    def _texts(self, texts: tuple[str, ...], char: str, rest: State) -> State | None:
        left = tuple(dict.fromkeys(text[1:] for text in texts if text[:1] == char))
        after = [put(left[0], rest) if len(left) == 1 else (("texts", left), *rest)] if left else []
        if "" in texts and (beyond := self.step(rest, char)):
            after.append(beyond)
        return _one_of(after)

    def _whole(self, phase: str, char: str, rest: State) -> State | None:
        if char in "0123456789" and phase in ("", "minus", "digits"):
            if phase == "minus" and char == "0":
                return None
            return (("whole", "zero" if char == "0" and not phase else "digits"), *rest)
        if char == "-" and not phase:
            return (("whole", "minus"), *rest)
        return self.step(rest, char) if phase in NUMBER_ENDS else None

    def _list(self, goal: Goal, char: str, rest: State) -> State | None:
        _, number, count, place = goal
        schema = self._parts[number].schema
        first, most = schema.get("prefixItems", ()), schema.get("maxItems")
        least = schema.get("minItems", 0)
        if first and schema.get("items") in (None, False):
            most = len(first) if most is None else min(most, len(first))
        full = most is not None and count >= most
        if char == "]":
            return rest if count >= least and place != "more" else None
        if not place:
            return (GAP, ("list", number, count, "more"), *rest) if char == "," and not full else None
        if full:
            return None
        inner = first[count] if count < len(first) else schema.get("items", _ANY)
        # Beyond what bounds it the number of items makes no difference.
        bound = max(least, most or 0, len(first))
        return self.step((self._goal(inner), ("list", number, min(count + 1, bound), ""), *rest), char)

    def _fields(self, goal: Goal, char: str, rest: State) -> State | None:
        _, number, at, place = goal
        part = self._parts[number]
        left = part.properties[at:]
        if char == "}":
            return rest if place != "more" and not any(name in part.required for name, _ in left) else None
        if not place:
            return (GAP, ("fields", number, at, "more"), *rest) if char == "," and left else None
        if char != '"':
            return None
        keys = []
        for index, (name, _) in enumerate(left, start=at):
            keys.append((part.names[index], index))
            if name in part.required:
                break
        return (("keys", number, tuple(keys)), *rest) if keys else None

    def _keys(self, goal: Goal, char: str, rest: State) -> State | None:
        _, number, keys = goal
        left = tuple((text[1:], at) for text, at in keys if text[0] == char)
        done = next((at for text, at in left if not text), None)
        if done is None:
            return (("keys", number, left), *rest) if left else None
        inner = self._parts[number].properties[done][1]
        return (("is", ":"), GAP, self._goal(inner), ("fields", number, done + 1, ""), *rest)

    def _entries(self, goal: Goal, char: str, rest: State) -> State | None:
        _, number, place = goal
        more = self._parts[number].schema.get("additionalProperties", _ANY)
        if char == "}":
            return rest if place != "more" else None
        if not place:
            return (GAP, ("entries", number, "more"), *rest) if char == "," else None
        if char != '"' or more is False:
            return None
        inner = self._goal(more) if isinstance(more, Mapping) else VALUE
        return (STRING, ("is", ":"), GAP, inner, ("entries", number, ""), *rest)


def _one_of(states: Iterable[State]) -> State | None:
    """The state that goes on in every way in which one of these does."""
    found: list[State] = []
    for state in states:
        inner: Sequence[State] = state[0][1] if state and state[0][0] == "either" else (state,)
        found += [one for one in inner if one not in found]
    if len(found) < 2:
        return found[0] if found else None
    return (("either", tuple(found)),)
