"""The run log's SQLite file, opened rightly: the schema brought up to date, every failure as one sentence.

In: a path. Out: connections in WAL mode, and `LogError`s instead of sqlite3's and the system's own errors.
Neighbours: the run log and its writer, the only ones that speak SQL; migrations and `memory.sqlite_frame` below.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from memory import sqlite_frame
from memory.sqlite_frame import ForeignFile, NewerFile, Schema, transaction
from workbench.errors import LogDamaged, LogError, LogFull, LogLocked, LogTooNew, LogUnwritable
from workbench.migrations import MIGRATIONS
from workbench.paths import DATA_DIR_VARIABLE

__all__ = [
    "can_be_read",
    "connect",
    "connect_to_read",
    "damaged",
    "log_error",
    "prepare",
    "transaction",
    "translated",
    "unreadable",
]

# "Wbrl". Deleted runs give their space back; that must be said before the first table is made.
SCHEMA: Final = Schema(0x5762726C, MIGRATIONS, ("auto_vacuum = INCREMENTAL",))
# With WAL this survives the death of the process; only a power cut may take the last batches, never the file.
_PRAGMAS: Final = ("synchronous = NORMAL",)
_ELSEWHERE: Final = f"or set {DATA_DIR_VARIABLE} to another folder"


def connect(path: Path, busy_timeout_s: float, create: bool = False) -> sqlite3.Connection:
    """A connection that any one thread at a time may use, in autocommit mode; the file must exist unless `create`."""
    return sqlite_frame.connect(path, busy_timeout_s, create=create, pragmas=_PRAGMAS)


def connect_to_read(path: Path, busy_timeout_s: float) -> sqlite3.Connection:
    """A connection that changes nothing, also where the log's folder may not be written to."""
    return sqlite_frame.connect_to_read(path, busy_timeout_s)


def can_be_read(path: Path, busy_timeout_s: float) -> bool:
    """Whether a log that cannot be opened for writing can be read as it is."""
    with translated(path):
        try:
            connection = connect_to_read(path, busy_timeout_s)
        except (sqlite3.OperationalError, OSError):
            return False
        with closing(connection):
            return sqlite_frame.schema_version(connection, SCHEMA) == len(MIGRATIONS)


def prepare(path: Path, busy_timeout_s: float) -> None:
    """Create the file and its folder if need be, and bring the schema up to date."""
    with translated(path):
        sqlite_frame.prepare(path, SCHEMA, busy_timeout_s, _PRAGMAS)


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Errors of SQLite and of the system leave as LogErrors; bugs in our use of sqlite3 leave as they are."""
    try:
        yield
    except sqlite3.ProgrammingError:
        raise
    except ForeignFile as error:
        raise damaged(path, "it is another program's database") from error
    except NewerFile as error:
        raise LogTooNew(
            f"The run log {path} was written by a newer workbench (its schema is {error.version}, this one knows "
            f"{len(MIGRATIONS)}): update the workbench, {_ELSEWHERE}."
        ) from error
    except (sqlite3.Error, OSError) as error:
        raise log_error(error, path) from error


def log_error(error: sqlite3.Error | OSError, path: Path) -> LogError:
    """The error of our tree, with its sentence, for what went wrong with the log at `path`."""
    reason = sqlite_frame.reason_of(error)
    match sqlite_frame.failure_of(error):
        case "full":
            return LogFull(
                f"The disk of the run log {path} is full: free some space, then try again; what was saved is kept."
            )
        case "locked":
            return LogLocked(f"The run log {path} is held by another program: close that program, then try again.")
        case "unwritable":
            return LogUnwritable(
                f"The run log {path} cannot be opened for writing ({reason}): allow writing in its folder, "
                f"{_ELSEWHERE}."
            )
        case "damaged":
            return damaged(path, reason)
    return LogError(f"The run log {path} failed ({reason}): check the disk's space, limits and health, then try again.")


def unreadable(path: Path, run_id: str) -> LogDamaged:
    """One run has an event that no version wrote; the file and all other runs are whole."""
    return LogDamaged(
        f"An event of run {run_id} in the run log {path} is damaged: the other runs are not; take the file from a "
        f"backup, or remove this run with `workbench runs delete {run_id}`."
    )


def damaged(path: Path, reason: str) -> LogDamaged:
    return LogDamaged(
        f"The run log {path} is damaged or is not a run log ({reason}): move the file away and a new log is started, "
        f"{_ELSEWHERE}."
    )
