"""One attempt at a call: the tool's function is called, and what it returns, raises or never does becomes a value.

In: a tool, its arguments, a time limit. Out: `Returned`, `Raised` or `TimedOut`; nothing that a tool does gets past,
`SystemExit` and an async tool that cancels itself included. Neighbours: `executor` decides what follows from it,
`threads` runs plain functions, `reports` carries what the tool says meanwhile.

Whoever waits here stops waiting at the limit, whether or not the tool obeys: an async function is cancelled and has
`GRACE_S` to tidy up, so that nothing else begins beside it; a plain one is left behind in its thread, and stopped there
where it has said how (`report_stop`).
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from toolsets.direct import check_number, error_sentence, whole
from toolsets.executor.errors import TransientError
from toolsets.executor.reports import Reports, reports
from toolsets.executor.threads import ToolThreads, thread_context
from toolsets.policy import CallPolicy
from toolsets.rendering import render_result
from toolsets.tool import Tool

GRACE_S: Final = 0.25
MAX_ERROR_CHARS: Final = 2_000
MAX_BACKOFF_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Returned:
    value: Any
    text: str
    """The value rendered, whole. Rendered where the tool ran: the value's own code may be slow, or raise."""


@dataclass(frozen=True, slots=True)
class Raised:
    error: BaseException


@dataclass(frozen=True, slots=True)
class TimedOut:
    timeout_s: float


Tried: TypeAlias = Returned | Raised | TimedOut
_Deliver: TypeAlias = Callable[[Returned | Raised], object]


class Attempts:
    """Runs attempts. tasks: where async tools run; it outlives every attempt."""

    def __init__(self, tasks: TaskGroup, threads: ToolThreads) -> None:
        self._tasks, self._threads = tasks, threads

    async def run(self, tool: Tool, arguments: Mapping[str, Any], timeout_s: float, own: Reports) -> Tried:
        """Call the tool once. Raises nothing but the cancellation of whoever waits."""
        tried: list[Returned | Raised] = []
        ended = anyio.Event()

        def deliver(what: Returned | Raised) -> None:
            tried.append(what)
            ended.set()

        try:
            abandon = self._begin(tool, arguments, own, deliver)
        except Exception as error:  # no thread to be had
            own.close()
            return Raised(error)
        try:
            with anyio.move_on_after(timeout_s):
                await ended.wait()
        finally:
            own.close()
            if not tried:
                await abandon()
        return tried[0] if tried else TimedOut(timeout_s)

    def _begin(
        self, tool: Tool, arguments: Mapping[str, Any], own: Reports, deliver: _Deliver
    ) -> Callable[[], Awaitable[object]]:
        """Start the function; returns how to give it up."""
        if tool.is_async:
            task = _Task()
            self._tasks.start_soon(_await, tool, arguments, own, task, deliver)
            return task.abandon
        context = thread_context()
        context.run(reports.set, own)

        def work() -> Callable[[], object]:
            what = context.run(_call, tool, arguments)
            return lambda: deliver(what)

        job = self._threads.start(work)

        async def abandon() -> None:
            job.abandon()
            own.give_up()

        return abandon


class _Task:
    """An async tool that runs."""

    def __init__(self) -> None:
        self.scope, self.gone = anyio.CancelScope(), anyio.Event()

    async def abandon(self) -> None:
        self.scope.cancel()
        with anyio.move_on_after(GRACE_S, shield=True):
            await self.gone.wait()


def is_transient(error: BaseException) -> bool:
    """Whether the same call may well work in a moment."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(is_transient, error.exceptions))
    return isinstance(error, TransientError | ConnectionError | TimeoutError)


def backoff_s(tool: Tool, policy: CallPolicy, attempts: int, tried: Tried, jitter: float) -> float | None:
    """How long to wait for the next attempt, a random half of it; None where this one counts. jitter: 0 to 1.

    A change that may have been made is not tried again, unless making it twice is the same as making it once.
    """
    assert policy.retries is not None
    assert policy.backoff_s is not None
    harmless = tool.effect == "read" or tool.idempotent
    match tried:
        case TimedOut():
            again = harmless
        case Raised(error):
            again = is_transient(error) if harmless else isinstance(error, TransientError)
        case Returned():
            again = False
    if not again or attempts > policy.retries:
        return None
    # Beyond 2**60 every backoff is at its limit, and a float would overflow some time.
    longest_s = min(policy.backoff_s * 2.0 ** min(attempts - 1, 60), MAX_BACKOFF_S)
    return longest_s * (0.5 + 0.5 * jitter)


def failure_sentence(tool: Tool, error: BaseException) -> str:
    """What a call failed with, in words, of at most `MAX_ERROR_CHARS` and a note."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    sentence = error_sentence(tool.name, error)
    more = len(sentence) - MAX_ERROR_CHARS
    return sentence if more <= 0 else f"{sentence[:MAX_ERROR_CHARS]}\n[cut: {more:,} more characters]"


def _call(tool: Tool, arguments: Mapping[str, Any]) -> Returned | Raised:
    try:
        value = tool.function(**arguments)
        if inspect.iscoroutine(value):
            value.close()
            raise TypeError("it gave a coroutine: declare it with async def")
        value = whole(value)
        return Returned(value, render_result(value))
    except BaseException as error:
        return Raised(error)


async def _await(tool: Tool, arguments: Mapping[str, Any], own: Reports, task: _Task, deliver: _Deliver) -> None:
    with task.scope:
        reports.set(own)
        try:
            if anyio.current_effective_deadline() == float("-inf"):
                await anyio.lowlevel.checkpoint()
            value = await _awaited(tool.function(**arguments))
            what: Returned | Raised = Returned(value, render_result(value))
        except BaseException as error:
            # A cancellation of ours has to pass, whatever else the tool raised on its way out. One that the tool made
            # itself is an error like any other.
            if anyio.current_effective_deadline() == float("-inf") and (ours := _cancellation(error)) is not None:
                raise ours from None
            what = Raised(error)
        finally:
            task.gone.set()
        deliver(what)


async def _awaited(value: Any) -> Any:
    """What an async function returns, or all that an async generator gives."""
    if not isinstance(value, AsyncIterator):
        return whole(await value)
    items: list[Any] = []
    async for item in value:
        items.append(item)
        check_number(items)
    return items


def _cancellation(error: BaseException) -> BaseException | None:
    cancelled = anyio.get_cancelled_exc_class()
    if isinstance(error, BaseExceptionGroup):
        return error.split(cancelled)[0]
    return error if isinstance(error, cancelled) else None
