"""The attention beside the paper's own CUDA kernel (github.com/eqimp/hogwild_llm, branch inference_lib, kernel v21).

In: a library built from it, named by the environment variable PAPER_KERNEL, with one C function over it:

    int paper_attention(out, scale, locations, queries, lengths, keys, values, F, W, Hq, Hkv, E, S, layers, times,
                        float *seconds)

keys, values: on the device, `layers` tables of F pointers. The kernel knows one shape, that of QwQ-32B: 40 heads, 8 KV
heads of 128. It takes queries that are turned already (another kernel of theirs does that), so its time is without
turning, and ours with it. Above: `bench_gpu.py`.
"""

from __future__ import annotations

import ctypes
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.bench_gpu import Problem, Report

HEADS = 40
POINTS = ((4, 32768), (4, 8192), (2, 32768), (1, 32768), (8, 32768))
TIMES = 20


def against_the_paper(report: Report, library: Path) -> None:
    from workbench.bench_gpu import Problem, graph

    paper = ctypes.CDLL(str(library.resolve())).paper_attention
    report.say("\nBeside the paper's CUDA kernel, 40 heads, 8 KV heads of 128, bf16 (bar: at least as fast):\n")
    report.head("workers", "context", "ours, us", "theirs, us", "theirs / ours", "largest difference")
    for workers, context in POINTS:
        problem = Problem(workers, context, heads=HEADS)
        ours = graph(problem.ours, max(TIMES, problem.layers))
        theirs = _Theirs(paper, problem)
        theirs(), ours()
        pairs = [(ours(), theirs()) for _ in range(15)]
        mine, other = (statistics.median(side) for side in zip(*pairs, strict=True))
        theirs(1)  # the first layer
        right = problem.ours(0).transpose(0, 1).float()
        off = float((theirs.out[:, :, 0].float() - right).abs().max() / right.abs().max())
        report.row(
            f"{workers}",
            f"{context:,}",
            f"{mine * 1e6:.1f}",
            f"{other * 1e6:.1f}",
            f"{other / mine:.2f}" + ("" if other >= mine else " missed"),
            f"{off:.1%} of the largest number",
        )


class _Theirs:
    """Seconds of one launch of the paper's kernel on the same keys and values. out: `[workers, heads, 1, 128]`."""

    def __init__(self, paper: Callable[..., int], problem: Problem) -> None:
        import torch

        from hogwild_kernels import turn

        self.paper, self.problem = paper, problem
        device, plan = problem.query.device, problem.plan
        cos, sin = problem.rotary.table(plan.turns.t().cpu(), torch.float32)  # [segments, workers, 128]
        query = problem.query.transpose(0, 1).float()  # [workers, heads, 128]
        turned = turn(query[None], cos.to(device)[:, :, None], sin.to(device)[:, :, None])
        self.queries = turned.to(problem.query.dtype)[:, :, :, None].contiguous()  # [segments, workers, heads, 1, 128]
        self.locations = (plan.visible.t() - 1).contiguous()  # [segments, workers]
        self.lengths = torch.tensor(problem.lengths, dtype=torch.int32, device=device)
        self.keys, self.values = (
            torch.tensor([[one[layer].data_ptr() for one in side] for layer in range(problem.layers)], device=device)
            for side in (problem.keys, problem.values)
        )
        self.out = torch.full((problem.workers, HEADS, 1, 128), torch.nan, device=device, dtype=problem.query.dtype)
        torch.cuda.synchronize()

    def __call__(self, times: int = 0) -> float:
        problem, seconds = self.problem, ctypes.c_float()
        tensors = (self.locations, self.queries, self.lengths, self.keys, self.values)
        failed = self.paper(
            ctypes.c_void_p(self.out.data_ptr()),
            ctypes.c_float(128**-0.5),
            *(ctypes.c_void_p(one.data_ptr()) for one in tensors),
            *map(ctypes.c_int, (len(problem.lengths), problem.workers, HEADS, 8, 128, 1, problem.layers)),
            ctypes.c_int(times or max(TIMES, problem.layers)),
            ctypes.byref(seconds),
        )
        if failed:
            raise RuntimeError(f"The paper's kernel returned CUDA error {failed}.")
        return seconds.value
