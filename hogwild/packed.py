"""Linear layers on a CPU with their weights packed once, in the order in which they are read.

In: a model that is to be run. Out: the same model, whose large linear layers multiply by packed weights: in float32 by
`hogwild_kernels.compiled`, or by oneDNN where there is no C compiler; in bfloat16 by oneDNN, on a processor that
multiplies it. The library's own product of a few rows is not bound by memory: on two cores of a server it reads weights
at half the speed of a copy or less, packed ones at nearly all of it; and of many rows (a prompt) it does half the
arithmetic that the processor can (kernels/LOG.md). Training and anything that changes a weight use the layer as it was.
Above: `engine.py`. Below: `hogwild_kernels.compiled`.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hogwild.room import free_bytes
from hogwild_kernels import compiled

WORTH_PACKING = 16 << 20
"""Bytes of linear weights; fewer may stay in the processor's caches, where nothing is gained."""
SAMPLED = 64
"""Numbers of a parameter that are compared at each use. A change of a few rows only, by a parameter's `data` or by a
view in numpy, may go unseen; `with torch.no_grad()` and the parameter itself are counted by torch."""


class Original:
    """A parameter of a layer as it was when the layer was packed."""

    def __init__(self, parameter: Tensor) -> None:
        self.parameter, self.place, self.version = parameter, parameter.data_ptr(), _version(parameter)
        numbers = parameter.detach().view(-1)
        self.sample = numbers[:: numbers.numel() // SAMPLED | 1]
        self.sampled = self.sample.clone()

    def is_still(self, parameter: Tensor) -> bool:
        """Whether `parameter` is this one, unchanged; torch does not count what is done to its `data`."""
        return (
            parameter is self.parameter
            and parameter.data_ptr() == self.place
            and _version(parameter) == self.version
            and torch.equal(self.sample, self.sampled)
        )


class PackedLinear(nn.Linear):
    """An `nn.Linear` that holds its parameters a second time, packed, until one of them is changed. A copy or a pickle
    of it is an `nn.Linear`."""

    packed: tuple[Tensor, Tensor | None] | None
    """Weight and bias as `compiled.pack` gives them, or the weight for oneDNN; None after a change."""
    originals: tuple[Original | None, Original | None]

    def forward(self, input: Tensor) -> Tensor:
        packed, weight, bias = self.packed, self.weight, self.bias
        if packed is None or not _is_plain(input):
            return F.linear(input, weight, bias)
        weight_was, bias_was = self.originals
        if not (_is_still(weight_was, weight) and _is_still(bias_was, bias)):
            self.packed, self.originals = None, (None, None)
            return F.linear(input, weight, bias)
        if (input.dtype, input.device) != (packed[0].dtype, packed[0].device):
            return F.linear(input, weight, bias)
        if packed[1] is not None:
            return compiled.linear(input, packed[0], packed[1], self.out_features)
        out: Tensor = torch.ops.mkldnn._linear_pointwise(input, packed[0], bias, "none", [], "")
        return out

    def __reduce__(self) -> Any:
        state = {name: value for name, value in self.__dict__.items() if name not in ("packed", "originals")}
        return nn.Linear, (self.in_features, self.out_features, False, "meta"), state


def _is_plain(input: Tensor) -> bool:
    """Whether numbers are asked for, and not a gradient, a trace, or another type."""
    return type(input) is Tensor and not (
        torch.is_grad_enabled()
        or torch.compiler.is_compiling()
        or torch._C._is_tracing()
        or torch.is_autocast_enabled("cpu")
    )


def _is_still(original: Original | None, parameter: Tensor | None) -> bool:
    return parameter is None if original is None else parameter is not None and original.is_still(parameter)


def _version(parameter: Tensor) -> int:
    return 0 if parameter.is_inference() else parameter._version


def pack(model: nn.Module, *, least_bytes: int = WORTH_PACKING) -> int:
    """Pack the model's linear layers if they are large, and say how many were packed. Costs their memory once more, and
    is left undone where that would be more than half of what is free."""
    layers = [
        module
        for module in model.modules()
        if type(module) is nn.Linear
        and "forward" not in vars(module)  # somebody else's, which calls the layer's own
        # A quantised weight, or a part of one that is shared out, is a tensor of its own kind in the same layer.
        and type(module.weight) is nn.Parameter
        and module.weight.device.type == "cpu"
        and module.weight.is_contiguous()
        and _can_pack(module.weight.dtype)
    ]
    num_bytes = sum(layer.weight.nbytes for layer in layers)
    if num_bytes < least_bytes or 2 * num_bytes > free_bytes():
        return 0
    try:
        packed = [_pack(layer) for layer in layers]
    except RuntimeError:  # of torch, where the process may not have so much memory
        return 0
    for layer, parts in zip(layers, packed, strict=True):
        layer.__class__ = PackedLinear
        assert isinstance(layer, PackedLinear)
        layer.packed = parts
        layer.originals = (Original(layer.weight), None if layer.bias is None else Original(layer.bias))
    return len(layers)


def _pack(layer: nn.Linear) -> tuple[Tensor, Tensor | None]:
    if layer.weight.dtype == torch.float32 and compiled.library() is not None:
        return compiled.pack(layer.weight, layer.bias)
    return _packed(layer.weight), None


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
    numbers = torch.linspace(-1, 1, 35 * 48, dtype=torch.float32, device="cpu").view(1, 35, 48)
    weight, rows = numbers[0, :32], numbers[:, 32:]
    try:
        packed = _packed(weight.to(dtype))
        out = torch.ops.mkldnn._linear_pointwise(rows.to(dtype), packed, None, "none", [], "")
    except (RuntimeError, AttributeError):
        return False
    close = 1e-4 if dtype == torch.float32 else 0.05
    with torch.autocast("cpu", enabled=False):
        return torch.allclose(out.float(), F.linear(rows, weight), atol=close, rtol=close)
