"""Products of query rows with the keys and the values of a long segment on a CPU, by oneDNN where it is faster.

In: rows per KV head and one segment. Out: what `@` would give. The library by which torch multiplies float32 matrices
uses half of what an AMD processor with AVX-512 can do, and oneDNN all of it (kernels/LOG.md). oneDNN compiles a product
for every shape, so a segment that grows is cut where its length is a multiple of `STRIDE`; the rest is multiplied by
the library. Above: `attention.py`.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

LEAST_ROWS = 12
"""Per KV head. Fewer rows are bound by memory, for which both are equal on two threads."""
LEAST_LENGTH = 2048
"""Tokens. A call of oneDNN takes some ten microseconds per KV head whatever it does."""
STRIDE = 1024


def scores_into(out: Tensor, rows: Tensor, keys: Tensor) -> None:
    """out `[kv_heads, n, length]` = rows `[kv_heads, n, head_dim]` times the keys `[kv_heads, length, head_dim]`."""
    cut = _cut(rows, keys)
    for head in range(keys.shape[0] if cut else 0):
        out[head, :, :cut] = _times_transposed(rows[head], keys[head, :cut])
    if cut < keys.shape[1]:
        out[..., cut:] = rows @ keys[:, cut:].transpose(1, 2)


def weighted(weights: Tensor, values: Tensor) -> Tensor:
    """`[kv_heads, n, value_dim]`: weights `[kv_heads, n, length]` times the values `[kv_heads, length, value_dim]`."""
    cut = _cut(weights, values)
    if not cut:
        return weights @ values
    parts = [_times_transposed(mine[:, :cut], theirs[:cut].t()) for mine, theirs in zip(weights, values, strict=True)]
    out = torch.stack(parts)
    return torch.baddbmm(out, weights[..., cut:], values[:, cut:]) if cut < values.shape[1] else out


def is_long(rows: Tensor, segment: Tensor) -> bool:
    """Whether oneDNN takes part in the products of these rows with a segment."""
    return bool(_cut(rows, segment))


def _cut(rows: Tensor, segment: Tensor) -> int:
    """How many tokens of the segment go to oneDNN."""
    length = segment.shape[1]
    if length < LEAST_LENGTH or rows.shape[1] < LEAST_ROWS or torch.is_grad_enabled():
        return 0
    if rows.dtype != torch.float32 or rows.device.type != "cpu" or not _has_onednn():
        return 0
    return length - length % STRIDE


def _times_transposed(left: Tensor, right: Tensor) -> Tensor:
    """left @ right.T of `[n, k]` and `[m, k]`."""
    out: Tensor = torch.ops.mkldnn._linear_pointwise(left, right, None, "none", [], "")
    return out


@cache
def _has_onednn() -> bool:
    """This torch has oneDNN's product, on a processor of the kind that it was measured on, and it is right."""
    if not torch.backends.mkldnn.is_available() or "AVX512" not in torch.backends.cpu.get_cpu_capability():
        return False
    left, right = torch.linspace(-1, 1, 3 * 48).view(3, 48), torch.linspace(-1, 1, 32 * 48).view(32, 48)
    try:
        return torch.allclose(_times_transposed(left, right), left @ right.t(), atol=1e-4)
    except (RuntimeError, AttributeError):
        return False
