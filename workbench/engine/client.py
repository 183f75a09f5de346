"""Speaking with an engine's process: how it is, asking it for something, starting and ending it.

In: a model and a data folder. Out: answers as JSON values, or this room's errors. Whether the process lives is read
from its lock, which the system drops the moment it dies, so a killed engine is seen at once and by everybody.
Neighbours: `service` answers; the server extension, `remote` and the command line ask.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from workbench.engine.place import Place, place_of
from workbench.errors import EngineError, UsageError

ANSWER_S: Final = 20.0
START_S: Final = 120.0
STOP_S: Final = 20.0
LOOK_S: Final = 0.05
WISH: Final = "WORKBENCH_ENGINE"
"""The environment's word for it: "thread", set before JupyterLab starts, keeps its notebooks' runs in their kernels."""


def default_kind() -> str:
    """Where a notebook's runs work if nobody says: "process" in a kernel of a Jupyter server that has the workbench's
    extension, which leaves that word in the environment; "thread" in every other process."""
    return "process" if has_server() and os.environ.get(WISH) == "process" else "thread"


def has_server() -> bool:
    """Whether this is a kernel of a Jupyter server that has the workbench's extension."""
    kernel = sys.modules.get("ipykernel.kernelapp")
    return kernel is not None and kernel.IPKernelApp.initialized() and WISH in os.environ


class EngineClient:
    """One engine, whether it runs or not."""

    def __init__(self, model: str = "embedded", data: Path | None = None) -> None:
        self.place: Place = place_of(model, data)
        self._data = data
        self._process: subprocess.Popen[bytes] | None = None

    def call(self, name: str, timeout_s: float = ANSWER_S, **given: Any) -> dict[str, Any]:
        """Ask for something; raises UsageError where it makes no sense, EngineError where no engine answers."""
        info = self.place.read()
        if info is None or not self.place.is_held():
            raise EngineError(f"No engine for {self.place.model} is running: start it.")
        request = json.dumps({"secret": info.get("secret"), "call": name, "given": given}).encode() + b"\n"
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(timeout_s)
                connection.connect(str(self.place.socket))
                connection.sendall(request)
                with connection.makefile("rb") as answers:
                    reply = json.loads(answers.readline())
        except (OSError, ValueError) as error:
            raise EngineError(f"The engine for {self.place.model} does not answer: restart it.") from error
        if "answer" in reply:
            return dict(reply["answer"])
        raise (UsageError if reply.get("error") == "usage" else EngineError)(str(reply.get("message", "")))

    def status(self) -> dict[str, Any]:
        """state: absent, starting, ready, busy or dead (it ended unasked); and what it says of itself."""
        if self._process is not None and self._process.poll() is not None:
            self._process = None  # so that no dead child is left behind
        nothing = {"pid": None, "model": self.place.model, "device": None, "dtype": None, "memory_bytes": None}
        nothing |= {"since": None, "error": None}
        info = self.place.read()
        if not self.place.is_held():
            if info is None:
                return nothing | {"state": "absent"}
            return nothing | {"state": "dead", "error": "The engine's process has ended without being asked to."}
        if info is None:
            return nothing | {"state": "starting"}
        try:
            return nothing | self.call("status", 2.0)
        except EngineError:
            alive = self.place.is_held()
            return nothing | {"state": "busy" if alive else "dead", "pid": info.get("pid")}

    def start(
        self, device: str | None = None, dtype: str | None = None, tensor_parallel: int | None = None
    ) -> dict[str, Any]:
        """Make sure that it runs; its status. None takes an engine as it is, and starts one on the CPU, in one process.
        Raises EngineError where it does not come up, or runs otherwise than it is asked for."""
        if self.status()["state"] not in ("ready", "busy"):
            if not self.place.is_held():
                self._launch(device or "cpu", dtype or "auto", tensor_parallel or 1)
            until = time.monotonic() + START_S
            while self.status()["state"] not in ("ready", "busy"):
                ended = self._process is None and not self.place.is_held()
                if ended or time.monotonic() > until:
                    said = self.place.output.read_text(errors="replace").strip()[-600:]
                    raise EngineError(f"The engine for {self.place.model} does not start: {said or 'it says nothing'}")
                time.sleep(LOOK_S)
        found = self.status()
        wishes = {"device": device, "dtype": dtype, "tensor_parallel": tensor_parallel}
        for name, wish in wishes.items():
            if wish is not None and found.get(name) not in (None, wish):
                raise EngineError(
                    f"The engine for {self.place.model} runs with {name} {found[name]}, not {wish}: end it first "
                    f"(workbench engine --model {self.place.model} --stop), or ask for {name}={found[name]!r}."
                )
        return found

    def stop(self) -> dict[str, Any]:
        """End it, so that every run has its end in the log; a dead one is cleared away."""
        if self.place.is_held():
            with contextlib.suppress(EngineError):
                self.call("quit")
            until = time.monotonic() + STOP_S
            while self.place.is_held():
                if time.monotonic() > until and (info := self.place.read()):
                    with contextlib.suppress(OSError):
                        os.kill(int(info["pid"]), signal.SIGKILL)
                time.sleep(LOOK_S)
        self.place.clear()
        return self.status()

    def _launch(self, device: str, dtype: str, tensor_parallel: int) -> None:
        self.place.folder.mkdir(parents=True, exist_ok=True)
        self.place.clear()
        command = [sys.executable, "-m", "workbench.engine", self.place.model, "--device", device, "--dtype", dtype]
        command += ["--tensor-parallel", str(tensor_parallel)] if tensor_parallel > 1 else []
        command += ["--data-dir", str(self._data)] if self._data is not None else []
        with self.place.output.open("wb") as output:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
