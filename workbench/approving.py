"""A person at a terminal decides about calls: yes, no, or yes with other arguments, which they edit in the picture.

In: keys, and a run. Out: `approve` and `reject`. Neighbours: `keys` reads the terminal, `live` shows what is being
edited, `run_command` puts them together.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.errors import UsageError
from workbench.line_edit import LineEdit

if TYPE_CHECKING:
    from workbench.call_values import Pending
    from workbench.live import LiveView
    from workbench.steering import Steerable


@dataclass(slots=True)
class CallEdit:
    """A call whose arguments a person edits. problem: why it cannot run with what they have sent."""

    call: str
    tool: str
    line: LineEdit
    problem: str = ""


class Deciding:
    """Takes keys: y, n and e are about the call that has waited longest, the others go into what is being edited."""

    def __init__(self, run: Any, view: LiveView) -> None:
        """run: a run with `pending` that can be steered."""
        self._run, self._view = run, view

    def __call__(self, key: str) -> None:
        if (edit := self._view.edit) is not None:
            self._type(edit, key)
        elif key.lower() in ("y", "n", "e") and (pending := self._run.pending):
            self._decide(key.lower(), pending[0])

    def _decide(self, key: str, asking: Pending) -> None:
        if key == "e":
            if not self._view.plain:  # without a picture there is no place to edit in
                text = arguments_json(asking.arguments)
                self._view.edit = CallEdit(asking.call, asking.tool, LineEdit(text, len(text) - 1))
            return
        steered: Steerable = self._run
        with suppress(UsageError):  # it has just ended
            (steered.approve if key == "y" else steered.reject)(asking.call, by="terminal")

    def _type(self, edit: CallEdit, key: str) -> None:
        match edit.line.press(key):
            case "back":
                self._view.edit = None
            case "on":
                edit.problem = ""
            case "sent":
                try:
                    self._run.approve(edit.call, arguments=read_arguments(edit.line.text), by="terminal")
                except UsageError as error:
                    waits = any(one.call == edit.call for one in self._run.pending)
                    edit.problem = str(error)
                    self._view.edit = edit if waits else None
                else:
                    self._view.edit = None


def arguments_json(arguments: Any) -> str:
    """A call's arguments on one line, to be edited."""
    return json.dumps(dict(arguments), ensure_ascii=False)


def read_arguments(text: str) -> Any:
    """The JSON that a person has written; raises UsageError with one sentence."""
    try:
        return json.loads(text)
    except RecursionError:
        raise UsageError("This is nested too deeply: give flatter arguments.") from None
    except ValueError as error:
        where = f"{error.msg}, at character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else str(error)
        raise UsageError(f'This is no JSON ({where}): write an object such as {{"a": 1, "b": "text"}}.') from None
