# mypy: ignore-errors
"""The device code of `whole_runs.py`, in Triton: attention of whole runs, and its two backward passes.

A head is held as two halves, because a rotary pair is one dimension of each. All exponentials are powers of 2.
"""

import triton
import triton.language as tl

from hogwild_kernels.triton_kernels import _circle


@triton.jit
def _halves(x, row, mask, half):
    """The two halves `[rows, HALF]` of rows of `x`, as they are stored."""
    at = x + row[:, None] + half[None, :]
    return tl.load(at, mask=mask[:, None], other=0.0), tl.load(at + half.shape[0], mask=mask[:, None], other=0.0)


@triton.jit
def _turn(x1, x2, cos, sin):
    return x1 * cos - x2 * sin, x2 * cos + x1 * sin


@triton.jit(do_not_specialize=["q_head", "k_head", "v_head", "num_rows"])
def forward_kernel(
    query, key, value, out, lse, frequencies, turns, visible, tiles, runs, segments, scale,
    q_head, q_row, k_head, k_row, v_head, v_row, num_rows,
    GROUP: tl.constexpr, HALF: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, TURN: tl.constexpr,
    PRODUCT: tl.constexpr,
):  # fmt: skip
    """One tile of rows of one head over all segments that any of its rows sees."""
    tile, head = tl.program_id(0), tl.program_id(1).to(tl.int64)
    first = tl.load(tiles + tile * 2)
    run = runs + tl.load(tiles + tile * 2 + 1) * 5
    begin, end, num, cells = tl.load(run), tl.load(run + 1), tl.load(run + 3), tl.load(run + 4)
    segment = segments + tl.load(run + 2)
    kv_head = head // GROUP
    half = tl.arange(0, HALF)
    wide = tl.arange(0, 2 * HALF)
    row = first + tl.arange(0, BLOCK_M).to(tl.int64)
    live = row < end
    q1, q2 = _halves(query + head * q_head, row * q_row, live, half)
    if TURN:
        frequency = tl.load(frequencies + half)
    top = tl.full([BLOCK_M], float("-inf"), tl.float32)
    total = tl.zeros([BLOCK_M], tl.float32)
    acc = tl.zeros([BLOCK_M, 2 * HALF], tl.float32)
    for s in range(num):
        cell = cells + (row - begin) * num + s
        sees = tl.load(visible + cell, mask=live, other=0)
        stop = tl.max(sees, 0)
        if stop > 0:
            a, b = q1, q2
            if TURN:
                turn = tl.load(turns + cell, mask=live, other=0).to(tl.int64)
                cos, sin = _circle(turn[:, None] * frequency[None, :])
                a, b = _turn(q1.to(tl.float32), q2.to(tl.float32), cos, sin)
                a, b = a.to(query.dtype.element_ty), b.to(query.dtype.element_ty)
            place = tl.load(segment + s).to(tl.int64)
            for n in range(0, stop, BLOCK_N):
                column = n + tl.arange(0, BLOCK_N)
                there = column < stop
                k1, k2 = _halves(key + kv_head * k_head, (place + column) * k_row, there, half)
                scores = tl.dot(a.to(PRODUCT), tl.trans(k1).to(PRODUCT), input_precision="ieee")
                scores = tl.dot(b.to(PRODUCT), tl.trans(k2).to(PRODUCT), scores, input_precision="ieee") * scale
                scores = tl.where(column[None, :] < sees[:, None], scores, float("-inf"))
                higher = tl.maximum(top, tl.max(scores, 1))
                floor = tl.where(higher == float("-inf"), 0.0, higher)
                weights = tl.exp2(scores - floor[:, None])
                fade = tl.exp2(top - floor)
                total = total * fade + tl.sum(weights, 1)
                v = tl.load(
                    value + kv_head * v_head + (place + column)[:, None] * v_row + wide[None, :],
                    mask=there[:, None], other=0.0,
                )  # fmt: skip
                weights = weights.to(v.dtype).to(PRODUCT)
                acc = tl.dot(weights, v.to(PRODUCT), acc * fade[:, None], input_precision="ieee")
                top = higher
    total = tl.where(total == 0.0, 1.0, total)
    spot = out + (head * num_rows + row)[:, None] * (2 * HALF) + wide[None, :]
    tl.store(spot, (acc / total[:, None]).to(out.dtype.element_ty), mask=live[:, None])
    tl.store(lse + head * num_rows + row, tl.where(top == float("-inf"), 0.0, top) + tl.log2(total), mask=live)


@triton.jit(do_not_specialize=["q_head", "k_head", "v_head", "num_rows"])
def query_kernel(
    query, key, value, grad, d_query, lse, delta, frequencies, tiles, turns, visible, runs, segments, scale, scaling,
    q_head, q_row, k_head, k_row, v_head, v_row, num_rows,
    GROUP: tl.constexpr, HALF: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, TURN: tl.constexpr,
    PRODUCT: tl.constexpr,
):  # fmt: skip
    """The gradient of one tile of queries of one head; what comes from a segment is turned back by the row's turn."""
    tile, head = tl.program_id(0), tl.program_id(1).to(tl.int64)
    first = tl.load(tiles + tile * 2)
    run = runs + tl.load(tiles + tile * 2 + 1) * 5
    begin, end, num, cells = tl.load(run), tl.load(run + 1), tl.load(run + 3), tl.load(run + 4)
    segment = segments + tl.load(run + 2)
    kv_head = head // GROUP
    half = tl.arange(0, HALF)
    wide = tl.arange(0, 2 * HALF)
    row = first + tl.arange(0, BLOCK_M).to(tl.int64)
    live = row < end
    q1, q2 = _halves(query + head * q_head, row * q_row, live, half)
    spot = (head * num_rows + row)[:, None] * (2 * HALF)
    given = tl.load(grad + spot + wide[None, :], mask=live[:, None], other=0.0).to(PRODUCT)
    mine = tl.load(lse + head * num_rows + row, mask=live, other=0.0)
    less = tl.load(delta + head * num_rows + row, mask=live, other=0.0)
    if TURN:
        frequency = tl.load(frequencies + half)
    d1 = tl.zeros([BLOCK_M, HALF], tl.float32)
    d2 = tl.zeros([BLOCK_M, HALF], tl.float32)
    for s in range(num):
        cell = cells + (row - begin) * num + s
        sees = tl.load(visible + cell, mask=live, other=0)
        stop = tl.max(sees, 0)
        if stop > 0:
            a, b = q1, q2
            if TURN:
                turn = tl.load(turns + cell, mask=live, other=0).to(tl.int64)
                cos, sin = _circle(turn[:, None] * frequency[None, :])
                a, b = _turn(q1.to(tl.float32), q2.to(tl.float32), cos, sin)
                a, b = a.to(query.dtype.element_ty), b.to(query.dtype.element_ty)
            place = tl.load(segment + s).to(tl.int64)
            e1 = tl.zeros([BLOCK_M, HALF], tl.float32)
            e2 = tl.zeros([BLOCK_M, HALF], tl.float32)
            for n in range(0, stop, BLOCK_N):
                column = n + tl.arange(0, BLOCK_N)
                there = column < stop
                k1, k2 = _halves(key + kv_head * k_head, (place + column) * k_row, there, half)
                scores = tl.dot(a.to(PRODUCT), tl.trans(k1).to(PRODUCT), input_precision="ieee")
                scores = tl.dot(b.to(PRODUCT), tl.trans(k2).to(PRODUCT), scores, input_precision="ieee") * scale
                shown = column[None, :] < sees[:, None]
                weights = tl.where(shown, tl.exp2(scores - mine[:, None]), 0.0)
                v = tl.load(
                    value + kv_head * v_head + (place + column)[:, None] * v_row + wide[None, :],
                    mask=there[:, None], other=0.0,
                )  # fmt: skip
                wanted = tl.dot(given, tl.trans(v).to(PRODUCT), input_precision="ieee")
                slope = (weights * (wanted - less[:, None])).to(k1.dtype).to(PRODUCT)
                e1 = tl.dot(slope, k1.to(PRODUCT), e1, input_precision="ieee")
                e2 = tl.dot(slope, k2.to(PRODUCT), e2, input_precision="ieee")
            if TURN:
                e1, e2 = _turn(e1, e2, cos, -sin)
            d1 += e1
            d2 += e2
    at = d_query + spot + half[None, :]
    tl.store(at, (d1 * scaling).to(d_query.dtype.element_ty), mask=live[:, None])
    tl.store(at + HALF, (d2 * scaling).to(d_query.dtype.element_ty), mask=live[:, None])


@triton.jit(do_not_specialize=["q_head", "k_head", "v_head", "num_rows"])
def keys_kernel(
    query, key, value, grad, d_key, d_value, lse, delta, frequencies, keys, turns, visible, runs, segments, scale,
    scaling, q_head, q_row, k_head, k_row, v_head, v_row, num_rows,
    GROUP: tl.constexpr, HALF: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, TURN: tl.constexpr,
    PRODUCT: tl.constexpr,
):  # fmt: skip
    """The gradients of one tile of keys and values of one segment and KV head, from all rows and heads that see it."""
    entry, kv_head = keys + tl.program_id(0) * 5, tl.program_id(1).to(tl.int64)
    run = runs + tl.load(entry) * 5
    s, n = tl.load(entry + 1), tl.load(entry + 2)
    begin, num, cells = tl.load(run), tl.load(run + 3), tl.load(run + 4)
    segment = segments + tl.load(run + 2) + s
    place = tl.load(segment).to(tl.int64)
    from_row, to_row = tl.load(entry + 3), tl.load(entry + 4)
    half = tl.arange(0, HALF)
    wide = tl.arange(0, 2 * HALF)
    column = n + tl.arange(0, BLOCK_N)
    size = tl.load(run + 1) - place  # no key of this segment lies beyond; rows see none of the next segment's here
    there = column < size
    k1, k2 = _halves(key + kv_head * k_head, (place + column) * k_row, there, half)
    k1, k2 = k1.to(PRODUCT), k2.to(PRODUCT)
    v = tl.load(
        value + kv_head * v_head + (place + column)[:, None] * v_row + wide[None, :], mask=there[:, None], other=0.0
    ).to(PRODUCT)
    if TURN:
        frequency = tl.load(frequencies + half)
    d1 = tl.zeros([BLOCK_N, HALF], tl.float32)
    d2 = tl.zeros([BLOCK_N, HALF], tl.float32)
    dv = tl.zeros([BLOCK_N, 2 * HALF], tl.float32)
    seen = tl.zeros([BLOCK_N], tl.int32)
    for m in range(from_row, to_row, BLOCK_M):
        row = m + tl.arange(0, BLOCK_M).to(tl.int64)
        live = row < to_row
        cell = cells + (row - begin) * num + s
        sees = tl.load(visible + cell, mask=live, other=0)
        most = tl.max(sees, 0)
        if most > n:
            seen = tl.maximum(seen, most)
            if TURN:
                turn = tl.load(turns + cell, mask=live, other=0).to(tl.int64)
                cos, sin = _circle(turn[:, None] * frequency[None, :])
            for g in range(GROUP):
                head = kv_head * GROUP + g
                a, b = _halves(query + head * q_head, row * q_row, live, half)
                if TURN:
                    a, b = _turn(a.to(tl.float32), b.to(tl.float32), cos, sin)
                    a, b = a.to(query.dtype.element_ty), b.to(query.dtype.element_ty)
                a, b = a.to(PRODUCT), b.to(PRODUCT)
                mine = tl.load(lse + head * num_rows + row, mask=live, other=0.0)
                less = tl.load(delta + head * num_rows + row, mask=live, other=0.0)
                spot = (head * num_rows + row)[:, None] * (2 * HALF)
                given = tl.load(grad + spot + wide[None, :], mask=live[:, None], other=0.0).to(PRODUCT)
                scores = tl.dot(k1, tl.trans(a), input_precision="ieee")
                scores = tl.dot(k2, tl.trans(b), scores, input_precision="ieee") * scale
                shown = column[:, None] < sees[None, :]
                weights = tl.where(shown, tl.exp2(scores - mine[None, :]), 0.0)
                dv = tl.dot(weights.to(value.dtype.element_ty).to(PRODUCT), given, dv, input_precision="ieee")
                wanted = tl.dot(v, tl.trans(given), input_precision="ieee")
                slope = (weights * (wanted - less[None, :])).to(key.dtype.element_ty).to(PRODUCT)
                d1 = tl.dot(slope, a, d1, input_precision="ieee")
                d2 = tl.dot(slope, b, d2, input_precision="ieee")
    # What no row sees gets no gradient, and a tile at a segment's end must not write over the next segment's.
    kept = column < seen
    kv_rows = kv_head * num_rows + place + column
    at = d_key + kv_rows[:, None] * (2 * HALF) + half[None, :]
    tl.store(at, (d1 * scaling).to(d_key.dtype.element_ty), mask=kept[:, None])
    tl.store(at + HALF, (d2 * scaling).to(d_key.dtype.element_ty), mask=kept[:, None])
    at = d_value + kv_rows[:, None] * (2 * HALF) + wide[None, :]
    tl.store(at, dv.to(d_value.dtype.element_ty), mask=kept[:, None])
