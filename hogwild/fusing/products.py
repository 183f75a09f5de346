"""Linear layers of one input as one product: query, key and value; gate and up.

In: a model's modules. Out: how many products stand for several. Above: `fuse`. Beside: `gates.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hogwild.fusing.proof import PROBED_ROWS, close, draw, switch, untouched

PROJECTIONS = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
"""Linear layers of one input; what a product makes of it is cut in this order."""


class Product:
    """Linear layers of one input, whose weights lie side by side: one product for all of them."""

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        self.layers = tuple(layers)
        self.sizes = [layer.out_features for layer in layers]
        self.weight = torch.cat([layer.weight.detach() for layer in layers])
        self.bias = None if layers[0].bias is None else torch.cat([layer.bias.detach() for layer in layers])
        self.places: list[tuple[nn.Linear, str, int]] = []

    def put(self) -> bool:
        """Take the layers' place, if all give the same. Their Parameters become views of the common weight, so nothing
        is held twice, and whoever writes to them writes here."""
        x = draw(self.weight, PROBED_ROWS, self.weight.shape[1])
        parts = self(x).split(self.sizes, dim=-1)
        if not all(close(ours, layer(x)) for ours, layer in zip(parts, self.layers, strict=True)):
            return False
        for name, whole in (("weight", self.weight), ("bias", self.bias)):
            if whole is not None:
                for layer, part in zip(self.layers, whole.split(self.sizes), strict=True):
                    getattr(layer, name).data = part
                    self.places.append((layer, name, part.data_ptr()))
        first = First(self)
        vars(self.layers[0])["forward"] = first
        for index, layer in enumerate(self.layers[1:], 1):
            vars(layer)["forward"] = Later(first, layer, index)
        return True

    @property
    def usable(self) -> bool:
        """Nobody wants gradients, and the layers' weights are still the views that they became."""
        if switch.off or torch.is_grad_enabled():
            return False
        return all(getattr(layer, name).data_ptr() == place for layer, name, place in self.places)

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class First:
    """The first of a product's layers: multiplies for all, and holds what the others will be asked for."""

    def __init__(self, product: Product) -> None:
        self.product = product
        self.held: tuple[Tensor, tuple[Tensor, ...]] | None = None

    def __call__(self, input: Tensor) -> Tensor:
        product = self.product
        if not product.usable:
            return F.linear(input, product.layers[0].weight, product.layers[0].bias)
        parts: tuple[Tensor, ...] = product(input).split(product.sizes, dim=-1)
        self.held = (input, parts)
        return parts[0]


class Later:
    """Another layer of a product: asked with the very same tensor, it has its part already."""

    def __init__(self, first: First, layer: nn.Linear, index: int) -> None:
        self.first, self.layer, self.index = first, layer, index

    def __call__(self, input: Tensor) -> Tensor:
        held = self.first.held  # read once: another thread may run the same model
        if held is None or held[0] is not input:
            return F.linear(input, self.layer.weight, self.layer.bias)
        if self.index == len(held[1]) - 1:
            self.first.held = None
        return held[1][self.index]


def fuse_all(model: nn.Module, by: Any, done: Counter[str]) -> None:
    dtype = next(model.parameters()).dtype
    for module in model.modules():
        for names in PROJECTIONS:
            layers = [getattr(module, name, None) for name in names]
            if all(_can_join(layer, layers[0], dtype) for layer in layers) and Product(layers).put():  # type: ignore[arg-type]
                done["products"] += 1


def _can_join(layer: Any, first: Any, dtype: torch.dtype) -> bool:
    # A quantised weight, a part of one that is shared out, and an adapter are of kinds of their own.
    if type(layer) is not nn.Linear or type(layer.weight) is not nn.Parameter or not untouched(layer):
        return False
    same = layer.in_features == first.in_features and (layer.bias is None) == (first.bias is None)
    here = layer.weight.device == first.weight.device and not layer.weight.is_meta
    return same and here and layer.weight.dtype == dtype and (layer.bias is None or layer.bias.dtype == dtype)
