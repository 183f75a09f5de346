"""`python -m toolsets.sandbox.bench`: what a sandboxed call costs on top of its own code, as medians.

In: nothing. Out: a table. Neighbours: `sandbox`. Measured, never asserted: a busy machine must not fail a test.
"""

import importlib.util
import statistics
import time
from collections.abc import Callable, Iterator

from toolsets.sandbox.limits import Limits
from toolsets.sandbox.probe import probe
from toolsets.sandbox.sandbox import Sandbox

_SOURCE = "def identity(x):\n    return x\n"
_NUMPY = "import numpy\n\ndef identity(x):\n    return float(numpy.float64(x))\n"


def bench(calls: int = 50, cold_calls: int = 7) -> dict[str, float]:
    """Milliseconds by name of the measure."""
    return dict(_measures(calls, cold_calls))


def _measures(calls: int, cold_calls: int) -> Iterator[tuple[str, float]]:
    start_s = time.perf_counter()
    isolation = probe()
    yield "probe, once per process", (time.perf_counter() - start_s) * 1000
    with Sandbox(isolation=isolation) as sandbox:
        yield "warm call", _median_ms(lambda: _call(sandbox, _SOURCE), calls)
        scratch = Limits(scratch_mb=1)
        if isolation.mechanisms.scratch:
            yield "warm call with a scratch directory", _median_ms(lambda: _call(sandbox, _SOURCE, scratch), calls)
    if importlib.util.find_spec("numpy") is not None:
        with Sandbox(isolation=isolation, preload=("numpy",)) as sandbox:
            yield "warm call, numpy preloaded", _median_ms(lambda: _call(sandbox, _NUMPY), calls)
    with Sandbox(isolation=isolation, warm=0) as sandbox:
        yield "cold call", _median_ms(lambda: _call(sandbox, _SOURCE), cold_calls)


def _call(sandbox: Sandbox, source: str, limits: Limits | None = None) -> None:
    outcome = sandbox.call_sync(source, "identity", {"x": 1}, limits=limits)
    assert outcome.value == 1, outcome


def _median_ms(call: Callable[[], None], times: int) -> float:
    call()
    durations = []
    for _ in range(times):
        start_s = time.perf_counter()
        call()
        durations.append(time.perf_counter() - start_s)
    return statistics.median(durations) * 1000


if __name__ == "__main__":
    measures = bench()
    print(f"isolation: {probe()}")
    for name, milliseconds in measures.items():
        print(f"{milliseconds:8.1f} ms  {name}")
