"""The model runner: one packed forward over all tokens that are due. The only place that runs the model on a cache.

In: feeds (views and tokens). Out: logits. First every feed's keys and values are appended, then everybody attends, so
workers see each other's tokens of this very step. Above: `engine.py`. Below: `cache.py`, `seam.py`, `hogwild_kernels`.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import hogwild.late  # noqa: F401  # isort: skip
import torch
from torch import Tensor
from transformers.cache_utils import Cache

from hogwild.cache import SharedCache
from hogwild.errors import ContextOverflow, ViewError
from hogwild.ranks import Alone, Ranks
from hogwild.sampling import Chosen
from hogwild.seam import Softmax, take_over
from hogwild.views import Block, Feed, View, num_tokens
from hogwild_kernels import AttentionPlan, Rotary, attend, compiled, plan_attention

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Group:
    """Feeds that have a block in common, directly or through others; groups never see each other.

    rows: their packed rows (a slice where they are neighbours). plans: one for each kind of layer (`ModelFacts.kinds`).
    """

    rows: slice | Tensor
    blocks: tuple[Block, ...]
    plans: tuple[Any, ...]


class Step(Cache):
    """One packed forward: the `past_key_values` that appends and the `shared` that attends.

    With `mass`, the shares of attention are summed over layers.
    """

    def __init__(self, cache: SharedCache, feeds: Sequence[Feed], *, mass: bool = False) -> None:
        super().__init__(layers=[])
        self.cache, self.facts, self.feeds, self.mass = cache, cache.facts, feeds, mass
        self.sizes = [len(feed.tokens) for feed in feeds]
        self.at = [feed.own.length - size for feed, size in zip(feeds, self.sizes, strict=True)]
        self.groups = self._grouped()
        self.shares: list[Tensor | None] = [None] * len(self.groups)

    def _grouped(self) -> list[_Group]:
        return [self._group(members) for members in connected(self.feeds)]

    def positions(self) -> list[int]:
        """Block-local positions of the packed tokens."""
        return [at + i for at, size in zip(self.at, self.sizes, strict=True) for i in range(size)]

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        row = 0
        for feed, at, size in zip(self.feeds, self.at, self.sizes, strict=True):
            keys, values = key_states[0, :, row : row + size], value_states[0, :, row : row + size]
            self.cache.write(feed.own, layer_idx, at, keys, values)
            row += size
        return key_states, value_states

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, how: Softmax) -> Tensor:
        if len(self.groups) == 1:
            return self._attend(0, layer, query, how)
        out = torch.empty((*query.shape[:2], value.shape[-1]), dtype=query.dtype, device=query.device)
        for index, group in enumerate(self.groups):
            rows = group.rows if isinstance(group.rows, slice) else group.rows.to(query.device)
            out[:, rows] = self._attend(index, layer, query[:, rows], how)
        return out

    def attention_of(self, feed: Feed) -> dict[int, float]:
        """Share of attention that the feed's last token spent on each block of its view, over layers and heads."""
        row = sum(self.sizes[: next(i for i, other in enumerate(self.feeds) if other is feed) + 1]) - 1
        for group, shares in zip(self.groups, self.shares, strict=True):
            inside = self._row_inside(group, row)
            if shares is not None and inside is not None:
                mine = (shares[inside] / self.facts.num_layers).tolist()
                seen = {block.id for block in feed.view}
                return {b.id: share for b, share in zip(group.blocks, mine, strict=True) if b.id in seen}
        return {}

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return 0

    def _attend(self, index: int, layer: int, query: Tensor, how: Softmax) -> Tensor:
        group = self.groups[index]
        pairs = [self.cache.read(block, layer) for block in group.blocks]
        keys, values = [key for key, _ in pairs], [value for _, value in pairs]
        out, shares = (compiled.attend if compiled.serves(query, values) else attend)(
            query,
            keys,
            values,
            group.plans[self.facts.kind_of(layer)],
            how.scaling,
            mass=self.mass,
            softcap=how.softcap,
            sinks=how.sinks,
        )
        if shares is not None:
            held = self.shares[index]
            self.shares[index] = shares if held is None else held + shares.to(held.device)
        return out

    def _group(self, members: list[int]) -> _Group:
        first_row = [sum(self.sizes[:i]) for i in members]
        rows = [row for i, start in zip(members, first_row, strict=True) for row in range(start, start + self.sizes[i])]
        device = self.cache.device
        packed: slice | Tensor = slice(rows[0], rows[-1] + 1)
        if rows[-1] - rows[0] + 1 != len(rows):
            packed = torch.tensor(rows, device=device)
        blocks = tuple({b.id: b for i in members for b in self.feeds[i].view if b.length}.values())
        turns, visible = self._tables([self.feeds[i] for i in members], blocks)
        positions = [self.at[i] + k for i in members for k in range(self.sizes[i])]
        turns, visible, at = turns.to(device), visible.to(device), torch.tensor(positions, device=device)
        lengths, dtype = [block.length for block in blocks], self.cache.dtype

        def plan(rotary: Rotary | None, first: Tensor | None) -> AttentionPlan:
            return plan_attention(turns, visible, lengths, rotary, dtype, first)

        return _Group(packed, blocks, self.facts.plans(plan, turns, at))

    def _tables(self, feeds: Sequence[Feed], blocks: Sequence[Block]) -> tuple[Tensor, Tensor]:
        """turns and visible lengths `[rows, blocks]`."""
        column = {block.id: index for index, block in enumerate(blocks)}
        turns, visible = [], []
        for feed in feeds:
            starts, position = {}, 0
            for block in feed.view:
                starts[block.id] = position
                position += block.length
            own, size = feed.own, len(feed.tokens)
            turn, seen = [0] * len(blocks), [0] * len(blocks)
            for block in feed.view[:-1]:
                if block.length:
                    turn[column[block.id]] = starts[own.id] - starts[block.id]
                    seen[column[block.id]] = block.length
            for index in range(size):
                row = list(seen)
                row[column[own.id]] = own.length - size + index + 1
                turns.append(turn)
                visible.append(row)
        return torch.tensor(turns), torch.tensor(visible)

    @staticmethod
    def _row_inside(group: _Group, row: int) -> int | None:
        if isinstance(group.rows, slice):
            return row - group.rows.start if group.rows.start <= row < group.rows.stop else None
        found = (group.rows == row).nonzero()
        return int(found[0, 0]) if len(found) else None


def connected(feeds: Sequence[Feed]) -> list[list[int]]:
    """Indices of the feeds, grouped by common blocks; order of first appearance."""
    group_of: dict[int, list[int]] = {}
    for index, feed in enumerate(feeds):
        merged: list[int] = [index]
        for group in {id(g): g for b in feed.view if (g := group_of.get(b.id)) is not None}.values():
            merged.extend(group)
        merged.sort()
        for member in merged:
            for block in feeds[member].view:
                group_of[block.id] = merged
    distinct = {id(group): group for group in group_of.values()}
    return sorted(distinct.values(), key=lambda group: group[0])


@dataclass(frozen=True, slots=True)
class _Ahead:
    """A step that a device took on before the host knew its tokens.

    tokens: they, on their way to the host; `rows[i]` is the i-th feed's. lengths: of all blocks, before the step.
    places: where the feeds' own keys were put.
    """

    views: tuple[View, ...]
    lengths: tuple[int, ...]
    places: tuple[int, ...]
    tokens: Chosen
    rows: Sequence[int]
    logits: Tensor
    step: Step

    def is_of(self, feeds: Sequence[Feed], cache: SharedCache) -> bool:
        """Whether it is the step of these feeds: the same tokens, seen in the same views."""
        if tuple(feed.view for feed in feeds) != self.views or _lengths(self.views) != self.lengths:
            return False
        if any(len(feed.tokens) != 1 for feed in feeds) or _places(self.views, cache) != self.places:
            return False
        tokens = self.tokens.ids()
        return [tokens[row] for row in self.rows] == [feed.tokens[0] for feed in feeds]


def _lengths(views: Sequence[View]) -> tuple[int, ...]:
    return tuple(block.length for view in views for block in view)


def _places(views: Sequence[View], cache: SharedCache) -> tuple[int, ...]:
    return tuple(cache.read(view[-1], 0)[0].data_ptr() for view in views)


class Runner:
    """Runs a model on a shared cache.

    runs_ahead: a step may begin before the host knows its tokens (`run_ahead`); that is of use on a device that
    computes while the host does something else.
    """

    def __init__(self, model: Any, cache: SharedCache, ranks: Ranks | None = None) -> None:
        self.model, self.cache, self.ranks = model, cache, ranks or Alone()
        self.runs_ahead = False
        self._ahead: _Ahead | None = None
        self.keeps = "logits_to_keep" in inspect.signature(type(model).forward).parameters
        self._kernels: Any = None
        # Without Triton (the extra [gpu]) a CUDA device computes by plain torch: slower, and as right.
        if cache.device.type == "cuda" and not cache.is_split and find_spec("triton") is not None:
            self.use_kernels()

    def use_kernels(self) -> None:
        """Attend by the Triton kernels from now on; decoding steps become CUDA graphs where there is a CUDA device."""
        from hogwild.gpu_step import Kernels

        # No graph of a step that waits for other ranks in its middle, or whose weights come from elsewhere each time.
        still = len(set((getattr(self.model, "hf_device_map", None) or {}).values())) < 2
        self._kernels = Kernels(self.model, self.cache, graphs=self.ranks.size == 1 and still)
        self.runs_ahead = self.cache.device.type == "cuda"

    @torch.inference_mode()
    def step(self, feeds: Sequence[Feed], *, last_only: bool, mass: bool = False) -> tuple[list[Tensor], Step]:
        """Append and attend. Returns, per feed, logits `[tokens, vocab]` float32 (only the last row with `last_only`).

        Raises before anything has changed; if the model itself fails, lengths are put back.
        """
        self._check(feeds)
        ahead, self._ahead = self._ahead, None
        if ahead is not None and not mass and ahead.is_of(feeds, self.cache):
            for feed in feeds:
                feed.own.length += 1
            ahead.step.feeds = feeds
            return list(ahead.logits.split(1)), ahead.step
        for feed in feeds:
            self.cache.reserve(feed.own, len(feed.tokens))
        with self.ranks.together("step", feeds, last_only, mass):
            return self._step(feeds, last_only, mass)

    @torch.inference_mode()
    def run_ahead(self, views: Sequence[View], tokens: Chosen, rows: Sequence[int]) -> None:
        """Begin a step before its tokens are known: `tokens[rows[i]]` is appended to the last block of the i-th view.
        The host goes on at once. If the next step turns out to be this one, it is there already; if not, nothing has
        happened: what was written stands beyond the ends of the blocks.

        Does nothing where it is of no use, or where the step may fail: the step itself will say why.
        """
        longest = max((num_tokens(view) for view in views), default=0) + len(views)
        if not self.runs_ahead or self.ranks.size > 1 or not views or longest > self.cache.facts.max_positions:
            return
        feeds = [Feed(view, (0,)) for view in views]
        try:
            for feed in feeds:
                self.cache.reserve(feed.own, 1)
            lengths = _lengths(views)
            logits, step = self._step(feeds, last_only=True, mass=False, ids=tokens.of(rows))
        except Exception as error:
            _log.info("A step could not begin early: %s", str(error).split("\n")[0])
            return
        for feed in feeds:
            feed.own.length -= 1
        places = _places(views, self.cache)
        self._ahead = _Ahead(tuple(views), lengths, places, tokens, tuple(rows), torch.cat(logits), step)

    def _step(
        self, feeds: Sequence[Feed], last_only: bool, mass: bool, ids: Tensor | None = None
    ) -> tuple[list[Tensor], Step]:
        """ids: the tokens `[feeds]` on the device, where the host does not know those of the feeds."""
        take_over(self.model)
        for feed in feeds:
            feed.own.length += len(feed.tokens)
        try:
            with torch.autocast(self.cache.device.type, enabled=False):  # whatever surrounds the step
                if self._kernels is not None and not mass and all(len(feed.tokens) == 1 for feed in feeds):
                    logits, step = self._kernels.decode(feeds, ids)
                    return list(logits.split(1)), step
                kind = Step if self._kernels is None else self._kernels.step
                step = kind(self.cache, feeds, mass=mass)
                logits = self._forward(step, last_only, ids)
                step.shares = [share if share is None else self.ranks.average(share) for share in step.shares]
        except BaseException:
            for feed in feeds:
                feed.own.length -= len(feed.tokens)
            raise
        return list(logits.split([1] * len(feeds) if last_only else step.sizes)), step

    def _forward(self, step: Step, last_only: bool, ids: Tensor | None = None) -> Tensor:
        device = self.cache.device
        if ids is None:
            ids = torch.tensor([token for feed in step.feeds for token in feed.tokens], device=device)
        kwargs: dict[str, Any] = {}
        # The last layer may be on another device than the first; an index on the CPU fits every one.
        last = torch.tensor(step.sizes, device="cpu" if self.cache.is_split else device).cumsum(0) - 1
        if last_only and self.keeps:
            kwargs["logits_to_keep"] = last
        logits: Tensor = self.model(
            input_ids=ids[None],
            position_ids=torch.tensor(step.positions(), device=device)[None],
            past_key_values=step,
            use_cache=True,
            shared=step,
            **kwargs,
        ).logits[0]
        return (logits[last] if last_only and not self.keeps else logits).float()

    def _check(self, feeds: Sequence[Feed]) -> None:
        if not feeds:
            raise ViewError("A step needs at least one feed.")
        for feed in feeds:
            feed.check()
        owned = [feed.own.id for feed in feeds]
        if len(set(owned)) != len(owned):
            raise ViewError("Two feeds append to the same block in one step; give every worker a block of its own.")
        growing = {feed.own.id: len(feed.tokens) for feed in feeds}
        facts = self.cache.facts
        for feed in feeds:
            for block in feed.view:
                self.cache.require(block)
            length = sum(block.length + growing.get(block.id, 0) for block in feed.view)
            if length > facts.max_positions:
                raise ContextOverflow(
                    f"The view would be {length:,} tokens long and the model knows {facts.max_positions:,} positions; "
                    "shorten the text, prune blocks, or use a model with a longer context."
                )
            bad = next((t for t in feed.tokens if not 0 <= t < facts.vocab_size), None)
            if bad is not None:
                raise ViewError(f"Token {bad} is not in the vocabulary of {facts.vocab_size} tokens.")
