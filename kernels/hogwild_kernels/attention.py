"""Attention of packed query rows over a list of shared segments: the definition, in plain torch.

A segment is the keys and values of one block, `[kv_heads, length, head_dim]`, keys rotated to block-local positions.
Row r stands at local position t of its own block and was rotated by the model to t. For segment s it is turned by
`turns[r, s] = start(own) - start(s)` further positions and sees the first `visible[r, s]` tokens:

    score[r, j] = <R(turns[r, s]) q[r], k[j]> * scaling        for j < visible[r, s], over all s at once

so every segment stands where the row's view puts it, and nothing in it moves. One softmax runs over all segments.
A sliding window is a lower bound beside the upper one (`first_seen`); a soft cap and sinks change the softmax.
Above: `hogwild.runner` (a step) and `hogwild.replay` (a whole run at once). Beside: `gpu.py`, the same two functions
for a CUDA device, and `compiled.py`, the second one for a CPU. Below: `rotary.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from hogwild_kernels.rotary import Rotary, turn

# Scores of one chunk of rows stay below this many elements, so that a long prefill does not build an L x L matrix.
MAX_SCORES = 1 << 25
SHORT, TOGETHER = 256, 1024
"""Values of neighbours of at most so many tokens each, and so many together, are put side by side and multiplied at
once: a call takes some ten microseconds however little it multiplies, and eight workers have eight short blocks."""


@dataclass(frozen=True)
class AttentionPlan:
    """What one attention needs beside the tensors; made once per step and used by every layer.

    cos, sin: `[stretches, 1, rows, rotary_dim]` of the turns, or None where nothing is turned.
    first, visible: `[rows, stretches]` int32, tokens first..visible-1 of the stretch's segment are seen; first None:
    from 0 on, visible None: every row sees every token.
    lengths: tokens per segment. stretches: what is read, (segment, start, stop), each segment at most once; all of
    every segment, unless a window hides some from every row. copies: the same plan for layers on other devices, made
    when the first of them asks.
    """

    cos: Tensor | None
    sin: Tensor | None
    interleaved: bool
    first: Tensor | None
    visible: Tensor | None
    lengths: tuple[int, ...]
    stretches: tuple[tuple[int, int, int], ...]
    num_rows: int
    dtype: torch.dtype
    copies: dict[torch.device, AttentionPlan] = field(default_factory=dict, repr=False, compare=False)
    cut: dict[int, Tensor] = field(default_factory=dict, repr=False, compare=False)

    def on(self, device: torch.device) -> AttentionPlan:
        """This plan for tensors on `device`."""
        held = next((tensor for tensor in (self.cos, self.visible) if tensor is not None), None)
        if held is None or held.device == device:
            return self
        if device not in self.copies:
            tensors = (self.cos, self.sin, self.first, self.visible)
            cos, sin, first, visible = (None if one is None else one.to(device) for one in tensors)
            self.copies[device] = replace(self, cos=cos, sin=sin, first=first, visible=visible, copies={})
        return self.copies[device]

    @cached_property
    def bias(self) -> Tensor | None:
        """`[rows, total length of the stretches]`, 0 or -inf, or None when every row sees every token."""
        if self.visible is None:
            return None
        device = self.visible.device
        sizes = torch.tensor(self.sizes, device=device)
        index = torch.cat([torch.arange(start, stop, device=device) for _, start, stop in self.stretches])
        seen = index < self.visible.repeat_interleave(sizes, dim=1)
        if self.first is not None:
            seen &= index >= self.first.repeat_interleave(sizes, dim=1)
        return torch.zeros(seen.shape, dtype=self.dtype, device=device).masked_fill_(~seen, float("-inf"))

    def pieces(self, size: int) -> Tensor:
        """`[pieces, 3]` int32 on the CPU: stretch, start, stop; the stretches in pieces of at most `size` tokens."""
        if size not in self.cut:
            rows = [
                (stretch, at, min(at + size, stop))
                for stretch, (_, start, stop) in enumerate(self.stretches)
                for at in range(start, stop, size)
            ]
            self.cut[size] = torch.tensor(rows, dtype=torch.int32, device="cpu").view(-1, 3)
        return self.cut[size]

    @cached_property
    def sizes(self) -> list[int]:
        """Tokens per stretch."""
        return [stop - start for _, start, stop in self.stretches]

    @cached_property
    def spans(self) -> list[slice]:
        """The stretches, short neighbours together."""
        spans: list[slice] = []
        held = TOGETHER + 1  # tokens of the last span, which takes no other one if it is long
        for at, size in enumerate(self.sizes):
            if size <= SHORT and held + size <= TOGETHER:
                spans[-1] = slice(spans[-1].start, at + 1)
                held += size
            else:
                spans.append(slice(at, at + 1))
                held = size if size <= SHORT else TOGETHER + 1
        return spans

    @cached_property
    def whole(self) -> bool:
        """Every segment is read, all of it."""
        return self.sizes == list(self.lengths)


def first_seen(turns: Tensor, positions: Tensor, window: int) -> Tensor:
    """`[rows, segments]`: the first token of each segment that a row sees through a sliding window.

    Row r stands at `positions[r]` of its own block, so at distance turns[r, s] + positions[r] - j from token j of
    segment s in its own view; it sees the tokens at distances below `window`, itself (0) included.
    """
    return (turns + positions[:, None] - (window - 1)).clamp_min(0)


def plan_attention(
    turns: Tensor,
    visible: Tensor,
    lengths: Sequence[int],
    rotary: Rotary | None,
    dtype: torch.dtype,
    first: Tensor | None = None,
) -> AttentionPlan:
    """Plan for `turns, visible [rows, segments]` (integers) over segments of `lengths` tokens.

    Row r sees the tokens first[r, s]..visible[r, s]-1 of segment s (`first` None: from 0 on), at least one in all.
    `rotary` None means a model layer without rotation. Tensors are made on the device of `turns`.
    """
    stretches = tuple((segment, 0, length) for segment, length in enumerate(lengths))
    if first is not None:
        stretches = _stretches(first, visible)
        read = [segment for segment, _, _ in stretches]
        turns, visible, first = turns[:, read], visible[:, read], first[:, read]
    cos = sin = None
    if rotary is not None:
        cos, sin = rotary.table(turns.t()[:, None, :], dtype)
    sizes = torch.tensor([stop - start for _, start, stop in stretches], device=visible.device)
    lower = upper = None
    if first is not None or not bool((visible >= sizes).all()):
        lower, upper = (None if one is None else one.to(torch.int32).contiguous() for one in (first, visible))
    interleaved = bool(rotary and rotary.interleaved)
    return AttentionPlan(cos, sin, interleaved, lower, upper, tuple(lengths), stretches, turns.shape[0], dtype)


def _stretches(first: Tensor, visible: Tensor) -> tuple[tuple[int, int, int], ...]:
    """Per segment that some row sees, the tokens that any row sees."""
    seen = visible > first
    starts = torch.where(seen, first, visible.max()).amin(0)
    stops = torch.where(seen, visible, 0).amax(0)
    limits = zip(starts.tolist(), stops.tolist(), strict=True)
    return tuple((segment, start, stop) for segment, (start, stop) in enumerate(limits) if stop > start)


def attend(
    query: Tensor,
    keys: Sequence[Tensor],
    values: Sequence[Tensor] | Tensor,
    plan: AttentionPlan,
    scaling: float,
    *,
    mass: bool = False,
    softcap: float | None = None,
    sinks: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Attention output `[heads, rows, value_dim]` for `query [heads, rows, head_dim]`, differentiable.

    keys: per segment `[kv_heads, length, head_dim]`; values: per segment `[kv_heads, length, value_dim]`, or one tensor
    that holds all segments one after another. Heads are a multiple of kv_heads (grouped-query attention): head h reads
    KV head h // (heads / kv_heads).
    mass: also return `[rows, segments]`, the share of attention that each row spent on each segment, averaged over
    heads; shares of a row sum to 1 (to less with sinks).
    softcap: scores s become softcap * tanh(s / softcap) (Gemma 2, arXiv 2408.00118, section 2).
    sinks `[heads]`: a score per head that takes its part of the softmax and gives no value (arXiv 2309.17453; gpt-oss).
    """
    if not plan.whole:
        pieces = values.split(plan.lengths, dim=1) if isinstance(values, Tensor) else values
        keys = [keys[segment][:, start:stop] for segment, start, stop in plan.stretches]
        values = [pieces[segment][:, start:stop] for segment, start, stop in plan.stretches]
    plan = plan.on(query.device)
    chunk = max(1, MAX_SCORES // max(1, sum(plan.sizes) * query.shape[0]))
    if plan.num_rows <= chunk:
        return _attend_rows(query, keys, values, plan, scaling, slice(None), mass, softcap, sinks)
    parts = [
        _attend_rows(query, keys, values, plan, scaling, slice(at, at + chunk), mass, softcap, sinks)
        for at in range(0, plan.num_rows, chunk)
    ]
    shares = torch.cat([share for _, share in parts if share is not None]) if mass else None
    return torch.cat([out for out, _ in parts], dim=1), shares


def _attend_rows(
    query: Tensor,
    keys: Sequence[Tensor],
    values: Sequence[Tensor] | Tensor,
    plan: AttentionPlan,
    scaling: float,
    rows: slice,
    mass: bool,
    softcap: float | None,
    sinks: Tensor | None,
) -> tuple[Tensor, Tensor | None]:
    query = query[:, rows] * scaling
    heads, num_rows, _ = query.shape
    kv_heads = keys[0].shape[0]
    # Query head h = kv_head * group + g, so [heads, rows] folds into [kv_heads, group * rows] without a copy.
    if plan.cos is not None and plan.sin is not None:
        turned = turn(query[None], plan.cos[:, :, rows], plan.sin[:, :, rows], interleaved=plan.interleaved)
        folded = turned.reshape(len(keys), kv_heads, -1, query.shape[-1]).unbind(0)
    else:
        folded = (query.reshape(kv_heads, -1, query.shape[-1]),) * len(keys)
    pieces = [mine @ theirs.transpose(1, 2) for mine, theirs in zip(folded, keys, strict=True)]
    scores = torch.cat(pieces, dim=-1) if len(pieces) > 1 else pieces[0]
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    if plan.bias is not None:
        scores = (scores.view(kv_heads, -1, num_rows, scores.shape[-1]) + plan.bias[rows]).view(scores.shape)
    if sinks is not None:
        column = sinks.to(scores.dtype).view(kv_heads, -1, 1, 1).expand(kv_heads, -1, num_rows, 1)
        scores = torch.cat([scores, column.reshape(kv_heads, -1, 1)], dim=-1)
    weights = torch.softmax(scores, dim=-1)  # by float32 for the shorter types, too
    if sinks is not None:
        weights = weights[..., :-1]
    if isinstance(values, Tensor):
        out = weights @ values
    else:
        joined = [
            values[at.start] if at.stop - at.start == 1 else torch.cat(list(values[at]), dim=1) for at in plan.spans
        ]
        split = weights.split([value.shape[1] for value in joined], dim=-1)
        out = split[0] @ joined[0]
        for piece, value in zip(split[1:], joined[1:], strict=True):
            out = torch.baddbmm(out, piece, value)
    shares = None
    if mass:
        per_head = torch.stack([piece.float().sum(-1) for piece in weights.split(plan.sizes, dim=-1)], dim=-1)
        shares = per_head.new_zeros(num_rows, len(plan.lengths))
        shares[:, [segment for segment, _, _ in plan.stretches]] = per_head.view(heads, num_rows, -1).mean(0)
    return out.view(heads, num_rows, -1), shares
