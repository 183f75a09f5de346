"""When the calls of one plan may begin: after what they refer to, and around the barriers of writes.

In: calls in the order in which they arrive, and each call's end. Out: ids that may begin now. Neighbours: `executor`
asks it, `gate` then says whether there is room. Pure.

A read waits for every write that arrived before it; a write waits for everything that arrived before it. A call may
refer to one that arrives later. For the barriers it then counts as arriving together with that one: a write between
the two would otherwise wait for a call whose needs are still to come, and perhaps wait for the write.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass


class Circular(Exception):
    """A call would wait for itself."""


@dataclass(slots=True)
class _Parked:
    """A call that refers to calls which have not arrived, or are parked themselves."""

    needs: tuple[str, ...]
    write: bool
    missing: set[str]


class Order:
    """The open calls of one plan: those that have arrived and not ended."""

    def __init__(self, ended: Collection[str] = ()) -> None:
        self._ended = set(ended)
        self._parked: dict[str, _Parked] = {}
        self._wanted: dict[str, list[str]] = {}
        """By id: parked calls that it is missing for."""
        self._waits: dict[str, set[str]] = {}
        """By open call that is not parked: the open calls that it waits for."""
        self._waiters: dict[str, list[str]] = {}
        self._writes: set[str] = set()
        # Every open call (write) is in _tail (_front) or is waited for by one that is. So a new write (read) need wait
        # for these alone, and a plan of n calls has about n edges for its barriers, not n * n.
        self._tail: set[str] = set()
        self._front: set[str] = set()

    def add(self, id: str, needs: Iterable[str], *, write: bool) -> list[str]:
        """A call has arrived. Returns the calls that may begin now; raises Circular, and then it has not arrived."""
        assert id not in self._waits
        assert id not in self._parked
        needs = tuple(needs)
        missing = {need for need in needs if need not in self._ended and need not in self._waits}
        if not missing:
            ready = self._enter(id, needs, write=write)
            return [*([id] if ready else []), *self._arrived(id)]
        if self._reaches(missing, id):
            raise Circular
        self._parked[id] = _Parked(needs, write, missing)
        for need in missing:
            self._wanted.setdefault(need, []).append(id)
        return []

    def end(self, id: str) -> list[str]:
        """A call has ended, perhaps before it began. Returns the calls that may begin now."""
        self._ended.add(id)
        self._parked.pop(id, None)
        unmet = self._waits.pop(id, set())
        self._writes.discard(id)
        if id in self._tail:
            self._tail.remove(id)
            self._tail |= unmet
        if id in self._front:
            self._front.remove(id)
            self._front |= self._writes_under(unmet)
        ready = []
        for waiter in self._waiters.pop(id, ()):
            waits = self._waits.get(waiter)
            if waits is None:
                continue
            waits.discard(id)
            # One that ended early kept its waiters behind what it waited for itself; that still holds.
            for need in unmet - waits:
                waits.add(need)
                self._waiters.setdefault(need, []).append(waiter)
            if not waits:
                ready.append(waiter)
        return ready + self._arrived(id)

    def missing(self) -> dict[str, list[str]]:
        """By call: the ids that it refers to and that have not arrived."""
        found = {id: sorted(parked.missing - self._parked.keys()) for id, parked in self._parked.items()}
        return {id: missing for id, missing in found.items() if missing}

    def _enter(self, id: str, needs: Iterable[str], *, write: bool) -> bool:
        """Returns whether it may begin at once."""
        waits = {need for need in needs if need not in self._ended}
        waits |= self._tail if write else self._front
        if write:
            self._tail, self._front = set(), {id}
            self._writes.add(id)
        self._tail.add(id)
        self._waits[id] = waits
        for need in waits:
            self._waiters.setdefault(need, []).append(id)
        return not waits

    def _arrived(self, id: str) -> list[str]:
        """Let in the parked calls that this one was the last missing one for, and those that they were missing for."""
        ready: list[str] = []
        arrived = deque([id])
        while arrived:
            now = arrived.popleft()
            for other in self._wanted.pop(now, ()):
                parked = self._parked.get(other)
                if parked is None:
                    continue
                parked.missing.discard(now)
                if not parked.missing:
                    del self._parked[other]
                    arrived.append(other)
                    if self._enter(other, parked.needs, write=parked.write):
                        ready.append(other)
        return ready

    def _reaches(self, needs: Iterable[str], id: str) -> bool:
        """Whether what these calls need, directly or not, includes that one."""
        seen = set(needs)
        stack = list(seen)
        while stack:
            need = stack.pop()
            if need == id:
                return True
            if (parked := self._parked.get(need)) is not None:
                stack.extend(parked.missing - seen)
                seen |= parked.missing
        return False

    def _writes_under(self, ids: Iterable[str]) -> set[str]:
        """The nearest open writes that these calls are, or wait for."""
        found: set[str] = set()
        seen = set(ids)
        stack = list(seen)
        while stack:
            id = stack.pop()
            if id in self._writes:
                found.add(id)
                continue
            for need in self._waits.get(id, ()):
                if need not in seen:
                    seen.add(need)
                    stack.append(need)
        return found
