"""One call's way to its child and back: four descriptors, read and written until the child is dead.

In: the request as bytes, the limits. Out: a `Raw` answer: bytes that untrusted code has written beside facts that the
server reports. Neighbours: `client` starts the server at the other end, `answers` makes an `Outcome` of it. Blocks its
thread; `cancel` from another thread ends it at once.
"""

import contextlib
import os
import selectors
import socket
import threading
import time
from dataclasses import asdict, dataclass
from typing import Final

from toolsets.sandbox import wire
from toolsets.sandbox.errors import SandboxError
from toolsets.sandbox.limits import Limits

GRACE_S: Final = 10.0
"""How long after a call's time limit a silent server is taken for dead."""

_CHUNK: Final = 1 << 16
_STATUS_BYTES: Final = 4096


class ServerGone(Exception):
    """The fork server ended before the call began, so the call can be given to another one."""


@dataclass(frozen=True, slots=True)
class Raw:
    """status: the server's report as JSON, empty where the server was lost during the call. answer, output: written by
    the code; each ends one byte past its limit if there was more. silent: the server did not answer in time."""

    status: bytes
    answer: bytes
    output: bytes
    wall_s: float
    silent: bool


class Exchange:
    """Used once: `hand_over`, then `see_through`."""

    def __init__(self, request: bytes, limits: Limits) -> None:
        self._request = request
        self._limits = limits
        self._cancelled = threading.Event()
        self._lock = threading.Lock()
        self._channel: socket.socket | None = None
        self._request_w = self._answer_r = self._output_r = -1
        self._start_s = 0.0

    def cancel(self) -> None:
        """From any thread, at any time: the child is killed and `see_through` returns."""
        self._cancelled.set()
        with self._lock:
            if self._channel is not None:
                with contextlib.suppress(OSError):
                    self._channel.shutdown(socket.SHUT_WR)

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()

    def hand_over(self, control: socket.socket) -> None:
        """Open the call's pipes and send their far ends to the server; raises ServerGone if it cannot take them."""
        self._start_s = time.perf_counter()
        with contextlib.ExitStack() as stack:
            far_ends = self._open(stack)
            limits = {**asdict(self._limits), "cpu_s": self._limits.cpu_s}
            try:
                wire.send(control, {"limits": limits}, far_ends)
            except OSError as error:
                self._close()
                raise ServerGone(str(error)) from error

    def see_through(self) -> Raw:
        """Write the request, read answer, output and status until the child is dead or the server is gone."""
        if self._cancelled.is_set():
            self.cancel()
        try:
            status, answer, output, silent = self._converse()
        finally:
            self._close()
        if not status.startswith(wire.STARTED) and not self._cancelled.is_set() and not silent:
            raise ServerGone("The server ended before the call began.")
        wall_s = time.perf_counter() - self._start_s
        return Raw(status.removeprefix(wire.STARTED), answer, output, wall_s, silent)

    def _open(self, stack: contextlib.ExitStack) -> list[int]:
        """Keeps the near ends; the far ends are closed with the stack."""
        try:
            near, far = socket.socketpair()
            stack.callback(far.close)
            with self._lock:
                self._channel = near
            request_r, self._request_w = os.pipe()
            stack.callback(os.close, request_r)
            self._answer_r, answer_w = os.pipe()
            stack.callback(os.close, answer_w)
            self._output_r, output_w = os.pipe()
            stack.callback(os.close, output_w)
        except OSError as error:
            self._close()
            raise SandboxError(f"A sandboxed call could not open its pipes ({error}): run fewer at once.") from error
        near.setblocking(False)
        for descriptor in (self._request_w, self._answer_r, self._output_r):
            os.set_blocking(descriptor, False)
        return [far.fileno(), request_r, answer_w, output_w]

    def _converse(self) -> tuple[bytes, bytes, bytes, bool]:
        assert self._channel is not None
        channel, unsent = self._channel.fileno(), memoryview(self._request)
        caps = {
            channel: _STATUS_BYTES,
            self._answer_r: self._limits.result_kb * 1024 + 1,
            self._output_r: self._limits.output_kb * 1024 + 1,
        }
        kept = {descriptor: bytearray() for descriptor in caps}
        deadline_s = self._start_s + self._limits.time_s + GRACE_S
        dead = silent = False
        with selectors.DefaultSelector() as selector:
            selector.register(self._request_w, selectors.EVENT_WRITE)
            for descriptor in caps:
                selector.register(descriptor, selectors.EVENT_READ)
            while not dead and not silent:
                ready = selector.select(max(0.0, deadline_s - time.perf_counter()))
                silent = not ready
                for descriptor in (key.fd for key, _ in ready):
                    if descriptor == self._request_w:
                        unsent = _write(descriptor, unsent)
                        if not unsent:
                            selector.unregister(descriptor)
                            os.close(descriptor)
                            self._request_w = -1
                    elif not _read(descriptor, kept[descriptor], caps[descriptor]):
                        selector.unregister(descriptor)
                        dead = dead or descriptor == channel
                if len(kept[self._answer_r]) == caps[self._answer_r]:
                    self._stop()
        for descriptor in (self._answer_r, self._output_r):
            while _read(descriptor, kept[descriptor], caps[descriptor]):
                pass
        status, answer, output = (bytes(data) for data in kept.values())
        return status, answer, output, silent

    def _stop(self) -> None:
        assert self._channel is not None
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_WR)

    def _close(self) -> None:
        with self._lock:
            if self._channel is not None:
                self._channel.close()
                self._channel = None
        for descriptor in (self._request_w, self._answer_r, self._output_r):
            if descriptor >= 0:
                os.close(descriptor)
        self._request_w = self._answer_r = self._output_r = -1


def _write(descriptor: int, data: memoryview) -> memoryview:
    """What is left to write; nothing where nobody reads any more."""
    try:
        return data[os.write(descriptor, data[:_CHUNK]) :]
    except BlockingIOError:
        return data
    except BrokenPipeError:
        return data[:0]


def _read(descriptor: int, kept: bytearray, cap: int) -> bool:
    """Keep what fits under the cap and throw the rest away; False where there is no more for now, or ever."""
    try:
        data = os.read(descriptor, _CHUNK)
    except (BlockingIOError, ConnectionError):
        return False
    kept += data[: cap - len(kept)]
    return bool(data)
