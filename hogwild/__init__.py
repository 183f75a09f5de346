"""Shared, RoPE-aware KV cache inference for several workers at once (Hogwild! Inference, arXiv 2504.06261).

`Engine` loads a model and steps it over blocks and views; everything else is values. Names are imported when they are
first used, because torch and transformers take seconds to load.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hogwild.waiting import wait_briefly

if TYPE_CHECKING:
    from hogwild.collaboration import Collaboration
    from hogwild.engine import Engine
    from hogwild.layouts import LAYOUTS, Arrangement, Layout
    from hogwild.prompting import Prompting
    from hogwild.sampling import Sampling
    from hogwild.tape import Tape
    from hogwild.views import Block, Feed, View
    from hogwild.workspace import State, Workspace

wait_briefly()

_HOME = {
    "Arrangement": "layouts",
    "Block": "views",
    "Collaboration": "collaboration",
    "Engine": "engine",
    "Feed": "views",
    "LAYOUTS": "layouts",
    "Layout": "layouts",
    "Prompting": "prompting",
    "Sampling": "sampling",
    "State": "workspace",
    "Tape": "tape",
    "View": "views",
    "Workspace": "workspace",
}

__all__ = [
    "LAYOUTS",
    "Arrangement",
    "Block",
    "Collaboration",
    "Engine",
    "Feed",
    "Layout",
    "Prompting",
    "Sampling",
    "State",
    "Tape",
    "View",
    "Workspace",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"hogwild.{_HOME[name]}"), name)
    raise AttributeError(f"module 'hogwild' has no attribute '{name}'")
