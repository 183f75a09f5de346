"""Rows of `make bench`: a step of several workers against the paper's way of sharing a cache, on the same weights.

In: nothing; the model is random, in the shape of Qwen2 with 190 million parameters. Out: `bench_rows.Row` values.
`PapersWay` is written after the description in Hogwild! Inference (arXiv 2504.06261, section 3) and what its first code
does: at every step, layer and worker, the keys of every block are turned to where the worker's view puts them and
copied into one batch, over which the model attends. Neighbours: `bench` (runs this), `bench_engine` (scenes).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Any

from workbench.bench_engine import OWN, Scene
from workbench.bench_rows import Row, ratio, seconds

SHAPE: dict[str, Any] = {
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 12,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "vocab_size": 16384,
    "max_position_embeddings": 32768,
    "tie_word_embeddings": True,
}
WORKERS = 4
LEAST = {8192: 8, 16384: 16}
"""So many times faster a step has to be, by tokens of shared context."""


def qwen_engine() -> Any:
    """An engine on the random model."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from hogwild import Engine

    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        Qwen2ForCausalLM(Qwen2Config(**SHAPE)).save_pretrained(folder)
        return Engine.from_pretrained(folder, dtype="float32")


class PapersWay:
    """The same blocks and due tokens as a `Scene`, batched by worker over caches that are put together anew."""

    def __init__(self, scene: Scene) -> None:
        import torch
        from transformers.cache_utils import Cache

        self.model, self.scene = scene.engine.model, scene
        self.rotary = scene.engine.facts.kinds[0].rotary
        cache = scene.engine.cache
        way = self

        class Together(Cache):
            def update(
                self, key_states: Any, value_states: Any, layer_idx: int, *args: Any, **kwargs: Any
            ) -> tuple[Any, Any]:
                return way.together(cache, key_states, value_states, layer_idx)

            def get_seq_length(self, layer_idx: int = 0) -> int:
                return 0

        self.cache = Together(layers=[])
        self.ids = torch.full((len(scene.own), 1), 5)
        self.positions = torch.full((len(scene.own), 1), scene.context + OWN * len(scene.own))

    def step(self) -> None:
        import torch

        self.model.set_attn_implementation("sdpa")
        with torch.inference_mode():
            self.model(
                input_ids=self.ids,
                position_ids=self.positions,
                past_key_values=self.cache,
                use_cache=True,
                logits_to_keep=1,
            )

    def together(self, cache: Any, key: Any, value: Any, layer: int) -> tuple[Any, Any]:
        """Keys and values `[workers, kv_heads, view length, head_dim]`, and the step's own at the end."""
        import torch

        turned: dict[tuple[int, int], Any] = {}
        keys, values = [], []
        for row, feed in enumerate(self.scene.feeds):
            parts, held, offset = [], [], 0
            for block in feed.view:
                k, v = cache.read(block, layer)
                if (block.id, offset) not in turned:  # one that several workers have at one place is turned once
                    turned[block.id, offset] = self._turned(k, offset)
                parts.append(turned[block.id, offset])
                held.append(v)
                offset += block.length
            keys.append(torch.cat([*parts, key[row]], dim=1))
            values.append(torch.cat([*held, value[row]], dim=1))
        return torch.stack(keys), torch.stack(values)

    def _turned(self, keys: Any, offset: int) -> Any:
        import torch

        from hogwild_kernels import turn

        cos, sin = self.rotary.table(torch.tensor(offset), keys.dtype)
        return turn(keys, cos, sin) if offset else keys


def rows(quick: bool) -> Iterator[Row]:
    from hogwild.seam import ATTENTION

    engine = qwen_engine()
    for context, least in LEAST.items():
        scene = Scene(engine, context, WORKERS)
        papers = PapersWay(scene)

        def ours(scene: Scene = scene) -> float:
            engine.model.set_attn_implementation(ATTENTION)
            return seconds(scene.step)

        def theirs(papers: PapersWay = papers) -> float:
            return seconds(papers.step)

        yield ratio(
            f"the paper's way / a step of {WORKERS} over {context:,}",
            theirs,
            ours,
            f">= {least}",
            "turning and copying all keys for every worker at every step, over turning one query per worker; "
            "190 M random parameters in Qwen2's shape, float32",
            rounds=5 if quick else 11,
        )
        engine.model.set_attn_implementation(ATTENTION)
        scene.close()
    alone = Scene(engine, 64, 1)
    for workers, bar in ((2, 1.2), (4, 1.25), (8, 1.35)):
        several = Scene(engine, 64, workers)
        yield ratio(
            f"step of {workers} / step of 1, at 64 tokens",
            lambda several=several: seconds(several.step),  # type: ignore[misc]
            lambda: seconds(alone.step),
            f"<= {bar}",
            "short context: the weights are read once however many workers there are",
            rounds=7 if quick else 21,
        )
        several.close()
