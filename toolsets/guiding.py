"""What may follow in a tagged call that is being written: names of offered tools and of their parameters, sound JSON.

In: the signatures of the tools, and a call's text after its opening tag, one character after another. Out: the state
after each, None where no sound call goes on so. A state is a value: the goals that are left, the next one first; the
same state always goes on in the same ways, whatever led to it. Neighbours: `parse` reads the whole call; `workbench`
asks, for each token that a worker could choose, whether all of its characters can follow. Pure.

    {"name": "gcd", "arguments": {"a": 12, "b": 18}}</tool_call>

Name comes first, then arguments, each parameter at most once and the required ones before the end, on one line: a blank
may follow a comma and a colon, and a line end the tags, because a model that is at a loss writes blanks without an end.
A value may be any JSON value. Where a name holds characters that JSON may spell in several ways, nothing is said
(`FREE`): of a tool from there to the end of the call, of a parameter all through the arguments.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

from toolsets.json_states import GAP, VALUE, Goal, State, plain, state_after, step_json
from toolsets.parse import CLOSING
from toolsets.tool import Tool

FREE: Final[State] = (("free",),)
"""Nothing is known of the rest of the call."""
OVER: Final[State] = ()
"""The call has been closed."""

_LINE: Final[Goal] = ("gap", "\n")
_BEGIN: Final[State] = (_LINE, ("is", '{"name":'), GAP, ("is", '"'))
_ARGUMENTS: Final[State] = (("is", ","), GAP, ("is", '"arguments":'), GAP, ("is", "{"))
_CLOSE: Final[State] = (("is", "}"), _LINE, ("is", CLOSING))


@dataclass(frozen=True, slots=True)
class Signature:
    """What a call of a tool may hold. free: its arguments may have other names, too, or names that are not plain."""

    name: str
    parameters: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    free: bool = False

    @classmethod
    def of(cls, name: str, tool: Tool) -> Self:
        """Of a tool that is offered under this name, as `toolsets.arguments` judges its calls."""
        properties = tuple(tool.parameters.get("properties", {}))
        required = tuple(tool.parameters.get("required", ()))
        more = tool.parameters.get("additionalProperties", not properties) is not False
        free = more or not set(required) <= set(properties) or any(plain(one) != one for one in properties)
        return cls(name, properties, required, free)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        parameters, required = tuple(data["parameters"]), tuple(data["required"])
        return cls(data["name"], parameters, required, bool(data["free"]))

    def to_json(self) -> dict[str, Any]:
        parameters, required = list(self.parameters), list(self.required)
        return {"name": self.name, "parameters": parameters, "required": required, "free": self.free}


class CallGrammar:
    """The calls of these tools.

    >>> grammar = CallGrammar([Signature("gcd", ("a", "b"), ("a", "b")), Signature("now")])
    >>> grammar.after('{"name": "gc') is not None, grammar.after('{"name": "gcm')
    (True, None)
    >>> grammar.after('{"name": "gcd", "arguments": {"a": 12}'), grammar.after('{"name": "gcd", "arguments": {"c')
    (None, None)
    >>> grammar.after('{"name": "now", "arguments": {}}</tool_call>') == OVER
    True
    """

    one_line: ClassVar[bool] = False

    def __init__(self, signatures: Iterable[Signature]) -> None:
        self.signatures = {one.name: one for one in signatures}
        named = self._after_name(tuple((_ending(name), name) for name in self.signatures), _CLOSE)
        self.begin: State = FREE if named is None else (*_BEGIN, *named)

    def after(self, text: str, state: State | None = None) -> State | None:
        """The state after a text, by default one that follows the opening tag."""
        state = self.begin if state is None else state
        return state_after(state, text, self.step)

    def step(self, state: State, char: str) -> State | None:
        """The state after one more character; None where it cannot stand here."""
        if state in (OVER, FREE):
            return state
        goal, rest = state[0], state[1:]
        match goal[0]:
            case "names":
                return self._named(goal[1], char, rest)
            case "keys":
                return self._keyed(goal, char, rest)
            case "arguments":
                return self._arguments(goal, char, rest)
            case "key":
                return self._keys(goal[1], goal[2], rest) if char == '"' else None
            case _:
                return step_json(state, char, self.step)

    def _named(self, names: tuple[tuple[str, str], ...], char: str, rest: State) -> State | None:
        left = tuple((text[1:], name) for text, name in names if text[:1] == char)
        return self._after_name(left, rest)

    def _after_name(self, left: tuple[tuple[str, str], ...], rest: State) -> State | None:
        if not left:
            return None
        name = next((name for text, name in left if not text), None)
        if name is None:
            return (("names", left), *rest)
        if plain(name) != name:
            return FREE
        arguments: Goal = ("members", "first") if self.signatures[name].free else ("arguments", name, frozenset())
        return (*_ARGUMENTS, arguments, *rest)

    def _arguments(self, goal: Goal, char: str, rest: State) -> State | None:
        _, name, given = goal
        signature = self.signatures[name]
        if char == "}":
            return rest if given.issuperset(signature.required) else None
        if len(given) == len(signature.parameters):
            return None
        if not given:
            return self._keys(name, given, rest) if char == '"' else None
        return (GAP, ("key", name, given), *rest) if char == "," else None

    def _keys(self, name: str, given: frozenset[str], rest: State) -> State:
        left = tuple((f'{key}"', key) for key in self.signatures[name].parameters if key not in given)
        return (("keys", name, given, left), *rest)

    def _keyed(self, goal: Goal, char: str, rest: State) -> State | None:
        _, name, given, keys = goal
        left = tuple((text[1:], key) for text, key in keys if text[0] == char)
        if not left:
            return None
        key = next((key for text, key in left if not text), None)
        if key is None:
            return (("keys", name, given, left), *rest)
        return (("is", ":"), GAP, VALUE, ("arguments", name, given | {key}), *rest)


def _ending(name: str) -> str:
    """What is written of a name, with the quotation mark; of one that is not plain, its plain beginning."""
    return f'{name}"' if plain(name) == name else plain(name)
