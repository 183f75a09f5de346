"""What a worker writes, read as plans: calls the moment they are complete, what is wrong with them, where a plan ends.

In: a worker's text, in pieces of any size. Out: `ReadCall` and `PlanEnded` values. Pure. Above: `driver` runs the calls
and holds the worker. Below: `toolsets.fronts` reads, `toolsets.check` judges, `toolsets.rounds` names.

Where a plan ends: tool calls in tags are a plan each, unless the prompting names a `plan_end`, the text that a worker
writes after the last call of a plan. In the other grammars a plan ends with its list, with `join()`, or with a blank
line. A worker's turn ends its plan in any case.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from toolsets.check import Checker
from toolsets.diagnostics import Diagnostic, DiagnosticKind
from toolsets.fronts import parser
from toolsets.plan import PlannedCall
from toolsets.rounds import Names
from toolsets.tool import Tool

UNREAD = "?"
"""The tool of a call whose text could not be read."""

_LISTS = frozenset({"dta", "tool_use"})
_LONGEST_END = 200


@dataclass(frozen=True, slots=True)
class ReadCall:
    """label: what the worker's text calls it in its plan. call: under an id that no other call of this worker has, its
    line counted in the plan. problems: why it cannot run; empty for a sound call."""

    plan: str
    label: str
    call: PlannedCall
    problems: tuple[Diagnostic, ...] = ()


@dataclass(frozen=True, slots=True)
class PlanEnded:
    """No more calls come to this plan."""

    plan: str


Read = ReadCall | PlanEnded


class PlanReader:
    """Reads one worker. front: the grammar. plan_end: see `Prompting.plan_end`. tools: looked at anew for each call.
    allowed: those that it may call, None for all."""

    def __init__(
        self,
        worker: str,
        tools: Mapping[str, Tool],
        front: str = "tool_calls",
        plan_end: str = "",
        allowed: Collection[str] | None = None,
    ) -> None:
        self._allowed = allowed
        self._worker, self._tools, self._front, self._plan_end = worker, tools, front, plan_end
        self._each = front == "tool_calls" and not plan_end
        self._taken: set[str] = set()
        self._tool_of: dict[str, str] = {}
        self._numbers = itertools.count(1)
        self._plan: str | None = None
        self._after = ""
        self._renew()

    @property
    def inside(self) -> bool:
        """Whether the worker may be writing a call just now, so that no text should be put there."""
        return self._parser.inside

    def feed(self, text: str) -> list[Read]:
        """The worker has written `text`."""
        if self._each:
            return self._items(self._parser.feed(text))
        # Character by character: how a text is cut into tokens must not change where a plan ends.
        return [item for character in text for item in self._feed_one(character)]

    def finish(self) -> list[Read]:
        """The worker has ended its turn."""
        read = self._items(self._parser.finish())
        read += self._end_plan()
        self._renew()
        return read

    def _feed_one(self, character: str) -> list[Read]:
        found = self._parser.feed(character)
        read = self._items(found)
        self._after = "" if found else (self._after + character)[-_LONGEST_END:]
        if self._plan is not None and self._plan_ends():
            read += self._end_plan()
            self._renew()
        elif self._parser.ended:
            self._renew()
        return read

    def _plan_ends(self) -> bool:
        if self._parser.joins or self._parser.ended:
            return True
        if self._parser.inside:
            return False
        if self._front in _LISTS:
            return True
        return self._after.endswith(self._plan_end or "\n\n")

    def _items(self, found: list[PlannedCall | Diagnostic]) -> list[Read]:
        read: list[Read] = []
        for item in found:
            read.append(self._item(item))
            if self._each:
                read += self._end_plan()
        return read

    def _item(self, item: PlannedCall | Diagnostic) -> ReadCall:
        if self._plan is None:
            self._plan, self._first_line = f"{self._worker}-{next(self._numbers)}", item.line
            self._names = Names(self._taken)
            self._checker = Checker(self._tools, self._tool_of, restarts=True)
        line = item.line - self._first_line + 1
        if isinstance(item, Diagnostic):
            label = item.call or ""
            self._checker.add_unread(label)
            unread = self._names.rename(PlannedCall(label or "unread", UNREAD, {}, line, item.raw))
            return ReadCall(self._plan, label, unread, (replace(item, line=line),))
        sound, problems = self._checker.add(item)
        call = self._names.rename(replace(sound or item, line=line))
        if sound is not None:
            self._tool_of[call.id] = call.tool
        if self._allowed is not None and item.tool in self._tools and item.tool not in self._allowed:
            problems = [*problems, self._not_allowed(item.tool)]
        return ReadCall(self._plan, item.id, call, tuple(replace(problem, line=line) for problem in problems))

    def _not_allowed(self, tool: str) -> Diagnostic:
        there = ", ".join(name for name in self._tools if name in (self._allowed or ()))
        may = f"it may call {there}" if there else "it may call no tool"
        return Diagnostic(DiagnosticKind.UNKNOWN_TOOL, f"{self._worker} may not call {tool}: {may}.")

    def _end_plan(self) -> list[Read]:
        ended, self._plan = self._plan, None
        return [] if ended is None else [PlanEnded(ended)]

    def _renew(self) -> None:
        """A new text begins. Where the prompting says how a plan ends, each plan counts its calls from 1."""
        self._parser = parser(self._front, () if self._plan_end else self._taken)
        self._after = ""


def problem_text(problems: tuple[Diagnostic, ...], *, with_line: bool) -> str:
    """What is wrong with a call, for the worker that wrote it.

    >>> from toolsets.diagnostics import DiagnosticKind
    >>> one = Diagnostic(DiagnosticKind.UNKNOWN_TOOL, "There is no tool 'gdc': did you mean gcd?", "2", 2, "gcd")
    >>> problem_text((one,), with_line=True)
    "line 2: There is no tool 'gdc': did you mean gcd?"
    """
    texts = [
        one.message + (f" (expected: {one.expected})" if one.expected and one.expected not in one.message else "")
        for one in problems
    ]
    where = f"line {problems[0].line}: " if with_line and problems[0].line else ""
    return where + " ".join(dict.fromkeys(texts))
