"""JSON that is being written, one character after another: the states of texts, numbers and values without a schema.

In: a state and a character. Out: the state after it, None where no sound JSON goes on so. A state is a value: the goals
that are left, the next one first; the same state always goes on in the same ways, whatever led to it. Neighbours:
`guiding` has the states of calls above these, `answering` those of answers by a schema. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from toolsets.damaged import MAX_DEPTH

Goal: TypeAlias = tuple[Any, ...]
State: TypeAlias = tuple[Goal, ...]
Step: TypeAlias = Callable[[State, str], "State | None"]

VALUE: Final[Goal] = ("value",)
STRING: Final[Goal] = ("string", "")
GAP: Final[Goal] = ("gap", " ")
_WORDS: Final = {"t": "rue", "f": "alse", "n": "ull"}
_HEX: Final = frozenset("0123456789abcdefABCDEF")
_DIGITS: Final = dict.fromkeys("0123456789", "digits")
_POWER: Final = dict.fromkeys("eE", "power")
NUMBER: Final[Mapping[str, Mapping[str, str]]] = {
    "minus": {**dict.fromkeys("123456789", "digits"), "0": "zero"},
    "zero": {".": "point", **_POWER},
    "digits": {**_DIGITS, ".": "point", **_POWER},
    "point": dict.fromkeys("0123456789", "decimals"),
    "decimals": {**dict.fromkeys("0123456789", "decimals"), **_POWER},
    "power": {**dict.fromkeys("0123456789", "powers"), **dict.fromkeys("+-", "sign")},
    "sign": dict.fromkeys("0123456789", "powers"),
    "powers": dict.fromkeys("0123456789", "powers"),
}
NUMBER_ENDS: Final = frozenset({"zero", "digits", "decimals", "powers"})


def put(text: str, rest: State) -> State:
    """This text, then the rest."""
    return (("is", text), *rest) if text else rest


def plain(name: str) -> str:
    """The beginning of a name that JSON spells in one way only."""
    odd = (at for at, char in enumerate(name) if not " " <= char <= "~" or char in '"\\')
    return name[: next(odd, len(name))]


def state_after(state: State, text: str, step: Step) -> State | None:
    """The state after a text; None where it cannot stand here."""
    for char in text:
        following = step(state, char)
        if following is None:
            return None
        state = following
    return state


def step_json(state: State, char: str, step: Step) -> State | None:
    """The state after one more character of a goal of these; `step` is asked for what follows goals that need no
    character of their own."""
    goal, rest = state[0], state[1:]
    match goal[0]:
        case "is":
            return put(goal[1][1:], rest) if char == goal[1][0] else None
        case "gap":
            return rest if char == goal[1] else step(rest, char)
        case "string":
            return in_string("string", goal[1], char, rest)
        case "number":
            phase = NUMBER[goal[1]].get(char)
            if phase is not None:
                return (("number", phase), *rest)
            return step(rest, char) if goal[1] in NUMBER_ENDS else None
        case "value":
            return any_value(char, rest)
        case "items":
            if char == "]":
                return rest if goal[1] != "more" else None
            return any_value(char, (("items", ""), *rest)) if goal[1] else _after_comma(char, "items", rest)
        case _:
            return _member(goal[1], char, rest)


def in_string(kind: str, escape: str, char: str, rest: State) -> State | None:
    """kind: the goal that it is; escape: what has been written of an escape; a hexadecimal digit stands as 0."""
    if not escape:
        if char == '"':
            return rest
        return ((kind, "\\" if char == "\\" else ""), *rest)
    if escape == "\\":
        if char == "u":
            return ((kind, "\\u"), *rest)
        return ((kind, ""), *rest) if char in '"\\/bfnrt' else None
    if char not in _HEX:
        return None
    return ((kind, f"{escape}0" if len(escape) < 5 else ""), *rest)


def any_value(char: str, rest: State) -> State | None:
    """A value of any kind that begins so."""
    if char == '"':
        return (STRING, *rest)
    if char in _WORDS:
        return (("is", _WORDS[char]), *rest)
    if char in "[{":
        deep = len(rest) > MAX_DEPTH + 1  # four goals stand below a value that is not nested
        return None if deep else (("items" if char == "[" else "members", "first"), *rest)
    if char in "-0123456789":
        return (("number", "minus" if char == "-" else "zero" if char == "0" else "digits"), *rest)
    return None


def _after_comma(char: str, what: str, rest: State) -> State | None:
    return (GAP, (what, "more"), *rest) if char == "," else None


def _member(place: str, char: str, rest: State) -> State | None:
    """Inside an object whose keys are free. place: first, more (after a comma), or empty after a member."""
    if char == "}":
        return rest if place != "more" else None
    if not place:
        return _after_comma(char, "members", rest)
    return (STRING, ("is", ":"), GAP, VALUE, ("members", ""), *rest) if char == '"' else None
