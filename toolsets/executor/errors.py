"""The exceptions of the executor, leaves of the room's tree.

    ToolsetError
    ├── ExecutorError     the executor is used in a way that it cannot be
    └── TransientError    raised by a tool: nothing was done, and the same call may well work in a moment

What a *tool* or a *model* does wrong never raises out of the executor: it is the state of a `CallOutcome`.
"""

from toolsets.errors import ToolsetError


class ExecutorError(ToolsetError):
    """A call is added twice or too late, or the executor is not running."""


class TransientError(ToolsetError):
    """For tools to raise: a server is restarting, a lock is held, a limit of rate was hit. The call changed nothing,
    so the executor may try it again, a mutating one too."""
