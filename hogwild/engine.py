"""The engine: a model, its shared cache, and steps over any number of runs.

In: feeds, or prompts and headers as token ids. Out: logits, or token ids. No text, no tools, no clock. A step reads:
feeds -> run -> logits. Above: `collaboration.py` (text), people's own scripts. Below: `runner.py`, `cache.py`,
`workspace.py`.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hogwild.cache import SharedCache
from hogwild.errors import HogwildError
from hogwild.layouts import Layout, layout_named
from hogwild.loading import Loaded, fingerprint, load, look
from hogwild.packed import pack
from hogwild.probe import Arrival, probe
from hogwild.ranks import Alone, Ranks, start
from hogwild.replay import Replay, lay_out
from hogwild.runner import Runner, Step
from hogwild.sampling import Chosen, Sampler, Sampling, choose, for_worker
from hogwild.tape import Tape
from hogwild.views import Block, Feed, View, token_ids
from hogwild.workspace import Workspace, never_ends

PREFILL_CHUNK = 2048
"""A prompt is fed in pieces of this many tokens."""


class Engine:
    """A model on one shared cache. Not thread-safe by itself: hold `lock` where several threads may step."""

    def __init__(self, loaded: Loaded, *, check: bool = True, ranks: Ranks | None = None) -> None:
        self.model, self.tokenizer, self.facts = loaded.model, loaded.tokenizer, loaded.facts
        self.ranks = ranks or Alone()
        self.directory = loaded.directory
        parameter = next(self.model.parameters())
        self.device, self.dtype, layers = parameter.device, parameter.dtype, loaded.layers
        if loaded.placed:
            arrival = Arrival(self.model, self.facts)
            self.facts, self.dtype, layers = arrival.facts, arrival.dtype, layers or arrival.devices
            self.device = layers[0]
        self.cache: SharedCache = self.ranks.cache(self.facts, self.dtype, self.device, layers)
        self.lock = threading.RLock()
        self._runner = Runner(self.model, self.cache, self.ranks)
        if check:
            probe(self._runner)

    @classmethod
    def from_pretrained(
        cls,
        path_or_id: str | Path,
        *,
        dtype: str | torch.dtype = "auto",
        device: str | torch.device = "cpu",
        device_map: str | Mapping[str, Any] | None = None,
        tensor_parallel: int = 1,
    ) -> Engine:
        """Load a model from a directory or by hub id, and prove on a split view that its cache can be shared.

        dtype: auto (float32 on a CPU for small models, else as stored), float32, bfloat16 or float16.
        device: cpu, cuda, or auto, which spreads whole layers over the devices that there are; device_map: the same by
        hand, as accelerate knows it.
        tensor_parallel: share every layer out among so many processes, each with a device of its own; this one is the
        first, the others are started here and end with `close` or with this process. Raises ModelNotFound, BrokenModel,
        or UnsupportedModel with the property that stands in the way.
        """
        if device == "auto":
            device, device_map = ("cuda", device_map or "auto") if torch.cuda.is_available() else ("cpu", device_map)
        if device_map is not None and tensor_parallel > 1:
            raise HogwildError("A model is spread by whole layers or shared out by tensor parallel: choose one.")
        try:
            place = torch.device(device)
        except RuntimeError as error:
            raise HogwildError(f"There is no device '{device}'; choose cpu, or cuda where there is a GPU.") from error
        if place.type not in ("cpu", "cuda"):
            raise HogwildError(f"The device '{device}' is not supported; choose cpu, or cuda where there is a GPU.")
        if place.type == "cuda" and not torch.cuda.is_available():
            raise HogwildError(
                "This torch finds no CUDA device; choose device='cpu', or install a CUDA build of torch."
            )
        if tensor_parallel == 1:
            loaded = load(path_or_id, dtype, place, device_map=device_map)
            pack(loaded.model)
            return cls(loaded)
        ranks = start(tensor_parallel, look(path_or_id, tensor_parallel), dtype, place)
        try:
            loaded = load(path_or_id, dtype, place, ranks=tensor_parallel)
            ranks.ready()
            with ranks.together("load"):
                engine = cls(loaded, ranks=ranks)
        except BaseException:
            ranks.close()
            raise
        ranks.begin()
        weakref.finalize(engine, ranks.close)
        return engine

    def close(self) -> None:
        """End the other processes of a tensor-parallel model; an engine of one process needs no end."""
        self.ranks.close()

    @property
    def vocab_size(self) -> int:
        return self.facts.vocab_size

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hex digits over configuration and weights."""
        return fingerprint(self.directory)

    @cached_property
    def end_ids(self) -> frozenset[int]:
        """Tokens that end a turn."""
        given = [
            self.model.generation_config.eos_token_id,
            self.model.config.get_text_config(decoder=True).eos_token_id,
        ]
        if self.tokenizer is not None:
            given.append(self.tokenizer.eos_token_id)
        flat = [token for one in given for token in (one if isinstance(one, list) else [one])]
        return frozenset(int(token) for token in flat if token is not None)

    # The explicit objects.

    def open_block(self) -> Block:
        """A new empty block, to stand at the end of a view."""
        return self.cache.open_block()

    def freeze(self, block: Block) -> None:
        """Close a block: nothing is appended any more, spare room is given back."""
        self.cache.freeze(block)

    def release(self, *blocks: Block) -> None:
        """Give the memory of blocks back."""
        self.cache.release(blocks)

    def compact(self, blocks: Sequence[Block]) -> Block:
        """Merge frozen neighbours into one block and release them; use `views.replace` in every view that had them."""
        return self.cache.compact(blocks)

    def step(self, feeds: Sequence[Feed]) -> list[Tensor]:
        """One forward over all feeds: append all keys and values, then attend. Logits `[tokens, vocab]` per feed.

        Raises ViewError or ContextOverflow before anything has changed.
        """
        return self._runner.step(feeds, last_only=False)[0]

    def step_last(self, feeds: Sequence[Feed], *, mass: bool = False) -> tuple[list[Tensor], Step]:
        """Like `step`, for sampling: only the last token's logits `[vocab]` per feed, and the step itself, which with
        `mass` knows how much attention went to which block (`Step.attention_of`)."""
        logits, step = self._runner.step(feeds, last_only=True, mass=mass)
        return [one[0] for one in logits], step

    def run_ahead(self, views: Sequence[View], tokens: Chosen, rows: Sequence[int]) -> None:
        """Begin the next step before its tokens have come to the host: `tokens[rows[i]]` for the i-th view. If the next
        step's feeds are these, their logits are there; if not, nothing has changed. On a CPU it does nothing."""
        self._runner.run_ahead(views, tokens, rows)

    def prefill(self, tokens: Sequence[int], before: Sequence[Block] = ()) -> Block:
        """A frozen block with `tokens`, which see the blocks `before` and themselves."""
        tokens = token_ids(tokens, "tokens")
        block = self.open_block()
        try:
            for at in range(0, len(tokens), PREFILL_CHUNK):
                self.step_last([Feed((*before, block), tokens[at : at + PREFILL_CHUNK])])
        except BaseException:
            self.release(block)
            raise
        self.freeze(block)
        return block

    def replay(self, tape: Tape) -> dict[int, Tensor]:
        """Logits `[length, vocab]` of every block of a recorded run, from one teacher-forced forward."""
        strip = lay_out(tape)
        replay = Replay([strip], self.facts, device=self.device, dtype=self.dtype)
        with self.ranks.together("replay", tape), torch.inference_mode():
            logits = replay.forward(self.model).logits[0].float()
        return dict(zip(strip.first_row, logits.split(strip.sizes), strict=True))

    def replay_rows(self, tape: Tape, places: Sequence[tuple[int, int]]) -> Tensor:
        """Logits `[places, vocab]` float32 after the tokens at these (block, index) of a recorded run; the cache is not
        touched, so any thread may ask."""
        strip = lay_out(tape)
        replay = Replay([strip], self.facts, device=self.device, dtype=self.dtype)
        rows = torch.tensor(
            [strip.row(block, index) for block, index in places], device="cpu" if self.cache.is_split else self.device
        )
        with self.ranks.together("replay_rows", tape, places), torch.inference_mode():
            if self._runner.keeps:
                return torch.as_tensor(replay.forward(self.model, logits_to_keep=rows).logits[0]).float()
            return torch.as_tensor(replay.forward(self.model).logits[0, rows]).float()

    def rebuild(self, tape: Tape, blocks: Sequence[Block]) -> list[Block]:
        """Blocks of a recorded run as they were, computed again in one forward; `blocks` say which, how long they were,
        and whether they were frozen."""
        strip = lay_out(tape)
        replay = Replay([strip], self.facts, device=self.device, dtype=self.dtype)
        kept = replay.kept = {}
        with self.ranks.together("rebuild", tape, blocks), torch.inference_mode():
            replay.forward(self.model, **({"logits_to_keep": 1} if self._runner.keeps else {}))
            keys, values = (
                torch.stack([kept[layer][which].to(self.device) for layer in range(self.facts.num_layers)])
                for which in (0, 1)
            )
            made = []
            for block in blocks:
                rows = [(strip.row(old, 0), size) for old, _, size in tape.parts(block.id, block.length) if size]
                pairs = [(keys[:, :, row : row + size], values[:, :, row : row + size]) for row, size in rows]
                made.append(self.cache.restore(pairs, frozen=block.frozen))
        return made

    # Several workers, token ids only.

    def decode(
        self,
        prompt_ids: Sequence[int],
        heads: Sequence[Sequence[int]],
        separator_ids: Sequence[int] = (),
        layout: str | Layout = "contiguous",
        max_new_tokens: int = 120,
        logits: bool = False,
        stop: bool = True,
        sampling: Sampling | Sequence[Sampling] | None = None,
        step_end_ids: Sequence[int] = (),
        tape: Tape | None = None,
    ) -> Any:
        """Let `len(heads)` workers write at once; returns one list of newly decoded token ids per worker.

        With the contiguous layout worker w sees: the prompt, the other workers' blocks in order, the separator, its own
        block, which begins with `heads[w]`. The separator is encoded once, by itself. stop: end-of-sequence ends a
        worker (and stands at the end of its list); otherwise it is a token like any other. sampling: one for all (every
        worker draws by a seed of its own made from it), or one per worker; greedy by default. step_end_ids: the tokens
        that, written in this order, end a step in layouts that close steps. With `logits=True` returns (ids,
        logits): per worker `[new tokens, vocab]` float32, row i being what token i was chosen from. tape: records who
        saw what, for `replay`.
        """
        if max_new_tokens < 0:
            raise HogwildError(f"max_new_tokens cannot be negative; it is {max_new_tokens}.")
        if isinstance(step_end_ids, set | frozenset):
            raise HogwildError(
                "step_end_ids is a sequence of tokens in the order in which they end a step; give a list."
            )
        if not len(heads):
            raise HogwildError("There must be at least one worker; give one header per worker.")
        headers = [token_ids(head, f"heads[{at}]") for at, head in enumerate(heads)]
        ends = token_ids(step_end_ids, "step_end_ids")
        return _Decoding(self, headers, layout, max_new_tokens, stop, sampling, ends, tape).run(
            token_ids(prompt_ids, "prompt_ids"), token_ids(separator_ids, "separator_ids"), logits
        )


class _Decoding:
    """One call of `Engine.decode`."""

    def __init__(
        self,
        engine: Engine,
        heads: Sequence[Sequence[int]],
        layout: str | Layout,
        max_new_tokens: int,
        stop: bool,
        sampling: Sampling | Sequence[Sampling] | None,
        step_end_ids: Sequence[int],
        tape: Tape | None,
    ) -> None:
        if sampling is None or isinstance(sampling, Sampling):
            how: Sequence[Sampling] = [for_worker(sampling or Sampling(), index) for index in range(len(heads))]
        else:
            how = sampling
        if len(how) != len(heads):
            raise HogwildError(
                f"There are {len(heads)} workers and {len(how)} samplings; give one each, or one for all."
            )
        self.engine, self.heads, self.stop, self.tape, self.limit = engine, heads, stop, tape, max_new_tokens
        self.end = list(step_end_ids)
        self.space = Workspace(
            layout_named(layout),
            engine.open_block,
            step_ends=self._ends_step if self.end else never_ends,
            on_freeze=engine.freeze,
        )
        self.names = [str(index) for index in range(len(heads))]
        self.samplers = dict(zip(self.names, map(Sampler, how), strict=True))
        self.ids: dict[str, list[int]] = {name: [] for name in self.names}
        self.rows: dict[str, list[Tensor]] = {name: [] for name in self.names}

    def run(self, prompt_ids: Sequence[int], separator_ids: Sequence[int], logits: bool) -> Any:
        engine, space = self.engine, self.space
        try:
            if prompt_ids:
                space.prompt = (self._prefill(prompt_ids),)
            if separator_ids:
                space.separator = self._prefill(separator_ids)
            for name, head in zip(self.names, self.heads, strict=True):
                space.add_worker(name, list(head))
            while self.limit and (feeds := space.feeds()):
                rows, _ = engine.step_last(feeds)
                if self.tape is not None:
                    self.tape.record(feeds)
                by_name = {feed.tag: row for feed, row in zip(feeds, rows, strict=True)}
                going = space.foreseen(feeds)
                due = list(space.fed(feeds))
                samplers = [self.samplers[name] for name in due]
                chosen = choose(samplers, [by_name[name] for name in due], [self.ids[name] for name in due])
                if going:
                    engine.run_ahead([feeds[at].view for at in going], chosen, range(len(going)))
                for name, token in zip(due, chosen.ids(), strict=True):
                    self._take(name, token, by_name[name] if logits else None)
        finally:
            engine.release(*space.blocks())
        ids = [self.ids[name] for name in self.names]
        if not logits:
            return ids
        empty = torch.empty(0, engine.vocab_size)
        return ids, [torch.stack(rows) if (rows := self.rows[name]) else empty for name in self.names]

    def _prefill(self, tokens: Sequence[int]) -> Block:
        block = self.engine.prefill(tokens)
        if self.tape is not None:
            self.tape.record_block(block.id, tokens)
        return block

    def _take(self, name: str, token: int, row: Tensor | None) -> None:
        self.samplers[name].advance()
        self.ids[name].append(token)
        if row is not None:
            self.rows[name].append(row)
        if len(self.ids[name]) >= self.limit or (self.stop and token in self.engine.end_ids):
            self.space.finish(name)
        else:
            self.space.accept(name, token)

    def _ends_step(self, tokens: Sequence[int]) -> bool:
        return list(tokens[-len(self.end) :]) == self.end
