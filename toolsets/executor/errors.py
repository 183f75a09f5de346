"""The exceptions of the executor, leaves of the room's tree.

    ToolsetError
    ├── ExecutorError     the executor is used in a way that it cannot be
    ├── TransientError    raised by a tool: nothing was done, and the same call may well work in a moment
    └── OvertimeError     raised by a tool: the work took longer than the tool allows, and was ended

What a *tool* or a *model* does wrong never raises out of the executor: it is the state of a `CallOutcome`.
"""

from toolsets.errors import ToolsetError


class ExecutorError(ToolsetError):
    """A call is added twice or too late, or the executor is not running."""


class TransientError(ToolsetError):
    """For tools to raise: a server is restarting, a lock is held, a limit of rate was hit. The call changed nothing,
    so the executor may try it again, a mutating one too."""


class OvertimeError(ToolsetError):
    """For tools to raise that keep a time limit of their own and have ended the work at it: the call has timed out, and
    is not tried again."""
