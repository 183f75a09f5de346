"""Who has taken, answered or dropped what, as each scripted worker can see it: the script's only judgement.

In: claims, answers and a person's lines with the place of their last token. Out: which item a worker takes next, waits
for, or sees being done. Everything is judged from the worker's own view, as the engine arranges it: what it cannot see
it cannot know. Neighbours: `script.py`, `hogwild.workspace`.
"""

from __future__ import annotations

from collections.abc import Sequence

from hogwild.embedded.worksheets import Item, Line
from hogwild.views import Block
from hogwild.workspace import Workspace

Place = tuple[Block, int]
"""A block, and the length at which it holds the whole of something."""


class Board:
    """Claims, answers and lines, with who can see them."""

    def __init__(self, items: Sequence[Item], space: Workspace, names: list[str]) -> None:
        self.items = {item.number: item for item in items}
        self.space, self.names = space, names
        self._claims: dict[tuple[str, int], Place] = {}
        self._answers: dict[int, Place] = {}
        self._lines: list[tuple[Line, Place]] = []
        self._waiting: dict[str, int] = {}

    def claimed(self, name: str, number: int, block: Block, length: int) -> None:
        self._claims[name, number] = (block, length)
        self._waiting.pop(name, None)

    def answered(self, number: int, block: Block, length: int) -> None:
        self._answers[number] = (block, length)

    def heard(self, line: Line, block: Block, length: int) -> None:
        """A person has said something where it will stand up to `length` of `block`."""
        self._lines.append((line, (block, length)))
        if line.item is not None:
            self.items[line.number] = line.item

    def pick(self, name: str, rank: int) -> int | None:
        """An item that nobody is seen to have taken, by a rule that keeps two who choose at once apart.

        The first worker takes the lowest, the second the highest, the third the second lowest, and so on. An item that
        builds on another is free once that one's answer is seen.
        """
        free = [number for number in self._free(name) if self._ready(name, number)]
        if not free:
            return None
        if rank % 2:
            free.reverse()
        at = min(rank // 2, len(free) - 1)
        order = [*free[at:], *free[:at][::-1]]
        # Whoever chooses in this very step before this actor is not seen yet, but whoever is at "I take" is.
        rivals = {
            number
            for (other, number), place in self._claims.items()
            if other != name and place[0] in self.space.view(name) and not self._sees(name, place)
        }
        return next((number for number in order if number not in rivals), None)

    def waits_for(self, name: str, rank: int) -> int | None:
        """The item whose answer this worker has to wait for, because all that is free builds on answers to come."""
        free = self._free(name)
        if not free or any(self._ready(name, number) for number in free):
            return None
        number = free[-1] if rank % 2 else free[0]
        base = self.items[number].needs[0]
        if not any(taken == base for _, taken in self._seen_claims(name)):
            return None
        self._waiting[name] = base
        return base

    def being_done(self, name: str) -> tuple[str, int] | None:
        """A peer and the item that it is seen to be working on."""
        for (other, number), place in self._claims.items():
            answer = self._answers.get(number)
            if other != name and self._sees(name, place) and (answer is None or not self._sees(name, answer)):
                return other, number
        return None

    def waiting_for(self, number: int, name: str) -> str:
        """A peer that waits for this answer, or nobody."""
        return next((other for other, base in self._waiting.items() if base == number and other != name), "")

    def _free(self, name: str) -> list[int]:
        taken = {number for _, number in self._seen_claims(name)}
        said = [line for line, place in self._lines if self._sees(name, place)]
        dropped = {line.number for line in said if line.kind == "skip"}
        unheard = {line.number for line, place in self._lines if line.kind == "add" and not self._sees(name, place)}
        return [number for number in self.items if number not in taken | dropped | unheard]

    def _seen_claims(self, name: str) -> list[tuple[str, int]]:
        return [
            (other, number)
            for (other, number), place in self._claims.items()
            if other == name or self._sees(name, place)
        ]

    def _ready(self, name: str, number: int) -> bool:
        needs = self.items[number].needs
        return all(base in self._answers and self._sees(name, self._answers[base]) for base in needs)

    def _sees(self, name: str, place: Place) -> bool:
        block, length = place
        return block in self.space.view(name) and block.length >= length
