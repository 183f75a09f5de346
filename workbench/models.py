"""Which models there are: the embedded one by its short name, any directory, any hub id.

In: what a person typed. Out: a path or id for `hogwild.Engine`, and the engine, with this room's errors. Neighbours:
`session`, `cli`, `evaluate`.
"""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.errors import ModelError, UsageError

if TYPE_CHECKING:
    from hogwild import Engine

EMBEDDED = "embedded"
REFUSAL = "cannot answer"
"""What the embedded model answers where no tool and no concept helps."""
ONE_THREAD_BELOW = 20_000_000
"""Parameters. A smaller model gains nothing from several threads, and beside other busy processes its many short
parallel regions wait for each other: the sample worksheet took 33 s with two threads and 5 s with one."""


def embedded_directory() -> Path:
    """Where the embedded model lies; found without importing torch."""
    import hogwild

    return Path(hogwild.__file__).parent / "embedded" / "model"


def model_place(model: str) -> str:
    """The directory or hub id behind a name."""
    return str(embedded_directory()) if model == EMBEDDED else model


def is_embedded(model: str) -> bool:
    """Whether a name means the embedded model."""
    return model == EMBEDDED or Path(model).resolve() == embedded_directory()


def follows() -> bool:
    """Whether torchrun has started this process to do what its rank 0 does; loading the model is then all its work."""
    return "TORCHELASTIC_RUN_ID" in os.environ and os.environ.get("RANK", "0") != "0"


def load_engine(model: str, device: str = "cpu", dtype: str = "auto", tensor_parallel: int = 1) -> Engine:
    """An engine, or ModelError (UsageError where there is no such model) with one sentence."""
    with loading():
        from hogwild.engine import Engine
        from hogwild.errors import BrokenModel, HogwildError, UnsupportedModel

    if device == "cpu" and is_embedded(model):
        _one_thread()  # before the engine is tried out: on a busy machine that alone takes a second with two
    try:
        with loading():
            engine = Engine.from_pretrained(
                model_place(model), dtype=dtype, device=device, tensor_parallel=tensor_parallel
            )
    except (BrokenModel, UnsupportedModel) as error:
        raise ModelError(str(error)) from error
    except HogwildError as error:  # no such model, device or dtype
        raise UsageError(str(error)) from error
    if engine.device.type == "cpu" and engine.model.num_parameters() < ONE_THREAD_BELOW:
        _one_thread()
    return engine


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


_LOADING = threading.RLock()
keeps_all = False
"""Whether what is there after loading is never looked through for garbage: only where nothing else lives in the process
(`entry`), because garbage that is among it stays, too."""


@contextmanager
def loading() -> Iterator[None]:
    """To import torch, transformers or what needs them, and to load a model: one thread at a time.

    Two threads that import parts of transformers, whose modules need each other in circles, see half-made modules.
    Importing also makes millions of objects, none of them garbage: looking for some is a fifth of the time it takes.
    """
    with _LOADING:
        was_on = gc.isenabled()
        gc.disable()
        try:
            yield
        finally:
            if keeps_all:
                gc.freeze()
            if was_on:
                gc.enable()
