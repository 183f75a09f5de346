# mypy: ignore-errors
"""The device code, in Triton: attention over a table of segments, the combining pass, and the append.

Everything that does not change within a step stands in small integer tables (`gpu.py` makes them), so a fork, a prune
or a permutation is a change of a few numbers. Nothing here is imported unless a CUDA device is used.
Above: `gpu.py`. The definition of every result: `attention.py`, `rotary.py`.
"""

import triton
import triton.language as tl

try:
    from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait
except ImportError:  # an older Triton, or another device's; `EARLY` needs them
    gdc_launch_dependents = gdc_wait = None

LOG2_E: tl.constexpr = tl.constexpr(1.4426950408889634)
HALF_TURN: tl.constexpr = tl.constexpr(1.4629180792671596e-09)  # 2 pi / 2**32: radians per unit of a 32-bit phase


@triton.jit
def _circle(phase):
    """Cosine and sine of `phase`, an int64 in which 2**64 is one whole turn.

    An integer product wraps as an angle does, so a turn of a hundred thousand positions loses nothing, and no slow
    path of a library's range reduction is needed. Polynomials on an eighth of the circle (Cephes, single precision).
    """
    quadrant = (phase + 2305843009213693952) >> 62  # 2**61: to the nearest quarter
    rest = phase - (quadrant << 62)
    x = (rest >> 32).to(tl.float32) * HALF_TURN
    z = x * x
    sine = ((-1.9515295891e-4 * z + 8.3321608736e-3) * z - 1.6666654611e-1) * z * x + x
    cosine = ((2.443315711809948e-5 * z - 1.388731625493765e-3) * z + 4.166664568298827e-2) * z * z - 0.5 * z + 1.0
    odd = (quadrant & 1) != 0
    cos = tl.where(odd, sine, cosine)
    sin = tl.where(odd, cosine, sine)
    return tl.where(((quadrant + 1) & 2) != 0, -cos, cos), tl.where((quadrant & 2) != 0, -sin, sin)


@triton.jit
def _partner(dim, ROTARY: tl.constexpr, INTERLEAVED: tl.constexpr):
    """For each dimension: the other one of its pair, the index of their frequency, and whether it is the first."""
    if INTERLEAVED:
        return dim ^ 1, dim // 2, (dim & 1) == 0
    HALF: tl.constexpr = ROTARY // 2
    first = dim < HALF
    return tl.where(first, dim + HALF, dim - HALF), tl.where(first, dim, dim - HALF), first


@triton.jit
def _turned(x, other, turns, frequency, first, inside):
    """`x [M, D]` turned by `turns [M]` positions; `other` holds the other dimension of each pair."""
    cos, sin = _circle(turns.to(tl.int64)[:, None] * frequency[None, :])
    across = tl.where(first[None, :], -other, other)
    return tl.where(inside[None, :], x * cos + across * sin, x)


@triton.jit(do_not_specialize=["num_rows", "num_segments", "layer", "query_head", "query_row", "out_head", "out_row"])
def attend_kernel(
    query, out, partial, stats, piece_stats, lse, sinks, frequencies,
    base, segments, turns, visible, first_seen, items, pieces,
    num_rows, num_segments, layer, scale, cap,
    query_head, query_row, out_head, out_row,
    GROUP: tl.constexpr, DIM: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
    ROTARY: tl.constexpr, INTERLEAVED: tl.constexpr, WINDOW: tl.constexpr, SOFTCAP: tl.constexpr, SINKS: tl.constexpr,
    SPLIT: tl.constexpr, MASS: tl.constexpr, PRODUCT: tl.constexpr, EARLY: tl.constexpr,
):  # fmt: skip
    """One item of one KV head: online softmax (arXiv 1805.02867) over its pieces, for all rows and heads of its tile.

    segments: int64 `[segments, 4]`: where the keys and the values begin, in elements from `base` (a pointer known to
    be aligned; from bare addresses, loads would not be vectorised), elements per KV head, elements per layer.
    turns, visible, first_seen: int32 `[rows, segments]`. scale: scaling * log2(e), as all exponentials are powers of 2.
    PRODUCT: the type that products are taken in: the data's own, but for bfloat16 in the interpreter, which has none.
    EARLY: it is launched while the kernel before it still runs, and lets the next one be; only its tables, which are
    older, are read before that has ended (programmatic dependent launch, sm_90 on).
    """
    item, kv_head, kv_heads = tl.program_id(0), tl.program_id(1), tl.num_programs(1)
    ROWS: tl.constexpr = BLOCK_M // GROUP
    tile = tl.load(items + item * 3)
    begin = tl.load(items + item * 3 + 1)
    end = tl.load(items + item * 3 + 2)
    if EARLY:
        gdc_launch_dependents()
        gdc_wait()
    if tile < 0:
        return
    m = tl.arange(0, BLOCK_M)
    row = tile * ROWS + m // GROUP
    head = kv_head * GROUP + m % GROUP
    live = (m < ROWS * GROUP) & (row < num_rows)
    row = tl.where(live, row, 0)
    dim = tl.arange(0, BLOCK_D)
    real = dim < DIM
    at = query + head[:, None].to(tl.int64) * query_head + row[:, None].to(tl.int64) * query_row
    mine = tl.load(at + dim[None, :], mask=live[:, None] & real[None, :], other=0.0)
    if ROTARY:
        pair, index, leads = _partner(dim, ROTARY, INTERLEAVED)
        inside = dim < ROTARY
        other = tl.load(at + pair[None, :], mask=live[:, None] & inside[None, :], other=0.0).to(tl.float32)
        frequency = tl.load(frequencies + index, mask=inside, other=0)

    top = tl.full([BLOCK_M], float("-inf"), tl.float32)
    total = tl.zeros([BLOCK_M], tl.float32)
    acc = tl.zeros([BLOCK_M, BLOCK_D], tl.float32)
    for piece in range(begin, end):
        segment = tl.load(pieces + piece * 3)
        start = tl.load(pieces + piece * 3 + 1)
        stop = tl.load(pieces + piece * 3 + 2)
        entry = segments + segment * 4
        where = kv_head * tl.load(entry + 2) + layer * tl.load(entry + 3)
        keys = base + tl.multiple_of(tl.load(entry) + where, 8)
        values = base + tl.multiple_of(tl.load(entry + 1) + where, 8)
        cell = row * num_segments + segment
        sees = tl.load(visible + cell, mask=live, other=0)
        stop = tl.minimum(stop, tl.max(sees, 0))
        if WINDOW:
            lowest = tl.load(first_seen + cell, mask=live, other=0)
        if ROTARY:
            turn = tl.load(turns + cell, mask=live, other=0)
            q = _turned(mine.to(tl.float32), other, turn, frequency, leads, inside).to(query.dtype.element_ty)
        else:
            q = mine
        if MASS:
            held = tl.zeros([BLOCK_M], tl.float32)
        for n in range(start, stop, BLOCK_N):
            column = n + tl.arange(0, BLOCK_N)
            there = column < stop
            k = tl.load(keys + column[None, :] * DIM + dim[:, None], mask=there[None, :] & real[:, None], other=0.0)
            scores = tl.dot(q.to(PRODUCT), k.to(PRODUCT), input_precision="ieee") * scale
            if SOFTCAP:
                # cap * tanh(s / cap), with s and the result in units of log2(e)
                scores = cap * (1.0 - 2.0 / (1.0 + tl.exp2(scores * (2.0 * LOG2_E / cap))))
            shown = column[None, :] < tl.minimum(sees, stop)[:, None]
            if WINDOW:
                shown = shown & (column[None, :] >= lowest[:, None])
            scores = tl.where(shown, scores, float("-inf"))
            higher = tl.maximum(top, tl.max(scores, 1))
            floor = tl.where(higher == float("-inf"), 0.0, higher)
            weights = tl.exp2(scores - floor[:, None])
            fade = tl.exp2(top - floor)
            added = tl.sum(weights, 1)
            total = total * fade + added
            if MASS:
                held = held * fade + added
            v = tl.load(values + column[:, None] * DIM + dim[None, :], mask=there[:, None] & real[None, :], other=0.0)
            weights = weights.to(v.dtype).to(PRODUCT)
            acc = tl.dot(weights, v.to(PRODUCT), acc * fade[:, None], input_precision="ieee")
            top = higher
        if MASS:
            place = ((piece * kv_heads + kv_head) * BLOCK_M + m) * 2
            tl.store(piece_stats + place, tl.where(top == float("-inf"), 0.0, top))
            tl.store(piece_stats + place + 1, held)
    if SPLIT:
        place = (item * kv_heads + kv_head) * BLOCK_M + m
        tl.store(stats + place * 2, top)
        tl.store(stats + place * 2 + 1, total)
        spot = partial + place[:, None].to(tl.int64) * DIM + dim[None, :]
        tl.store(spot, acc, mask=live[:, None] & real[None, :])
    else:
        if SINKS:
            sink = tl.load(sinks + head, mask=live, other=0.0).to(tl.float32) * LOG2_E
            higher = tl.maximum(top, sink)
            fade = tl.exp2(top - higher)
            acc = acc * fade[:, None]
            total = total * fade + tl.exp2(sink - higher)
            top = higher
        if MASS:
            tl.store(lse + row * (kv_heads * GROUP) + head, top + tl.log2(total), mask=live)
        spot = out + head[:, None].to(tl.int64) * out_head + row[:, None].to(tl.int64) * out_row + dim[None, :]
        result = acc / tl.where(total == 0.0, 1.0, total)[:, None]
        tl.store(spot, result.to(out.dtype.element_ty), mask=live[:, None] & real[None, :])


@triton.jit(do_not_specialize=["out_head", "out_row"])
def combine_kernel(
    out, partial, stats, lse, sinks, tiles, out_head, out_row,
    GROUP: tl.constexpr, DIM: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_I: tl.constexpr,
    SINKS: tl.constexpr, MASS: tl.constexpr, EARLY: tl.constexpr,
):  # fmt: skip
    """One row and head: the items of its tile, each with its own maximum and sum, become one result."""
    row, head, heads = tl.program_id(0), tl.program_id(1), tl.num_programs(1)
    ROWS: tl.constexpr = BLOCK_M // GROUP
    tile = row // ROWS
    m = (row % ROWS) * GROUP + head % GROUP
    begin, end = tl.load(tiles + tile * 2), tl.load(tiles + tile * 2 + 1)
    if EARLY:
        gdc_launch_dependents()
        gdc_wait()
    dim = tl.arange(0, BLOCK_D)
    if SINKS:
        top = tl.load(sinks + head).to(tl.float32) * LOG2_E
        total = top * 0.0 + 1.0
    else:
        top = tl.full([], float("-inf"), tl.float32)
        total = tl.zeros([], tl.float32)
    acc = tl.zeros([BLOCK_D], tl.float32)
    for at in range(begin, end, BLOCK_I):
        item = at + tl.arange(0, BLOCK_I)
        there = item < end
        place = (item * (heads // GROUP) + head // GROUP) * BLOCK_M + m
        tops = tl.load(stats + place * 2, mask=there, other=float("-inf"))
        totals = tl.load(stats + place * 2 + 1, mask=there, other=0.0)
        higher = tl.maximum(top, tl.max(tops, 0))
        floor = tl.where(higher == float("-inf"), 0.0, higher)
        weights = tl.exp2(tops - floor)
        fade = tl.exp2(top - floor)
        spot = partial + place[:, None].to(tl.int64) * DIM + dim[None, :]
        parts = tl.load(spot, mask=there[:, None] & (dim < DIM)[None, :], other=0.0)
        acc = acc * fade + tl.sum(parts * weights[:, None], 0)
        total = total * fade + tl.sum(totals * weights, 0)
        top = higher
    if MASS:
        tl.store(lse + row * heads + head, top + tl.log2(total))
    result = acc / tl.where(total == 0.0, 1.0, total)
    spot = out + head.to(tl.int64) * out_head + row.to(tl.int64) * out_row + dim
    tl.store(spot, result.to(out.dtype.element_ty), mask=dim < DIM)


@triton.jit(do_not_specialize=["layer", "key_head", "key_row", "value_head", "value_row"])
def append_kernel(
    keys, values, base, segments, targets, turns, frequencies, layer, key_head, key_row, value_head, value_row,
    DIM: tl.constexpr, BLOCK_D: tl.constexpr, ROTARY: tl.constexpr, INTERLEAVED: tl.constexpr,
):  # fmt: skip
    """One row and KV head: turn the key, store key and value. targets: int32 `[rows, 2]`: segment, place in it."""
    row, head = tl.program_id(0).to(tl.int64), tl.program_id(1).to(tl.int64)
    entry = segments + tl.load(targets + row * 2) * 4
    where = head * tl.load(entry + 2) + layer * tl.load(entry + 3) + tl.load(targets + row * 2 + 1) * DIM
    dim = tl.arange(0, BLOCK_D)
    real = dim < DIM
    at = keys + head * key_head + row * key_row
    key = tl.load(at + dim, mask=real, other=0.0)
    if ROTARY:
        pair, index, leads = _partner(dim, ROTARY, INTERLEAVED)
        inside = dim < ROTARY
        other = tl.load(at + pair, mask=inside, other=0.0).to(tl.float32)
        frequency = tl.load(frequencies + index, mask=inside, other=0)
        cos, sin = _circle(tl.load(turns + row).to(tl.int64) * frequency)
        plain = key.to(tl.float32)
        turned = plain * cos + tl.where(leads, -other, other) * sin
        key = tl.where(inside, turned, plain).to(keys.dtype.element_ty)
    value = tl.load(values + head * value_head + row * value_row + dim, mask=real, other=0.0)
    tl.store(base + tl.load(entry) + where + dim, key, mask=real)
    tl.store(base + tl.load(entry + 1) + where + dim, value, mask=real)
