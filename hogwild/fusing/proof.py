"""How a replacement is proved: by random input, against what the model does itself; and the switch for measuring.

In: modules and tensors. Out: whether two results are the same but for rounding, whether anybody has changed a module.
Above: the other files of this folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

PROBED_ROWS = 4


@dataclass
class Switch:
    """off: models are run as if only their norms had been fused."""

    off: bool = False


switch = Switch()


@contextmanager
def switched_off() -> Iterator[None]:
    """In this context models are run as if only their norms had been fused (for measuring what the rest gives)."""
    before, switch.off = switch.off, True
    try:
        yield
    finally:
        switch.off = before


def untouched(module: Any) -> bool:
    """Nobody has changed how the module is called."""
    return "forward" not in vars(module) and not module._forward_hooks and not module._forward_pre_hooks


def close(ours: Tensor, theirs: Tensor) -> bool:
    """The same but for rounding: each number within a few units of the largest one's last place, and on average within
    one unit of its size (a factor of 1.01 is more, in bfloat16 too)."""
    if ours.dtype != theirs.dtype or ours.shape != theirs.shape:
        return False
    eps = torch.finfo(ours.dtype).eps + 16 * torch.finfo(torch.float32).eps
    off, size = (ours.float() - theirs.float()).abs(), theirs.float().abs()
    return bool((off.max() <= 8 * eps * size.max()) & (off.mean() <= eps * size.mean()))


def draw(like: Tensor, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)).to(like.device, like.dtype)
