"""One run's new events as JSON text, for those who pass them on without looking inside: the server extension.

In: a run in the log and the number of the last event that is known. Out: `Page`s of events, each the text of one JSON
object, as `event_json.to_json` would give it. The stored text is passed on as it is, so 200,000 events cost a second or
two, and not a parse and an encoding each; only what no JSON reader takes (NaN, halves of characters) is read and
written again. Neighbours: `log` makes tails, `workbench.server` sends pages.
"""

import json
import math
import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.database import connect_to_read, translated, unreadable
from workbench.errors import RunNotFound
from workbench.event_json import decode_fields, to_json
from workbench.events import Event
from workbench.runlock import is_held
from workbench.writer import unpacked

PAGE_CHARS = 2_000_000


@dataclass(frozen=True, slots=True)
class Page:
    """Events in order, without gaps. last_seq: of the last one, or where the tail stood. live: more may come. status:
    as in a `RunSummary`."""

    events: list[str]
    last_seq: int
    live: bool
    status: str


class Tail:
    """Follows one run over a connection of its own; used by one thread at a time, but any thread may close it: a page
    that goes away cancels its stream, and the thread that reads for it goes on to the end of what it reads."""

    def __init__(self, path: Path, run: int, run_id: str, since: int, lock: Path, busy_timeout_s: float) -> None:
        self.run_id, self.last_seq = run_id, since
        self._path, self._run, self._lock = path, run, lock
        with translated(path):
            self._connection = connect_to_read(path, busy_timeout_s)
        self._version = -1
        self._used, self._closing = threading.Lock(), False

    def close(self) -> None:
        """Give the connection back, where it is being read from, when that is over; again is harmless."""
        self._closing = True
        # SQLite's memory would be taken from under a thread that reads, which ends the whole process.
        if self._used.acquire(blocking=False):
            try:
                self._connection.close()
            finally:
                self._used.release()

    def changed(self) -> bool:
        """Whether anything was committed to the log since the last `read`; costs next to nothing."""
        try:
            return _data_version(self._connection) != self._version
        except sqlite3.Error:
            return True  # `read` says what is the matter

    def read(self, limit: int = 5000) -> Page:
        """The next events, at most `limit`; raises RunNotFound when the run has been deleted, LogError."""
        try:
            with self._used:
                return self._read(limit)
        finally:
            if self._closing:
                self.close()

    def _read(self, limit: int) -> Page:
        with translated(self._path):
            # In this order: whatever comes after these two were read shows as a change later, and a run that has ended
            # holds all that it will ever hold.
            self._version = _data_version(self._connection)
            status = self._status()
            rows = self._connection.execute(
                "SELECT seq, time, kind, fields, typeof(fields) = 'text' AND json_valid(fields) FROM events "
                "WHERE run = ? AND seq > ? ORDER BY seq LIMIT ?",
                (self._run, self.last_seq, limit),
            )
            events, chars = [], 0
            for seq, time_s, kind, fields, sound in rows:
                events.append(self._text(seq, time_s, kind, fields, sound))
                chars += len(events[-1])
                self.last_seq = seq
                if chars >= PAGE_CHARS:
                    self._version = -1  # there may be more
                    break
            if len(events) >= limit:
                self._version = -1
        return Page(events, self.last_seq, status == "running", status)

    def _status(self) -> str:
        query = "SELECT status FROM runs WHERE run = ?"
        row = self._connection.execute(query, (self._run,)).fetchone()
        if row is not None and row[0] == "running" and not is_held(self._lock):
            row = self._connection.execute(query, (self._run,)).fetchone()  # it may have finished just now
            if row is not None and row[0] == "running":
                return "interrupted"
        if row is None:
            raise RunNotFound(f"Run {self.run_id} has been deleted.")
        return str(row[0])

    def _text(self, seq: int, time_s: float, kind: str | bytes, fields: str | bytes, sound: bool) -> str:
        if sound and isinstance(fields, str) and isinstance(kind, str) and fields.startswith("{"):
            # The envelope stands last: of two equal names a reader takes the later one.
            envelope = f'"run_id":{json.dumps(self.run_id)},"seq":{seq},"time":{time_s!r},"kind":{json.dumps(kind)}}}'
            inner = fields[:-1].rstrip()
            return f"{inner}{'' if inner == '{' else ','}{envelope}"
        try:
            payload = decode_fields(unpacked(kind), unpacked(fields))
        except ValueError as error:
            raise unreadable(self._path, self.run_id) from error
        return json.dumps(_finite(to_json(Event(self.run_id, seq, time_s, payload))), allow_nan=False)


def _finite(value: Any) -> Any:
    """JSON values that every reader takes: numbers that are none become words."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, list) else value


def _data_version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA data_version").fetchone()[0])
