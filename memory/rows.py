"""Rows, versions and uses as SQL: each function is one read or one write inside its caller's transaction.

In: a connection. Out: values. Neighbours: store, which opens the transactions and speaks to people.
"""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from memory.effects import Trial
from memory.errors import ChangeRefused, RowChanged
from memory.values import Change, Entry, Row, Snapshot, UsageCount, Use, Version, canonical_json

_ROW = (
    "SELECT row_id, version, kind, body, versions.state, tags, provenance, changed "
    "FROM rows JOIN versions USING (row_id, version) JOIN contents USING (content_hash)"
)
_VERSION = (
    "SELECT versions.version, kind, body, versions.state, tags, provenance, author, time, action, note, entry "
    "FROM versions JOIN rows USING (row_id) JOIN contents USING (content_hash)"
)


def rows_where(connection: sqlite3.Connection, condition: str, values: Sequence[Any] = ()) -> list[Row]:
    found = connection.execute(f"{_ROW} WHERE {condition}", values)
    return [Row(row_id, version, _snapshot(kind, *rest), changed) for row_id, version, kind, *rest, changed in found]


def versions_of(connection: sqlite3.Connection, row_id: str) -> list[Version]:
    found = connection.execute(f"{_VERSION} WHERE row_id = ? ORDER BY versions.version", (row_id,))
    return [Version(number, _snapshot(*values[:5]), *values[5:]) for number, *values in found]


def counter(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT value FROM counter").fetchone()[0])


def new_entry(connection: sqlite3.Connection, action: str, author: str, time: float, note: str) -> int:
    cursor = connection.execute(
        "INSERT INTO entries (action, author, time, note) VALUES (?, ?, ?, ?)", (action, author, time, note)
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def write_changes(
    connection: sqlite3.Connection, changes: Sequence[Change], stamp: tuple[str, float, str, str, int]
) -> None:
    """Carry changes out under the caller's write lock; after RowChanged or ChangeRefused the caller rolls back."""
    # First the rows that leave a name, then those that take one.
    for change in sorted(changes, key=lambda change: change.after.state == "active"):
        number = _claim(connection, change)
        write_version(connection, change.row_id, Version(number, change.after, *stamp))


def write_version(connection: sqlite3.Connection, row_id: str, version: Version) -> None:
    """Add a version and make it the row's present one; the row is made with its first."""
    snapshot = version.snapshot
    connection.execute("UPDATE counter SET value = value + 1")
    connection.execute(
        "INSERT OR IGNORE INTO contents VALUES (?, ?)", (snapshot.content_hash, canonical_json(snapshot.content))
    )
    changed = counter(connection)
    try:
        connection.execute(
            "INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (row_id) DO UPDATE SET "
            "name = excluded.name, state = excluded.state, version = excluded.version, changed = excluded.changed",
            (row_id, snapshot.kind, snapshot.name, snapshot.state, version.number, changed),
        )
    except sqlite3.IntegrityError as error:
        raise _name_taken(connection, row_id, snapshot) from error
    connection.execute(
        "INSERT INTO versions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            row_id, version.number, snapshot.content_hash, snapshot.state, canonical_json(list(snapshot.tags)),
            canonical_json(snapshot.provenance), version.author, version.time, version.action, version.note,
            version.entry,
        ),
    )  # fmt: skip


def entries(connection: sqlite3.Connection, condition: str = "1", values: Sequence[Any] = ()) -> list[Entry]:
    """Journal entries, newest first."""
    found = connection.execute(
        "SELECT entry, action, author, time, note, undone_by, "
        "(SELECT json_group_array(DISTINCT row_id) FROM versions WHERE versions.entry = entries.entry) "
        f"FROM entries WHERE {condition} ORDER BY entry DESC",
        values,
    )
    return [
        Entry(number, action, author, time, note, tuple(json.loads(row_ids)), undone_by)
        for number, action, author, time, note, undone_by, row_ids in found
    ]


def uses_where(connection: sqlite3.Connection, condition: str, values: Sequence[Any]) -> list[Use]:
    found = connection.execute(
        "SELECT run_id, row_id, content_hash, time, used, solved, why FROM uses "
        f"WHERE {condition} ORDER BY time, run_id, row_id",
        values,
    )
    return [
        Use(run_id, row_id, hash_, time, bool(used), None if solved is None else bool(solved), json.loads(why))
        for run_id, row_id, hash_, time, used, solved, why in found
    ]


def count_uses(uses: Iterable[Use]) -> list[UsageCount]:
    """The uses of one row, counted for each of its contents, the latest content last."""
    by_content: dict[str, list[Use]] = {}
    for use in uses:
        by_content.setdefault(use.content_hash, []).append(use)
    return [
        UsageCount(
            content_hash=hash_,
            retrieved=len(group),
            used=sum(use.used for use in group),
            solved_when_used=sum(use.used and use.solved is True for use in group),
            unsolved_when_used=sum(use.used and use.solved is False for use in group),
        )
        for hash_, group in by_content.items()
    ]


def write_trials(connection: sqlite3.Connection, trials: Iterable[Trial], *, replace: bool = True) -> None:
    connection.executemany(
        f"INSERT OR {'REPLACE' if replace else 'IGNORE'} INTO trials VALUES (?, ?, ?, ?, ?, ?)",
        [(one.row_id, one.content_hash, one.case_id, one.time, one.score_with, one.score_without) for one in trials],
    )


def trials_of(connection: sqlite3.Connection, row_id: str) -> list[Trial]:
    found = connection.execute(
        "SELECT row_id, content_hash, case_id, time, score_with, score_without FROM trials WHERE row_id = ? "
        "ORDER BY time, content_hash, case_id",
        (row_id,),
    )
    return [Trial(*values) for values in found]


def delete_rows(connection: sqlite3.Connection, row_ids: Sequence[str]) -> None:
    """Remove rows with everything that only they had."""
    connection.execute("UPDATE counter SET value = value + 1")
    for row_id in row_ids:
        connection.execute("DELETE FROM uses WHERE row_id = ?", (row_id,))
        connection.execute("DELETE FROM trials WHERE row_id = ?", (row_id,))
        connection.execute("DELETE FROM not_duplicates WHERE first_id = ? OR second_id = ?", (row_id, row_id))
        connection.execute("DELETE FROM versions WHERE row_id = ?", (row_id,))
        connection.execute("DELETE FROM rows WHERE row_id = ?", (row_id,))
    connection.execute("DELETE FROM contents WHERE content_hash NOT IN (SELECT content_hash FROM versions)")


def _claim(connection: sqlite3.Connection, change: Change) -> int:
    """The number of the change's version, once it is sure that the row is as it was read."""
    found = connection.execute("SELECT version FROM rows WHERE row_id = ?", (change.row_id,)).fetchone()
    present = found[0] if found else 0
    if present != change.expected_version:
        if not present:
            raise RowChanged(f"The row {change.row_id} is gone: somebody purged it since you read it.")
        raise RowChanged(
            f"{change.after.kind.capitalize()} {change.after.name!r} ({change.row_id}) is at version {present}, not at "
            f"{change.expected_version} from which this change was made: read it again, then change that."
        )
    return change.expected_version + 1


def _name_taken(connection: sqlite3.Connection, row_id: str, snapshot: Snapshot) -> ChangeRefused:
    (other,) = connection.execute(
        "SELECT row_id FROM rows WHERE kind = ? AND name = ? AND state = 'active' AND row_id != ?",
        (snapshot.kind, snapshot.name, row_id),
    ).fetchone()
    return ChangeRefused(
        f"Another {snapshot.kind} named {snapshot.name!r} is active already ({other}): retire it, merge the two, or "
        f"rename {row_id} first."
    )


def _snapshot(kind: Any, body: str, state: Any, tags: str, provenance: str) -> Snapshot:
    return Snapshot(kind, json.loads(body), state, tuple(json.loads(tags)), json.loads(provenance))
