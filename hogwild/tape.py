"""The record of who saw what: per step and worker, the tokens, and the length and turn of every block in the view.

In: the feeds of each step, after their tokens were appended. Out: a `Tape`, from which `replay.py` rebuilds the whole
run in one forward. No torch here. Written by the engine when asked, and by the embedded model's generator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from hogwild.views import Feed


class Seen(NamedTuple):
    """One block as a worker saw it in one step: its first `length` tokens, `turn` positions back from its own block."""

    block: int
    length: int
    turn: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """Tokens appended to `block` at local position `at` in one step, and the other blocks that they saw."""

    step: int
    worker: str
    block: int
    at: int
    tokens: tuple[int, ...]
    seen: tuple[Seen, ...]


@dataclass(slots=True)
class Tape:
    """A whole run. `merged[new] = (old, ...)` where blocks were compacted on the way."""

    chunks: list[Chunk] = field(default_factory=list)
    merged: dict[int, tuple[tuple[int, int], ...]] = field(default_factory=dict)
    num_steps: int = 0

    def record(self, feeds: Sequence[Feed]) -> None:
        """Note one step; the tokens of `feeds` have been appended already, so block lengths include them."""
        for feed in feeds:
            position, starts = 0, []
            for block in feed.view:
                starts.append(position)
                position += block.length
            own_start = starts[-1]
            seen = tuple(
                Seen(old, min(length, block.length), own_start - (begin + offset))
                for block, begin in zip(feed.view[:-1], starts[:-1], strict=True)
                for old, offset, length in self.parts(block.id, block.length)
                if length  # a step that has been opened and not begun shows nothing
            )
            at = feed.own.length - len(feed.tokens)
            self.chunks.append(Chunk(self.num_steps, feed.tag, feed.own.id, at, tuple(feed.tokens), seen))
        self.num_steps += 1

    def record_block(self, block: int, tokens: Sequence[int], worker: str = "") -> None:
        """Note a block whose tokens saw only each other (a prompt, a separator)."""
        self.chunks.append(Chunk(self.num_steps, worker, block, 0, tuple(tokens), ()))
        self.num_steps += 1

    def record_merge(self, new: int, old: Sequence[tuple[int, int]]) -> None:
        """Note that block `new` is made of the blocks `old`, given as (id, length)."""
        self.merged[new] = tuple((part, size) for block, length in old for part, _, size in self.parts(block, length))

    def parts(self, block: int, length: int) -> list[tuple[int, int, int]]:
        """(original block, offset in `block`, length) of what `block` is made of."""
        if block not in self.merged:
            return [(block, 0, length)]
        parts, offset = [], 0
        for old, size in self.merged[block]:
            parts.append((old, offset, size))
            offset += size
        return parts
