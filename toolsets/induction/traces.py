"""What a run did, as plain data: its calls with their values, and the task's text.

In: values from a run log, or from an executor's outcomes. Out: `Trace`s. Neighbours: `flow` reads them. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class TracedCall:
    """One call that succeeded. arguments: as the tool got them. written: references that stood in the text, by the
    name of the argument; `Ref.call` is the id of a call of the same trace. text: the result as a worker read it."""

    id: str
    tool: str
    arguments: Mapping[str, Any] = field(hash=False)
    result: Any = field(hash=False)
    text: str = ""
    written: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Question:
    """A part of the task, and the answer that was given to it."""

    text: str
    answer: str | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """The calls of one solved run, each after those whose results it could know."""

    run: str
    task: str
    calls: tuple[TracedCall, ...]
    questions: tuple[Question, ...] = ()

    def question_of(self, call: TracedCall) -> str | None:
        """The one question whose answer is this call's result; None where that is not certain."""
        asked = [one.text for one in self.questions if one.answer is not None and one.answer.strip() == call.text]
        return asked[0] if len(asked) == 1 else None


def value_key(value: Any) -> str:
    """A text that equal values share: equal as JSON, so that 6 and 6.0 are, and 1 and True are not.

    >>> value_key(6.0) == value_key(6), value_key(1) == value_key(True)
    (True, False)
    """
    return json.dumps(_plain(value), sort_keys=True, ensure_ascii=False, default=str)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
