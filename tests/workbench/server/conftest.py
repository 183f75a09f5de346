"""A Jupyter server with the extension, on a run log of its own."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Not as a plugin, which would run every async test of the whole suite in a loop of its own.
from pytest_jupyter.jupyter_server import *  # noqa: F403

sys.path += [str(Path(__file__).parents[1]), str(Path(__file__).parent)]  # helpers are imported by name

from workbench.log import RunLog
from workbench.writer import RunWriter


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "workbench-data"
    monkeypatch.setenv("WORKBENCH_DATA_DIR", str(folder))
    monkeypatch.setenv("WORKBENCH_ENGINE", "thread")  # the extension would set it, and kernels of other tests read it
    return folder


@pytest.fixture
def jp_server_config(data_dir: Path) -> dict:
    return {"ServerApp": {"jpserver_extensions": {"workbench.server": True}}}


@pytest.fixture
def log(data_dir: Path) -> RunLog:
    return RunLog(data_dir / "runs.sqlite3")


@pytest.fixture
def writer(log: RunLog) -> Iterator[RunWriter]:
    """A run that goes on until the test ends."""
    with log.open_run("live-run", "1. What is 2 + 3?", "embedded") as writer:
        yield writer
