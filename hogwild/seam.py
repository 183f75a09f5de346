"""The seam to `transformers`: one registered attention function that hands every layer to whoever runs the forward.

A forward is started with `shared=<something with attend()>`; the models pass keyword arguments through to the
attention function untouched. Above: `runner.py` (live steps) and `replay.py` (whole runs). Below: transformers'
AttentionInterface.
"""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor, nn
from transformers import AttentionInterface

from hogwild.errors import UnsupportedModel

ATTENTION = "hogwild"


class Shared(Protocol):
    """Computes attention for one layer of a packed forward."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
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
    **kwargs: Any,
) -> tuple[Tensor, None]:
    shared: Shared | None = kwargs.get("shared")
    if shared is None:
        raise UnsupportedModel(
            "attention arguments",
            "This model does not pass keyword arguments on to its attention function, so it cannot be run on a shared "
            "cache; use a model family from the README's list.",
        )
    scale = scaling if scaling is not None else float(query.shape[-1]) ** -0.5
    layer = int(module.layer_idx)  # type: ignore[arg-type]
    out = shared.attend(layer, query[0], key[0], value[0], scale)
    return out.transpose(0, 1)[None].contiguous(), None


AttentionInterface.register(ATTENTION, _attention)
