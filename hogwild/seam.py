"""The seam to `transformers`: one registered attention function that hands every layer to whoever runs the forward.

A forward is started with `shared=<something with attend()>`; the models pass keyword arguments through to the
attention function untouched. Above: `runner.py` (live steps) and `replay.py` (whole runs). Below: transformers'
AttentionInterface.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import hogwild.late  # noqa: F401  # isort: skip
from torch import Tensor, nn
from transformers import AttentionInterface

from hogwild.errors import UnsupportedModel
from hogwild.families import ModelFacts

ATTENTION = "hogwild"


@dataclass(frozen=True, slots=True)
class Softmax:
    """How a layer makes weights of its scores: `scaling` and `softcap` of a score, `sinks [heads]` beside the scores;
    see `hogwild_kernels.attend`."""

    scaling: float
    softcap: float | None = None
    sinks: Tensor | None = None


class Shared(Protocol):
    """Computes attention for one layer of a packed forward."""

    facts: ModelFacts

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, how: Softmax) -> Tensor:
        """`query [heads, N, head_dim]`, `key, value [kv_heads, N, head_dim]` of the N packed tokens, rotated to local
        positions; returns `[heads, N, head_dim]`."""
        ...


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    shared: Shared | None = kwargs.get("shared")
    if shared is None:
        raise UnsupportedModel(
            "attention arguments",
            "The model of an engine was called by itself, or does not pass keyword arguments on to its attention: run "
            "it by the engine, or after model.set_attn_implementation('sdpa'), or use a model family from the README's "
            "list.",
        )
    scale = scaling if scaling is not None else float(query.shape[-1]) ** -0.5
    layer = int(module.layer_idx)  # type: ignore[arg-type]
    if "sliding_window" in kwargs:
        _check_window(layer, kwargs["sliding_window"], shared.facts)
    out = shared.attend(layer, query[0], key[0], value[0], Softmax(scale, softcap, s_aux))
    return out.transpose(0, 1)[None].contiguous(), None


def take_over(model: Any) -> None:
    """Let the model attend by this seam again, where a person has it attend otherwise in between."""
    if model.config._attn_implementation != ATTENTION:
        model.set_attn_implementation(ATTENTION)


def _check_window(layer: int, told: int | None, facts: ModelFacts) -> None:
    """The layer and the configuration must say the same: a window of thousands of tokens is not seen by the probe."""
    window = facts.kinds[facts.kind_of(layer)].window
    if (told if told is not None and told < facts.max_positions else None) != window:
        raise UnsupportedModel(
            "sliding window",
            f"Layer {layer} of this model attends through a window of {told or 'all'} tokens, and its configuration "
            f"says {window or 'all'}; put them right in config.json, or use another model.",
        )


AttentionInterface.register(ATTENTION, _attention)
