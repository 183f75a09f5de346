"""Fixtures of the inference room's tests: tiny saved models, engines loaded from them, fresh oracles beside them.

In: a family's name (see `tiny_models.FAMILIES`). Out: its folder, its engine, a new oracle, or both as a twin. Each
family is saved and loaded once per session. Neighbours: `tiny_models.py`, `oracle.py`, `twin.py` beside the tests.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

# tests/ is no package, so the helpers of this folder are found by path; appended, so that they shadow nothing.
sys.path.append(str(Path(__file__).parent))

import tiny_models
from oracle import Oracle

if TYPE_CHECKING:
    from twin import Twin

    from hogwild import Engine


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny matrices gain nothing from more threads, and one thread makes a run repeat itself bit by bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """folder(family): where the family's tiny model is saved."""
    return cache(lambda family: tiny_models.save(tiny_models.build(family), tmp_path_factory.mktemp(family)))


@pytest.fixture(scope="session")
def engine(folder: Callable[[str], Path]) -> Callable[[str], Engine]:
    """engine(family): one engine per family, shared by all tests, which leave its cache as they found it."""
    from hogwild import Engine  # here, so that this folder's pure tests do not wait for the engine

    return cache(lambda family: Engine.from_pretrained(folder(family), dtype="float32", device="cpu"))


@pytest.fixture(scope="session")
def oracle(folder: Callable[[str], Path]) -> Callable[[str], Oracle]:
    """oracle(family): an oracle with no history, on a model of its own."""
    model = cache(lambda family: tiny_models.load(folder(family)))
    return lambda family: Oracle(model(family))


@pytest.fixture
def twin(engine: Callable[[str], Engine], oracle: Callable[[str], Oracle]) -> Iterator[Callable[[str], Twin]]:
    """twin(family): the family's engine and a new oracle, driven together; at the end the cache is checked."""
    from twin import Twin

    twins: list[Twin] = []

    def new(family: str) -> Twin:
        twins.append(Twin(engine(family), oracle(family)))
        return twins[-1]

    yield new
    for pair in twins:
        pair.close()
