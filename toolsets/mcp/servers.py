"""The servers of one configuration, in a thread of their own, with one live mapping of tools.

In: configs by name, servers in this process by name. Out: `tools`, from the name that a model uses to the `Tool`,
which any event loop may call; reports. Neighbours: `client` keeps each server, `bridge` brings calls into this thread,
`convert` makes the tools. A program without an event loop uses it as a plain context manager.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import anyio
import anyio.to_thread

from toolsets.executor.reports import report_progress, reports
from toolsets.executor.threads import loop_caller
from toolsets.mcp.bridge import Bridge
from toolsets.mcp.client import START_S, ServerClient
from toolsets.mcp.config import HttpServer, ServerConfig, StdioServer
from toolsets.mcp.convert import convert_result, convert_tool, is_wrapped, tool_name
from toolsets.mcp.errors import McpError
from toolsets.mcp.reports import Report
from toolsets.tool import Tool

if TYPE_CHECKING:
    from mcp_types import Tool as McpTool

CLOSE_S: Final = 15.0
"""A command gets 2 s to end by itself, 2 s after SIGTERM and 2 s after SIGKILL."""
MAX_REPORTS: Final = 200


class McpServers:
    """servers: configs by name, as `load_config` gives them. in_process: server objects of the package `mcp` by name.
    markers: what is neutralised in descriptions beside calls. on_report: told in the servers' thread what happens.

    Entering waits until each server has started or failed to; one that failed is tried again, and the others are
    there. Raises McpError where the package `mcp` is missing.
    """

    def __init__(
        self,
        servers: Mapping[str, ServerConfig] | None = None,
        *,
        in_process: Mapping[str, Any] | None = None,
        markers: Collection[str] = (),
        on_report: Callable[[Report], object] | None = None,
    ) -> None:
        self._targets: dict[str, Any] = {**(servers or {}), **(in_process or {})}
        self._markers, self._on_report = tuple(markers), on_report
        self._offered: dict[str, Tool] = {}
        self._reports: list[Report] = []
        self._clients: dict[str, ServerClient] = {}
        self._bridge: Bridge | None = None
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self.tools: Mapping[str, Tool] = _Live(self)
        """What the servers offer now; changes when they change."""

    @property
    def reports(self) -> tuple[Report, ...]:
        """The newest of what has happened to the servers."""
        return tuple(self._reports)

    @property
    def failed(self) -> Mapping[str, str]:
        """The servers that do not run now, each with the reason."""
        return {name: client.down for name, client in list(self._clients.items()) if client.down is not None}

    def open(self) -> None:
        """Start the servers' thread and wait for the first start of each."""
        try:
            import mcp  # noqa: F401 - said here, in one sentence, rather than in each server's report
        except ImportError as error:
            raise McpError("Tools of MCP servers need the package mcp: install agent-workbench[mcp].") from error
        if self._thread is not None:
            raise McpError("These MCP servers are open already: make others.")
        tried = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(tried,), name="MCP servers", daemon=True)
        self._thread.start()
        tried.wait(START_S + CLOSE_S)
        if self._error is not None:
            raise McpError(f"The MCP servers could not be opened: {self._error}") from self._error

    def close(self, timeout_s: float = CLOSE_S) -> bool:
        """End every server. Returns within the time given, False where one does not let go."""
        if self._thread is None:
            return True
        if self._bridge is not None:
            self._bridge.close()
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself
                self._call_soon(lambda: self._scope.cancel())
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --------------------------------------------------------------------------------------------- the servers' thread

    def _run(self, tried: threading.Event) -> None:
        try:
            anyio.run(self._main, tried)
        except BaseException as error:
            self._error = error
        finally:
            self._offered = {}
            tried.set()

    async def _main(self, tried: threading.Event) -> None:
        with anyio.CancelScope() as self._scope:
            async with anyio.create_task_group() as calls, anyio.create_task_group() as owners:
                self._call_soon, self._bridge = loop_caller(), Bridge(calls)
                # The client needs it for the first result, and it takes a second to import.
                owners.start_soon(partial(anyio.to_thread.run_sync, _import_validator, abandon_on_cancel=True))
                for name, target in self._targets.items():
                    client = ServerClient(name, target, on_tools=self._gather, report=self._heard)
                    self._clients[name] = client
                    owners.start_soon(client.run)
                for client in self._clients.values():
                    await client.tried.wait()
                tried.set()
                await anyio.sleep_forever()

    def _heard(self, report: Report) -> None:
        self._reports = [*self._reports[1 - MAX_REPORTS :], report]
        if self._on_report is not None:
            with contextlib.suppress(Exception):  # whoever listens must not cost the servers their connection
                self._on_report(report)

    def _gather(self, changed: ServerClient) -> None:
        """The tools of all servers, under names that are each one's own."""
        offered: dict[str, Tool] = {}
        for client in self._clients.values():
            for found in client.tools:
                name = tool_name(client.name, found.name, offered)
                try:
                    offered[name] = self._tool(client, found, name)
                except Exception as reason:  # NotOffered, and whatever a server's nonsense makes; the others are there
                    if client is changed:
                        self._heard(Report(client.name, "left_out", f"{found.name[:80]} is left out: {reason}"))
        self._offered = offered

    def _tool(self, client: ServerClient, found: McpTool, name: str) -> Tool:
        target = self._targets[client.name]
        configured = isinstance(target, StdioServer | HttpServer)
        return convert_tool(
            found,
            name,
            client.name,
            _function(self, client, found.name, is_wrapped(found)),
            always_allow=target.always_allow if configured else (),
            server_cap=target.max_concurrent if configured else None,
            markers=self._markers,
        )


def _function(servers: McpServers, client: ServerClient, tool: str, wrapped: bool) -> Callable[..., Awaitable[Any]]:
    """What runs a call, in whatever event loop it is awaited."""

    async def call(**arguments: Any) -> Any:
        own = reports.get()

        def progress(done: float, total: float | None, message: str) -> None:
            token = reports.set(own)  # we are in the servers' thread, the reports are the caller's
            try:
                report_progress(done, total, message)
            finally:
                reports.reset(token)

        async def work() -> Any:
            return await client.call(tool, arguments, progress)

        assert servers._bridge is not None
        return convert_result(await servers._bridge.run(work), wrapped)

    call.__name__ = call.__qualname__ = tool
    return call


def _import_validator() -> None:
    with contextlib.suppress(ImportError):
        import jsonschema  # noqa: F401


class _Live(Mapping[str, Tool]):
    """The tools as they are at the moment of asking."""

    def __init__(self, servers: McpServers) -> None:
        self._servers = servers

    def __getitem__(self, name: str) -> Tool:
        return self._servers._offered[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._servers._offered)

    def __len__(self) -> int:
        return len(self._servers._offered)
