"""`make bench-gpu`: on a CUDA device, checks the kernels, measures them and an 8 B-class model, and keeps the table.

In: nothing; weights are random. Out: kernels/RESULTS.md with the device's name, and what missed its bar. Every group is
written as soon as it is measured, the most telling rows first, so that a run that is cut short leaves what it has; what
fails leaves its traceback beside the results, and the groups after it go on. About two minutes on an H100.
Neighbours: `measuring` (steps against the roofline), `tuning_gpu` (the group tune), `tests/kernels` (the checks).
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from workbench.measuring import copy_bandwidth, decoding, device_events, measure, one_more

RESULTS = Path("kernels/RESULTS.md")
CONTEXTS = (8192, 32768, 1024)
WORKERS = (1, 2, 4, 8)
SCALING_BAR = {2: 1.95, 4: 3.8, 8: 7.2}
UNCACHED_BYTES = 1 << 28
"""Keys and values that one graph goes through at least: five times an H100's cache, so that all come from memory."""
CHECKS_SECONDS = 150
"""A check that hangs must not take the rest of the device's time."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Checks and speed on a CUDA device.")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--layers", type=int, default=32, help="of the random model; 32 make 8 billion parameters")
    parser.add_argument(
        "--only", default="checks,kernel,model", help="of checks, kernel, tune, model, paper; commas between"
    )
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
        "model": lambda: model(report, args.layers),
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
        command += ["-n", "6"]  # most of the time goes into compiling
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
    bandwidth = copy_bandwidth(device)
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
        bar = ">= 80 %" if (workers, context) == (4, 32768) else ""
        report.row(
            f"{workers}",
            f"{context:,}",
            f"{middle * 1e6:.1f}",
            f"{low * 1e6:.1f} to {high * 1e6:.1f}",
            f"{problem.moved / middle / 1e9:.0f}",
            f"{share:.0%}",
            bar + (" missed" if bar and share < 0.8 else ""),
            f"{statistics.median(theirs) / middle:.2f}",
        )


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


def in_turn(
    ours: Callable[[], float], theirs: Callable[[], float], rounds: int = 15
) -> tuple[list[float], list[float]]:
    ours(), theirs()
    pairs = [(ours(), theirs()) for _ in range(rounds)]
    return [mine for mine, _ in pairs], [other for _, other in pairs]


def model(report: Report, layers: int) -> None:
    """Decoding steps of a random model in Llama 3's 8 B shape against the roofline, and how workers scale."""
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
    anatomy(report, engine)


def anatomy(report: Report, engine: Any, workers: int = 4, context: int = 8192, steps: int = 3) -> None:
    """What one step is made of, kernel by kernel."""
    prompt = engine.prefill([(31 * i) % engine.vocab_size for i in range(context)])
    step, own = decoding(engine, prompt, workers)
    step()
    took: dict[str, float] = defaultdict(float)
    count = Counter[str]()
    for start, end, name in device_events(engine.device, step, steps):
        took[name] += end - start
        count[name] += 1
    report.say(
        f"\nA step of {workers} workers at {context:,}: {sum(count.values()) / steps:.0f} kernels and copies, "
        f"{sum(took.values()) / steps / 1e3:.2f} ms of them.\n"
    )
    report.head("ms a step", "times", "kernel")
    for name, spent in sorted(took.items(), key=lambda one: -one[1])[:14]:
        report.row(f"{spent / steps / 1e3:.3f}", f"{count[name] / steps:.0f}", f"`{name[:90]}`")
    engine.release(prompt, *own)


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
        fuse(network)
    finally:
        torch.set_default_dtype(before)
    with tempfile.TemporaryDirectory() as folder:
        return Engine(Loaded(network, None, facts_of(network), Path(folder)), check=check)


if __name__ == "__main__":
    sys.exit(main())
