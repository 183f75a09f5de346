"""The run log: every event of every run, in one SQLite file that several processes may use at once.

In: payloads through a `RunWriter`. Out: events by number, as a list or followed while a run is going on, and one
summary per run. Neighbours: the session writes; the command line, the widget and the export read, in any process.

    <data folder>/runs.sqlite3     runs and events
    <data folder>/locks/<run id>   held by the process that writes the run

A connection is opened for each piece of work, so a RunLog is safe in every thread, costs nothing at rest and needs no
closing.
"""

import contextlib
import os
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from workbench.database import can_be_read, connect, connect_to_read, prepare, transaction, translated, unreadable
from workbench.errors import LogError, LogFull, LogTimeout, LogUnwritable, RunNotFound, UsageError
from workbench.event_json import decode_fields
from workbench.events import EndStatus, Event, Origin, WorkerAdded
from workbench.paths import log_path
from workbench.runlock import RunLock, is_held
from workbench.tail import Tail
from workbench.writer import RunWriter, packed, unpacked

RunStatus = EndStatus | Literal["running", "interrupted"]

POLL_S = 0.02
PAGE_EVENTS = 500
_ID_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # 32 signs, none easily mistaken for another
_ID_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # it is also a file name
_SUMMARY_COLUMNS = (
    "run_id, created, ended, task, model, status, answer, workers, steps, tokens, events, layout, parent, parent_seq"
)


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run at a glance. Times are in seconds since 1970; `tokens` are those that workers sampled; `parent` is the
    run that it was forked from."""

    run_id: str
    created: float
    ended: float | None
    task: str
    model: str
    status: RunStatus
    answer: str
    workers: int
    steps: int
    tokens: int
    events: int
    layout: str = ""
    parent: Origin | None = None


def new_run_id(time_s: float | None = None) -> str:
    """A short id that sorts by time (UTC), like 20261123-091500-k3f9."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(time_s))
    return stamp + "-" + "".join(_ID_ALPHABET[byte % 32] for byte in os.urandom(4))


class RunLog:
    """The log in the file `path`, by default the one in the data folder; made when it is not there. Where it cannot be
    written (a disk that is full or read-only, a colleague's folder) it can be read."""

    def __init__(self, path: Path | None = None, *, busy_timeout_s: float = 5.0) -> None:
        self.path = (path or log_path()).absolute()
        self._busy_timeout_s = busy_timeout_s
        self._unwritable: LogError | None = None
        try:
            prepare(self.path, busy_timeout_s)
        except (LogUnwritable, LogFull) as error:
            if not can_be_read(self.path, busy_timeout_s):
                raise
            self._unwritable = error

    def open_run(self, run_id: str, task: str, model: str) -> RunWriter:
        """Begin a new run; this process holds it until the writer is closed."""
        if not _ID_PATTERN.fullmatch(run_id):
            raise UsageError(f"{run_id!r} cannot name a run: use up to 100 letters, digits, dots, dashes, underscores.")
        self._check_writable()
        with translated(self.path), contextlib.ExitStack() as undo:
            try:
                lock = RunLock(self._lock_path(run_id))
            except BlockingIOError:
                raise self._taken(run_id) from None
            undo.callback(lock.release)
            connection = connect(self.path, self._busy_timeout_s)
            undo.callback(connection.close)
            began = time.time()
            run = self._insert_run(connection, run_id, task, model, began)
            writer = RunWriter(connection, self.path, run, run_id, lock, since=began)
            undo.pop_all()
            return writer

    def reopen_run(self, run_id: str) -> RunWriter:
        """Go on with an interrupted run; raises RunNotFound, and UsageError where it has ended or is running."""
        status = self.summary(run_id).status
        if status != "interrupted":
            raise UsageError(
                f"Run {run_id} was not interrupted, it is {status}: fork it to go on from one of its steps."
            )
        self._check_writable()
        with translated(self.path), contextlib.ExitStack() as undo:
            try:
                lock = RunLock(self._lock_path(run_id))
            except BlockingIOError:
                raise UsageError(f"Run {run_id} is being gone on with already: watch it.") from None
            undo.callback(lock.release)
            connection = connect(self.path, self._busy_timeout_s)
            undo.callback(connection.close)
            query = "SELECT run, events FROM runs WHERE run_id = ? AND status = 'running'"
            row = connection.execute(query, (packed(run_id),)).fetchone()
            if row is None:
                raise UsageError(f"Run {run_id} has just ended: fork it to go on from one of its steps.")
            events = self.events(run_id)
            names = {str(one.payload.worker) for one in events if isinstance(one.payload, WorkerAdded)}
            since = events[-1].time if events else 0.0
            writer = RunWriter(connection, self.path, row[0], run_id, lock, after=row[1], workers=names, since=since)
            undo.pop_all()
            return writer

    def runs(self, search: str = "", *, limit: int = -1, before: str | None = None) -> list[RunSummary]:
        """Runs, the newest first: those that have `search` in their id, task, model, status or answer, at most `limit`
        of them, only those older than the run `before`."""
        columns = ("run_id", "task", "model", "status", "answer", "layout")
        pattern = "%" + re.sub(r"([%_\\])", r"\\\1", search) + "%"
        where = "(" + " OR ".join(f"{name} LIKE :pattern ESCAPE '\\'" for name in columns) + ")" if search else "1"
        if before is not None:
            where += " AND (created, run) < (SELECT created, run FROM runs WHERE run_id = :before)"
        query = f"SELECT {_SUMMARY_COLUMNS} FROM runs WHERE {where} ORDER BY created DESC, run DESC LIMIT :limit"
        given = {"pattern": packed(pattern), "before": before, "limit": limit}
        with self._reading() as connection:
            return [self._summary_of(connection, row) for row in connection.execute(query, given).fetchall()]

    def summary(self, run_id: str) -> RunSummary:
        """One run at a glance; raises RunNotFound."""
        with self._reading() as connection:
            query = f"SELECT {_SUMMARY_COLUMNS} FROM runs WHERE run_id = ?"
            row = connection.execute(query, (packed(run_id),)).fetchone()
            if row is None:
                raise self._unknown(run_id)
            return self._summary_of(connection, row)

    def events(self, run_id: str, since: int = 0) -> list[Event]:
        """The committed events of a run whose number is above `since`, in order; raises RunNotFound."""
        with self._reading() as connection:
            return self._events_after(connection, self._number_of(connection, run_id), run_id, since, limit=-1)

    def follow(self, run_id: str, since: int = 0, timeout_s: float | None = None) -> Iterator[Event]:
        """Every event above `since` once, in order, as they are committed by any process, until the run has ended.

        Raises RunNotFound at once, and LogTimeout when nothing new arrives for `timeout_s` seconds.
        """
        with self._reading() as connection:
            run = self._number_of(connection, run_id)
        return self._follow(run, run_id, since, timeout_s)

    def tail(self, run_id: str, since: int = 0) -> Tail:
        """The run's events above `since` as JSON text, page by page, for those who pass them on; raises RunNotFound."""
        with self._reading() as connection:
            run = self._number_of(connection, run_id)
        return Tail(self.path, run, run_id, since, self._lock_path(run_id), self._busy_timeout_s)

    def delete(self, run_id: str) -> None:
        """Remove a run and give its space back; raises UsageError while it is running."""
        if self.summary(run_id).status == "running":
            raise UsageError(f"Run {run_id} is still running: stop it before you delete it.")
        self._check_writable()
        with translated(self.path), closing(connect(self.path, self._busy_timeout_s)) as connection:
            with transaction(connection):
                run = self._number_of(connection, run_id)
                connection.execute("DELETE FROM events WHERE run = ?", (run,))
                connection.execute("DELETE FROM runs WHERE run = ?", (run,))
            with contextlib.suppress(sqlite3.OperationalError):  # somebody is busy: the space goes to the next run
                # As a script, because `execute` would stop after the first page that is given back.
                connection.executescript("PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE)")
            self._lock_path(run_id).unlink(missing_ok=True)

    def find(self, prefix: str) -> str:
        """The id of the one run whose id is, or begins with, `prefix`; raises RunNotFound."""
        with self._reading() as connection:
            query = "SELECT run_id FROM runs WHERE substr(run_id, 1, ?) = ? ORDER BY run_id"
            found = [row[0] for row in connection.execute(query, (len(prefix), packed(prefix)))]
        if prefix in found:
            return prefix
        if not found:
            raise self._unknown(prefix)
        if len(found) > 1:
            raise RunNotFound(f"{len(found)} runs begin with {prefix!r}: give more of the id, like {found[-1]}.")
        return str(found[0])

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with translated(self.path), closing(connect_to_read(self.path, self._busy_timeout_s)) as connection:
            yield connection

    def _check_writable(self) -> None:
        if self._unwritable is not None:
            prepare(self.path, self._busy_timeout_s)  # there may be room again
            self._unwritable = None

    def _lock_path(self, run_id: str) -> Path:
        return self.path.parent / "locks" / run_id

    def _taken(self, run_id: str) -> UsageError:
        return UsageError(f"There is a run {run_id} already: give the new run another id.")

    def _unknown(self, run_id: str) -> RunNotFound:
        return RunNotFound(f"There is no run {run_id!r} in {self.path}: `workbench runs list` shows those there are.")

    def _insert_run(self, connection: sqlite3.Connection, run_id: str, task: str, model: str, began: float) -> int:
        insert = "INSERT INTO runs (run_id, created, task, model, status) VALUES (?, ?, ?, ?, 'running')"
        try:
            with transaction(connection):
                return int(connection.execute(insert, (run_id, began, packed(task), packed(model))).lastrowid or 0)
        except sqlite3.IntegrityError:
            raise self._taken(run_id) from None

    def _number_of(self, connection: sqlite3.Connection, run_id: str) -> int:
        row = connection.execute("SELECT run FROM runs WHERE run_id = ?", (packed(run_id),)).fetchone()
        if row is None:
            raise self._unknown(run_id)
        return int(row[0])

    def _summary_of(self, connection: sqlite3.Connection, row: tuple[Any, ...]) -> RunSummary:
        run_id = row[0]
        if row[5] == "running" and not is_held(self._lock_path(run_id)):
            # Nobody writes it any more, so what the file says now is final; it may have finished since it was read.
            again = f"SELECT {_SUMMARY_COLUMNS} FROM runs WHERE run_id = ?"
            row = connection.execute(again, (run_id,)).fetchone() or row
            if row[5] == "running":
                row = (*row[:5], "interrupted", *row[6:])
        _, created, ended, task, model, status, answer, workers, steps, tokens, events, layout, parent, seq = row
        return RunSummary(
            run_id, created, ended, unpacked(task), unpacked(model), status, unpacked(answer), workers, steps, tokens,
            events, layout, Origin(run_id=parent, seq=seq) if parent else None,
        )  # fmt: skip

    def _events_after(
        self, connection: sqlite3.Connection, run: int, run_id: str, since: int, limit: int
    ) -> list[Event]:
        query = "SELECT seq, time, kind, fields FROM events WHERE run = ? AND seq > ? ORDER BY seq LIMIT ?"
        rows = connection.execute(query, (run, since, limit)).fetchall()
        try:
            return [
                Event(run_id, seq, at, decode_fields(unpacked(kind), unpacked(fields)))
                for seq, at, kind, fields in rows
            ]
        except ValueError as error:
            raise unreadable(self.path, run_id) from error

    def _follow(self, run: int, run_id: str, since: int, timeout_s: float | None) -> Iterator[Event]:
        with self._reading() as connection:
            while True:
                # In this order: whatever is committed after the version was read shows as a change later, and
                # whatever a run that has ended will ever hold is there to be read.
                version = _data_version(connection)
                ended = self._has_ended(connection, run, run_id)
                while page := self._events_after(connection, run, run_id, since, PAGE_EVENTS):
                    for event in page:
                        since = event.seq
                        yield event
                if ended:
                    return
                self._await_change(connection, run_id, version, timeout_s)

    def _has_ended(self, connection: sqlite3.Connection, run: int, run_id: str) -> bool:
        row = connection.execute("SELECT status FROM runs WHERE run = ?", (run,)).fetchone()
        if row is None:
            raise self._unknown(run_id)
        return row[0] != "running" or not is_held(self._lock_path(run_id))

    def _await_change(self, connection: sqlite3.Connection, run_id: str, version: int, timeout_s: float | None) -> None:
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while _data_version(connection) == version and is_held(self._lock_path(run_id)):
            if deadline is not None and time.monotonic() >= deadline:
                raise LogTimeout(f"Run {run_id} said nothing for {timeout_s:g} s: look whether it is stuck.")
            time.sleep(POLL_S)


def _data_version(connection: sqlite3.Connection) -> int:
    """A number that changes when another connection, of any process, has committed."""
    return int(connection.execute("PRAGMA data_version").fetchone()[0])
