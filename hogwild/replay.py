"""Teacher-forced replay: a finished run of several workers as one forward, with the masks and turns that each saw.

In: tapes (who saw what). Out: logits for every token of every tape, as the step-by-step run computed them, all at once
and differentiable. Training uses it; so do verification and resuming. On a CUDA device training packs its strips
beforehand (`pack`) and attends with kernels that keep no scores. Above: `hogwild.embedded.train`, `engine.replay`.
Below: `hogwild_kernels` (the same attention as a live step), `seam.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hogwild.errors import UnsupportedModel
from hogwild.families import ModelFacts
from hogwild.seam import Shared, Softmax, take_over
from hogwild.tape import Tape
from hogwild_kernels import AttentionPlan, Rotary, attend, plan_attention
from hogwild_kernels.run_tables import Run, RunTables, fits, run_tables

ROWS_AT_ONCE = 1024
"""Rows of a prompt whose mask is made at a time, where the library's own causal attention cannot serve."""


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
    rows: list[int] = []
    cells: list[tuple[int, int, int]] = []
    for chunk in tape.chunks:
        row, n = first_row[chunk.block] + chunk.at, len(chunk.tokens)
        token_ids[row : row + n] = chunk.tokens
        positions[row : row + n] = range(chunk.at, chunk.at + n)
        own = column[chunk.block]
        others = [(column[seen.block], seen.turn, seen.length) for seen in chunk.seen]
        for index in range(n):
            rows += [row + index] * (1 + len(others))
            cells.append((own, 0, chunk.at + index + 1))
            cells += others
    table = np.zeros((2, at, len(order)), dtype=np.int32)
    columns, turns, lengths = np.array(cells, dtype=np.int32).reshape(-1, 3).T
    table[0, rows, columns] = turns
    table[1, rows, columns] = lengths
    return Strip(
        torch.tensor(token_ids),
        torch.tensor(positions),
        causal,
        tuple(size[block] for block in order),
        torch.from_numpy(table[0, causal:]),
        torch.from_numpy(table[1, causal:]),
        first_row,
    )


@dataclass(frozen=True)
class Packed:
    """Strips packed for a CUDA device: token_ids, positions `[1, N]`, and the tables of their attention.

    N is padded, so that one size is compiled and allocated once; padding rows see nothing.
    """

    token_ids: Tensor
    positions: Tensor
    tables: RunTables

    def to(self, device: torch.device | str) -> Packed:
        ids, positions = (x.to(device, non_blocking=True) for x in (self.token_ids, self.positions))
        return Packed(ids, positions, self.tables.to(device))


def pack(strips: Sequence[Strip], length: int = 0) -> Packed:
    """Pack strips one after another, padded to at least `length` rows."""
    token_ids = torch.cat([strip.token_ids for strip in strips])
    positions = torch.cat([strip.positions for strip in strips])
    padding = (0, max(0, length - len(token_ids)))
    tables = run_tables([Run(strip.causal, strip.sizes, strip.turns, strip.visible) for strip in strips])
    return Packed(F.pad(token_ids, padding)[None], F.pad(positions, padding)[None], tables)


def packs(facts: ModelFacts) -> bool:
    """Whether `PackedReplay` can attend for such a model here: its kernels take some head sizes, know no
    windows and need Triton."""
    if find_spec("triton") is None or any(kind.window is not None for kind in facts.kinds):
        return False
    return all(fits(facts.head_dim, kind.rotary) for kind in facts.kinds)


class PackedReplay:
    """Packed strips in one forward on the device where they lie; the `shared` of the seam."""

    def __init__(self, packed: Packed, facts: ModelFacts) -> None:
        self.packed, self.facts = packed, facts

    def forward(self, model: Any, **kwargs: Any) -> Any:
        """As `Replay.forward`."""
        return _forward(model, self.packed.token_ids, self.packed.positions, self, **kwargs)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, how: Softmax) -> Tensor:
        if how.softcap is not None or how.sinks is not None:
            raise UnsupportedModel(
                "soft cap or sinks", "Whole runs are not packed for a model with capped scores or sinks; use `Replay`."
            )
        rotary = self.facts.kinds[self.facts.kind_of(layer)].rotary
        from hogwild_kernels.whole_runs import attend_runs  # needs Triton, the extra [gpu]

        return attend_runs(query, key, value, self.packed.tables, rotary, how.scaling)


def _forward(model: Any, token_ids: Tensor, positions: Tensor, shared: Shared, **kwargs: Any) -> Any:
    take_over(model)
    return model(input_ids=token_ids, position_ids=positions, use_cache=False, shared=shared, **kwargs)


class Replay:
    """Several strips packed into one forward; the `shared` of the seam. It attends in `dtype`."""

    def __init__(
        self, strips: Sequence[Strip], facts: ModelFacts, *, device: torch.device | str = "cpu", dtype: torch.dtype
    ) -> None:
        self.strips = strips
        self.facts = facts
        self.dtype = dtype
        self.kept: dict[int, tuple[Tensor, Tensor]] | None = None
        """Keys and values `[kv_heads, N, head_dim]` of every layer, where they are asked for: set it to {} before."""
        self.token_ids = torch.cat([strip.token_ids for strip in strips])[None].to(device)
        self.positions = torch.cat([strip.positions for strip in strips])[None].to(device)
        self.plans = [self._plans(strip, device, dtype) if len(strip.turns) else None for strip in strips]

    def _plans(self, strip: Strip, device: torch.device | str, dtype: torch.dtype) -> tuple[AttentionPlan, ...]:
        turns, visible = strip.turns.to(device), strip.visible.to(device)

        def plan(rotary: Rotary | None, first: Tensor | None) -> AttentionPlan:
            return plan_attention(turns, visible, strip.sizes, rotary, dtype, first)

        return self.facts.plans(plan, turns, strip.positions[strip.causal :].to(device))

    def forward(self, model: Any, **kwargs: Any) -> Any:
        """The model's own output object over the packed tokens; extra arguments (logits_to_keep, ...) are passed on."""
        return _forward(model, self.token_ids, self.positions, self, **kwargs)

    def offsets(self) -> list[int]:
        """First packed row of each strip."""
        offsets = [0]
        for strip in self.strips[:-1]:
            offsets.append(offsets[-1] + len(strip.token_ids))
        return offsets

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, how: Softmax) -> Tensor:
        if self.kept is not None:
            self.kept[layer] = key, value
        sizes, given = [len(strip.token_ids) for strip in self.strips], query.dtype
        packed = zip(*(x.to(self.dtype).split(sizes, 1) for x in (query, key, value)), strict=True)
        parts = [
            part
            for strip, plans, (q, k, v) in zip(self.strips, self.plans, packed, strict=True)
            for part in self._attend_strip(layer, strip, plans, q, k, v, how)
        ]
        return torch.cat(parts, dim=1).to(given)

    def _attend_strip(
        self,
        layer: int,
        strip: Strip,
        plans: tuple[AttentionPlan, ...] | None,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        how: Softmax,
    ) -> list[Tensor]:
        parts, index = [], self.facts.kind_of(layer)
        if strip.causal:
            q, k, v = (x[:, : strip.causal] for x in (query, key, value))
            parts.append(_causal(q, k, v, self.facts.kinds[index].window, how))
        if plans is not None:
            given = query[:, strip.causal :], key.split(strip.sizes, 1), value, plans[index], how.scaling
            parts.append(attend(*given, softcap=how.softcap, sinks=how.sinks)[0])
        return parts


def _causal(query: Tensor, key: Tensor, value: Tensor, window: int | None, how: Softmax) -> Tensor:
    """Rows that see themselves and those before, through the window; `[heads, N, head_dim]`."""
    if window is None and how.softcap is None and how.sinks is None:
        query, key = query.to(value.dtype), key.to(value.dtype)
        out = F.scaled_dot_product_attention(
            query[None], key[None], value[None], is_causal=True, scale=how.scaling, enable_gqa=True
        )
        return out[0]
    parts, length = [], query.shape[1]
    for at in range(0, length, ROWS_AT_ONCE):
        end = min(length, at + ROWS_AT_ONCE)
        low = 0 if window is None else max(0, at - window + 1)
        visible = torch.arange(at - low + 1, end - low + 1, device=query.device)[:, None]
        first = None if window is None else (visible - window).clamp_min(0)
        plan = plan_attention(torch.zeros_like(visible), visible, [end - low], None, value.dtype, first)
        given = query[:, at:end], [key[:, low:end]], [value[:, low:end]], plan, how.scaling
        parts.append(attend(*given, softcap=how.softcap, sinks=how.sinks)[0])
    return torch.cat(parts, dim=1)
