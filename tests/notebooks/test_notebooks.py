"""Every tour runs from its first cell to its last, on the embedded model, in a copy of its folder."""

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import nbclient
import nbformat
import pytest

FOLDER = Path(__file__).parents[2] / "notebooks"
TOURS = sorted(FOLDER.glob("[0-9]*.ipynb"))


def test_there_is_a_first_tour() -> None:
    assert TOURS[0].name == "01_first_run.ipynb"


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[nbformat.NotebookNode]]]:
    """All of them, two at a time: a kernel takes longer to import torch than to run a tour."""
    with ThreadPoolExecutor(2) as pool:
        yield {tour.name: pool.submit(execute, tour, tmp_path_factory.mktemp(tour.stem)) for tour in TOURS}


def execute(tour: Path, home: Path) -> nbformat.NotebookNode:
    """The notebook with its outputs; raises CellExecutionError."""
    desk = shutil.copytree(FOLDER, home / "notebooks")
    notebook = nbformat.read(desk / tour.name, as_version=4)
    client = nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(desk)}})
    environment = {**os.environ, "WORKBENCH_DATA_DIR": str(home / "data"), "HF_HUB_OFFLINE": "1"}
    client.execute(env=environment)
    return notebook


@pytest.mark.parametrize("tour", TOURS, ids=lambda tour: tour.stem)
def test_a_tour_runs_from_top_to_bottom(tour: Path, executed: dict[str, Future[nbformat.NotebookNode]]) -> None:
    cells = [cell for cell in executed[tour.name].result(300).cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in cells)


@pytest.mark.parametrize("tour", TOURS, ids=lambda tour: tour.stem)
def test_a_tour_is_kept_without_outputs(tour: Path) -> None:
    notebook = nbformat.read(tour, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert cells
    assert not [cell for cell in cells if cell.outputs or cell.execution_count]
