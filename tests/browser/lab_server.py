"""JupyterLab as the tests of this folder use it: its calls, runs put into its log, and pages opened at it."""

import json
import secrets
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripted_model import call, save

from workbench import events as ev
from workbench.log import RunLog, new_run_id
from workbench.paths import log_path

BOUND_S = 60
# Alice and Bob write for ever; what others write depends on how many workers a run has.
CHAINS = (
    ["# Alice\n", "tick ", "tick "],
    ["# Bob\n", "tock ", "tock "],
    ["(hello)", "tick "],
    ["# Dave\n", call("gcd", a=84, b=126)],
    ["# Erin\n", call("is_prime", n=97)],
    ["# Frank\n", call("double_it", x=21)],
    ["Joint answer:\n", "Never."],
)
PAGE_S = 30
"""How long a page may take for anything."""


@dataclass
class Lab:
    """A running JupyterLab."""

    url: str
    token: str
    root: Path
    data: Path
    log: Path
    command: list[str]
    environment: dict[str, str]
    home: Path = field(default_factory=Path)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as said:
            self.process = subprocess.Popen(
                self.command, env=self.environment, stdout=said, stderr=subprocess.STDOUT, cwd=self.root
            )
        try:
            self.wait_for("the start of JupyterLab", lambda: answers(self))
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def api(self, path: str, body: dict[str, Any] | None = None, method: str = "") -> Any:
        """A call of the workbench's server, as a program makes it: with the token."""
        headers = {"Authorization": f"token {self.token}", "Content-Type": "application/json"}
        if body is not None:
            headers["Idempotency-Key"] = secrets.token_hex(8)
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"{self.url}workbench/api/{path}", data, headers, method=method or None)
        with urllib.request.urlopen(request, timeout=BOUND_S) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def wait_for(self, what: str, found: Any) -> Any:
        """Ask until `found()` is true; a bound stands behind it."""
        until = time.monotonic() + BOUND_S
        while time.monotonic() < until:
            if value := found():
                return value
            time.sleep(0.05)
        raise AssertionError(
            f"{what} did not happen within {BOUND_S} s; the server said:\n{self.log.read_text()[-3000:]}"
        )

    def record(self, events: Sequence[ev.Event], run_id: str = "", ended: bool = True) -> str:
        """Put a run into the log as another process would have; returns its id."""
        started = events[0].payload
        assert isinstance(started, ev.RunStarted)
        run_id = run_id or new_run_id()
        writer = RunLog(log_path(self.data)).open_run(run_id, started.task, started.model)
        for event in events:
            writer.append(event.payload)
        if ended:
            writer.close()
        else:
            writer.flush()
        return run_id

    def finished(self, run_id: str) -> Any:
        """The run's row once it has ended."""
        row = lambda: next((r for r in self.api("runs?limit=200")["runs"] if r["run_id"] == run_id), None)  # noqa: E731
        return self.wait_for(f"the end of {run_id}", lambda: (r := row()) and not r["live"] and r)


def save_model(folder: Path) -> str:
    """A model that writes `CHAINS`; one for all tests here, so that one engine serves them."""
    return str(save(folder, *CHAINS, max_positions=50_000))


def press(place: Any, name: str) -> None:
    place.get_by_role("button", name=name, exact=True).click()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(lab: Lab) -> bool:
    if lab.process.poll() is not None:
        raise AssertionError(f"JupyterLab ended at once:\n{lab.log.read_text()[-3000:]}")
    try:
        lab.api("runs?limit=1")
    except urllib.error.HTTPError:
        raise
    except OSError:
        return False
    return True


def open_lab(lab: Lab, page: Any, workspace: str, tree: str = "") -> None:
    page.goto(f"{lab.url}lab/workspaces/{workspace}{tree}?token={lab.token}")
    page.wait_for_selector("#jp-main-dock-panel .lm-TabBar-tab", state="attached")
    page.wait_for_selector("#jupyterlab-splash", state="detached")


def execute(page: Any, command: str, **args: Any) -> None:
    """Execute one of JupyterLab's commands, as its palette does."""
    # What a command returns is a widget with all that hangs on it: it does not travel.
    page.evaluate(
        "([command, args]) => window.jupyterapp.commands.execute(command, args).then(() => null)", [command, args]
    )
