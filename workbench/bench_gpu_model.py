"""The group `model` of `make bench-gpu`: decoding steps of a random 8 B model against the roofline, and their parts.

In: nothing; weights are random. Out: steps for several workers and contexts, the kernels that a step is made of, and
the same steps in other ways, in turn. Above: `bench_gpu.py`. Beside: `measuring`.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.measuring import decoding, device_events, measure, occupied_s, one_more, timed

if TYPE_CHECKING:
    from workbench.bench_gpu import Report

CONTEXTS = (8192, 32768, 1024)
WORKERS = (1, 2, 4, 8)
STEPS = 8
"""Steps in a row, as in a run, where two ways are timed in turn."""
SCALING_BAR = {2: 1.95, 4: 3.8, 8: 7.2}


def steps(report: Report, layers: int, *, plain: bool) -> None:
    """Decoding steps of a random model in Llama 3's 8 B shape against the roofline, and how workers scale."""
    from hogwild.fusing import switched_off

    with switched_off() if plain else nullcontext():
        _steps(report, layers)


def _steps(report: Report, layers: int) -> None:
    from hogwild.errors import HogwildError

    began = time.perf_counter()
    try:
        engine = random_engine(layers)
    except HogwildError as error:  # its speed is worth knowing all the same
        report.fault("The probe of the random model failed", error)
        engine = random_engine(layers, check=False)
    print(f"[built in {time.perf_counter() - began:.1f} s]", flush=True)
    parameters = sum(one.numel() for one in engine.model.parameters()) / 1e9
    report.say(f"\nDecoding steps, {parameters:.1f} B random parameters, bf16 (bars: 70 % of the roof, host 5 %):\n")
    report.head(
        "workers", "context", "step, ms", "quartiles", "tokens/s", "of roof", "host", "J/token", "times one worker"
    )
    points = []
    for point in measure(engine, WORKERS, CONTEXTS):
        points.append(point)
        alone = next(one for one in points if one.context == point.context)
        times = point.tokens_per_s / alone.tokens_per_s
        bar = SCALING_BAR.get(point.workers) if point.context == 8192 else None
        low, high = point.spread_s
        waits = None if point.host_s is None else point.host_s / point.step_s
        report.row(
            f"{point.workers}",
            f"{point.context:,}",
            f"{point.step_s * 1e3:.2f}",
            f"{low * 1e3:.2f} to {high * 1e3:.2f}",
            f"{point.tokens_per_s:.1f}",
            f"{point.of_roof:.0%}" + ("" if point.of_roof >= 0.7 else " missed"),
            "" if waits is None else f"{waits:.1%}" + ("" if waits <= 0.05 else " missed"),
            "" if point.joules_per_token is None else f"{point.joules_per_token:.2f}",
            f"{times:.2f}" + ("" if bar is None else f" (bar {bar}{'' if times >= bar else ', missed'})"),
        )
    report.say("")
    for line in one_more(points):
        report.say(line)
    kept = engine._runner._kernels
    held = sum(recorded is not None for _, recorded, _ in kept.graphs.values()) if kept else 0
    report.say(f"CUDA graphs held: {held}.")
    prompt = engine.prefill([(31 * i) % engine.vocab_size for i in range(8192)])
    anatomy(report, engine, prompt)
    ways(report, engine, prompt)
    engine.release(prompt)


def anatomy(report: Report, engine: Any, prompt: Any, counts: Sequence[int] = (1, 2, 4), steps: int = 4) -> None:
    """What steps of several numbers of workers are made of, kernel by kernel, side by side."""
    took: dict[str, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    times: dict[str, Counter[int]] = defaultdict(Counter)
    report.say("")
    for workers in counts:
        take, own = decoding(engine, prompt, workers)
        take(2)
        events = device_events(engine.device, partial(take, steps))
        engine.release(*own)
        for start, end, name in events:
            took[name][workers] += end - start
            times[name][workers] += 1
        busy = sum(end - start for start, end, _ in events) / steps / 1e3
        report.say(
            f"A step of {workers} at {prompt.length:,}: {len(events) / steps:.0f} kernels and copies, {busy:.2f} ms of "
            f"them, {occupied_s(events, steps) * 1e3:.2f} ms with the pauses between them."
        )
    report.say("")
    report.head("kernel", *(f"{workers} workers, ms (times)" for workers in counts))
    for name in sorted(took, key=lambda one: -max(took[one].values()))[:20]:
        cells = (f"{took[name][n] / steps / 1e3:.3f} ({times[name][n] / steps:.0f})" for n in counts)
        report.row(f"`{name[:80]}`", *cells)


def ways(report: Report, engine: Any, prompt: Any) -> None:
    """The same steps as they are, without fusions, and begun only when the host has read the last tokens; in turn in
    one process."""
    from hogwild.fusing import switched_off
    from hogwild.gpu_step import Kernels
    from workbench.bench_gpu import in_turn

    runner = engine._runner
    fused, plain = runner._kernels, Kernels(engine.model, engine.cache)
    report.say(
        f"\nSteps at {prompt.length:,}: as they are; without fused products, gates, rotations, sums; begun only when "
        "the last tokens have come to the host (ratios to the first, quartiles):\n"
    )
    report.head("workers", "ms", "without fusions, ms", "ratio", "begun late, ms", "ratio")
    for workers in WORKERS:
        take, own = decoding(engine, prompt, workers)

        def timing(
            kernels: Any, ahead: bool, fusions: AbstractContextManager[None], take: Callable[[int], None] = take
        ) -> float:
            runner._kernels, runner.runs_ahead = kernels, ahead
            try:
                with fusions:  # what counts is how the graph is recorded, the first time
                    return timed(partial(take, STEPS), engine.device) / STEPS
            finally:
                runner._kernels, runner.runs_ahead = fused, True

        ours, *others = in_turn(
            lambda: timing(fused, True, nullcontext()),
            lambda: timing(plain, True, switched_off()),
            lambda: timing(fused, False, nullcontext()),
        )
        cells = [f"{statistics.median(ours) * 1e3:.2f}"]
        for theirs in others:
            low, middle, high = statistics.quantiles([b / a for a, b in zip(ours, theirs, strict=True)], n=4)
            cells += [f"{statistics.median(theirs) * 1e3:.2f}", f"{low:.2f} / {middle:.2f} / {high:.2f}"]
        report.row(f"{workers}", *cells)
        engine.release(*own)


def random_engine(layers: int, *, check: bool = True) -> Any:
    """An engine on a random Llama of 8 B's shape, built on the device: nothing is written to disk or copied."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from hogwild import Engine
    from hogwild.families import facts_of
    from hogwild.fusing import fuse
    from hogwild.loading import Loaded
    from hogwild.seam import ATTENTION

    config = LlamaConfig(
        hidden_size=4096,
        intermediate_size=14336,
        num_hidden_layers=layers,
        num_attention_heads=32,
        num_key_value_heads=8,
        head_dim=128,
        vocab_size=128256,
        max_position_embeddings=131072,
    )
    config._attn_implementation = ATTENTION
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("cuda"):
            network = LlamaForCausalLM(config).eval()
        print(f"[fused: {', '.join(f'{times} {what}' for what, times in fuse(network).items())}]", flush=True)
    finally:
        torch.set_default_dtype(before)
    with tempfile.TemporaryDirectory() as folder:
        return Engine(Loaded(network, None, facts_of(network), Path(folder)), check=check)
