"""What every front end shares: the parser's interface, how calls get their ids, and plans that cannot be written.

In: names and arguments as a grammar found them. Out: `PlannedCall` values with typed references, or a `Diagnostic`.
Neighbours: the grammars of this folder build on it, `toolsets.fronts` gathers them. Pure.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from toolsets.diagnostics import Diagnostic, DiagnosticKind
from toolsets.errors import PlanError
from toolsets.fronts.references import read_references, renamed
from toolsets.plan import Plan, PlannedCall

Found: TypeAlias = list[PlannedCall | Diagnostic]

_ID: Final = re.compile(r"[\w:-]{1,80}")


class Parser(Protocol):
    """Reads one text that arrives in pieces; how it is cut into pieces never changes what is found."""

    @property
    def joins(self) -> bool:
        """Whether the text has asked for the results, with `join()` or its like."""
        ...

    @property
    def inside(self) -> bool:
        """Whether the text may stand inside a call, or inside a list of calls, so that nothing should be put there."""
        ...

    @property
    def ended(self) -> bool:
        """Whether the text has said that its plan is over: nothing more is read from it."""
        ...

    def feed(self, text: str) -> Found:
        """Take the next piece; returns what it completes, in the order of the text."""
        ...

    def finish(self) -> Found:
        """The text has ended; returns what only its end decides."""
        ...


@dataclass(frozen=True, slots=True)
class Front:
    """One grammar. parser: called with the ids of earlier calls, which the text may refer to and which its own
    numbers go on from. render: a plan in this grammar, to show a model or a person; raises PlanError where the
    grammar cannot say it. starts: every place of a text at which something could be read as a call or as `join()`,
    whatever stands around the text; `untrusted` breaks these places."""

    name: str
    parser: Callable[[Collection[str]], Parser]
    render: Callable[[Plan], str]
    starts: Callable[[str], list[int]]


class Ids:
    """Gives ids to calls in the order of the text. A call without an id of its own gets its number, and every call
    may be referred to by its number."""

    def __init__(self, earlier: Collection[str] = ()) -> None:
        self.taken = set(earlier)
        """Ids of calls so far."""
        self._known = set(earlier)
        self._names: dict[str, str] = {}
        """By number: the calls whose id is another."""
        self._next = 1 + max((int(id) for id in earlier if id.isascii() and id.isdigit()), default=0)

    def take(self, given: object = None) -> str:
        """The id of the next call; `given` is the one that the text gave it, of any type."""
        while str(self._next) in self.taken:
            self._next += 1
        number = str(self._next)
        text = str(given) if isinstance(given, str | int) and not isinstance(given, bool) else ""
        id = text if _ID.fullmatch(text) else number
        self._next += 1
        self._known.add(number)
        if id != number:
            self._names[number] = id
        self.claim(id)
        return id

    def claim(self, id: str) -> None:
        """An id of a grammar in which every call must say its own."""
        self.taken.add(id)
        self._known.add(id)
        # A number that is some call's own id means that call.
        self._names.pop(id, None)

    def read(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments with their references typed; to be called before `take` for the same call."""
        return {key: renamed(read_references(value, self._known), self._names) for key, value in arguments.items()}


def syntax_error(message: str, line: int, call: str | None = None, expected: str = "", raw: str = "") -> Diagnostic:
    """A text that cannot be read as a call."""
    return Diagnostic(DiagnosticKind.SYNTAX, message, call, line, expected, raw)


def refuse_order(plan: Plan, front: str) -> None:
    """Raise PlanError for what only some grammars can say: join(), and waiting for a call without using its result."""
    if plan.joins:
        raise PlanError(f"{front} has no join(): take joins off the plan to write it so.")
    waiting = next((call for call in plan if call.after), None)
    if waiting is not None:
        raise PlanError(f"{front} cannot say that call {waiting.id} only waits: refer to the other call's result.")


def gathered(parser: Parser, pieces: Iterable[str]) -> tuple[Plan, list[Diagnostic]]:
    """What a parser finds in a whole text."""
    found: Found = []
    for piece in pieces:
        found += parser.feed(piece)
    found += parser.finish()
    calls = tuple(item for item in found if isinstance(item, PlannedCall))
    return Plan(calls, parser.joins), [item for item in found if isinstance(item, Diagnostic)]
