"""The calls of a run as values: one call with its state, one that waits for a person's word, and what all returned.

In: made and kept up to date by `calls`. Out: read by `driver`, `session` and whoever holds a run.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from toolsets.results import CallOutcome, ResultStore, UnknownResultError
from workbench import events as ev
from workbench.edits import Edit
from workbench.errors import UsageError


@dataclass(slots=True)
class Call:
    """One call of the run. name: unique in the run. id: unique for its worker, the executor's. label: what the worker's
    text calls it. needs: names of the calls that it refers to. outside: its text comes, at least in part, from outside.
    """

    name: str
    number: int
    worker: str
    plan: str
    id: str
    label: str
    tool: str
    needs: tuple[str, ...] = ()
    asking: bool = False
    outside: bool = False
    outcome: CallOutcome | None = None
    decided_by: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    asked: Mapping[str, Any] = field(default_factory=dict)
    """What a person is asked about, whole, where `arguments` is as the log has it."""
    edit: Edit | None = None
    """What a person has given it in the place of that."""
    word: ev.ApprovalGiven | None = None
    """A person's word that the log of a run that goes on has."""
    read: tuple[str, int] | None = None
    """Where it reads on in a result: in which, and from which character on."""

    @property
    def ended(self) -> bool:
        return self.outcome is not None


@dataclass(frozen=True, slots=True)
class Pending:
    """A call that waits for a person's word."""

    call: str
    worker: str
    tool: str
    arguments: Mapping[str, Any] = field(hash=False)


class Results(Mapping[str, Any]):
    """What the calls of a run returned, whole, by the names that the log gives them: `run.results["c1"]`."""

    def __init__(self, calls: Mapping[str, Call], store: ResultStore) -> None:
        self._calls, self._store = calls, store

    def __getitem__(self, name: str) -> Any:
        call = self._calls.get(name)
        if call is None:
            raise KeyError(name)
        if call.outcome is None:
            raise UsageError(f"Call {name} has no result yet: it still runs, or waits.")
        if not call.outcome.succeeded:
            raise UsageError(f"Call {name} has no result: {call.outcome.text}")
        try:
            return self._store.value(call.outcome.result_id)
        except UnknownResultError as error:
            raise UsageError(str(error)) from error

    def __iter__(self) -> Iterator[str]:
        done = [(name, call.outcome) for name, call in list(self._calls.items()) if call.outcome]
        return iter([name for name, outcome in done if outcome.succeeded and outcome.result_id in self._store])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        """Each value in short: one may be millions of characters long."""
        return f"{{{', '.join(f'{name!r}: {reprlib.repr(value)}' for name, value in self.items())}}}"
