"""One server: connected by its one owner task, listed, called, and started again when it goes away.

In: a config or a server in this process. Out: the tools that it has now; results of calls, in parallel on one
session; reports. Everything here happens in the servers' own event loop. Neighbours: `connection` is the transport,
`servers` makes one client for each server and gathers the tools, `convert` reads them.

Only `run`, in the task that entered it, opens and closes a connection: a cancel scope must be left by the task that
entered it. Calls, listings and listening are tasks of their own that use the open session.
"""

from __future__ import annotations

import contextlib
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import anyio

from toolsets.executor.errors import TransientError
from toolsets.mcp.config import HttpServer
from toolsets.mcp.connection import MAX_ERROR_LINES, Target, connect
from toolsets.mcp.errors import McpError, ServerCrashedError
from toolsets.mcp.reports import Kind, Report

if TYPE_CHECKING:
    from mcp import Client
    from mcp_types import CallToolResult
    from mcp_types import Tool as McpTool

MAX_PAGES: Final = 200
MAX_TOOLS: Final = 2_000
START_S: Final = 60.0
"""How long a server may take to start and to list its tools."""
WAIT_S: Final = 20.0
"""How long a call waits for a server that is being started again."""
FIRST_BACKOFF_S: Final = 0.1
MAX_BACKOFF_S: Final = 30.0
STEADY_S: Final = 10.0
"""A connection that held this long starts a new count of failures."""

_NO_SESSION: Final = re.compile(
    r"(bad request: )?(no valid |invalid |unknown )?session( id)?( terminated| expired| not found| provided)?\.?", re.I
)
"""What servers say of a session that they do not know. A tool may speak of sessions of its own, in other words."""

OnProgress = Callable[[float, float | None, str], object]


@dataclass(slots=True, eq=False)
class _Open:
    """An open connection. changed: the list of tools is not what it was."""

    client: Client
    gone: anyio.Event
    changed: anyio.Event = field(default_factory=anyio.Event)


class ServerClient:
    """on_tools: called with the tools, whenever they have been listed. report: called with what happens."""

    def __init__(
        self,
        name: str,
        target: Target,
        *,
        on_tools: Callable[[ServerClient], object],
        report: Callable[[Report], object],
    ) -> None:
        self.name, self._target = name, target
        self.tools: tuple[McpTool, ...] = ()
        self.tried = anyio.Event()
        """Set once the first start has succeeded or failed."""
        self._on_tools, self._tell = on_tools, report
        self._open: _Open | None = None
        self._moved = anyio.Event()
        """Set, and replaced, whenever a start has succeeded or failed."""
        self.down: str | None = None
        """Why it does not run, once a start has failed."""
        self._said: deque[str] = deque(maxlen=MAX_ERROR_LINES)
        self._ran = self._ever_up = False

    async def run(self) -> None:
        """Keep a connection, until cancelled. The one owner of it."""
        failures = 0
        while True:
            began_s = anyio.current_time()
            self._ran = False
            reason = await self._hold()
            if self._ran:
                failures = 1 if anyio.current_time() - began_s >= STEADY_S else failures + 1
                self._report("crashed", f"it went away ({reason}) and is started again")
            else:
                failures += 1
                self.down = reason
                self._report("failed", f"it did not start: {reason}")
                self._move()
            if failures > 1:
                await anyio.sleep(min(FIRST_BACKOFF_S * 2.0 ** min(failures, 20), MAX_BACKOFF_S))

    async def call(self, tool: str, arguments: Mapping[str, Any], progress: OnProgress) -> CallToolResult:
        """Call one of its tools. Raises TransientError where it was not called, ServerCrashedError where the server
        went away meanwhile, McpError for what the protocol refuses."""
        open_ = await self._connected()
        error = await _called(open_, tool, arguments, progress)
        if not isinstance(error, Exception):
            return error
        if self._is_lost(error):
            open_.gone.set()
            raise ServerCrashedError(
                f"The MCP server {self.name} went away during the call, which may or may not have been done: try again."
            ) from error
        raise McpError(f"{error}" or f"The MCP server {self.name} refused the call.") from error

    # ------------------------------------------------------------------------------------------------- the owner's own

    async def _hold(self) -> str:
        """Open a connection and keep it until the other side goes; returns why it went, or why there was none."""
        gone = anyio.Event()
        self._said.clear()
        try:
            async with self._connection(gone) as open_:
                self._report("restarted" if self._ever_up else "started", f"it runs, with {len(self.tools)} tools")
                self._open, self.down, self._ran, self._ever_up = open_, None, True, True
                self._move()
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._list_again, open_)
                    tasks.start_soon(self._listen, open_)
                    await gone.wait()
                    tasks.cancel_scope.cancel()
            return self._reason("the connection was closed")
        except TimeoutError:
            return self._reason(f"no answer within {START_S:g} s")
        except Exception as error:
            return self._reason(_sentence(error))
        finally:
            self._open = None

    @asynccontextmanager
    async def _connection(self, gone: anyio.Event) -> AsyncIterator[_Open]:
        """A connection whose tools have been listed."""
        found: list[_Open] = []

        async def heard(message: Any) -> None:
            if found and getattr(message, "method", "") == "notifications/tools/list_changed":
                found[0].changed.set()

        with anyio.fail_after(START_S) as limit:
            async with connect(self._target, gone, self._said, heard) as client:
                found.append(_Open(client, gone))
                await self._list(client)
                limit.deadline = float("inf")
                yield found[0]

    async def _list(self, client: Client) -> None:
        """All pages of its tools."""
        tools: list[McpTool] = []
        cursor: str | None = None
        seen: set[str] = set()
        for _ in range(MAX_PAGES):
            page = await client.list_tools(cursor=cursor)
            tools += page.tools
            cursor = page.next_cursor
            if cursor is None or cursor in seen or len(tools) > MAX_TOOLS:
                break
            seen.add(cursor)
        self.tools = tuple(tools[:MAX_TOOLS])
        self._on_tools(self)

    async def _list_again(self, open_: _Open) -> None:
        """List whenever the server says that its tools have changed."""
        while True:
            await open_.changed.wait()
            open_.changed = anyio.Event()
            try:
                await self._list(open_.client)
            except Exception as error:
                if self._is_lost(error):
                    open_.gone.set()
                continue
            self._report("listed", f"its tools have changed, there are {len(self.tools)}")

    async def _listen(self, open_: _Open) -> None:
        """Newer servers tell changes to those who listen only; older ones tell everybody."""
        from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost

        capabilities = open_.client.server_capabilities.tools
        if capabilities is None or not capabilities.list_changed:
            return
        with contextlib.suppress(ListenNotSupportedError):
            while True:
                try:
                    async with open_.client.listen(tools_list_changed=True) as changes:
                        async for _ in changes:
                            open_.changed.set()
                    return
                except SubscriptionLost:
                    open_.changed.set()  # what changed meanwhile was not told
                    await anyio.sleep(FIRST_BACKOFF_S)
                except ListenNotSupportedError:
                    raise
                except Exception:
                    return  # it cannot be listened to; its tools are as they were listed

    # ----------------------------------------------------------------------------------------------------------- parts

    async def _connected(self) -> _Open:
        with anyio.move_on_after(WAIT_S):
            while True:
                # One that has gone stays here until its owner has closed it.
                if (open_ := self._open) is not None and not open_.gone.is_set():
                    return open_
                if self.down is not None:
                    raise TransientError(f"The MCP server {self.name} does not run ({self.down}): it is tried again.")
                await self._moved.wait()
        raise TransientError(f"The MCP server {self.name} is being started again: try again in a moment.")

    def _is_lost(self, error: BaseException) -> bool:
        """Whether an error means that the connection is of no use any more."""
        # An HTTP server that was started again knows nothing of the session.
        return _has_broken(error, sessions=isinstance(self._target, HttpServer))

    def _move(self) -> None:
        self._moved.set()
        self._moved = anyio.Event()
        self.tried.set()

    def _reason(self, what: str) -> str:
        """What went wrong, with the last line of what the server itself said."""
        return f"{what}; its last words: {self._said[-1]}" if self._said else what

    def _report(self, kind: Kind, text: str) -> None:
        self._tell(Report(self.name, kind, text))


async def _called(
    open_: _Open, tool: str, arguments: Mapping[str, Any], on_progress: OnProgress
) -> CallToolResult | Exception:
    """The result or the error. Given up when the other side goes, whatever the client waits for then."""
    box: list[CallToolResult | Exception] = []

    async def told(progress: float, total: float | None, message: str | None) -> None:
        on_progress(progress, total, message or "")

    async def give_up() -> None:
        await open_.gone.wait()
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(give_up)
        try:
            box.append(await open_.client.call_tool(tool, dict(arguments), progress_callback=told))
        except Exception as error:
            box.append(error)
        tasks.cancel_scope.cancel()
    return box[0] if box else ConnectionError("the connection was closed")


def _has_broken(error: BaseException, *, sessions: bool) -> bool:
    """sessions: the connection is a session, which the other side may have forgotten."""
    from mcp import MCPError
    from mcp_types import CONNECTION_CLOSED

    if isinstance(error, BaseExceptionGroup):
        return any(_has_broken(one, sessions=sessions) for one in error.exceptions)
    if isinstance(error, MCPError):
        return error.code == CONNECTION_CLOSED or (
            sessions and _NO_SESSION.fullmatch(error.message.strip()) is not None
        )
    if isinstance(error, OSError | anyio.ClosedResourceError | anyio.BrokenResourceError | anyio.EndOfStream):
        return True
    import httpx2

    return isinstance(error, httpx2.TransportError)


def _sentence(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, FileNotFoundError):
        return f"there is no program {error.filename!r}" if error.filename else "its program was not found"
    text = " ".join(str(error).split())[:300]
    return text or type(error).__name__
