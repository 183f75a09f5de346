"""The library: tools and concepts as rows of one SQLite file, which are the truth; everything else is derived.

In: plans (see `planning`) and what runs report. Out: rows, histories, diffs, uses. Every change of a row is a new
version and the old ones stay; a plan of many rows happens as a whole or not at all, and can be undone. A change names
the version that it was made from, so an update cannot be lost, by however many processes the library is written.
Deleting is retiring; only `purge` removes. Where the file or its folder may not be written, the library can be read,
and every change is refused. Neighbours: `toolsets` keeps its tools here, `retrieval` searches, `transfer` imports and
exports, `rows` and `database` hold the SQL.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, Self

from memory import database, rows
from memory.effects import Effect, Trial, effect_of
from memory.errors import ChangeRefused, LibraryUnwritable, RowNotFound
from memory.planning import plan_new, snapshot_diff
from memory.values import (
    Change,
    Entry,
    Kind,
    Plan,
    Row,
    Snapshot,
    State,
    UsageCount,
    Use,
    Version,
    canonical_json,
    text_hash,
)

FILE_NAME: Final = "library.sqlite3"
BUSY_TIMEOUT_S: Final = 10.0


class Library:
    """One library in one folder; safe to use from several threads, and by several processes at once."""

    def __init__(
        self, folder: Path, *, busy_timeout_s: float = BUSY_TIMEOUT_S, clock: Callable[[], float] = time.time
    ) -> None:
        self.folder = folder
        self.path = folder / FILE_NAME
        self.clock = clock
        self.read_only = False
        """Whether the library may not be written just now."""
        self._busy_timeout_s = busy_timeout_s
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.RLock()
        try:
            self._open()
        except LibraryUnwritable:
            if not self.path.exists():
                raise
            self.read_only = True
            with self.reading():
                pass

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------------------------------------ reading

    def row(self, row_id: str) -> Row:
        with self.reading() as connection:
            found = rows.rows_where(connection, "row_id = ?", (row_id,))
        if not found:
            raise RowNotFound(f"No row has the id {row_id!r}: list the library to see the ids.")
        return found[0]

    def rows(
        self,
        kind: Kind | None = None,
        *,
        states: Sequence[State] = ("proposed", "active"),
        tag: str | None = None,
        name: str | None = None,
    ) -> list[Row]:
        """Rows by kind, state, tag and name, in the order of their names."""
        marks = ", ".join("?" for _ in states)
        conditions, values = [f"rows.state IN ({marks})"], list[Any](states)
        for field, value in (("kind", kind), ("name", name)):
            if value is not None:
                conditions.append(f"{field} = ?")
                values.append(value)
        with self.reading() as connection:
            found = rows.rows_where(connection, f"{' AND '.join(conditions)} ORDER BY name, row_id", values)
        return [row for row in found if tag is None or tag in row.tags]

    def active(self, kind: Kind, name: str) -> Row | None:
        """The one active row of that name: what a call of a tool means."""
        found = self.rows(kind, states=("active",), name=name)
        return found[0] if found else None

    def changes_since(self, counter: int) -> tuple[int, list[Row]]:
        """The counter as it is now, and the rows, retired ones too, that changed after it was `counter`."""
        with self.reading() as connection:
            return rows.counter(connection), rows.rows_where(connection, "changed > ?", (counter,))

    def row_ids(self) -> set[str]:
        with self.reading() as connection:
            return {row_id for (row_id,) in connection.execute("SELECT row_id FROM rows")}

    def history(self, row_id: str) -> list[Version]:
        """All versions of a row, the first one first."""
        with self.reading() as connection:
            versions = rows.versions_of(connection, row_id)
        if not versions:
            raise RowNotFound(f"No row has the id {row_id!r}: list the library to see the ids.")
        return versions

    def version(self, row_id: str, number: int) -> Version:
        for version in self.history(row_id):
            if version.number == number:
                return version
        raise RowNotFound(f"The row {row_id} has no version {number}: look at its history.")

    def diff(self, row_id: str, older: int, newer: int | None = None) -> list[str]:
        """What changed from one version to another, by default to the present one."""
        after = self.version(row_id, newer).snapshot if newer is not None else self.row(row_id).snapshot
        return snapshot_diff(self.version(row_id, older).snapshot, after)

    # ------------------------------------------------------------------------------------------------ changing

    def apply(self, plan: Plan, *, author: str, note: str = "") -> Entry:
        """Carry a plan out, all of it or nothing; raises RowChanged where a row is not as the plan read it."""
        if not plan.changes:
            raise ChangeRefused("There is nothing to change: the plan is empty.")
        with self.writing() as connection:
            stamp = (author, self.clock(), plan.action, note)
            entry = rows.new_entry(connection, plan.action, author, stamp[1], note)
            rows.write_changes(connection, plan.changes, (*stamp, entry))
            return rows.entries(connection, "entry = ?", (entry,))[0]

    def add(self, item: Snapshot, *, author: str, note: str = "") -> Row:
        """A new row; tools and concepts that no person has seen come as `proposed`."""
        plan = plan_new([item])
        self.apply(plan, author=author, note=note)
        return self.row(plan.changes[0].row_id)

    def journal(self, limit: int = 50) -> list[Entry]:
        """The last plans that were carried out, the newest first."""
        with self.reading() as connection:
            return rows.entries(connection, "entry > (SELECT max(entry) FROM entries) - ?", (limit,))

    def plan_undo(self, entry: int) -> Plan:
        """What undoing an entry would do: its rows go back to how they were before it; rows it made are retired. What
        was undone since does not stand in the way."""
        with self.reading() as connection:
            found = rows.entries(connection, "entry = ?", (entry,))
            if not found:
                raise RowNotFound(f"The journal has no entry {entry}: look at the journal for its numbers.")
            if found[0].undone_by is not None:
                raise ChangeRefused(f"Entry {entry} is undone already, by entry {found[0].undone_by}: undo that one.")
            undoes = {one.undone_by: one.number for one in rows.entries(connection, "undone_by IS NOT NULL")}
            changes = [
                _undone(row_id, rows.versions_of(connection, row_id), entry, undoes) for row_id in found[0].row_ids
            ]
        if not changes:
            raise ChangeRefused(f"The rows of entry {entry} were purged: there is nothing left to undo.")
        return Plan("undo", tuple(changes))

    def undo(self, entry: int, *, author: str, note: str = "") -> Entry:
        """Undo an entry, whole or not at all; refused where one of its rows was changed since."""
        with self.writing() as connection:
            plan = self.plan_undo(entry)
            done = self.apply(plan, author=author, note=note or f"undo of entry {entry}")
            # An undoing that is undone itself: what it had undone holds again.
            connection.execute("UPDATE entries SET undone_by = NULL WHERE undone_by = ?", (entry,))
            connection.execute("UPDATE entries SET undone_by = ? WHERE entry = ?", (done.number, entry))
        return done

    def purge(self, row_ids: Sequence[str]) -> None:
        """Remove retired rows for good, with all versions and uses. This cannot be undone: ask first."""
        with self.writing() as connection:
            for row_id in row_ids:
                row = self.row(row_id)
                if row.state != "retired":
                    raise ChangeRefused(f"{row.name!r} ({row_id}) is {row.state}: retire it before it is purged.")
            rows.delete_rows(connection, row_ids)

    # ------------------------------------------------------------------------------------------------ uses

    def record_retrieval(self, run_id: str, why: Mapping[str, Any]) -> None:
        """These rows (id -> explanation, as JSON) were shown in a run; a second retrieval in the run counts once."""
        explained = {row_id: canonical_json(reason) for row_id, reason in why.items()}
        with self.writing() as connection:
            for row_id, reason in explained.items():
                connection.execute(
                    "INSERT OR IGNORE INTO uses VALUES (?, ?, ?, ?, 0, NULL, ?)",
                    (run_id, row_id, self.row(row_id).snapshot.content_hash, self.clock(), reason),
                )

    def record_use(self, run_id: str, row_id: str) -> None:
        """A row that was retrieved in a run was used there: called, or named in what a worker wrote."""
        with self.writing() as connection:
            cursor = connection.execute("UPDATE uses SET used = 1 WHERE run_id = ? AND row_id = ?", (run_id, row_id))
            if not cursor.rowcount:
                raise RowNotFound(f"The row {row_id} was not retrieved in run {run_id}: record its retrieval first.")

    def record_outcome(self, run_id: str, solved: bool) -> None:
        """Whether the run was solved, for all rows that were retrieved in it."""
        with self.writing() as connection:
            connection.execute("UPDATE uses SET solved = ? WHERE run_id = ?", (int(solved), run_id))

    def uses(self, *, row_id: str | None = None, run_id: str | None = None) -> list[Use]:
        """What happened to a row in all runs, or to all rows in a run, or both."""
        with self.reading() as connection:
            return rows.uses_where(
                connection, "(?1 IS NULL OR row_id = ?1) AND (?2 IS NULL OR run_id = ?2)", (row_id, run_id)
            )

    def usage(self, row_id: str) -> list[UsageCount]:
        """The uses of a row counted for each content that it had."""
        return rows.count_uses(self.uses(row_id=row_id))

    def record_trials(self, trials: Iterable[Trial]) -> None:
        """Cases that were tried with a row and without it; a case that is tried again replaces its older result."""
        with self.writing() as connection:
            rows.write_trials(connection, trials)

    def trials(self, row_id: str) -> list[Trial]:
        """All trials of a row, of all contents that it had."""
        with self.reading() as connection:
            return rows.trials_of(connection, row_id)

    def effect(self, row_id: str, content_hash: str | None = None) -> Effect | None:
        """What one content of a row, by default the present one, did to the solve rate; None where nobody tried."""
        wanted = content_hash or self.row(row_id).snapshot.content_hash
        return effect_of(trial for trial in self.trials(row_id) if trial.content_hash == wanted)

    # ------------------------------------------------------------------------------------------------ duplicates

    def mark_not_duplicates(self, first_id: str, second_id: str, *, author: str) -> None:
        """A person's word that two rows are two; it is remembered through all later versions."""
        first, second = sorted((self.row(first_id).row_id, self.row(second_id).row_id))
        if first == second:
            raise ChangeRefused(f"{first} is one row: name two.")
        with self.writing() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO not_duplicates VALUES (?, ?, ?, ?)", (first, second, author, self.clock())
            )

    def not_duplicates(self) -> dict[tuple[str, str], tuple[str, float]]:
        """The pairs of ids, each in order, that a person said are two; who said it, and when."""
        with self.reading() as connection:
            found = connection.execute("SELECT first_id, second_id, author, time FROM not_duplicates")
            return {(first, second): (author, said) for first, second, author, said in found}

    # ------------------------------------------------------------------------------------------------ transactions

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that sees the library of one moment."""
        with self._lock, database.translated(self.path), self._to_read() as connection, database.reading(connection):
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A connection that holds the write lock; inside another `writing` it belongs to that one's transaction."""
        with self._lock, database.translated(self.path):
            if self.read_only:  # writing may have been allowed meanwhile, or room been made
                self._open()
                self.read_only = False
            connection = self._connection
            assert connection is not None
            if connection.in_transaction:
                yield connection
                return
            with database.transaction(connection):
                yield connection

    def _open(self) -> None:
        database.prepare(self.path, self._busy_timeout_s)
        with database.translated(self.path):
            self._connection = database.connect(self.path, self._busy_timeout_s)

    @contextmanager
    def _to_read(self) -> Iterator[sqlite3.Connection]:
        if self._connection is not None:
            yield self._connection
            return
        # Opened for each read: a connection that takes no locks would not see what another process writes.
        with closing(database.connect_to_read(self.path, self._busy_timeout_s)) as connection:
            self._connection = connection
            try:
                yield connection
            finally:
                self._connection = None


def examine(folder: Path) -> int:
    """How many rows a library has. Reads all, changes nothing; raises LibraryDamaged where something is lost."""
    path = folder / FILE_NAME
    with database.translated(path), closing(database.connect_to_read(path, BUSY_TIMEOUT_S)) as connection:
        (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        if verdict != "ok":
            raise database.damaged(path, " ".join(verdict.split()))
        if connection.execute("PRAGMA foreign_key_check").fetchone() is not None:
            raise database.damaged(path, "a row lacks what belongs to it")
        for hash_, body in connection.execute("SELECT content_hash, body FROM contents"):
            if text_hash(body) != hash_:
                raise database.damaged(path, "the content of a row is not what was written")
        (count,) = connection.execute("SELECT count(*) FROM rows").fetchone()
    return int(count)


def _undone(row_id: str, versions: Sequence[Version], entry: int, undoes: Mapping[int | None, int]) -> Change:
    """A row back to how it was before its versions of this entry. undoes: by the entry of an undoing, what it undid."""
    first = {version.entry: place for place, version in reversed(list(enumerate(versions)))}
    present, holds = versions[-1], len(versions) - 1
    while holds >= 0 and (now := versions[holds].entry) != entry and (undid := undoes.get(now)) in first:
        holds = first[undid] - 1  # what an undoing brought back is that older version
    if holds < 0 or versions[holds].entry != entry:
        raise ChangeRefused(
            f"{present.snapshot.name!r} ({row_id}) was changed after entry {entry}: undo or revert that change first."
        )
    before = first[entry] - 1
    after = versions[before].snapshot if before >= 0 else present.snapshot.with_(state="retired")
    return Change(row_id, present.number, present.snapshot, after)
