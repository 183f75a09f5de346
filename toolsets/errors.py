"""The exceptions of the room `toolsets`.

    ToolsetError
    ├── ToolDefinitionError   a function cannot become a tool
    └── ArgumentError         the arguments of a call do not fit the tool's schema

Each message is one sentence that says what to do. What a *model* writes wrong never raises: the parser answers with a
`BrokenCall`, the runner with a failed `CallResult`.
"""


class ToolsetError(Exception):
    """Anything that this room refuses."""


class ToolDefinitionError(ToolsetError):
    """A function lacks what a tool needs: a docstring, or types that can be told to a model."""


class ArgumentError(ToolsetError):
    """An argument is missing, unknown, or of another type than the schema says."""
