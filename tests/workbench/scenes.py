"""A driver on a scripted model, stepped by the test, and everything that it has told.

In: an engine (see `tests/hogwild/scripted_model.py`), workers, tools, fields of a `Spec`. Out: events. Neighbours: the
tests of the driver and of the calls of a run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import torch

from hogwild import Engine
from hogwild.stepping import advance
from toolsets.builtin import BUILTINS
from toolsets.tool import Tool
from workbench import events as ev
from workbench.driver import Driver, Spec

Kind = TypeVar("Kind")

FEW = {name: BUILTINS[name] for name in ("add", "gcd")}
"""A scripted model reads its prompt byte by byte, so what is not called is not offered."""


torch.set_num_threads(1)  # tiny matrices gain nothing from more threads, and wait for each other on a busy machine


class Scene:
    """A driver and what it has told."""

    def __init__(self, engine: Engine, *workers: str, tools: Any = FEW, **spec: Any) -> None:
        self.told: list[ev.Payload] = []
        self.on_event: Callable[[ev.Payload], None] = lambda _: None
        self.engine = engine
        self.driver = Driver(engine, Spec(spec.pop("task", "What?"), workers, **spec), tools, self.hear)

    def hear(self, payload: ev.Payload) -> None:
        self.told.append(payload)
        self.on_event(payload)

    def __enter__(self) -> Scene:
        self.driver.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.driver.close()

    def step(self) -> list[Any]:
        """One step; its feeds."""
        stepped = advance(self.engine, [self.driver.run], mass=self.driver.spec.attention)
        for _, happenings, step, feeds in stepped:
            self.driver.stepped(happenings, step, feeds)
            return feeds
        self.driver.settle()
        time.sleep(0.001)  # a call whose word has just come runs in another thread
        return []

    def to_the_end(self, limit: int = 2000) -> Scene:
        for _ in range(limit):
            if self.driver.ended:
                return self
            self.step()
        raise AssertionError("the run does not end")

    def of(self, kind: type[Kind]) -> list[Kind]:
        return [one for one in self.told if isinstance(one, kind)]

    def kinds(self, *wanted: type) -> list[str]:
        return [one.kind for one in self.told if isinstance(one, wanted)]

    def injected(self, source: str) -> list[ev.TextInjected]:
        return [one for one in self.of(ev.TextInjected) if one.source == source]


def tools_with(*functions: Callable[..., Any]) -> dict[str, Tool]:
    return {**FEW, **{function.__name__: Tool.from_function(function) for function in functions}}
