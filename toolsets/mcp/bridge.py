"""From any event loop into the servers' own: start a coroutine there, wait for it here, pass a cancellation on.

In: an async function, from a task of any event loop (asyncio or trio). Out: what it returned or raised. Neighbours:
`servers` owns the loop in which it runs, `client` is what is called.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import anyio
from anyio.abc import TaskGroup

from toolsets.executor.errors import TransientError
from toolsets.executor.threads import CallSoon, loop_caller

T = TypeVar("T")

GRACE_S: Final = 1.0
"""How long a cancelled caller waits for the other side to have let go."""


class Bridge:
    """Made in the servers' event loop; used from others. tasks: where the work runs."""

    def __init__(self, tasks: TaskGroup) -> None:
        self._tasks, self._call_soon = tasks, loop_caller()
        self._closed = False

    def close(self) -> None:
        """No further work is taken."""
        self._closed = True

    async def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """Await `work()` in the servers' loop. Cancelled, it cancels the work and waits a moment for its end."""
        job = _Job(work, loop_caller())
        if self._closed:
            raise TransientError("The MCP servers are closed: open them again.")
        try:
            self._call_soon(lambda: self._tasks.start_soon(job.run))
        except RuntimeError as error:  # the loop has ended
            raise TransientError("The MCP servers are closed: open them again.") from error
        try:
            await job.ended.wait()
        except anyio.get_cancelled_exc_class():
            with contextlib.suppress(RuntimeError):
                self._call_soon(job.cancel)
            with anyio.move_on_after(GRACE_S, shield=True):
                await job.ended.wait()
            raise
        if job.error is not None:
            raise job.error
        value: T = job.value
        return value


class _Job:
    """One piece of work. ended: set in the caller's loop; the rest is touched in the servers' loop alone until then."""

    def __init__(self, work: Callable[[], Awaitable[Any]], call_soon: CallSoon) -> None:
        self._work, self._call_soon = work, call_soon
        self._scope: anyio.CancelScope | None = None
        self._cancelled = False
        self.ended = anyio.Event()
        self.value: Any = None
        self.error: Exception | None = None

    def cancel(self) -> None:
        self._cancelled = True
        if self._scope is not None:
            self._scope.cancel()

    async def run(self) -> None:
        self.error = TransientError("The MCP servers were closed before the call was done.")
        try:
            with anyio.CancelScope() as self._scope:
                if self._cancelled:
                    self._scope.cancel()
                try:
                    self.value = await self._work()
                    self.error = None
                except Exception as error:
                    self.error = error
        finally:
            with contextlib.suppress(RuntimeError):  # the caller's loop has ended, and with it whoever waited
                self._call_soon(self.ended.set)
