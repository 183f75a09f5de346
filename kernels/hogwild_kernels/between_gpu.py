"""The functions of `between.py` as one Triton kernel each, for a CUDA device.

Few rows and one short pass each: what counts is that there are few of them, so nothing here is tuned. Nobody imports
this file unless a CUDA device is used. Above: `hogwild.fusing`. Below: `between_kernels.py`. Beside: `between.py`, the
definition.
"""

from __future__ import annotations

import os

os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "1")  # as in `gpu.py`

import torch
import triton
from torch import Tensor

from hogwild_kernels.between_kernels import gate_kernel, norm_kernel, rotate_kernel

WIDEST_NORM = 1 << 15
"""Numbers of one row that one program holds."""
GATES, HEADS = 1024, 8
"""What one program of a gate (numbers) and of a rotation (heads) does."""


def rms_norm(x: Tensor, weight: Tensor, eps: float, offset: float = 0.0) -> Tensor:
    """As `between.rms_norm`, without gradients."""
    return _norm(x, None, weight, eps, offset)[1]


def add_rms_norm(x: Tensor, added: Tensor, weight: Tensor, eps: float, offset: float = 0.0) -> tuple[Tensor, Tensor]:
    """As `between.add_rms_norm`, without gradients."""
    return _norm(x, added, weight, eps, offset)


def _norm(x: Tensor, added: Tensor | None, weight: Tensor, eps: float, offset: float) -> tuple[Tensor, Tensor]:
    dim = x.shape[-1]
    if dim > WIDEST_NORM:
        raise ValueError(f"A row of {dim} numbers is too wide for one program.")
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    # Heads side by side in a wider row are read where they are: `[1, rows, heads, dim]`.
    heads = x[0] if added is None and x.dim() == 4 and x.shape[0] == 1 and x.stride(-1) == 1 else None
    rows = x.reshape(-1, 1, dim) if heads is None else heads
    rows = rows if rows.stride(-1) == 1 else rows.contiguous()
    total = out if added is None else torch.empty_like(out)
    more = rows[:, 0] if added is None else added.reshape(-1, dim)
    more = more if more.stride(-1) == 1 else more.contiguous()
    block = triton.next_power_of_2(dim)
    norm_kernel[(rows.shape[0], rows.shape[1])](
        rows, more, weight, out, total, rows.stride(0), rows.stride(1), more.stride(0), eps,
        DIM=dim, BLOCK=block, ADD=added is not None, OFFSET=offset, num_warps=min(16, max(1, block // 256)),
    )  # fmt: skip
    return total, out


def gated(both: Tensor, activation: str) -> Tensor:
    """As `between.gated`, without gradients."""
    size = both.shape[-1] // 2
    rows = both.reshape(-1, 2 * size)
    rows = rows if rows.stride(-1) == 1 else rows.contiguous()
    out = torch.empty((*both.shape[:-1], size), dtype=both.dtype, device=both.device)
    gate_kernel[(rows.shape[0], triton.cdiv(size, GATES))](
        rows, out, size, rows.stride(0), BLOCK=GATES, SILU=activation == "silu", num_warps=4
    )
    return out


def rotate(
    query: Tensor, key: Tensor, cos: Tensor, sin: Tensor, size: int, interleaved: bool, stride: int
) -> tuple[Tensor, Tensor]:
    """As `between.rotate`, without gradients; results lie rows first."""
    (heads, num_rows, dim), kv_heads = query.shape, key.shape[0]
    if query.stride(-1) != 1 or key.stride(-1) != 1 or cos.stride(-1) != 1 or sin.stride(-1) != 1:
        raise ValueError("Queries, keys and tables must be dense in their last dimension.")
    turned, keys = query.new_empty(num_rows, heads, dim), key.new_empty(num_rows, kv_heads, dim)
    rotate_kernel[(num_rows, triton.cdiv(heads, HEADS) + triton.cdiv(kv_heads, HEADS))](
        query, key, turned, keys, cos, sin,
        query.stride(0), query.stride(1), key.stride(0), key.stride(1), cos.stride(0), sin.stride(0),
        NUM_HEADS=heads, KV_HEADS=kv_heads, DIM=dim, SIZE=size, STRIDE=stride,
        BLOCK=triton.next_power_of_2(size // 2), BLOCK_REST=triton.next_power_of_2(max(1, dim - size)), HEADS=HEADS,
        INTERLEAVED=interleaved, num_warps=4,
    )  # fmt: skip
    return turned.transpose(0, 1), keys.transpose(0, 1)
