"""Tiny models with random weights, one per family that the engine promises to share.

In: a family's name. Out: a stock `transformers` model in float32, or the folder it was saved to. Neighbours: the oracle
and the engine load what is saved here. All weights are drawn anew and wide (biases and norms too), so that attention
is far from uniform and a wrong position, order or visibility moves the logits by far more than any tolerance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

VOCAB = 97
_SHAPE = {
    "vocab_size": VOCAB,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
}
_HEADS = {"head_dim": 16, "hidden_size": 48}  # the heads together are wider than the hidden state
_ROPE = {"rope_theta": 10000.0}


def _rope(**parameters: Any) -> dict[str, Any]:
    return {"model_type": "llama", "rope_parameters": {**_ROPE, **parameters}}


FAMILIES: Mapping[str, Mapping[str, Any]] = {
    "llama": {"model_type": "llama", **_HEADS, "rope_parameters": {**_ROPE, "rope_type": "default"}},
    "llama-linear": _rope(rope_type="linear", factor=4.0),
    "llama-llama3": _rope(
        rope_type="llama3",
        factor=8.0,
        low_freq_factor=1.0,
        high_freq_factor=4.0,
        original_max_position_embeddings=64,
    ),
    "llama-yarn": _rope(rope_type="yarn", factor=4.0, original_max_position_embeddings=64),
    "qwen2": {"model_type": "qwen2", "tie_word_embeddings": True},
    "qwen3": {"model_type": "qwen3", **_HEADS},
    "mistral": {"model_type": "mistral", **_HEADS, "sliding_window": None},
    "phi3": {"model_type": "phi3", "rope_parameters": {**_ROPE, "rope_type": "default", "partial_rotary_factor": 0.75}},
    "olmo2": {"model_type": "olmo2"},
    "smollm3": {"model_type": "smollm3", "num_hidden_layers": 3, "no_rope_layers": [1, 0, 1]},
    "glm": {"model_type": "glm", **_HEADS},
    "glm4": {"model_type": "glm4", **_HEADS},
    "qwen3_moe": {
        "model_type": "qwen3_moe",
        **_HEADS,
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 32,
        "norm_topk_prob": True,
    },
    # windows, narrower than most of what the tests let a worker see
    "mistral-window": {"model_type": "mistral", **_HEADS, "sliding_window": 16},
    "qwen2-window": {"model_type": "qwen2", "use_sliding_window": True, "sliding_window": 16, "max_window_layers": 1},
    "phi3-window": {"model_type": "phi3", "sliding_window": 16},
    # capped scores, and every other layer through a window
    "gemma2": {
        "model_type": "gemma2",
        **_HEADS,
        "sliding_window": 16,
        "attn_logit_softcapping": 2.0,
        "query_pre_attn_scalar": 8,
    },
    # layers with a window rotate by frequencies of their own
    "gemma3": {
        "model_type": "gemma3_text",
        **_HEADS,
        "num_hidden_layers": 3,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        "sliding_window": 16,
        "query_pre_attn_scalar": 8,
        "rope_parameters": {
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
        },
    },
    # layers without a window do not rotate
    "cohere2": {
        "model_type": "cohere2",
        "layer_types": ["sliding_attention", "full_attention"],
        "sliding_window": 16,
        "logit_scale": 1.0,
    },
    "exaone4": {
        "model_type": "exaone4",
        "layer_types": ["sliding_attention", "full_attention"],
        "sliding_window": 16,
    },
    # every head has a sink, and every other layer a window
    "gpt_oss": {
        "model_type": "gpt_oss",
        **_HEADS,
        "sliding_window": 16,
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "rope_parameters": {**_ROPE, "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64},
    },
}
WINDOWED = ("mistral-window", "qwen2-window", "phi3-window", "gemma2", "gemma3", "cohere2", "exaone4", "gpt_oss")


def build(family: str, **changes: Any) -> PreTrainedModel:
    """The family's tiny model in float32; `changes` overrides entries of its configuration."""
    settings = {**_SHAPE, **FAMILIES[family], **changes}
    return from_config(AutoConfig.for_model(settings.pop("model_type"), **settings))


def from_config(config: Any) -> PreTrainedModel:
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    randomise(model)
    return model


def randomise(model: torch.nn.Module, seed: int = 0) -> None:
    """Matrices with outputs of about unit size; norms near one; biases and other vectors wide."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() >= 2:
                fan_in = parameter.shape[-1]
                parameter.copy_(noise * (1.0 if "embed" in name else 1.3 * fan_in**-0.5))
            elif name.endswith("weight"):
                parameter.copy_(1.0 + 0.2 * noise)
            else:
                parameter.copy_(0.3 * noise)


def save(model: PreTrainedModel, folder: Path) -> Path:
    model.save_pretrained(folder)
    return folder


def load(folder: Path, attention: str = "eager") -> PreTrainedModel:
    """The stock model, in the plain float32 form that `transformers` calls eager."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation=attention).eval()


def generate(model: PreTrainedModel, ids: Sequence[int], max_new_tokens: int, eos: int | None = None) -> list[int]:
    """The new ids of the stock greedy `generate`; the mask is given, or it would hide tokens that equal the padding."""
    prompt = torch.tensor([list(ids)])
    out = model.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        do_sample=False,
        max_new_tokens=max_new_tokens,
        eos_token_id=eos,
        pad_token_id=0,
    )
    return list(map(int, out[0, len(ids) :]))
