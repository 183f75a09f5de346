"""How whole runs are packed for `whole_runs.py`: integer tables that go to the device together with the tokens.

In: runs, each with its segments, turns and visible lengths. Out: `RunTables`. No Triton here, so that the processes
that make training data can make the tables too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hogwild_kernels.rotary import Rotary

Ints = NDArray[np.int32]
BLOCK_M = 64
"""Rows of a tile of queries."""
BLOCK_N = 64
"""Keys of a tile."""


@dataclass(frozen=True)
class Run:
    """One run as it is packed: rows 0..causal-1 are the first segment and see themselves, causally; for the others
    `turns` and `visible` are `[rows - causal, segments]`. sizes: rows of every segment, in order."""

    causal: int
    sizes: tuple[int, ...]
    turns: Tensor
    visible: Tensor


@dataclass(frozen=True)
class RunTables:
    """What the kernels need beside the tensors; integers.

    turns, visible int32 `[sum of rows * segments]`: run by run, a row after the other.
    runs int64 `[runs, 5]`: first row, end row, first segment, number of segments, first cell.
    segments int32 `[segments]`: the row of the first key. tiles int32 `[tiles, 2]`: first row, run.
    keys int32 `[key tiles, 5]`: run, segment in it, first key in the segment, first and end row that may see it.
    """

    turns: Tensor
    visible: Tensor
    runs: Tensor
    segments: Tensor
    tiles: Tensor
    keys: Tensor

    def parts(self) -> tuple[Tensor, ...]:
        return self.turns, self.visible, self.runs, self.segments, self.tiles, self.keys

    def to(self, device: torch.device | str) -> RunTables:
        return RunTables(*(part.to(device, non_blocking=True) for part in self.parts()))


def run_tables(packed: Sequence[Run]) -> RunTables:
    """Tables of runs that are packed one after another."""
    turns: list[Ints] = []
    visible: list[Ints] = []
    runs: list[tuple[int, ...]] = []
    segments: list[int] = []
    tiles: list[tuple[int, int]] = []
    keys: list[tuple[int, ...]] = []
    row = cell = 0
    for number, run in enumerate(packed):
        rows, count = sum(run.sizes), len(run.sizes)
        lead = np.zeros((run.causal, count), dtype=np.int32)
        turns.append(np.concatenate([lead, run.turns.numpy().astype(np.int32)]).ravel())
        lead[:, 0] = np.arange(1, run.causal + 1)
        seen = np.concatenate([lead, run.visible.numpy().astype(np.int32)])
        visible.append(seen.ravel())
        runs.append((row, row + rows, len(segments), count, cell))
        tiles += [(at, number) for at in range(row, row + rows, BLOCK_M)]
        at = row
        for segment, size in enumerate(run.sizes):
            segments.append(at)
            at += size
            for begin in range(0, size, BLOCK_N):
                who = np.flatnonzero(seen[:, segment] > begin)
                first, end = (row + int(who[0]), row + int(who[-1]) + 1) if len(who) else (row, row)
                keys.append((number, segment, begin, first, end))
        row += rows
        cell += rows * count
    return RunTables(
        torch.from_numpy(np.concatenate(turns)),
        torch.from_numpy(np.concatenate(visible)),
        torch.tensor(runs, dtype=torch.int64),
        torch.tensor(segments, dtype=torch.int32),
        torch.tensor(tiles, dtype=torch.int32),
        torch.tensor(keys, dtype=torch.int32),
    )


def fits(head_dim: int, rotary: Rotary | None) -> bool:
    """Whether the kernels can do it: a head size that is one of theirs, rotated by halves as a whole or not at all."""
    return head_dim in (32, 64, 128) and (
        rotary is None or (2 * len(rotary.inv_freq) == head_dim and not rotary.interleaved)
    )
