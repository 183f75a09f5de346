"""The caller's end of the fork server: starts it, gives it calls, closes or kills it.

In: mechanisms, then exchanges. Out: raw answers. Neighbours: `server` is the program, `exchange` one call, `sandbox`
keeps servers and replaces dead ones.
"""

import contextlib
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Sequence
from typing import Any, Final

from toolsets.sandbox import wire
from toolsets.sandbox.errors import SandboxError
from toolsets.sandbox.exchange import Exchange, Raw
from toolsets.sandbox.mechanisms import Mechanisms
from toolsets.sandbox.places import command, package_folders, readable_folders

_START_S: Final = 30.0
_CLOSE_S: Final = 2.0


class ForkServer:
    """A started server. All methods may be called from any thread."""

    def __init__(self, mechanisms: Mechanisms, preload: Sequence[str] = ()) -> None:
        self.in_flight = 0
        """Counted by whoever hands out calls."""
        self._lock = threading.Lock()
        self._process, self._control = _start(mechanisms.bubblewrap)
        try:
            answer = _ask(
                self._control,
                {
                    "mechanisms": mechanisms.as_dict(),
                    "readable": readable_folders(),
                    "packages": package_folders(),
                    "preload": list(preload),
                },
            )
            if "failed" in answer:
                raise SandboxError(f"The sandbox's server could not be set up: {answer['failed']}.")
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def run(self, exchange: Exchange) -> Raw:
        """Hand over the call and see it through; raises ServerGone if it has not begun."""
        with self._lock:
            exchange.hand_over(self._control)
        raw = exchange.see_through()
        if raw.silent:
            self.kill()
        return raw

    def kill(self) -> None:
        """At once; its children die with it."""
        _kill(self._process)

    def close(self) -> None:
        """Ask it to end its children and itself, and make sure of it."""
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)
        try:
            self._process.wait(_CLOSE_S)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()
        with self._lock:
            self._control.close()


def examine(bubblewrap: str) -> Mechanisms:
    """Ask a fresh server what works on this machine, inside bubblewrap where a path to it is given."""
    process, control = _start(bubblewrap)
    try:
        answer = _ask(control, {"examine": True, "readable": readable_folders()})
    finally:
        control.close()
        _kill(process)
        process.wait()
    return Mechanisms.from_dict({**answer, "bubblewrap": bubblewrap})


def _start(bubblewrap: str) -> tuple[subprocess.Popen[bytes], socket.socket]:
    ours, theirs = socket.socketpair()
    try:
        process = subprocess.Popen(
            command(theirs.fileno(), bubblewrap),
            pass_fds=(theirs.fileno(),),
            env={},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        ours.close()
        raise SandboxError(f"The sandbox's server could not be started: {error}.") from error
    finally:
        theirs.close()
    ours.settimeout(_START_S)
    return process, ours


def _ask(control: socket.socket, message: dict[str, Any]) -> dict[str, Any]:
    try:
        wire.send(control, message)
        return wire.receive(control)[0]
    except OSError as error:
        raise SandboxError(f"The sandbox's server ended while it started: {error}") from error


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
