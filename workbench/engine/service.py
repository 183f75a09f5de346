"""The engine's process: holds one `Workbench` and does what clients ask for, over a Unix socket.

In: connections, each of which knows the secret, asks one thing in one line of JSON and gets one line back. Out: runs in
the run log. A command that came before, known by its key, is answered again and not done again. SIGTERM and Ctrl-C
stop what runs, so that every run has its end in the log; an engine that nobody has asked for anything in `idle_s`
seconds ends by itself. Neighbours: `client` asks, `session` works.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import secrets
import signal
import socketserver
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from memory.errors import LibraryError
from workbench.engine.place import Place, place_of
from workbench.errors import EngineError, UsageError, WorkbenchError
from workbench.runlock import RunLock

if TYPE_CHECKING:
    from workbench.session import Run

IDLE_S: Final = 1800.0
LINE_BYTES: Final = 8_000_000
CALLS: Final = (
    "status", "start", "fork", "resume", "control", "pending", "breakpoints", "results", "prove", "search", "settle",
    "quit",
)  # fmt: skip
KEPT: Final = 1000
"""So many runs and keys are remembered."""


class Service:
    """What clients may ask for: `CALLS`."""

    def __init__(self, model: str, data: Path | None, quit_: Callable[[], None], **how: Any) -> None:
        """how: device, dtype and tensor_parallel, as for `Workbench`."""
        from workbench.session import Workbench

        self.model, self.how, self.since = model, how, time.time()
        self.asked = time.monotonic()
        self._bench = Workbench(model, data_dir=data, **how)
        self._quit = quit_
        self._runs: OrderedDict[str, Run] = OrderedDict()
        self._keys: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.Lock()

    def answer(self, call: str, given: dict[str, Any]) -> dict[str, Any]:
        """Raises WorkbenchError."""
        if call not in CALLS:
            raise UsageError(f"The engine does not know the call {call!r}.")
        self.asked = time.monotonic() if call != "status" else self.asked
        try:
            return dict(getattr(self, call)(**given))
        except TypeError as error:
            raise UsageError(f"The call {call} does not take these arguments: {error}.") from error

    def busy(self) -> bool:
        return any(run.status == "running" for run in list(self._runs.values()))

    def status(self) -> dict[str, Any]:
        return {
            "state": "busy" if self.busy() else "ready",
            "pid": os.getpid(),
            "model": self.model,
            **self.how,
            "memory_bytes": _resident_bytes(),
            "since": self.since,
            "runs": [run_id for run_id, run in list(self._runs.items()) if run.status == "running"],
        }

    def start(self, task: str, settings: dict[str, Any], key: str = "") -> dict[str, Any]:
        return self._started(key, lambda: self._bench.run(task, **settings))

    def fork(self, run_id: str, step: int | None, changes: dict[str, Any], key: str = "") -> dict[str, Any]:
        return self._started(key, lambda: self._bench.fork(run_id, step, **changes))

    def resume(self, run_id: str, key: str = "") -> dict[str, Any]:
        return self._started(key, lambda: self._bench.resume(run_id))

    def _started(self, key: str, begin: Callable[[], Run]) -> dict[str, Any]:
        """since: how many events it begins with."""
        with self._lock:
            if key and key in self._keys:
                return {"run_id": self._keys[key], "since": 0}
            run = begin()
            self._runs[run.id] = run
            if key:
                self._keys[key] = run.id
            for kept in (self._runs, self._keys):
                while len(kept) > KEPT:
                    kept.popitem(last=False)
        return {"run_id": run.id, "since": run._looked_until}

    def control(
        self, run_id: str, command: str, arguments: dict[str, Any], key: str = "", by: str = ""
    ) -> dict[str, Any]:
        return self._run(run_id).command(command, arguments, key=key, by=by)

    def pending(self, run_id: str) -> dict[str, Any]:
        """The calls that wait for a person's word."""
        asking = self._run(run_id).pending
        return {
            "calls": [
                {"call": one.call, "worker": one.worker, "tool": one.tool, "arguments": _plain(dict(one.arguments))}
                for one in asking
            ]
        }

    def breakpoints(self, run_id: str) -> dict[str, Any]:
        """Where the run is to pause by itself, by name."""
        return {"set": {name: one.to_json() for name, one in self._run(run_id).breakpoints.items()}}

    def results(self, run_id: str) -> dict[str, Any]:
        """What calls returned so far, whole; what JSON has no word for comes as its text."""
        return {"values": {name: _plain(value) for name, value in self._run(run_id).results.items()}}

    def settle(self) -> dict[str, Any]:
        """Wait until the library has what the runs that have ended taught."""
        self._bench.learning.settle()
        return {}

    def _run(self, run_id: str) -> Run:
        run = self._runs.get(run_id)
        if run is None:
            raise UsageError(f"Run {run_id} is not driven by this engine: ask where it was started.")
        return run

    def prove(self, run_id: str) -> dict[str, Any]:
        """In the thread of whoever asks, beside the runs that go on."""
        return self._bench.prove(run_id).to_json()

    def search(self, kind: str, query: str, states: list[str], limit: int) -> dict[str, Any]:
        """Rows of the library by meaning, each with the reason of its hit; the embedder lives here."""
        try:
            face = self._bench.tools if kind == "tools" else self._bench.concepts
            return face.search(query, states=states, limit=limit).to_json()
        except LibraryError as error:
            raise EngineError(str(error)) from error

    def quit(self) -> dict[str, Any]:
        self._quit()
        return {}

    def close(self) -> None:
        self._bench.close()


def serve(
    model: str,
    data: Path | None = None,
    *,
    device: str = "cpu",
    dtype: str = "auto",
    tensor_parallel: int = 1,
    idle_s: float = IDLE_S,
) -> None:
    """Be the engine until somebody ends it; raises EngineError where there is one already."""
    place = place_of(model, data)
    try:
        lock = RunLock(place.lock)
    except BlockingIOError:
        raise EngineError(f"An engine for {model} runs already: use that one, or stop it first.") from None
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    try:
        place.clear()  # what an engine that was killed has left
        service = Service(model, data, over.set, device=device, dtype=dtype, tensor_parallel=tensor_parallel)
        server = _listening(place, service)
        try:
            threading.Thread(target=server.serve_forever, args=(0.1,), name="workbench-service", daemon=True).start()
            while not over.wait(1.0):
                if not service.busy() and time.monotonic() - service.asked > idle_s:
                    break
        finally:
            place.clear()
            server.shutdown()
            server.server_close()
            service.close()
    finally:
        lock.release()


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    service: Service
    secret: str

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that breaks off is nobody's concern."""


class _Handler(socketserver.StreamRequestHandler):
    timeout = 30.0

    def handle(self) -> None:
        line = self.rfile.readline(LINE_BYTES)
        with contextlib.suppress(OSError):
            self.wfile.write(json.dumps(self._reply(line)).encode() + b"\n")

    def _reply(self, line: bytes) -> dict[str, Any]:
        server = self.server
        assert isinstance(server, _Server)
        try:
            asked = json.loads(line)
            known = hmac.compare_digest(str(asked["secret"]).encode(), server.secret.encode())
            call, given = str(asked["call"]), dict(asked.get("given", {}))
        except (ValueError, KeyError, TypeError):
            return {"error": "usage", "message": "This is no request to an engine."}
        if not known:
            return {"error": "refused", "message": "The secret is not this engine's."}
        try:
            return {"answer": server.service.answer(call, given)}
        except WorkbenchError as error:
            return {"error": "usage" if isinstance(error, UsageError) else "failed", "message": str(error)}
        except Exception as error:
            return {"error": "failed", "message": f"{type(error).__name__}: {error}"}


def _listening(place: Place, service: Service) -> _Server:
    """A socket for its owner alone, and then the note that says so."""
    path = place.socket
    before = os.umask(0o177)
    try:
        server = _Server(str(path), _Handler)
    finally:
        os.umask(before)
    server.service, server.secret = service, secrets.token_hex(32)
    place.write({"pid": os.getpid(), "model": place.model, "secret": server.secret, "since": service.since})
    return server


def _plain(value: Any) -> Any:
    """A value as it comes out of JSON, as text where it has no form there."""
    try:
        return json.loads(json.dumps(value, default=str))
    except (TypeError, ValueError, RecursionError):  # keys that are no text, or something that holds itself
        return str(value)


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


__all__ = ["IDLE_S", "Service", "serve"]
