"""The rows of `make bench` that a person would feel: from a token to the screen, frames under load, what a page costs.

In: nothing. Out: `bench_rows.Row` values. A JupyterLab of its own on 127.0.0.1, in a folder of its own, and a chromium
that looks at it; needs `playwright` and a chromium on the PATH, and measures only sizes where they are missing.
Neighbours: `workbench.ui` is what is measured.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from workbench import events as ev
from workbench.bench_rows import Row, row, seconds
from workbench.engine.client import EngineClient
from workbench.engine.place import models_at
from workbench.log import RunLog, new_run_id
from workbench.paths import log_path

FLAGS: Final = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--enable-precise-memory-info",
]  # fmt: skip
SETTINGS: Final[dict[str, dict[str, Any]]] = {
    "@jupyterlab/apputils-extension/notification.jupyterlab-settings": {"fetchNews": "false", "checkForUpdates": False}
}
"""Of JupyterLab: no question stands before what is looked at."""

TASK: Final = "\n".join(f"{at}. What is the greatest common divisor of {84 * at} and {126 + at}?" for at in range(1, 7))
WATCH: Final = """() => {
  const seen = (window.seen = { last: 0, drawn: [], frames: [] });
  const Real = window.WebSocket;
  window.WebSocket = class extends Real {
    constructor(...given) {
      super(...given);
      this.addEventListener("message", (message) => {
        if (typeof message.data !== "string") return;
        for (const [, seq] of message.data.matchAll(/"seq":\\s*(\\d+)/g)) seen.last = Math.max(seen.last, Number(seq));
      });
    }
  };
  const now = () => (performance.timeOrigin + performance.now()) / 1000;
  window.watchLanes = (lanes) => {
    let waits = 0;
    // What has come when the lanes change is drawn by that change; the frame after it begins when that one is shown.
    new MutationObserver(() => {
      const last = seen.last;
      if (waits === last) return;
      waits = last;
      requestAnimationFrame(() => seen.drawn.push([last, now()]));
    }).observe(lanes, { childList: true, characterData: true, subtree: true });
    const frame = () => { seen.frames.push(now()); requestAnimationFrame(frame); };
    requestAnimationFrame(frame);
  };
}"""


def rows(quick: bool) -> Iterator[Row]:
    yield _size()
    yield row(
        "s of from workbench import Workbench",
        [
            seconds(lambda: subprocess.run([sys.executable, "-c", "from workbench import Workbench"], check=True))
            - seconds(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True))
            for _ in range(5 if quick else 15)
        ],
        "<= 0.3",
        "less what python takes without it; torch is loaded with the first run",
    )
    browser = next((found for name in ("chromium", "google-chrome") if (found := shutil.which(name))), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return
    if browser is None:
        return
    with tempfile.TemporaryDirectory() as folder, lab_in(Path(folder)) as lab, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=FLAGS)
        yield from lab.token_to_pixel(chromium, 1 if quick else 4)
        yield from lab.frames(chromium, 2_000 if quick else 12_500)
        yield lab.start(chromium, 2 if quick else 7)
        chromium.close()


def _size() -> Row:
    """Of the two bundles, the one that is larger: of widgets and exports, and of JupyterLab's extension."""
    here = Path(__file__).parent
    bundles = (here / "static", here / "labextension" / "static")
    found = [sum(len(gzip.compress(file.read_bytes())) for file in one.glob("*.js")) / 1000 for one in bundles]
    return row("kB of the panel's JavaScript, compressed", [max(found)], "<= 250", "all of a bundle, by gzip")


class Lab:
    def __init__(self, url: str, token: str, folder: Path) -> None:
        self.url, self.token, self.folder = url, token, folder

    def api(self, path: str, body: dict[str, Any] | None = None) -> Any:
        headers = {"Authorization": f"token {self.token}", "Content-Type": "application/json"}
        if body is not None:
            headers["Idempotency-Key"] = secrets.token_hex(8)
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"{self.url}workbench/api/{path}", data, headers)
        with urllib.request.urlopen(request, timeout=120) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    @contextlib.contextmanager
    def page(self, chromium: Any) -> Iterator[Any]:
        context = chromium.new_context(viewport={"width": 1400, "height": 900})
        try:
            page = context.new_page()
            page.add_init_script(f"({WATCH})()")
            yield page
        finally:
            context.close()

    def open(self, page: Any) -> float:
        """Open JupyterLab; seconds until it can be used."""
        began = time.perf_counter()
        page.goto(f"{self.url}lab/workspaces/{secrets.token_hex(4)}?token={self.token}")
        page.wait_for_selector("#jp-main-dock-panel .lm-TabBar-tab", state="attached")
        page.wait_for_selector("#jupyterlab-splash", state="detached")
        return time.perf_counter() - began

    def watch(self, page: Any, run_id: str) -> Any:
        self.open(page)
        page.evaluate(
            "(runId) => window.jupyterapp.commands.execute('agent-workbench:open-run', { runId }).then(() => null)",
            run_id,
        )
        panel = page.locator(f"[id='agent-workbench-run-{run_id}']")
        panel.locator(".wb-lanes").wait_for()
        panel.locator(".wb-lanes").evaluate("(lanes) => window.watchLanes(lanes)")
        return panel

    def token_to_pixel(self, chromium: Any, runs: int) -> Iterator[Row]:
        log, late = RunLog(log_path(self.folder / "data")), []
        for _ in range(runs):
            run_id = self.api("runs", {"task": TASK, "settings": {"memory": "none"}})["run_id"]
            self.api(f"runs/{run_id}/control", {"command": "pause"})
            with self.page(chromium) as page:
                panel = self.watch(page, run_id)
                first = len(log.events(run_id))
                self.api(f"runs/{run_id}/control", {"command": "resume"})
                panel.locator(".wb-status[data-status='solved'], .wb-status[data-status='unanswered']").wait_for()
                page.wait_for_timeout(500)
                drawn = page.evaluate("() => window.seen.drawn")
            for event in log.events(run_id)[first:]:
                if event.kind == "tokens_added":
                    shown = [at for seq, at in drawn if seq >= event.seq]
                    late.append(1000 * (min(shown) - event.time) if shown else float("inf"))
        late.sort()
        why = f"{len(late)} steps of the embedded model, two workers, from the log's time to the frame after the change"
        yield row("ms from token to pixel, p50", [late[len(late) // 2]], "<= 60", why)
        yield row("ms from token to pixel, p95", [late[int(len(late) * 0.95)]], "<= 150", why)

    def frames(self, chromium: Any, steps: int) -> Iterator[Row]:
        """A made-up run of 8 workers writes 8,000 tokens a second while the page looks on."""
        names = ["Alice", "Bob", "Carol", "Dave", "Erin", "Frank", "Grace", "Heidi"]
        run_id = new_run_id()
        writer = RunLog(log_path(self.folder / "data")).open_run(run_id, "many words", "embedded")
        writer.append(
            ev.RunStarted(
                task="many words", items=[], model="embedded", model_fingerprint="", versions={}, seed=0,
                layout="contiguous", workers=names, settings={}, tools=[],
            )
        )  # fmt: skip
        for at, name in enumerate(names):
            writer.append(ev.BlockOpened(at, "worker", name))
        writer.flush()

        def write() -> None:
            began = time.monotonic()
            for step in range(steps):
                tokens = [
                    ev.WorkerTokens(worker=name, block=at, ids=[step % 500], text=f" word{step % 97}")
                    for at, name in enumerate(names)
                ]
                writer.append(ev.TokensAdded(step + 1, tokens))
                time.sleep(max(0.0, began + step / 1000 - time.monotonic()))
            writer.close()

        with self.page(chromium) as page:
            self.watch(page, run_id)
            written = threading.Thread(target=write)
            began = time.time()
            written.start()
            while written.is_alive():
                page.wait_for_timeout(200)
            took = time.time() - began
            page.wait_for_timeout(500)
            frames = [at for at in page.evaluate("() => window.seen.frames") if began + 0.5 <= at <= began + took]
            heap = page.evaluate("() => performance.memory.usedJSHeapSize") / 1e6
        why = f"8 workers, {8 * steps / took:,.0f} tokens/s arriving, {8 * steps:,} in view at the end"
        yield row("frames per second under load", [len(frames) / (took - 0.5)], ">= 25", why)
        yield row("MB of JavaScript heap after it", [heap], "<= 300", why)

    def start(self, chromium: Any, rounds: int) -> Row:
        """JupyterLab with the extension and without, in turn."""
        config = self.folder / "config" / "labconfig" / "page_config.json"
        config.parent.mkdir(parents=True, exist_ok=True)

        def opened(disabled: bool) -> float:
            config.write_text(json.dumps({"disabledExtensions": {"agent-workbench": disabled}}))
            with self.page(chromium) as page:
                return self.open(page)

        opened(True), opened(False)
        found = [1000 * (opened(False) - opened(True)) for _ in range(rounds)]
        return row(
            "ms that the extension adds to JupyterLab's start", found, "<= 150",
            "from the address to a page without splash, in new browser contexts",
        )  # fmt: skip


@contextlib.contextmanager
def lab_in(folder: Path) -> Iterator[Lab]:
    """A JupyterLab of its own, with all that it keeps in this folder; the engines that it starts end with it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    token, root = secrets.token_hex(16), folder / "root"
    root.mkdir()
    for name, values in SETTINGS.items():
        (file := folder / "settings" / name).parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    environment = {
        **os.environ,
        "WORKBENCH_DATA_DIR": str(folder / "data"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "HF_HUB_OFFLINE": "1",
    }
    command = [
        sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}", f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={root}",
        "--LabApp.news_url=None", "--LabApp.expose_app_in_browser=True",
        "--ServerApp.jpserver_extensions=workbench.server=True",
    ]  # fmt: skip
    lab = Lab(f"http://127.0.0.1:{port}/", token, folder)
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=root)
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with contextlib.suppress(OSError):
                lab.api("runs?limit=1")
                break
            time.sleep(0.1)
        yield lab
    finally:
        for model in models_at(folder / "data"):
            EngineClient(model, folder / "data").stop()
        process.terminate()
        process.wait(20)
