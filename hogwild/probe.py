"""The numeric probe at load: does the model, on a view of two blocks, equal its own plain dense forward?

In: an engine that has just been built. Out: nothing, or `UnsupportedModel`. A model that scales or biases by absolute
position passes every look at its configuration and still fails here. Above: `engine.py`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from hogwild.errors import BrokenModel, UnsupportedModel
from hogwild.families import TRY, ModelFacts
from hogwild.runner import Runner
from hogwild.seam import ATTENTION
from hogwild.views import Feed

FIRST, SECOND = 13, 7
"""Tokens in the two blocks."""
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 1e-1, torch.float16: 3e-2}
"""Largest allowed difference, relative to the largest logit."""
QUANTISED = 1e-1
"""The same for models whose activations may be rounded, too, to a few bits."""
FARTHEST = 1 << 17
"""So many positions at most are taken into account; the last is compared with the first."""
SCALED = 2e-2
"""How much the length of a query may change from position to position, relative to it: by rounding, no more."""

UNFIT = (RuntimeError, IndexError, TypeError, AttributeError, ValueError, KeyError)
"""What a model raises whose attention is not as we know it."""


class Arrival:
    """What reaches the attention of a model that transformers has put where it is: stands in for it, once.

    devices: of every layer. dtype: of keys. facts: with the heads that arrive here, which the cache has to hold; some
    plans for several ranks give every rank all of them (those with a norm over all heads, or one fused projection).
    """

    @torch.inference_mode()
    def __init__(self, model: Any, facts: ModelFacts) -> None:
        self.facts, self.dtype = facts, torch.float32
        self._devices: dict[int, torch.device] = {}
        place = model.get_input_embeddings().weight.device
        token = torch.zeros(1, 1, dtype=torch.long, device="cpu" if place.type == "meta" else place)
        try:
            model(input_ids=token, position_ids=token, use_cache=False, shared=self)
        except UNFIT as error:
            raise _unfit(model, error) from error
        self.devices = tuple(self._devices[layer] for layer in range(facts.num_layers))

    def attend(self, layer: int, query: torch.Tensor, key: torch.Tensor, *rest: Any) -> torch.Tensor:
        self._devices[layer], self.dtype = key.device, key.dtype
        self.facts = replace(self.facts, num_heads=query.shape[0], num_kv_heads=key.shape[0])
        return query


class _Lengths:
    """Stands in for the attention of every layer, and compares queries and keys of one token at two positions: however
    far a vector is turned, it stays as long as it was. worst: the largest difference, relative to the length."""

    def __init__(self, facts: ModelFacts) -> None:
        self.facts, self.worst = facts, 0.0

    def attend(self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *_: Any) -> torch.Tensor:
        for one in (query, key):
            near, far = one.double().norm(dim=-1).unbind(1)
            self.worst = max(self.worst, float(((near - far).abs() / near.clamp_min(1e-6)).max()))
        return query.new_zeros((*query.shape[:2], value.shape[-1]))


def _check_lengths(model: Any, facts: ModelFacts, device: torch.device) -> None:
    """Raise UnsupportedModel where a layer scales by the position, which a few tokens are too short to show."""
    lengths = _Lengths(facts)
    ids = torch.ones(1, 2, dtype=torch.long, device=device)
    positions = torch.tensor([[0, min(facts.max_positions, FARTHEST) - 1]], device=device)
    try:
        with torch.autocast(device.type, enabled=False):
            model(input_ids=ids, position_ids=positions, use_cache=False, shared=lengths)
    except UNFIT as error:
        raise _unfit(model, error) from error
    if not lengths.worst <= SCALED:
        raise UnsupportedModel(
            "attention temperature",
            f"The model type {model.config.model_type} cannot share its cache: its queries or keys are scaled by their "
            f"absolute position; {TRY}.",
        )


@torch.inference_mode()
def probe(runner: Runner) -> None:
    """Raise UnsupportedModel unless a split view gives the logits of the unsplit text; BrokenModel if it has none."""
    model, cache = runner.model, runner.cache
    # Spread over the vocabulary and the same every time; no sampling, so that loading stays reproducible.
    tokens = [(7919 * (i + 1)) % cache.facts.vocab_size for i in range(FIRST + SECOND)]
    dense = _dense(model, torch.tensor([tokens], device=cache.device))
    if not dense.isfinite().all():
        narrow = cache.dtype == torch.float16
        raise BrokenModel(
            "The model's logits are infinite or no numbers at all: its weights are damaged"
            + (", or too large for float16; load it as float32, or" if narrow else ";")
            + " fetch it again."
        )
    first, second = cache.open_block(), cache.open_block()
    try:
        runner.step([Feed((first,), tokens[:FIRST])], last_only=True)
        logits, _ = runner.step([Feed((first, second), tokens[FIRST:])], last_only=False)
    except UNFIT as error:
        raise _unfit(model, error) from error
    finally:
        cache.release([first, second])
    difference = float((logits[0] - dense[FIRST:]).abs().max() / dense.abs().max().clamp_min(1e-6))
    allowed = QUANTISED if getattr(model, "hf_quantizer", None) else TOLERANCE.get(cache.dtype, 1e-1)
    if not difference <= allowed:
        raise UnsupportedModel(
            "numeric probe",
            f"The model type {model.config.model_type} gives other logits on a split view than on the whole text "
            f"(relative difference {difference:.1g}), so something in it depends on absolute positions; {TRY}.",
        )
    _check_lengths(model, cache.facts, cache.device)


def _unfit(model: Any, error: Exception) -> UnsupportedModel:
    said = (str(error).splitlines() or [""])[0][:120]
    return UnsupportedModel(
        "numeric probe",
        f"The attention of the model type {model.config.model_type} does not fit a shared cache "
        f"({type(error).__name__}: {said}); {TRY}.",
    )


def _dense(model: Any, tokens: torch.Tensor) -> torch.Tensor:
    """Logits `[tokens, vocab]` of the model by itself, with the plain attention of transformers."""
    model.set_attn_implementation("eager")
    try:
        with torch.autocast(tokens.device.type, enabled=False):
            return model(input_ids=tokens, use_cache=False).logits[0].float()  # type: ignore[no-any-return]
    finally:
        model.set_attn_implementation(ATTENTION)
