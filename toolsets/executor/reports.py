"""What a running tool says before it is done: progress, partial output, how it was isolated, and how to stop it.

In: `report_progress`, `report_output`, `report_isolation` and `report_stop`, called by a tool wherever it runs, plain
or async. Out: to the executor, in the event loop's thread. Neighbours: `attempts` opens a `Reports` for each attempt;
outside one, the four functions do nothing.

A tool that reports faster than anybody reads costs no memory: of progress only the newest counts, and output has a
limit.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from toolsets.damaged import well_formed
from toolsets.executor.threads import CallSoon

MAX_OUTPUT_CHARS: Final = 1_000_000
"""Partial output of one attempt that is passed on."""
MAX_MESSAGE_CHARS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Done:
    """How far a tool is: `done` of `total`, in units of its own; total None where it does not know."""

    done: float
    total: float | None
    message: str


class Reports:
    """The reports of one attempt. tell: takes the newest progress, or None, and the output since the last time."""

    def __init__(self, call_soon: CallSoon, tell: Callable[[Done | None, str], object]) -> None:
        self.isolation = ""
        self._call_soon, self._tell = call_soon, tell
        self._lock = threading.Lock()
        self._newest: Done | None = None
        self._texts: list[str] = []
        self._room_chars = MAX_OUTPUT_CHARS
        self._posted = self._closed = False
        self._stop: Callable[[], object] | None = None
        self._given_up = False

    def stops(self, stop: Callable[[], object]) -> None:
        """The tool can be stopped, by this. From any thread."""
        with self._lock:
            self._stop = stop
            late = self._given_up
        if late:
            self.give_up()

    def give_up(self) -> None:
        """Nobody waits for the tool any longer."""
        with self._lock:
            self._given_up, stop, self._stop = True, self._stop, None
        if stop is not None:
            with contextlib.suppress(Exception):  # it has ended by itself
                stop()

    def progress(self, newest: Done) -> None:
        with self._lock:
            self._newest = newest
            post = self._must_post()
        self._post(post)

    def output(self, text: str) -> None:
        with self._lock:
            if not text or self._room_chars <= 0:
                return
            if len(text) > self._room_chars:
                text = f"{text[: self._room_chars]}\n[further output is not shown]"
            self._room_chars -= len(text)
            self._texts.append(text)
            post = self._must_post()
        self._post(post)

    def flush(self) -> None:
        """Pass on what has come. In the event loop's thread."""
        with self._lock:
            newest, text = self._newest, "".join(self._texts)
            self._newest, self._texts, self._posted = None, [], False
        if not self._closed and (newest is not None or text):
            self._tell(newest, text)

    def close(self) -> None:
        """Pass on what has come, and nothing from then on."""
        self.flush()
        self._closed, self._room_chars = True, 0

    def _must_post(self) -> bool:
        post = not self._posted and not self._closed
        self._posted = self._posted or post
        return post

    def _post(self, post: bool) -> None:
        if post:
            try:
                self._call_soon(self.flush)
            except RuntimeError:
                self._closed = True  # the loop has ended


reports: ContextVar[Reports | None] = ContextVar("toolsets_reports", default=None)


def report_progress(done: float, total: float | None = None, message: str = "") -> None:
    """For a tool to say how far it is; what is no number says nothing."""
    if (own := reports.get()) is not None and math.isfinite(done):
        message = well_formed(str(message))[:MAX_MESSAGE_CHARS]
        own.progress(Done(float(done), float(total) if total is not None and math.isfinite(total) else None, message))


def report_output(text: str) -> None:
    """For a tool to show a part of its output before it is done."""
    if (own := reports.get()) is not None:
        own.output(well_formed(str(text)))


def report_isolation(isolation: str) -> None:
    """For a tool that runs its code elsewhere to say what stands between that code and this process."""
    if (own := reports.get()) is not None:
        own.isolation = str(isolation)


def report_stop(stop: Callable[[], object]) -> None:
    """For a plain tool that can be stopped to say how: called once, from another thread, where the call is given up."""
    if (own := reports.get()) is not None:
        own.stops(stop)
