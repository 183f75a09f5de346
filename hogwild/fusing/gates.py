"""The activation of a feed-forward block and its product with the other half, as one kernel.

In: a model's modules, gate and up of which come out of one product. Out: how many blocks do so. Above: `fuse`. Below:
`products.py`.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from hogwild.fusing.products import First, Product
from hogwild.fusing.proof import PROBED_ROWS, close, draw, switch, untouched
from hogwild_kernels import between


class Gated:
    """A feed-forward block down(activation(gate) * up) whose gate and up come out of one product."""

    def __init__(self, module: Any, both: Callable[[Tensor], Tensor], activation: str, by: Any) -> None:
        self.module, self.both, self.activation, self.by = module, both, activation, by
        self.original: Callable[[Tensor], Tensor] = module.forward

    def __call__(self, x: Tensor) -> Tensor:
        changed = isinstance(self.both, Product) and not self.both.usable
        if switch.off or changed or torch.is_grad_enabled():
            plain: Tensor = self.original(x)
            return plain
        out: Tensor = self.module.down_proj(self.by.gated(self.both(x), self.activation))
        return out


def fuse_all(model: nn.Module, by: Any, done: Counter[str]) -> None:
    dtype = next(model.parameters()).dtype
    for module in model.modules():
        both, width = _both_halves(module, dtype)
        if both is None or len(inspect.signature(module.forward).parameters) != 1:
            continue
        x = draw(next(module.parameters()), 1, PROBED_ROWS, width)
        for activation in between.ACTIVATIONS:
            block = Gated(module, both, activation, by)
            if close(block(x), module(x)):
                vars(module)["forward"] = block
                done["gates"] += 1
                break


def _both_halves(module: Any, dtype: torch.dtype) -> tuple[Callable[[Tensor], Tensor] | None, int]:
    """What gives gate and up of a feed-forward block in one product, and the width of its input."""
    if not isinstance(getattr(module, "down_proj", None), nn.Module) or not untouched(module):
        return None, 0
    joined, gate = getattr(module, "gate_up_proj", None), getattr(module, "gate_proj", None)
    if type(joined) is nn.Linear and type(joined.weight) is nn.Parameter and joined.weight.dtype == dtype:
        return joined, joined.in_features
    first = vars(gate).get("forward") if isinstance(gate, nn.Module) else None
    if isinstance(first, First) and first.product.layers[-1] is getattr(module, "up_proj", None):
        return first.product, first.product.layers[0].in_features
    return None, 0
