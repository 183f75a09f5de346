"""Trains the embedded model: `python -m hogwild.embedded.train --out runs/embedded`. One command, resumable.

In: nothing but the phrase bank and the tools. Out: a model directory that plain `transformers` loads. Each process
takes one thread and its own lessons; gradients are averaged. Results of tools and text that is given to a worker are
never in the loss: only tokens that a worker chose are. Below: `lessons.py`, `hogwild.replay`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.multiprocessing.spawn import spawn
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from hogwild.embedded.lessons import CURRICULUM, KINDS, Batch, Stage, batch, batches, lesson
from hogwild.embedded.script import play
from hogwild.embedded.vocabulary import Vocabulary, train_tokenizer
from hogwild.embedded.worksheets import make_worksheet
from hogwild.families import facts_of
from hogwild.layouts import CONTIGUOUS
from hogwild.prompting import WORKSHEETS
from hogwild.replay import Replay
from hogwild.seam import ATTENTION

EVAL_SEED = 10_000_000


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the outcome, beside the code.

    minutes: wall time at which the schedule ends. begin_with: a model directory to go on from, with its tokenizer,
    instead of random weights.
    """

    hidden_size: int = 256
    layers: int = 5
    heads: int = 8
    kv_heads: int = 2
    head_dim: int = 32
    intermediate_size: int = 640
    vocab_size: int = 1536
    rope_theta: float = 10_000.0
    tokens_per_step: int = 6144
    max_tokens: int = 80_000_000
    minutes: float = 100.0
    warmup_steps: int = 100
    decay_from: float = 0.65
    lr: float = 2e-3
    embedding_lr: float = 4e-3
    weight_decay: float = 0.05
    seed: int = 1
    begin_with: str = ""


def sample_texts(num: int) -> Iterable[str]:
    """Whole lessons as text, for the tokenizer's merges."""

    class Letters:
        end = 0

        def encode(self, text: str) -> list[int]:
            return [ord(letter) for letter in text]

        def prompt(self, system: str, user: str) -> list[int]:
            return self.encode(system + "\n" + user)

    for seed in range(num):
        sheet = make_worksheet(seed, renamed=0.2)
        tape = play(sheet, Letters(), 2, CONTIGUOUS, rng=random.Random(seed)).tape
        blocks: dict[int, list[int]] = {}
        for chunk in tape.chunks:
            blocks.setdefault(chunk.block, []).extend(chunk.tokens)
        for letters in blocks.values():
            text = "".join(map(chr, letters))
            for tag in ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "\0"):
                text = text.replace(tag, "\n")
            yield text


def new_model(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> Qwen3ForCausalLM:
    """A stock Qwen3 with random weights, or with those of the directory that the recipe begins with."""
    torch.manual_seed(recipe.seed)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=recipe.hidden_size,
        intermediate_size=recipe.intermediate_size,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.kv_heads,
        head_dim=recipe.head_dim,
        tie_word_embeddings=True,
        max_position_embeddings=4096,
        rope_parameters={"rope_type": "default", "rope_theta": recipe.rope_theta},
        bos_token_id=None,
        eos_token_id=tokenizer.get_vocab()["<|im_end|>"],
        pad_token_id=tokenizer.get_vocab()["<|endoftext|>"],
    )
    model = Qwen3ForCausalLM(config)
    if recipe.begin_with:
        held = Qwen3ForCausalLM.from_pretrained(recipe.begin_with, dtype=torch.float32)
        model.load_state_dict(held.state_dict())
    return model


def multiply_in_bfloat16(model: Any) -> None:
    """Matrix products of the linear layers in bfloat16, everything between them in float32: a quarter faster on a CPU
    with bfloat16 units, where autocast over the whole model loses the gain again by converting back and forth."""

    def wrapped(forward: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        def run(x: Tensor) -> Tensor:
            with torch.autocast("cpu", torch.bfloat16):
                return forward(x).float()

        return run

    for layer in model.model.layers:
        attention = layer.self_attn
        for module in (layer.mlp, attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj):
            module.forward = wrapped(module.forward)


def chosen_logits(model: Any, given: Batch, facts: Any) -> Tensor:
    """Logits `[choices, vocab]` of the rows from which workers chose."""
    replay = Replay(given.strips, facts, dtype=torch.float32)
    hidden = replay.forward(model.model).last_hidden_state[0, given.rows]
    logits: Tensor = model.lm_head(hidden)
    return logits


class Training:
    """One process of the training."""

    def __init__(self, recipe: Recipe, out: Path, rank: int, world: int) -> None:
        self.recipe, self.out, self.rank, self.world = recipe, out, rank, world
        self.tokenizer = PreTrainedTokenizerFast.from_pretrained(out / "tokenizer")
        self.encoder = Vocabulary(self.tokenizer)
        self.model = new_model(recipe, self.tokenizer)
        self.model.set_attn_implementation(ATTENTION)
        multiply_in_bfloat16(self.model)
        self.facts = facts_of(self.model)
        matrices = [p for n, p in self.model.named_parameters() if p.ndim == 2 and "embed" not in n]
        others = [p for n, p in self.model.named_parameters() if p.ndim != 2 or "embed" in n]
        self.optimizers = [
            torch.optim.Muon(matrices, lr=recipe.lr, weight_decay=recipe.weight_decay, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(others, lr=recipe.embedding_lr, betas=(0.9, 0.95), weight_decay=0.0),
        ]
        self.peak = [recipe.lr, recipe.embedding_lr]
        self.step = 0
        self.tokens = 0
        self.seconds = 0.0
        self.next_seed = 0
        self.resume()

    @property
    def progress(self) -> float:
        return max(self.tokens / self.recipe.max_tokens, self.seconds / (60 * self.recipe.minutes))

    def run(self) -> None:
        began, spent = time.monotonic(), self.seconds
        last_eval = spent
        for stage in CURRICULUM:
            if self.progress >= stage.until:
                continue
            seeds = itertools.count(self.next_seed + self.rank, self.world)
            for given in batches(self._noting(seeds), stage, self.encoder, self.recipe.tokens_per_step // self.world):
                loss = self.learn(given)
                self.seconds = self.shared_clock(spent + time.monotonic() - began)
                if self.step % 20 == 0:
                    self.note("step", loss=round(loss, 4), lr=self.optimizers[0].param_groups[0]["lr"])
                if self.seconds - last_eval > 240:
                    last_eval = self.seconds
                    self.note("eval", **self.evaluate(stage))
                    self.save()
                if self.progress >= stage.until:
                    break
        self.note("eval", **self.evaluate(CURRICULUM[-1]))
        self.save()

    def _noting(self, seeds: Iterable[int]) -> Iterator[int]:
        for seed in seeds:
            self.next_seed = seed - self.rank + self.world
            yield seed

    def learn(self, given: Batch) -> float:
        """One optimizer step; returns this process's loss (nats per chosen token)."""
        factor = self.lr_factor()
        for optimizer, peak in zip(self.optimizers, self.peak, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = peak * factor
        loss = F.cross_entropy(chosen_logits(self.model, given, self.facts), given.targets)
        loss.backward()
        self.average_gradients()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self.tokens += given.num_tokens * self.world
        return float(loss.detach())

    def lr_factor(self) -> float:
        """Warm up, hold, then fall linearly to a fiftieth."""
        warm = min(1.0, (self.step + 1) / self.recipe.warmup_steps)
        left = (1.0 - self.progress) / (1.0 - self.recipe.decay_from)
        return warm * min(1.0, max(0.02, left))

    def average_gradients(self) -> None:
        if self.world == 1:
            return
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        flat /= self.world
        for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))

    def shared_clock(self, seconds: float) -> float:
        """Everyone decides by rank 0's clock, so that all leave a stage at the same step."""
        if self.world == 1:
            return seconds
        clock = torch.tensor([seconds, float(self.tokens), float(self.next_seed)], dtype=torch.float64)
        dist.broadcast(clock, 0)
        self.tokens = int(clock[1])
        self.next_seed = int(clock[2])
        return float(clock[0])

    @torch.no_grad()
    def evaluate(self, stage: Stage, num: int = 24) -> dict[str, float]:
        """Share of tokens that the model would choose, by kind, on held-out worksheets (teacher-forced)."""
        if self.rank:
            return {}
        lessons = [lesson(EVAL_SEED + seed, stage, self.encoder, "held_out") for seed in range(num)]
        right: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for at in range(0, num, 6):
            given = batch(lessons[at : at + 6])
            hits = (chosen_logits(self.model, given, self.facts).argmax(-1) == given.targets).float()
            for index, kind in enumerate(KINDS):
                right[kind].extend(hits[given.kinds == index].tolist())
        return {kind: round(sum(hits) / max(1, len(hits)), 4) for kind, hits in right.items()}

    def note(self, what: str, **figures: Any) -> None:
        if self.rank:
            return
        line = {"what": what, "step": self.step, "tokens": self.tokens, "minutes": round(self.seconds / 60, 2)}
        line |= {"progress": round(self.progress, 4)} | figures
        with (self.out / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
        rate = self.tokens / max(1e-9, self.seconds)
        print(f"{100 * self.progress:5.1f} % {rate:6.0f} tokens/s", json.dumps(line), flush=True)

    def save(self) -> None:
        if self.rank:
            return
        state = {
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "counts": [self.step, self.tokens, self.seconds, self.next_seed],
        }
        torch.save(state, self.out / "checkpoint.tmp")
        os.replace(self.out / "checkpoint.tmp", self.out / "checkpoint.pt")

    def resume(self) -> None:
        path = self.out / "checkpoint.pt"
        if not path.exists():
            return
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        for optimizer, held in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(held)
        self.step, self.tokens, self.seconds, self.next_seed = state["counts"]


def _process(rank: int, recipe: Recipe, out: Path, world: int, port: int) -> None:
    torch.set_num_threads(1)
    if world > 1:
        dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world)
    try:
        Training(recipe, out, rank, world).run()
    finally:
        if world > 1:
            dist.destroy_process_group()


def export(out: Path, target: Path) -> None:
    """Write the latest checkpoint as a model directory in half precision."""
    recipe = Recipe(**json.loads((out / "recipe.json").read_text(encoding="utf-8")))
    tokenizer = PreTrainedTokenizerFast.from_pretrained(out / "tokenizer")
    model = new_model(recipe, tokenizer)
    model.load_state_dict(torch.load(out / "checkpoint.pt", weights_only=True)["model"])
    model.half()
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    words = json.dumps(WORKSHEETS.to_json(), indent=1, ensure_ascii=False)
    (target / "prompting.json").write_text(words + "\n", encoding="utf-8")


def main() -> None:
    """Train, or go on with a training that was interrupted; then export."""
    parser = argparse.ArgumentParser(description="Train the embedded model.")
    parser.add_argument("--out", type=Path, default=Path("runs/embedded"), help="checkpoints and the log")
    parser.add_argument("--export", type=Path, help="write the model directory here; default OUT/model")
    parser.add_argument("--export-only", action="store_true", help="export the latest checkpoint, no training")
    parser.add_argument("--begin-with", default="", metavar="DIR", help="a model directory to go on from")
    parser.add_argument("--minutes", type=float, default=Recipe.minutes, help="wall time of the whole schedule")
    parser.add_argument("--max-tokens", type=int, default=Recipe.max_tokens)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="one thread each")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if not args.export_only:
        held = args.out / "recipe.json"
        recipe = Recipe(minutes=args.minutes, max_tokens=args.max_tokens, begin_with=args.begin_with)
        if held.exists():
            recipe = Recipe(**json.loads(held.read_text(encoding="utf-8")))
        else:
            held.write_text(json.dumps(asdict(recipe)), encoding="utf-8")
        if not (args.out / "tokenizer").exists() and recipe.begin_with:
            PreTrainedTokenizerFast.from_pretrained(recipe.begin_with).save_pretrained(args.out / "tokenizer")
        elif not (args.out / "tokenizer").exists():
            train_tokenizer(sample_texts(4000), recipe.vocab_size).save_pretrained(args.out / "tokenizer")
        # Batches differ in size; by default glibc keeps so many pieces of them that a process grew to 8 GB.
        os.environ.setdefault("MALLOC_ARENA_MAX", "1")
        os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(1 << 32))
        os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(1 << 33))
        port = random.randint(20_000, 60_000)
        spawn(_process, (recipe, args.out, args.processes, port), nprocs=args.processes)
    export(args.out, args.export or args.out / "model")


if __name__ == "__main__":
    main()
