"""The exceptions of the room `toolsets`.

    ToolsetError
    ├── ToolDefinitionError   a function cannot become a tool
    ├── ArgumentError         the arguments of a call do not fit the tool's schema
    ├── AnswerError           an answer cannot be asked for so, or is not what was asked for
    ├── PolicyError           a policy says what no call can be run by
    ├── PlanError             a plan cannot be written in the grammar that was asked for
    ├── ResultPathError       a reference names a part that the result does not have
    └── NotExecutedError      raised by a tool: it has done nothing, and will not

Further leaves stand with what raises them: `chat`, `composites`, `executor.errors`, `making`, `mcp.errors`, `results`,
`sandbox.errors`, `shelf`.

Each message is one sentence that says what to do. What a *model* writes wrong never raises: the parser answers with a
`BrokenCall`, the runner with a failed `CallResult`.
"""


class ToolsetError(Exception):
    """Anything that this room refuses."""


class ToolDefinitionError(ToolsetError):
    """A function lacks what a tool needs: a docstring, or types that can be told to a model."""


class ArgumentError(ToolsetError):
    """An argument is missing, unknown, or of another type than the schema says."""


class AnswerError(ToolsetError):
    """A form that no answer can have, or an answer that does not have its form."""


class PolicyError(ToolsetError):
    """A limit that is none, such as a negative number of retries."""


class PlanError(ToolsetError):
    """A plan says something that a grammar has no words for."""


class ResultPathError(ToolsetError):
    """A reference names a field or an index that the result does not have."""


class NotExecutedError(ToolsetError):
    """For tools to raise: something stands in the way, nothing was done, and the same call will not do better. The
    call then counts as not executed, not as failed."""
