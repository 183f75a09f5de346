"""The calls of one run: given to the executor the moment they are read, told as events, each to exactly one end.

In: `ReadCall`s of workers, a person's words about approvals. Out: events of the run log; calls that have ended and wait
to be told to their worker. Neighbours: `driver` owns one and decides when a worker is told; `toolsets.executor` runs
the calls in a thread of its own. Everything here happens in the driver's thread, except `_hear`.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, cast

from toolsets import executor as ex
from toolsets.arguments import fit_arguments
from toolsets.executor.preparing import call_key
from toolsets.fronts.references import renamed
from toolsets.plan import PlannedCall
from toolsets.policy import CallPolicy, Effect
from toolsets.results import CallOutcome, History, ResultStore, reading_tool
from toolsets.tool import Tool
from workbench import events as ev
from workbench.call_values import Call, Pending, Results
from workbench.edits import Asked, Edit, read_edit, written_as
from workbench.errors import UsageError
from workbench.plan_reader import ReadCall, problem_text
from workbench.told import logged

Approve = Literal["ask", "all", "none"]
"""What becomes of a call that needs a person's word: a person is asked, all are approved, none is run."""

READING: Final = "read_result"
STOP_S: Final = 2.0
"""How long a stop waits for the executor to end its calls, which takes milliseconds."""
NOBODY: Final = (
    "It needs a person's approval, and nobody is there to give it: approve calls beforehand (--approve all), or run it "
    "where somebody can be asked."
)


@dataclass(slots=True)
class _Plan:
    calls: int = 0
    opened: bool = False
    finished: bool = False


@dataclass(slots=True)
class _Worker:
    """open: calls that have not ended. ready: those that have, and that the worker has not been told of."""

    history: History = field(default_factory=History)
    open: dict[str, Call] = field(default_factory=dict)
    ready: list[Call] = field(default_factory=list)


class Calls:
    """tools: by name; the tool that reads on in a cut result is added to it with the first cut result. woken: called
    from another thread when there is news. holds: whether a call that is planned now waits for `release`."""

    def __init__(
        self,
        tools: dict[str, Tool],
        emit: Callable[[ev.Payload], object],
        woken: Callable[[], None],
        *,
        approve: Approve = "ask",
        policy: CallPolicy | None = None,
        holds: Callable[[], bool] = lambda: False,
    ) -> None:
        self.tools, self.approve = tools, approve
        self._holds = holds
        self._held: dict[str, tuple[ReadCall, _Plan]] = {}
        self._held_ends: list[str] = []
        self.store = ResultStore()
        self.num_planned = 0
        self.outside_was_read = False
        """Whether a text from outside has come into this run."""
        self._emit, self._woken, self._policy = emit, woken, policy
        self._executor: ex.ExecutorThread | None = None
        self._queue: deque[ex.Event] = deque()
        self._news = threading.Event()
        self._calls: dict[str, Call] = {}
        self._by_id: dict[tuple[str, str], Call] = {}
        self._plans: dict[str, _Plan] = {}
        self._workers: dict[str, _Worker] = {}
        self._numbers = itertools.count(1)
        self._closed = False
        self._recalled: dict[str, tuple[ReadCall, str]] = {}

    # ------------------------------------------------------------------------------------------------- what is known

    @property
    def open(self) -> bool:
        """Whether some call has not ended."""
        return any(worker.open for worker in self._workers.values())

    def open_of(self, worker: str) -> list[str]:
        """The names of a worker's calls that have not ended."""
        return list(self._worker(worker).open)

    def ready_of(self, worker: str) -> list[Call]:
        """Calls that have ended and that the worker has not been told of, in the order of their plan."""
        return sorted(self._worker(worker).ready, key=lambda call: call.number)

    def told(self, call: Call) -> None:
        """The worker has been told of this call, or nobody is left to be told."""
        self._worker(call.worker).ready.remove(call)

    def offer_reading(self) -> None:
        """From now on workers may read on in results that were cut."""
        if READING not in self.tools:
            self.tools[READING] = reading_tool(self.store)

    def is_alone(self, call: Call) -> bool:
        return self._plans[call.plan].calls == 1

    def sharers(self, call: Call) -> list[str]:
        """Whose calls the same execution answered, as a worker reads it: `Bob's $1`."""
        assert call.outcome is not None
        others = (self._by_id.get(_split(id)) for id in call.outcome.shared_with)
        return [
            f"{'your own' if o.worker == call.worker else o.worker + chr(39) + 's'} ${o.label}" for o in others if o
        ]

    def pending(self) -> tuple[Pending, ...]:
        """Calls that wait for a person's word, the oldest first. From any thread."""
        asking = [call for call in list(self._calls.values()) if call.asking and not call.decided_by]
        return tuple(Pending(call.name, call.worker, call.tool, call.arguments) for call in asking)

    def check_pending(self, name: str) -> None:
        """Raises UsageError for a call that does not wait for anybody's word. From any thread."""
        names = [one.call for one in self.pending()]
        if name not in names:
            others = f"those that do are {', '.join(names)}." if names else "none does just now."
            raise UsageError(f"Call {name} does not wait for anybody's word: {others}")

    def read_edit(self, name: str, arguments: Any) -> Edit | None:
        """Arguments that a person gives a call that waits, None where they are those that it has; raises UsageError
        where it cannot run with them. From any thread."""
        call = self._calls[name]
        ended = [one for one in list(self._calls.values()) if one.worker == call.worker and one.outcome is not None]
        # A number means a call of the same plan; where it has none of that number, an earlier one of the same worker.
        known = {one.id: one.outcome for one in ended} | {
            one.label: one.outcome for one in ended if one.plan == call.plan
        }
        outcomes = {label: outcome for label, outcome in known.items() if outcome is not None and label != call.label}
        return read_edit(Asked(call.label, call.tool, call.asked), arguments, self.tools, outcomes)

    def results(self) -> Results:
        """The full values, by call."""
        return Results(self._calls, self.store)

    # ------------------------------------------------------------------------------------------------------ commands

    def plan(self, worker: str, read: ReadCall, *, refused: str = "") -> str:
        """A worker has written a call: it begins as soon as its arguments are known. Returns its name. refused: why it
        must not run, in a sentence."""
        assert not self._closed
        self.num_planned += 1
        number = next(self._numbers)
        call = Call(f"c{number}", number, worker, read.plan, read.call.id, read.label, read.call.tool)
        # Identity of plans: what a call refers to are calls of its own worker.
        own = self._by_id
        needs = [own[key] for need in read.call.needs() if (key := (worker, need)) in own]
        call.needs = tuple(one.name for one in needs)
        self._calls[call.name] = own[worker, call.id] = own[f"plan {read.plan}", call.id] = call
        plan = self._plans.setdefault(read.plan, _Plan())
        plan.calls += 1
        tool = self.tools.get(call.tool)
        self._emit(
            ev.CallPlanned(
                call.name, worker, call.tool, _written(read.call, needs), read.call.raw, read.plan, read.label,
                list(call.needs), tool.effect if tool else "read",
            )
        )  # fmt: skip
        self._worker(worker).open[call.name] = call
        for problem in read.problems:
            self._emit(ev.PlanProblem(worker, read.plan, problem.message, problem.line or None, call.name))
        if refused:
            self._end(
                call, CallOutcome(read.plan, call.id, call.tool, "not_executed", f"not executed: {refused}", refused)
            )
            self._worker(worker).ready.remove(call)
        elif read.problems:
            self._end(call, self._unsound(read, call))
        else:
            self._submit_or_hold(call, read, plan)
        return call.name

    def release(self) -> list[str]:
        """Begin the calls that were held, in their order. Returns their names."""
        held, ends, self._held, self._held_ends = self._held, self._held_ends, {}, []
        for name, (read, plan) in held.items():
            self._submit(read, self._calls[name].worker, plan)
        for plan_id in ends:
            self.end_plan(plan_id)
        return list(held)

    def recall(self, planned: ev.CallPlanned, read: ReadCall) -> None:
        """A call of the log: it is known again, and nothing begins."""
        number = int(planned.call[1:])
        self.num_planned, self._numbers = number, itertools.count(number + 1)
        call = Call(planned.call, number, planned.worker, read.plan, read.call.id, read.label, read.call.tool)
        call.needs = tuple(planned.needs)
        own = self._by_id
        self._calls[call.name] = own[call.worker, call.id] = own[f"plan {read.plan}", call.id] = call
        self._plans.setdefault(read.plan, _Plan()).calls += 1
        self._worker(call.worker).open[call.name] = call
        self._recalled[call.name] = read, planned.effect

    def recall_start(self, started: ev.CallStarted) -> None:
        """A call of the log had begun."""
        self._calls[started.call].arguments = started.arguments or {}

    def recall_word(self, given: ev.ApprovalGiven) -> None:
        """A person had decided about a call of the log: nobody is asked again."""
        call = self._calls[given.call]
        call.word, call.needs = given, tuple(dict.fromkeys([*call.needs, *given.needs]))

    def recall_end(self, ended: ev.CallFinished) -> None:
        """How a call of the log ended; its result is what the log has of it."""
        call = self._calls[ended.call]
        edited = call.word.arguments if call.word else None
        _, effect = self._recalled.pop(ended.call)
        outcome = CallOutcome(
            call.plan, call.id, call.tool, ended.status, ended.text, ended.error, ended.wall_s, ended.attempts,
            ended.isolation, (), ended.num_chars, ended.cut, cast(Effect, effect), ended.trusted,
            None if edited is None else call.arguments or edited, self.store,
        )  # fmt: skip
        tool = self.tools.get(call.tool)
        if outcome.succeeded and ended.cut:
            self.store.lose(outcome.result_id)
        elif outcome.succeeded:
            self.store.put(outcome.result_id, _read_back(ended.text, tool))
        key = _key_again(tool, call.arguments) if tool is not None and effect != "read" else None
        self._worker(call.worker).history.record(outcome, key)
        self._end(call, outcome)

    def go_on(self, ended_plans: Collection[str], begun: Collection[str], why: str) -> None:
        """Of the calls that the log leaves open, begin those again that only read or had not begun; the others end,
        because nobody knows what became of them."""
        for name, (read, effect) in list(self._recalled.items()):
            call = self._calls[name]
            if effect != "read" and name in begun:
                text = f"not executed again: {why} Whether it took effect is unknown."
                self._end(call, CallOutcome(call.plan, call.id, call.tool, "not_executed", text, text))
            elif read.problems:
                self._end(call, self._unsound(read, call))
            else:
                self._submit_or_hold(call, read, self._plans[read.plan])
        self._recalled.clear()
        for plan in ended_plans:
            self.end_plan(plan)

    def forget(self, worker: str, reason: str) -> None:
        """The words that a worker's open calls stood in are taken back."""
        for name, call in list(self._worker(worker).open.items()):
            self._recalled.pop(name, None)
            self._held.pop(name, None)
            self._end(call, CallOutcome(call.plan, call.id, call.tool, "cancelled", f"cancelled: {reason}", reason))
        self._worker(worker).ready.clear()

    def end_plan(self, plan_id: str) -> None:
        """No more calls come to this plan."""
        if any(read.plan == plan_id for read, _ in self._held.values()):
            self._held_ends.append(plan_id)
            return
        plan = self._plans.get(plan_id)
        if plan is not None and plan.opened and not plan.finished:
            plan.finished = True
            assert self._executor is not None
            self._executor.finish(plan_id)

    def decide(self, name: str, approved: bool, reason: str = "", by: str = "", edit: Edit | None = None) -> None:
        """A person's word about a call; the first one counts, and one that nobody asked for does nothing. edit: what
        `read_edit` has made of the arguments that the person gives it."""
        call = self._calls.get(name)
        if call is None or not call.asking or call.decided_by:
            return
        self._decide(call, approved, reason, by or "a person", edit)

    def _decide(self, call: Call, approved: bool, reason: str, by: str, edit: Edit | None) -> None:
        call.decided_by, call.edit = by, edit
        assert self._executor is not None
        arguments = None if edit is None else edit.arguments
        self._executor.decide(call.plan, call.id, ex.Decision(approved, reason, arguments))

    def cancel(self, worker: str, reason: str) -> list[str]:
        """End the calls of a worker that has ended itself. Returns their names."""
        names = self.open_of(worker)
        for name in names:
            call = self._calls[name]
            if self._held.pop(name, None) is not None:
                self._end(call, CallOutcome(call.plan, call.id, call.tool, "cancelled", f"cancelled: {reason}", reason))
            elif self._executor is not None:
                self._executor.cancel_call(call.plan, call.id, reason)
        return names

    def stop(self, reason: str) -> None:
        """End every call now. When this returns, each has its end in the log."""
        if self._executor is not None and not self._closed:
            for plan_id, plan in self._plans.items():
                if plan.opened:
                    self._executor.cancel(plan_id, reason)
            self.wait([name for worker in self._workers.values() for name in worker.open], STOP_S, asking=True)
        for call in [call for worker in self._workers.values() for call in worker.open.values()]:
            # The executor's thread does not answer: whatever it still says is not listened to.
            self._end(call, CallOutcome(call.plan, call.id, call.tool, "cancelled", f"cancelled: {reason}", reason))

    def close(self) -> None:
        """End the executor. Tools that do not let go are left behind in threads that end with the process."""
        self._closed = True
        if self._executor is not None:
            self._executor.close(timeout_s=1.0)

    # ------------------------------------------------------------------------------------------------------ what comes

    def wait(self, names: Collection[str], patience_s: float, *, asking: bool = False) -> None:
        """Take in what has come, until these calls have ended, at most for so long. asking: wait for those, too, that
        wait for a person. Those whose word has been given, and is on its way, are waited for in any case."""
        until_s = time.monotonic() + patience_s
        while True:
            self._news.clear()
            self._drain()
            calls = [self._calls[name] for name in names if name not in self._held]
            waiting = [call for call in calls if not call.ended and (asking or not call.asking or call.decided_by)]
            left_s = until_s - time.monotonic()
            if not waiting or left_s <= 0 or not self._news.wait(left_s):
                break
        self._drain()

    def _hear(self, event: ex.Event) -> None:
        """In the executor's thread."""
        self._queue.append(event)
        self._news.set()
        self._woken()

    def _drain(self) -> None:
        progress: dict[str, ex.Progress] = {}
        while self._queue:
            event = self._queue.popleft()
            call = self._by_id[f"plan {event.plan}", event.call]
            if call.ended:
                continue
            if isinstance(event, ex.Progress):
                progress[call.name] = event  # of many in a moment, only the newest says anything
                continue
            if (newest := progress.pop(call.name, None)) is not None:
                self._tell_progress(call, newest)
            self._take(call, event)
        for name, newest in progress.items():
            self._tell_progress(self._calls[name], newest)

    def _take(self, call: Call, event: ex.Event) -> None:
        match event:
            case ex.ApprovalAsked():
                call.arguments, call.asked = logged(event.arguments), event.arguments
                if event.problem or not self._decided_before(call):
                    call.asking, call.decided_by = True, ""
                    self._emit(ev.ApprovalAsked(call.name, dict(call.arguments), event.problem))
                    self._ask(call)
            case ex.Approved() | ex.Rejected():
                self._decided(call, event)
            case ex.Started():
                if call.tool == READING:
                    call.read = str(event.arguments.get("result", "")), max(event.arguments.get("start", 0), 0)
                call.outside = call.outside or self._reads_outside(call, event.arguments)
                isolation = _isolation(self.tools.get(call.tool))
                self._emit(ev.CallStarted(call.name, event.attempt, logged(event.arguments), isolation))
            case ex.AttemptFailed():
                again = f"attempt {event.attempt} failed: {event.error} Again in {event.retry_in_s:.1f} s."
                self._emit(ev.CallProgress(call.name, message=again))
            case ex.Output():
                self._emit(ev.CallProgress(call.name, output=event.text))
            case ex.Finished():
                self._end(call, event.outcome)

    def _tell_progress(self, call: Call, newest: ex.Progress) -> None:
        self._emit(ev.CallProgress(call.name, newest.done, newest.total, newest.message))

    def _decided_before(self, call: Call) -> bool:
        """A person's word that the log has still holds, where it can be carried out."""
        word, call.word = call.word, None
        if word is None:
            return False
        try:
            edit = None if word.arguments is None else self.read_edit(call.name, word.arguments)
        except UsageError:  # the tool is another one by now
            return False
        self._decide(call, word.approved, word.reason, word.by, edit)
        return True

    def _decided(self, call: Call, event: ex.Approved | ex.Rejected) -> None:
        arguments, needs = None, tuple[str, ...]()
        if isinstance(event, ex.Approved) and event.arguments is not None:
            arguments = written_as(event.arguments, call.asked)
            if call.edit is not None:
                arguments, needs = call.edit.written, self._names_of(call, call.edit.needs)
        call.needs = tuple(dict.fromkeys([*call.needs, *needs]))
        if not call.asking and call.decided_by:
            return  # the log has it already
        call.asking = False
        by = call.decided_by or "somebody who made the same call"
        approved = isinstance(event, ex.Approved)
        self._emit(ev.ApprovalGiven(call.name, approved, by, event.reason, arguments, list(needs)))

    def _names_of(self, call: Call, labels: Collection[str]) -> tuple[str, ...]:
        """The run's names of calls that a person refers to by the labels that the worker uses."""
        same_plan = {one.label: one for one in self._calls.values() if one.plan == call.plan}
        found = (same_plan.get(label) or self._by_id.get((call.worker, label)) for label in labels)
        return tuple(one.name for one in found if one is not None)

    def _ask(self, call: Call) -> None:
        assert self._executor is not None
        if self.approve == "all":
            call.decided_by = "approve=all"
            self._executor.decide(call.plan, call.id, ex.Decision(True))
        elif self.approve == "none":
            call.decided_by = "approve=none"
            self._executor.cancel_call(call.plan, call.id, NOBODY)

    def _end(self, call: Call, outcome: CallOutcome) -> None:
        """The one place where a call ends."""
        call.asking = False
        if outcome.edited is not None:
            outcome = replace(outcome, edited=logged(outcome.edited))
        call.outcome = outcome
        call.outside = call.outside or not outcome.trusted or any(self._calls[need].outside for need in call.needs)
        self.outside_was_read = self.outside_was_read or call.outside
        if outcome.cut:
            self.offer_reading()
        shared = [other.name for id in outcome.shared_with if (other := self._by_id.get(_split(id))) is not None]
        self._emit(
            ev.CallFinished(
                call.name, outcome.state, outcome.text, outcome.error, round(outcome.wall_s, 6),
                outcome.attempts, outcome.isolation, shared, outcome.cut, outcome.num_chars, not call.outside,
            )
        )  # fmt: skip
        worker = self._worker(call.worker)
        del worker.open[call.name]
        worker.ready.append(call)

    # ---------------------------------------------------------------------------------------------------- inside

    def _worker(self, name: str) -> _Worker:
        return self._workers.setdefault(name, _Worker())

    def _submit_or_hold(self, call: Call, read: ReadCall, plan: _Plan) -> None:
        """Those after a call that is held are held, too: they may refer to it."""
        if self._held or self._holds():
            self._held[call.name] = read, plan
        else:
            self._submit(read, call.worker, plan)

    def _submit(self, read: ReadCall, worker: str, plan: _Plan) -> None:
        if self._executor is None:
            options: dict[str, Any] = {} if self._policy is None else {"defaults": self._policy}
            self._executor = ex.ExecutorThread(self.tools, on_event=self._hear, store=self.store, **options)
        if not plan.opened:
            plan.opened = True
            self._executor.open(read.plan, history=self._worker(worker).history)
        self._executor.submit(read.plan, read.call)

    def _unsound(self, read: ReadCall, call: Call) -> CallOutcome:
        """The end of a call that never began, because something is wrong with what was written."""
        several = self._plans[read.plan].calls > 1
        error = problem_text(read.problems, with_line=several)
        return CallOutcome(read.plan, call.id, call.tool, "failed", f"failed: {error}", error, num_chars=len(error))

    def _reads_outside(self, call: Call, arguments: Mapping[str, Any]) -> bool:
        """Whether it reads on in a result that came from outside."""
        if call.tool != READING:
            return False
        read = self._by_id.get(_split(str(arguments.get("result", ""))))
        return read is None or read.outside


def _key_again(tool: Tool, arguments: Mapping[str, Any]) -> str | None:
    """What a change of the log is known again by: its arguments as the tool got them."""
    try:
        return call_key(tool, fit_arguments(tool, arguments))
    except Exception:  # the tool is another one by now
        return None


def _read_back(text: str, tool: Tool | None) -> Any:
    """A result's value as far as its text tells it."""
    if tool is not None and tool.returns in ("text", "date"):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _split(result_id: str) -> tuple[str, str]:
    plan, _, call = result_id.rpartition("/")
    return f"plan {plan}", call


def _written(call: PlannedCall, needs: Collection[Call]) -> dict[str, Any]:
    """The arguments as the worker wrote them, references by the labels that it used."""
    labels = {one.id: one.label for one in needs}
    return {name: logged(renamed(value, labels)) for name, value in call.arguments.items()}


def _isolation(tool: Tool | None) -> str:
    """What will stand between a tool's code and this process, as far as it is known before it runs."""
    if tool is None:
        return ""
    if tool.server:
        return f"server {tool.server}"
    return str(getattr(tool.function, "isolation", "in process"))
