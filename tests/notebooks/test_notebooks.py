"""Every tour runs from its first cell to its last, on the embedded model, in a copy of its folder."""

import shutil
from pathlib import Path

import nbclient
import nbformat
import pytest

FOLDER = Path(__file__).parents[2] / "notebooks"
TOURS = sorted(FOLDER.glob("[0-9]*.ipynb"))


def test_there_is_a_first_tour() -> None:
    assert TOURS[0].name == "01_first_run.ipynb"


@pytest.mark.parametrize("tour", TOURS, ids=lambda tour: tour.stem)
def test_a_tour_runs_from_top_to_bottom(tour: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    desk = shutil.copytree(FOLDER, tmp_path / "notebooks")
    notebook = nbformat.read(desk / tour.name, as_version=4)
    client = nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(desk)}})
    client.execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in cells)


@pytest.mark.parametrize("tour", TOURS, ids=lambda tour: tour.stem)
def test_a_tour_is_kept_without_outputs(tour: Path) -> None:
    notebook = nbformat.read(tour, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert cells
    assert not [cell for cell in cells if cell.outputs or cell.execution_count]
