"""One plan while it runs: calls arrive, wait for each other, end; each exactly once.

In: calls, one after the other, while the model may still be writing. Out: their outcomes in the plan's order, and
events. Neighbours: `order` says when a call may begin, `core` runs it. Everything here happens in the event loop's
thread, and what follows from a change has happened when the method returns.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any

import anyio

from toolsets.executor.errors import ExecutorError
from toolsets.executor.events import Event, Finished, Planned
from toolsets.executor.executions import Node, ended_words
from toolsets.executor.order import Circular, Order
from toolsets.plan import PlannedCall
from toolsets.results import CallOutcome, CallState, History, ResultStore

if TYPE_CHECKING:
    from toolsets.executor.core import Executor


class EventStream:
    """The events of one plan from here on, to be read with `async for`; ends with the plan."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._ended = False
        self._come = anyio.Event()

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        while not self._events:
            if self._ended:
                raise StopAsyncIteration
            await self._come.wait()
            self._come = anyio.Event()
        return self._events.popleft()

    def put(self, event: Event) -> None:
        self._events.append(event)
        self._come.set()

    def end(self) -> None:
        self._ended = True
        self._come.set()


class RunningPlan:
    """Made by `Executor.plan` or `Executor.open`."""

    def __init__(self, executor: Executor, id: str, history: History) -> None:
        self.id = id
        self.history = history
        self._executor = executor
        self._nodes: dict[str, Node] = {}
        self._order = Order(history.ids)
        self._open: dict[str, Node] = {}
        self._closed = False
        self._ended = anyio.Event()
        self._streams: list[EventStream] = []
        # Set once no further call may begin: the state that the others end in, and why.
        self._given_up: tuple[CallState, str] | None = None
        history.listen(id, self._ended_elsewhere)

    @property
    def store(self) -> ResultStore:
        return self._executor.store

    @property
    def closed(self) -> bool:
        """Whether no more calls come."""
        return self._closed

    @property
    def ended(self) -> bool:
        """Whether no more calls come and all have ended."""
        return self._ended.is_set()

    @property
    def outcomes(self) -> tuple[CallOutcome, ...]:
        """Of the calls that have ended so far, in the plan's order."""
        return tuple(node.outcome for node in self._in_order() if node.outcome is not None)

    def add(self, call: PlannedCall) -> None:
        """A call has arrived; it begins as soon as its arguments are known and there is room."""
        if self._closed:
            raise ExecutorError(f"The plan {self.id} is closed: add call {call.id} to another one.")
        self.admit(call)

    def admit(self, call: PlannedCall) -> None:
        """The same for a call of a plan that is known as a whole: where that was cancelled, so is the call."""
        if call.id in self._nodes or call.id in self.history.ids or call.id in self.history.open:
            raise ExecutorError(f"There is a call {call.id} already: give this one another id.")
        with self._executor.together():
            node = self._nodes[call.id] = self._open[call.id] = self._executor.node(self, call)
            self.history.arrived(call.id)
            needs = tuple(dict.fromkeys([*node.refs, *call.after]))
            self.tell(Planned(self.id, call.id, call.tool, call.arguments, needs, call.line, call.raw))
            if node.outcome is not None:
                return  # whoever heard of it has cancelled it
            if self._given_up is not None:
                self.finish(node, node.end_without_value(*self._given_up))
                return
            if node.tool is None:
                self.finish(node, node.end_without_value("failed", self._executor.unknown_tool(call.tool)))
                return
            try:
                ready = self._order.add(call.id, needs, write=node.tool.effect == "write")
            except Circular:
                error = f"Call {call.id} waits for itself, through what it refers to: refer to earlier calls only."
                self.finish(node, node.end_without_value("failed", error))
                return
            self._executor.ready(self._open[id] for id in ready)

    def close(self) -> None:
        """No more calls come. Calls that refer to one that never came fail."""
        with self._executor.together():
            self._closed = True
            for id, never in self._order.missing().items():
                # A call of an earlier plan that still runs is not missing.
                missing = [need for need in never if need not in self.history.open]
                if missing and (node := self._open.get(id)) is not None:
                    error = f"It refers to ${missing[0]}, and there is no such call: refer to a call of this plan."
                    self.finish(node, node.end_without_value("failed", error))
            self._end_if_all_have()

    def cancel(self, reason: str = "The plan was cancelled.") -> None:
        """End every call that has not ended, now. Tools that run are stopped, or left behind where nobody can."""
        with self._executor.together():
            self._closed = True
            self._given_up = ("cancelled", reason)
            for node in list(self._open.values()):
                self._cancel(node, reason)
            self._end_if_all_have()

    def cancel_call(self, id: str, reason: str = "The call was cancelled.") -> bool:
        """End one call, now. Returns False where it has ended already or never came."""
        node = self._open.get(id)
        if node is None:
            return False
        with self._executor.together():
            self._cancel(node, reason)
        return True

    async def results(self) -> tuple[CallOutcome, ...]:
        """Wait until no more calls come and all have ended; then one outcome for each, in the plan's order."""
        await self._ended.wait()
        return self.outcomes

    def events(self) -> EventStream:
        """What happens from now on, for `async for`."""
        stream = EventStream()
        if self.ended:
            stream.end()
        else:
            self._streams.append(stream)
        return stream

    def outcome_of(self, id: str) -> CallOutcome:
        """Of a call that has ended, of this plan or an earlier one."""
        node = self._nodes.get(id)
        outcome = self.history.outcomes[id] if node is None else node.outcome
        assert outcome is not None
        return outcome

    def asked_as(self, id: str) -> tuple[str, str]:
        """Plan and id under which a person is asked about a call: those of an identical one, where that came first."""
        node = self._open.get(id)
        return (self.id, id) if node is None or node.execution is None else node.execution.first

    def failed_need(self, node: Node) -> CallOutcome | None:
        """The first call that this one refers to and must not be run without."""
        for id in node.refs:
            outcome = self.outcome_of(id)
            if not outcome.succeeded and self._on_failure(id) != "pass":
                return outcome
        return None

    def finish(self, node: Node, outcome: CallOutcome) -> None:
        """The one place where a call ends."""
        assert node.outcome is None
        node.outcome, node.execution = outcome, None
        del self._open[node.call.id]
        self.history.record(outcome, node.write_key)
        freed = self._order.end(node.call.id)
        self._executor.ready(self._open[id] for id in freed)
        self.tell(Finished(self.id, node.call.id, outcome))
        if not outcome.succeeded and node.policy.on_failure == "stop" and self._given_up is None:
            self._stop(node)
        self._end_if_all_have()

    def tell(self, event: Event) -> None:
        self._executor.tell(event)
        for stream in self._streams:
            stream.put(event)

    def _stop(self, node: Node) -> None:
        """Nothing begins any more; what has begun goes on, so that no call loses its result by another's failure."""
        assert node.outcome is not None
        ended = ended_words(node.outcome.state)
        reason = f"The plan was stopped, because call {node.call.id} ({node.call.tool}) {ended}."
        self._given_up = ("not_executed", reason)
        for other in list(self._open.values()):
            if other.outcome is None and not other.begun:
                self._executor.detach(other)
                self.finish(other, other.end_without_value("not_executed", reason))

    def _cancel(self, node: Node, reason: str) -> None:
        if node.outcome is not None:
            return
        state: CallState = "not_executed" if node.asking else "cancelled"
        more: dict[str, Any] = self._executor.detach(node)
        self.finish(node, node.end_without_value(state, reason, **more))

    def _on_failure(self, id: str) -> str | None:
        node = self._nodes.get(id)
        return self._executor.defaults.on_failure if node is None else node.policy.on_failure

    def _ended_elsewhere(self, id: str) -> None:
        """A call of another plan with the same history has ended: what refers to it may begin."""
        with self._executor.together():
            freed = self._order.end(id)
            self._executor.ready(self._open[id] for id in freed)

    def _end_if_all_have(self) -> None:
        if self._closed and not self._open and not self._ended.is_set():
            self._ended.set()
            for stream in self._streams:
                stream.end()
            self._streams.clear()
            self.history.listen(self.id, None)
            self._executor.forget(self)

    def _in_order(self) -> Iterable[Node]:
        """As the calls stand in the text; as they came, where there is no text."""
        nodes = list(self._nodes.values())
        return sorted(nodes, key=lambda node: node.call.line) if all(node.call.line for node in nodes) else nodes
