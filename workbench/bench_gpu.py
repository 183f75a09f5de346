"""`make bench-gpu`: on a CUDA device, checks the kernels, measures them and an 8 B-class model, and keeps the table.

In: nothing; weights are random. Out: kernels/RESULTS.md with the device's name, and what missed its bar. Every group is
written as soon as it is measured, the most telling rows first, so that a run that is cut short leaves what it has; what
fails leaves its traceback beside the results, and the groups after it go on. A minute and a half on an H200.
Neighbours: `bench_gpu_model` (the group model), `tuning_gpu` (the group tune), `tests/kernels` (the checks).
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from workbench.bench_gpu_model import CONTEXTS, WORKERS, steps
from workbench.measuring import copy_bandwidth

RESULTS = Path("kernels/RESULTS.md")
UNCACHED_BYTES = 1 << 28
"""Keys and values that one graph goes through at least: five times an H100's cache, so that all come from memory."""
FAST_MEMORY = ("H200", "B200", "B300", "MI300")
"""Devices of the H200's class, whose attention is held to a higher share of a copy."""
CHECKS_SECONDS = 110
"""A check that hangs must not take the rest of the device's time."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Checks and speed on a CUDA device.")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--layers", type=int, default=32, help="of the random model; 32 make 8 billion parameters")
    parser.add_argument(
        "--only", default="checks,kernel,model", help="of checks, kernel, tune, model, paper; commas between"
    )
    parser.add_argument("--plain", action="store_true", help="the model without what hogwild.fusing does")
    parser.add_argument("--tune", action="store_true", help="after the kernel, try other tile sizes (a minute more)")
    args = parser.parse_args(arguments)
    import torch

    if not torch.cuda.is_available():
        print("There is no CUDA device here; make bench-gpu needs one.", file=sys.stderr)
        return 2
    names = args.only.split(",")
    if args.tune and "tune" not in names:
        names.insert(names.index("kernel") + 1 if "kernel" in names else len(names), "tune")
    if os.environ.get("PAPER_KERNEL") and "paper" not in names and "kernel" in names:
        names.append("paper")
    report = Report(args.results)
    title = f"## {torch.cuda.get_device_name()}, {time.strftime('%Y-%m-%d')}, torch {torch.__version__}"
    if not report.path.exists() or title not in report.path.read_text(encoding="utf-8"):
        report.say(f"\n{title}\n")
    groups: dict[str, Callable[[], None]] = {
        "checks": lambda: checks(report),
        "kernel": lambda: kernel(report),
        "tune": lambda: tune(report),
        "paper": lambda: paper(report),
        "model": lambda: steps(report, args.layers, plain=args.plain),
    }
    for index, name in enumerate(names):
        began = time.perf_counter()
        try:
            groups[name]()
        except Exception as error:  # the other groups are worth having: device time is scarce
            report.fault(f"The group `{name}` failed", error)
        print(f"[{name}: {time.perf_counter() - began:.1f} s]", flush=True)
        if not _alive() and names[index + 1 :]:
            # After an illegal access every call of this process fails; another process starts afresh.
            rest = [
                "--only",
                ",".join(names[index + 1 :]),
                "--results",
                str(args.results),
                "--layers",
                str(args.layers),
                *(["--plain"] if args.plain else []),
            ]
            return subprocess.run([sys.executable, "-m", "workbench.bench_gpu", *rest], check=False).returncode or 1
    return int(report.failed)


def _alive() -> bool:
    import torch

    try:
        torch.cuda.synchronize()
        torch.ones(1, device="cuda").item()
    except RuntimeError:
        return False
    return True


class Report:
    """Prints and keeps every line at once."""

    def __init__(self, path: Path) -> None:
        self.path, self.failed = path, False
        path.parent.mkdir(parents=True, exist_ok=True)

    def say(self, line: str) -> None:
        print(line, flush=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def row(self, *cells: str) -> None:
        self.say("| " + " | ".join(cells) + " |")

    def head(self, *cells: str) -> None:
        self.row(*cells)
        self.row(*("---" for _ in cells))

    def fault(self, what: str, error: BaseException) -> None:
        """One line in the results; the traceback in a file beside them, and printed."""
        self.failed = True
        told = [line for line in str(error).splitlines() if line.strip()] or [""]
        self.say(f"\n{what}: {type(error).__name__}: {told[0][:300]}\n")
        whole = "".join(traceback.format_exception(error))
        print(whole, file=sys.stderr, flush=True)
        self.beside("errors", f"{what}\n{whole}\n")

    def beside(self, kind: str, text: str) -> None:
        with self.path.with_suffix(f".{kind}.txt").open("a", encoding="utf-8") as file:
            file.write(text)


def checks(report: Report) -> None:
    """The tests marked gpu, in a process of their own: a fault there leaves this one's device usable."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "tests/kernels",
        "-q",
        "-m",
        "gpu",
        "--tb=short",
        "-p",
        "no:cacheprovider",
    ]
    if find_spec("xdist"):
        command += ["-n", str(min(12, os.cpu_count() or 1))]  # most of the time goes into compiling
    if find_spec("pytest_timeout"):
        command += ["--timeout", "60"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=CHECKS_SECONDS)
        output, failed = done.stdout + done.stderr, done.returncode != 0
    except subprocess.TimeoutExpired as error:
        output, failed = f"{error.stdout!r}\nnot over after {CHECKS_SECONDS} s", True
    report.beside("checks", output)
    lines = [line for line in output.splitlines() if line.strip()]
    report.say(f"Checks on the device: {lines[-1] if lines else 'no output'}")
    for line in lines:
        if line.startswith(("FAILED", "ERROR", "E  ")):
            report.say(f"    {line[:400]}")
    report.failed |= failed


def kernel(report: Report) -> None:
    """Attention over one shared segment and a short one per worker, against a copy and against SDPA on a cache each."""
    import torch

    device = torch.device("cuda")
    bandwidth, least = copy_bandwidth(device), bandwidth_bar(torch.cuda.get_device_name())
    report.say(
        f"\nA copy moves {bandwidth / 1e9:.0f} GB/s. Attention, bf16, 32 heads, 8 KV heads of 128, CUDA graphs, caches "
        "that no cache on the chip holds:\n"
    )
    report.head("workers", "context", "us", "quartiles", "GB/s", "of copy", "bar", "SDPA / ours")
    points = sorted(((w, c) for c in CONTEXTS for w in WORKERS), key=lambda point: point != (4, 32768))
    for workers, context in points:
        try:
            problem = Problem(workers, context)
            found, theirs = in_turn(graph(problem.ours, max(20, problem.layers)), graph(problem.sdpa()))
        except Exception as error:  # one shape that fails is a finding, not the end
            report.fault(f"Attention of {workers} workers at {context:,} failed", error)
            if not _alive():
                raise
            continue
        low, middle, high = statistics.quantiles(found, n=4)
        share = problem.moved / middle / bandwidth
        bar = f">= {least:.0%}" if (workers, context) == (4, 32768) else ""
        report.row(
            f"{workers}",
            f"{context:,}",
            f"{middle * 1e6:.1f}",
            f"{low * 1e6:.1f} to {high * 1e6:.1f}",
            f"{problem.moved / middle / 1e9:.0f}",
            f"{share:.0%}",
            bar + (" missed" if bar and share < least else ""),
            f"{statistics.median(theirs) / middle:.2f}",
        )


def bandwidth_bar(device_name: str) -> float:
    """The share of a copy's bandwidth that attention of 4 workers over 32 k tokens is to reach."""
    return 0.8 if any(name in device_name for name in FAST_MEMORY) else 0.75


class Problem:
    """Decoding attention of `workers` over `context` shared tokens and 64 of each worker, on as many layers as it takes
    to leave the device's cache."""

    def __init__(self, workers: int, context: int, heads: int = 32, least_bytes: int = UNCACHED_BYTES) -> None:
        import torch

        from hogwild_kernels import Rotary, gpu

        device = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
        self.workers, self.heads, self.lengths = workers, heads, [context] + [64] * workers
        self.moved = 2 * 2 * 8 * 128 * sum(self.lengths)
        self.layers = -(-least_bytes // self.moved)
        self.keys, self.values = (
            [torch.randn(self.layers, 8, n, 128, device=device, dtype=torch.bfloat16) for n in self.lengths]
            for _ in range(2)
        )
        self.query = torch.randn(heads, workers, 128, device=device, dtype=torch.bfloat16)
        visible = torch.tensor(self.lengths).expand(workers, -1).contiguous()
        turns = torch.arange(workers * len(self.lengths)).view(workers, -1) * 64
        self.rotary = Rotary(500_000.0 ** -(torch.arange(0, 128, 2, dtype=torch.float64) / 128))
        self.plan = gpu.plan_attention(turns, visible, self.lengths, self.rotary, torch.bfloat16, device=device)
        self.segments = gpu.Segments.of(self.keys, self.values)

    def ours(self, index: int = 0, **tuned: Any) -> Any:
        from hogwild_kernels import gpu

        layer = index % self.layers
        return gpu.attend_segments(self.query, self.segments, layer, self.plan, 128**-0.5, kv_heads=8, **tuned)[0]

    def sdpa(self) -> Callable[[int], object]:
        """PyTorch's attention where every worker has a cache of its own, as plain batched decoding has."""
        import torch
        import torch.nn.functional as F

        size = (self.workers, 8, sum(self.lengths), 128)
        layers = -(-UNCACHED_BYTES // (self.workers * self.moved))
        apart = [
            [torch.randn(size, device=self.query.device, dtype=torch.bfloat16) for _ in range(2)] for _ in range(layers)
        ]
        each = self.query.transpose(0, 1)[:, :, None].contiguous()

        def attend(index: int) -> object:
            keys, values = apart[index % layers]
            return F.scaled_dot_product_attention(each, keys, values, scale=128**-0.5, enable_gqa=True)

        return attend


def tune(report: Report) -> None:
    from workbench.tuning_gpu import sweep

    sweep(report)


def paper(report: Report) -> None:
    from workbench.bench_paper_kernel import against_the_paper

    against_the_paper(report, Path(os.environ["PAPER_KERNEL"]))


def graph(work: Callable[[int], object], times: int = 20) -> Callable[[], float]:
    """Seconds of one `work(i)`, for i below `times` in one CUDA graph, so that no launch is measured."""
    import torch

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for index in range(3):
            work(index)
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    recorded = torch.cuda.CUDAGraph()
    with torch.cuda.graph(recorded):
        for index in range(times):
            work(index)

    def once() -> float:
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        recorded.replay()
        end.record()
        torch.cuda.synchronize()
        return float(begin.elapsed_time(end)) / 1e3 / times

    return once


def in_turn(*ways: Callable[[], float], rounds: int = 15) -> list[list[float]]:
    """What each of several ways takes, one after the other in every round."""
    for way in ways:
        way()
    return [list(column) for column in zip(*([way() for way in ways] for _ in range(rounds)), strict=True)]


if __name__ == "__main__":
    sys.exit(main())
