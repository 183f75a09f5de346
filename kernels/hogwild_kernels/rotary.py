"""Rotary embeddings as rotations that compose: R(a) R(b) = R(a + b).

In: queries or keys that a model has rotated to some position. Out: the same, turned further by any number of positions.
`attention.py` turns queries; the cache turns keys only when it compacts blocks. RoPE: Su et al., RoFormer
(arXiv 2104.09864), section 3.2.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Rotary:
    """How a model rotates: angular frequencies and the pairing of dimensions.

    inv_freq: `[rotary_dim / 2]` float64, radians per position, after any linear / llama3 / yarn scaling.
    interleaved: pairs are (0, 1), (2, 3), ... (GLM-4) instead of (i, i + rotary_dim / 2) (Llama and most others).
    Dimensions beyond rotary_dim are left alone (partial rotary).
    """

    inv_freq: Tensor
    interleaved: bool = False

    @property
    def dim(self) -> int:
        return 2 * self.inv_freq.numel()

    def table(self, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Cosines and sines `[*positions.shape, rotary_dim]` of the angles, laid out for this pairing.

        Angles are computed in float64: at 100 k positions a float32 product is already off by a hundredth of a radian.
        """
        angles = positions.to(torch.float64)[..., None] * self.inv_freq.to(positions.device)
        angles = angles.repeat_interleave(2, dim=-1) if self.interleaved else torch.cat((angles, angles), dim=-1)
        return angles.cos().to(dtype), angles.sin().to(dtype)


def turn(x: Tensor, cos: Tensor, sin: Tensor, *, interleaved: bool = False) -> Tensor:
    """Turn the first rotary_dim dimensions of `x [..., head_dim]` by the angles of `cos, sin [..., rotary_dim]`."""
    rotary_dim = cos.shape[-1]
    rotated, rest = (x, None) if rotary_dim == x.shape[-1] else (x[..., :rotary_dim], x[..., rotary_dim:])
    if interleaved:
        across = torch.stack((-rotated[..., 1::2], rotated[..., 0::2]), dim=-1).flatten(-2)
    else:
        half = rotary_dim // 2
        across = torch.cat((-rotated[..., half:], rotated[..., :half]), dim=-1)
    turned = rotated * cos + across * sin
    return turned if rest is None else torch.cat((turned, rest.expand(*turned.shape[:-1], rest.shape[-1])), dim=-1)
