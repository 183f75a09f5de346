"""The engine and the oracle driven by the same commands, so that a test only says what happens.

In: steps and operations on blocks that go by name. Out: after every step, how far the engine's logits are from the
oracle's. Neighbours: `oracle.py` (the judge), `hogwild` (the judged).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from oracle import Oracle
from torch import Tensor

from hogwild import Block, Engine, Feed

TOLERANCE = 1e-4
Names = Sequence[str]


def text(length: int, seed: int, vocab: int = 97) -> list[int]:
    """Token ids that depend on the seed alone."""
    return torch.randint(vocab, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


def relative_error(ours: Tensor, truth: Tensor) -> float:
    """The largest difference, in units of the largest logit."""
    assert ours.shape == truth.shape
    return float((ours - truth).abs().max() / truth.abs().max())


class Twin:
    """One cache of the engine and one history of the oracle with the same blocks under the same names."""

    def __init__(self, engine: Engine, oracle: Oracle) -> None:
        self.engine = engine
        self.oracle = oracle
        self.blocks: dict[str, Block] = {}
        self.worst = 0.0
        self.tokens_before = engine.cache.num_tokens

    def view(self, names: Names) -> tuple[Block, ...]:
        """The engine's blocks of these names; a name that is new gets a new open block."""
        for name in names:
            if name not in self.blocks:
                self.blocks[name] = self.engine.open_block()
        return tuple(self.blocks[name] for name in names)

    def names(self, view: Sequence[Block]) -> tuple[str, ...]:
        return tuple(next(name for name, known in self.blocks.items() if known is block) for block in view)

    def step(self, *feeds: tuple[Names, Sequence[int]]) -> float:
        """Both take the step; the relative error over all its tokens, which is also kept if it is the worst so far."""
        ours = self.engine.step([Feed(view=self.view(names), tokens=list(ids)) for names, ids in feeds])
        truth = self.oracle.step(feeds)
        error = relative_error(torch.cat(list(ours)), torch.cat(truth))
        self.worst = max(self.worst, error)
        return error

    def freeze(self, name: str) -> None:
        self.engine.freeze(self.view([name])[0])

    def compact(self, parts: Names, whole: str) -> None:
        """The parts become `whole` and are gone."""
        self.blocks[whole] = self.engine.compact([self.blocks.pop(name) for name in parts])
        self.oracle.concatenate(parts, whole)

    def close(self) -> None:
        """Everything this twin holds goes back; what other tests held before is as it was."""
        self.engine.cache.check()
        for block in self.blocks.values():
            self.engine.release(block)
        self.blocks.clear()
        assert self.engine.cache.num_tokens == self.tokens_before
