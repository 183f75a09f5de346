"""Random attention problems of odd shapes, and what the definition and the kernels make of them.

In: a `Case`. Out: results as tensors. Neighbours: the tests compare; `kernels_result` runs in a process of its own,
whose Triton interprets (TRITON_INTERPRET=1 has to stand before Triton is imported), or on a device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps

import numpy as np
import torch
from torch import Tensor

from hogwild_kernels import Rotary, attention, between

F16, BF16, F32 = torch.float16, torch.bfloat16, torch.float32


@dataclass(frozen=True)
class Case:
    """lengths: tokens per segment. rotary: rotated dimensions, 0 for none. window: of the sliding window, or None."""

    seed: int
    rows: int
    heads: int
    kv_heads: int
    head_dim: int
    lengths: tuple[int, ...]
    dtype: torch.dtype
    rotary: int
    interleaved: bool = False
    mass: bool = False
    softcap: float | None = None
    sinks: bool = False
    window: int | None = None

    def tensors(self) -> dict[str, object]:
        draw = torch.Generator().manual_seed(self.seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=draw).to(self.dtype)

        def whole(low: int, high: int, *shape: int) -> Tensor:
            return torch.randint(low, high, shape, generator=draw)

        visible = torch.stack([whole(0, n + 1, self.rows) for n in self.lengths], 1)
        visible[:, -1] = visible[:, -1].clamp_min(1)
        turns = whole(0, 60_000, self.rows, len(self.lengths))
        if self.window is not None:  # a view in order: the last segment is the own one, and ends with the row itself
            before = torch.tensor(self.lengths).cumsum(0) - torch.tensor(self.lengths)
            turns = (before[-1] - before).expand(self.rows, -1).contiguous()
        return {
            "query": normal(self.heads, self.rows, self.head_dim),
            "keys": [normal(self.kv_heads, n, self.head_dim) for n in self.lengths],
            "values": [normal(self.kv_heads, n, self.head_dim) for n in self.lengths],
            "turns": turns,
            "visible": visible,
            "sinks": normal(self.heads) if self.sinks else None,
        }


def result(case: Case, twin: object, dtype: torch.dtype, device: str = "cpu") -> tuple[Tensor, Tensor | None]:
    """What `twin` (`attention` or `gpu`) gives for the case, computed in `dtype` on data of the case's own type."""
    given = case.tensors()
    query, turns, visible = (given[name].to(device) for name in ("query", "turns", "visible"))
    keys, values = ([one.to(device, dtype) for one in given[name]] for name in ("keys", "values"))
    sinks = None if given["sinks"] is None else given["sinks"].to(device, dtype)
    rotary = None
    if case.rotary:
        exponents = torch.arange(0, case.rotary, 2, dtype=torch.float64) / case.rotary
        rotary = Rotary(10_000.0**-exponents, case.interleaved)
    first = None
    if case.window is not None:
        first = attention.first_seen(turns, visible[:, -1] - 1, case.window)
    plan = twin.plan_attention(turns, visible, case.lengths, rotary, dtype, first)
    return twin.attend(
        query.to(dtype), keys, values, plan, case.head_dim**-0.5, mass=case.mass, softcap=case.softcap, sinks=sinks
    )


CASES = {
    "halves": Case(0, 3, 4, 2, 32, (17, 70, 5), F32, 32),
    "interleaved": Case(1, 3, 6, 2, 64, (130, 7, 1, 33), F32, 64, interleaved=True, mass=True),
    "seven heads a group": Case(2, 5, 14, 2, 64, (200, 3), BF16, 64, mass=True),
    "partial, capped": Case(3, 37, 8, 2, 80, (100, 30), F16, 40, softcap=3.0),
    "sinks": Case(4, 4, 8, 1, 128, (300, 30, 1, 30), BF16, 128, mass=True, sinks=True),
    "no rotation": Case(5, 2, 2, 2, 256, (100, 30), F32, 0, sinks=True),
    "window": Case(6, 6, 4, 4, 96, (64, 40, 50), F16, 96, window=37, mass=True),
    "several tiles": Case(7, 70, 4, 2, 16, (33, 90), F16, 8, interleaved=True, sinks=True, mass=True),
    "one token": Case(8, 1, 1, 1, 32, (1,), F32, 32),
}


def agree(case: Case, got: tuple[torch.Tensor, torch.Tensor | None]) -> None:
    exact, naive = result(case, attention, torch.float64), result(case, attention, case.dtype)
    for ours, right, plain in zip(got, exact, naive, strict=True):
        if right is None or plain is None or ours is None:
            assert right is plain is ours is None
            continue
        allowed = 2 * float((plain.double() - right).abs().max())
        allowed += 8 * torch.finfo(ours.dtype).eps * float(right.abs().max())
        error = (ours.double() - right).abs()
        worst = np.unravel_index(int(error.nan_to_num(nan=torch.inf).argmax()), error.shape)
        told = f"{float(error.max()):.3g} from float64 at {tuple(map(int, worst))} of {tuple(error.shape)}"
        told += f", allowed {allowed:.3g}, {int(error.isnan().sum())} not numbers: {case}"
        assert float(error.max()) <= allowed, told  # false for NaN


def kernels_result(case: Case, device: str = "cpu") -> tuple[Tensor, Tensor | None]:
    """By the kernels. Memory that nobody has written holds NaN, so a result that was forgotten is seen."""
    from hogwild_kernels import gpu

    torch.use_deterministic_algorithms(True, warn_only=True)
    out, shares = result(case, gpu, case.dtype, device)
    return out.cpu(), None if shares is None else shares.cpu()


def kernels_append(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Three rows stored in two segments by the kernel, keys turned on their way; and by plain torch."""
    from hogwild_kernels import gpu, turn

    draw = torch.Generator().manual_seed(seed)
    keys, values = (torch.randn(2, 3, 24, generator=draw) for _ in range(2))
    turns, targets = torch.tensor([5, 70_001, 0]), torch.tensor([[1, 4], [0, 0], [1, 5]], dtype=torch.int32)
    rotary = Rotary(10_000.0 ** -(torch.arange(0, 16, 2, dtype=torch.float64) / 16), interleaved=True)
    held = [torch.zeros(2, 2, 7, 24) for _ in range(4)]  # keys, values of two segments with two layers
    segments = gpu.Segments.of(held[::2], held[1::2])
    gpu.append(keys, values, segments, targets, 1, turns=turns.int(), rotary=rotary)
    wanted = [torch.zeros(2, 2, 7, 24) for _ in range(4)]
    cos, sin = rotary.table(turns, torch.float32)
    turned = turn(keys, cos, sin, interleaved=True)
    for row, (segment, place) in enumerate(targets.tolist()):
        wanted[2 * segment][1, :, place] = turned[:, row]
        wanted[2 * segment + 1][1, :, place] = values[:, row]
    return torch.stack(held[::2]), torch.stack(held[1::2]), torch.stack(wanted[::2]), torch.stack(wanted[1::2])


def rotated_and_appended_apart(dtype: torch.dtype, device: str = "cpu") -> list[tuple[Tensor, Tensor]]:
    """Rotated queries, and all of a cache, by one kernel and by the kernels of its parts, for several rotations."""
    from hogwild_kernels import between_gpu, gpu

    draw, results = torch.Generator().manual_seed(3), []

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw).to(dtype).to(device)

    for name, (head_dim, size, interleaved, stride, width) in ROTATIONS.items():
        heads = normal(3, 11 + 2 * 9, head_dim).transpose(0, 1)
        query, key, value = heads[:11], heads[11:20], heads[20:]
        cos, sin = tables_of(name, 3, width, normal)
        held = [torch.zeros(2, 9, 7, head_dim, dtype=dtype, device=device) for _ in range(8)]
        targets = torch.tensor([[1, 4], [0, 0], [1, 5]], dtype=torch.int32, device=device)
        one, other = (gpu.Segments.of(held[at : at + 4 : 2], held[at + 1 : at + 4 : 2]) for at in (0, 4))
        shape = (cos, sin, size, interleaved, stride)
        turned = between_gpu.rotate_append(query, key, value, one, targets, 1, *shape)
        again, keys = between_gpu.rotate(query, key, *shape)
        gpu.append(keys, value, other, targets, 1)
        results.append((turned.cpu(), again.cpu()))
        results += [(a.cpu(), b.cpu()) for a, b in zip(held[:4], held[4:], strict=True)]
    return results


def fuse_in(engine: object) -> list[int]:
    """The model's rotations and all else by kernels, as on a device. Returns a list that tells of every key that is
    rotated on its way into the cache, by layer."""
    from hogwild import fusing
    from hogwild_kernels import between_gpu

    assert fusing.fuse(engine.model, between_gpu)["rotations"]
    work, told = getattr(between_gpu.rotate_append, "__wrapped__", between_gpu.rotate_append), []

    @wraps(work)
    def rotate_append(*given: object) -> Tensor:
        told.append(given[5])
        return work(*given)

    between_gpu.rotate_append = rotate_append
    return told


def engines_apart(folder: str, device: str = "cpu", *, graphs: bool = False, fused: bool = False) -> list[float]:
    """Largest differences of logits between an engine on the kernels and one on plain torch, step by step: a prompt,
    headers of several lengths, then decoding while blocks grow, two steps of which the first engine begins before their
    tokens are known; one is frozen and a worker joins; then with shares.
    graphs: every decoding step has to have run as a CUDA graph. fused: the first engine's layers are fused."""
    from hogwild import Engine, Feed, Sampling
    from hogwild.sampling import Sampler, choose

    engines = [Engine.from_pretrained(folder, dtype="float32", device=device) for _ in range(2)]
    if engines[0].model.config.model_type == "gpt_oss":
        with_dense_columns(engines[0].model)
    told = fuse_in(engines[0]) if fused else None
    engines[0]._runner.use_kernels()
    engines[1]._runner._kernels = None
    engines[0]._runner.runs_ahead, engines[1]._runner.runs_ahead = True, False
    differences, ends = [], []
    for engine in engines:
        found, prompt = [], engine.prefill([(5 * i) % 90 for i in range(9)])
        a, b, c = (engine.open_block() for _ in range(3))
        found += engine.step([Feed((prompt, b, a), [1, 2, 3]), Feed((prompt, a, b), [4])])
        for token in range(3):
            found += engine.step([Feed((prompt, b, a), [token]), Feed((prompt, a, b), [token + 1])])
        views, due = [(prompt, b, a), (prompt, a, b)], [5, 6]
        for going in ((0, 1), (1,)):
            rows, _ = engine.step_last([Feed(view, [token]) for view, token in zip(views, due, strict=True)])
            chosen = choose([Sampler(Sampling()) for _ in due], rows, [()] * len(due))
            views = [views[at] for at in going]
            engine.run_ahead(views, chosen, going)
            began, due = engine._runner._ahead, [chosen.ids()[at] for at in going]
            found += engine.step([Feed(view, [token]) for view, token in zip(views, due, strict=True)])
            assert engine is engines[1] or (began is not None and found[-1].data_ptr() == began.logits[-1:].data_ptr())
        engine.freeze(b)
        found += engine.step([Feed((prompt, b, c, a), [3]), Feed((b, prompt, a, c), [8])])
        rows, step = engine.step_last([feed := Feed((prompt, b, c, a), [3])], mass=True)
        found += rows
        ends.append((found, step.attention_of(feed)))
    for ours, plain in zip(ends[0][0], ends[1][0], strict=True):
        differences.append(float((ours - plain).abs().max()))
    differences += [abs(share - ends[1][1][block]) for block, share in ends[0][1].items()]
    assert engines[0]._runner._kernels.rotates
    assert told is None or told
    if graphs:  # a model that could not be captured goes on without graphs, and would be as right
        assert all(graph is not None for _, graph, _ in engines[0]._runner._kernels.graphs.values())
    return differences


BETWEEN = ("norm", "norm of heads", "norm by 1 + weight", "sum and norm", "silu", "gelu_tanh")
ROTATIONS = {  # head size, rotated, interleaved, stride and width of the tables
    "halves": (32, 32, False, 1, 32),
    "half tables": (64, 64, False, 1, 32),
    "half tables, columns dense": (64, 64, False, 1, 32),
    "partial": (80, 48, False, 1, 48),
    "interleaved": (32, 16, True, 1, 16),
    "interleaved twice": (32, 32, True, 2, 32),
}


def tables_of(name: str, rows: int, width: int, normal: Callable[..., Tensor]) -> list[Tensor]:
    """Numbers in the place of cosines and sines `[rows, width]`, in wider tensors whose rows or columns are dense."""
    if "columns" in name:
        return [normal(2 * width, rows)[:width].T for _ in range(2)]
    return [normal(rows, 2 * width)[:, :width] for _ in range(2)]


def with_dense_columns(model: torch.nn.Module) -> None:
    """Let the model make its cosines and sines as transformers 5.17 does for gpt_oss: by a product that is turned over,
    so that not the rows are dense but the columns."""
    for module in model.modules():
        if "RotaryEmbedding" in type(module).__name__:
            module.register_forward_hook(lambda _, given, out: tuple(one.mT.contiguous().mT for one in out))


def between_apart(name: str, dtype: torch.dtype, device: str = "cpu") -> list[tuple[Tensor, Tensor, Tensor]]:
    """Per result: by the kernel, by the definition, and by the definition in float64 from the same numbers. Rows lie
    apart in a wider tensor, as those do that come out of a common product."""
    from hogwild_kernels import between_gpu

    torch.use_deterministic_algorithms(True, warn_only=True)  # memory that nobody has written holds NaN
    draw = torch.Generator().manual_seed(7)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw).to(dtype).to(device)

    wide, more, weight = normal(1, 5, 7 * 24), normal(1, 5, 120), normal(120)
    given = {
        "norm": ("rms_norm", (wide[..., :120], weight, 1e-5)),
        "norm of heads": ("rms_norm", (wide[..., 24:144].view(1, 5, 5, 24), weight[:24], 1e-6)),
        "norm by 1 + weight": ("rms_norm", (wide[..., :120], weight, 1e-6, 1.0)),
        "sum and norm": ("add_rms_norm", (wide[..., :120], more, weight, 1e-6)),
        "silu": ("gated", (3 * normal(1, 3, 2 * 1100), "silu")),
        "gelu_tanh": ("gated", (3 * normal(1, 3, 2 * 1100), "gelu_tanh")),
    }
    if name in ROTATIONS:
        head_dim, size, interleaved, stride, width = ROTATIONS[name]
        heads = normal(4, 11 + 3, head_dim)
        tables = tables_of(name, 4, width, normal)
        turned = (heads[:, :11].transpose(0, 1), heads[:, 11:].transpose(0, 1), *tables, size, interleaved, stride)
        given[name] = ("rotate", turned)
    function, arguments = given[name]
    exact = [one.double() if isinstance(one, Tensor) else one for one in arguments]
    results = []
    for by, values in ((between_gpu, arguments), (between, arguments), (between, exact)):
        got = getattr(by, function)(*values)
        results.append([one.cpu() for one in (got if isinstance(got, tuple) else (got,))])
    return list(zip(*results, strict=True))


def fused_apart(folder: str, device: str = "cpu", dtype: torch.dtype = torch.float32) -> tuple[dict[str, int], float]:
    """What `hogwild.fusing` replaces by kernels in the model, and the largest difference of its logits afterwards, as a
    share of the largest one."""
    from transformers import AutoModelForCausalLM

    from hogwild import fusing
    from hogwild_kernels import between_gpu

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager").to(device).eval()
    ids = torch.tensor([[3, 5, 8, 30, 2, 41, 7]], device=device)
    with torch.inference_mode():
        before = model(ids).logits.float()
        done = fusing.fuse(model, between_gpu)
        after = model(ids).logits.float()
    return dict(done), float((after - before).abs().max() / before.abs().max())


def refused_apart(folder: str) -> tuple[float, bool]:
    """An engine whose rotations cannot be left to the step: how far its logits are from plain torch's, and whether it
    goes on trying."""
    from hogwild import Engine, Feed
    from hogwild_kernels import between_gpu

    def refuse(*given: object) -> Tensor:
        raise RuntimeError("out of resources")

    plain, engine = (Engine.from_pretrained(folder, dtype="float32") for _ in range(2))
    fuse_in(engine)
    engine._runner.use_kernels()
    work, between_gpu.rotate_append = between_gpu.rotate_append, refuse
    found = []
    for one in (plain, engine):
        a, b = one.open_block(), one.open_block()
        one.step([Feed((a, b), [3, 4]), Feed((b, a), [8])])
        found.append(torch.stack(one.step_last([Feed((a, b), [5]), Feed((b, a), [6])])[0]))
    between_gpu.rotate_append = work
    return float((found[0] - found[1]).abs().max()), engine._runner._kernels.rotates
