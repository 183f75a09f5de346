"""Rows of `make bench`: a step of several workers against the paper's way of sharing a cache, on the same weights.

In: nothing; the model is random, in the shape of Qwen2 with 190 million parameters. Out: `bench_rows.Row` values.
`PapersWay` is written after the description in Hogwild! Inference (arXiv 2504.06261, section 3) and what its first code
does: at every step, layer and worker, the keys of every block are turned to where the worker's view puts them and
copied into one batch, over which the model attends. It is faster than that code, because our packed layers multiply
in it, and grouped heads are not repeated. The code itself is timed where the environment names a checkout of it,
PAPER_CODE, and a Python that has what it asks for, PAPER_PYTHON. Neighbours: `bench` (runs this), `bench_engine`
(scenes), `bench_paper_theirs` (the code's steps).
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
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
"""So many times faster than the paper's code a step has to be, by tokens of shared context."""


@contextmanager
def saved() -> Iterator[str]:
    """A folder with the random model."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        Qwen2ForCausalLM(Qwen2Config(**SHAPE)).save_pretrained(folder)
        yield folder


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


class PapersCode:
    """The paper's own code in a process of its own, on the same weights, blocks and tokens as a `Scene`."""

    def __init__(self, scene: Scene, folder: str) -> None:
        import torch

        theirs = Path(__file__).with_name("bench_paper_theirs.py")
        command = [os.environ["PAPER_PYTHON"], str(theirs), os.environ["PAPER_CODE"], folder]
        sizes = (scene.context, scene.workers, OWN, torch.get_num_threads())
        self.process = subprocess.Popen(
            [*command, *map(str, sizes)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        logits = torch.load(self._told()["logits"])
        ours, _ = scene.engine.step_last(scene.feeds)
        for block in scene.own:
            block.length -= 1
        off = float((torch.stack(ours) - logits).abs().max() / logits.abs().max())
        if not off < 1e-3:
            raise RuntimeError(f"The paper's code gives other logits: {off:.2g} of the largest.")

    def step(self) -> float:
        """Seconds of one step."""
        assert self.process.stdin is not None
        self.process.stdin.write("step\n")
        self.process.stdin.flush()
        return float(self._told()["seconds"])

    def close(self) -> None:
        self.process.communicate()

    def _told(self) -> Any:
        assert self.process.stdout is not None
        if not (line := self.process.stdout.readline()):
            raise RuntimeError("The paper's code has ended; its error stands above.")
        return json.loads(line)


def rows(quick: bool) -> Iterator[Row]:
    with saved() as folder:
        yield from _rows(quick, folder)


def _rows(quick: bool, folder: str) -> Iterator[Row]:
    from hogwild import Engine
    from hogwild.seam import ATTENTION

    engine = Engine.from_pretrained(folder, dtype="float32")
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
            ">= 2",
            "turning and copying all keys for every worker at every step, over turning one query per worker, with our "
            "packed layers on both sides; 190 M random parameters in Qwen2's shape, float32",
            rounds=5 if quick else 11,
        )
        engine.model.set_attn_implementation(ATTENTION)
        if "PAPER_CODE" in os.environ:
            code = PapersCode(scene, folder)
            yield ratio(
                f"the paper's code / a step of {WORKERS} over {context:,}",
                code.step,
                ours,
                f">= {least}",
                "its main branch without torch.compile, which is faster on a CPU; the same weights and logits",
                rounds=5 if quick else 11,
            )
            code.close()
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
