"""Teacher-forced replay: a finished run of several workers as one forward, with the masks and turns that each saw.

In: tapes (who saw what). Out: logits for every token of every tape, as the step-by-step run computed them, all at once
and differentiable. Training uses it; so do verification and resuming. Above: `hogwild.embedded.train`, `engine.replay`.
Below: `hogwild_kernels` (the same attention as a live step), `seam.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from hogwild.families import ModelFacts
from hogwild.seam import ATTENTION
from hogwild.tape import Tape
from hogwild_kernels import AttentionPlan, attend, plan_attention


@dataclass(frozen=True)
class Strip:
    """One tape laid out block by block: rows 0..causal-1 see only themselves, causally; the rest see segments.

    token_ids, positions `[N]`; causal: length of the leading block that nobody had a view beside (the prompt), or 0;
    sizes: length of every block; turns, visible `[N - causal, blocks]`; rows: (block, index) -> row.
    """

    token_ids: Tensor
    positions: Tensor
    causal: int
    sizes: tuple[int, ...]
    turns: Tensor
    visible: Tensor
    first_row: dict[int, int]

    def row(self, block: int, index: int) -> int:
        return self.first_row[block] + index


def lay_out(tape: Tape) -> Strip:
    """Order the tokens of a tape block by block and tabulate, per token and block, the turn and the visible length."""
    order = list(dict.fromkeys(chunk.block for chunk in tape.chunks))
    size = dict.fromkeys(order, 0)
    for chunk in tape.chunks:
        size[chunk.block] += len(chunk.tokens)
    lone = all(not chunk.seen for chunk in tape.chunks if chunk.block == order[0])
    causal = size[order[0]] if lone else 0
    first_row, at = {}, 0
    for block in order:
        first_row[block] = at
        at += size[block]
    column = {block: index for index, block in enumerate(order)}
    token_ids, positions = [0] * at, [0] * at
    turns = torch.zeros(at, len(order), dtype=torch.int32)
    visible = torch.zeros(at, len(order), dtype=torch.int32)
    for chunk in tape.chunks:
        row, n = first_row[chunk.block] + chunk.at, len(chunk.tokens)
        token_ids[row : row + n] = chunk.tokens
        positions[row : row + n] = range(chunk.at, chunk.at + n)
        visible[row : row + n, column[chunk.block]] = torch.arange(chunk.at + 1, chunk.at + n + 1, dtype=torch.int32)
        for seen in chunk.seen:
            turns[row : row + n, column[seen.block]] = seen.turn
            visible[row : row + n, column[seen.block]] = seen.length
    return Strip(
        torch.tensor(token_ids),
        torch.tensor(positions),
        causal,
        tuple(size[block] for block in order),
        turns[causal:],
        visible[causal:],
        first_row,
    )


class Replay:
    """Several strips packed into one forward; the `shared` of the seam."""

    def __init__(
        self, strips: Sequence[Strip], facts: ModelFacts, *, device: torch.device | str = "cpu", dtype: torch.dtype
    ) -> None:
        self.strips = strips
        self.facts = facts
        self.kept: dict[int, tuple[Tensor, Tensor]] | None = None
        """Keys and values `[kv_heads, N, head_dim]` of every layer, where they are asked for: set it to {} before."""
        self.token_ids = torch.cat([strip.token_ids for strip in strips])[None].to(device)
        self.positions = torch.cat([strip.positions for strip in strips])[None].to(device)
        self.plans: list[AttentionPlan | None] = [
            plan_attention(strip.turns.to(device), strip.visible.to(device), strip.sizes, facts.rotary, dtype)
            if len(strip.turns)
            else None
            for strip in strips
        ]

    def forward(self, model: Any, **kwargs: Any) -> Any:
        """The model's own output object over the packed tokens; extra arguments (logits_to_keep, ...) are passed on."""
        if model.config._attn_implementation != ATTENTION:
            model.set_attn_implementation(ATTENTION)
        return model(input_ids=self.token_ids, position_ids=self.positions, use_cache=False, shared=self, **kwargs)

    def offsets(self) -> list[int]:
        """First packed row of each strip."""
        offsets = [0]
        for strip in self.strips[:-1]:
            offsets.append(offsets[-1] + len(strip.token_ids))
        return offsets

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        if self.kept is not None:
            self.kept[layer] = key, value
        sizes = [len(strip.token_ids) for strip in self.strips]
        packed = zip(query.split(sizes, 1), key.split(sizes, 1), value.split(sizes, 1), strict=True)
        parts = [
            part
            for strip, plan, (q, k, v) in zip(self.strips, self.plans, packed, strict=True)
            for part in self._attend_strip(layer, strip, plan, q, k, v, scaling)
        ]
        return torch.cat(parts, dim=1)

    def _attend_strip(
        self,
        layer: int,
        strip: Strip,
        plan: AttentionPlan | None,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        scaling: float,
    ) -> list[Tensor]:
        parts = []
        if strip.causal:
            q, k, v = (x[:, : strip.causal] for x in (query, key, value))
            causal = F.scaled_dot_product_attention(
                q[None].to(v.dtype), k[None].to(v.dtype), v[None], is_causal=True, scale=scaling, enable_gqa=True
            )
            parts.append(causal[0])
        if plan is not None:
            plan = plan if self.facts.has_rope(layer) else plan.without_turns()
            parts.append(attend(query[:, strip.causal :], key.split(strip.sizes, 1), value, plan, scaling)[0])
        return parts
