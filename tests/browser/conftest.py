"""A real JupyterLab with the extension, and a real browser that looks at it.

The server stands on 127.0.0.1 with a token, in a folder of its own, with its own settings and its own run log. One
server serves all tests of this folder, one browser those of a file; each test has a browser context of its own.
"""

import json
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
sys.path += [
    str(HERE),
    str(HERE.parent / "workbench"),
    str(HERE.parent / "hogwild"),
]  # tests/ is no package: helpers are found by path

from lab_server import PAGE_S, Lab, execute, free_port, open_lab, save_model  # noqa: E402

from workbench import front_end  # noqa: E402
from workbench.bench_panel import SETTINGS  # noqa: E402
from workbench.engine.client import EngineClient  # noqa: E402
from workbench.engine.place import models_at  # noqa: E402

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--force-color-profile=srgb",
]  # fmt: skip


def missing() -> str:
    if CHROMIUM is None:
        return "needs chromium (Debian: apt-get install chromium)"
    try:
        import playwright  # noqa: F401
    except ImportError:
        return "needs playwright (pip install playwright)"
    return ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = missing()
    for item in items:
        if HERE not in item.path.parents:
            continue
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    if not front_end.is_current():
        front_end.build()
    front_end.install()
    home = tmp_path_factory.mktemp("home")
    root, data, log = home / "root", home / "data", home / "lab.log"
    root.mkdir()
    settings = home / "settings"
    for name, values in SETTINGS.items():
        file = settings / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    port, token = free_port(), secrets.token_hex(16)
    environment = {
        **os.environ,
        "WORKBENCH_DATA_DIR": str(data),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(settings),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    command = [
        sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}",
        f"--ServerApp.root_dir={root}", "--LabApp.news_url=None", "--LabApp.expose_app_in_browser=True",
        "--ServerApp.jpserver_extensions=workbench.server=True",
    ]  # fmt: skip
    made = Lab(f"http://127.0.0.1:{port}/", token, root, data, log, command, environment, home)
    yield made
    for model in models_at(data):  # engines outlive their server, as they should for people
        EngineClient(model, data).stop()
    made.stop()


@pytest.fixture(scope="session")
def endless(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model whose runs go on until they are stopped."""
    return save_model(tmp_path_factory.mktemp("endless"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """For one file: while Playwright is there, its event loop is the main thread's, and no other may run."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield made
        made.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1400, "height": 900}, reduced_motion="reduce")
    context.set_default_timeout(PAGE_S * 1000)
    made = context.new_page()
    yield made
    context.close()


@pytest.fixture(scope="module")
def lab_page(lab: Lab, browser: Any) -> Iterator[Any]:
    """JupyterLab takes seconds to load, so most tests share one page of it."""
    context = browser.new_context(viewport={"width": 1400, "height": 900}, reduced_motion="reduce")
    context.set_default_timeout(PAGE_S * 1000)
    made = context.new_page()
    open_lab(lab, made, secrets.token_hex(4))
    yield made
    context.close()


@pytest.fixture
def at_lab(lab_page: Any) -> Any:
    """The page at JupyterLab's launcher, with nothing else open."""
    execute(lab_page, "application:close-all")
    lab_page.locator(".wb-main").first.wait_for(state="detached")
    # JupyterLab asks before it closes a notebook that was run; it opens a launcher when the last tab has gone.
    lab_page.locator(".jp-Launcher:visible, .jp-Dialog").first.wait_for()
    if lab_page.locator(".jp-Dialog").count():
        lab_page.locator(".jp-Dialog").get_by_role("button", name="Discard").click()
    lab_page.locator(".jp-Launcher").first.wait_for()
    return lab_page
