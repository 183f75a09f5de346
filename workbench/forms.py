"""Forms of plain ipywidgets, to be placed beside widgets of one's own: a run's settings, a choice of tools, a task.

    from workbench.forms import SettingsForm, TaskForm, ToolPicker
    settings = SettingsForm(bench)
    TaskForm(bench, settings)            # the last line of a cell shows it; a button starts the run, which shows itself

In: a `Workbench`. Out: objects with a `widget`, for layouts of one's own, and a `value`, to be read at any time. The
live panel of a run is `workbench.widget.run_widget`. Neighbours: `run_settings` says which values there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets

from toolsets.policy import CallPolicy
from workbench.errors import WorkbenchError
from workbench.recall import MEMORY
from workbench.run_settings import LAYOUTS
from workbench.steering import MAX_WORKERS

if TYPE_CHECKING:
    from workbench.session import Run, Workbench

_WIDE = {"description_width": "9em"}


class Form:
    """What all forms have in common: they display themselves as their `widget`."""

    widget: Any

    def _repr_mimebundle_(self, **given: Any) -> Any:
        return self.widget._repr_mimebundle_(**given)


class SettingsForm(Form):
    """A run's settings, beginning with those of a workbench; `value` goes into `bench.run(task, **value)`."""

    def __init__(self, bench: Workbench) -> None:
        known = bench.settings
        policy = known["policy"]
        self._policy = policy
        self.fields: dict[str, Any] = {
            "workers": ipywidgets.BoundedIntText(known["workers"], min=1, max=MAX_WORKERS, description="Workers"),
            "layout": ipywidgets.Dropdown(options=LAYOUTS, value=known["layout"], description="Layout"),
            "temperature": ipywidgets.BoundedFloatText(
                known["temperature"], min=0.0, max=100.0, step=0.1, description="Temperature"
            ),
            "seed": ipywidgets.IntText(known["seed"], description="Seed"),
            "max_tokens": ipywidgets.BoundedIntText(
                known["max_tokens"] or 0, min=0, max=10**9, description="Tokens (0: no limit)"
            ),
            "memory": ipywidgets.Dropdown(options=MEMORY, value=known["memory"], description="Memory"),
            "attention": ipywidgets.Checkbox(known["attention"], description="Log who attends to whom"),
            "asks": ipywidgets.Checkbox(
                bool(policy and policy.approval), description="Ask me before each call of a tool"
            ),
        }
        for field in self.fields.values():
            field.style = _WIDE
        self.widget = ipywidgets.VBox(list(self.fields.values()))

    @property
    def value(self) -> dict[str, Any]:
        """The settings as they stand in the form."""
        found = {name: field.value for name, field in self.fields.items()}
        found["max_tokens"] = found["max_tokens"] or None
        asks, asked = found.pop("asks"), bool(self._policy and self._policy.approval)
        policy = self._policy if asks == asked else CallPolicy(approval=asks).over(self._policy)
        return found | {"policy": policy}


class ToolPicker(Form):
    """The library's active tools, to be searched by words and chosen; `value` goes into `Workbench(tools=value)`."""

    def __init__(self, bench: Workbench) -> None:
        self._rows = {row.name: row.summary for row in bench.tools.rows(states=("active",))}
        self._chosen: dict[str, None] = {}
        self.search = ipywidgets.Text(placeholder="Search", continuous_update=True)
        self.list = ipywidgets.SelectMultiple(rows=10, layout={"width": "auto"})
        self._told = ipywidgets.Label()
        self.widget = ipywidgets.VBox([self.search, self.list, self._told])
        self.search.observe(lambda _: self._show(), "value")
        self.list.observe(self._picked, "value")
        self._show()

    @property
    def value(self) -> list[str]:
        """The names that are chosen, those that the search hides too."""
        return list(self._chosen)

    def _show(self) -> None:
        words = self.search.value.lower().split()
        found = [n for n, told in self._rows.items() if all(word in f"{n} {told}".lower() for word in words)]
        chosen = dict(self._chosen)
        self.list.options = [(f"{name}: {self._rows[name]}", name) for name in found]  # this takes the choice back
        self._chosen = chosen
        self.list.value = [name for name in found if name in chosen]

    def _picked(self, _: object) -> None:
        shown = {name for _, name in self.list.options}
        kept = {name: None for name in self._chosen if name not in shown}
        self._chosen = kept | dict.fromkeys(self.list.value)
        self._told.value = f"{len(self._chosen)} chosen: {', '.join(self._chosen)}" if self._chosen else ""


class TaskForm(Form):
    """A task and a button that starts a run, which shows itself below; `run` is the last one, `value` the task."""

    def __init__(self, bench: Workbench, settings: SettingsForm | None = None, task: str = "") -> None:
        self._bench, self.settings = bench, settings if settings is not None else SettingsForm(bench)
        self.run: Run | None = None
        self.task = ipywidgets.Textarea(task, rows=6, placeholder="1. A question", layout={"width": "auto"})
        self.start = ipywidgets.Button(description="Start the run", button_style="primary")
        self.refusal, self.shown = ipywidgets.Label(), ipywidgets.Output()
        self.start.on_click(lambda _: self._begin())
        self.widget = ipywidgets.VBox([self.task, self.settings.widget, self.start, self.refusal, self.shown])

    @property
    def value(self) -> str:
        """The task as it stands in the form."""
        return str(self.task.value)

    def _begin(self) -> None:
        self.refusal.value = ""
        try:
            self.run = self._bench.run(self.value, **self.settings.value)
        except WorkbenchError as error:
            self.refusal.value = str(error)
            return
        shown = self.run._repr_mimebundle_()
        data, metadata = shown if isinstance(shown, tuple) else (shown, {})
        self.shown.outputs = ({"output_type": "display_data", "data": data, "metadata": metadata},)


__all__ = ["SettingsForm", "TaskForm", "ToolPicker"]
