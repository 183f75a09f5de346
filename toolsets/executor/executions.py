"""The mutable heart of the executor: a call of a plan, and an execution that answers one call or several.

In: nothing. Out: `Node` and `Execution`, which `plans` and `core` work on, in the event loop's thread. Nothing of it
is seen outside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio

from toolsets.executor.gate import Ticket
from toolsets.executor.reports import Reports
from toolsets.plan import PlannedCall
from toolsets.policy import CallPolicy
from toolsets.results import CallOutcome, CallState, cut_text, result_id
from toolsets.tool import Tool

if TYPE_CHECKING:
    from toolsets.executor.plans import RunningPlan


@dataclass(slots=True, eq=False)
class Node:
    """One call of one plan, from its arrival to its outcome."""

    plan: RunningPlan
    call: PlannedCall
    number: int
    """Order of arrival, over all plans of the executor."""
    tool: Tool | None
    policy: CallPolicy
    execution: Execution | None = None
    write_key: str | None = None
    joined_s: float = 0.0
    attempts: int = 0
    edited: Mapping[str, Any] | None = None
    """The arguments that a person has given it, where they changed them."""
    outcome: CallOutcome | None = None
    refs: tuple[str, ...] = field(init=False)
    """Ids of the calls that its arguments refer to, each once; looked for once, because a plan has many calls."""

    def __post_init__(self) -> None:
        self.refs = tuple(dict.fromkeys(ref.call for ref in self.call.refs()))

    @property
    def result_id(self) -> str:
        return result_id(self.plan.id, self.call.id)

    @property
    def begun(self) -> bool:
        """Whether its tool has been called, for it or for the call that it shares the execution of."""
        return self.execution is not None and self.execution.attempts > 0

    @property
    def asking(self) -> bool:
        return self.execution is not None and self.execution.asking

    def end(self, state: CallState, text: str, **more: Any) -> CallOutcome:
        """The outcome of this call, in this state."""
        tool = self.tool
        trusted, effect = (tool.trusted, tool.effect) if tool is not None else (True, "read")
        own = {"attempts": self.attempts, "num_chars": len(text), "trusted": trusted, "effect": effect} | more
        return CallOutcome(self.plan.id, self.call.id, self.call.tool, state, text, edited=self.edited, **own)

    def end_without_value(self, state: CallState, error: str, **more: Any) -> CallOutcome:
        """The outcome of this call where there is no value, for a reason."""
        return self.end(state, f"{state.replace('_', ' ')}: {error}", error=error, **more)

    def end_like(self, other: CallOutcome, note: str = "", **more: Any) -> CallOutcome:
        """The outcome of this call, answered by what another one gave."""
        more = {"shared_with": (other.result_id,), "error": other.error, "isolation": other.isolation} | more
        if not other.succeeded:
            return self.end(other.state, note + other.text, **more)
        store, max_chars = self.plan.store, self.policy.max_result_chars
        store.share(other.result_id, self.result_id)
        text, cut = other.text, other.cut
        if cut or (max_chars is not None and other.num_chars > max_chars):
            text, cut = self.shown(store.text(self.result_id))
        return self.end("succeeded", note + text, num_chars=other.num_chars, cut=cut, store=store, **more)

    def shown(self, text: str) -> tuple[str, bool]:
        """What a worker reads of a result, and whether that is only its beginning."""
        max_chars = self.policy.max_result_chars
        cut = max_chars is not None and len(text) > max_chars
        return cut_text(text, max_chars, self.result_id), cut


def ended_words(state: CallState) -> str:
    """
    >>> ended_words("timed_out"), ended_words("rejected")
    ('timed out', 'was rejected')
    """
    words = state.replace("_", " ")
    return words if state in ("succeeded", "failed", "timed_out") else f"was {words}"


@dataclass(slots=True, eq=False)
class Execution:
    """One run of a tool, retries included. nodes: the calls that it answers, at first the one that it was begun for;
    without any it is given up."""

    tool: Tool
    arguments: Mapping[str, Any]
    policy: CallPolicy
    key: str | None
    nodes: list[Node]
    first: tuple[str, str] = field(init=False)
    """Plan and id of the call that it was begun for, which may have been cancelled since. A person is asked for it."""
    ticket: Ticket[Execution] = field(init=False)
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    granted: anyio.Event | None = None
    attempts: int = 0
    began_s: float = 0.0
    reports: Reports | None = None
    """Of the newest attempt."""
    asking: bool = False

    @property
    def isolation(self) -> str:
        """What stood between the tool and this process, in words; empty where it never ran."""
        if self.reports is None:
            return ""
        return self.reports.isolation or (f"server {self.tool.server}" if self.tool.server else "in process")

    @property
    def first_id(self) -> str:
        """Result id of the call that it was begun for."""
        return result_id(*self.first)

    def others(self, id: str) -> tuple[str, ...]:
        """Result ids of the other calls that it answers, the one that it was begun for first."""
        ids = [self.first_id, *(node.result_id for node in self.nodes)]
        return tuple(dict.fromkeys(other for other in ids if other != id))

    def __post_init__(self) -> None:
        tool = self.tool
        self.first = (self.nodes[0].plan.id, self.nodes[0].call.id)
        self.ticket = Ticket(
            self.nodes[0].number, self, tool.name, tool.server, tool.max_concurrent, tool.effect == "write",
            tool.server_cap,
        )  # fmt: skip
