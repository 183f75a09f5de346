"""Linear layers on a CPU with their weights packed once, in the order in which oneDNN reads them.

In: a loaded model. Out: the same model, whose large float32 linear layers multiply by packed weights. The library's own
product of a few rows is not bound by memory: on two cores of a server it reads weights at half the speed of a copy or
less, packed ones at nearly all of it; and of many rows (a prompt) it does half the arithmetic that the processor can
(kernels/LOG.md). Training and anything that changes a weight use the layer as it was. Above: `loading.py`.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WORTH_PACKING = 16 << 20
"""Bytes of linear weights; fewer may stay in the processor's caches, where nothing is gained."""


class PackedLinear(nn.Linear):
    """An `nn.Linear` that holds its weights a second time, packed."""

    packed: Tensor
    packed_version: int

    def forward(self, input: Tensor) -> Tensor:
        if torch.is_grad_enabled() or self.weight._version != self.packed_version:
            return F.linear(input, self.weight, self.bias)
        out: Tensor = torch.ops.mkldnn._linear_pointwise(input, self.packed, self.bias, "none", [], "")
        return out


def pack(model: nn.Module, *, least_bytes: int = WORTH_PACKING) -> int:
    """Pack the model's linear layers if they are large, and say how many were packed. Costs their memory once more."""
    layers = [
        module
        for module in model.modules()
        if type(module) is nn.Linear
        # A quantised weight, or a part of one that is shared out, is a tensor of its own kind in the same layer.
        and type(module.weight) is nn.Parameter
        and module.weight.dtype == torch.float32
        and module.weight.device.type == "cpu"
    ]
    if sum(layer.weight.nbytes for layer in layers) < least_bytes or not _can_pack():
        return 0
    for layer in layers:
        packed: Any = layer
        packed.__class__ = PackedLinear
        packed.packed = _packed(layer.weight)
        packed.packed_version = layer.weight._version
    return len(layers)


def _packed(weight: Tensor) -> Tensor:
    out: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), 4)
    return out


def _can_pack() -> bool:
    """This torch has oneDNN's packed product, and it is right."""
    if not torch.backends.mkldnn.is_available():
        return False
    weight, rows = torch.linspace(-1, 1, 32 * 48).view(32, 48), torch.linspace(-1, 1, 3 * 48).view(1, 3, 48)
    try:
        out = torch.ops.mkldnn._linear_pointwise(rows, _packed(weight), None, "none", [], "")
    except (RuntimeError, AttributeError):
        return False
    return torch.allclose(out, F.linear(rows, weight), atol=1e-4)
