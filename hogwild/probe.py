"""The numeric probe at load: does the model, on a view of two blocks, equal its own plain dense forward?

In: an engine that has just been built. Out: nothing, or `UnsupportedModel`. A model that scales or biases by absolute
position passes every look at its configuration and still fails here. Above: `engine.py`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from hogwild.errors import UnsupportedModel
from hogwild.families import TRY, ModelFacts
from hogwild.runner import Runner
from hogwild.seam import ATTENTION
from hogwild.views import Feed

FIRST, SECOND = 13, 7
"""Tokens in the two blocks."""
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 1e-1, torch.float16: 3e-2}
"""Largest allowed difference, relative to the largest logit."""


class _Arrival:
    """Notes what reaches the attention; stands in for it."""

    heads = kv_heads = 0

    def __init__(self, facts: ModelFacts) -> None:
        self.facts = facts

    def attend(self, layer: int, query: torch.Tensor, key: torch.Tensor, *rest: Any) -> torch.Tensor:
        self.heads, self.kv_heads = query.shape[0], key.shape[0]
        return query


@torch.inference_mode()
def local(model: Any, facts: ModelFacts) -> ModelFacts:
    """The facts of one rank's part of a model: the heads that arrive at its attention, which its cache has to hold.

    Some plans of transformers give every rank all heads (those with a norm over all of them, or one fused projection).
    """
    here = _Arrival(facts)
    token = torch.zeros(1, 1, dtype=torch.long, device=next(model.parameters()).device)
    model(input_ids=token, position_ids=token, use_cache=False, shared=here)
    return replace(facts, num_heads=here.heads, num_kv_heads=here.kv_heads)


@torch.inference_mode()
def probe(runner: Runner) -> None:
    """Raise UnsupportedModel unless a split view gives the logits of the unsplit text."""
    model, cache = runner.model, runner.cache
    # Spread over the vocabulary and the same every time; no sampling, so that loading stays reproducible.
    tokens = [(7919 * (i + 1)) % cache.facts.vocab_size for i in range(FIRST + SECOND)]
    dense = _dense(model, torch.tensor([tokens], device=cache.device))
    first, second = cache.open_block(), cache.open_block()
    try:
        runner.step([Feed((first,), tokens[:FIRST])], last_only=True)
        logits, _ = runner.step([Feed((first, second), tokens[FIRST:])], last_only=False)
    except (RuntimeError, IndexError, TypeError, AttributeError, ValueError, KeyError) as error:
        raise UnsupportedModel(
            "numeric probe",
            f"The attention of the model type {model.config.model_type} does not fit a shared cache "
            f"({type(error).__name__}: {str(error).splitlines()[0][:120]}); {TRY}.",
        ) from error
    finally:
        cache.release([first, second])
    difference = float((logits[0] - dense[FIRST:]).abs().max() / dense.abs().max().clamp_min(1e-6))
    if not difference <= TOLERANCE.get(cache.dtype, 1e-1):
        raise UnsupportedModel(
            "numeric probe",
            f"The model type {model.config.model_type} gives other logits on a split view than on the whole text "
            f"(relative difference {difference:.1g}), so something in it depends on absolute positions; {TRY}.",
        )


def _dense(model: Any, tokens: torch.Tensor) -> torch.Tensor:
    """Logits `[tokens, vocab]` of the model by itself, with the plain attention of transformers."""
    model.set_attn_implementation("eager")
    try:
        return model(input_ids=tokens, use_cache=False).logits[0].float()  # type: ignore[no-any-return]
    finally:
        model.set_attn_implementation(ATTENTION)
