"""Finds everything that is wrong with a plan before anything runs, and what of it can run all the same.

In: a `Plan` and the tools by name. Out: `Checked`: the sound calls in their order, and a diagnostic for each fault,
with a kind of its own. A call that waits for an unsound one is unsound too, and says so. Neighbours: the front ends of
`fronts` make plans, the executor runs the sound part; `Checker` judges call by call while a plan is being written.
Pure.
"""

import difflib
import itertools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from toolsets.arguments import ArgumentProblem, bind_positional, fit_or_tell
from toolsets.diagnostics import Diagnostic, DiagnosticKind, unknown_tool
from toolsets.fronts.references import references_in_texts
from toolsets.hints import kind_of
from toolsets.plan import Plan, PlannedCall, Ref, Template
from toolsets.schemas import at_path, can_be, options
from toolsets.tool import Tool

__all__ = ["Checked", "Checker", "Diagnostic", "DiagnosticKind", "check"]

_MAX_NAMES: Final = 12
_NO_TEXT: Final = frozenset({"bool", "list", "object"})


@dataclass(frozen=True, slots=True)
class Checked:
    """calls: the sound ones; what was given by place now has its parameter's name."""

    calls: tuple[PlannedCall, ...]
    diagnostics: tuple[Diagnostic, ...]
    joins: bool = False

    @property
    def plan(self) -> Plan:
        """The part that can run."""
        return Plan(self.calls, self.joins)


@dataclass(frozen=True, slots=True)
class _Ahead:
    """What a whole plan tells of calls that come later: their ids, and the cycles."""

    ids: Collection[str] = ()
    cycles: Mapping[str, tuple[str, ...]] | None = None


def check(
    plan: Plan, tools: Mapping[str, Tool], earlier: Mapping[str, str] | None = None, unread: Collection[str] = ()
) -> Checked:
    """Judge a whole plan. earlier: calls of former rounds that it may refer to, id to the tool's name. unread: ids of
    calls that the front end could not read.

    >>> from toolsets.builtin import BUILTINS
    >>> from toolsets.fronts import parse
    >>> plan, _ = parse("1. gcd(a=12, b=18)\\n2. grd(a=$1, b=3)\\n3. add(a=$2, b=1)")
    >>> checked = check(plan, BUILTINS)
    >>> [call.id for call in checked.calls], [diagnostic.kind.value for diagnostic in checked.diagnostics]
    (['1'], ['unknown_tool', 'depends_on_unsound'])
    """
    checker = Checker(tools, earlier, _Ahead({call.id for call in plan}, _cycles(plan)))
    for id in unread:
        checker.add_unread(id)
    judged = [checker.add(call) for call in plan]
    calls = tuple(call for call, _ in judged if call is not None)
    return Checked(calls, tuple(one for _, found in judged for one in found), plan.joins)


class Checker:
    """Judges calls one by one in the order of their text, each against those before it. restarts: a plan's ids may be
    those of former rounds, which then mean the plan's own calls from there on."""

    def __init__(
        self,
        tools: Mapping[str, Tool],
        earlier: Mapping[str, str] | None = None,
        ahead: _Ahead | None = None,
        *,
        restarts: bool = False,
    ) -> None:
        self._tools = tools
        self._tool_of = dict(earlier or {})
        self._unsound: set[str] = set()
        self._ahead = ahead or _Ahead()
        self._former = set(self._tool_of) if restarts else set[str]()

    def add(self, call: PlannedCall) -> tuple[PlannedCall | None, list[Diagnostic]]:
        """The call as it can run, with arguments by name; None where something is wrong with it."""
        tool = self._tools.get(call.tool)
        if tool is not None:
            call = replace(call, arguments=bind_positional(tool, call.arguments))
        found = [*self._order(call), *self._fields(call)]
        found += [_unknown_tool(call, self._tools)] if tool is None else self._arguments(call, tool)
        if (call.id in self._tool_of and call.id not in self._former) or call.id in self._unsound:
            # One of the two may have been unreadable; which one was meant is as unclear.
            found.insert(0, _duplicate(call))
        elif found:
            self._former.discard(call.id)
            self._unsound.add(call.id)
        else:
            self._former.discard(call.id)
            self._tool_of[call.id] = call.tool
        return (None if found else call), found

    def add_unread(self, id: str) -> None:
        """A call that was there but could not be read: those that wait for it cannot run."""
        self._unsound.add(id)

    def _order(self, call: PlannedCall) -> Iterator[Diagnostic]:
        """What is wrong with the calls that it waits for."""
        cycle = (self._ahead.cycles or {}).get(call.id)
        if cycle:
            yield _cycle(call, cycle)
        ahead = [id for id in references_in_texts(call.arguments) if self._is_ahead(id, call)]
        for id in dict.fromkeys([*call.needs(), *ahead]):
            if cycle and id in cycle:
                continue
            if id in self._unsound and id != call.id:
                yield _because_of(call, id)
            elif self._is_ahead(id, call):
                yield _forward(call, id)
            elif id not in self._tool_of:
                yield _unknown_call(call, id, self._tool_of)

    def _is_ahead(self, id: str, call: PlannedCall) -> bool:
        return id in self._ahead.ids and id not in self._tool_of and id not in self._unsound and id != call.id

    def _fields(self, call: PlannedCall) -> Iterator[Diagnostic]:
        for ref in dict.fromkeys(call.refs()):
            tool = self._tools.get(self._tool_of.get(ref.call, ""))
            if tool is None:
                continue
            returned = tool.returns_schema
            for length in range(1, len(ref.path) + 1):
                if not at_path(returned, returned, ref.path[:length]):
                    yield _unknown_field(call, ref, length, at_path(returned, returned, ref.path[: length - 1]))
                    break

    def _arguments(self, call: PlannedCall, tool: Tool) -> Iterator[Diagnostic]:
        def judge(place: str, value: Ref | Template, wanted: Mapping[str, Any]) -> ArgumentProblem | None:
            return self._reference_misfit(tool, place, value, wanted)

        _, problems = fit_or_tell(tool, call.arguments, judge)
        for problem in problems:
            yield Diagnostic(problem.kind, problem.message, call.id, call.line, problem.expected)

    def _reference_misfit(
        self, tool: Tool, place: str, value: Ref | Template, wanted: Mapping[str, Any]
    ) -> ArgumentProblem | None:
        kinds = [kind_of(option) for option in options(wanted, tool.parameters)]
        asked = " or ".join(dict.fromkeys(kinds))
        kind = DiagnosticKind.ILL_TYPED_REFERENCE
        if isinstance(value, Template):
            if all(one in _NO_TEXT for one in kinds):
                message = f"{place} of {tool.name} must be {_a(asked)}, and a text with a result inside is none."
                return ArgumentProblem(kind, message, asked)
            return None
        source = self._tools.get(self._tool_of.get(value.call, ""))
        if source is None:
            return None
        given = at_path(source.returns_schema, source.returns_schema, value.path)
        if not given or can_be(given, wanted, source.returns_schema, tool.parameters):
            return None
        result = " or ".join(dict.fromkeys(kind_of(option) for option in given))
        message = f"{place} of {tool.name} must be {_a(asked)}, but {value} of {source.name} is {_a(result)}."
        return ArgumentProblem(kind, message, asked)


def _duplicate(call: PlannedCall) -> Diagnostic:
    message = f"The id {call.id} is given to two calls: the first keeps it, give this one another."
    return Diagnostic(DiagnosticKind.DUPLICATE_ID, message, call.id, call.line, "an id that no other call has")


def _unknown_tool(call: PlannedCall, tools: Mapping[str, Tool]) -> Diagnostic:
    near = difflib.get_close_matches(call.tool[:200].rpartition(".")[2], tools, n=3, cutoff=0.5)
    message = unknown_tool(call.tool, tools, most=_MAX_NAMES)
    if near:
        message = f"There is no tool {call.tool[:80]!r}: did you mean {' or '.join(near)}?"
    return Diagnostic(DiagnosticKind.UNKNOWN_TOOL, message, call.id, call.line, " or ".join(near))


def _cycle(call: PlannedCall, cycle: tuple[str, ...]) -> Diagnostic:
    if len(cycle) == 1:
        message = f"Call {call.id} waits for itself: refer to a call that comes before it."
    else:
        message = f"The calls {_listed(cycle)} wait for each other: take one of these references out."
    return Diagnostic(DiagnosticKind.CYCLE, message, call.id, call.line, "a reference to a call before it")


def _forward(call: PlannedCall, id: str) -> Diagnostic:
    message = f"Call {call.id} refers to call {id}, which comes later: write call {id} first, or $${id} for the text."
    return Diagnostic(DiagnosticKind.FORWARD_REFERENCE, message, call.id, call.line, "a call before it")


def _unknown_call(call: PlannedCall, id: str, known: Mapping[str, str]) -> Diagnostic:
    names = tuple(itertools.islice(known, _MAX_NAMES))
    more = f" and {len(known) - len(names)} more" if len(known) > len(names) else ""
    calls = f"the calls so far are {', '.join(names)}{more}" if known else "there is no call before it"
    message = f"Call {call.id} refers to call {id[:80]}, which does not exist: {calls}."
    return Diagnostic(DiagnosticKind.UNKNOWN_REFERENCE, message, call.id, call.line, "the id of a call before it")


def _because_of(call: PlannedCall, id: str) -> Diagnostic:
    message = f"Call {call.id} waits for call {id}, which cannot run: mend call {id} first."
    return Diagnostic(DiagnosticKind.DEPENDS_ON_UNSOUND, message, call.id, call.line)


def _unknown_field(call: PlannedCall, ref: Ref, length: int, whole: list[Mapping[str, Any]]) -> Diagnostic:
    part, before = Ref(ref.call, ref.path[:length]), Ref(ref.call, ref.path[: length - 1])
    names = [str(name) for option in whole for name in option.get("properties", ())]
    has = f"a record with {_listed(tuple(names))}" if names else _a(" or ".join(kind_of(option) for option in whole))
    message = f"{part} does not exist: {before} is {has}."
    return Diagnostic(DiagnosticKind.UNKNOWN_FIELD, message, call.id, call.line, ", ".join(names))


def _listed(names: tuple[str, ...]) -> str:
    shown = [name[:40] for name in names[:_MAX_NAMES]]
    if len(names) > _MAX_NAMES:
        return f"{', '.join(shown)} and {len(names) - _MAX_NAMES} more"
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))


def _a(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeio' else 'a'} {kind}"


def _cycles(plan: Plan) -> dict[str, tuple[str, ...]]:
    """For each call on a cycle, the calls of it in the order of the plan (Tarjan 1972, without recursion)."""
    needs = {call.id: call.needs() for call in reversed(plan.calls)}
    place = {id: index for index, id in enumerate(reversed(list(needs)))}
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    path: list[str] = []
    on_path: set[str] = set()
    cycles: dict[str, tuple[str, ...]] = {}
    for root in place:
        stack = [(root, iter(needs[root]))] if root not in number else []
        while stack:
            id, rest = stack[-1]
            if id not in number:
                number[id] = low[id] = len(number)
                path.append(id)
                on_path.add(id)
            for other in rest:
                if other in needs and other not in number:
                    stack.append((other, iter(needs[other])))
                    break
                if other in on_path:
                    low[id] = min(low[id], number[other])
            else:
                stack.pop()
                if stack:
                    low[stack[-1][0]] = min(low[stack[-1][0]], low[id])
                if low[id] == number[id]:
                    knot = [path.pop()]
                    while knot[-1] != id:
                        knot.append(path.pop())
                    on_path.difference_update(knot)
                    if len(knot) > 1 or id in needs[id]:
                        ordered = tuple(sorted(knot, key=place.__getitem__))
                        cycles.update(dict.fromkeys(knot, ordered))
    return cycles
