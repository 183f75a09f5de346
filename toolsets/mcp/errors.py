"""The exceptions of MCP servers, leaves of the room's tree.

    ToolsetError
    └── McpError
        ├── McpConfigError        the file of servers cannot be read, or says something that makes no sense
        ├── McpToolError          a tool of a server has refused, in its own words
        └── ServerCrashedError    the server went away while it ran the call; also a ConnectionError

A call that was *not* sent, because its server is starting again, raises the executor's `TransientError`: it changed
nothing. One that was under way raises `ServerCrashedError`, which the executor tries again only where that is harmless.
"""

from toolsets.errors import ToolsetError


class McpError(ToolsetError):
    """Anything about an MCP server that is refused."""


class McpConfigError(McpError):
    """The message names the file, the line and the key."""


class McpToolError(McpError):
    """The tool ran and says that it failed; the text is the server's, and untrusted."""


class ServerCrashedError(McpError, ConnectionError):
    """The connection to the server ended during a call."""
