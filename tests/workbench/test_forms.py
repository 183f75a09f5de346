"""Forms of plain ipywidgets: what stands in them is what a run gets."""

from collections.abc import Iterator
from pathlib import Path

import ipywidgets
import pytest

from toolsets.policy import CallPolicy
from workbench import Workbench
from workbench.forms import SettingsForm, TaskForm, ToolPicker


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    folder: Path = tmp_path_factory.mktemp("forms")
    with Workbench(data_dir=folder, workers=1, memory="none", policy=CallPolicy(timeout_s=9)) as made:
        yield made


def test_settings_begin_with_the_workbenchs_and_become_a_runs(bench: Workbench) -> None:
    form = SettingsForm(bench)
    assert form.value == {name: bench.settings[name] for name in form.value}
    form.fields["workers"].value = 99
    form.fields["max_tokens"].value = 50
    form.fields["asks"].value = True
    assert (form.value["workers"], form.value["max_tokens"]) == (8, 50)
    assert form.value["policy"] == CallPolicy(timeout_s=9, approval=True)
    assert isinstance(ipywidgets.HBox([form.widget]).children[0], ipywidgets.VBox)


def test_tools_are_searched_and_stay_chosen_while_the_search_hides_them(bench: Workbench) -> None:
    picker = ToolPicker(bench)
    picker.search.value = "greatest common"
    assert "gcd" in [name for _, name in picker.list.options]
    picker.list.value = ["gcd"]
    picker.search.value = "percent"
    assert "gcd" not in [name for _, name in picker.list.options]
    picker.list.value = ["percent_of"]
    assert picker.value == ["gcd", "percent_of"]
    picker.search.value = ""
    assert sorted(picker.list.value) == ["gcd", "percent_of"]
    picker.list.value = ["gcd"]
    assert picker.value == ["gcd"]


def test_only_tools_that_a_run_may_call_can_be_chosen(bench: Workbench) -> None:
    code = 'def double_it(x: int) -> int:\n    """Twice a number."""\n    return 2 * x\n'
    row = bench.tools.add({"code": code})
    assert "double_it" not in [name for _, name in ToolPicker(bench).list.options]
    bench.tools.approve(row.id)
    assert "double_it" in [name for _, name in ToolPicker(bench).list.options]


def test_a_task_is_started_with_its_settings_shown_and_refused_with_a_sentence(bench: Workbench) -> None:
    form = TaskForm(bench)
    form.start.click()
    assert form.run is None
    assert "task" in form.refusal.value.lower()
    form.task.value = "1. What is 2 plus 3?"
    form.settings.fields["seed"].value = 7
    form.start.click()
    assert form.run is not None
    assert form.refusal.value == ""
    assert form.shown.outputs[0]["data"]["text/plain"]
    form.run.wait()
    (started,) = (event.payload for event in form.run.events() if event.kind == "run_started")
    assert (started.task, started.seed) == (form.value, 7)
