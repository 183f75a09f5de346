"""Teaches another model to collaborate: the embedded model's lessons through any RoPE model, by LoRA or whole.

In: a model directory with its tokenizer. Out: in the folder, `adapter/` (LoRA, by peft) and `model/`, the model with
what it has learned, its prompting beside it, so that `workbench run --model` uses it as it is. Lessons are played in
the model's own tokens and chat template, with exactly the visibility that the engine gives. Below: `training.py`,
`hogwild.loading`. Above: `train.py`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from hogwild.embedded.lessons import EASY, WIDEN, Stage, batch, lesson
from hogwild.embedded.training import chosen_logits
from hogwild.errors import HogwildError
from hogwild.loading import Loaded, load
from hogwild.prompting import WORKSHEETS


@dataclass(frozen=True)
class Tuning:
    """rank: of the LoRA matrices, 0 for all weights. lessons: per optimizer step. easy: single calls by two workers
    only, the first thing to learn."""

    rank: int = 16
    steps: int = 500
    lessons: int = 2
    lr: float = 2e-4
    seed: int = 1
    device: str = "cpu"
    easy: bool = False


class ChatEncoder:
    """A model's own tokenizer and chat template, as the script needs them."""

    def __init__(self, tokenizer: Any) -> None:
        if tokenizer is None or tokenizer.eos_token_id is None:
            raise HogwildError("A model needs a tokenizer with an end token to be taught; add its tokenizer files.")
        self.tokenizer = tokenizer
        self.end: int = tokenizer.eos_token_id

    def encode(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def prompt(self, system: str, user: str) -> list[int]:
        """As `hogwild.collaboration` words it, with or without a chat template."""
        if not getattr(self.tokenizer, "chat_template", None):
            return list(self.tokenizer.encode(f"{system}\n\nTask:\n{user}\n\n"))
        messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        text = self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        return self.encode(str(text))


def fine_tune(
    directory: str | Path, out: Path, tuning: Tuning, told: Callable[[int, float], None] = lambda step, loss: None
) -> list[float]:
    """Teach the model and write what it has become; returns the loss of every step (nats per chosen token)."""
    torch.manual_seed(tuning.seed)
    loaded = load(directory, "float32", torch.device(tuning.device))
    encoder = ChatEncoder(loaded.tokenizer)
    model = with_adapter(loaded.model, tuning.rank) if tuning.rank else loaded.model
    model.train()
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=tuning.lr, betas=(0.9, 0.95), weight_decay=0.0)
    stage = EASY if tuning.easy else WIDEN[-1]
    losses: list[float] = []
    for step in range(tuning.steps):
        for group in optimizer.param_groups:
            group["lr"] = tuning.lr * min(1.0, (step + 1) / 10, 0.1 + (tuning.steps - step) / max(1, tuning.steps // 2))
        loss = _learn(model, loaded, encoder, stage, tuning, step)
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss)
        told(step, loss)
    _save(model, loaded, out, tuning)
    return losses


def with_adapter(model: Any, rank: int) -> Any:
    """The model with LoRA matrices on every linear layer, the only weights that learn (arXiv 2106.09685)."""
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise HogwildError(
            "LoRA needs peft: pip install 'agent-workbench[tune]', or train all weights with --rank 0."
        ) from error
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")
    return get_peft_model(model, config)


def _learn(model: Any, loaded: Loaded, encoder: ChatEncoder, stage: Stage, tuning: Tuning, step: int) -> float:
    """Gradients of one step's lessons; returns the loss."""
    first = 1_000_000 * tuning.seed + step * tuning.lessons
    given = batch([lesson(seed, stage, encoder) for seed in range(first, first + tuning.lessons)])
    dtype = next(model.parameters()).dtype
    logits = chosen_logits(model, given, loaded.facts, device=tuning.device, dtype=dtype)
    loss = F.cross_entropy(logits.float(), given.targets.to(logits.device))
    loss.backward()
    return float(loss.detach())


def _save(model: Any, loaded: Loaded, out: Path, tuning: Tuning) -> None:
    out.mkdir(parents=True, exist_ok=True)
    if tuning.rank:
        model.save_pretrained(out / "adapter")
        model = model.merge_and_unload()
    target = out / "model"
    model.save_pretrained(target)
    assert loaded.tokenizer is not None
    loaded.tokenizer.save_pretrained(target)
    words = json.dumps(WORKSHEETS.to_json(), indent=1, ensure_ascii=False)
    (target / "prompting.json").write_text(words + "\n", encoding="utf-8")


def fine_tune_command(args: argparse.Namespace) -> None:
    """`python -m hogwild.embedded.train --model DIR`."""
    tuning = Tuning(rank=args.rank, steps=args.steps, lr=args.lr or Tuning.lr, seed=args.seed or 1,
                    device=args.device or "cpu", easy=args.easy)  # fmt: skip
    began = time.monotonic()

    def told(step: int, loss: float) -> None:
        if step % 10 == 0 or step == tuning.steps - 1:
            print(f"step {step + 1} of {tuning.steps}, loss {loss:.3f}, {time.monotonic() - began:.0f} s", flush=True)

    fine_tune(args.model, args.out, tuning, told)
    print(f"The model is in {args.out / 'model'}; try it with: workbench run --model {args.out / 'model'} ...")
