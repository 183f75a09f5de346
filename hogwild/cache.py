"""The shared KV cache: keys and values of every block, each token stored once.

In: keys rotated to block-local positions, and values, as the model makes them. Out: per block and layer, contiguous
tensors to attend to. Blocks grow in chunks; only compaction ever rewrites a key. `check()` proves that the books are
right. Above: `runner.py`. Beside: `views.py`, whose `Block` holds the length, while this file holds the tensors.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hogwild.errors import IntegrityError, ViewError
from hogwild.families import ModelFacts
from hogwild.views import Block
from hogwild_kernels import turn

GROWTH_CHUNK = 64
"""A block that is full grows by this many tokens, or by a thirty-second of its length if that is more."""


@dataclass(slots=True)
class _Store:
    """keys: per device `[layers there, kv_heads, capacity, head_dim]`, values alike."""

    block: Block
    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    branched: bool = False

    @property
    def capacity(self) -> int:
        return self.keys[0].shape[2]


class SharedCache:
    """Holds the tensors of all blocks of one engine.

    device: where the tokens go in. layers: the device of every layer, where they are spread over several.
    """

    def __init__(
        self, facts: ModelFacts, dtype: torch.dtype, device: torch.device, layers: Sequence[torch.device] = ()
    ) -> None:
        self.facts, self.dtype, self.device = facts, dtype, device
        self._places: dict[torch.device, list[int]] = {}
        for layer, place in enumerate(layers or [device] * facts.num_layers):
            self._places.setdefault(place, []).append(layer)
        self._at = {
            layer: (part, index) for part, here in enumerate(self._places.values()) for index, layer in enumerate(here)
        }
        self._stores: dict[int, _Store] = {}
        self._ids = itertools.count()

    def open_block(self) -> Block:
        """A new empty block. It takes no memory until something is appended."""
        block = Block(next(self._ids))
        empty = self._tensors(0)
        self._stores[block.id] = _Store(block, empty, empty)
        return block

    def reserve(self, block: Block, num_tokens: int) -> None:
        """Make room for `num_tokens` more. Raises ViewError for a frozen or foreign block."""
        store = self._store(block)
        if block.frozen:
            raise ViewError(f"{block} is frozen; open a new block to append to.")
        need = block.length + num_tokens
        if need > store.capacity:
            # A first fill is as large as it is; what grows after that grows in chunks.
            room = max(GROWTH_CHUNK, need // 32) if block.length else 0
            self._resize(store, need + room)

    def write(self, block: Block, layer: int, at: int, keys: Tensor, values: Tensor) -> None:
        """Store `keys, values [kv_heads, n, head_dim]` of one layer at block-local positions at..at+n-1."""
        store, (part, index) = self._stores[block.id], self._at[layer]
        store.keys[part][index, :, at : at + keys.shape[1]] = keys
        store.values[part][index, :, at : at + keys.shape[1]] = values

    def read(self, block: Block, layer: int) -> tuple[Tensor, Tensor]:
        """Keys and values `[kv_heads, length, head_dim]` of one layer, without a copy."""
        store, (part, index) = self._stores[block.id], self._at[layer]
        return store.keys[part][index, :, : block.length], store.values[part][index, :, : block.length]

    def tensors(self, block: Block) -> tuple[Tensor, Tensor]:
        """Keys and values `[layers, kv_heads, capacity, head_dim]` of all layers, which are on one device; `length`
        tokens are real."""
        assert not self.is_split
        store = self._stores[block.id]
        return store.keys[0], store.values[0]

    def freeze(self, block: Block) -> None:
        """Nothing is appended any more; spare room is given back. Idempotent."""
        store = self._store(block)
        if not block.frozen:
            block.frozen = True
            if store.capacity > block.length:
                self._resize(store, block.length)

    def release(self, blocks: Iterable[Block]) -> None:
        """Forget blocks and give their memory back. The caller must no longer have them in a view."""
        for block in blocks:
            self._store(block)
            del self._stores[block.id]

    def compact(self, blocks: Sequence[Block]) -> Block:
        """One frozen block in place of frozen neighbours that stand in this order in every view that has them.

        The keys of all but the first are turned once, by the length before them; the old blocks are released.
        """
        if len(blocks) < 2 or not all(block.frozen for block in blocks):
            raise ViewError("Only two or more frozen blocks can be compacted; freeze them first.")
        if len({block.id for block in blocks}) != len(blocks):
            raise ViewError("A block is named twice; every block may be compacted once.")
        stores = [self._store(block) for block in blocks]
        merged = self.open_block()
        store = self._stores[merged.id]
        self._resize(store, sum(block.length for block in blocks))
        for old in stores:
            at, n = merged.length, old.block.length
            for part, layers in enumerate(self._places.values()):
                store.keys[part][:, :, at : at + n] = self._turned(old.keys[part][:, :, :n], at, layers)
                store.values[part][:, :, at : at + n] = old.values[part][:, :, :n]
            merged.length += n
        merged.frozen = True
        self.release(blocks)
        return merged

    def require(self, block: Block) -> None:
        """Raise ViewError unless the block is one of this cache's."""
        self._store(block)

    def block(self, id: int) -> Block:
        """The block of this id. Raises ViewError where there is none."""
        if id not in self._stores:
            raise ViewError(f"Block {id} does not belong to this engine, or has been released or compacted.")
        return self._stores[id].block

    @property
    def is_split(self) -> bool:
        """Whether the layers are spread over several devices."""
        return len(self._places) > 1

    @property
    def num_tokens(self) -> int:
        return sum(store.block.length for store in self._stores.values())

    @property
    def num_bytes(self) -> int:
        """Bytes held, spare room included."""
        return sum(tensor.nbytes for store in self._stores.values() for tensor in (*store.keys, *store.values))

    @property
    def bytes_per_token(self) -> int:
        facts = self.facts
        return 2 * facts.num_layers * facts.num_kv_heads * facts.head_dim * self.dtype.itemsize

    @property
    def blocks(self) -> tuple[Block, ...]:
        return tuple(store.block for store in self._stores.values())

    def check(self) -> None:
        """Raise IntegrityError unless every token is held once, in its own memory, and is finite."""
        memory: set[int] = set()
        # Those that share another's memory last, so that it is the other that is met first.
        for store in sorted(self._stores.values(), key=lambda one: one.branched):
            block = store.block
            if block.length > store.capacity:
                raise IntegrityError(f"{block} claims more tokens than its {store.capacity} places.")
            if block.frozen and store.capacity != block.length:
                raise IntegrityError(f"{block} is frozen but holds {store.capacity} places.")
            for tensor in (*store.keys, *store.values):
                if not tensor.numel():
                    continue
                if tensor.data_ptr() in memory and not store.branched:
                    raise IntegrityError(f"{block} shares its memory with another block.")
                memory.add(tensor.data_ptr())
                if not bool(torch.isfinite(tensor[:, :, : block.length]).all()):
                    raise IntegrityError(f"{block} holds keys or values that are not finite.")

    def restore(self, parts: Sequence[tuple[Tensor, Tensor]], *, frozen: bool) -> Block:
        """A block of keys and values `[layers, kv_heads, n, head_dim]` that were computed elsewhere, one part after the
        other, each part's keys rotated to its own positions 0..n-1."""
        block = self.open_block()
        store = self._stores[block.id]
        self._resize(store, sum(keys.shape[2] for keys, _ in parts))
        for keys, values in parts:
            at, n = block.length, keys.shape[2]
            for part, layers in enumerate(self._places.values()):
                mine = (keys[layers], values[layers]) if self.is_split else (keys, values)
                store.keys[part][:, :, at : at + n] = self._turned(mine[0], at, layers)
                store.values[part][:, :, at : at + n] = mine[1]
            block.length += n
        block.frozen = frozen
        return block

    def branch(self, block: Block, length: int, *, frozen: bool) -> Block:
        """A block that begins with the first `length` tokens of another: their keys and values are shared, until one of
        the two has to grow out of its memory. Neither sees what the other appends."""
        store, new = self._store(block), self.open_block()
        keys, values = (tuple(one[:, :, :length] for one in held) for held in (store.keys, store.values))
        self._stores[new.id] = _Store(new, keys, values, branched=True)
        new.length, new.frozen = length, frozen
        return new

    def cut(self, block: Block, length: int) -> None:
        """Take away what stands after the first `length` tokens of a frozen block that no other run has in a view."""
        store = self._store(block)
        block.length = length
        self._resize(store, length)

    def _turned(self, keys: Tensor, positions: int, layers: Sequence[int]) -> Tensor:
        """Keys of these layers turned by `positions`, rounded once; layers without rotation stay as they are."""
        if not positions:
            return keys
        turned = keys.clone()
        for kind in self.facts.kinds:
            if kind.rotary is not None:
                cos, sin = kind.rotary.table(torch.tensor(positions, device=keys.device), torch.float32)
                rows = [row for row, layer in enumerate(layers) if layer in kind.layers]
                turned[rows] = turn(keys[rows].float(), cos, sin, interleaved=kind.rotary.interleaved).to(keys.dtype)
        return turned

    def _store(self, block: Block) -> _Store:
        store = self._stores.get(block.id)
        if store is None or store.block is not block:
            raise ViewError(f"{block} does not belong to this engine, or has been released or compacted.")
        return store

    def _tensors(self, capacity: int) -> tuple[Tensor, ...]:
        facts = self.facts
        return tuple(
            torch.empty((len(layers), facts.num_kv_heads, capacity, facts.head_dim), dtype=self.dtype, device=device)
            for device, layers in self._places.items()
        )

    def _resize(self, store: _Store, capacity: int) -> None:
        keys, values, n = self._tensors(capacity), self._tensors(capacity), store.block.length
        for new, old in zip((*keys, *values), (*store.keys, *store.values), strict=True):
            new[:, :, :n] = old[:, :, :n]
        store.keys, store.values, store.branched = keys, values, False
