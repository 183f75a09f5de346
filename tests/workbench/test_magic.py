"""`%%workbench`: a cell that is a task, with the notebook's variables and functions; what is refused, in a sentence.

In: an IPython shell and the embedded model. Out: runs in variables, errors. Neighbours: `workbench.magic`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from IPython.core.error import UsageError as Refused
from IPython.core.interactiveshell import InteractiveShell

from workbench import Run, Workbench
from workbench.magic import filled


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InteractiveShell]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_DATA_DIR", str(tmp_path_factory.mktemp("data")))
        patch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
        patch.setenv("WORKBENCH_ENGINE", "thread")
        made = InteractiveShell.instance()
        made.run_line_magic("load_ext", "workbench")
        yield made
        InteractiveShell.clear_instance()


def cell(shell: InteractiveShell, line: str, text: str) -> Any:
    return shell.run_cell_magic("workbench", line, text)


def test_a_cell_is_a_task_and_a_variable_holds_its_run(shell: InteractiveShell) -> None:
    shell.user_ns["price"] = 240
    run = cell(shell, "--workers 1 --memory none", "1. What is 15 percent of {price}?\n")
    assert isinstance(run, Run)
    assert shell.user_ns["run"] is run
    assert run.answer == "1: 36"
    assert run.view().started.settings["workers"] == 1  # type: ignore[union-attr]


def test_a_line_is_a_task_too_in_a_variable_of_your_choice(shell: InteractiveShell) -> None:
    shell.run_line_magic("workbench", "-n 1 --memory none --as other What is 17 + 25?")
    assert shell.user_ns["other"].answer == "1: 42"


def test_functions_of_the_notebook_are_tools(shell: InteractiveShell) -> None:
    shell.run_cell('def double(x: int) -> int:\n    """Twice a number."""\n    return 2 * x')
    run = cell(shell, "--tools builtin,double --max-tokens 1 --memory none", "1. What is 17 + 25?")
    run.wait()
    assert {"gcd", "double"} <= set(run.view().started.tools)


def test_cells_with_the_same_model_and_tools_share_a_workbench(shell: InteractiveShell) -> None:
    first, second = (cell(shell, "--max-tokens 1 --memory none", "What is 1 + 1?") for _ in range(2))
    assert first._host is second._host
    first.wait()
    second.wait()


def test_a_workbench_of_the_notebook_can_be_used(shell: InteractiveShell, tmp_path: Path) -> None:
    with Workbench(data_dir=tmp_path, workers=3, memory="none", max_tokens=1) as bench:
        shell.user_ns["mine"] = bench
        run = cell(shell, "--bench mine", "What is 1 + 1?")
        run.wait()
        assert len(run.view().lanes) == 3


def test_a_cell_can_ask_for_a_form_by_name_or_by_a_variable(shell: InteractiveShell) -> None:
    shell.user_ns["Verdict"] = Literal["yes", "no"]
    assert cell(shell, "--answer int", "What is 3 + 4?").value == 7
    assert cell(shell, "--answer Verdict", "Is 97 a prime number?").value == "yes"
    with pytest.raises(Refused, match="no kind of answer 'verdict'"):
        cell(shell, "--answer verdict", "Is 97 a prime number?")


@pytest.mark.parametrize(
    ("line", "text", "says"),
    [
        ("--workers 99", "What?", "number of workers"),
        ("--layout round", "What?", "no layout 'round'"),
        ("--as 1x", "What?", "name of a variable"),
        ("--bench price", "What?", "no Workbench of this notebook"),
        ("--tools nothing_such", "What?", "nothing_such"),
        ("Hello", "What?", "stands in the cell"),
        ("", "  \n", "task is empty"),
        ("--wrokers 2", "What?", "unrecognized arguments"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(shell: InteractiveShell, line: str, text: str, says: str) -> None:
    with pytest.raises(Refused, match=says):
        cell(shell, line, text)


def test_only_names_of_variables_are_filled_in_and_only_once() -> None:
    assert filled('{x} {y} {"a": 1} {} {x.y}', {"x": "{y}", "z": 1}) == '{y} {y} {"a": 1} {} {x.y}'
    assert filled("{x}{y}", {"x": "{y}", "y": 2}) == "{y}2"
