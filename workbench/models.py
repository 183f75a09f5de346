"""Which models there are: the embedded one by its short name, any directory, any hub id.

In: what a person typed. Out: a path or id for `hogwild.Engine`, and the engine, with this room's errors. Neighbours:
`session`, `cli`, `evaluate`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from workbench.errors import ModelError, UsageError

if TYPE_CHECKING:
    from hogwild import Engine

EMBEDDED = "embedded"


def embedded_directory() -> Path:
    """Where the embedded model lies; found without importing torch."""
    import hogwild

    return Path(hogwild.__file__).parent / "embedded" / "model"


def model_place(model: str) -> str:
    """The directory or hub id behind a name."""
    return str(embedded_directory()) if model == EMBEDDED else model


def load_engine(model: str, device: str = "cpu", dtype: str = "auto") -> Engine:
    """An engine, or ModelError (UsageError where there is no such model) with one sentence."""
    from hogwild.engine import Engine
    from hogwild.errors import HogwildError, ModelNotFound

    try:
        return Engine.from_pretrained(model_place(model), dtype=dtype, device=device)
    except ModelNotFound as error:
        raise UsageError(str(error)) from error
    except HogwildError as error:
        raise ModelError(str(error)) from error
