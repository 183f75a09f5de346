"""What a decoder layer does between its products and its attention, in plain torch: norms, gates, rotations.

In: activations, `[..., dim]`. Out: the same. Each function is the definition of one kernel of `between_gpu.py`, which
has the same signatures; arithmetic is float32 and rounded once, where models round after every operation. Above:
`hogwild.fusing`, which puts these in a model's place where they are proved to give what the model gives.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

ACTIVATIONS = ("silu", "gelu_tanh")


def rms_norm(x: Tensor, weight: Tensor, eps: float, offset: float = 0.0) -> Tensor:
    """`x [..., dim]` over the root of its mean square, times `offset + weight [dim]` (arXiv 1910.07467, equation 4)."""
    if offset == 0.0:
        return F.rms_norm(x, weight.shape, weight.to(x.dtype), eps)
    return F.rms_norm(_wide(x), weight.shape, offset + _wide(weight), eps).to(x.dtype)


def add_rms_norm(x: Tensor, added: Tensor, weight: Tensor, eps: float, offset: float = 0.0) -> tuple[Tensor, Tensor]:
    """`x + added`, and the norm of this sum as it is stored."""
    total = x + added
    return total, rms_norm(total, weight, eps, offset)


def gated(both: Tensor, activation: str) -> Tensor:
    """`both [..., 2 n]` -> `[..., n]`: activation(first half) * second half (arXiv 2002.05202, equation 6)."""
    gate, up = _wide(both).chunk(2, dim=-1)
    gate = F.silu(gate) if activation == "silu" else F.gelu(gate, approximate="tanh")
    return (gate * up).to(both.dtype)


def rotate(
    query: Tensor, key: Tensor, cos: Tensor, sin: Tensor, size: int, interleaved: bool, stride: int
) -> tuple[Tensor, Tensor]:
    """`query [heads, rows, head_dim]` and `key [kv_heads, rows, head_dim]`, the first `size` numbers of each rotated.

    cos, sin: `[rows, width]`; pair i turns by column i * stride. A pair is (i, i + size / 2), or (2 i, 2 i + 1) if they
    are interleaved.
    """
    pairs = slice(0, stride * (size // 2), stride)
    c, s = _wide(cos[:, pairs]), _wide(sin[:, pairs])
    return _rotated(query, c, s, size, interleaved), _rotated(key, c, s, size, interleaved)


def _rotated(x: Tensor, cos: Tensor, sin: Tensor, size: int, interleaved: bool) -> Tensor:
    half = size // 2
    first, second = (slice(0, size, 2), slice(1, size, 2)) if interleaved else (slice(0, half), slice(half, size))
    out = torch.empty_like(x)
    a, b = _wide(x[..., first]), _wide(x[..., second])
    out[..., first], out[..., second] = a * cos - b * sin, b * cos + a * sin
    out[..., size:] = x[..., size:]
    return out


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
