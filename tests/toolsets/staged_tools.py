"""Small tools for the tests of the executor, an executor that cannot hang a test, and tools that a test lets go on."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio

from toolsets.executor import Executor
from toolsets.plan import PlannedCall
from toolsets.policy import CallPolicy
from toolsets.results import CallOutcome
from toolsets.tool import Tool

BOUND_S = 20


def made(function: Callable[..., Any], **declared: Any) -> Tool:
    function.__doc__ = function.__doc__ or "Whatever."
    return Tool.from_function(function, **declared)


def call(
    id: str, tool: str, after: tuple[str, ...] = (), policy: CallPolicy | None = None, **arguments: Any
) -> PlannedCall:
    return PlannedCall(id, tool, arguments, after=after, policy=policy)


@asynccontextmanager
async def executing(*tools: Tool, **options: Any) -> AsyncIterator[Executor]:
    with anyio.fail_after(BOUND_S):
        async with Executor({tool.name: tool for tool in tools}, **options) as executor:
            yield executor


def states(outcomes: tuple[CallOutcome, ...]) -> dict[str, str]:
    return {one.call: one.state for one in outcomes}


async def double(n: int) -> int:
    return 2 * n


def half(n: int) -> int:
    if n % 2:
        raise ValueError(f"{n} has no half.")
    return n // 2


DOUBLE, HALF = made(double), made(half)


class Stage:
    """Tools that stop where a test wants them: `wait(name)` returns once the test has let that name go on."""

    def __init__(self) -> None:
        self.begun: dict[str, anyio.Event] = {}
        self.free: dict[str, anyio.Event] = {}
        self.order: list[str] = []

    def tool(self, **declared: Any) -> Tool:
        async def wait(name: str) -> str:
            self.order.append(name)
            self.begun.setdefault(name, anyio.Event()).set()
            await self.free.setdefault(name, anyio.Event()).wait()
            return name

        return made(wait, **declared)

    async def reached(self, name: str) -> None:
        await self.begun.setdefault(name, anyio.Event()).wait()

    def release(self, *names: str) -> None:
        for name in names:
            self.free.setdefault(name, anyio.Event()).set()
