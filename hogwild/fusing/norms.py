"""RMS norms as one kernel each.

In: a model's modules. Out: how many norms became one kernel, each proved. Above: `fuse`. Beside: `layers.py`, which
makes a norm together with the sum before it.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from hogwild.fusing.proof import PROBED_ROWS, switch
from hogwild_kernels import between


class Norm:
    """An RMS norm as one kernel. ahead: a sum and its norm, made by the layer before; the norm of the very same tensor
    is then there already."""

    def __init__(self, module: Any, eps: float, by: Any, offset: float) -> None:
        self.module, self.eps, self.by, self.offset = module, eps, by, offset
        self.original: Callable[[Tensor], Tensor] = module.forward
        self.ahead: tuple[Tensor, Tensor] | None = None

    def __call__(self, x: Tensor) -> Tensor:
        held = self.ahead  # read once: another thread may run the same model
        if held is not None:
            self.ahead = None
            if held[0] is x:
                return held[1]
        if self.by is between or torch.is_grad_enabled() or switch.off:
            if self.offset:
                return self.original(x)
            return between.rms_norm(x, self.module.weight, self.eps)
        out: Tensor = self.by.rms_norm(x, self.module.weight, self.eps, self.offset)
        return out

    def put(self) -> bool:
        """Take the module's place, if both give the same."""
        same = self._same()
        if same:
            self.module.forward = self
        return same

    @torch.no_grad()
    def _same(self) -> bool:
        """For numbers about 1, and for some so small that epsilon counts."""
        weight = self.module.weight
        draw = torch.randn(2, PROBED_ROWS, len(weight), generator=torch.Generator().manual_seed(0))
        draw[1] *= 1e-3
        x = draw.to(weight.device, weight.dtype)
        ours, theirs = self(x), self.module(x)
        if ours.dtype != theirs.dtype or ours.shape != theirs.shape:
            return False
        # Each number is a product; the module rounds it twice, and sums and roots in float32 differ in the last places.
        rounding = torch.finfo(weight.dtype)
        share = 2 * rounding.eps + 16 * torch.finfo(torch.float32).eps
        off = (ours.float() - theirs.float()).abs()
        return bool((off <= share * theirs.float().abs().clamp_min(rounding.smallest_normal)).all())


def norm_of(norm: nn.Module, dtype: torch.dtype, by: Any, offset: float) -> Norm | None:
    """`norm` as one kernel, if it looks like an RMS norm written out in PyTorch."""
    weight = getattr(norm, "weight", None)
    eps = getattr(norm, "variance_epsilon", getattr(norm, "eps", None))
    looks = "RMSNorm" in type(norm).__name__ and not isinstance(norm, nn.RMSNorm) and "forward" not in vars(norm)
    if not looks or type(weight) is not nn.Parameter or weight.dim() != 1 or not isinstance(eps, float):
        return None
    if weight.dtype != dtype or weight.is_meta or len(inspect.signature(norm.forward).parameters) != 1:
        return None
    return Norm(norm, eps, by, offset)


def fuse_norms(model: nn.Module) -> int:
    """Let every RMS norm that is proved to be `F.rms_norm` on random input run as one kernel, and say how many do.
    Whatever scales otherwise (by 1 + weight), takes a gate, is wrapped by somebody or has a weight of another type than
    the model stays as it is. Gradients flow."""
    dtype = next(model.parameters()).dtype
    norms = [norm_of(module, dtype, between, 0.0) for module in model.modules()]
    return sum(norm is not None and norm.put() for norm in norms)


def fuse_all(model: nn.Module, by: Any, done: Counter[str]) -> None:
    dtype = next(model.parameters()).dtype
    try:
        for module in model.modules():
            for offset in (0.0, 1.0):
                norm = norm_of(module, dtype, by, offset)
                if norm is not None and norm.put():
                    done["norms"] += 1
    except Exception:
        done["norms"] += fuse_norms(model)  # by PyTorch's own kernel
        raise
