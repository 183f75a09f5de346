"""What decides a training's outcome, as one value, and the presets: `cpu`, `gpu`, `smoke`.

In: a preset's name. Out: a `Recipe`, and a stock Qwen3 of its size. Neighbours: `training.py` follows it, `train.py` is
the command.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import torch
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from hogwild.embedded.lessons import WHOLE_WORLD, lesson


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the outcome, beside the code.

    curriculum: a name in `lessons.CURRICULA`. minutes: time spent learning at which the schedule ends, if max_tokens
    have not been read before. begin_with: a model directory to go on from, with its tokenizer, instead of random
    weights. device, bfloat16: how, not what; bfloat16 is used on a CPU only where it has units for it. again: how often
    a shard may be read once more where the next one is late.
    """

    curriculum: str = "whole"
    hidden_size: int = 256
    layers: int = 5
    heads: int = 8
    kv_heads: int = 2
    head_dim: int = 32
    intermediate_size: int = 640
    vocab_size: int = 1536
    rope_theta: float = 10_000.0
    context: int = 4096
    tokenizer_lessons: int = 4000
    tokens_per_step: int = 6144
    shard_tokens: int = 200_000
    max_tokens: int = 80_000_000
    minutes: float = 100.0
    warmup_steps: int = 100
    decay_from: float = 0.65
    lr: float = 2e-3
    embedding_lr: float = 4e-3
    weight_decay: float = 0.05
    eval_every_s: float = 240.0
    eval_lessons: int = 24
    seed: int = 1
    begin_with: str = ""
    device: str = "cpu"
    bfloat16: bool = True
    again: int = 0


PRESETS: Final[dict[str, Recipe]] = {
    "cpu": Recipe(),
    # 13.4 million parameters, 27 MB in half precision. On an H200 with 13 processes that make data 540,000 tokens/s are
    # learned from. With --begin-with and 7.7 minutes of learning the whole command took 8 minutes, export included;
    # from nothing it makes a tokenizer first.
    "gpu": Recipe(
        hidden_size=384,
        layers=8,
        heads=12,
        kv_heads=4,
        intermediate_size=1024,
        vocab_size=2048,
        rope_theta=50_000.0,
        context=8192,
        tokens_per_step=49_152,
        shard_tokens=190_000,
        max_tokens=300_000_000,
        minutes=9.0,
        warmup_steps=200,
        decay_from=0.5,
        lr=3e-3,
        eval_every_s=150.0,
        device="cuda",
        again=2,
    ),
    "smoke": Recipe(
        hidden_size=64,
        layers=2,
        heads=2,
        kv_heads=1,
        intermediate_size=128,
        vocab_size=512,
        tokenizer_lessons=40,
        tokens_per_step=1500,
        shard_tokens=6000,
        max_tokens=30_000,
        minutes=2.0,
        warmup_steps=4,
        eval_every_s=3600.0,
        eval_lessons=2,
    ),
}


class _Letters:
    """An encoder before there is one: a token is a letter."""

    end = 0

    def encode(self, text: str) -> list[int]:
        return [ord(letter) for letter in text]

    def prompt(self, system: str, user: str) -> list[int]:
        return self.encode(system + "\n" + user)


def sample_texts(num: int) -> Iterable[str]:
    """Whole lessons as text, for the tokenizer's merges."""
    for seed in range(num):
        tape = lesson(seed, WHOLE_WORLD[-1], _Letters()).tape
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
    if recipe.begin_with:
        held: Qwen3ForCausalLM = Qwen3ForCausalLM.from_pretrained(recipe.begin_with, dtype=torch.float32)
        return held
    torch.manual_seed(recipe.seed)
    random.seed(recipe.seed)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=recipe.hidden_size,
        intermediate_size=recipe.intermediate_size,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.kv_heads,
        head_dim=recipe.head_dim,
        tie_word_embeddings=True,
        max_position_embeddings=recipe.context,
        rope_parameters={"rope_type": "default", "rope_theta": recipe.rope_theta},
        bos_token_id=None,
        eos_token_id=tokenizer.get_vocab()["<|im_end|>"],
        pad_token_id=tokenizer.get_vocab()["<|endoftext|>"],
    )
    return Qwen3ForCausalLM(config)
