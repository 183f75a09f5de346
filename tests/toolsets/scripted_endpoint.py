"""A chat endpoint on a port of its own: real HTTP and real streaming, whose replies a test scripts.

In: a function from the request to what is answered, or a list of answers in order. Out: a server in a thread, and the
requests that it got.
"""

import asyncio
import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import tornado.httpserver
import tornado.iostream
import tornado.netutil
import tornado.web


@dataclass
class Answer:
    """text: streamed in pieces, where the request asks for it. breaks: the connection ends after the first piece.
    events: sent as they are in place of the text."""

    text: str = ""
    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    usage: bool = True
    breaks: bool = False
    whole: bool = False
    events: Sequence[str] = ()


Script = Callable[[dict[str, Any]], Answer]


@dataclass
class Server:
    url: str
    requests: list[dict[str, Any]]
    headers: list[dict[str, str]]


class _Completions(tornado.web.RequestHandler):
    def initialize(self, script: Script, server: Server) -> None:
        self.script, self.server = script, server

    async def post(self) -> None:
        request = json.loads(self.request.body)
        self.server.requests.append(request)
        self.server.headers.append({name.lower(): value for name, value in self.request.headers.items()})
        answer = await asyncio.get_running_loop().run_in_executor(None, self.script, request)
        for name, value in answer.headers.items():
            self.set_header(name, value)
        if answer.status != 200:
            self.set_status(answer.status)
            self.finish(answer.body if answer.body is not None else {"error": {"message": answer.text}})
            return
        usage = {"prompt_tokens": len(str(request["messages"])) // 4, "completion_tokens": len(answer.text) // 4}
        if answer.whole:
            choice = {"message": {"role": "assistant", "content": answer.text}, "finish_reason": "stop"}
            self.finish(answer.body or {"model": "scripted-1", "choices": [choice], "usage": usage})
            return
        self.set_header("content-type", "text/event-stream")
        for event in answer.events:
            self.write(f"data: {event}\n\n")
        if answer.events:
            return
        pieces = [answer.text[start : start + 7] for start in range(0, len(answer.text), 7)]
        for number, piece in enumerate(pieces):
            await self._send({"model": "scripted-1", "choices": [{"index": 0, "delta": {"content": piece}}]})
            if answer.breaks and number == 0:
                self.detach().close()
                return
        await self._send({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        if answer.usage and request.get("stream_options", {}).get("include_usage"):
            await self._send({"choices": [], "usage": usage})
        self.write("data: [DONE]\n\n")

    async def _send(self, data: dict[str, Any]) -> None:
        with contextlib.suppress(tornado.iostream.StreamClosedError):
            self.write(f"data: {json.dumps(data)}\n\n")
            await self.flush()


@contextlib.contextmanager
def endpoint(script: Script | Sequence[Answer]) -> Iterator[Server]:
    """A server for the length of a `with`."""
    if callable(script):
        answering: Script = script
    else:
        left = list(script)
        answering = lambda _: left.pop(0)  # noqa: E731
    sockets = tornado.netutil.bind_sockets(0, "127.0.0.1")
    server = Server(f"http://127.0.0.1:{sockets[0].getsockname()[1]}/v1", [], [])
    ready, loops = threading.Event(), []
    stop: list[asyncio.Event] = []

    async def serve() -> None:
        given = {"script": answering, "server": server}
        http = tornado.httpserver.HTTPServer(tornado.web.Application([("/v1/chat/completions", _Completions, given)]))
        http.add_sockets(sockets)
        loops.append(asyncio.get_running_loop())
        stop.append(asyncio.Event())
        ready.set()
        await stop[0].wait()
        http.stop()
        await http.close_all_connections()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert ready.wait(30)
    try:
        yield server
    finally:
        loops[0].call_soon_threadsafe(stop[0].set)
        thread.join(30)
