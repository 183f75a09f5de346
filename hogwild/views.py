"""Blocks and views: who sees which tokens, in which order. Pure values; no torch.

A block is one contiguous run of tokens, stored once. A view is a worker's ordered tuple of blocks; the last is its own
open block, the only one it appends to. Fork, join, prune, permute are functions from views to views: no key moves.
Above: `layouts.py`, `workspace.py`. Beside: `cache.py`, which holds the keys and values of each block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import index
from typing import Any

from hogwild.errors import ViewError


@dataclass(eq=False, slots=True)
class Block:
    """One contiguous run of tokens. Two blocks are the same only if they are the same object.

    id: unique within one engine. length: tokens held. frozen: nothing is appended any more.
    """

    id: int
    length: int = 0
    frozen: bool = False

    def __repr__(self) -> str:
        return f"Block({self.id}, {self.length} tokens{', frozen' if self.frozen else ''})"


View = tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Feed:
    """Tokens that are due in one step: they are appended to the last block of the view and see the whole view.

    tag: whatever the caller wants to find again in the result (a worker's name).
    """

    view: View
    tokens: Sequence[int]
    tag: str = ""

    @property
    def own(self) -> Block:
        """The block that is appended to."""
        return self.view[-1]

    def check(self) -> None:
        """Raise ViewError if the feed makes no sense by itself."""
        if not self.view:
            raise ViewError("A view needs at least one block, its own open block at the end; this one is empty.")
        if len({id(block) for block in self.view}) != len(self.view):
            raise ViewError("A block stands twice in one view; every block may stand in a view once.")
        if not self.tokens:
            raise ViewError("A feed needs at least one token; leave the worker out of the step instead.")
        if self.own.frozen:
            raise ViewError(f"{self.own} is frozen; open a new block and put it at the end of the view.")


def token_ids(given: Any, name: str) -> list[int]:
    """Token ids as whole numbers, from any sequence of them, a tensor `[tokens]` too. Raises ViewError."""
    try:
        return [index(token) for token in (given.tolist() if hasattr(given, "tolist") else given)]
    except TypeError as error:
        raise ViewError(f"{name} must be token ids in a row, such as [12, 7, 30]; it is {given!r:.80}.") from error


def num_tokens(view: Sequence[Block]) -> int:
    """Tokens that stand in the view."""
    return sum(block.length for block in view)


def start(view: Sequence[Block], block: Block) -> int:
    """Position at which the block begins in the view: the sum of the lengths of the blocks before it."""
    position = 0
    for other in view:
        if other is block:
            return position
        position += other.length
    raise ViewError(f"{block} does not stand in this view.")


def fork(view: View, new: Block) -> View:
    """A branch: everything so far becomes history, the branch writes into `new`.

    Freeze the old own block first, then fork once per branch.
    """
    if view and not view[-1].frozen:
        raise ViewError(f"Freeze {view[-1]} before forking, or two branches would append to it.")
    return (*view, new)


def join(view: View, block: Block) -> View:
    """Put a block (a summary, a person's words, another branch) into the view, before the own open block."""
    if block in view:
        raise ViewError(f"{block} stands in this view already.")
    return (*view[:-1], block, view[-1])


def prune(view: View, block: Block) -> View:
    """Leave a block out of the view; other views keep it."""
    if view[-1] is block:
        raise ViewError("The own open block at the end of a view cannot be pruned; freeze it and open another first.")
    if block not in view:
        raise ViewError(f"{block} does not stand in this view.")
    return tuple(other for other in view if other is not block)


def permute(view: View, order: Sequence[int]) -> View:
    """Reorder the blocks; `order[i]` is the old index of the block at i. The own block stays last."""
    if sorted(order) != list(range(len(view))) or order[-1] != len(view) - 1:
        raise ViewError(f"The order must name each of 0..{len(view) - 1} once and leave {len(view) - 1} at the end.")
    return tuple(view[index] for index in order)


def replace(view: View, old: Sequence[Block], new: Block) -> View:
    """Put `new` in the place of the neighbours `old` (after the cache has compacted them)."""
    for at in range(len(view) - len(old) + 1):
        if all(mine is theirs for mine, theirs in zip(view[at:], old, strict=False)):
            return (*view[:at], new, *view[at + len(old) :])
    raise ViewError("The blocks do not stand next to each other in this view, in this order.")
