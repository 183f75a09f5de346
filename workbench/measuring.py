"""How fast a model runs on this machine, against what its memory allows: the roofline of a decoding step.

In: an engine. Out: `Point` values for numbers of workers and lengths of shared context, and a plot in text. A decoding
step has to read every weight once and every cached token once, however many workers there are; divided by the
bandwidth of a copy measured in the same run, that is the shortest time it can take. Neighbours: `bench_command` (any
model), `bench_gpu` (a random 8 B model on a CUDA device).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

COPIED_BYTES = {"cpu": 1 << 28, "cuda": 1 << 31}
"""Much more than any cache holds."""
OWN = 16
"""Tokens that each worker has written when a step is timed."""
PAUSE_US = 10.0
"""A device that is idle for longer waits for its host."""
PROFILED = 5
"""Steps that are taken under the profiler."""
IN_A_ROW = {"cpu": 1, "cuda": 16}
"""Steps that are timed together: on a device one begins while the host reads the tokens of the last."""


@dataclass(frozen=True)
class Point:
    """One place on the roofline. step_s: median seconds of a step that gives one token per worker; spread_s: quartiles.
    host_s: of step_s, what the device was not occupied for: it waited for the host (CUDA only). joules_per_token: where
    power is told."""

    workers: int
    context: int
    step_s: float
    spread_s: tuple[float, float]
    weight_bytes: int
    cache_bytes: int
    copy_bytes_per_s: float
    host_s: float | None = None
    joules_per_token: float | None = None

    @property
    def tokens_per_s(self) -> float:
        return self.workers / self.step_s

    @property
    def bytes_per_s(self) -> float:
        return (self.weight_bytes + self.cache_bytes) / self.step_s

    @property
    def of_roof(self) -> float:
        """1 is as fast as the memory."""
        return self.bytes_per_s / self.copy_bytes_per_s

    @property
    def bound(self) -> str:
        """What takes most of the step's time; overhead: arithmetic, or launching it."""
        if self.host_s is not None and self.host_s > self.step_s / 2:
            return "host"
        if self.of_roof < 0.5:
            return "overhead"
        return "weights" if self.weight_bytes >= self.cache_bytes else "cache"

    def as_dict(self) -> dict[str, Any]:
        return {
            "workers": self.workers,
            "context": self.context,
            "step_ms": self.step_s * 1e3,
            "quartiles_ms": [one * 1e3 for one in self.spread_s],
            "tokens_per_s": self.tokens_per_s,
            "gb_per_s": self.bytes_per_s / 1e9,
            "of_roof": self.of_roof,
            "bound": self.bound,
            "host_share": None if self.host_s is None else self.host_s / self.step_s,
            "joules_per_token": self.joules_per_token,
        }


def copy_bandwidth(device: Any) -> float:
    """Bytes per second that a copy reads and writes, the best of ten."""
    import torch

    source = torch.empty(COPIED_BYTES[device.type] // 4, dtype=torch.float32, device=device).fill_(1.0)
    target = torch.empty_like(source)
    took = min(timed(lambda: target.copy_(source), device) for _ in range(10))
    return 2 * source.nbytes / took


def timed(work: Callable[[], object], device: Any) -> float:
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def measure(engine: Any, workers: Sequence[int], contexts: Sequence[int], *, rounds: int = 9) -> Iterator[Point]:
    """A point for every context that the model knows and every number of workers."""
    bandwidth = copy_bandwidth(engine.device)
    seen: set[int] = set()
    weights = 0
    for parameter in engine.model.parameters():
        if parameter.data_ptr() not in seen:  # tied embeddings are read once, as the last layer
            seen.add(parameter.data_ptr())
            weights += parameter.nbytes
    embeddings = engine.model.get_input_embeddings().weight
    if engine.model.get_output_embeddings().weight is not embeddings:
        weights -= embeddings.nbytes  # a step looks up a few of its rows
    for context in contexts:
        if context + (OWN + max(IN_A_ROW.values())) * max(workers) > engine.facts.max_positions:
            continue
        prompt = engine.prefill([(31 * i) % engine.vocab_size for i in range(context)])
        for count in workers:
            yield _point(engine, prompt, count, weights, bandwidth, rounds)
        engine.release(prompt)


def decoding(engine: Any, prompt: Any, workers: int) -> tuple[Callable[[int], None], list[Any]]:
    """Takes so many steps of `workers` over a common prompt, again and again, and the workers' own blocks. As in a run,
    a step begins as soon as it can be foreseen, and is over when its tokens are there."""
    from hogwild import Feed, Sampling
    from hogwild.sampling import Sampler, choose

    own = [engine.open_block() for _ in range(workers)]
    views = [(prompt, *(block for block in own if block is not mine), mine) for mine in own]
    tokens = [(97 * i) % engine.vocab_size for i in range(OWN)]
    engine.step_last([Feed(view, tokens) for view in views])
    samplers = [Sampler(Sampling()) for _ in views]

    def steps(count: int) -> None:
        due = [5] * workers
        for left in reversed(range(count)):
            rows, _ = engine.step_last([Feed(view, (token,)) for view, token in zip(views, due, strict=True)])
            chosen = choose(samplers, rows, [()] * workers)
            if left:
                engine.run_ahead(views, chosen, range(workers))
            due = chosen.ids()
        for block in own:
            block.length -= count

    return steps, own


def _point(engine: Any, prompt: Any, workers: int, weights: int, bandwidth: float, rounds: int) -> Point:
    steps, own = decoding(engine, prompt, workers)
    steps(2)
    at_once = IN_A_ROW[engine.device.type]
    found = sorted(timed(partial(steps, at_once), engine.device) / at_once for _ in range(rounds))
    host = joules = None
    if engine.device.type == "cuda":
        joules = _joules(engine, partial(steps, at_once), workers * at_once)
        events = device_events(engine.device, partial(steps, PROFILED))
        host = waited_s(statistics.median(found), events, PROFILED)
    cached = (prompt.length + sum(block.length for block in own)) * engine.cache.bytes_per_token
    engine.release(*own)
    low, middle, high = statistics.quantiles(found, n=4)
    return Point(workers, prompt.length, middle, (low, high), weights, cached, bandwidth, host, joules)


def occupied_s(events: Sequence[tuple[float, float, str]], steps: int) -> float:
    """Seconds of one of `steps` steps in which the device has something to do, by `device_events`: its kernels, and the
    pauses of at most `PAUSE_US` between them, which are its own (a graph's take a microsecond or two each)."""
    occupied, until = 0.0, float("-inf")
    for start, end, _ in events:
        if start - until > PAUSE_US:
            until = start
        occupied += max(0.0, end - until)
        until = max(until, end)
    return occupied / 1e6 / steps


def waited_s(step_s: float, events: Sequence[tuple[float, float, str]], steps: int) -> float | None:
    """Seconds of a step of `step_s` in which the device waited for its host, None where no profiler told. The step is
    timed without the profiler, which makes the host slow; only what the device did is taken from it."""
    return max(0.0, step_s - occupied_s(events, steps)) if events else None


def device_events(device: Any, work: Callable[[], None]) -> list[tuple[float, float, str]]:
    """Start and end in microseconds, and name, of everything that ran on the device, in order of start; nothing where
    the profiler's library is missing or refuses."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    try:
        with profile(activities=[ProfilerActivity.CUDA]) as seen:
            work()
            torch.cuda.synchronize(device)
    except (RuntimeError, AssertionError):
        return []
    # The host's own calls are in the list too, with the time of the kernels that they started.
    ran = [event for event in seen.events() if event.device_type.name == "CUDA"]
    return sorted((event.time_range.start, event.time_range.end, event.name) for event in ran)


def _joules(engine: Any, work: Callable[[], None], tokens: int, seconds: float = 0.5) -> float | None:
    """Per token, by the device's own power reading over half a second of a work that gives so many, where it has
    one."""
    import torch

    try:
        watts, times, began = [], 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            work()
            times += 1
            watts.append(torch.cuda.power_draw(engine.device) / 1e3)
        return statistics.fmean(watts) * (time.perf_counter() - began) / (times * tokens)
    except Exception:  # no pynvml, a device without a meter, or NVML's own refusal
        return None


def plot(points: Sequence[Point], width: int = 50) -> list[str]:
    """The roofline in text: one bar per point, full where a step is as fast as a copy of what it has to read."""
    lines = ["workers  context  " + "share of the memory's bandwidth".ljust(width) + "  of roof"]
    for point in points:
        filled = min(width, round(point.of_roof * width))
        bar = "█" * filled + "·" * (width - filled)
        lines.append(f"{point.workers:7}  {point.context:7,}  {bar}  {point.of_roof:6.0%}")
    return lines


def one_more(points: Sequence[Point]) -> list[str]:
    """What another worker costs, by the two largest numbers of workers at each context."""
    lines = []
    for context in dict.fromkeys(point.context for point in points):
        here = [point for point in points if point.context == context]
        if len(here) < 2:
            continue
        fewer, more = here[-2:]
        each = (more.step_s - fewer.step_s) / (more.workers - fewer.workers)
        grown = (more.workers + 1) / (more.step_s + each)
        lines.append(
            f"At {context:,} tokens, one worker more than {more.workers} costs about {each * 1e3:+.2f} ms a step: "
            f"{more.tokens_per_s:.1f} tokens/s would become about {grown:.1f}."
        )
    return lines
