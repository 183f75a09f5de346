"""The exceptions of the sandbox, leaves of the room's tree.

    ToolsetError
    └── SandboxError           the sandbox cannot be used like this
        └── IsolationError     this machine cannot isolate, and nobody has allowed the tool to run without it

What a *tool's code* does wrong never raises: it is a `Fault` in the `Outcome`.
"""

from toolsets.errors import NotExecutedError, ToolsetError


class SandboxError(ToolsetError):
    """The sandbox is closed, could not be started, or is asked for what this machine does not have."""


class IsolationError(SandboxError, NotExecutedError):
    """This machine cannot isolate code, and nobody has said that this tool may run all the same."""
