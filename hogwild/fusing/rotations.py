"""Rotations of queries and keys as one kernel, or left to whoever stores the keys (`hogwild.gpu_step`).

In: a model whose source file has a function that rotates. Out: how many such functions know a kernel. Above: `fuse`.
"""

from __future__ import annotations

import inspect
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from hogwild.fusing.proof import close, draw, switch


@dataclass(frozen=True, slots=True)
class Waiting:
    """A rotation that has not been done: of `query [heads, rows, head_dim]` and `key`, with what comes after them in
    `hogwild_kernels.between.rotate`."""

    query: Tensor
    key: Tensor
    how: tuple[Any, ...]

    def is_of(self, query: Tensor, key: Tensor) -> bool:
        """Nobody has touched them in between."""
        pairs = ((self.query, query), (self.key, key))
        return all(
            a.data_ptr() == b.data_ptr() and a.shape == b.shape and a.stride() == b.stride() and a.dtype == b.dtype
            for a, b in pairs
        )


class Keeper(Protocol):
    """Whoever will do a rotation later, with its own work."""

    rotation: Waiting | None


_keeper = ContextVar[Keeper | None]("keeper", default=None)


@contextmanager
def rotations_left_to(keeper: Keeper | None) -> Iterator[None]:
    """In this context, rotations that a kernel can do are not done: the keeper is told, and has to."""
    token = _keeper.set(keeper)
    try:
        yield
    finally:
        _keeper.reset(token)


class Rotation:
    """Stands for the function of a model's source file that rotates queries and keys. known: how one kernel does it, by
    device, type, head size and width of the tables; whatever else comes is left to the function itself."""

    def __init__(self, original: Callable[..., Any]) -> None:
        self.original = original
        self.known: dict[tuple[str, torch.dtype, int, int], tuple[Any, int, bool, int]] = {}

    def __call__(self, q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, *args: Any, **kwargs: Any) -> Any:
        how = None if args or kwargs or switch.off or torch.is_grad_enabled() else self.known.get(self.key(k, cos))
        if how is None or q.dim() != 4 or cos.dim() != 3 or q.dtype != k.dtype or len(q) != 1 or len(cos) != 1:
            return self.original(q, k, cos, sin, *args, **kwargs)
        by, *shape = how
        keeper = _keeper.get()
        if keeper is not None and hasattr(by, "rotate_append"):
            keeper.rotation = Waiting(q[0], k[0], (cos[0], sin[0], *shape))
            return q, k
        turned, keys = by.rotate(q[0], k[0], cos[0], sin[0], *shape)
        return turned[None], keys[None]

    @staticmethod
    def key(k: Tensor, cos: Tensor) -> tuple[str, torch.dtype, int, int]:
        return k.device.type, k.dtype, k.shape[-1], cos.shape[-1]

    def how(self, head_dim: int, cos: Tensor, sin: Tensor, dtype: torch.dtype, by: Any) -> Any:
        """What to know of rotations by these tables `[1, rows, width]`, or None where no kernel does the same."""
        width = cos.shape[-1]
        q, k = (draw(cos.to(dtype), 1, cos.shape[1], heads, head_dim).transpose(1, 2) for heads in (3, 2))
        theirs = self.original(q, k, cos, sin)
        for size, interleaved, stride in (
            (width, False, 1), (width, True, 1), (width, True, 2), (2 * width, False, 1), (2 * width, True, 1),
        ):  # fmt: skip
            if size <= head_dim:
                ours = by.rotate(q[0], k[0], cos[0], sin[0], size, interleaved, stride)
                if all(close(mine[None], other) for mine, other in zip(ours, theirs, strict=True)):
                    return self.key(k, cos), (by, size, interleaved, stride)
        return None


def fuse_all(model: nn.Module, by: Any, done: Counter[str]) -> None:
    if not hasattr(model, "config"):
        return
    config: Any = model.config.get_text_config(decoder=True)  # type: ignore[operator, union-attr]
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    dtype = next(model.parameters()).dtype
    for source in {
        type(module).__module__: sys.modules[type(module).__module__] for module in model.modules()
    }.values():
        original = getattr(source, "apply_rotary_pos_emb", None)
        if callable(original):
            rotation = original if isinstance(original, Rotation) else Rotation(original)
            found = [rotation.how(head_dim, cos, sin, dtype, by) for cos, sin in _tables(model, config)]
            if found and None not in found:
                rotation.known.update(found)
                source.apply_rotary_pos_emb = rotation  # type: ignore[attr-defined]
                done["rotations"] += 1


def _tables(model: nn.Module, config: Any) -> Iterator[tuple[Tensor, Tensor]]:
    """Cosines and sines `[1, rows, width]` as the model makes them, of a few positions."""
    like = next(model.parameters())
    positions = torch.tensor([[0, 1, 7, 1000]], device=like.device)
    x = like.new_zeros(1, positions.shape[1], 1)
    for module in model.modules():
        if "RotaryEmbedding" in type(module).__name__:
            types: list[tuple[str, ...]] = [()]
            if "layer_type" in inspect.signature(module.forward).parameters:
                types = [(kind,) for kind in dict.fromkeys(config.layer_types)]
            for kind in types:
                yield module(x, positions, *kind)
