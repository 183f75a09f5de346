"""The executor: calls of many plans, run as early as their arguments, the policies and the caps allow.

In: calls of running plans (`plans`), tools by name. Out: one `CallOutcome` for each call, whatever its tool does, and
events. Neighbours: `order` and `gate` decide, `attempts` runs the tools, `results` keeps the values; `rounds` and
`workbench` are above. Runs on asyncio and trio; there is no polling, everything follows from an arrival, an end or a
timer. Plans as DAGs of calls: LLMCompiler (arXiv 2312.04511, section 3), DTA (2501.12432, section 3).
"""

from __future__ import annotations

import itertools
import logging
import random
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any, Final, Self

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from toolsets.arguments import fit_arguments
from toolsets.diagnostics import unknown_tool
from toolsets.errors import NotExecutedError
from toolsets.executor.approvals import Approver, Decision
from toolsets.executor.attempts import Attempts, Raised, Returned, TimedOut, Tried, backoff_s, failure_sentence
from toolsets.executor.errors import ExecutorError, OvertimeError
from toolsets.executor.events import (
    ApprovalAsked,
    Approved,
    AttemptFailed,
    Event,
    Output,
    Progress,
    Rejected,
    Started,
)
from toolsets.executor.executions import Execution, Node, ended_words
from toolsets.executor.gate import Gate
from toolsets.executor.plans import RunningPlan
from toolsets.executor.preparing import call_key, prepare
from toolsets.executor.reports import Done, Reports
from toolsets.executor.threads import CallSoon, ToolThreads, loop_caller
from toolsets.plan import Plan, PlannedCall
from toolsets.policy import CallPolicy
from toolsets.results import CallOutcome, CallState, History, ResultStore
from toolsets.tool import Tool

DEFAULTS: Final = CallPolicy(
    timeout_s=60.0, retries=2, backoff_s=0.5, approval=False, on_failure="skip", max_result_chars=4_000
)
"""What holds where neither the call, nor its tool, nor the executor's own defaults say anything."""
MAX_CONCURRENT: Final = 64
ADMITTED_AT_ONCE: Final = 16
"""Calls of a whole plan that are taken in before those that can begin do."""
MAX_ASKED: Final = 100
"""Answers with arguments that do not fit, before a call is given up: an approver that is a program may not learn."""
MAX_SHARED: Final = 1_000
"""Finished executions that identical later calls may share."""

_log = logging.getLogger(__name__)


class Executor:
    """Runs plans; to be entered with `async with`, and then used in that event loop's thread alone.

    tools: looked up anew for every call, so tools may come and go. defaults: where a call's and a tool's policy say
    nothing. max_concurrent, server_caps: calls at one time, in all and by server; where they name none, the caps of a
    tool and of its server stand in the tool.
    on_event: told everything, in order; it may add calls and cancel. approver: asked before calls whose policy says
    so. jitter: numbers from 0 to 1.
    """

    def __init__(
        self,
        tools: Mapping[str, Tool],
        *,
        defaults: CallPolicy | None = None,
        max_concurrent: int = MAX_CONCURRENT,
        server_caps: Mapping[str, int] | None = None,
        on_event: Callable[[Event], object] | None = None,
        approver: Approver | None = None,
        store: ResultStore | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        for name, cap in {"max_concurrent": max_concurrent, **(server_caps or {})}.items():
            if cap < 1:
                raise ExecutorError(f"The cap {name} is {cap}: give a number of 1 or more.")
        self.defaults = (defaults or DEFAULTS).over(DEFAULTS)
        self.store = ResultStore() if store is None else store
        self._tools, self._on_event, self._approver, self._jitter = tools, on_event, approver, jitter
        self._gate: Gate[Execution] = Gate(max_concurrent, dict(server_caps or {}))
        self._plans: dict[str, RunningPlan] = {}
        self._plan_ids: set[str] = set()
        self._numbers = itertools.count(1)
        self._plan_numbers = itertools.count(1)
        self._executions: dict[str, Execution] = {}
        self._finished: OrderedDict[str, tuple[int, CallOutcome]] = OrderedDict()
        self._changes = 0
        self._ready: deque[Node] = deque()
        self._settling = False
        self._tasks: TaskGroup | None = None

    async def __aenter__(self) -> Self:
        if self._tasks is not None:
            raise ExecutorError("The executor runs already: make another one.")
        self._call_soon: CallSoon = loop_caller()
        self._threads = ToolThreads(self._call_soon)
        self._tasks = await anyio.create_task_group().__aenter__()
        self._attempts = Attempts(self._tasks, self._threads)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._tasks is not None
        try:
            for plan in list(self._plans.values()):
                plan.cancel("The executor was closed.")
            self._tasks.cancel_scope.cancel()
            # Not told of the block's own exception, which it would wrap in a group: none of its tasks ever raises.
            await self._tasks.__aexit__(None, None, None)
        finally:
            self._threads.close()

    @asynccontextmanager
    async def plan(self, id: str | None = None, *, history: History | None = None) -> AsyncIterator[RunningPlan]:
        """A plan to add calls to. At the end of the block no more calls come, and all are waited for; where the block
        is left by an error or a cancellation, they are cancelled."""
        running = self.open(id, history=history)
        try:
            yield running
            running.close()
            await running.results()
        finally:
            running.cancel()

    async def run(self, plan: Plan, *, history: History | None = None) -> tuple[CallOutcome, ...]:
        """Run a plan that is known as a whole."""
        async with self.plan(history=history) as running:
            for number, call in enumerate(plan, 1):
                running.admit(call)
                if number % ADMITTED_AT_ONCE == 0:  # the first calls of a long plan need not wait for the last
                    await anyio.lowlevel.checkpoint()
        return running.outcomes

    def open(self, id: str | None = None, *, history: History | None = None) -> RunningPlan:
        """A plan that somebody else closes or cancels; the executor cancels it at its own end."""
        if self._tasks is None or self._tasks.cancel_scope.cancel_called:
            raise ExecutorError("The executor does not run: use it within `async with Executor(...) as executor`.")
        if id is None:
            id = next(name for n in self._plan_numbers if (name := f"p{n}") not in self._plan_ids)
        if id in self._plan_ids:
            raise ExecutorError(f"There was a plan {id} already: give this one another id.")
        self._plan_ids.add(id)
        running = self._plans[id] = RunningPlan(self, id, History() if history is None else history)
        return running

    # ---------------------------------------------------------------------------------- for the plans of this executor

    @contextmanager
    def together(self) -> Iterator[None]:
        """Whatever follows from one change is done before the outermost block is left, and without recursion."""
        if self._settling:
            yield
            return
        self._settling = True
        try:
            yield
            while self._ready:
                node = self._ready.popleft()
                if node.outcome is None:
                    self._begin(node)
        finally:
            self._settling = False
        self._pump()

    def node(self, plan: RunningPlan, call: PlannedCall) -> Node:
        tool = self._tools.get(call.tool)
        policy = self.defaults if tool is None else tool.policy.over(self.defaults)
        return Node(plan, call, next(self._numbers), tool, policy if call.policy is None else call.policy.over(policy))

    def ready(self, nodes: Iterable[Node]) -> None:
        self._ready.extend(nodes)

    def detach(self, node: Node) -> dict[str, Any]:
        """A call gives up its execution, which ends unless it answers others too. Returns what there is to tell."""
        run = node.execution
        if run is None:
            return {}
        run.nodes.remove(node)
        if not run.nodes:
            run.scope.cancel()
            self._leave(run)
            if not run.ticket.running:  # else its place is free once its tool has let go
                self._gate.release(run.ticket)
        return {"wall_s": self._wall_s(run, node), "isolation": run.isolation}

    def forget(self, plan: RunningPlan) -> None:
        self._plans.pop(plan.id, None)

    def tell(self, event: Event) -> None:
        if self._on_event is not None:
            try:
                self._on_event(event)
            except Exception:
                # Whoever listens must not cost the calls their results.
                _log.exception("A listener of the executor failed on %s.", type(event).__name__)

    def unknown_tool(self, name: str) -> str:
        return unknown_tool(name, self._tools)

    # ------------------------------------------------------------------------------------------- from ready to running

    def _begin(self, node: Node) -> None:
        """All that this call refers to has ended: share an execution, or get in line for one."""
        tool, plan = node.tool, node.plan
        assert tool is not None
        if (needed := plan.failed_need(node)) is not None:
            error = f"It refers to ${needed.call}, which {ended_words(needed.state)}."
            plan.finish(node, node.end_without_value("skipped", error))
            return
        try:
            arguments = prepare(node.call, tool, {id: plan.outcome_of(id) for id in node.refs})
        except Exception as error:  # ToolsetError, and whatever a value that some tool made does when it is looked at
            plan.finish(node, node.end_without_value("failed", failure_sentence(tool, error)))
            return
        key = call_key(tool, arguments) if tool.idempotent or tool.effect == "write" else None
        node.write_key = key if tool.effect == "write" else None
        if not self._shared(node, key, arguments):
            run = node.execution = Execution(tool, arguments, node.policy, key if tool.idempotent else None, [node])
            if run.key is not None:
                self._executions[run.key] = run
            if node.policy.approval:
                assert self._tasks is not None
                run.asking = True
                self._tasks.start_soon(self._fly, run)
            else:
                self._gate.offer(run.ticket)

    def _shared(self, node: Node, key: str | None, arguments: Mapping[str, Any]) -> bool:
        """Let the call be answered by an identical one: a change of an earlier round, one that ran, one that runs."""
        assert node.tool is not None
        if node.write_key is not None and (earlier := node.plan.history.answered(node.write_key, node.plan.id)):
            done = "was done" if earlier.succeeded else "may have been done"
            note = f"This {done} before, as ${earlier.call}, and is not repeated. Its result: "
            node.plan.finish(node, node.end_like(earlier, note))
            return True
        if key is None or not node.tool.idempotent:
            return False
        changes, outcome = self._finished.get(key, (-1, None))
        if outcome is not None and changes == self._changes:
            self._finished.move_to_end(key)
            node.plan.tell(Started(node.plan.id, node.call.id, 0, arguments, outcome.result_id))
            node.plan.finish(node, node.end_like(outcome))
            return True
        run = self._executions.get(key)
        if run is None:
            return False
        node.execution, node.joined_s = run, anyio.current_time()
        run.nodes.append(node)
        if run.asking:
            node.plan.tell(ApprovalAsked(node.plan.id, node.call.id, run.tool.name, arguments))
        elif run.attempts:
            node.plan.tell(Started(node.plan.id, node.call.id, run.attempts, arguments, run.first_id))
        return True

    def _pump(self) -> None:
        assert self._tasks is not None
        for ticket in self._gate.granted():
            run = ticket.holder
            if run.granted is not None:
                run.granted.set()
            else:
                self._tasks.start_soon(self._fly, run)

    # --------------------------------------------------------------------------------------------------- one execution

    async def _fly(self, run: Execution) -> None:
        """Approval, then attempts until one counts. Between attempts its place is free for others."""
        with run.scope:
            try:
                await _if_cancelled(run.scope)
                if run.asking:
                    if not await self._approved(run):
                        return
                    if not run.nodes:  # as a person has changed them, other calls have answered them
                        return
                    await self._place(run)
                while True:
                    tried = await self._attempt(run)
                    self._gate.release(run.ticket)
                    retry_in_s = backoff_s(run.tool, run.policy, run.attempts, tried, self._jitter())
                    if retry_in_s is None:
                        self._land(run, tried)
                        return
                    self._tell_all(run, AttemptFailed, run.attempts, _sentence(run.tool, tried), retry_in_s)
                    await anyio.sleep(retry_in_s)
                    await self._place(run)
            finally:
                with self.together():
                    self._gate.release(run.ticket)

    async def _place(self, run: Execution) -> None:
        run.granted = anyio.Event()
        with self.together():
            self._gate.offer(run.ticket)
        await run.granted.wait()

    async def _attempt(self, run: Execution) -> Tried:
        await _if_cancelled(run.scope)
        run.attempts += 1
        if run.attempts == 1:
            run.began_s = anyio.current_time()
        if run.tool.effect == "write":
            self._changes += 1
        with self.together():
            for node in list(run.nodes):
                shared_with = None if node.result_id == run.first_id else run.first_id
                if shared_with is None:
                    node.attempts = run.attempts
                node.plan.tell(Started(node.plan.id, node.call.id, run.attempts, run.arguments, shared_with))

        def tell(newest: Done | None, text: str) -> None:
            with self.together():
                if newest is not None:
                    self._tell_all(run, Progress, newest.done, newest.total, newest.message)
                if text:
                    self._tell_all(run, Output, text)

        await _if_cancelled(run.scope)  # whoever heard of the start may have cancelled it
        own = run.reports = Reports(self._call_soon, tell)
        assert run.policy.timeout_s is not None
        return await self._attempts.run(run.tool, run.arguments, run.policy.timeout_s, own)

    def _land(self, run: Execution, tried: Tried) -> None:
        """The execution is over: an outcome for every call that it answers."""
        self._leave(run)
        with self.together():
            holder: str | None = None
            for node in list(run.nodes):
                if node.outcome is not None:
                    continue  # whoever heard of the one before has cancelled this one
                more: dict[str, Any] = {
                    "wall_s": self._wall_s(run, node),
                    "isolation": run.isolation,
                    "shared_with": run.others(node.result_id),
                }
                if not isinstance(tried, Returned):
                    state = _state(tried)
                    node.plan.finish(node, node.end_without_value(state, _sentence(run.tool, tried), **more))
                    continue
                if holder is None:
                    holder = node.result_id
                    self.store.put(holder, tried.value)
                else:
                    self.store.share(holder, node.result_id)
                text, cut = node.shown(tried.text)
                more |= {"num_chars": len(tried.text), "cut": cut, "store": self.store}
                outcome = node.end("succeeded", text, **more)
                if holder == node.result_id and run.key is not None:
                    self._remember(run.key, outcome)
                node.plan.finish(node, outcome)

    def _remember(self, key: str, outcome: CallOutcome) -> None:
        """What was found out holds until something is changed."""
        self._finished[key] = (self._changes, outcome)
        self._finished.move_to_end(key)
        if len(self._finished) > MAX_SHARED:
            self._finished.popitem(last=False)

    def _leave(self, run: Execution) -> None:
        """No further call may share it."""
        if run.key is not None and self._executions.get(run.key) is run:
            del self._executions[run.key]

    # -------------------------------------------------------------------------------------------------------- approval

    async def _approved(self, run: Execution) -> bool:
        """Ask a person. Where the answer is no, or none can come, the calls end here."""
        if self._approver is None:
            self._refuse(run, "not_executed", "It needs a person's approval, and nobody can be asked here.")
            return False
        asked = ApprovalAsked(*run.first, run.tool.name, run.arguments)
        for _ in range(MAX_ASKED):
            self._tell_all(run, ApprovalAsked, run.tool.name, run.arguments, asked.problem)
            try:
                decision: Decision = await self._approver(asked)
            except Exception as error:
                self._refuse(run, "not_executed", f"Its approval broke off: {error}")
                return False
            if not decision.approved:
                reason = f": {decision.reason}" if decision.reason else "."
                self._tell_all(run, Rejected, decision.reason)
                self._refuse(run, "rejected", f"A person said no{reason}")
                return False
            try:
                changed = _changed(run, decision)
            except Exception as error:  # ToolsetError, and whatever a value's own class does when it is looked at
                asked = replace(asked, problem=failure_sentence(run.tool, error))
                await anyio.lowlevel.checkpoint()
                continue
            run.asking = False
            with self.together():
                self._tell_all(run, Approved, decision.reason, changed)
                if changed is not None:
                    self._edit(run, changed)
            return True
        self._refuse(run, "not_executed", f"Its approval came with arguments that do not fit: {asked.problem}")
        return False

    def _edit(self, run: Execution, arguments: dict[str, Any]) -> None:
        """A person has given it other arguments: it is another call from here on, and may be answered by one that is
        identical to that. One that still waits for a person answers none: this one has its word."""
        self._leave(run)
        run.arguments = arguments
        key = call_key(run.tool, arguments) if run.tool.idempotent or run.tool.effect == "write" else None
        run.key = key if run.tool.idempotent else None
        other = self._executions.get(key) if key is not None else None
        for node in list(run.nodes):
            node.edited, node.write_key = arguments, key if run.tool.effect == "write" else None
            if (other is None or not other.asking) and self._shared(node, key, arguments):
                run.nodes.remove(node)
        if run.key is not None and run.nodes:
            self._executions.setdefault(run.key, run)

    def _refuse(self, run: Execution, state: CallState, reason: str) -> None:
        self._leave(run)
        with self.together():
            for node in list(run.nodes):
                if node.outcome is None:
                    node.plan.finish(node, node.end_without_value(state, reason))

    def _tell_all(self, run: Execution, kind: Callable[..., Event], *what: Any) -> None:
        with self.together():
            for node in list(run.nodes):
                node.plan.tell(kind(node.plan.id, node.call.id, *what))

    def _wall_s(self, run: Execution, node: Node) -> float:
        return anyio.current_time() - max(run.began_s, node.joined_s) if run.attempts else 0.0


async def _if_cancelled(scope: anyio.CancelScope) -> None:
    """Nothing more of this call, if it has been given up; else as cheap as can be."""
    if scope.cancel_called:
        await anyio.lowlevel.checkpoint()


def _changed(run: Execution, decision: Decision) -> dict[str, Any] | None:
    """The arguments that a person has given it, where they are not those that it has; raises ToolsetError."""
    if decision.arguments is None:
        return None
    arguments = fit_arguments(run.tool, decision.arguments)
    key = call_key(run.tool, arguments)
    return None if key is not None and key == call_key(run.tool, run.arguments) else arguments


def _state(tried: Raised | TimedOut) -> CallState:
    if isinstance(tried, TimedOut) or isinstance(tried.error, OvertimeError):
        return "timed_out"
    return "not_executed" if isinstance(tried.error, NotExecutedError) else "failed"


def _sentence(tool: Tool, tried: Tried) -> str:
    if isinstance(tried, TimedOut):
        return f"{tool.name} took longer than its {tried.timeout_s:g} s: ask for less, or give it more time."
    assert isinstance(tried, Raised)
    return failure_sentence(tool, tried.error)
