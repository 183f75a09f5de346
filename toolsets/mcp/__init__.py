"""Tools of MCP servers: over stdio, streamable HTTP, or in this process.

In: a file with the `mcpServers` shape that other clients use (`config`), or servers in this process. Out: ordinary
`Tool`s, run by whatever event loop calls them; reports of servers that start, crash and come back. A call's way: the
tool's function -> `bridge` (into the servers' own thread) -> `client` (one owner task for each server) -> `connection`
(the transport). Neighbours: `executor` obeys what `convert` reads off a tool's annotations. Needs the package `mcp`.

    with McpServers(load_config("mcp.json")) as servers:
        Executor(STANDARD | servers.tools, ...)
"""

from toolsets.mcp.config import HttpServer, ServerConfig, StdioServer, load_config, read_config
from toolsets.mcp.errors import McpConfigError, McpError, McpToolError, ServerCrashedError
from toolsets.mcp.reports import Report
from toolsets.mcp.servers import McpServers

__all__ = [
    "HttpServer",
    "McpConfigError",
    "McpError",
    "McpServers",
    "McpToolError",
    "Report",
    "ServerConfig",
    "ServerCrashedError",
    "StdioServer",
    "load_config",
    "read_config",
]
