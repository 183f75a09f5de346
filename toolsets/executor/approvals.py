"""A person's yes or no, or a yes with other arguments.

In: what is asked (`ApprovalAsked`). Out: a `Decision`. Neighbours: `executor` awaits an `Approver` before a call that
needs one begins; a view shows the event and answers through `Approvals.decide`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import anyio

from toolsets.executor.events import ApprovalAsked


@dataclass(frozen=True, slots=True)
class Decision:
    approved: bool
    reason: str = ""
    """In the person's words; the model reads it."""
    arguments: Mapping[str, Any] | None = field(default=None, hash=False)
    """What the call runs with, all of it, in the place of what was asked for. Where it does not fit the tool, the
    question is asked again, with the problem."""


Approver: TypeAlias = Callable[[ApprovalAsked], Awaitable[Decision]]


class Approvals:
    """An approver that waits until somebody decides. In the event loop's thread, all of it."""

    def __init__(self) -> None:
        self._asked: dict[tuple[str, str], tuple[ApprovalAsked, anyio.Event]] = {}
        self._decided: dict[tuple[str, str], Decision] = {}

    @property
    def pending(self) -> tuple[ApprovalAsked, ...]:
        """What waits for a person, the oldest first."""
        return tuple(asked for asked, _ in self._asked.values())

    async def __call__(self, asked: ApprovalAsked) -> Decision:
        key = (asked.plan, asked.call)
        answered = anyio.Event()
        self._asked[key] = (asked, answered)
        try:
            await answered.wait()
            return self._decided.pop(key)
        finally:
            self._asked.pop(key, None)
            self._decided.pop(key, None)

    def decide(self, plan: str, call: str, decision: Decision) -> bool:
        """Answer one question. Returns False where nothing is asked, or it has been answered: the first word counts."""
        asked = self._asked.pop((plan, call), None)
        if asked is None:
            return False
        self._decided[plan, call] = decision
        asked[1].set()
        return True
