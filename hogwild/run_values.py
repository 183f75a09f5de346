"""What goes into a run and comes out of it: the brief, what narrows its workers, and what happens. Only values.

In and out of `collaboration.py`, which is above. Who listens (`workbench.driver`) makes events of what happens; who
guides (`workbench.guides`) says what may be chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from hogwild.sampling import Allowed, Sampling


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that a watcher may want to know.

    kind: opened, frozen, merged, decoded, injected, state, ended. `text` of a decoded token is what it adds to the text
    (empty while a character is incomplete); `ids` of merged blocks are the old blocks.
    """

    kind: str
    worker: str = ""
    block: int = -1
    text: str = ""
    ids: tuple[int, ...] = ()
    role: str = ""
    length: int = 0


@dataclass(frozen=True, slots=True)
class Brief:
    """What a collaboration is given. items: how many items the task lists, 0 if it is no list. tools: a line each, and
    their schemas. budget: tokens per worker; run_budget: tokens of all workers together; None for no limit. concepts:
    what may help, as text. own: how some workers sample, by name; instructions: a line at the beginning of what some
    write."""

    task: str
    workers: tuple[str, ...]
    items: int = 0
    tools: tuple[str, ...] = ()
    schemas: tuple[dict[str, Any], ...] = ()
    budget: int | None = None
    run_budget: int | None = None
    sampling: Sampling = field(default_factory=Sampling)
    concepts: str = ""
    own: Mapping[str, Sampling] = field(default_factory=dict)
    instructions: Mapping[str, str] = field(default_factory=dict)

    def sampling_of(self, worker: str) -> Sampling:
        """How a worker of that name begins to sample."""
        return self.own.get(worker, self.sampling)


class Guide(Protocol):
    """Narrows what workers may choose, by what they have written. The same texts always narrow alike."""

    def wrote(self, worker: str, text: str) -> None:
        """What the worker has written goes on so."""
        ...

    def told(self, worker: str) -> None:
        """Something was put into its block, or its turn has ended: what it writes now begins anew."""
        ...

    def asked(self, worker: str) -> None:
        """It has been told to give the answer, or its part: what it writes now is that."""
        ...

    def allowed(self, worker: str) -> Allowed | None:
        """What it may choose next; None for everything."""
        ...


class Unguided:
    """Every token may be chosen."""

    def wrote(self, worker: str, text: str) -> None: ...

    def told(self, worker: str) -> None: ...

    def asked(self, worker: str) -> None: ...

    def allowed(self, worker: str) -> Allowed | None:
        return None
