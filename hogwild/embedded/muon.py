"""Muon with the precision of the machine: the momentum of a matrix, made orthogonal by five Newton-Schulz iterations.

In: gradients of matrices `[rows, columns]`. Out: changed matrices. torch.optim.Muon always iterates in bfloat16, which
a CPU without bfloat16 units emulates so slowly that the optimizer took most of a step; here the iterations run in
`dtype`. After Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024); the step is scaled so
that its root mean square is AdamW's (Liu et al., arXiv 2502.16982, section 2.2). Neighbours: `training.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum and decoupled weight decay."""

    def __init__(
        self,
        matrices: Iterable[Tensor],
        lr: float,
        *,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(list(matrices), {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            shapes: dict[torch.Size, list[Tensor]] = {}
            for matrix in group["params"]:
                if matrix.grad is not None:
                    shapes.setdefault(matrix.shape, []).append(matrix)
            for shape, matrices in shapes.items():
                grads = [matrix.grad for matrix in matrices if matrix.grad is not None]
                buffers = [self.state[m].setdefault("momentum_buffer", torch.zeros_like(m)) for m in matrices]
                torch._foreach_lerp_(buffers, grads, 1 - group["momentum"])
                steps = torch._foreach_lerp(grads, buffers, group["momentum"])
                updates = orthogonal(torch.stack(steps).to(self.dtype)).to(matrices[0].dtype).unbind()
                torch._foreach_mul_(matrices, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(matrices, updates, alpha=-0.2 * group["lr"] * max(shape) ** 0.5)


def orthogonal(matrix: Tensor, iterations: int = 5) -> Tensor:
    """Near `U @ V.T` of the singular value decomposition `U S V.T`: singular values between 0.5 and 1.5, or so.

    `matrix [..., rows, columns]`: many of one shape at once.
    """
    a, b, c = COEFFICIENTS
    tall = matrix.shape[-2] > matrix.shape[-1]
    x: Tensor = matrix.mT if tall else matrix
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    for _ in range(iterations):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x
