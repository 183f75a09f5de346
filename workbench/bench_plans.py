"""The plans' rows of `make bench`: what the executor adds to the calls themselves.

In: nothing; plans are random from a fixed seed, tools sleep or do nothing. Out: `bench_rows.Row` values. Neighbours:
`toolsets.executor` is measured, `toolsets.executor.critical_path` says how fast a plan could be at best.
"""

from __future__ import annotations

import asyncio
import random
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import anyio

from toolsets.executor import Executor, critical_path
from toolsets.fronts import FRONTS, parser, render
from toolsets.plan import Plan, PlannedCall, Ref
from toolsets.policy import CallPolicy
from toolsets.results import ResultStore
from toolsets.tool import Tool
from workbench.bench_rows import Row, row

CALLS: Final = 1_000
WIDTH: Final = 50
MANY: Final = 10_000
STORE_BYTES: Final = 16 << 20
RESULT_CHARS: Final = 20_000


def rows(quick: bool) -> Iterator[Row]:
    yield from makespan(3 if quick else 7)
    yield from overhead(5 if quick else 15)
    yield from many()
    yield from dispatch(1 if quick else 3)


def makespan(rounds: int) -> Iterator[Row]:
    """Random DAGs of 1,000 calls."""
    yield row(
        "makespan / critical path, 1,000 bare tasks",
        [_bare(random_plan(random.Random(seed))) for seed in range(rounds)],
        "<= 1.05",
        "the same graphs without any executor, each call an asyncio task that waits for those before it: what this "
        "machine allows just now; where this is missed, the machine is too busy to judge the next two",
    )
    for kind, tools in (("async", _SLEEPING), ("plain", _BLOCKING)):
        found = [_makespan(random_plan(random.Random(seed)), tools) for seed in range(rounds)]
        yield row(
            f"makespan / critical path, {CALLS:,} {kind} tools",
            found,
            "<= 1.05",
            f"a random DAG for each round: layers of 1 to {WIDTH} calls that sleep 20 to 200 ms, each with 1 to 3 "
            "references into the layer before; against the longest chain of sleeps as they were asked for",
        )


def random_plan(choice: random.Random) -> Plan:
    """Layers of 1 to WIDTH calls of `nap`, each of which refers to some of the layer before."""
    calls: list[PlannedCall] = []
    before: list[str] = []
    while len(calls) < CALLS:
        layer = []
        for _ in range(min(choice.randint(1, WIDTH), CALLS - len(calls))):
            needs = choice.sample(before, min(len(before), choice.randint(1, 3)))
            id = str(len(calls) + 1)
            arguments = {"ms": choice.uniform(20, 200), "after": [Ref(one) for one in needs]}
            calls.append(PlannedCall(id, "nap", arguments))
            layer.append(id)
        before = layer
    return Plan(tuple(calls))


def _bare(plan: Plan) -> float:
    async def main() -> float:
        ended = {call.id: asyncio.Event() for call in plan}

        async def nap(call: PlannedCall) -> None:
            for needed in call.needs():
                await ended[needed].wait()
            await asyncio.sleep(call.arguments["ms"] / 1000)
            ended[call.id].set()

        began_s = time.perf_counter()
        await asyncio.gather(*map(nap, plan))
        return time.perf_counter() - began_s

    return asyncio.run(main()) / _best_s(plan)


def _best_s(plan: Plan) -> float:
    return critical_path(plan, {call.id: call.arguments["ms"] / 1000 for call in plan}).duration_s


def _makespan(plan: Plan, tools: Mapping[str, Tool]) -> float:

    async def main() -> float:
        async with Executor(tools) as executor:
            began_s = time.perf_counter()
            outcomes = await executor.run(plan)
            took_s = time.perf_counter() - began_s
        assert all(one.succeeded for one in outcomes)
        return took_s

    return anyio.run(main) / _best_s(plan)


def overhead(rounds: int) -> Iterator[Row]:
    """What a call costs whose tool does nothing, with all that belongs to it: checks, events, its result."""
    for kind, tools in (("an async", _NOTHING_ASYNC), ("a plain", _NOTHING)):
        for shape, plan in (("independent", _independent(CALLS)), ("in a chain", _chain(CALLS))):
            yield row(
                f"ms per call of {kind} tool, {CALLS:,} {shape}",
                [_seconds(tools, plan) * 1000 / CALLS for _ in range(rounds)],
                "<= 1",
                "wall time of the whole plan, the tool does nothing, somebody listens to the events",
            )


def _seconds(tools: Mapping[str, Tool], plan: Plan) -> float:
    async def main() -> float:
        heard: list[object] = []
        async with Executor(tools, on_event=heard.append) as executor:
            began_s = time.perf_counter()
            outcomes = await executor.run(plan)
            took_s = time.perf_counter() - began_s
        assert all(one.succeeded for one in outcomes)
        assert len(heard) >= 2 * len(plan)
        return took_s

    return anyio.run(main)


def many() -> Iterator[Row]:
    """Memory of a plan of 10,000 calls, as Python counts it."""
    small = _peak_bytes(_NOTHING_ASYNC, _independent(MANY), ResultStore())
    yield row(
        f"KiB per call, a plan of {MANY:,} small results",
        [small / 1024 / MANY],
        "<= 8",
        "peak of what Python allocates while the plan runs, outcomes and results included",
    )
    large = _peak_bytes(_LONG, _independent(MANY), ResultStore(max_memory_bytes=STORE_BYTES))
    yield row(
        f"peak memory / bytes returned, {MANY:,} results of {RESULT_CHARS:,} characters",
        [large / (RESULT_CHARS * MANY)],
        "<= 0.35",
        f"a store with room for {STORE_BYTES >> 20} MiB, and {CallPolicy().max_result_chars or 1_000:,} characters of "
        "each result for the model; every result stays readable in full",
    )


def _peak_bytes(tools: Mapping[str, Tool], plan: Plan, store: ResultStore) -> int:
    async def main() -> int:
        defaults = CallPolicy(max_result_chars=1_000)
        async with Executor(tools, store=store, defaults=defaults) as executor:
            tracemalloc.start()
            outcomes = await executor.run(plan)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert all(one.succeeded for one in outcomes)
        assert len(store) == len(plan)
        return peak

    return anyio.run(main)


def dispatch(rounds: int) -> Iterator[Row]:
    """Calls begin while their text is written."""
    for front in FRONTS:
        yield row(
            f"end of the plan after the end of its text, in calls, {front}",
            [_after_text(front) for _ in range(rounds)],
            "<= 1.05",
            "40 independent calls of 250 ms, whose text comes in pieces of 4 characters within 2 s; 1 is the call that "
            "was written last",
        )


def _after_text(front: str) -> float:
    call_s, text_s = 0.25, 2.0
    calls = [PlannedCall(str(n), "nap", {"ms": call_s * 1000, "after": [n]}) for n in range(1, 41)]
    text = render(Plan(tuple(calls)), front)
    pieces = [text[at : at + 4] for at in range(0, len(text), 4)]

    async def main() -> float:
        reader = parser(front)
        async with Executor(_SLEEPING) as executor:
            began_s = time.perf_counter()
            async with executor.plan() as running:
                for number, piece in enumerate(pieces, 1):
                    await anyio.sleep(max(0.0, began_s + text_s * number / len(pieces) - time.perf_counter()))
                    for found in reader.feed(piece):
                        assert isinstance(found, PlannedCall)
                        running.add(found)
                for found in reader.finish():
                    assert isinstance(found, PlannedCall)
                    running.add(found)
                text_ended_s = time.perf_counter()
            took_s = time.perf_counter() - text_ended_s
        assert [one.state for one in running.outcomes] == ["succeeded"] * len(calls)
        return took_s / call_s

    return anyio.run(main)


def _independent(number: int) -> Plan:
    return Plan(tuple(PlannedCall(str(n), "nothing", {"x": n}) for n in range(1, number + 1)))


def _chain(number: int) -> Plan:
    calls = [PlannedCall("1", "nothing", {"x": 1})]
    calls += [PlannedCall(str(n), "nothing", {"x": Ref(str(n - 1))}) for n in range(2, number + 1)]
    return Plan(tuple(calls))


async def _nap(ms: float, after: list[Any]) -> int:
    """Sleep in the event loop."""
    await anyio.sleep(ms / 1000)
    return 1


def _block(ms: float, after: list[Any]) -> int:
    """Sleep in a thread."""
    time.sleep(ms / 1000)
    return 1


async def _nothing_async(x: int) -> int:
    """Nothing."""
    return x


def _nothing(x: int) -> int:
    """Nothing."""
    return x


async def _long(x: int) -> str:
    """A long text that no other call returns."""
    return f"{x:>{RESULT_CHARS}}"


def _tool(function: Callable[..., Any], name: str) -> dict[str, Tool]:
    # Not idempotent, or identical calls would run once.
    return {name: replace(Tool.from_function(function), name=name)}


_SLEEPING = _tool(_nap, "nap")
_BLOCKING = _tool(_block, "nap")
_NOTHING_ASYNC = _tool(_nothing_async, "nothing")
_NOTHING = _tool(_nothing, "nothing")
_LONG = _tool(_long, "nothing")
