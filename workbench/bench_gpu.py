"""`make bench-gpu`: on a CUDA device, checks the kernels, measures them and an 8 B-class model, and keeps the table.

In: nothing; weights are random. Out: kernels/RESULTS.md with the device's name, and what missed its bar. Every group is
written as soon as it is measured, so that a run that is cut short leaves what it has. About five minutes on an H100.
Neighbours: `measuring` (steps against the roofline), `tests/kernels` (the checks), `hogwild_kernels.gpu`.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workbench.measuring import copy_bandwidth, measure, one_more

RESULTS = Path("kernels/RESULTS.md")
CONTEXTS = (1024, 8192, 32768)
WORKERS = (1, 2, 4, 8)
SCALING_BAR = {2: 1.95, 4: 3.8, 8: 7.2}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Checks and speed on a CUDA device.")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--layers", type=int, default=32, help="of the random model; 32 make 8 billion parameters")
    parser.add_argument("--only", default="checks,kernel,model", help="of checks, kernel, model; with commas")
    args = parser.parse_args(arguments)
    import torch

    if not torch.cuda.is_available():
        print("There is no CUDA device here; make bench-gpu needs one.", file=sys.stderr)
        return 2
    report = _Report(args.results)
    report.say(f"\n## {torch.cuda.get_device_name()}, {time.strftime('%Y-%m-%d')}, torch {torch.__version__}\n")
    groups: dict[str, Callable[[], None]] = {
        "checks": lambda: checks(report),
        "kernel": lambda: kernel(report),
        "model": lambda: model(report, args.layers),
    }
    for name in args.only.split(","):
        try:
            groups[name]()
        except Exception as error:  # the other groups are worth having: device time is scarce
            report.say(f"\nThe group `{name}` failed: {type(error).__name__}: {str(error).splitlines()[0][:300]}\n")
            report.failed = True
    return int(report.failed)


class _Report:
    """Prints and keeps every line at once."""

    def __init__(self, path: Path) -> None:
        self.path, self.failed = path, False

    def say(self, line: str) -> None:
        print(line, flush=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def row(self, *cells: str) -> None:
        self.say("| " + " | ".join(cells) + " |")

    def head(self, *cells: str) -> None:
        self.row(*cells)
        self.row(*("---" for _ in cells))


def checks(report: _Report) -> None:
    """The tests marked gpu, in a process of their own: a fault there leaves this one's device usable."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/kernels", "-q", "-m", "gpu"],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    report.say(f"Checks on the device: {lines[-1] if lines else 'no output'}")
    for line in lines:
        if line.startswith(("FAILED", "ERROR", "E  ")):
            report.say(f"    {line[:200]}")
    report.failed |= done.returncode != 0


def kernel(report: _Report) -> None:
    """Attention over one shared segment and a short one per worker, against a copy and against SDPA on a cache each."""
    import torch
    import torch.nn.functional as F

    from hogwild_kernels import Rotary, gpu

    device = torch.device("cuda")
    bandwidth = copy_bandwidth(device)
    report.say(
        f"\nA copy moves {bandwidth / 1e9:.0f} GB/s. Attention, bf16, 32 heads, 8 KV heads of 128, CUDA graphs:\n"
    )
    report.head("workers", "context", "us", "quartiles", "GB/s", "of copy", "bar", "SDPA / ours")
    rotary = Rotary(500_000.0 ** -(torch.arange(0, 128, 2, dtype=torch.float64) / 128))
    scaling = 128**-0.5
    for context in CONTEXTS:
        for workers in WORKERS:
            lengths = [context] + [64] * workers
            keys, values = (
                [torch.randn(8, n, 128, device=device, dtype=torch.bfloat16) for n in lengths] for _ in range(2)
            )
            query = torch.randn(32, workers, 128, device=device, dtype=torch.bfloat16)
            visible = torch.tensor(lengths).expand(workers, -1).contiguous()
            turns = torch.arange(workers * len(lengths)).view(workers, -1) * 64
            plan = gpu.plan_attention(turns, visible, lengths, rotary, torch.bfloat16, device=device)
            segments = gpu.Segments.of(keys, values)

            def ours(query: Any = query, segments: Any = segments, plan: Any = plan) -> object:
                return gpu.attend_segments(query, segments, 0, plan, scaling, kv_heads=8)

            total = sum(lengths)
            apart = [torch.randn(workers, 8, total, 128, device=device, dtype=torch.bfloat16) for _ in range(2)]
            each = query.transpose(0, 1)[:, :, None].contiguous()

            def sdpa(each: Any = each, apart: Any = apart) -> object:
                return F.scaled_dot_product_attention(each, apart[0], apart[1], scale=scaling, enable_gqa=True)

            found, theirs = _in_turn(_graph(ours), _graph(sdpa))
            low, middle, high = statistics.quantiles(found, n=4)
            moved = 2 * 2 * 8 * 128 * total
            share = moved / middle / bandwidth
            bar = ">= 80 %" if (workers, context) == (4, 32768) else ""
            report.row(
                f"{workers}",
                f"{context:,}",
                f"{middle * 1e6:.1f}",
                f"{low * 1e6:.1f} to {high * 1e6:.1f}",
                f"{moved / middle / 1e9:.0f}",
                f"{share:.0%}",
                bar + (" missed" if bar and share < 0.8 else ""),
                f"{statistics.median(theirs) / middle:.2f}",
            )
            del keys, values, apart


def _graph(work: Callable[[], object], times: int = 20) -> Callable[[], float]:
    """Seconds of one `work`, many of them in one CUDA graph, so that no launch is measured."""
    import torch

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(times):
            work()

    def once() -> float:
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        graph.replay()
        end.record()
        torch.cuda.synchronize()
        return float(begin.elapsed_time(end)) / 1e3 / times

    return once


def _in_turn(
    ours: Callable[[], float], theirs: Callable[[], float], rounds: int = 15
) -> tuple[list[float], list[float]]:
    ours(), theirs()
    pairs = [(ours(), theirs()) for _ in range(rounds)]
    return [mine for mine, _ in pairs], [other for _, other in pairs]


def model(report: _Report, layers: int) -> None:
    """Decoding steps of a random model in Llama 3's 8 B shape against the roofline, and how workers scale."""
    engine = random_engine(layers)
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
    report.say(f"CUDA graphs held: {sum(graph is not None for _, graph, _ in kept.graphs.values()) if kept else 0}.")


def random_engine(layers: int) -> Any:
    """An engine on a random Llama of 8 B's shape, built on the device: nothing is written to disk or copied."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from hogwild import Engine
    from hogwild.families import facts_of
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
    finally:
        torch.set_default_dtype(before)
    with tempfile.TemporaryDirectory() as folder:
        return Engine(Loaded(network, None, facts_of(network), Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
