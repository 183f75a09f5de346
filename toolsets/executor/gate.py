"""How many calls may run at one time, and that a write runs alone. Over all plans of an executor.

In: tickets of calls that may begin. Out: those that there is room for, in the order of their arrival. Neighbours:
`order` says when a call may begin, `executor` holds a ticket for as long as an attempt runs. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Generic, TypeVar

Holder = TypeVar("Holder")


@dataclass(slots=True, eq=False)
class Ticket(Generic[Holder]):
    """One execution's place. number: order of arrival."""

    number: int
    holder: Holder
    tool: str
    server: str | None = None
    max_concurrent: int | None = None
    write: bool = False
    server_cap: int | None = None
    waiting: bool = False
    running: bool = False

    def __lt__(self, other: Ticket[Holder]) -> bool:
        return self.number < other.number


class Gate(Generic[Holder]):
    """max_concurrent: calls at one time. server_caps: the same for each server that it names; for another one, what
    its tickets say."""

    def __init__(self, max_concurrent: int, server_caps: Mapping[str, int]) -> None:
        self._max_concurrent = max_concurrent
        self._server_caps = server_caps
        # One queue for each tool: a full tool then costs one look, not one for each of its calls.
        self._queues: dict[str, list[Ticket[Holder]]] = {}
        self._tools: Counter[str] = Counter()
        self._servers: Counter[str | None] = Counter()
        self._running = 0
        self._writing = False

    def offer(self, ticket: Ticket[Holder]) -> None:
        """A call may begin as soon as there is room."""
        assert not ticket.waiting
        assert not ticket.running
        ticket.waiting = True
        heappush(self._queues.setdefault(ticket.tool, []), ticket)

    def release(self, ticket: Ticket[Holder]) -> None:
        """It runs no longer, or no longer wants to. To be called as often as one likes."""
        ticket.waiting = False  # one that still lies in a queue is dropped when its turn comes
        if ticket.running:
            ticket.running = False
            self._running -= 1
            self._tools[ticket.tool] -= 1
            self._servers[ticket.server] -= 1
            self._writing = False

    def granted(self) -> list[Ticket[Holder]]:
        """The tickets that there is room for; each counts as running from now on."""
        granted: list[Ticket[Holder]] = []
        while self._running < self._max_concurrent and not self._writing and (ticket := self._next()):
            heappop(self._queues[ticket.tool])
            ticket.waiting, ticket.running = False, True
            self._running += 1
            self._tools[ticket.tool] += 1
            self._servers[ticket.server] += 1
            self._writing = ticket.write
            granted.append(ticket)
        return granted

    def _next(self) -> Ticket[Holder] | None:
        """The one of longest standing that may run. A write waits until all is quiet, and nobody passes it."""
        for ticket in sorted(self._heads()):
            if ticket.write:
                return None if self._running else ticket
            if self._has_room(ticket):
                return ticket
        return None

    def _heads(self) -> list[Ticket[Holder]]:
        heads = []
        for tool, queue in list(self._queues.items()):
            while queue and not queue[0].waiting:
                heappop(queue)
            if queue:
                heads.append(queue[0])
            else:
                del self._queues[tool]
        return heads

    def _has_room(self, ticket: Ticket[Holder]) -> bool:
        if ticket.max_concurrent is not None and self._tools[ticket.tool] >= ticket.max_concurrent:
            return False
        cap = None if ticket.server is None else self._server_caps.get(ticket.server, ticket.server_cap)
        return cap is None or self._servers[ticket.server] < cap
