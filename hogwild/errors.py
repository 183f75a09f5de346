"""Every error that this room raises on purpose.

HogwildError
├── UnsupportedModel   the model cannot share its cache; `.property` says why
├── ModelNotFound      no such directory or hub id, or it cannot be fetched
├── BrokenModel        the files are there but cannot be read
├── ViewError          blocks or views that do not fit together
├── SamplingError      sampling settings out of range
├── ContextOverflow    more tokens than the model's positions
├── RankLost           a process of a tensor-parallel model has ended, and so have all
└── IntegrityError     the cache contradicts itself (a bug; please report)
"""

from __future__ import annotations


class HogwildError(Exception):
    """An error with one sentence that says what to do."""


class UnsupportedModel(HogwildError):
    """The model cannot be run on a shared cache. `property` names what stands in the way."""

    def __init__(self, property: str, message: str) -> None:
        super().__init__(message)
        self.property = property


class ModelNotFound(HogwildError):
    """There is no such model directory or hub id."""


class BrokenModel(HogwildError):
    """The model's files are incomplete or damaged."""


class ViewError(HogwildError):
    """Blocks or views that do not fit together."""


class PromptingError(HogwildError, ValueError):
    """A prompting with unknown, missing or ill-typed fields."""


class SamplingError(HogwildError):
    """Sampling settings out of range."""


class ContextOverflow(HogwildError):
    """The tokens do not fit into the positions that the model knows."""


class RankLost(HogwildError):
    """A process of a tensor-parallel model has ended or could not begin; the engine cannot be used any more."""


class IntegrityError(HogwildError):
    """The cache contradicts itself."""
