"""The library's SQLite file, opened rightly: schema brought up to date, every failure as one sentence.

In: a path. Out: connections in WAL mode, and `LibraryUnavailable`s instead of sqlite3's and the system's own errors.
Neighbours: store and vectors, the only ones that speak SQL; sqlite_frame and migrations below.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from memory import sqlite_frame
from memory.errors import (
    ContentRefused,
    LibraryDamaged,
    LibraryLocked,
    LibraryTooNew,
    LibraryUnavailable,
    LibraryUnwritable,
)
from memory.migrations import MIGRATIONS
from memory.sqlite_frame import ForeignFile, NewerFile, Schema, transaction

__all__ = ["connect", "connect_to_read", "damaged", "prepare", "reading", "transaction", "translated"]

SCHEMA: Final = Schema(0x57626C62, MIGRATIONS)  # "Wblb"
# What a person curated must survive a power cut too; a library is written rarely enough to pay for it.
_PRAGMAS: Final = ("synchronous = FULL", "foreign_keys = ON")


def connect(path: Path, busy_timeout_s: float, create: bool = False) -> sqlite3.Connection:
    """A connection that any one thread at a time may use, in autocommit mode; the file must exist unless `create`."""
    return sqlite_frame.connect(path, busy_timeout_s, create=create, pragmas=_PRAGMAS)


def connect_to_read(path: Path, busy_timeout_s: float) -> sqlite3.Connection:
    """A connection that changes nothing, to a library that may not be written; raises where it cannot be read so."""
    connection = sqlite_frame.connect_to_read(path, busy_timeout_s)
    try:
        version = sqlite_frame.schema_version(connection, SCHEMA)
        if version == 0:  # a file that was just begun
            raise _unwritable(path, "it has not been made yet")
        if version < len(MIGRATIONS):
            raise LibraryUnwritable(
                f"The library {path} was written by an older version, and cannot be brought up to date where it cannot "
                "be written: allow writing in its folder, or copy the library to another one."
            )
    except BaseException:
        connection.close()
        raise
    return connection


def prepare(path: Path, busy_timeout_s: float) -> None:
    """Create the file and its folder if need be, and bring the schema up to date."""
    with translated(path):
        sqlite_frame.prepare(path, SCHEMA, busy_timeout_s, _PRAGMAS)


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
    except ForeignFile as error:
        raise damaged(path, "it is another program's database") from error
    except NewerFile as error:
        raise LibraryTooNew(
            f"The library {path} was written by a newer version (its schema is {error.version}, this one knows "
            f"{len(MIGRATIONS)}): update the workbench, or open another library."
        ) from error
    except UnicodeEncodeError as error:  # half a character, in a name, a note or a tag: content is looked at before
        raise ContentRefused(f"A text cannot be written as UTF-8 ({error}): repair it.") from error
    except (sqlite3.Error, OSError) as error:
        raise _library_error(error, path) from error


def _library_error(error: sqlite3.Error | OSError, path: Path) -> LibraryUnavailable:
    reason = sqlite_frame.reason_of(error)
    match sqlite_frame.failure_of(error):
        case "full":
            return _unwritable(path, "its disk is full")
        case "locked":
            return LibraryLocked(f"The library {path} is held by another program: close that program, then try again.")
        case "unwritable":
            return _unwritable(path, reason)
        case "damaged":
            return damaged(path, reason)
    return LibraryUnavailable(f"The library {path} failed ({reason}): check the disk, then try again.")


def damaged(path: Path, reason: str) -> LibraryDamaged:
    return LibraryDamaged(
        f"The library {path} is damaged or is not a library ({reason}): move the file away and import your last export."
    )


def _unwritable(path: Path, reason: str) -> LibraryUnwritable:
    return LibraryUnwritable(
        f"The library {path} cannot be written ({reason}): make room or allow writing in its folder, or choose another "
        "folder."
    )
