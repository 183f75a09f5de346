"""Tools of MCP servers for a workbench or a command: opened with the first use, closed with their owner.

In: the path of a file of the usual `mcpServers` shape, or that shape as a value. Out: tools by name; what happens to
the servers, told on the error output. Neighbours: `toolsets.mcp` does the work; `session`, `cli` and `plan_command`
hold one of these.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolsets.tool import Tool
from workbench.errors import UsageError
from workbench.visible import one_line

if TYPE_CHECKING:
    from toolsets.mcp import McpServers, Report

Given = str | Path | Mapping[str, Any]


class McpTools:
    """Raises UsageError for a configuration that makes no sense, before anything is started."""

    def __init__(self, given: Given) -> None:
        from toolsets.mcp import McpConfigError, load_config, read_config

        try:
            self._config = (
                read_config(json.dumps(given)) if isinstance(given, Mapping) else load_config(Path(given).expanduser())
            )
        except McpConfigError as error:
            raise UsageError(str(error)) from error
        self._servers: McpServers | None = None
        self._lock = threading.Lock()

    def tools(self) -> Mapping[str, Tool]:
        """What the servers offer now. The first call starts them; UsageError where the package `mcp` is missing."""
        from toolsets.mcp import McpError, McpServers

        with self._lock:
            if self._servers is None:
                servers = McpServers(self._config, on_report=_tell)
                try:
                    servers.open()
                except McpError as error:
                    raise UsageError(str(error)) from error
                self._servers = servers
        return self._servers.tools

    def close(self) -> None:
        """End the servers."""
        with self._lock:
            if self._servers is not None:
                self._servers.close()


def _tell(report: Report) -> None:
    """What a person has to know; that a server runs and what it offers is seen elsewhere."""
    if report.kind in ("failed", "crashed", "left_out"):
        print(f"workbench: {one_line(str(report), 400)}", file=sys.stderr)
