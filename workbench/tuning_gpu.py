"""The group `tune` of `make bench-gpu`: which tiles and how many items make the decoding attention fastest on a device.

In: nothing. Out: the five fastest settings of every shape beside the ones in use, for `hogwild_kernels.gpu.shape_for`;
every timing in a file beside the results. Settings are compiled by many processes at once, each of which also runs what
it has compiled. Above: `bench_gpu.py`.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, wait
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from workbench.measuring import copy_bandwidth

if TYPE_CHECKING:
    from workbench.bench_gpu import Problem, Report

POINTS = ((4, 32768), (1, 32768), (8, 32768), (4, 8192), (8, 8192), (1, 8192))
"""Workers and context, the most telling first."""
BLOCK_N, WARPS, STAGES = (32, 64, 128), (4, 8), (2, 3, 4)
OTHER_ROWS = (16, 64)
"""Rows of a tile besides those that just hold all: fewer, so that keys are loaded twice, and more, of which some are
empty, for the products of whole warp groups."""
PER_PROCESSOR = (1, 2, 3, 4)
"""Items that each multiprocessor is given at a time."""
COMPILE_SECONDS, SWEEP_SECONDS = 45.0, 40.0
BEST = 5


def sweep(report: Report) -> None:
    """Time every setting at every point, as far as the time goes."""
    import torch

    from hogwild_kernels import gpu
    from workbench.bench_gpu import Problem

    refused = _compile(report)
    bandwidth = copy_bandwidth(torch.device("cuda"))
    report.say(f"\nTile sizes, 32 heads, 8 KV heads of 128, bf16; a copy moves {bandwidth / 1e9:.0f} GB/s:\n")
    report.head("workers", "context", "rows", "keys", "warps", "stages", "items a processor", "early", "us", "of copy")
    began = time.perf_counter()
    for workers, context in POINTS:
        problem, found = Problem(workers, context), []
        right = problem.ours().float()
        now = gpu.shape_for(workers, 4, 128, torch.bfloat16, gpu.shared_memory(problem.query.device))
        standing = _timed(problem)
        report.row(*_cells(workers, context, now, standing, problem.moved / bandwidth, " (in use)"))
        grid = (replace(one, items=per) for one, per in itertools.product(_shapes(workers), PER_PROCESSOR))
        for shape in itertools.chain([replace(now, early=True)], grid):
            if replace(shape, items=1) in refused or time.perf_counter() - began > SWEEP_SECONDS:
                continue
            try:
                off = float((problem.ours(shape=shape).float() - right).abs().max() / right.abs().max())
                took = _timed(problem, shape=shape)
            except Exception as error:  # too much shared memory, for one
                report.beside("tune", f"{workers} {context} {shape}: {type(error).__name__}: {error}\n")
                torch.cuda.synchronize()  # raises where nothing can run any more
                continue
            if not off < 0.05:
                report.say(f"{shape} is wrong: {off:.3g} of the largest number.")
                continue
            found.append((took, shape))
            row = {"workers": workers, "context": context, "us": took * 1e6, **vars(shape)}
            report.beside("tune", json.dumps(row) + "\n")
            if shape.early:
                report.row(*_cells(workers, context, shape, took, problem.moved / bandwidth))
        for took, shape in sorted(found, key=lambda one: one[0])[:BEST]:
            report.row(*_cells(workers, context, shape, took, problem.moved / bandwidth))
        del problem, right
    if time.perf_counter() - began > SWEEP_SECONDS:
        report.say(f"\nNot everything was tried: the sweep ends after {SWEEP_SECONDS:.0f} s.")


def _shapes(workers: int) -> Iterator[Any]:
    from hogwild_kernels.gpu import Shape

    needed = max(16, 4 * workers)
    for rows in (one for one in OTHER_ROWS if one != needed):
        for block_n, warps in itertools.product((64, 128), WARPS):
            yield Shape(rows, block_n, 128, warps, 2, items=1)
    for block_n, warps, stages in itertools.product(BLOCK_N, WARPS, STAGES):
        yield Shape(needed, block_n, 128, warps, stages, items=1)


def _cells(workers: int, context: int, shape: Any, took: float, least: float, note: str = "") -> tuple[str, ...]:
    tile = (f"{shape.block_m}", f"{shape.block_n}", f"{shape.num_warps}", f"{shape.num_stages}")
    early = "yes" if shape.early else ""
    return (
        f"{workers}",
        f"{context:,}",
        *tile,
        f"{shape.items}{note}",
        early,
        f"{took * 1e6:.1f}",
        f"{least / took:.0%}",
    )


def _timed(problem: Problem, **tuned: Any) -> float:
    from workbench.bench_gpu import graph

    once = graph(lambda index: problem.ours(index, **tuned), max(10, problem.layers))
    once()
    return statistics.median(once() for _ in range(7))


def _compile(report: Report) -> set[Any]:
    """Every setting compiled, and run once; those that a process could not are left out. What is not ready in time is
    compiled when it is timed."""
    began = time.perf_counter()
    jobs = {shape: workers for workers, _ in POINTS for shape in _shapes(workers)}
    refused = set()
    count = max(1, min(12, (os.cpu_count() or 4) - 2))
    pool = ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn"))
    try:
        futures = {pool.submit(compile_and_run, workers, shape): shape for shape, workers in jobs.items()}
        done, late = wait(futures, timeout=COMPILE_SECONDS)
        for future in done:
            fault = repr(future.exception()) if future.exception() else future.result()
            if fault:
                refused.add(futures[future])
                report.beside("tune", f"{futures[future]}: {fault}\n")
        print(f"[{len(done)} compiled, {len(refused)} refused, {len(late)} late: {time.perf_counter() - began:.1f} s]")
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return refused


def compile_and_run(workers: int, shape: Any) -> str:
    """In a process of its own: '' or what went wrong."""
    import torch

    problem = _small(workers)
    try:
        out = problem.ours(shape=shape)
        torch.cuda.synchronize()
        return "" if bool(torch.isfinite(out).all()) else "results that are not finite"
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:300]}"


@lru_cache
def _small(workers: int) -> Problem:
    from workbench.bench_gpu import Problem

    return Problem(workers, 1024, least_bytes=1)
