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

from hogwild_kernels.between_kernels import gate_kernel, norm_kernel, rotate_append_kernel, rotate_kernel
from hogwild_kernels.gpu import Segments

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
    (num_rows, dim), kv_heads = query.shape[1:], len(key)
    _check_dense(query, key)
    turned, keys = query.new_empty(num_rows, len(query), dim), key.new_empty(num_rows, kv_heads, dim)
    rotate_kernel[(num_rows, _parts(query) + _parts(key))](
        query, key, turned, keys, cos, sin,
        *query.stride()[:2], *key.stride()[:2], cos.stride(0), sin.stride(0), cos.stride(1), sin.stride(1),
        NUM_HEADS=len(query), KV_HEADS=kv_heads, DIM=dim, SIZE=size, STRIDE=stride, HEADS=HEADS,
        BLOCK=triton.next_power_of_2(size // 2), BLOCK_REST=triton.next_power_of_2(max(1, dim - size)),
        INTERLEAVED=interleaved, num_warps=4,
    )  # fmt: skip
    return turned.transpose(0, 1), keys.transpose(0, 1)


def rotate_append(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    segments: Segments,
    targets: Tensor,
    layer: int,
    cos: Tensor,
    sin: Tensor,
    size: int,
    interleaved: bool,
    stride: int,
) -> Tensor:
    """`rotate`, and `gpu.append` of the rotated keys and of the values `[kv_heads, rows, head_dim]`, as one kernel."""
    (num_rows, dim), kv_heads = query.shape[1:], len(key)
    _check_dense(query, key, value)
    turned = query.new_empty(num_rows, len(query), dim)
    rotate_append_kernel[(num_rows, _parts(query) + 2 * _parts(key))](
        query, key, value, turned, segments.base, segments.table, targets, cos, sin, layer,
        *query.stride()[:2], *key.stride()[:2], *value.stride()[:2],
        cos.stride(0), sin.stride(0), cos.stride(1), sin.stride(1),
        NUM_HEADS=len(query), KV_HEADS=kv_heads, DIM=dim, SIZE=size, STRIDE=stride, HEADS=HEADS,
        BLOCK=triton.next_power_of_2(size // 2), BLOCK_REST=triton.next_power_of_2(max(1, dim - size)),
        BLOCK_DIM=triton.next_power_of_2(dim), INTERLEAVED=interleaved, num_warps=4,
    )  # fmt: skip
    return turned.transpose(0, 1)


def _parts(x: Tensor) -> int:
    return -(-len(x) // HEADS)


def _check_dense(*tensors: Tensor) -> None:
    if any(one.stride(-1) != 1 for one in tensors):
        raise ValueError("Queries, keys and values must be dense in their last dimension.")
