"""Finds out how this machine isolates code: not by asking for versions but by trying to get out.

In: nothing. Out: an `Isolation`, the best that holds, found once per process. Neighbours: `client.examine` says which
mechanisms can be put in force, `attempts` is run under them as a tool would be, against targets that are set up here.
"""

import contextlib
import ctypes
import functools
import json
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from toolsets.sandbox.answers import read_answer
from toolsets.sandbox.client import ForkServer, examine
from toolsets.sandbox.errors import SandboxError
from toolsets.sandbox.exchange import Exchange, ServerGone
from toolsets.sandbox.isolation import PROCESS_ONLY, STOPPED, Isolation
from toolsets.sandbox.limits import Limits
from toolsets.sandbox.mechanisms import Mechanisms

_LIMITS: Final = Limits(time_s=10.0, memory_mb=64, threads=4)


@functools.cache
def probe() -> Isolation:
    """The best isolation that holds on this machine; one that does not isolate says what got out, and why."""
    if sys.platform == "win32":
        return Isolation(
            reason="Windows has no fork, so code can only be sandboxed in a Linux environment such as WSL."
        )
    best = PROCESS_ONLY
    bubblewrap = shutil.which("bwrap")
    for wrapper in ([bubblewrap] if bubblewrap else []) + [""]:
        try:
            found = try_out(examine(wrapper))
        except SandboxError as error:
            found = Isolation(reason=str(error))
        if found.isolated:
            return found
        best = max(best, found, key=lambda isolation: (len(isolation.stopped), isolation.reason))
    return best


def try_out(mechanisms: Mechanisms) -> Isolation:
    """Put the mechanisms in force, run the attempts, and see what came of them."""
    source = Path(__file__).with_name("attempts.py").read_text()
    with _targets() as target:
        request = {"source": source, "function": "attempt_all", "arguments": {"target": target}}
        server = ForkServer(mechanisms)
        try:
            raw = server.run(Exchange(json.dumps(request).encode(), _LIMITS))
        except ServerGone as error:
            raise SandboxError(f"The sandbox's server ended while it was tried: {error}") from error
        finally:
            server.close()
        written = os.path.exists(target["write"])
    outcome = read_answer(raw, _LIMITS, source, PROCESS_ONLY)
    if not isinstance(outcome.value, dict):
        return Isolation(mechanisms, reason=f"The attempts could not be run: {outcome.error} {outcome.stdout}".strip())
    succeeded = {name for name in STOPPED if outcome.value.get(name) is not False}
    if written:
        succeeded.add("writing a file")
    stopped = tuple(name for name in STOPPED if name not in succeeded)
    return Isolation(mechanisms, stopped, tuple(name for name in STOPPED if name in succeeded), _reason(mechanisms))


def _reason(mechanisms: Mechanisms) -> str:
    missing = [
        "" if mechanisms.landlock else "the kernel offers no Landlock",
        "" if mechanisms.seccomp else "no seccomp filter can be installed",
    ]
    return "; ".join(words for words in missing if words)


@contextlib.contextmanager
def _targets() -> Iterator[dict[str, Any]]:
    """Things that a process of this user could reach: a file, three listening sockets, this process itself."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="sandbox-"))
        os.chmod(folder, 0o755)
        secret = Path(folder, "secret")
        secret.write_text("secret")
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", 0))
        unix = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        unix.bind(f"{folder}/socket")
        os.chmod(f"{folder}/socket", 0o777)
        unix.listen()
        memory = ctypes.create_string_buffer(b"secret")
        yield {
            "secret": str(secret),
            "write": f"{folder}/written",
            "tcp": tcp.getsockname()[1],
            "udp": udp.getsockname()[1],
            "unix": f"{folder}/socket",
            "pid": os.getpid(),
            "address": ctypes.addressof(memory),
            "threads": _LIMITS.threads + 60,
            "memory": 4 * _LIMITS.memory_mb * 2**20,
        }
