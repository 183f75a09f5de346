"""What the engine has to know about a model: how it rotates, its layers, and why it may be unfit for a shared cache.

In: a loaded transformers model. Out: `ModelFacts`, or `UnsupportedModel` with the property that stands in the way.
Reading the configuration names the reason; the numeric probe in `probe.py` has the last word.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import torch

from hogwild.errors import UnsupportedModel
from hogwild_kernels import Rotary

ROPE_TYPES = ("default", "linear", "llama3", "yarn")
TRY = "use a model with plain rotary positions, such as Llama, Qwen2, Qwen3, Mistral, Phi-3, OLMo-2, SmolLM3 or GLM-4"


@dataclass(frozen=True)
class ModelFacts:
    """rotary: how queries are turned. no_rope: layers without rotation. max_positions: longest view the model knows."""

    rotary: Rotary
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    vocab_size: int
    max_positions: int
    no_rope: frozenset[int] = frozenset()

    def has_rope(self, layer: int) -> bool:
        return layer not in self.no_rope


def facts_of(model: Any) -> ModelFacts:
    """Read the facts off a model, or refuse it."""
    config = model.config.get_text_config(decoder=True)
    refuse(config)
    rotary = rotary_of(model)
    heads = config.num_attention_heads
    no_rope_layers = getattr(config, "no_rope_layers", None) or []
    return ModelFacts(
        rotary=rotary,
        num_layers=config.num_hidden_layers,
        num_heads=heads,
        num_kv_heads=getattr(config, "num_key_value_heads", None) or heads,
        head_dim=getattr(config, "head_dim", None) or config.hidden_size // heads,
        vocab_size=config.vocab_size,
        max_positions=getattr(config, "max_position_embeddings", None) or sys.maxsize,
        # transformers' convention: 1 means that the layer does rotate.
        no_rope=frozenset(layer for layer, rotates in enumerate(no_rope_layers) if not rotates),
    )


def refuse(config: Any) -> None:
    """Raise UnsupportedModel if the configuration shows a property that cannot be shared."""

    def no(property: str, why: str) -> None:
        raise UnsupportedModel(property, f"The model type {config.model_type} cannot share its cache: {why}; {TRY}.")

    if getattr(config, "is_encoder_decoder", False):
        no("encoder-decoder", "it is an encoder-decoder, and workers share a decoder's cache")
    if getattr(config, "alibi", False) or config.model_type in ("bloom", "mpt"):
        no("ALiBi", "it uses ALiBi, whose bias depends on absolute distance, not on a rotation")
    if getattr(config, "attn_temperature_tuning", None):
        no("attention temperature", "its queries are scaled by their absolute position")
    if getattr(config, "kv_lora_rank", None):
        no("latent attention", "its multi-head latent attention rotates only a part that is shared between heads")
    layer_types = set(getattr(config, "layer_types", None) or ())
    recurrent = {kind for kind in layer_types if "attention" not in kind or "linear" in kind}
    if recurrent or config.model_type in ("mamba", "mamba2", "rwkv", "falcon_mamba", "recurrent_gemma", "xlstm"):
        no("recurrent state", "it has layers with a recurrent state, which cannot be put together from blocks")
    windowed = any("sliding" in kind or "chunked" in kind for kind in layer_types)
    if windowed or (not layer_types and _slides(config)):
        no("sliding window", "its sliding-window layers are not supported yet")
    rope = _rope_parameters(config)
    if rope is None and getattr(config, "rotary_dim", None):
        no("rotary embedding of its own", "it computes its rotary embedding itself, not by transformers' common one")
    if rope is None:
        no("learned positions", "it has learned positions or none, no rotary embedding")
    for parameters in rope or ():
        kind = parameters.get("rope_type", "default")
        if parameters.get("llama_4_scaling_beta"):
            no("attention temperature", "its queries are scaled by their absolute position")
        if kind == "dynamic" or kind == "longrope":
            no(f"{kind} RoPE", f"its {kind} RoPE changes the rotation with the length of the text")
        if kind not in ROPE_TYPES:
            no(f"{kind} RoPE", f"its rotary type '{kind}' is not known (known: {', '.join(ROPE_TYPES)})")


def _slides(config: Any) -> bool:
    """A window as wide as the longest text never closes."""
    window, longest = getattr(config, "sliding_window", None), getattr(config, "max_position_embeddings", None)
    if not window or getattr(config, "use_sliding_window", True) is False:
        return False
    return longest is None or window < longest


def _rope_parameters(config: Any) -> list[dict[str, Any]] | None:
    """All rotary parameter sets of the model, or None if it has none."""
    given = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None)
    if not given:
        return None
    nested = [value for value in given.values() if isinstance(value, dict)]
    return nested or [given]


def rotary_of(model: Any) -> Rotary:
    """The rotation that the model itself applies: its own frequencies and pairing."""
    found = [module for module in model.modules() if isinstance(getattr(module, "inv_freq", None), torch.Tensor)]
    if not found:
        raise UnsupportedModel(
            "rotary embedding of its own",
            f"The model type {model.config.model_type} has no rotary embedding of transformers' common kind to turn "
            f"queries by; {TRY}.",
        )
    inv_freq = found[0].inv_freq.detach().to(torch.float64)
    if any(module.inv_freq.shape != inv_freq.shape for module in found):
        raise UnsupportedModel(
            "several rotary embeddings",
            f"The model type {model.config.model_type} rotates its layers in several ways, which is not supported yet; "
            f"{TRY}.",
        )
    rotate_half = getattr(sys.modules[type(model).__module__], "rotate_half", None)
    interleaved = rotate_half is not None and rotate_half(torch.arange(4.0)).tolist() == [-1.0, 0.0, -3.0, 2.0]
    return Rotary(inv_freq, interleaved)
