"""The longest chain of calls of a plan, which no executor can be faster than.

In: a plan and how long each call takes. Out: `CriticalPath`. Neighbours: `executor` is measured against it; views
show it. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from heapq import heappop, heappush

from toolsets.executor.order import Circular, Order
from toolsets.plan import Plan, PlannedCall


@dataclass(frozen=True, slots=True)
class CriticalPath:
    """calls: ids from the first to the last of the chain."""

    duration_s: float
    calls: tuple[str, ...]


def critical_path(plan: Plan, durations: Mapping[str, float], writes: Collection[str] = ()) -> CriticalPath:
    """The longest chain, by what calls refer to and by the barriers of `writes`. A call without a duration counts
    as nothing, and so does one that can never begin.

    >>> from toolsets.plan import PlannedCall, Ref
    >>> calls = [PlannedCall("1", "f", {}), PlannedCall("2", "f", {"x": Ref("1")}), PlannedCall("3", "f", {})]
    >>> critical_path(Plan(tuple(calls)), {"1": 1.0, "2": 0.5, "3": 1.2})
    CriticalPath(duration_s=1.5, calls=('1', '2'))
    """
    order = Order()
    positions = {call.id: position for position, call in enumerate(plan)}
    before: dict[str, str | None] = {}
    running: list[tuple[float, int, str]] = []

    def begin(id: str, start_s: float, after: str | None) -> None:
        before[id] = after
        heappush(running, (start_s + durations.get(id, 0.0), positions[id], id))

    for call in plan:
        for id in _added(order, call, write=call.id in writes):
            begin(id, 0.0, None)
    end_s, last = 0.0, None
    # Whatever ends last of all that a call waits for is the step before it, so ends are taken in the order of time.
    while running:
        end_s, _, last = heappop(running)
        for freed in order.end(last):
            begin(freed, end_s, last)
    chain: list[str] = []
    step = last
    while step is not None:
        chain.append(step)
        step = before[step]
    return CriticalPath(end_s, tuple(reversed(chain)))


def _added(order: Order, call: PlannedCall, *, write: bool) -> list[str]:
    try:
        return order.add(call.id, call.needs(), write=write)
    except Circular:
        return []
