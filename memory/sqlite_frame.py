"""What every SQLite file of the project needs: opened rightly, migrated once, failures told apart.

In: a path, a `Schema`, an error. Out: connections in autocommit mode, transactions that happen whole or not at all, the
kind of a failure. The sentences for people belong to whoever owns the file. Neighbours: `memory.database` opens the
library with it, `workbench.database` the run log.
"""

import errno
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

Failure: TypeAlias = Literal["full", "locked", "unwritable", "damaged", "other"]


class ForeignFile(Exception):
    """The file is another program's database."""


class NewerFile(Exception):
    """A newer version wrote the file; `version` is its schema's number."""

    def __init__(self, version: int) -> None:
        super().__init__(version)
        self.version = version


@dataclass(frozen=True, slots=True)
class Schema:
    """application_id marks the file as ours, so that another program's database is refused and not filled with our
    tables. migrations: statements of each version. first: what must be said before the first table is made."""

    application_id: int
    migrations: Sequence[Sequence[str]]
    first: Sequence[str] = ()


def connect(path: Path, busy_timeout_s: float, *, create: bool, pragmas: Sequence[str]) -> sqlite3.Connection:
    """A connection that any one thread at a time may use, in autocommit mode; the file must exist unless `create`."""
    # An opened file must not be created again by a reader when somebody has just removed it.
    uri = f"{path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}"
    connection = sqlite3.connect(uri, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False, uri=True)
    for pragma in pragmas:
        connection.execute(f"PRAGMA {pragma}")
    return connection


def connect_to_read(path: Path, busy_timeout_s: float) -> sqlite3.Connection:
    """A connection that changes nothing, also where a WAL file cannot be read the usual way: in a folder that may not
    be written there is no place for the file through which readers and writers see each other."""
    uri, ways = path.absolute().as_uri(), ["mode=ro"]
    wal = path.with_name(f"{path.name}-wal")
    if not wal.exists() or not wal.stat().st_size:
        # Nobody writes now, and all that was committed is in the file itself.
        ways.append("mode=ro&immutable=1")
    while True:
        connection = sqlite3.connect(
            f"{uri}?{ways.pop(0)}", timeout=busy_timeout_s, isolation_level=None, check_same_thread=False, uri=True
        )
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            return connection
        except sqlite3.OperationalError as error:
            connection.close()
            if not ways or failure_of(error) == "locked":
                raise


def prepare(path: Path, schema: Schema, busy_timeout_s: float, pragmas: Sequence[str]) -> None:
    """Create the file and its folder if need be, and bring its schema up to date."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab"):  # the system says why it cannot be written, SQLite does not; an empty file is a new one
        pass
    with closing(connect(path, busy_timeout_s, create=True, pragmas=pragmas)) as connection:
        if schema_version(connection, schema) < len(schema.migrations):
            _migrate(connection, schema, busy_timeout_s)


def schema_version(connection: sqlite3.Connection, schema: Schema) -> int:
    """The file's schema number; raises ForeignFile and NewerFile."""
    # One statement, so that all three are of one moment: another process may be migrating just now.
    version, owner, tables = connection.execute(
        "SELECT user_version, application_id, (SELECT count(*) FROM sqlite_master) "
        "FROM pragma_user_version, pragma_application_id"
    ).fetchone()
    if owner != schema.application_id and (tables or version):
        raise ForeignFile
    if version > len(schema.migrations):
        raise NewerFile(version)
    return int(version)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Everything inside happens or nothing does; the write lock is taken at the start, so it cannot fail half way."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("COMMIT")
    finally:
        # Also after a failed COMMIT, or Ctrl-C right after BEGIN; a full disk may have rolled back by itself.
        if connection.in_transaction:
            connection.execute("ROLLBACK")


_NO_TEXT: Final = "Could not decode to UTF-8"
"""How Python's module begins when a row's text has been overwritten; the bytes stand behind it."""


def failure_of(error: sqlite3.Error | OSError) -> Failure:
    """What kind of failure it was."""
    if isinstance(error, OSError):
        return "full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "unwritable"
    # The low byte is the kind of failure, the rest says where it happened. Absent when Python itself objected.
    whole_code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    code = whole_code & 0xFF
    # SQLite has no word of its own for a full disk where it makes the file that WAL's readers and writers share.
    if code == sqlite3.SQLITE_FULL or whole_code == sqlite3.SQLITE_IOERR_SHMSIZE:
        return "full"
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return "locked"
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return "unwritable"
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT) or str(error).startswith(_NO_TEXT):
        return "damaged"
    return "other"


def reason_of(error: sqlite3.Error | OSError) -> str:
    """What the system or SQLite says; not what it has read."""
    said = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
    return "a text in it is none" if said.startswith(_NO_TEXT) else said


def _migrate(connection: sqlite3.Connection, schema: Schema, busy_timeout_s: float) -> None:
    for pragma in schema.first:
        connection.execute(f"PRAGMA {pragma}")
    _enter_wal_mode(connection, busy_timeout_s)
    with transaction(connection):
        # Asked again under the write lock: another process may have migrated meanwhile.
        version = schema_version(connection, schema)
        for statements in schema.migrations[version:]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {schema.application_id}")
        connection.execute(f"PRAGMA user_version = {len(schema.migrations)}")


def _enter_wal_mode(connection: sqlite3.Connection, busy_timeout_s: float) -> None:
    """SQLite does not wait for the lock that this change needs, so two first starts at once would collide."""
    deadline = time.monotonic() + busy_timeout_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
        time.sleep(0.01)
