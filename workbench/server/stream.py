"""A run's events over a WebSocket: a greeting, frames of events as they are committed, and a farewell.

In: a run's id and the number of the last event that the client has. Out: text frames as docs/protocol.md names them, at
most 30 a second, each event once and in order. The log is the only source, so it does not matter which process writes
it, or whether this server was there when the run began. Neighbours: `routes` mounts it, `workbench.tail` reads.
"""

# mypy: disable-error-code="misc, no-untyped-call, untyped-decorator"
from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

from jupyter_core.utils import ensure_async
from jupyter_server.auth.utils import warn_disabled_authorization
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado.web import HTTPError
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from workbench.errors import RunNotFound, WorkbenchError
from workbench.server.desk import Desk, explained
from workbench.tail import Page, Tail

FRAME_S = 1 / 30
LOOK_S = 0.01
"""How often a waiting stream looks whether anything was committed: a read of a number in shared memory."""

ALIVE_S = 0.5
"""How often a silent run is asked whether its process is still there."""

FRAME_EVENTS = 5000


class EventsSocket(WebSocketMixin, JupyterHandler, WebSocketHandler):
    """runs/{id}/events?since=SEQ"""

    auth_resource = "workbench"
    _streaming: asyncio.Task[None] | None = None

    @property
    def desk(self) -> Desk:
        desk: Desk = self.settings["workbench_desk"]
        return desk

    async def get(self, run_id: str) -> None:
        user = self.current_user
        if not user:
            raise HTTPError(403)
        if self.authorizer is None:
            warn_disabled_authorization()
        elif not await ensure_async(self.authorizer.is_authorized(self, user, "read", self.auth_resource)):
            raise HTTPError(403)
        since = self.get_query_argument("since", "0")
        if not (since.isascii() and since.isdigit() and len(since) < 16):
            raise HTTPError(400, "since must be the number of the last event that is known")
        try:
            self._tail = await self.desk.reading(lambda: self.desk.log.tail(run_id, int(since)))
        except RunNotFound as error:
            raise HTTPError(404, str(error)) from error
        except WorkbenchError as error:
            raise HTTPError(explained(error)[0], str(error)) from error
        try:
            await super().get(run_id)
        except BaseException:
            self._tail.close()
            raise
        if self._streaming is None:  # no WebSocket came of it
            self._tail.close()

    def open(self, *args: Any, **kwargs: Any) -> None:
        super().open(*args, **kwargs)
        self._streaming = asyncio.create_task(self._serve(self._tail))

    def on_message(self, message: str | bytes) -> None:
        """Clients have nothing to say here: commands go through REST."""

    def on_close(self) -> None:
        if self._streaming is not None:
            self._streaming.cancel()
        with contextlib.suppress(AttributeError):
            super().on_close()

    async def _serve(self, tail: Tail) -> None:
        try:
            steered = await self.desk.reading(self.desk.steers, tail.run_id)
            await stream(tail, self._send, steered)
            self.close(1000)
        except WebSocketClosedError:
            pass
        except WorkbenchError as error:
            with contextlib.suppress(WebSocketClosedError):
                _, code = explained(error)
                await self._send(json.dumps({"frame": "error", "message": str(error), "code": code}))
                self.close(1011)
        finally:
            tail.close()

    async def _send(self, frame: str) -> None:
        await self.write_message(frame)  # waits until a slow client has taken it


async def stream(tail: Tail, send: Callable[[str], Awaitable[None]], steered: bool = True) -> None:
    """Send everything above the tail's number until the run has ended; raises WorkbenchError. steered: whether commands
    to the run reach it through this server."""
    loop = asyncio.get_running_loop()
    since = tail.last_seq
    page = await asyncio.to_thread(tail.read, FRAME_EVENTS)
    hello = {"frame": "hello", "run_id": tail.run_id, "since": since, "last_seq": page.last_seq, "live": page.live}
    await send(json.dumps(hello | {"status": page.status, "steered": steered, "snapshot": None}))
    while True:
        sent_at = loop.time()
        if page.events:
            await send(events_frame(page))
        elif not page.live:
            broken = page.status == "interrupted"
            if broken:
                await send(json.dumps({"frame": "engine", "state": "dead"}))
            end = {"frame": "end", "last_seq": page.last_seq, "status": page.status}
            await send(json.dumps(end | {"finished": not broken, "interrupted": broken}))
            return
        if len(page.events) < FRAME_EVENTS:
            await asyncio.sleep(max(0.0, sent_at + FRAME_S - loop.time()))
            await _news(tail, loop.time() + ALIVE_S)
        page = await asyncio.to_thread(tail.read, FRAME_EVENTS)


async def _news(tail: Tail, until: float) -> None:
    """Wait for a commit, or until it is time to see whether the run's process lives."""
    loop = asyncio.get_running_loop()
    while not tail.changed() and loop.time() < until:
        await asyncio.sleep(LOOK_S)


def events_frame(page: Page) -> str:
    return f'{{"frame":"events","events":[{",".join(page.events)}]}}'
