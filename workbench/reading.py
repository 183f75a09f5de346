"""A run as its log tells it, to whoever holds it: events as they come, the state of now, a comparison, a file.

In: a run's id and its log. Out: events for loops with and without `async`, a `RunView`, a `Comparison`, an export.
Neighbours: `session.Run` and `engine.remote.RemoteRun` are read through this, `projection` and `comparing` do the work.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from workbench.errors import LogTimeout
from workbench.events import AnsweredItem, BreakpointHit, Event, RunStarted, Steered

if TYPE_CHECKING:
    from toolsets.answers import AnswerForm
    from workbench.comparing import Comparison
    from workbench.log import RunLog
    from workbench.projection import RunView

LOOK_S: Final = 0.2
"""How long a thread of an event loop waits for the next event before it looks whether anybody still wants it."""


class Events(Iterator[Event]):
    """The events of a run as they come, until it has ended: `for event in ...`, and `async for event in ...`, which
    lets the event loop go on meanwhile."""

    def __init__(self, log: RunLog, run_id: str, since: int = 0) -> None:
        self._log, self._run_id, self._since = log, run_id, since
        self._following = log.follow(run_id, since)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        event = next(self._following)
        self._since = event.seq
        return event

    async def __aiter__(self) -> AsyncIterator[Event]:
        while (page := await asyncio.to_thread(self._page)) is not None:
            for event in page:
                self._since = event.seq
                yield event

    def _page(self) -> list[Event] | None:
        """What there is after the last event; empty if nothing has come for a moment, None if nothing will."""
        try:
            first = next(self._log.follow(self._run_id, self._since, LOOK_S), None)
        except LogTimeout:
            return []
        return None if first is None else self._log.events(self._run_id, self._since)


def _goes_on(event: Event) -> bool:
    return isinstance(event.payload, Steered) and event.payload.command in ("resume", "step")


class Readable(ABC):
    """What a run's handle tells from the log."""

    id: str
    _log: RunLog
    _form: AnswerForm | None = None

    @property
    @abstractmethod
    def answer(self) -> str: ...

    @property
    @abstractmethod
    def items(self) -> list[AnsweredItem]: ...

    @property
    def value(self) -> Any:
        """Waits for the end; the answer in the form that was asked for (`answer=int`), of a worksheet of several items
        a list. Raises UsageError where none was asked for, or the answer does not have it."""
        from workbench.answer_values import value_of

        answer, items = self.answer, self.items
        return value_of(self.asked, answer, items)

    @property
    def asked(self) -> AnswerForm | None:
        """The form of the answer that was asked for, if one was."""
        from workbench.answer_values import form_of

        if self._form is None:  # another process, or the run that this one is a fork of, was asked
            started = next((e.payload for e in self._log.events(self.id) if isinstance(e.payload, RunStarted)), None)
            self._form = form_of(started.settings.get("answer")) if started is not None else None
        return self._form

    _looked_until = 0
    """The number of the last event that `next_break` has seen, or that the run began with."""
    _at_break = False

    def events(self, since: int = 0) -> Events:
        """The run's events after number `since`, as they come, until it has ended; also for `async for`."""
        self._flush()
        return Events(self._log, self.id, since)

    def next_break(self, timeout_s: float | None = None) -> BreakpointHit | None:
        """Wait until a breakpoint pauses the run, and say which and why; None once the run has ended without.

        Each call waits for a pause after the one that the last call gave; pauses that the run has gone on from are
        passed over. Raises LogTimeout after `timeout_s` seconds.
        """
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left_s = LOOK_S if until is None else min(LOOK_S, until - time.monotonic())
            if left_s <= 0:
                raise LogTimeout(f"No breakpoint has paused run {self.id} within {timeout_s:g} s: wait longer.")
            self._flush()
            try:
                for event in self._log.follow(self.id, self._looked_until, left_s):
                    self._looked_until = event.seq
                    if _goes_on(event):
                        self._at_break = False
                    elif isinstance(event.payload, BreakpointHit) and not self._at_break:
                        self._at_break = True
                        if not any(map(_goes_on, self._log.events(self.id, event.seq))):
                            return event.payload
            except LogTimeout:
                continue
            return None

    def view(self) -> RunView:
        """The run as it is now, without waiting: lanes by worker, calls with their times, blocks, plans, figures."""
        from workbench.projection import RunView

        self._flush()
        seen = RunView.of(self._log.events(self.id))
        return seen.interrupted() if self._log.summary(self.id).status == "interrupted" else seen

    def compare(self, other: Readable | str) -> Comparison:
        """This run beside another, or the one with that id: where they part, and what differs from there on."""
        from workbench.comparing import compare

        self._flush()
        if isinstance(other, Readable):
            other._flush()
        theirs = other.id if isinstance(other, Readable) else self._log.find(other)
        log = other._log if isinstance(other, Readable) else self._log
        return compare(self._log.events(self.id), log.events(theirs))

    def export(self, path: str | Path) -> Path:
        """Write the run as a notebook (.ipynb), a page for any browser (.html) or an OpenTelemetry trace (.json);
        returns where."""
        from workbench.export import export_run  # nbformat takes a second to import

        self._flush()
        return export_run(self._log.events(self.id), path)

    def _flush(self) -> None:  # noqa: B027 - the log of another process has it already
        """Let the log have what is known so far."""
