"""Sampling: from one row of logits to a token, per worker, reproducibly.

In: logits `[vocab]`, what the worker has written so far. Out: a token id. Every worker has its own generator, so
adding or slowing down another worker never changes what this one draws. Above: `engine.py`, `collaboration.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hogwild.errors import SamplingError


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a worker chooses. temperature 0 is greedy. top_k 0, top_p 1, min_p 0 are off.

    min_p: tokens less likely than min_p times the likeliest are dropped (arXiv 2407.01082). repetition_penalty: divides
    the logits of tokens that the worker has written (arXiv 1909.05858, section 4.1). banned: never chosen.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    banned: tuple[int, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low, high in (
            ("temperature", 0.0, 100.0),
            ("top_k", 0, 1 << 31),
            ("top_p", 0.0, 1.0),
            ("min_p", 0.0, 1.0),
            ("repetition_penalty", 0.01, 100.0),
        ):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not low <= value <= high:  # also refuses NaN
                raise SamplingError(f"The {name} must be a number between {low} and {high}; it is {value!r}.")
        if not isinstance(self.seed, int) or not -(1 << 63) <= self.seed < 1 << 63:
            raise SamplingError(f"The seed must be a whole number of at most 64 bits; it is {self.seed!r}.")
        if any(token < 0 for token in self.banned):
            raise SamplingError("A banned token is a token id, so it cannot be negative.")
        if self.top_p == 0.0:
            raise SamplingError("A top_p of 0 leaves no token to choose; use temperature 0 for greedy decoding.")


def for_worker(sampling: Sampling, index: int) -> Sampling:
    """The same choices with a seed of its own for the index-th worker, so that two workers do not draw alike."""
    return replace(sampling, seed=(sampling.seed * 1009 + index) % (1 << 63))


class Sampler:
    """One worker's choices."""

    def __init__(self, sampling: Sampling) -> None:
        self.sampling = sampling
        self._generator = torch.Generator().manual_seed(sampling.seed)

    def __call__(self, logits: Tensor, written: Sequence[int] = ()) -> int:
        """Choose a token from `logits [vocab]` (any device); `written` is what the worker has decoded so far."""
        how = self.sampling
        if how.repetition_penalty == 1.0 and not how.banned and how.temperature == 0.0:
            return int(logits.argmax())
        logits = logits.detach().double().cpu().clone()
        if how.repetition_penalty != 1.0 and written:
            seen = torch.tensor(sorted(set(written)))
            held = logits[seen]
            logits[seen] = torch.where(held > 0, held / how.repetition_penalty, held * how.repetition_penalty)
        if how.banned:
            if max(how.banned) >= len(logits):
                raise SamplingError(f"Token {max(how.banned)} cannot be banned: there are {len(logits)} tokens.")
            logits[list(how.banned)] = float("-inf")
            if bool(logits.isneginf().all()):
                raise SamplingError("Every token is banned, so there is nothing to choose; ban fewer.")
        if how.temperature == 0.0:
            return int(logits.argmax())
        return self._draw((logits - logits.max()) / how.temperature)

    def _draw(self, logits: Tensor) -> int:
        how = self.sampling
        if 0 < how.top_k < len(logits):
            logits = logits.masked_fill(logits < logits.topk(how.top_k).values[-1], float("-inf"))
        if how.top_p < 1.0:
            likely, order = logits.softmax(-1).sort(descending=True)
            beyond = likely.cumsum(0) - likely >= how.top_p
            logits = logits.masked_fill(torch.zeros_like(beyond).scatter(0, order, beyond), float("-inf"))
        if how.min_p > 0.0:
            likely = logits.softmax(-1)
            logits = logits.masked_fill(likely < how.min_p * likely.max(), float("-inf"))
        return int(torch.multinomial(logits.softmax(-1), 1, generator=self._generator))
