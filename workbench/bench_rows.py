"""One figure of `make bench`, and how it is measured: both sides in turn in one process, with the spread over rounds.

In: callables that time something. Out: `Row` values. Neighbours: `bench` prints them, `bench_engine`, `bench_plans` and
`bench_sandbox` measure.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One figure. value: the median; low, high: quartiles; bar: what it must reach, with its direction in `holds`."""

    name: str
    value: float
    low: float
    high: float
    bar: str
    holds: bool
    explanation: str


def ratio(
    name: str,
    ours: Callable[[], float],
    theirs: Callable[[], float],
    bar: str,
    explanation: str,
    *,
    rounds: int = 15,
) -> Row:
    """ours / theirs, timed in turn. The callables return seconds (or any figure)."""
    ours(), theirs()
    found = sorted(ours() / theirs() for _ in range(rounds))
    return row(name, found, bar, explanation)


def row(name: str, found: list[float], bar: str, explanation: str) -> Row:
    middle = statistics.median(found)
    low, _, high = statistics.quantiles(found, n=4) if len(found) > 1 else (middle, middle, middle)
    sign, limit = bar.split()
    holds = middle <= float(limit) if sign == "<=" else middle >= float(limit)
    return Row(name, round(middle, 3), round(low, 3), round(high, 3), bar, holds, explanation)


def seconds(work: Callable[[], object], times: int = 1) -> float:
    began = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - began) / times
