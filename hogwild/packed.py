"""Linear layers on a CPU with their weights packed once, in the order in which they are read.

In: a loaded model. Out: the same model, whose large linear layers multiply by packed weights: in float32 by
`hogwild_kernels.compiled`, or by oneDNN where there is no C compiler; in bfloat16 by oneDNN, on a processor that
multiplies it. The library's own product of a few rows is not bound by memory: on two cores of a server it reads weights
at half the speed of a copy or less, packed ones at nearly all of it; and of many rows (a prompt) it does half the
arithmetic that the processor can (kernels/LOG.md). Training and anything that changes a weight use the layer as it was.
Above: `loading.py`, `embedded/training.py`. Below: `hogwild_kernels.compiled`.
"""

from __future__ import annotations

import math
import re
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hogwild_kernels import compiled

WORTH_PACKING = 16 << 20
"""Bytes of linear weights; fewer may stay in the processor's caches, where nothing is gained."""


class PackedLinear(nn.Linear):
    """An `nn.Linear` that holds its weights a second time, packed."""

    packed: Tensor
    packed_bias: Tensor | None
    """As `compiled.pack` gives it; None where oneDNN multiplies."""
    packed_version: int

    def forward(self, input: Tensor) -> Tensor:
        usual = input.dtype == self.packed.dtype and input.device == self.packed.device
        if torch.is_grad_enabled() or self.weight._version != self.packed_version or not usual:
            return F.linear(input, self.weight, self.bias)
        if self.packed_bias is not None:
            return compiled.linear(input, self.packed, self.packed_bias, self.out_features)
        out: Tensor = torch.ops.mkldnn._linear_pointwise(input, self.packed, self.bias, "none", [], "")
        return out


def pack(model: nn.Module, *, least_bytes: int = WORTH_PACKING) -> int:
    """Pack the model's linear layers if they are large, and say how many were packed. Costs their memory once more, and
    is left undone where that would be more than half of what is free."""
    layers = [
        module
        for module in model.modules()
        if type(module) is nn.Linear
        # A quantised weight, or a part of one that is shared out, is a tensor of its own kind in the same layer.
        and type(module.weight) is nn.Parameter
        and module.weight.device.type == "cpu"
        and _can_pack(module.weight.dtype)
    ]
    num_bytes = sum(layer.weight.nbytes for layer in layers)
    if num_bytes < least_bytes or 2 * num_bytes > _free_bytes():
        return 0
    for layer in layers:
        packed: Any = layer
        packed.__class__ = PackedLinear
        if layer.weight.dtype == torch.float32 and compiled.library() is not None:
            packed.packed, packed.packed_bias = compiled.pack(layer.weight, layer.bias)
        else:
            packed.packed, packed.packed_bias = _packed(layer.weight), None
        packed.packed_version = layer.weight._version
    return len(layers)


def _packed(weight: Tensor) -> Tensor:
    out: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), 4)
    return out


@cache
def _can_pack(dtype: torch.dtype) -> bool:
    """There is a packed product of this type, and it is right."""
    if dtype == torch.float32 and compiled.library() is not None:
        return True
    if not torch.backends.mkldnn.is_available():
        return False
    if dtype != torch.float32 and not (dtype == torch.bfloat16 and compiled.multiplies_bfloat16()):
        return False
    weight, rows = torch.linspace(-1, 1, 32 * 48).view(32, 48), torch.linspace(-1, 1, 3 * 48).view(1, 3, 48)
    try:
        packed = _packed(weight.to(dtype))
        out = torch.ops.mkldnn._linear_pointwise(rows.to(dtype), packed, None, "none", [], "")
    except (RuntimeError, AttributeError):
        return False
    close = 1e-4 if dtype == torch.float32 else 0.05
    return torch.allclose(out.float(), F.linear(rows, weight), atol=close, rtol=close)


def _free_bytes() -> float:
    """Memory that could be taken, where the system tells."""
    try:
        found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii"))
    except OSError:
        found = None
    return 1024 * int(found[1]) if found else math.inf
