"""The library's SQLite file, opened rightly: schema brought up to date, every failure as one sentence.

In: a path. Out: connections in WAL mode, and `LibraryUnavailable`s instead of sqlite3's and the system's own errors.
Neighbours: store and vectors, the only ones that speak SQL; migrations below.
"""

import errno
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from memory.errors import LibraryDamaged, LibraryLocked, LibraryTooNew, LibraryUnavailable, LibraryUnwritable
from memory.migrations import MIGRATIONS

# Marks the file as ours ("Wblb"), so that another program's database is refused and not filled with our tables.
APPLICATION_ID = 0x57626C62


def connect(path: Path, busy_timeout_s: float, create: bool = False) -> sqlite3.Connection:
    """A connection that any one thread at a time may use, in autocommit mode; the file must exist unless `create`."""
    uri = f"{path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}"
    connection = sqlite3.connect(uri, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False, uri=True)
    # What a person curated must survive a power cut too; a library is written rarely enough to pay for it.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def prepare(path: Path, busy_timeout_s: float) -> None:
    """Create the file and its folder if need be, and bring the schema up to date."""
    with translated(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab"):  # the system says why it cannot be written, SQLite does not; an empty file is a new one
            pass
        with closing(connect(path, busy_timeout_s, create=True)) as connection:
            if schema_version(connection, path) < len(MIGRATIONS):
                _migrate(connection, path, busy_timeout_s)


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


@contextmanager
def reading(connection: sqlite3.Connection) -> Iterator[None]:
    """All reads inside see the library of one moment, whatever others write meanwhile."""
    if connection.in_transaction:
        yield
        return
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Errors of SQLite and of the system leave as errors of our tree; bugs in our use of sqlite3 leave as they are."""
    try:
        yield
    except sqlite3.ProgrammingError:
        raise
    except (sqlite3.Error, OSError) as error:
        raise _library_error(error, path) from error


def schema_version(connection: sqlite3.Connection, path: Path) -> int:
    """The file's schema number; refuses another program's file and one from the future."""
    # One statement, so that all three are of one moment: another process may be migrating just now.
    version, owner, tables = connection.execute(
        "SELECT user_version, application_id, (SELECT count(*) FROM sqlite_master) "
        "FROM pragma_user_version, pragma_application_id"
    ).fetchone()
    if owner != APPLICATION_ID and (tables or version):
        raise _damaged(path, "it is another program's database")
    if version > len(MIGRATIONS):
        raise LibraryTooNew(
            f"The library {path} was written by a newer version (its schema is {version}, this one knows "
            f"{len(MIGRATIONS)}): update the workbench, or open another library."
        )
    return int(version)


def _library_error(error: sqlite3.Error | OSError, path: Path) -> LibraryUnavailable:
    if isinstance(error, OSError):
        reason = "its disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror or str(error)
        return _unwritable(path, reason)
    # The low byte is the kind of failure, the rest says where it happened. Absent when Python itself objected.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return _unwritable(path, "its disk is full")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return LibraryLocked(f"The library {path} is held by another program: close that program, then try again.")
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return _unwritable(path, str(error))
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return _damaged(path, str(error))
    return LibraryUnavailable(f"The library {path} failed ({error}): check the disk, then try again.")


def _damaged(path: Path, reason: str) -> LibraryDamaged:
    return LibraryDamaged(
        f"The library {path} is damaged or is not a library ({reason}): move the file away and import your last export."
    )


def _unwritable(path: Path, reason: str) -> LibraryUnwritable:
    return LibraryUnwritable(
        f"The library {path} cannot be written ({reason}): make room or allow writing in its folder, or choose another "
        "folder."
    )


def _migrate(connection: sqlite3.Connection, path: Path, busy_timeout_s: float) -> None:
    _enter_wal_mode(connection, busy_timeout_s)
    with transaction(connection):
        # Asked again under the write lock: another process may have migrated meanwhile.
        version = schema_version(connection, path)
        for statements in MIGRATIONS[version:]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


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
