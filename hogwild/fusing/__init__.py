"""Fewer kernels in a decoder layer, where that changes nothing.

In: a loaded model. Out: the same model, whose layers do the same by fewer and larger operations: query, key and value
as one product, gate and up as another, a norm, a gate and a rotation as one kernel each, and a norm together with the
sum before it. A step of an 8 B model on a CUDA device is some 1,500 kernels as PyTorch writes them and some 400 by this
(`make bench-gpu`; kernels/LOG.md). Every replacement is compared once, on random input where the model lies, with what
the model does itself, and left out where the two differ by more than rounding, where somebody else has changed the
module, or where it cannot run. Weights stay the model's own Parameters; training and gradients use what the model does
itself. Above: `loading.py` (CUDA devices), `embedded/training.py` (norms). Below: `hogwild_kernels.between`.
"""

from __future__ import annotations

import logging
from collections import Counter
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from hogwild.fusing import gates, layers, norms, products, rotations
from hogwild.fusing.norms import fuse_norms
from hogwild.fusing.proof import switched_off
from hogwild.fusing.rotations import Waiting, rotations_left_to
from hogwild_kernels import between

__all__ = ["Waiting", "fuse", "fuse_norms", "rotations_left_to", "switched_off"]


@torch.no_grad()
def fuse(model: nn.Module, by: Any = None) -> Counter[str]:
    """Replace what can be replaced, and say what and how often. by: `hogwild_kernels.between`, or the same by kernels;
    by default what suits the model's device."""
    if by is None:
        by = _kernels(next(model.parameters()).device)
    done = Counter[str]()
    for part in (norms, products, gates, rotations, layers):
        try:
            part.fuse_all(model, by, done)
        except Exception as error:  # a kernel that a new device or library refuses must not keep a model from running
            told = (str(error).splitlines() or [""])[0][:200]
            logging.getLogger(__name__).warning(
                "A part of the model runs as it is written, by more kernels (%s): %s: %s",
                part.__name__.rpartition(".")[2],
                type(error).__name__,
                told,
            )
    if next(model.parameters()).device.type == "cuda":
        torch.cuda.empty_cache()  # the weights as they were before they were put side by side
    return done


def _kernels(device: torch.device) -> Any:
    if device.type == "cuda" and find_spec("triton") is not None:
        from hogwild_kernels import between_gpu

        return between_gpu
    return between
