"""Attention of whole replayed runs on a CUDA device, forward and backward, so that training keeps no scores.

In: packed queries, keys and values of several runs, each run cut into segments (its blocks), and for every row and
segment of its run a turn and a visible length. Out: the attention output, differentiable in all three. A run's rows see
only their own run. The definition is `attention.attend`, run by run; the backward pass recomputes the scores tile by
tile from the log-sum-exp of each row (FlashAttention-2, arXiv 2307.08691, section 3.1). A turn is a rotation, so its
gradient is turned back.

Above: `hogwild.replay`. Below: `run_kernels.py`, `run_tables.py`. Nobody imports this file unless a CUDA device is
used.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from hogwild_kernels.gpu import PRODUCTS, frequencies
from hogwild_kernels.rotary import Rotary
from hogwild_kernels.run_kernels import forward_kernel, keys_kernel, query_kernel
from hogwild_kernels.run_tables import BLOCK_M, BLOCK_N, RunTables


def attend_runs(
    query: Tensor, key: Tensor, value: Tensor, tables: RunTables, rotary: Rotary | None, scaling: float
) -> Tensor:
    """Attention output `[heads, N, head_dim]` of `query [heads, N, head_dim]`, `key, value [kv_heads, N, head_dim]`.

    N: the rows of all runs. Computed in the type of `value`. Rows beyond the last run's are padding and give 0.
    """
    dtype = value.dtype
    turned = None if rotary is None else frequencies(rotary, value.device)
    out: Tensor = _Attend.apply(  # type: ignore[no-untyped-call]
        query.to(dtype), key.to(dtype), value, tables, turned, scaling
    )
    return out


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, tables: RunTables, turned: Tensor | None, scaling: float
    ) -> Tensor:
        query, key, value = (_dense(x) for x in (query, key, value))
        heads, rows, dim = query.shape
        out = torch.zeros(heads, rows, dim, dtype=query.dtype, device=query.device)
        lse = torch.zeros(heads, rows, dtype=torch.float32, device=query.device)
        if len(tables.tiles):
            forward_kernel[(len(tables.tiles), heads)](
                query, key, value, out, lse, turned, tables.turns, tables.visible, tables.tiles, tables.runs,
                tables.segments, scaling * math.log2(math.e),
                query.stride(0), query.stride(1), key.stride(0), key.stride(1), value.stride(0), value.stride(1), rows,
                **_settings(query, key, turned),
            )  # fmt: skip
        ctx.save_for_backward(query, key, value, out, lse)
        ctx.tables, ctx.turned, ctx.scaling = tables, turned, scaling
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, out, lse = ctx.saved_tensors
        tables, turned = ctx.tables, ctx.turned
        grad = grads[0].to(query.dtype).contiguous()
        heads, rows, _ = query.shape
        delta = (grad.float() * out.float()).sum(-1)
        d_query = torch.zeros(query.shape, dtype=query.dtype, device=query.device)
        d_key, d_value = (torch.zeros(key.shape, dtype=key.dtype, device=key.device) for _ in range(2))
        where = (
            tables.turns, tables.visible, tables.runs, tables.segments, ctx.scaling * math.log2(math.e), ctx.scaling,
            query.stride(0), query.stride(1), key.stride(0), key.stride(1), value.stride(0), value.stride(1), rows,
        )  # fmt: skip
        settings = _settings(query, key, turned)
        if len(tables.tiles):
            query_kernel[(len(tables.tiles), heads)](
                query, key, value, grad, d_query, lse, delta, turned, tables.tiles, *where, **settings
            )
            keys_kernel[(len(tables.keys), key.shape[0])](
                query, key, value, grad, d_key, d_value, lse, delta, turned, tables.keys, *where, **settings
            )
        return d_query, d_key, d_value, None, None, None


def _dense(x: Tensor) -> Tensor:
    return x if x.stride(-1) == 1 else x.contiguous()


def _settings(query: Tensor, key: Tensor, turned: Tensor | None) -> dict[str, Any]:
    return {
        "GROUP": query.shape[0] // key.shape[0],
        "HALF": query.shape[-1] // 2,
        "BLOCK_M": BLOCK_M,
        "BLOCK_N": BLOCK_N,
        "TURN": turned is not None,
        "PRODUCT": PRODUCTS[query.dtype],
        "num_warps": 4 if query.shape[-1] < 64 else 8,
        "num_stages": 2,
    }
