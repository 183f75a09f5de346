"""How one attention is cut into programs of the device: tiles of rows, pieces of segments, items. Pure numpy.

    tile    neighbouring query rows that are computed together; with their grouped heads the M side of a product
    piece   a stretch of one segment: (segment, start, stop)
    item    neighbouring pieces of one tile, all worked through by one program (per KV head)

A tile lists every segment that any of its rows sees, once: however many workers look at a segment, its keys are loaded
once per tile. Where there are fewer tiles than the device has room for, the keys of a tile are cut into several items
of about equal work, which are combined afterwards (flash-decoding). Above: `gpu.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int32]
BLOCK_COST, PIECE_COST = 4, 5
"""What a block of keys takes, and what beginning a piece takes besides: its queries are turned anew, and its first keys
are waited for (measured with eight workers, kernels/LOG.md)."""


@dataclass(frozen=True)
class Tiling:
    """items `[items, 3]`: tile, first piece, end piece. pieces `[pieces, 3]`: segment, start, stop. tiles `[tiles, 2]`:
    first item, end item. Tile t holds the rows t * rows_per_tile onwards."""

    items: Ints
    pieces: Ints
    tiles: Ints

    @property
    def split(self) -> bool:
        """Some tile has several items, so partial results have to be combined."""
        return len(self.items) > len(self.tiles)


def cut(first: Ints | None, visible: Ints, rows_per_tile: int, block: int, programs: int) -> Tiling:
    """Tiles and items for rows that see the tokens first..visible-1 of each segment, both `[rows, segments]`.

    block: keys that a program takes at a time. programs: how many items the device runs at once (per KV head).
    """
    num_tiles = -(-len(visible) // rows_per_tile)
    share = max(1, programs // num_tiles)
    items: list[tuple[int, int, int]] = []
    pieces: list[tuple[int, int, int]] = []
    tiles: list[tuple[int, int]] = []
    for tile in range(num_tiles):
        rows = slice(tile * rows_per_tile, (tile + 1) * rows_per_tile)
        stops = visible[rows].max(axis=0)
        starts = np.zeros_like(stops)
        if first is not None:
            starts = np.where(visible[rows] > first[rows], first[rows], stops).min(axis=0)
        seen = np.flatnonzero(stops > starts)
        # A piece costs whole blocks, so a tiny segment counts as one.
        blocks = -(-(stops[seen] - starts[seen]) // block)
        first_item = len(items)
        for item in _shared_out(blocks.tolist(), share):
            begun = len(pieces)
            for at, begin, end in item:
                start, stop = int(starts[seen[at]]), int(stops[seen[at]])
                pieces.append((int(seen[at]), start + begin * block, min(start + end * block, stop)))
            items.append((tile, begun, len(pieces)))
        tiles.append((first_item, len(items)))
    return Tiling(_table(items, 3), _table(pieces, 3), _table(tiles, 2))


Packed = list[list[tuple[int, int, int]]]
"""Per item, the blocks begin..end-1 of segments, as (segment, begin, end)."""


def _shared_out(blocks: Sequence[int], share: int) -> Packed:
    """Segments of so many blocks as at most `share` items, the costliest as cheap as neighbours in this order allow."""
    cost = -(-(BLOCK_COST * sum(blocks) + PIECE_COST * len(blocks)) // share)
    while len(items := _packed(blocks, cost)) > share:
        cost += 1
    return items


def _packed(blocks: Sequence[int], most: int) -> Packed:
    """Items that cost at most `most`, or are a single block."""
    items: Packed = [[]]
    left = most
    for segment, size in enumerate(blocks):
        at = 0
        while at < size:
            if items[-1] and left < PIECE_COST + BLOCK_COST:
                items.append([])
                left = most
            end = min(size, at + max(1, (left - PIECE_COST) // BLOCK_COST))
            items[-1].append((segment, at, end))
            left -= PIECE_COST + (end - at) * BLOCK_COST
            at = end
    return items


def _table(rows: Sequence[tuple[int, ...]], width: int) -> Ints:
    return np.array(rows, dtype=np.int32).reshape(-1, width)
