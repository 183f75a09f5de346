"""Worker threads for plain functions, which nobody can stop: they are daemons, and one that hangs is left behind.

In: functions, from the event loop's thread. Out: `deliver`, called in that thread with what came of one. Neighbours:
`attempts` is the only caller. anyio's own worker threads are not used: on asyncio they are no daemons, so that one
function that never returns would keep the whole process from ending.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final, TypeAlias

from toolsets.executor.errors import ExecutorError

CallSoon: TypeAlias = Callable[[Callable[[], object]], object]
"""Runs something in the event loop's thread, soon and in order; raises RuntimeError once the loop has ended."""

MAX_STUCK: Final = 64
"""Threads that may be left behind in functions that do not return, before no new ones are started."""


def loop_caller() -> CallSoon:
    """The `CallSoon` of the event loop that runs in this thread."""
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_run():
        call_soon: CallSoon = trio.lowlevel.current_trio_token().run_sync_soon
        return call_soon
    loop, context = asyncio.get_running_loop(), contextvars.copy_context()
    _say_library(context, "asyncio")
    return lambda function: loop.call_soon_threadsafe(function, context=context)


class Job:
    """One function in a thread. abandoned: nobody waits for it any longer."""

    __slots__ = ("_threads", "abandoned", "ended", "work")

    def __init__(self, threads: ToolThreads, work: Callable[[], Callable[[], object]]) -> None:
        self._threads, self.work = threads, work
        self.abandoned = self.ended = False

    def abandon(self) -> None:
        """Stop waiting: what comes of it is dropped. To be called in the event loop's thread."""
        if not self.abandoned and not self.ended:
            self.abandoned = True
            self._threads.stuck += 1


class ToolThreads:
    """As many threads as there are functions at one time; idle ones are used again. Everything but the functions
    themselves happens in the event loop's thread, so nothing needs a lock."""

    def __init__(self, call_soon: CallSoon) -> None:
        self.stuck = 0
        """Threads whose function was given up and still runs."""
        self._call_soon = call_soon
        self._idle: list[SimpleQueue[Job | None]] = []
        self._all: set[SimpleQueue[Job | None]] = set()
        self._closed = False

    def start(self, work: Callable[[], Callable[[], object]]) -> Job:
        """Run `work` in a thread, and what it returns in the event loop's. `work` must not raise.

        Raises ExecutorError where too many threads hang, RuntimeError where the machine has no thread left.
        """
        if self.stuck >= MAX_STUCK:
            raise ExecutorError(
                f"{self.stuck} calls that were given up still run and cannot be stopped: end the process that they "
                "hang in, or give these tools a timeout of their own."
            )
        job = Job(self, work)
        if self._idle:
            jobs = self._idle.pop()
        else:
            jobs = SimpleQueue()
            serve = threading.Thread(target=self._serve, args=(jobs,), name="tool call", daemon=True)
            serve.start()
            self._all.add(jobs)
        jobs.put(job)
        return job

    def close(self) -> None:
        """Let every thread end, now or when its function returns. Waits for nothing."""
        self._closed = True
        for jobs in self._all:
            jobs.put(None)
        self._all.clear()
        self._idle.clear()

    def _serve(self, jobs: SimpleQueue[Job | None]) -> None:
        while (job := jobs.get()) is not None:
            finish = job.work()
            try:
                self._call_soon(lambda job=job, finish=finish: self._finished(jobs, job, finish))  # type: ignore[misc]
            except RuntimeError:
                return  # the loop has ended, and with it whoever waited
            del job, finish  # an idle thread must not hold a large result

    def _finished(self, jobs: SimpleQueue[Job | None], job: Job, finish: Callable[[], object]) -> None:
        job.ended = True
        if not self._closed:
            self._idle.append(jobs)
        if job.abandoned:
            self.stuck -= 1
        else:
            finish()


def thread_context() -> contextvars.Context:
    """A copy of this context for a function in another thread, where no event loop runs."""
    context = contextvars.copy_context()
    _say_library(context, None)
    return context


def _say_library(context: contextvars.Context, name: str | None) -> None:
    """anyio asks sniffio, where that is installed, which event loop runs; outside a task it has to be told."""
    if (sniffio := sys.modules.get("sniffio")) is not None:
        context.run(sniffio.current_async_library_cvar.set, name)
