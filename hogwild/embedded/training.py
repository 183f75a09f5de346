"""The training loop: replayed lessons, the loss of what workers chose, two optimizers, checkpoints to go on from.

In: a `Recipe`, a folder. Out: checkpoints and a log in the folder, and with each checkpoint a model directory that can
be used. Each process takes one thread and its own shards; gradients are averaged. Results of tools and text that is
given to a worker are never in the loss: only tokens that a worker chose are. Below: `shards.py`, `hogwild.replay`.
Above: `train.py`, `fine_tune.py`.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Final

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from hogwild.embedded.lessons import CURRICULA, KINDS, Batch, PackedBatch, batch, lesson
from hogwild.embedded.muon import Muon
from hogwild.embedded.recipe import Recipe, new_model
from hogwild.embedded.shards import ShardPlan, Supply
from hogwild.embedded.vocabulary import Vocabulary
from hogwild.families import facts_of
from hogwild.fusing import fuse_norms
from hogwild.prompting import WORKSHEETS
from hogwild.replay import PackedReplay, Replay, packs
from hogwild.seam import ATTENTION
from hogwild_kernels.compiled import multiplies_bfloat16

EVAL_SEED: Final = 10_000_000


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
    model.lm_head.forward = wrapped(model.lm_head.forward)


def chosen_logits(
    model: Any, given: Batch | PackedBatch, facts: Any, *, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> Tensor:
    """Logits `[choices, vocab]` of the rows from which workers chose."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    replay = (
        PackedReplay(given.packed, facts)
        if isinstance(given, PackedBatch)
        else Replay(given.strips, facts, device=device, dtype=dtype)
    )
    hidden = replay.forward(base.model).last_hidden_state[0, given.rows.to(device)]
    logits: Tensor = base.lm_head(hidden)
    return logits


class Training:
    """One process of the training."""

    def __init__(self, recipe: Recipe, out: Path, rank: int = 0, world: int = 1, data_processes: int = 0) -> None:
        self.recipe, self.out, self.rank, self.world, self.data_processes = recipe, out, rank, world, data_processes
        self.tokenizer = PreTrainedTokenizerFast.from_pretrained(out / "tokenizer")
        self.encoder = Vocabulary(self.tokenizer)
        model: Any = new_model(recipe, self.tokenizer)
        self.model = model.to(recipe.device)
        self.model.set_attn_implementation(ATTENTION)
        self.on_gpu = recipe.device != "cpu"
        self.bfloat16 = recipe.bfloat16 and (self.on_gpu or multiplies_bfloat16())
        if self.bfloat16 and not self.on_gpu:
            multiply_in_bfloat16(self.model)
        if self.on_gpu:
            fuse_norms(self.model)
        self.facts = facts_of(self.model)
        self.packed = self.on_gpu and packs(self.facts)
        matrices = [p for n, p in self.model.named_parameters() if p.ndim == 2 and "embed" not in n]
        others = [p for n, p in self.model.named_parameters() if p.ndim != 2 or "embed" in n]
        self.optimizers = [
            Muon(
                matrices,
                recipe.lr,
                weight_decay=recipe.weight_decay,
                dtype=torch.bfloat16 if self.on_gpu or multiplies_bfloat16() else torch.float32,
            ),
            torch.optim.AdamW(others, lr=recipe.embedding_lr, betas=(0.9, 0.95), weight_decay=0.0),
        ]
        self.peak = [recipe.lr, recipe.embedding_lr]
        self.step = 0
        self.tokens = 0
        self.seconds = 0.0
        self.shard, self.batch = rank, 0
        self.resume()

    @property
    def progress(self) -> float:
        return max(self.tokens / self.recipe.max_tokens, self.seconds / (60 * self.recipe.minutes))

    def run(self) -> None:
        """Learn until the schedule ends; a checkpoint every `eval_every_s` and at the end."""
        began, spent = time.monotonic(), self.seconds
        last_eval = spent
        supply = Supply(
            self.plan(), self.out / f"shards-{self.rank}", processes=self.data_processes, first=self.shard,
            stride=self.world, again=self.recipe.again,
        )  # fmt: skip
        with supply:
            for number, shard in supply:
                # A shard that was begun before an interruption goes on where it was left.
                skipped = self.batch if number == self.shard else 0
                for index, given in enumerate(shard[skipped:], start=skipped):
                    loss = self.learn(given)
                    if number >= self.shard:  # not one that is read again
                        self.shard, self.batch = number, index + 1
                    self.seconds = self.shared_clock(spent + time.monotonic() - began)
                    if self.step % 20 == 0:
                        self.note("step", loss=round(float(loss), 4), waited_s=round(supply.waited_s, 1),
                                  repeated=supply.repeated, lr=self.lr)  # fmt: skip
                    if self.progress >= 1.0:
                        break
                    if self.seconds - last_eval > self.recipe.eval_every_s:
                        last_eval = self.seconds
                        self.checkpoint()
                if self.progress >= 1.0:
                    break
                if number >= self.shard:
                    self.shard, self.batch = number + self.world, 0
        self.checkpoint()

    def plan(self) -> ShardPlan:
        recipe = self.recipe
        batch_tokens = recipe.tokens_per_step // self.world
        return ShardPlan(str(self.out / "tokenizer"), recipe.curriculum, recipe.shard_tokens, batch_tokens,
                         recipe.max_tokens, recipe.seed, packed=self.packed)  # fmt: skip

    @property
    def lr(self) -> float:
        return float(self.optimizers[0].param_groups[0]["lr"])

    def learn(self, given: Batch | PackedBatch) -> Tensor:
        """One optimizer step; returns this process's loss (nats per chosen token), not waited for."""
        factor = self.lr_factor()
        for optimizer, peak in zip(self.optimizers, self.peak, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = peak * factor
        if isinstance(given, PackedBatch):
            given = given.to(self.recipe.device)
        with self.precision():
            logits = self.logits(given)
        loss = F.cross_entropy(logits.float(), given.targets.to(logits.device))
        loss.backward()
        self.average_gradients()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self.tokens += given.num_tokens * self.world
        return loss.detach()

    def logits(self, given: Batch | PackedBatch) -> Tensor:
        dtype = torch.bfloat16 if self.bfloat16 else torch.float32
        return chosen_logits(self.model, given, self.facts, device=self.recipe.device, dtype=dtype)

    def precision(self) -> AbstractContextManager[Any]:
        if self.on_gpu and self.bfloat16:
            return torch.autocast(self.recipe.device, torch.bfloat16)
        return nullcontext()

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
        """Everyone decides by rank 0's clock, so that all end at the same step."""
        if self.world == 1:
            return seconds
        clock = torch.tensor([seconds, float(self.tokens)], dtype=torch.float64)
        dist.broadcast(clock, 0)
        self.tokens = int(clock[1])
        return float(clock[0])

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Share of tokens that the model would choose, by kind, on held-out worksheets (teacher-forced)."""
        stage = CURRICULA[self.recipe.curriculum][-1]
        num = self.recipe.eval_lessons
        lessons = [lesson(EVAL_SEED + seed, stage, self.encoder, "held_out") for seed in range(num)]
        right: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for at in range(0, num, 6):
            played = batch(lessons[at : at + 6])
            targets, kinds = played.targets, played.kinds
            length = self.recipe.tokens_per_step
            given = played.packed(length).to(self.recipe.device) if self.packed else played
            with self.precision():
                hits = (self.logits(given).argmax(-1).cpu() == targets).float()
            for index, kind in enumerate(KINDS):
                right[kind].extend(hits[kinds == index].tolist())
        return {kind: round(sum(hits) / len(hits), 4) for kind, hits in right.items() if hits}

    def note(self, what: str, **figures: Any) -> None:
        if self.rank:
            return
        line = {"what": what, "step": self.step, "tokens": self.tokens, "minutes": round(self.seconds / 60, 2)}
        line |= {"progress": round(self.progress, 4)} | figures
        with (self.out / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
        rate = self.tokens / max(1e-9, self.seconds)
        print(f"{100 * self.progress:5.1f} % {rate:6.0f} tokens/s", json.dumps(line), flush=True)

    def checkpoint(self) -> None:
        """Measure, keep the state, and write the model as a directory that can be used as it is."""
        if self.rank:
            return
        self.note("eval", **self.evaluate())
        state = {
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "counts": [self.step, self.tokens, self.seconds, self.shard, self.batch],
        }
        torch.save(state, self.out / "checkpoint.tmp")
        os.replace(self.out / "checkpoint.tmp", self.out / "checkpoint.pt")
        export(self.out, self.out / "model")

    def resume(self) -> None:
        """Go on from the checkpoint, if there is one; further processes take the shards beside the first one's."""
        path = self.out / "checkpoint.pt"
        if not path.exists():
            return
        state = torch.load(path, weights_only=True, map_location=self.recipe.device)
        self.model.load_state_dict(state["model"])
        for optimizer, held in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(held)
        self.step, self.tokens, self.seconds, shard, self.batch = state["counts"]
        self.shard = shard + self.rank


def export(out: Path, target: Path) -> None:
    """Write the latest checkpoint as a model directory in half precision."""
    recipe = Recipe(**json.loads((out / "recipe.json").read_text(encoding="utf-8")))
    tokenizer = PreTrainedTokenizerFast.from_pretrained(out / "tokenizer")
    model = new_model(recipe, tokenizer)
    model.load_state_dict(torch.load(out / "checkpoint.pt", weights_only=True, map_location="cpu")["model"])
    model.half()
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    words = json.dumps(WORKSHEETS.to_json(), indent=1, ensure_ascii=False)
    (target / "prompting.json").write_text(words + "\n", encoding="utf-8")
