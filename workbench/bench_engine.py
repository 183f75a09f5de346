"""The engine's rows of `make bench`: steps, shared context, memory, the start.

In: nothing; the models are random or embedded. Out: `bench_rows.Row` values. Neighbours: `hogwild.engine`, the command
line (for the start).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from workbench.bench_rows import Row, ratio, row, seconds

SIZES: dict[str, dict[str, Any]] = {
    # The shape of SmolLM-135M: small enough for a laptop, large enough that the model is what takes the time.
    "135m": {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
             "num_key_value_heads": 3, "head_dim": 64, "vocab_size": 49152},
    # Long context, little width: attention is most of the work.
    "attention": {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 8, "num_attention_heads": 16,
                  "num_key_value_heads": 4, "head_dim": 64, "vocab_size": 2048},
}  # fmt: skip
OWN = 16
"""Tokens that each worker has written when a step is timed."""
STEPS, STEP_TOKENS = 500, 24
"""Finished steps of a long run, and how long each is."""


def random_engine(size: str) -> Any:
    """An engine on a random Llama of that size."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from hogwild import Engine

    torch.manual_seed(0)
    config = LlamaConfig(**SIZES[size], max_position_embeddings=32768, tie_word_embeddings=True)
    with tempfile.TemporaryDirectory() as folder:
        LlamaForCausalLM(config).save_pretrained(folder)
        engine = Engine.from_pretrained(folder, dtype="float32")
    return engine


class Scene:
    """W workers over one shared prompt, each with a block of its own, one token due for each; steps are taken back."""

    def __init__(self, engine: Any, context: int, workers: int) -> None:
        from hogwild import Feed

        self.engine = engine
        self.prompt = engine.prefill([(31 * i) % engine.vocab_size for i in range(context)])
        own = [engine.open_block() for _ in range(workers)]
        views = [(self.prompt, *(block for block in own if block is not mine), mine) for mine in own]
        self.tokens = [(97 * i) % engine.vocab_size for i in range(OWN)]
        engine.step_last([Feed(view, self.tokens) for view in views])
        self.own, self.feeds = own, [Feed(view, (5,)) for view in views]
        self.context, self.workers = context, workers

    def step(self) -> None:
        self.engine.step_last(self.feeds)
        for block in self.own:
            block.length -= 1

    def close(self) -> None:
        self.engine.release(self.prompt, *self.own)


class Bare:
    """The model by itself: the same number of new tokens in one forward, over as many cached tokens as a worker sees.

    The faster of the two caches that transformers offers for it: one that grows by concatenation, one of fixed size.
    """

    def __init__(self, scene: Scene) -> None:
        import torch

        self.model, self.new = scene.engine.model, scene.workers
        self.seen = scene.context + OWN * scene.workers
        self.ids = torch.full((1, self.new), 5)
        self.positions = torch.arange(self.seen, self.seen + self.new)[None]

    def caches(self) -> Iterator[tuple[str, Any]]:
        from transformers import DynamicCache, StaticCache

        yield "dynamic", DynamicCache(config=self.model.config)
        yield "static", StaticCache(config=self.model.config, max_cache_len=self.seen + self.new)

    def times(self, rounds: int) -> Callable[[], float]:
        """A callable that times one forward with the faster cache."""
        import torch

        best: tuple[float, Callable[[], float]] | None = None
        self.model.set_attn_implementation("sdpa")
        for name, cache in self.caches():
            with torch.inference_mode():
                for at in range(0, self.seen, 2048):
                    chunk = torch.full((1, min(2048, self.seen - at)), 7)
                    self._forward(chunk, torch.arange(at, at + chunk.shape[1])[None], cache)
            one = self._one(name, cache)
            one()
            took = min(one() for _ in range(rounds))
            if best is None or took < best[0]:
                best = (took, one)
        assert best is not None
        return best[1]

    def _one(self, name: str, cache: Any) -> Callable[[], float]:
        def once() -> float:
            self.model.set_attn_implementation("sdpa")
            took = seconds(lambda: self._forward(self.ids, self.positions, cache))
            if name == "dynamic":
                cache.crop(-self.new)
            else:
                for layer in cache.layers:
                    layer.cumulative_length.fill_(self.seen)
            return took

        return once

    def _forward(self, ids: Any, positions: Any, cache: Any) -> None:
        import torch

        with torch.inference_mode():
            self.model(
                input_ids=ids, position_ids=positions, past_key_values=cache, use_cache=True, logits_to_keep=self.new
            )


def overhead(engine: Any, quick: bool) -> Iterator[Row]:
    """A step of W workers against a bare forward of W tokens with the same visible context."""
    from hogwild.seam import ATTENTION

    for context in (512, 4096) if quick else (512, 4096, 16384):
        for workers in (1, 2, 4, 8):
            scene = Scene(engine, context, workers)
            bare = Bare(scene).times(3)

            def ours(scene: Scene = scene) -> float:
                engine.model.set_attn_implementation(ATTENTION)
                return seconds(scene.step)

            yield ratio(
                f"step of {workers} over {context:,} / bare forward",
                ours,
                bare,
                "<= 1.15",
                f"one packed step of {workers} workers, against model.forward of {workers} new tokens on a cache of "
                "transformers' own with as many visible tokens",
                rounds=7 if quick else 15,
            )
            engine.model.set_attn_implementation(ATTENTION)
            scene.close()


def shared_context(quick: bool) -> Iterator[Row]:
    """4 workers' total tokens/s against one worker's, at 8 k shared context."""
    engine = random_engine("attention")
    one, four = Scene(engine, 8192, 1), Scene(engine, 8192, 4)
    yield ratio(
        "tokens/s of 4 workers / of 1, at 8,192 shared",
        lambda: 4 * seconds(one.step),
        lambda: seconds(four.step),
        ">= 3",
        "each step gives one token per worker; the shared context is read once for all of them",
        rounds=7 if quick else 21,
    )


def memory(engine: Any) -> Iterator[Row]:
    """KV bytes held against tokens x bytes per token, and against a copy per worker."""
    from hogwild import Feed
    from hogwild.cache import GROWTH_CHUNK

    cache = engine.cache
    prompt = engine.prefill([1] * 4000)
    own = [engine.open_block() for _ in range(4)]
    views = [(prompt, *(block for block in own if block is not mine), mine) for mine in own]
    for _ in range(150):
        engine.step_last([Feed(view, (5,)) for view in views])
    ideal = cache.num_tokens * cache.bytes_per_token
    slack = GROWTH_CHUNK * len(own) * cache.bytes_per_token
    yield row(
        "KV bytes held / (tokens x bytes per token + a growth chunk per open block)",
        [cache.num_bytes / (ideal + slack)],
        "<= 1.05",
        "4,000 tokens of prompt and 4 workers with 150 tokens each, every token held once",
    )
    copies = sum(sum(block.length for block in view) for view in views) * cache.bytes_per_token
    yield row(
        "KV bytes held / a copy of its view per worker",
        [cache.num_bytes / copies],
        "<= 0.5",
        "what four separate caches would hold",
    )
    engine.release(prompt, *own)


def frozen_steps(engine: Any, quick: bool) -> Iterator[Row]:
    """A step over a long history of finished steps, as a run with the interleaved layout compacts it."""
    together = _History(engine, 1, STEPS * STEP_TOKENS)
    compacted = _History(engine, STEPS, STEP_TOKENS)
    yield ratio(
        f"step over {STEPS} frozen steps, compacted / over the same tokens in one block",
        lambda: seconds(compacted.step),
        lambda: seconds(together.step),
        "<= 1.15",
        f"interleaved layout, two workers, steps of {STEP_TOKENS} tokens, merged as a run merges them: "
        f"{len(compacted.blocks)} blocks are left",
        rounds=7 if quick else 21,
    )
    together.close()
    compacted.close()


class _History:
    """Two workers behind finished steps, whose keys are random, merged while they come as a run merges them."""

    def __init__(self, engine: Any, steps: int, size: int) -> None:
        import torch

        from hogwild import Feed
        from hogwild.collaboration import to_merge

        torch.manual_seed(0)
        facts, self.engine = engine.facts, engine
        self.blocks: list[Any] = []
        levels: list[int] = []
        for _ in range(steps):
            keys, values = torch.randn(2, facts.num_layers, facts.num_kv_heads, size, facts.head_dim)
            self.blocks.append(engine.cache.restore([(keys, values)], frozen=True))
            levels.append(0)
            while (old := to_merge(levels)) != slice(0, 0):
                self.blocks[old] = [engine.compact(self.blocks[old])]
                levels[old] = [levels[old.start] + 1]
        self.own = [engine.open_block() for _ in range(2)]
        self.feeds = [Feed((*self.blocks, block), (5,)) for block in self.own]
        engine.step_last([Feed(feed.view, [7] * OWN) for feed in self.feeds])

    def step(self) -> None:
        self.engine.step_last(self.feeds)
        for block in self.own:
            block.length -= 1

    def close(self) -> None:
        self.engine.release(*self.blocks, *self.own)


def beside_others(engine: Any, quick: bool) -> Iterator[Row]:
    """A step while other programs want every processor too: it should get its half."""
    scene = Scene(engine, 512, 2)
    loop = [sys.executable, "-c", "while True: pass"]
    others = [subprocess.Popen(loop) for _ in range(os.cpu_count() or 1)]

    def timed(signal_first: int) -> float:
        for other in others:
            other.send_signal(signal_first)
        return seconds(scene.step, 15)

    try:
        yield ratio(
            "step beside a busy program for each processor / step alone",
            lambda: timed(signal.SIGCONT),
            lambda: timed(signal.SIGSTOP),
            "<= 3",
            "135 M parameters, 512 tokens, two workers: threads that wait for each other do so awake for a moment only",
            rounds=5 if quick else 11,
        )
    finally:
        for other in others:
            other.kill()
            other.wait()
    scene.close()


def start(quick: bool) -> Iterator[Row]:
    """From the start of the process to the first token, against the import of torch and transformers."""
    python = sys.executable

    def imports() -> float:
        return seconds(lambda: subprocess.run([python, "-c", "import torch, transformers"], check=True))

    def first_token() -> float:
        with tempfile.TemporaryDirectory() as data:
            environment = {**os.environ, "WORKBENCH_DATA_DIR": data}
            began = time.time()
            run = [str(Path(python).with_name("workbench")), "run", "1. What is 2 + 3?\n2. What is 4 + 4?", "--json"]
            subprocess.run(run, env=environment, stdout=subprocess.DEVNULL, check=False)
            return _first_token(Path(data)) - began

    yield ratio(
        "workbench run to its first token / import torch, transformers",
        first_token,
        imports,
        "<= 1.5",
        "wall time of whole processes, files in the disk cache",
        rounds=3 if quick else 7,
    )


def _first_token(data: Path) -> float:
    from workbench.log import RunLog

    log = RunLog(data / "runs.sqlite3")
    (newest, *_) = log.runs()
    return next(event.time for event in log.events(newest.run_id) if event.kind == "tokens_added")


def rows(quick: bool) -> Iterator[Row]:
    import torch

    torch.set_num_threads(os.cpu_count() or 1)
    engine = random_engine("135m")
    yield from overhead(engine, quick)
    yield from memory(engine)
    yield from frozen_steps(engine, quick)
    yield from shared_context(quick)
    yield from beside_others(engine, quick)
