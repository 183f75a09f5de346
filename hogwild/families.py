"""What the engine has to know about a model: how it rotates, its layers, and why it may be unfit for a shared cache.

In: a loaded transformers model. Out: `ModelFacts`, or `UnsupportedModel` with the property that stands in the way.
Reading the configuration names the reason; the numeric probe in `probe.py` has the last word.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from hogwild.errors import HogwildError, UnsupportedModel
from hogwild_kernels import Rotary, first_seen

ROPE_TYPES = ("default", "linear", "llama3", "yarn")
WIDE_LAYERS_WITHOUT_ROPE = ("cohere2", "exaone4")
"""Model types that rotate only in their layers with a window, which no configuration says."""
TRY = (
    "use a model with plain rotary positions, such as Llama, Qwen2, Qwen3, Mistral, Phi-3, OLMo-2, SmolLM3, GLM-4, "
    "Gemma 2, Gemma 3 or gpt-oss"
)
Plan = TypeVar("Plan")


@dataclass(frozen=True, eq=False)
class Kind:
    """What layers of one kind have in common.

    rotary: how they rotate, None for not at all. window: a token sees those less than this far back in its own view
    (itself at 0), None for all. layers: which they are.
    """

    rotary: Rotary | None
    window: int | None
    layers: tuple[int, ...]


@dataclass(frozen=True)
class ModelFacts:
    """kinds: the kinds of attention layers. max_positions: longest view the model knows."""

    kinds: tuple[Kind, ...]
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    vocab_size: int
    max_positions: int

    def __post_init__(self) -> None:
        of_layer = {layer: index for index, kind in enumerate(self.kinds) for layer in kind.layers}
        object.__setattr__(self, "_kind_of", [of_layer[layer] for layer in range(self.num_layers)])

    def kind_of(self, layer: int) -> int:
        """Index of the layer's kind in `kinds`."""
        return int(self._kind_of[layer])  # type: ignore[attr-defined]

    def plans(
        self, make: Callable[[Rotary | None, Tensor | None], Plan], turns: Tensor, positions: Tensor
    ) -> tuple[Plan, ...]:
        """One attention plan per kind of layer, by `make(rotary, first)`.

        turns: `[rows, segments]`; positions: `[rows]`, each row's place in its own block. first: `[rows, segments]`,
        the first token of each segment that a row sees through the kind's window, or None.
        """
        return tuple(
            make(kind.rotary, None if kind.window is None else first_seen(turns, positions, kind.window))
            for kind in self.kinds
        )


def facts_of(model: Any) -> ModelFacts:
    """Read the facts off a model, or refuse it."""
    config = model.config.get_text_config(decoder=True)
    refuse(config)
    heads = config.num_attention_heads
    return ModelFacts(
        kinds=_kinds(model, config),
        num_layers=config.num_hidden_layers,
        num_heads=heads,
        num_kv_heads=getattr(config, "num_key_value_heads", None) or heads,
        head_dim=getattr(config, "head_dim", None) or config.hidden_size // heads,
        vocab_size=config.vocab_size,
        max_positions=getattr(config, "max_position_embeddings", None) or sys.maxsize,
    )


def _kinds(model: Any, config: Any) -> tuple[Kind, ...]:
    """Layers by rotation and window, in order of first appearance."""
    types = getattr(config, "layer_types", None) or ["full_attention"] * config.num_hidden_layers
    # transformers' convention: 1 means that the layer does rotate.
    rotates = getattr(config, "no_rope_layers", None) or [1] * config.num_hidden_layers
    if config.model_type in WIDE_LAYERS_WITHOUT_ROPE and getattr(config, "sliding_window", None):
        rotates = [kind == "sliding_attention" for kind in types]
    rotaries, narrows = rotaries_of(model), _narrows(model)
    groups: dict[tuple[Rotary | None, int | None], list[int]] = {}
    for layer, kind in enumerate(types[: config.num_hidden_layers]):
        rotary = (rotaries.get(kind) or rotaries.get("")) if rotates[layer] else None
        groups.setdefault((rotary, _window(config, layer) if narrows else None), []).append(layer)
    return tuple(Kind(rotary, window, tuple(layers)) for (rotary, window), layers in groups.items())


def _narrows(model: Any) -> bool:
    """Whether any part of the model masks by a window; the configuration of another may name one all the same, as that
    of a Llama does whose weights were once a Mistral's."""
    files = {type(module).__module__ for module in model.modules()}
    return any(hasattr(sys.modules.get(file), "create_sliding_window_causal_mask") for file in files)


def _window(config: Any, layer: int) -> int | None:
    """How far back the layer sees; a window as wide as the longest text never closes."""
    types = getattr(config, "layer_types", None)
    slides = types[layer] == "sliding_attention" if types else getattr(config, "use_sliding_window", True) is not False
    window, longest = getattr(config, "sliding_window", None), getattr(config, "max_position_embeddings", None)
    return int(window) if slides and window and (longest is None or window < longest) else None


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
    if any("chunked" in kind for kind in layer_types):
        no("chunked attention", "some of its layers see only the chunk of the text in which a token stands")
    unknown = layer_types - {"full_attention", "sliding_attention"}
    if unknown:
        no("unknown attention", f"its attention of the kind '{min(unknown)}' is not known")
    if getattr(config, "use_bidirectional_attention", False):
        no("bidirectional attention", "its tokens see those that come after them")
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


def refuse_ranks(config: Any, ranks: int) -> None:
    """Raise HogwildError if the model cannot be shared out among so many processes."""
    if ranks < 1:
        raise HogwildError(f"A model is shared out among 1 process or more; {ranks} were asked for.")
    plan = getattr(config, "base_model_tp_plan", None) or {}
    if ranks > 1 and not plan:
        raise UnsupportedModel(
            "tensor parallel",
            f"The installed transformers has no tensor-parallel plan for the model type {config.model_type}; run it in "
            "one process.",
        )
    heads = config.num_attention_heads
    kv_heads = getattr(config, "num_key_value_heads", None) or heads
    cut = ranks > 1 and any(name.endswith(".k_proj") and how == "colwise" for name, how in plan.items())
    if cut and (kv_heads % ranks or heads % ranks):
        even = [str(n) for n in range(2, kv_heads + 1) if not kv_heads % n and not heads % n]
        choice = f"choose {' or '.join(even)}" if even else "run it in one process"
        raise HogwildError(
            f"This model has {kv_heads} key-value heads, which cannot be shared out evenly among {ranks} processes; "
            f"{choice}."
        )


def _rope_parameters(config: Any) -> list[dict[str, Any]] | None:
    """All rotary parameter sets of the model, or None if it has none."""
    given = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None)
    if not given:
        return None
    nested = [value for value in given.values() if isinstance(value, dict)]
    return nested or [given]


def rotaries_of(model: Any) -> dict[str, Rotary]:
    """The rotations that the model itself applies, its own frequencies and pairing: by the type of the layers, or under
    "" where all layers rotate alike."""
    rotate_half = getattr(sys.modules[type(model).__module__], "rotate_half", None)
    interleaved = rotate_half is not None and rotate_half(torch.arange(4.0)).tolist() == [-1.0, 0.0, -3.0, 2.0]
    found: dict[str, Tensor] = {}
    for module in model.modules():
        for name, buffer in module.named_buffers(recurse=False):
            if name.endswith("inv_freq") and not name.endswith("original_inv_freq"):
                known = found.setdefault(name.removesuffix("inv_freq").removesuffix("_"), buffer)
                if known.shape != buffer.shape:
                    raise UnsupportedModel(
                        "several rotary embeddings",
                        f"The model type {model.config.model_type} has rotary embeddings of several sizes for the same "
                        f"layers, which is not supported; {TRY}.",
                    )
    if not found:
        raise UnsupportedModel(
            "rotary embedding of its own",
            f"The model type {model.config.model_type} has no rotary embedding of transformers' common kind to turn "
            f"queries by; {TRY}.",
        )
    return {name: Rotary(buffer.detach().to(torch.float64), interleaved) for name, buffer in found.items()}
