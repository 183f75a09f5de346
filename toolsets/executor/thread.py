"""The executor for programs without an event loop: it runs in a thread of its own, and every method returns at once.

In: calls and commands, from any thread. Out: events, told in the executor's thread, and outcomes to wait for.
Neighbours: `core` does the work; a driver that decodes step by step is above.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Final

import anyio
from anyio.abc import TaskGroup

from toolsets.executor.approvals import Approvals, Decision
from toolsets.executor.core import Executor
from toolsets.executor.errors import ExecutorError
from toolsets.executor.events import Event
from toolsets.executor.plans import RunningPlan
from toolsets.executor.threads import CallSoon, loop_caller
from toolsets.plan import PlannedCall
from toolsets.results import CallOutcome, History
from toolsets.tool import Tool

START_S: Final = 30.0
CLOSE_S: Final = 5.0


class _Opened:
    """A plan as the callers' threads know it."""

    __slots__ = ("closed", "ids", "outcomes", "running")

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.closed = False
        self.outcomes: Future[tuple[CallOutcome, ...]] = Future()
        self.running: RunningPlan | None = None
        """Set and used in the executor's thread alone."""


class ExecutorThread:
    """tools, on_event and the other options are those of `Executor`; approvals are answered through `decide`.
    on_event is called in the executor's thread and must return soon."""

    def __init__(
        self, tools: Mapping[str, Tool], *, on_event: Callable[[Event], object] | None = None, **options: Any
    ) -> None:
        self._approvals = Approvals()
        self._executor = Executor(tools, on_event=on_event, approver=self._approvals, **options)
        self.store = self._executor.store
        self._lock = threading.Lock()
        self._plans: dict[str, _Opened] = {}
        self._closed = False
        self._call_soon: CallSoon
        self._stop: anyio.Event
        self._watchers: TaskGroup
        started = threading.Event()
        self._thread = threading.Thread(
            target=anyio.run, args=(self._main, started), name="executor of tools", daemon=True
        )
        self._thread.start()
        if not started.wait(START_S):
            raise ExecutorError(f"The executor's thread did not start within {START_S:g} s: is the machine overloaded?")

    def open(self, plan_id: str, *, history: History | None = None) -> None:
        """Begin a plan. `submit` does it for a new id."""
        with self._lock:
            self._open(plan_id, history)

    def submit(self, plan_id: str, call: PlannedCall) -> None:
        """A call of a plan has arrived; raises ExecutorError where it comes twice or too late."""
        with self._lock:
            plan = self._plans.get(plan_id) or self._open(plan_id, None)
            self._refuse_closed()
            if plan.closed:
                raise ExecutorError(f"The plan {plan_id} is closed: submit call {call.id} to another one.")
            if call.id in plan.ids:
                raise ExecutorError(f"There is a call {call.id} already: give this one another id.")
            plan.ids.add(call.id)
            self._in_thread(plan, lambda running: None if running.closed else running.add(call))

    def finish(self, plan_id: str) -> None:
        """No more calls come to this plan."""
        with self._lock:
            plan = self._plan(plan_id)
            plan.closed = True
            self._in_thread(plan, RunningPlan.close)

    def cancel(self, plan_id: str, reason: str = "The plan was cancelled.") -> None:
        """End every call of this plan that has not ended."""
        with self._lock:
            plan = self._plan(plan_id)
            plan.closed = True
            self._in_thread(plan, lambda running: running.cancel(reason))

    def cancel_call(self, plan_id: str, call_id: str, reason: str = "The call was cancelled.") -> None:
        """End one call; nothing happens where it has ended."""
        with self._lock:
            self._in_thread(self._plan(plan_id), lambda running: running.cancel_call(call_id, reason))

    def decide(self, plan_id: str, call_id: str, decision: Decision) -> None:
        """A person's answer, for identical calls that share an execution, too; the first one counts, and one that
        nobody asked for does nothing."""
        with self._lock:
            self._in_thread(
                self._plan(plan_id), lambda running: self._approvals.decide(*running.asked_as(call_id), decision)
            )

    def wait(self, plan_id: str, timeout_s: float) -> tuple[CallOutcome, ...]:
        """The outcomes of a plan that is finished or cancelled, once all its calls have ended; raises TimeoutError."""
        with self._lock:
            outcomes = self._plan(plan_id).outcomes
        return outcomes.result(timeout_s)

    def close(self, timeout_s: float = CLOSE_S) -> bool:
        """Cancel everything and end the thread. Returns within the time given: False where an async tool does not let
        go; its thread is a daemon and ends with the process."""
        with self._lock:
            if not self._closed:
                self._closed = True
                with contextlib.suppress(RuntimeError):  # the loop has ended by itself
                    self._call_soon(lambda: self._stop.set())
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def __enter__(self) -> ExecutorThread:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _main(self, started: threading.Event) -> None:
        async with self._executor, anyio.create_task_group() as self._watchers:
            self._call_soon, self._stop = loop_caller(), anyio.Event()
            started.set()
            await self._stop.wait()
            for plan in list(self._plans.values()):
                if plan.running is not None:
                    plan.running.cancel("The executor was closed.")

    def _open(self, plan_id: str, history: History | None) -> _Opened:
        self._refuse_closed()
        if plan_id in self._plans:
            raise ExecutorError(f"There was a plan {plan_id} already: give this one another id.")
        plan = self._plans[plan_id] = _Opened()

        def begin() -> None:
            plan.running = self._executor.open(plan_id, history=history)
            self._watchers.start_soon(self._watch, plan)

        self._call_soon(begin)
        return plan

    async def _watch(self, plan: _Opened) -> None:
        assert plan.running is not None
        outcomes = await plan.running.results()
        if plan.outcomes.set_running_or_notify_cancel():
            plan.outcomes.set_result(outcomes)

    def _in_thread(self, plan: _Opened, command: Callable[[RunningPlan], object]) -> None:
        self._refuse_closed()
        # Commands keep their order: whatever is called soon is called in the order in which it was asked for.
        self._call_soon(lambda: command(plan.running) if plan.running is not None else None)

    def _plan(self, plan_id: str) -> _Opened:
        if (plan := self._plans.get(plan_id)) is None:
            raise ExecutorError(f"There is no plan {plan_id}: submit a call to it first.")
        return plan

    def _refuse_closed(self) -> None:
        if self._closed:
            raise ExecutorError("The executor is closed: make another one.")
