"""Pre-tokenised shards: what training learns from, made by processes that keep ahead of it.

In: a `ShardPlan`. Out: `Supply`, which gives the batches of one shard after the other. A shard is a function of its
number: whoever stops and goes on sees the same batches. With no processes, shards are made where they are used; else
they lie as files in a folder until they are read, never more than `AHEAD` of them. A learner that is faster than they
are made may read earlier shards again instead of waiting. Below: `lessons.py`. Above: `training.py`, `fine_tune.py`.
"""

from __future__ import annotations

import gc
import itertools
import os
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

import torch
from torch import multiprocessing
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from hogwild.embedded.lessons import CURRICULA, Batch, PackedBatch, batches, stage_at
from hogwild.embedded.vocabulary import Vocabulary
from hogwild.errors import HogwildError
from hogwild.replay import Packed, Strip
from hogwild_kernels.run_tables import RunTables

AHEAD: Final = 24
SEEDS_PER_SHARD: Final = 100_000
MOST_KEPT: Final = 400
"""Shards that are kept in memory to be read again."""
PATIENCE_S: Final = 600.0
"""How long training waits for a shard before it gives up."""

Shard: TypeAlias = "list[Batch | PackedBatch]"


@dataclass(frozen=True)
class ShardPlan:
    """Which shards there are. tokenizer: a directory. tokens, batch_tokens: of a shard and of each of its batches.

    curriculum: a name in `lessons.CURRICULA`; max_tokens: of the whole training, of which its stages are shares.
    packed: batches are packed for a CUDA device, all to one length.
    """

    tokenizer: str
    curriculum: str
    tokens: int
    batch_tokens: int
    max_tokens: int
    seed: int = 1
    packed: bool = False

    def make(self, number: int, encoder: Vocabulary) -> Iterator[Batch | PackedBatch]:
        """The batches of a shard."""
        stage = stage_at(CURRICULA[self.curriculum], number * self.tokens / self.max_tokens)
        seeds = itertools.count(SEEDS_PER_SHARD * (number + 1_000_000 * (self.seed - 1)))
        size = 0
        for one in batches(seeds, stage, encoder, self.batch_tokens):
            yield one.packed(self.batch_tokens) if self.packed else one
            size += one.num_tokens
            if size >= self.tokens:
                return

    def encoder(self) -> Vocabulary:
        tokenizer = AutoTokenizer.from_pretrained(self.tokenizer)
        assert isinstance(tokenizer, PreTrainedTokenizerFast)
        return Vocabulary(tokenizer)


class Supply:
    """Shards in order, from `first` on, every `stride`-th: `for number, batches in supply`.

    waited_s: how long whoever reads has waited for shards in all; it stays near 0 while the processes keep ahead.
    again: where a shard is late, an earlier one is given once more, at most so many times; repeated counts them.
    """

    def __init__(
        self, plan: ShardPlan, folder: Path, *, processes: int = 0, first: int = 0, stride: int = 1, again: int = 0
    ) -> None:
        self.plan, self.folder, self.first, self.stride, self.again = plan, folder, first, stride, again
        self.waited_s, self.repeated = 0.0, 0
        self._kept: deque[tuple[int, Shard, int]] = deque()
        self._context: Any = multiprocessing.get_context("spawn")
        self._read = self._context.Value("q", first)
        self._processes = [
            self._context.Process(
                target=_make_shards,
                args=(plan, folder, first + stride * k, stride * processes, self._read),
                daemon=True,
            )
            for k in range(processes)
        ]

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        for process in self._processes:
            process.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.terminate()
            process.join()
        for left in self.folder.glob("*.pt*"):
            left.unlink(missing_ok=True)

    def __iter__(self) -> Iterator[tuple[int, Shard]]:
        encoder = None if self._processes else self.plan.encoder()
        for number in itertools.count(self.first, self.stride):
            if encoder is not None:
                yield number, list(self.plan.make(number, encoder))
                continue
            self._read.value = number
            # The one that was given longest ago comes first.
            while self._kept and not shard_path(self.folder, number).exists():
                earlier, shard, left = self._kept.popleft()
                self.repeated += 1
                yield earlier, shard
                if left > 1:
                    self._kept.append((earlier, shard, left - 1))
            shard = self._take(number)
            yield number, shard
            if self.again:
                self._kept.append((number, shard, self.again))
                while len(self._kept) > MOST_KEPT:
                    self._kept.popleft()

    def _take(self, number: int) -> Shard:
        path, began = shard_path(self.folder, number), time.monotonic()
        while not path.exists():
            if not all(process.is_alive() for process in self._processes):
                raise HogwildError(
                    "A process that makes training data has ended; start the training again, it goes on."
                )
            if time.monotonic() - began > PATIENCE_S:
                raise HogwildError(f"Shard {number} did not come within {PATIENCE_S:.0f} s; start the training again.")
            time.sleep(0.02)
        self.waited_s += time.monotonic() - began
        shard = load_shard(path)
        path.unlink()
        return shard


def shard_path(folder: Path, number: int) -> Path:
    return folder / f"{number:08d}.pt"


def save_shard(path: Path, shard: Shard) -> None:
    """Write a shard whole or not at all."""
    part = path.with_suffix(".pt.part")
    torch.save(shard, part)
    os.replace(part, path)


def load_shard(path: Path) -> Shard:
    with torch.serialization.safe_globals([Batch, Strip, PackedBatch, Packed, RunTables]):
        shard: Shard = torch.load(path, weights_only=True)
    return shard


def _make_shards(plan: ShardPlan, folder: Path, first: int, stride: int, read: Any) -> None:
    """A process: makes every `stride`-th shard and waits while it is far ahead of who reads."""
    torch.set_num_threads(1)
    gc.disable()  # a lesson makes some ten thousand small objects and no cycles worth looking for in between
    encoder = plan.encoder()
    for number in itertools.count(first, stride):
        while number > read.value + AHEAD:
            time.sleep(0.05)
        save_shard(shard_path(folder, number), list(plan.make(number, encoder)))
        gc.collect()
