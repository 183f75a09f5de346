"""Takes the pictures of JupyterLab that the README and docs/front-end.md show, from live runs of the embedded model.

`make pictures`. In: nothing. Out: lab.png, panel.png and panel-dark.png beside this file. Needs chromium and
playwright, like the tests in `tests/browser`; the JupyterLab is that of `workbench.bench_panel`.
"""

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from workbench.bench_panel import FLAGS, Lab, lab_in

HERE = Path(__file__).parent
TASK = """1. What is the greatest common divisor of 84 and 126?
2. How many days are there between 2024-02-10 and 2024-03-15?
3. What is 15 percent of 240?
4. Is 97 a prime number?
5. Spell the word lantern backwards.
6. What is the mean of 4, 8, 15, 16 and 23?"""
STEPS_UNTIL_HELD = 62


def main() -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder, lab_in(Path(folder)) as lab, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1500, "height": 940})
        lab.open(page)
        for workers in (3, 2):
            finished(lab, begun(lab, workers))
        run_id = begun(lab, 4, held=True)
        for _ in range(STEPS_UNTIL_HELD):
            lab.api(f"runs/{run_id}/control", {"command": "step"})
        said = lab.api(f"runs/{run_id}/control", {"command": "say", "text": "Show how, briefly.", "when": "queued"})
        panel = opened(page, run_id)
        panel.locator(".wb-step", has_text=f"of {STEPS_UNTIL_HELD}").wait_for()
        execute(page, "application:toggle-left-area")
        taken(page, panel, "panel.png")

        lab.api(f"runs/{run_id}/control", {"command": "cancel_say", "line": said["line"]})
        lab.api(f"runs/{run_id}/control", {"command": "resume"})
        finished(lab, run_id)
        panel = opened(page, begun(lab, 4))
        panel.locator(".wb-status[data-status='solved']").wait_for()
        execute(page, "apputils:change-theme", theme="JupyterLab Dark")
        taken(page, panel, "panel-dark.png")

        execute(page, "apputils:change-theme", theme="JupyterLab Light")
        execute(page, "agent-workbench:show-sidebar")
        page.locator(".wb-run-item").nth(2).wait_for()
        page.evaluate("() => document.activeElement.blur()")
        page.wait_for_timeout(2000)
        page.screenshot(path=HERE / "lab.png")
        browser.close()


def begun(lab: Lab, workers: int, held: bool = False) -> str:
    """A run that was started; held, it waits before its next step."""
    settings = {"workers": workers, "attention": True, "memory": "none"}
    run_id = str(lab.api("runs", {"task": TASK, "settings": settings})["run_id"])
    if held:
        lab.api(f"runs/{run_id}/control", {"command": "pause"})
    return run_id


def finished(lab: Lab, run_id: str) -> None:
    while any(row["live"] for row in lab.api("runs")["runs"] if row["run_id"] == run_id):
        time.sleep(0.1)


def execute(page: Any, command: str, **args: str) -> None:
    page.evaluate("([name, args]) => jupyterapp.commands.execute(name, args).then(() => null)", [command, args])


def opened(page: Any, run_id: str) -> Any:
    execute(page, "agent-workbench:open-run", runId=run_id)
    return page.locator(f"[id='agent-workbench-run-{run_id}']")


def taken(page: Any, panel: Any, name: str) -> None:
    """A picture of the panel alone, as high as what is in it."""
    high = panel.locator(".wb-run").evaluate("(node) => node.scrollHeight")
    page.set_viewport_size({"width": 1400, "height": int(high) + 120})
    page.wait_for_timeout(2000)  # the theme's change, and pictures that are drawn a few times a second
    panel.screenshot(path=HERE / name)
    page.set_viewport_size({"width": 1500, "height": 940})


if __name__ == "__main__":
    main()
