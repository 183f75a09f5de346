"""The value that a run was asked for: how the wish is checked, what is wrong with an answer, and reading it.

In: the form of the answer, what a run has answered. Out: a value, or a sentence. Of a worksheet the form is that of
each item's answer. Neighbours: `toolsets.answers` reads one answer; `driver` says at the end whether it fits, `reading`
gives the value to whoever holds the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from toolsets.answers import AnswerForm
from toolsets.errors import AnswerError
from workbench import events as ev
from workbench.errors import UsageError


def form_of(wish: Any) -> AnswerForm | None:
    """What `answer=` asks for; None for nothing in particular. Raises UsageError."""
    try:
        return None if wish is None else AnswerForm.of(wish)
    except AnswerError as error:
        raise UsageError(str(error)) from error


def misfit(form: AnswerForm, answer: str, items: Sequence[ev.AnsweredItem]) -> str:
    """What is wrong with an answer, in a sentence; empty if nothing is."""
    try:
        _read(form, answer, items)
    except AnswerError as error:
        return str(error)
    return ""


def value_of(form: AnswerForm | None, answer: str, items: Sequence[ev.AnsweredItem]) -> Any:
    """The value of an answer, or of a worksheet of several items a list with one for each,
    None where an item has no answer; raises UsageError."""
    if form is None:
        raise UsageError("This run was not asked for a value: give answer=int, say, when you start it.")
    try:
        return _read(form, answer, items)
    except AnswerError as error:
        raise UsageError(str(error)) from error


def _read(form: AnswerForm, answer: str, items: Sequence[ev.AnsweredItem]) -> Any:
    if not items:
        return form.read(answer)
    if all(item["answer"] is None for item in items):
        raise AnswerError("There is no answer.")
    values = []
    for item in items:
        try:  # None: nobody has answered it, or a person has taken it out
            values.append(None if item["answer"] is None else form.read(item["answer"]))
        except AnswerError as error:
            raise AnswerError(f"Item {item['item']}: {error}" if len(items) > 1 else str(error)) from None
    return values if len(items) > 1 else values[0]
