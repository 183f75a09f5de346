"""The value that a run was asked for: how the wish is checked, what is wrong with an answer, and reading it.

In: the form of the answer, what a run has answered. Out: a value, or a sentence. Of a worksheet the form is that of
each item's answer. Neighbours: `toolsets.answers` reads one answer; `driver` says at the end whether it fits, `reading`
gives the value to whoever holds the run.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
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


def misfit(form: AnswerForm, answer: str, items: Sequence[ev.AnsweredItem], dropped: Collection[int] = ()) -> str:
    """What is wrong with an answer, in a sentence; empty if nothing is. dropped: items that were taken out."""
    try:
        _read(form, answer, items, dropped)
    except AnswerError as error:
        return str(error)
    return ""


def value_of(form: AnswerForm | None, answer: str, items: Sequence[ev.AnsweredItem]) -> Any:
    """The value of an answer, or of a worksheet of several items a list with one for each; raises UsageError."""
    if form is None:
        raise UsageError("This run was not asked for a value: give answer=int, say, when you start it.")
    try:
        return _read(form, answer, items)
    except AnswerError as error:
        raise UsageError(str(error)) from error


def _read(form: AnswerForm, answer: str, items: Sequence[ev.AnsweredItem], dropped: Collection[int] = ()) -> Any:
    kept = [item for item in items if item["item"] not in dropped]
    if not items:
        return form.read(answer)
    if len(items) == 1:
        return form.read(items[0]["answer"] or "")
    values = []
    for item in kept:
        try:
            values.append(form.read(item["answer"] or ""))
        except AnswerError as error:
            raise AnswerError(f"Item {item['item']}: {error}") from None
    return values
