"""Every error that a person may see, as one tree.

In: what went wrong. Out: one sentence that says what to do; the command line prints it and exits with `exit_code`.
Neighbours: raised by every file of this room, printed by the command line and by the notebook face.

    WorkbenchError              1
    ├── UsageError              2   the request itself cannot be served
    │   └── RunNotFound             no run, or no single run, has that id
    ├── LogError                1   the run log cannot be read or written; what was committed is kept
    │   ├── LogFull                 no space left on the disk
    │   ├── LogLocked               another program holds the log
    │   ├── LogUnwritable           the folder or the file may not be opened or written
    │   ├── LogTooNew               written by a newer workbench
    │   ├── LogDamaged              not a run log, or a broken one
    │   └── LogTimeout              nothing new arrived in the time that was given
    ├── ReplayError             1   the events of a run do not say exactly what happened in it
    ├── EngineError             1   the engine's process does not run, does not start, or does not answer
    └── ModelError              1   the model cannot be found, loaded or shared
"""

from typing import ClassVar


class WorkbenchError(Exception):
    """The root of the tree; its text is one sentence for a person."""

    exit_code: ClassVar[int] = 1


class UsageError(WorkbenchError):
    """The request itself is wrong: an option, a task, an id."""

    exit_code: ClassVar[int] = 2


class RunNotFound(UsageError):
    """No run, or more than one, answers to the id that was given."""


class LogError(WorkbenchError):
    """The run log cannot be read or written."""


class LogFull(LogError):
    """The disk, or the quota, that the run log lives on is used up."""


class LogLocked(LogError):
    """Another program holds the run log for longer than we are willing to wait."""


class LogUnwritable(LogError):
    """The run log, or its folder, may not be opened, created or written."""


class LogTooNew(LogError):
    """The run log has a schema that only a newer workbench knows."""


class LogDamaged(LogError):
    """The file is not a run log, or its content is broken."""


class LogTimeout(LogError):
    """A run that is being followed said nothing for the time that was given."""


class ReplayError(WorkbenchError):
    """A run cannot be replayed: its events do not say exactly what every worker saw, or cannot be followed here."""


class EngineError(WorkbenchError):
    """The engine's process does not run, does not start, or does not answer."""


class ModelError(WorkbenchError):
    """The model cannot be found, loaded, or shared between workers."""
