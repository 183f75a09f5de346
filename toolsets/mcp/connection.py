"""One connection to one server: the transport, opened and closed by the task that owns it.

In: a config, or a server object in this process. Out: an open `mcp.Client`, and an event that is set when the other
side has gone, which the client itself only tells to calls that are under way. Neighbours: `client` owns it. What a
command writes to its error output is kept, its last lines only, for the report of a crash.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import anyio

from toolsets.mcp.config import HttpServer, ServerConfig, StdioServer

if TYPE_CHECKING:
    from mcp import Client
    from mcp.client.session import MessageHandlerFnT

MAX_ERROR_LINES: Final = 20
MAX_LINE_CHARS: Final = 500
HTTP_TIMEOUT_S: Final = 30.0
HTTP_READ_TIMEOUT_S: Final = 300.0
_LAST_WORDS_S: Final = 0.2  # a grandchild may keep the pipe open

Target: TypeAlias = ServerConfig | Any
"""A config, or a server object of the package `mcp`."""


@asynccontextmanager
async def connect(
    target: Target, gone: anyio.Event, said: deque[str], heard: MessageHandlerFnT
) -> AsyncIterator[Client]:
    """An open client. gone: set when the other side has closed. said: gets what a command writes to its error output.
    heard: called with the notifications of the server."""
    from mcp import Client

    async with AsyncExitStack() as stack:
        server: Any = target
        if isinstance(target, StdioServer):
            server = _watched(_command(target, said), gone)
        elif isinstance(target, HttpServer):
            server = _watched(await _address(target, stack), gone)
        yield await stack.enter_async_context(Client(server, message_handler=heard, cache=None))


@asynccontextmanager
async def _command(config: StdioServer, said: deque[str]) -> AsyncIterator[Any]:
    from mcp import StdioServerParameters, stdio_client

    parameters = StdioServerParameters(
        command=config.command, args=list(config.args), env=dict(config.env), cwd=config.cwd
    )
    reading, writing = os.pipe()
    reader = threading.Thread(target=_keep_last, args=(reading, said), name=f"errors of {config.name}", daemon=True)
    reader.start()
    try:
        with os.fdopen(writing, "w") as errors:
            async with stdio_client(parameters, errlog=errors) as streams:
                yield streams
    finally:
        reader.join(_LAST_WORDS_S)


async def _address(config: HttpServer, stack: AsyncExitStack) -> AbstractAsyncContextManager[Any]:
    import httpx2
    from mcp.client.streamable_http import streamable_http_client

    timeout = httpx2.Timeout(HTTP_TIMEOUT_S, read=HTTP_READ_TIMEOUT_S)
    http = await stack.enter_async_context(httpx2.AsyncClient(headers=dict(config.headers), timeout=timeout))
    return streamable_http_client(config.url, http_client=http)


@asynccontextmanager
async def _watched(transport: AbstractAsyncContextManager[Any], gone: anyio.Event) -> AsyncIterator[Any]:
    """The same transport, whose end is seen even while nothing is asked."""
    async with transport as (incoming, outgoing):
        yield _Watched(incoming, gone), outgoing


class _Watched:
    """A stream of messages that tells when it ends."""

    def __init__(self, stream: Any, gone: anyio.Event) -> None:
        self._stream, self._gone = stream, gone

    async def receive(self) -> Any:
        try:
            return await self._stream.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
            self._gone.set()
            raise

    def __aiter__(self) -> _Watched:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self._stream.__anext__()
        except (StopAsyncIteration, anyio.ClosedResourceError, anyio.BrokenResourceError):
            self._gone.set()
            raise

    async def __aenter__(self) -> _Watched:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> Any:
        return await self._stream.__aexit__(*error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _keep_last(reading: int, said: deque[str]) -> None:
    """Read a pipe to its end in a thread of its own, so that a chatty server never waits for us."""
    with os.fdopen(reading, "rb") as lines:
        while line := lines.readline(1 << 16):
            if text := line.decode("utf-8", "replace").strip()[:MAX_LINE_CHARS]:
                said.append(text)
