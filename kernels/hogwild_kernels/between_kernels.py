# mypy: ignore-errors
"""The Triton kernels of `between_gpu.py`: norm, gate and rotation; one row, or a part of one, per program.

Above: `between_gpu.py`. The definition of every result: `between.py`.
"""

import triton
import triton.language as tl


@triton.jit
def norm_kernel(
    x, added, weight, out, total, x_outer, x_inner, added_outer, eps,
    DIM: tl.constexpr, BLOCK: tl.constexpr, ADD: tl.constexpr, OFFSET: tl.constexpr,
):  # fmt: skip
    """One row; `out` and `total` are dense."""
    outer, inner = tl.program_id(0).to(tl.int64), tl.program_id(1).to(tl.int64)
    at = tl.arange(0, BLOCK)
    real = at < DIM
    place = (outer * tl.num_programs(1) + inner) * DIM + at
    row = tl.load(x + outer * x_outer + inner * x_inner + at, mask=real, other=0.0).to(tl.float32)
    scale = tl.load(weight + at, mask=real, other=0.0).to(tl.float32) + OFFSET
    if ADD:
        row += tl.load(added + outer * added_outer + at, mask=real, other=0.0).to(tl.float32)
        stored = row.to(total.dtype.element_ty)
        tl.store(total + place, stored, mask=real)
        row = stored.to(tl.float32)
    root = tl.rsqrt(tl.sum(row * row, 0) / DIM + eps)
    tl.store(out + place, (row * root * scale).to(out.dtype.element_ty), mask=real)


@triton.jit
def gate_kernel(both, out, size, both_row, BLOCK: tl.constexpr, SILU: tl.constexpr):
    """Part of one row: the gates stand at 0..size-1 of `both`, what they let through behind them."""
    row = tl.program_id(0).to(tl.int64)
    at = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    real = at < size
    gate = tl.load(both + row * both_row + at, mask=real, other=0.0).to(tl.float32)
    up = tl.load(both + row * both_row + size + at, mask=real, other=0.0).to(tl.float32)
    # GELU's 1 + tanh(x) is 2 sigmoid(2 x)
    slope = gate if SILU else 1.5957691216057308 * (gate + 0.044715 * gate * gate * gate)
    tl.store(out + row * size + at, (gate * up / (1.0 + tl.exp(-slope))).to(out.dtype.element_ty), mask=real)


@triton.jit
def _rotate_heads(
    x, out, x_head, x_row, out_head, first_head, num_heads, row, cos, sin,
    DIM: tl.constexpr, SIZE: tl.constexpr, BLOCK: tl.constexpr, BLOCK_REST: tl.constexpr, HEADS: tl.constexpr,
    INTERLEAVED: tl.constexpr,
):  # fmt: skip
    """Some heads of one row of `x`, to where `out` holds this row's first head."""
    head = (first_head + tl.arange(0, HEADS)).to(tl.int64)
    there = (head < num_heads)[:, None]
    source = x + head[:, None] * x_head + row * x_row
    target = out + head[:, None] * out_head
    pair = tl.arange(0, BLOCK)
    real = there & (pair < SIZE // 2)[None, :]
    if INTERLEAVED:
        first, second = 2 * pair, 2 * pair + 1
    else:
        first, second = pair, pair + SIZE // 2
    a = tl.load(source + first[None, :], mask=real, other=0.0).to(tl.float32)
    b = tl.load(source + second[None, :], mask=real, other=0.0).to(tl.float32)
    tl.store(target + first[None, :], (a * cos[None, :] - b * sin[None, :]).to(out.dtype.element_ty), mask=real)
    tl.store(target + second[None, :], (b * cos[None, :] + a * sin[None, :]).to(out.dtype.element_ty), mask=real)
    if SIZE < DIM:
        rest = SIZE + tl.arange(0, BLOCK_REST)
        kept = there & (rest < DIM)[None, :]
        tl.store(target + rest[None, :], tl.load(source + rest[None, :], mask=kept, other=0.0), mask=kept)


@triton.jit(do_not_specialize=["cos_row", "sin_row"])
def rotate_kernel(
    query, key, query_out, key_out, cos, sin,
    query_head, query_row, key_head, key_row, cos_row, sin_row, cos_column, sin_column,
    NUM_HEADS: tl.constexpr, KV_HEADS: tl.constexpr, DIM: tl.constexpr, SIZE: tl.constexpr, STRIDE: tl.constexpr,
    BLOCK: tl.constexpr, BLOCK_REST: tl.constexpr, HEADS: tl.constexpr, INTERLEAVED: tl.constexpr,
):  # fmt: skip
    """Some heads of one row: the query's come first, then the key's. Results are `[rows, heads, head_dim]`. cos_column,
    sin_column: elements from one column of the tables to the next; where they are dense, Triton compiles the 1 in."""
    row, part = tl.program_id(0).to(tl.int64), tl.program_id(1)
    pair = tl.arange(0, BLOCK)
    c = tl.load(cos + row * cos_row + pair * STRIDE * cos_column, mask=pair < SIZE // 2, other=0.0).to(tl.float32)
    s = tl.load(sin + row * sin_row + pair * STRIDE * sin_column, mask=pair < SIZE // 2, other=0.0).to(tl.float32)
    QUERIES: tl.constexpr = (NUM_HEADS + HEADS - 1) // HEADS
    if part < QUERIES:
        _rotate_heads(
            query, query_out + row * NUM_HEADS * DIM, query_head, query_row, DIM, part * HEADS, NUM_HEADS, row, c, s,
            DIM, SIZE, BLOCK, BLOCK_REST, HEADS, INTERLEAVED,
        )  # fmt: skip
    else:
        _rotate_heads(
            key, key_out + row * KV_HEADS * DIM, key_head, key_row, DIM, (part - QUERIES) * HEADS, KV_HEADS, row, c, s,
            DIM, SIZE, BLOCK, BLOCK_REST, HEADS, INTERLEAVED,
        )  # fmt: skip


@triton.jit(do_not_specialize=["cos_row", "sin_row", "layer"])
def rotate_append_kernel(
    query, key, value, query_out, base, segments, targets, cos, sin, layer,
    query_head, query_row, key_head, key_row, value_head, value_row, cos_row, sin_row, cos_column, sin_column,
    NUM_HEADS: tl.constexpr, KV_HEADS: tl.constexpr, DIM: tl.constexpr, SIZE: tl.constexpr, STRIDE: tl.constexpr,
    BLOCK: tl.constexpr, BLOCK_REST: tl.constexpr, BLOCK_DIM: tl.constexpr, HEADS: tl.constexpr,
    INTERLEAVED: tl.constexpr,
):  # fmt: skip
    """As `rotate_kernel`, but keys go to their place in the cache, and values, which come last, too: see
    `triton_kernels.append_kernel`."""
    row, part = tl.program_id(0).to(tl.int64), tl.program_id(1)
    QUERIES: tl.constexpr = (NUM_HEADS + HEADS - 1) // HEADS
    KEYS: tl.constexpr = (KV_HEADS + HEADS - 1) // HEADS
    if part < QUERIES + KEYS:
        pair = tl.arange(0, BLOCK)
        c = tl.load(cos + row * cos_row + pair * STRIDE * cos_column, mask=pair < SIZE // 2, other=0.0).to(tl.float32)
        s = tl.load(sin + row * sin_row + pair * STRIDE * sin_column, mask=pair < SIZE // 2, other=0.0).to(tl.float32)
        if part < QUERIES:
            _rotate_heads(
                query, query_out + row * NUM_HEADS * DIM, query_head, query_row,
                DIM, part * HEADS, NUM_HEADS, row, c, s,
                DIM, SIZE, BLOCK, BLOCK_REST, HEADS, INTERLEAVED,
            )  # fmt: skip
        else:
            entry = segments + tl.load(targets + row * 2) * 4
            place = layer * tl.load(entry + 3) + tl.load(targets + row * 2 + 1) * DIM
            keys = base + tl.multiple_of(tl.load(entry) + place, 8)
            _rotate_heads(
                key, keys, key_head, key_row, tl.load(entry + 2), (part - QUERIES) * HEADS, KV_HEADS, row, c, s,
                DIM, SIZE, BLOCK, BLOCK_REST, HEADS, INTERLEAVED,
            )  # fmt: skip
    else:
        entry = segments + tl.load(targets + row * 2) * 4
        place = layer * tl.load(entry + 3) + tl.load(targets + row * 2 + 1) * DIM
        values = base + tl.multiple_of(tl.load(entry + 1) + place, 8)
        head = ((part - QUERIES - KEYS) * HEADS + tl.arange(0, HEADS)).to(tl.int64)
        dim = tl.arange(0, BLOCK_DIM)
        real = (head < KV_HEADS)[:, None] & (dim < DIM)[None, :]
        held = tl.load(value + head[:, None] * value_head + row * value_row + dim[None, :], mask=real, other=0.0)
        tl.store(values + head[:, None] * tl.load(entry + 2) + dim[None, :], held, mask=real)
