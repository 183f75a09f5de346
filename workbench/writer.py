"""Writing one run: events are taken at once and committed in batches by a thread of their own.

In: payloads, from the session's thread. Out: numbered events, and rows in the run log. Neighbours: `log.open_run` makes
writers, the database stores, readers see what has been committed.

    append ──> pending ──(50 ms, 200 events or 4 MB)──> one transaction ──> readers, in any process

A commit that fails leaves its events pending and makes the next append or flush raise; a flush tries again, so freeing
some space on a full disk loses nothing.
"""

import atexit
import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from workbench.database import damaged, log_error, transaction
from workbench.errors import LogError
from workbench.event_json import encode_fields
from workbench.events import Event, Payload, RunFinished, RunStarted, TokensAdded, WorkerAdded
from workbench.runlock import RunLock

BATCH_S = 0.05
BATCH_EVENTS = 200
BATCH_CHARS = 4_000_000
# Whoever appends faster than the disk takes has to wait once so many batches are pending.
MAX_BATCHES = 25


def packed(text: str) -> str | bytes:
    """Text as SQLite can hold it: as it is, or as bytes when lone surrogates make it unfit for UTF-8."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="surrogatepass")
    return text


def unpacked(stored: str | bytes) -> str:
    """The text that was `packed`."""
    return stored if isinstance(stored, str) else stored.decode(errors="surrogatepass")


class _Row(NamedTuple):
    """One event on its way into the file; `tokens` are those that it says were sampled."""

    event: Event
    fields: str
    tokens: int


def _sampled_tokens(payload: Payload) -> int:
    return sum(len(worker["ids"]) for worker in payload.tokens) if isinstance(payload, TokensAdded) else 0


class RunWriter:
    """The one writer of one running run. Threads may share it; forked children may not use it."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        run: int,
        run_id: str,
        lock: RunLock,
        *,
        after: int = 0,
        workers: Iterable[str] = (),
        since: float = 0.0,
    ) -> None:
        """after: the number of the last event of a run that is gone on with; workers: who has joined it; since: when
        it began, or its last event was told."""
        self.run_id = run_id
        self._connection = connection
        self._path = path
        self._run = run
        self._lock = lock
        self._owner = os.getpid()
        self._committing = threading.Lock()
        # Guards everything below. Entered by itself, never through the condition, whose entering is Python code: a
        # Ctrl-C inside it would leave the lock taken for ever.
        self._mutex = threading.Lock()
        self._changed = threading.Condition(self._mutex)
        self._pending: list[_Row] = []
        self._pending_chars = 0
        self._committed_seq = after
        self._latest = since
        self._worker_names = set(workers)
        self._error: LogError | None = None
        self._finished = False
        self._closed = False
        self._thread = threading.Thread(target=self._commit_batches, name=f"log {run_id}", daemon=True)
        self._thread.start()
        atexit.register(self._close_at_exit)

    def append(self, payload: Payload) -> Event:
        """Take one fact and number it. Raises LogError when an earlier commit failed; the fact is then not taken.

        The last fact, RunFinished, is taken and committed; when that raises, `flush` or `close` may still commit it.
        """
        # Encoded now, so that what the caller does to its lists later changes nothing.
        fields, tokens = encode_fields(payload), _sampled_tokens(payload)
        if self._has_batches(MAX_BATCHES):
            self.flush()
        with self._mutex:
            self._check_open()
            # Counted from what is kept, not by a counter beside it: Ctrl-C between the two would leave a gap.
            last = self._pending[-1].event.seq if self._pending else self._committed_seq
            self._latest = max(self._latest, time.time())  # where the clock is set back, no event is before the last
            event = Event(self.run_id, last + 1, self._latest, payload)
            self._pending.append(_Row(event, fields, tokens))
            self._pending_chars += len(fields)
            self._note(payload)
            # The first wakes the thread, which then waits for company; the last of a batch ends its wait.
            if len(self._pending) == 1 or self._has_batches(1):
                self._changed.notify_all()
        if self._finished:
            self.flush()
        return event

    def flush(self) -> None:
        """Commit everything taken so far, after a failure again; raises LogError when that is not possible."""
        with self._mutex:
            self._check_owner()
            if self._closed:
                return
        self._commit()

    def close(self) -> None:
        """Commit the rest and release the run, which is interrupted unless it has finished; again is harmless."""
        with self._mutex:
            self._check_owner()
            if self._closed:
                return
            self._closed = True
            self._changed.notify_all()
        try:
            try:
                self._thread.join()
            finally:
                self._commit()  # also when Ctrl-C ended the waiting
        finally:
            atexit.unregister(self._close_at_exit)
            self._connection.close()
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _close_at_exit(self) -> None:
        with contextlib.suppress(LogError):  # nobody is left to be told, or a forked child ends
            self.close()

    def _check_owner(self) -> None:
        if os.getpid() != self._owner:
            raise LogError(f"Run {self.run_id} belongs to the process that opened it: write it there.")

    def _check_open(self) -> None:
        self._check_owner()
        if self._closed or self._finished:
            raise LogError(f"Run {self.run_id} has ended and takes no more events: start a new run.")
        if self._error is not None:
            raise type(self._error)(*self._error.args) from self._error

    def _note(self, payload: Payload) -> None:
        match payload:
            case RunStarted():
                self._worker_names.update(payload.workers)
            case WorkerAdded():
                self._worker_names.add(payload.worker)
            case RunFinished():
                self._finished = True

    def _has_batches(self, count: int) -> bool:
        return len(self._pending) >= count * BATCH_EVENTS or self._pending_chars >= count * BATCH_CHARS

    def _has_work(self) -> bool:
        return self._closed or (bool(self._pending) and self._error is None)

    def _commit_batches(self) -> None:
        """The thread: wait for an event, give it company for a moment, commit; until closed."""
        while True:
            with self._mutex:
                self._changed.wait_for(self._has_work)
                self._changed.wait_for(lambda: self._closed or self._has_batches(1), timeout=BATCH_S)
                if self._closed:
                    return
            with contextlib.suppress(LogError):  # kept, for the next append or flush
                self._commit()

    def _commit(self) -> None:
        with self._committing:
            with self._mutex:
                batch = self._pending.copy()
            try:
                if batch:
                    self._store(batch)
            except Exception as error:
                failure = self._explain(error)
                with self._mutex:
                    self._error = failure
                raise failure from error
            with self._mutex:
                # Only now: an exception at any point before leaves the events where the next try finds them.
                if batch:
                    self._committed_seq = batch[-1].event.seq
                    del self._pending[: len(batch)]
                    self._pending_chars -= sum(len(row.fields) for row in batch)
                self._error = None
                self._changed.notify_all()

    def _store(self, batch: list[_Row]) -> None:
        with transaction(self._connection):
            stored = self._connection.execute("SELECT events FROM runs WHERE run = ?", (self._run,)).fetchone()
            if stored is None:
                raise damaged(self._path, f"run {self.run_id} was removed while it was written")
            # After Ctrl-C in the middle of a flush it is not known whether the batch got through: the file knows.
            new = [row for row in batch if row.event.seq > stored[0]]
            for start in range(0, len(new), BATCH_EVENTS):
                self._insert(new[start : start + BATCH_EVENTS])
            self._store_summary(new)

    def _insert(self, rows: list[_Row]) -> None:
        # One statement for all. Each statement gives up the interpreter's lock, and beside a thread that is busy with
        # Python it takes 5 ms to get it back: row by row, a batch would need a second.
        values: list[float | str | bytes] = []
        for row in rows:
            event = row.event
            values += (self._run, event.seq, event.time, packed(event.kind), packed(row.fields))
        places = ", ".join(["(?, ?, ?, ?, ?)"] * len(rows))
        self._connection.execute(f"INSERT INTO events (run, seq, time, kind, fields) VALUES {places}", values)

    def _store_summary(self, rows: list[_Row]) -> None:
        steps = sum(isinstance(row.event.payload, TokensAdded) for row in rows)
        tokens = sum(row.tokens for row in rows)
        self._connection.execute(
            "UPDATE runs SET workers = ?, steps = steps + ?, tokens = tokens + ?, events = events + ? WHERE run = ?",
            (len(self._worker_names), steps, tokens, len(rows), self._run),
        )
        for started in (row.event.payload for row in rows if isinstance(row.event.payload, RunStarted)):
            parent, seq = (started.parent["run_id"], started.parent["seq"]) if started.parent else ("", 0)
            self._connection.execute(
                "UPDATE runs SET layout = ?, parent = ?, parent_seq = ? WHERE run = ?",
                (packed(started.layout), packed(parent), seq, self._run),
            )
        last = rows[-1].event if rows else None  # nothing is taken after a run has finished
        if last is not None and isinstance(last.payload, RunFinished):
            self._connection.execute(
                "UPDATE runs SET status = ?, answer = ?, ended = ?, steps = ? WHERE run = ?",
                (last.payload.status, packed(last.payload.answer), last.time, last.payload.metrics["steps"], self._run),
            )

    def _explain(self, error: Exception) -> LogError:
        if isinstance(error, LogError):
            return error
        if isinstance(error, sqlite3.Error | OSError):
            return log_error(error, self._path)
        return LogError(f"Run {self.run_id} could not be recorded ({error}): look at the events it was given.")
