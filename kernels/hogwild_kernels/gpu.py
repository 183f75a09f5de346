"""Attention over shared segments on a CUDA device: the functions of `attention.py`, by the Triton kernels.

In: the same arguments. Out: the same results, within the error of the data type. A plan holds the tables of a step as
small integer tensors on the device; `Segments` holds where keys and values lie, for all layers at once. Nobody imports
this file unless a CUDA device is used: Triton is the extra `[gpu]`. Above: `hogwild.runner`. Below:
`triton_kernels.py`, `tiling.py`. Beside: `attention.py`, the definition.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "1")  # a multiply and an add as one, whatever Triton's default

import numpy as np
import torch
import triton
import triton.language as tl
from torch import Tensor

from hogwild_kernels.rotary import Rotary
from hogwild_kernels.tiling import Tiling, cut
from hogwild_kernels.triton_kernels import append_kernel, attend_kernel, combine_kernel

DTYPES = (torch.float16, torch.bfloat16, torch.float32)
WIDEST_TILE = 64
"""Query rows times grouped heads of one tile; more would not fit beside the keys in shared memory."""
PRODUCTS = {torch.float16: tl.float16, torch.bfloat16: tl.bfloat16, torch.float32: tl.float32}
if triton.knobs.runtime.interpret:
    PRODUCTS[torch.bfloat16] = tl.float32
WIDE_BYTES = 3 * 2 * 128 * 128 * 2 + 2048
"""Shared memory for three stages of 128 keys and values of 128 16-bit numbers: by measurement (kernels/LOG.md) the
fastest decoding tile on sm_90, whose multiprocessors have so much; each is then given one item at a time."""
ITEMS_AT_ONCE = 16
"""Partial results that the combining pass loads at a time."""


@dataclass(frozen=True)
class Shape:
    """What a kernel is compiled for: tile sizes and launch settings for one model on one device. items: how many items
    each multiprocessor is given at a time. early: kernels are launched while the one before still runs (sm_90 on)."""

    block_m: int
    block_n: int
    block_d: int
    num_warps: int
    num_stages: int
    items: int = 2
    early: bool = False

    def rows(self, group: int) -> int:
        return self.block_m // group

    def programs(self, device: torch.device, kv_heads: int) -> int:
        """Items per KV head that the device works on at once."""
        return max(1, self.items * multiprocessors(device) // kv_heads)


@dataclass(frozen=True)
class Segments:
    """Where the keys and values of every segment lie. table: int64 `[segments, 4]` on the device: where the keys and
    the values begin, in elements from the start of `base` (one of them), elements per KV head, elements per layer."""

    table: Tensor
    base: Tensor

    @classmethod
    def of(cls, keys: Sequence[Tensor], values: Sequence[Tensor], base: Tensor | None = None) -> Segments:
        """For `[kv_heads, length, head_dim]` (one layer) or `[layers, kv_heads, capacity, head_dim]` per segment."""
        base = keys[0] if base is None else base
        return cls(to_device(cls.rows(keys, values, base), base.device), base)

    @staticmethod
    def rows(keys: Sequence[Tensor], values: Sequence[Tensor], base: Tensor) -> np.ndarray:
        """The table, on the host."""
        rows, origin, size = [], base.data_ptr(), base.element_size()
        for key, value in zip(keys, values, strict=True):
            if key.shape != value.shape or key.stride() != value.stride() or key.stride(-2) != key.shape[-1]:
                raise ValueError("Keys and values of a segment must have one shape and layout, tokens side by side.")
            if key.data_ptr() % 16 or value.data_ptr() % 16 or key.shape[-1] % 8:
                raise ValueError("Keys and values must begin at a multiple of 16 bytes, with a head size of 8 n.")
            layer = key.stride(0) if key.dim() == 4 else 0
            begin = ((key.data_ptr() - origin) // size, (value.data_ptr() - origin) // size)
            rows.append((*begin, key.stride(-3), layer))
        return np.array(rows, dtype=np.int64)


@dataclass(frozen=True)
class GpuPlan:
    """The counterpart of `AttentionPlan`: tables on the device, made once per step and used by every layer.

    turns, visible, first: int32 `[rows, segments]`; frequencies: int64 `[rotary_dim / 2]`, 2**64 being a whole turn
    per position, or None where nothing is turned. limits: what tiles are cut by (numpy `[rows, segments]`).
    """

    turns: Tensor
    visible: Tensor
    first: Tensor | None
    frequencies: Tensor | None
    interleaved: bool
    limits: tuple[np.ndarray | None, np.ndarray]
    tables: dict[tuple[int, int, int], tuple[Tiling, Tensor, Tensor, Tensor]] = field(default_factory=dict)

    @property
    def num_rows(self) -> int:
        return self.visible.shape[0]

    def tiled(self, rows_per_tile: int, block: int, programs: int) -> tuple[Tiling, Tensor, Tensor, Tensor]:
        """Tiling and its tables (items, pieces, tiles) on the device; made by the first layer that asks."""
        key = (rows_per_tile, block, programs)
        if key not in self.tables:
            tiling = cut(*self.limits, rows_per_tile, block, programs)
            device = self.visible.device
            tables = (to_device(table, device) for table in (tiling.items, tiling.pieces, tiling.tiles))
            self.tables[key] = (tiling, *tables)  # type: ignore[assignment]
        return self.tables[key]


def plan_attention(
    turns: Tensor,
    visible: Tensor,
    lengths: Sequence[int],
    rotary: Rotary | None,
    dtype: torch.dtype,
    first: Tensor | None = None,
    *,
    device: torch.device | None = None,
) -> GpuPlan:
    """As `attention.plan_attention`; tables may come from the host and go to `device` without waiting for it."""
    place = device or visible.device
    ints = [None if t is None else np.ascontiguousarray(t.cpu().numpy(), dtype=np.int32) for t in (first, visible)]
    lower, upper = ints
    assert upper is not None
    upper = np.minimum(upper, np.array(lengths, dtype=np.int32))
    turned = np.ascontiguousarray(turns.cpu().numpy(), dtype=np.int32)
    return GpuPlan(
        to_device(turned, place),
        to_device(upper, place),
        None if lower is None else to_device(lower, place),
        None if rotary is None else frequencies(rotary, place),
        bool(rotary and rotary.interleaved),
        (lower, upper),
    )


def attend(
    query: Tensor,
    keys: Sequence[Tensor],
    values: Sequence[Tensor] | Tensor,
    plan: GpuPlan,
    scaling: float,
    *,
    mass: bool = False,
    softcap: float | None = None,
    sinks: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """As `attention.attend`, without gradients."""
    each = values.split([key.shape[1] for key in keys], dim=1) if isinstance(values, Tensor) else values
    segments = Segments.of(keys, each)
    return attend_segments(
        query, segments, 0, plan, scaling, kv_heads=keys[0].shape[0], mass=mass, softcap=softcap, sinks=sinks
    )


def attend_segments(
    query: Tensor,
    segments: Segments,
    layer: int,
    plan: GpuPlan,
    scaling: float,
    *,
    kv_heads: int,
    mass: bool = False,
    softcap: float | None = None,
    sinks: Tensor | None = None,
    shape: Shape | None = None,
) -> tuple[Tensor, Tensor | None]:
    """`query [heads, rows, head_dim]` over one layer of `segments`: output alike, and the shares with `mass`.

    shape: another tile than the device's own (for tuning).
    """
    heads, num_rows, head_dim = query.shape
    group = heads // kv_heads
    if query.dtype not in DTYPES or query.stride(-1) != 1 or head_dim > 256 or group > 256:
        raise ValueError("Queries must be float16, bfloat16 or float32, dense, of at most 256 numbers per head.")
    shape = shape or shape_for(num_rows, group, head_dim, query.dtype, shared_memory(query.device))
    programs = shape.programs(query.device, kv_heads)
    tiling, items, pieces, tiles = plan.tiled(shape.rows(group), shape.block_n, programs)
    # Layout of the result as the model wants it next: rows first, so that no copy is needed.
    out = query.new_empty(num_rows, heads, head_dim).transpose(0, 1)
    nothing = out
    split = tiling.split
    partial = stats = piece_stats = lse = nothing
    if split:
        partial = query.new_empty(len(items), kv_heads, shape.block_m, head_dim, dtype=torch.float32)
        stats = query.new_empty(len(items), kv_heads, shape.block_m, 2, dtype=torch.float32)
    if mass:
        piece_stats = query.new_empty(len(pieces), kv_heads, shape.block_m, 2, dtype=torch.float32)
        lse = query.new_empty(num_rows, heads, dtype=torch.float32)
    turned = plan.frequencies is not None
    common = {
        "GROUP": group,
        "DIM": head_dim,
        "BLOCK_D": shape.block_d,
        "BLOCK_M": shape.block_m,
        "SINKS": sinks is not None,
        "MASS": mass,
        "EARLY": shape.early,
        **({"launch_pdl": True} if shape.early else {}),
    }
    attend_kernel[(len(items), kv_heads)](
        query,
        out,
        partial,
        stats,
        piece_stats,
        lse,
        nothing if sinks is None else sinks,
        plan.frequencies if turned else segments.table,
        segments.base,
        segments.table,
        plan.turns,
        plan.visible,
        plan.visible if plan.first is None else plan.first,
        items,
        pieces,
        num_rows,
        plan.visible.shape[1],
        layer,
        scaling * math.log2(math.e),
        (softcap or 0.0) * math.log2(math.e),
        *query.stride()[:2],
        *out.stride()[:2],
        BLOCK_N=shape.block_n,
        ROTARY=2 * plan.frequencies.numel() if plan.frequencies is not None else 0,
        INTERLEAVED=plan.interleaved,
        WINDOW=plan.first is not None,
        SOFTCAP=softcap is not None,
        SPLIT=split,
        PRODUCT=PRODUCTS[query.dtype],
        num_warps=shape.num_warps,
        num_stages=shape.num_stages,
        **common,
    )
    if split:
        combine_kernel[(num_rows, heads)](
            out,
            partial,
            stats,
            lse,
            nothing if sinks is None else sinks,
            tiles,
            *out.stride()[:2],
            BLOCK_I=ITEMS_AT_ONCE,
            num_warps=2,
            **common,
        )
    shares = _shares(piece_stats, lse, items, pieces, tiling, plan, shape.rows(group), group) if mass else None
    return out, shares


def append(
    keys: Tensor,
    values: Tensor,
    segments: Segments,
    targets: Tensor,
    layer: int = 0,
    *,
    turns: Tensor | None = None,
    rotary: Rotary | None = None,
) -> None:
    """Store row r of `keys, values [kv_heads, rows, head_dim]` in the segment and at the place `targets[r]`.

    targets: int32 `[rows, 2]` on the device. With `rotary`, each key is turned by `turns [rows]` positions on its way.
    """
    kv_heads, rows, head_dim = keys.shape
    table = segments.table if rotary is None else frequencies(rotary, keys.device)
    append_kernel[(rows, kv_heads)](
        keys,
        values,
        segments.base,
        segments.table,
        targets,
        targets if turns is None else turns,
        table,
        layer,
        *keys.stride()[:2],
        *values.stride()[:2],
        DIM=head_dim,
        BLOCK_D=triton.next_power_of_2(head_dim),
        ROTARY=0 if rotary is None else rotary.dim,
        INTERLEAVED=bool(rotary and rotary.interleaved),
        num_warps=1,
    )


def shape_for(num_rows: int, group: int, head_dim: int, dtype: torch.dtype, shared_bytes: int) -> Shape:
    """Tile sizes. All rows of a decoding step in one tile where they fit, so that each key is loaded once."""
    block_d = max(16, triton.next_power_of_2(head_dim))
    widest = max(WIDEST_TILE, triton.next_power_of_2(group))
    if dtype.itemsize * block_d > 512:  # float32 of 256: a tile of half the rows keeps the sums in registers
        widest = max(widest // 2, triton.next_power_of_2(group))
    block_m = min(widest, max(16, triton.next_power_of_2(num_rows * group)))
    if block_m <= 32 and block_d == 128 and dtype.itemsize == 2 and shared_bytes >= WIDE_BYTES:
        return Shape(block_m, 128, block_d, 8, 3, items=1)
    stages = 3
    block_n = 128 if block_d <= 64 and dtype.itemsize == 2 else 64
    # Two programs on a multiprocessor hide each other's waiting, so one may take half of its memory.
    while block_n > 16 and stages * 2 * block_n * block_d * dtype.itemsize > (shared_bytes - 2048) // 2:
        stages, block_n = (2, block_n) if stages > 2 else (3, block_n // 2)
    return Shape(block_m, block_n, block_d, 8 if block_m * block_d >= 64 * 128 else 4, stages)


@lru_cache
def shared_memory(device: torch.device) -> int:
    """Bytes of shared memory that a multiprocessor can give to one program."""
    if device.type != "cuda":
        return 100 << 10
    return int(triton.runtime.driver.active.utils.get_device_properties(device.index or 0)["max_shared_mem"])


@lru_cache
def multiprocessors(device: torch.device) -> int:
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 4


@lru_cache
def _fixed_point(values: tuple[float, ...], device: torch.device) -> Tensor:
    whole = [round(value / (2 * math.pi) * 2**64) for value in values]
    wrapped = [(value + 2**63) % 2**64 - 2**63 for value in whole]
    return torch.tensor(wrapped, dtype=torch.int64).to(device)


def frequencies(rotary: Rotary, device: torch.device) -> Tensor:
    """int64 `[rotary_dim / 2]`: the angular frequencies, 2**64 being a whole turn per position."""
    if not hasattr(rotary, "_on_device"):
        object.__setattr__(rotary, "_on_device", {})
    held: dict[torch.device, Tensor] = rotary._on_device  # type: ignore[attr-defined]
    if device not in held:
        held[device] = _fixed_point(tuple(rotary.inv_freq.cpu().tolist()), device)
    return held[device]


def to_device(table: np.ndarray, device: torch.device) -> Tensor:
    """A small table, copied through pinned memory so that nobody waits."""
    host = torch.from_numpy(table)
    return host.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else host.to(device)


def _shares(
    piece_stats: Tensor,
    lse: Tensor,
    items: Tensor,
    pieces: Tensor,
    tiling: Tiling,
    plan: GpuPlan,
    rows_per_tile: int,
    group: int,
) -> Tensor:
    """`[rows, segments]` from the maximum and sum that each piece has left behind."""
    num_rows, num_segments = plan.visible.shape
    kv_heads = piece_stats.shape[1]
    counts = tiling.items[:, 2] - tiling.items[:, 1]
    tile = torch.from_numpy(np.repeat(tiling.items[:, 0], counts)).to(lse.device).long()
    live = piece_stats[:, :, : rows_per_tile * group].unflatten(2, (rows_per_tile, group))
    row = tile[:, None] * rows_per_tile + torch.arange(rows_per_tile, device=lse.device)
    inside = row < num_rows
    row = row.clamp_max(num_rows - 1)
    mine = lse.unflatten(1, (kv_heads, group))[row].transpose(1, 2)  # [pieces, kv_heads, rows, group]
    share = live[..., 1] * torch.exp2(live[..., 0] - mine)
    share = torch.where(inside[:, None, :, None], share, 0.0).sum((1, 3)) / (kv_heads * group)
    cell = row * num_segments + pieces[:, :1].long()
    flat = share.new_zeros(num_rows * num_segments)
    return flat.index_add_(0, cell.flatten(), share.flatten()).view(num_rows, num_segments)
