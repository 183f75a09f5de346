"""Steps on a CUDA device: attention by the Triton kernels, and decoding steps as CUDA graphs.

In: feeds whose blocks have room already. Out: logits. A decoding step (one token per worker) runs on buffers that never
move: the tables of the step are written into one pinned buffer and copied with one call that nobody waits for, then one
graph is replayed. Graphs are kept by (workers, segments rounded up). Above: `runner.py`, which imports this file only
where the kernels are used. Below: `hogwild_kernels.gpu`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers.cache_utils import Cache

from hogwild.cache import SharedCache
from hogwild.families import Kind
from hogwild.fusing import Waiting, rotations_left_to
from hogwild.runner import Step, _Group
from hogwild.seam import Softmax
from hogwild.views import Block, Feed
from hogwild_kernels import Rotary, between_gpu, gpu
from hogwild_kernels.tiling import Tiling, cut

_log = logging.getLogger(__name__)
FEWEST_SEGMENTS = 8
"""Tables have room for this many segments, or for the next power of two."""


class KernelStep(Step):
    """A packed forward of any shape: rows of all feeds in one launch per layer, whoever sees whom."""

    def _grouped(self) -> list[_Group]:
        device = self.cache.device
        blocks = tuple({b.id: b for feed in self.feeds for b in feed.view if b.length}.values())
        turns, visible = self._tables(self.feeds, blocks)
        lengths, positions = [block.length for block in blocks], torch.tensor(self.positions())

        def plan(rotary: Rotary | None, first: Tensor | None) -> gpu.GpuPlan:
            return gpu.plan_attention(turns, visible, lengths, rotary, self.cache.dtype, first, device=device)

        pairs = [self.cache.tensors(block) for block in blocks]
        self.segments = gpu.Segments.of([keys for keys, _ in pairs], [values for _, values in pairs])
        column = {block.id: index for index, block in enumerate(blocks)}
        own = [column[feed.own.id] for feed, size in zip(self.feeds, self.sizes, strict=True) for _ in range(size)]
        targets = np.array([own, self.positions()], dtype=np.int32).T
        self.targets = gpu.to_device(np.ascontiguousarray(targets), device)
        return [_Group(slice(0, len(own)), blocks, self.facts.plans(plan, turns, positions))]

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        gpu.append(key_states[0], value_states[0], self.segments, self.targets, layer_idx)
        return key_states, value_states

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, how: Softmax) -> Tensor:
        out, shares = gpu.attend_segments(
            query,
            self.segments,
            layer,
            self.groups[0].plans[self.facts.kind_of(layer)],
            how.scaling,
            kv_heads=key.shape[0],
            mass=self.mass,
            softcap=how.softcap,
            sinks=how.sinks,
        )
        if shares is not None:
            held = self.shares[0]
            self.shares[0] = shares if held is None else held + shares
        return out


class _Done(Step):
    """A step that has run as a graph: it knows its feeds, and no shares of attention."""

    def _grouped(self) -> list[_Group]:
        return []


@dataclass(frozen=True)
class _Field:
    """A table's place in the common buffer of 8-byte cells."""

    start: int
    shape: tuple[int, ...]
    kind: Any

    def of(self, cells: Any) -> Any:
        """The table as a view of `cells` (numpy or torch, int64)."""
        size = int(np.prod(self.shape)) * (8 if self.kind == np.int64 else 4) // 8
        part = cells[self.start : self.start + size]
        if isinstance(part, Tensor):
            return (part if self.kind == np.int64 else part.view(torch.int32)).view(self.shape)
        return part.view(self.kind).reshape(self.shape)


class _Decoding(Cache):
    """The decoding step of `rows` workers over at most `segments` segments, on buffers that never move."""

    def __init__(self, cache: SharedCache, origin: Tensor, rows: int, segments: int) -> None:
        super().__init__(layers=[])
        self.cache, self.facts, self.rows, self.num_segments = cache, cache.facts, rows, segments
        facts, device = cache.facts, cache.device
        self.windows = list(dict.fromkeys(kind.window for kind in facts.kinds))
        group = facts.num_heads // facts.num_kv_heads
        shape = gpu.shape_for(rows, group, facts.head_dim, cache.dtype, gpu.shared_memory(device))
        self.programs = shape.programs(device, facts.num_kv_heads)
        self.rows_per_tile, self.block = shape.rows(group), shape.block_n
        tiles = -(-rows // self.rows_per_tile)
        items = max(self.programs, tiles) + 1
        tables: list[tuple[str, tuple[int, ...], Any]] = [
            ("ids", (rows,), np.int64),
            ("positions", (rows,), np.int64),
            ("segments", (segments, 4), np.int64),
            ("turns", (rows, segments), np.int32),
            ("visible", (rows, segments), np.int32),
            ("targets", (rows, 2), np.int32),
        ]
        for window in self.windows:
            tables += [
                (f"items {window}", (2 * ((items + 1) // 2), 3), np.int32),
                (f"pieces {window}", (2 * ((items + tiles * segments + 1) // 2), 3), np.int32),
                (f"tiles {window}", (tiles, 2), np.int32),
            ]
            if window is not None:
                tables.append((f"first {window}", (rows, segments), np.int32))
        self.fields, at = {}, 0
        for name, size, kind in tables:
            self.fields[name] = _Field(at, size, kind)
            cells = -(-int(np.prod(size)) * (8 if kind == np.int64 else 4) // 8)
            at += 2 * -(-cells // 2)  # every table begins at a multiple of 16 bytes
        self.host = torch.zeros(at, dtype=torch.int64, pin_memory=device.type == "cuda")
        self.buffer = torch.zeros(at, dtype=torch.int64, device=device)
        self.sent: torch.cuda.Event | None = None
        self.rotation: Waiting | None = None
        self.rows_of: dict[int, tuple[tuple[int, ...], tuple[int, ...]]] = {}
        self.cut_for = np.empty(0, dtype=np.int32)
        self.on_host = {name: field.of(self.host.numpy()) for name, field in self.fields.items()}
        self.on_device: dict[str, Tensor] = {name: field.of(self.buffer) for name, field in self.fields.items()}
        there = self.on_device
        self.segments = gpu.Segments(there["segments"], origin)
        self.plans = tuple(self._plan(kind) for kind in facts.kinds)

    def _plan(self, kind: Kind) -> gpu.GpuPlan:
        """The plan of one kind of layer, whose tables every step fills anew."""
        there, rotary, window = self.on_device, kind.rotary, kind.window
        plan = gpu.GpuPlan(
            there["turns"],
            there["visible"],
            None if window is None else there[f"first {window}"],
            None if rotary is None else gpu.frequencies(rotary, self.cache.device),
            bool(rotary and rotary.interleaved),
            (None if window is None else self.on_host[f"first {window}"], self.on_host["visible"]),
        )
        names = [f"{table} {window}" for table in ("items", "pieces", "tiles")]
        sizes = Tiling(*(self.on_host[name] for name in names))
        items, pieces, tiles = (there[name] for name in names)
        plan.tables[self.rows_per_tile, self.block, self.programs] = (sizes, items, pieces, tiles)
        return plan

    def fill(self, feeds: Sequence[Feed], origin: Tensor, ids: Tensor | None = None) -> None:
        """Write the tables of a step and send them on their way. The device may still be at the last step: what waits
        is the copy of the tables, and the host only for the copy before. ids: the tokens, if only the device knows
        them."""
        if self.sent is not None:
            self.sent.synchronize()
        if len(self.rows_of) > 4 * self.num_segments:
            self.rows_of.clear()  # most of these blocks are gone
        host, column = self.on_host, dict[int, int]()
        rows: list[tuple[int, ...]] = []
        for feed in feeds:
            for block in feed.view:
                if block.length and block.id not in column:
                    column[block.id] = len(rows)
                    rows.append(self._row(block, origin))
        host["segments"][: len(rows)] = rows
        turns, visible = ([[0] * len(rows) for _ in feeds] for _ in range(2))
        for row, feed in enumerate(feeds):
            own, distance = feed.own, 0
            visible[row][column[own.id]] = own.length
            for block in reversed(feed.view[:-1]):
                if block.length:
                    distance += block.length  # from the block's start to the own one's
                    turns[row][column[block.id]], visible[row][column[block.id]] = distance, block.length
        host["turns"][:, : len(rows)], host["visible"][:, : len(rows)] = turns, visible
        host["turns"][:, len(rows) :] = host["visible"][:, len(rows) :] = 0
        host["ids"][:] = [feed.tokens[0] for feed in feeds]
        host["positions"][:] = [feed.own.length - 1 for feed in feeds]
        host["targets"][:] = [(column[feed.own.id], feed.own.length - 1) for feed in feeds]
        for window in self.windows:
            self._cut(window)
        self.buffer.copy_(self.host, non_blocking=True)
        if self.buffer.device.type == "cuda":
            self.sent = self.sent or torch.cuda.Event()
            self.sent.record()
        if ids is not None:
            self.on_device["ids"].copy_(ids)

    def _row(self, block: Block, origin: Tensor) -> tuple[int, ...]:
        """Where the block's keys and values lie; worked out anew when they have moved."""
        keys, values = self.cache.tensors(block)
        place = keys.data_ptr(), values.data_ptr(), keys.shape[2]
        held = self.rows_of.get(block.id)
        if held is None or held[0] != place:
            (row,) = gpu.Segments.rows([keys], [values], origin).tolist()
            held = self.rows_of[block.id] = (place, tuple(row))
        return held[1]

    def _cut(self, window: int | None) -> None:
        """The tables of who works on what, by those of who sees what. Without a window they are cut for whole blocks of
        keys (a kernel reads no further than its rows see), so that they serve until a segment begins another block."""
        host = self.on_host
        first, stops = None, host["visible"]
        if window is None:
            stops = stops + (self.block - 1)
            stops -= stops % self.block
            if np.array_equal(stops, self.cut_for):
                return
            self.cut_for = stops
        else:
            first = host[f"first {window}"]
            # As `hogwild_kernels.first_seen`, on the host's tables.
            np.maximum(host["turns"] + host["positions"][:, None] - (window - 1), 0, out=first, casting="unsafe")
        tiling = cut(first, stops, self.rows_per_tile, self.block, self.programs)
        items = host[f"items {window}"]
        items[:, 0] = -1  # a program without an item ends at once
        items[: len(tiling.items)] = tiling.items
        host[f"pieces {window}"][: len(tiling.pieces)] = tiling.pieces
        host[f"tiles {window}"][:] = tiling.tiles

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        if self.rotation is None:
            gpu.append(key_states[0], value_states[0], self.segments, self.on_device["targets"], layer_idx)
        return key_states, value_states

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, how: Softmax) -> Tensor:
        waiting, self.rotation = self.rotation, None
        if waiting is not None:
            if not waiting.is_of(query, key):
                raise RuntimeError("Queries or keys have been changed after their rotation.")
            targets = self.on_device["targets"]
            query = between_gpu.rotate_append(query, key, value, self.segments, targets, layer, *waiting.how)
        plan = self.plans[self.facts.kind_of(layer)]
        given = query, self.segments, layer, plan, how.scaling
        return gpu.attend_segments(*given, kv_heads=key.shape[0], softcap=how.softcap, sinks=how.sinks)[0]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return 0


class Kernels:
    """The kernels' way through a step, for one model and cache."""

    step = KernelStep

    def __init__(self, model: Any, cache: SharedCache, *, graphs: bool = True) -> None:
        self.model, self.cache = model, cache
        self.origin = torch.empty(16, dtype=cache.dtype, device=cache.device)
        self.graphs: dict[tuple[int, int], tuple[_Decoding, Any, Tensor | None]] = {}
        self.capture = graphs and cache.device.type == "cuda"
        self.rotates = True
        self.experts: str | None = None
        self._pool: Any = None

    def decode(self, feeds: Sequence[Feed], ids: Tensor | None = None) -> tuple[Tensor, Step]:
        """Logits `[feeds, vocab]` float32 of one token per feed; `ids` `[feeds]` on the device in place of theirs."""
        num_blocks = len({block.id for feed in feeds for block in feed.view})
        room = max(FEWEST_SEGMENTS, 1 << (num_blocks - 1).bit_length())
        key = (len(feeds), room)
        if key not in self.graphs:
            self.graphs[key] = (_Decoding(self.cache, self.origin, *key), None, None)
        decoding, graph, logits = self.graphs[key]
        decoding.fill(feeds, self.origin, ids)
        if graph is None and self.capture:
            graph, logits = self._captured(decoding)
            self.graphs[key] = (decoding, graph, logits)
        if graph is None:
            logits = self._forward(decoding)
        else:
            graph.replay()
        assert logits is not None
        # The next replay writes into the same memory, so a copy. Nobody waits here: whoever wants the tokens does.
        return logits.to(torch.float32, copy=True), _Done(self.cache, feeds)

    def _forward(self, decoding: _Decoding) -> Tensor:
        """One step; keys are rotated on their way into the cache, where the model lets that be."""
        try:
            with rotations_left_to(decoding if self.rotates else None):
                return self._run(decoding)
        except Exception as error:
            if not self.rotates or (self.capture and torch.cuda.is_current_stream_capturing()):
                raise
            _log.warning("Keys are rotated before they are stored, by a kernel more: %s", str(error).split("\n")[0])
            self.rotates, decoding.rotation = False, None
            return self._run(decoding)

    def _run(self, decoding: _Decoding) -> Tensor:
        logits: Tensor = self.model(
            input_ids=decoding.on_device["ids"][None],
            position_ids=decoding.on_device["positions"][None],
            past_key_values=decoding,
            use_cache=True,
            shared=decoding,
        ).logits[0]
        return logits

    def _captured(self, decoding: _Decoding) -> tuple[Any, Tensor | None]:
        """The step as a graph. A model that cannot be captured (it waits for the host) goes on without."""
        try:
            return self._recorded(decoding)
        except RuntimeError as error:
            refused = error
        if self.experts is None and _experts_of(self.model) == "grouped_mm":
            # In some types PyTorch asks the device how many tokens each expert has. The other way asks for nothing.
            self.experts = "batched_mm"
            return self._captured(decoding)
        _log.warning(
            "Decoding runs without CUDA graphs, as this model cannot be captured: %s", str(refused).split("\n")[0]
        )
        self.capture, self.experts = False, None
        return None, None

    def _recorded(self, decoding: _Decoding) -> tuple[Any, Tensor | None]:
        with self._chosen_experts():
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):  # compiles and allocates; writes the same keys to the same places each time
                for _ in range(2):
                    self._forward(decoding)
            torch.cuda.current_stream().wait_stream(side)
            torch.cuda.synchronize()
            graph = torch.cuda.CUDAGraph()
            try:
                with torch.cuda.graph(graph, pool=self._pool):
                    logits = self._forward(decoding)
            except RuntimeError:
                torch.cuda.synchronize()
                raise
        self._pool = graph.pool()
        return graph, logits

    @contextmanager
    def _chosen_experts(self) -> Iterator[None]:
        """Steps that are captured may mix their experts in another way than a prompt does."""
        before = _experts_of(self.model)
        if self.experts is None:
            yield
            return
        self.model.set_experts_implementation(self.experts)
        try:
            yield
        finally:
            self.model.set_experts_implementation(before)


def _experts_of(model: Any) -> str | None:
    """How transformers multiplies the experts of a mixture, None where it has no choice."""
    if not hasattr(model, "set_experts_implementation"):
        return None
    return getattr(model.config, "_experts_implementation", None)
