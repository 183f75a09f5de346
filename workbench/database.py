"""One SQLite file, opened rightly: the schema brought up to date, every failure as one sentence.

In: a path. Out: connections in WAL mode, and `LogError`s instead of sqlite3's and the system's own errors.
Neighbours: the run log and its writer, the only ones that speak SQL; migrations below.
"""

import errno
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from workbench.errors import LogDamaged, LogError, LogFull, LogLocked, LogTooNew, LogUnwritable
from workbench.migrations import MIGRATIONS
from workbench.paths import DATA_DIR_VARIABLE

# Marks the file as ours ("Wbrl"), so that another program's database is refused and not filled with our tables.
APPLICATION_ID = 0x5762726C
_ELSEWHERE = f"or set {DATA_DIR_VARIABLE} to another folder"


def connect(path: Path, busy_timeout_s: float, create: bool = False) -> sqlite3.Connection:
    """A connection that any one thread at a time may use, in autocommit mode; the file must exist unless `create`."""
    # An opened file must not be created again by a reader when somebody has just removed it.
    uri = f"{path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}"
    connection = sqlite3.connect(uri, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False, uri=True)
    # With WAL this survives the death of the process; only a power cut may take the last batches, never the file.
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def prepare(path: Path, busy_timeout_s: float) -> None:
    """Create the file and its folder if need be, and bring the schema up to date."""
    with translated(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab"):  # the system says why it cannot be written, SQLite does not; an empty file is a new log
            pass
        with closing(connect(path, busy_timeout_s, create=True)) as connection:
            if _version(connection, path) < len(MIGRATIONS):
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
def translated(path: Path) -> Iterator[None]:
    """Errors of SQLite and of the system leave as LogErrors; bugs in our use of sqlite3 leave as they are."""
    try:
        yield
    except sqlite3.ProgrammingError:
        raise
    except (sqlite3.Error, OSError) as error:
        raise log_error(error, path) from error


def log_error(error: sqlite3.Error | OSError, path: Path) -> LogError:
    """The error of our tree, with its sentence, for what went wrong with the log at `path`."""
    if isinstance(error, OSError):
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return _full(path)
        return _unwritable(path, error.strerror or str(error))
    # The low byte is the kind of failure, the rest says where it happened. Absent when Python itself objected.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return _full(path)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return LogLocked(f"The run log {path} is held by another program: close that program, then try again.")
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return _unwritable(path, str(error))
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return damaged(path, str(error))
    return LogError(f"The run log {path} failed ({error}): check the disk's space, limits and health, then try again.")


def damaged(path: Path, reason: str) -> LogDamaged:
    return LogDamaged(
        f"The run log {path} is damaged or is not a run log ({reason}): move the file away and a new log is started, "
        f"{_ELSEWHERE}."
    )


def _full(path: Path) -> LogFull:
    return LogFull(f"The disk of the run log {path} is full: free some space, then try again; what was saved is kept.")


def _unwritable(path: Path, reason: str) -> LogUnwritable:
    return LogUnwritable(
        f"The run log {path} cannot be opened for writing ({reason}): allow writing in its folder, {_ELSEWHERE}."
    )


def _version(connection: sqlite3.Connection, path: Path) -> int:
    # One statement, so that all three are of one moment: another process may be migrating just now.
    version, owner, tables = connection.execute(
        "SELECT user_version, application_id, (SELECT count(*) FROM sqlite_master) "
        "FROM pragma_user_version, pragma_application_id"
    ).fetchone()
    if owner != APPLICATION_ID and (tables or version):
        raise damaged(path, "it is another program's database")
    if version > len(MIGRATIONS):
        raise LogTooNew(
            f"The run log {path} was written by a newer workbench (its schema is {version}, this one knows "
            f"{len(MIGRATIONS)}): update the workbench, {_ELSEWHERE}."
        )
    return int(version)


def _migrate(connection: sqlite3.Connection, path: Path, busy_timeout_s: float) -> None:
    # Deleted runs give their space back; must be said before the first table is made.
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    _enter_wal_mode(connection, busy_timeout_s)
    with transaction(connection):
        # Asked again under the write lock: another process may have migrated meanwhile.
        version = _version(connection, path)
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
