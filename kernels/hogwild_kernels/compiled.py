"""What a CPU does most, compiled for it: the attention of `attention.py` (`attend.c`) and linear layers (`linear.c`).

In: what the definitions get. Out: the same, without gradients. The attention, in float32 or bfloat16 (by the
processor's own instructions where it has them), reads keys and values once, tile by tile, and keeps no matrix of
scores. Linear layers, in float32, read their weights at the speed of the memory, for eight rows as for one. Both are
compiled where the machine has a C compiler, once (a second), for this processor, and kept in the user's cache folder;
every process compares them with the definitions before they are used. They run in torch's own threads. Without a
compiler the definitions are what runs. Above: `hogwild.runner`, `hogwild.packed`. Beside: `gpu.py`. Below:
`attention.py`.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import BinaryIO

import platformdirs
import torch
import torch.nn.functional as F
from torch import Tensor

from hogwild_kernels import attention
from hogwild_kernels.attention import AttentionPlan
from hogwild_kernels.rotary import Rotary

FOLDER = Path(__file__).parent
SOURCES = ("attend.c", "linear.c")
HEADER = "lanes.h"
FLAGS = ("-O3", "-march=native", "-fopenmp", "-fno-math-errno", "-fno-trapping-math", "-std=gnu11", "-fPIC")
COMPILERS = ("cc", "gcc", "clang")
"""Tried in this order, after the one that the environment names in CC."""
LANES = 16
"""Sizes of values that are a multiple of it are served on every processor."""
TYPES = (torch.float32, torch.bfloat16)
PIECE = 1024
"""Tokens of a segment that one task reads, where few rows do not make tasks enough."""
FEW_ROWS = 128
"""Per KV head."""
PATIENCE_S = 20
"""With one step of the compiler."""
WIDENED_FROM = 32
"""Rows per KV head. On a processor that multiplies bfloat16, if this cannot, torch does before this has widened it."""


class _Problem(ctypes.Structure):
    """`attention` of attend.c."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in (
            "kv_heads", "group", "rows", "head_dim", "value_dim", "rotary_dim", "interleaved", "segments", "pieces",
            "threads", "query_head", "query_row", "narrow",
        )),
        ("scaling", ctypes.c_float), ("softcap", ctypes.c_float),
        *((name, ctypes.c_void_p) for name in (
            "query", "cos", "sin", "sinks", "first", "visible", "piece", "keys", "values", "strides", "partial", "out",
            "mass",
        )),
    ]  # fmt: skip


def serves(query: Tensor, values: Sequence[Tensor]) -> bool:
    """Whether `attend` can do this, and not later than the definition; `query [heads, rows, head_dim]`, `values` per
    segment."""
    return (
        query.dtype in TYPES
        and query.device.type == "cpu"
        and (values[0].dtype, values[0].device) == (query.dtype, query.device)
        and values[0].shape[-1] % LANES == 0
        and not torch.is_grad_enabled()
        and (function := library()) is not None
        and (query.dtype == torch.float32 or _pays(function, query, values[0]))
    )


def _pays(function: ctypes.CDLL, query: Tensor, values: Tensor) -> bool:
    """In bfloat16."""
    few = query.shape[0] // values.shape[0] * query.shape[1] < WIDENED_FROM
    return not multiplies_bfloat16() or not few or bool(function.pairs())


@cache
def multiplies_bfloat16() -> bool:
    """Whether this CPU has units for it; where it has none, emulation is some fifty times slower than float32."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def attend(
    query: Tensor,
    keys: Sequence[Tensor],
    values: Sequence[Tensor],
    plan: AttentionPlan,
    scaling: float,
    *,
    mass: bool = False,
    softcap: float | None = None,
    sinks: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """What `attention.attend` gives for the same arguments, for which `serves` is true."""
    function = library()
    assert function is not None
    # What a row gets of each segment is held until all are done: of so many rows at once as there is room for.
    held = query.shape[0] * (values[0].shape[-1] + 2) * max(1, len(plan.stretches))
    rows = max(FEW_ROWS, attention.MAX_SCORES // held)
    if plan.num_rows <= rows:
        return _attend(function, query, keys, values, plan, scaling, mass, softcap, sinks)
    parts = [
        _attend(function, query[:, at], keys, values, _part(plan, at), scaling, mass, softcap, sinks)
        for at in (slice(start, start + rows) for start in range(0, plan.num_rows, rows))
    ]
    shares = torch.cat([share for _, share in parts if share is not None]) if mass else None
    return torch.cat([out for out, _ in parts], dim=1), shares


def _part(plan: AttentionPlan, rows: slice) -> AttentionPlan:
    """The plan of some of its rows."""
    cos, sin = (None if one is None else one[:, :, rows].contiguous() for one in (plan.cos, plan.sin))
    first, visible = (None if one is None else one[rows] for one in (plan.first, plan.visible))
    return replace(plan, cos=cos, sin=sin, first=first, visible=visible, num_rows=len(range(plan.num_rows)[rows]))


def _attend(
    function: ctypes.CDLL,
    query: Tensor,
    keys: Sequence[Tensor],
    values: Sequence[Tensor],
    plan: AttentionPlan,
    scaling: float,
    mass: bool,
    softcap: float | None,
    sinks: Tensor | None,
) -> tuple[Tensor, Tensor | None]:
    heads, rows, head_dim = query.shape
    kv_heads, value_dim = keys[0].shape[0], values[0].shape[-1]
    columns, dtype, query = len(plan.stretches), query.dtype, _rows(query.float())
    cos, sin, sinks = (None if one is None else one.float() for one in (plan.cos, plan.sin, sinks))
    read = [(_rows(keys[segment]), _rows(values[segment])) for segment, _, _ in plan.stretches]
    addresses = ctypes.c_void_p * columns
    key_places = addresses(*(key.data_ptr() for key, _ in read))
    value_places = addresses(*(value.data_ptr() for _, value in read))
    apart = (ctypes.c_int64 * (4 * columns))(*(n for pair in read for one in pair for n in one.stride()[:2]))
    piece = plan.pieces(PIECE if heads // kv_heads * rows <= FEW_ROWS else 1 << 30)
    out = query.new_empty(heads, rows, value_dim)
    partial = query.new_empty(len(piece), heads, rows, value_dim + 2)
    spent = query.new_zeros(heads, rows, columns) if mass else None
    problem = _Problem(
        kv_heads, heads // kv_heads, rows, head_dim, value_dim, 0 if cos is None else cos.shape[-1],
        plan.interleaved, columns, len(piece), torch.get_num_threads(), query.stride(0), query.stride(1),
        dtype == torch.bfloat16, scaling, softcap or 0.0,
        query.data_ptr(), _place(cos), _place(sin), _place(sinks), _place(plan.first), _place(plan.visible),
        piece.data_ptr(), ctypes.addressof(key_places), ctypes.addressof(value_places), ctypes.addressof(apart),
        partial.data_ptr(), out.data_ptr(), _place(spent),
    )  # fmt: skip
    if function.attend(ctypes.byref(problem)):
        raise MemoryError("There is no memory left for the attention of one step.")
    out = out.to(dtype)
    if spent is None:
        return out, None
    shares = query.new_zeros(rows, len(plan.lengths))
    shares[:, [segment for segment, _, _ in plan.stretches]] = spent.mean(0)
    return out, shares


def pack(weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    """`weight [outputs, inputs]` and `bias [outputs]`, float32, in the order in which `linear` reads them:
    `[panels, inputs, panel]` and `[panels, panel]`, filled up with zeros. Only where there is a `library`."""
    function = library()
    assert function is not None
    return _pack(function, weight, bias)


def _pack(function: ctypes.CDLL, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    (outputs, inputs), panel = weight.shape, function.panel()
    panels = -(-outputs // panel)
    wide = F.pad(weight.detach(), (0, 0, 0, panels * panel - outputs)).view(panels, panel, inputs)
    added = weight.new_zeros(panels, panel)
    if bias is not None:
        added.view(-1)[:outputs] = bias.detach()
    return wide.transpose(1, 2).contiguous(), added


def linear(x: Tensor, packed: Tensor, bias: Tensor, outputs: int) -> Tensor:
    """`[..., outputs]`: `x [..., inputs]`, float32, times a weight, plus its bias, as `pack` gave them."""
    function = library()
    assert function is not None
    return _linear(function, x, packed, bias, outputs)


def _linear(function: ctypes.CDLL, x: Tensor, packed: Tensor, bias: Tensor, outputs: int) -> Tensor:
    inputs = packed.shape[1]
    if x.shape[-1] != inputs:
        raise ValueError(f"The layer takes {inputs} inputs, not {x.shape[-1]}.")
    rows = _rows(x.reshape(-1, inputs))
    out = x.new_empty(*x.shape[:-1], outputs)
    function.linear(
        rows.data_ptr(), rows.stride(0), packed.data_ptr(), bias.data_ptr(), out.data_ptr(),
        len(rows), inputs, outputs, torch.get_num_threads(),
    )  # fmt: skip
    return out


def _place(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def _rows(tensor: Tensor) -> Tensor:
    """The tensor, whose last dimension is dense."""
    return tensor if tensor.stride(-1) == 1 else tensor.contiguous()


def library() -> ctypes.CDLL | None:
    """The compiled function, or None where there is none; `state` says why."""
    return _library()[0]


def state() -> str:
    """In a few words, for a person: whether the compiled function runs, and if not, why."""
    return _library()[1]


@cache
def _library() -> tuple[ctypes.CDLL | None, str]:
    compiler = next(
        (place for name in (os.environ.get("CC", ""), *COMPILERS) if name and (place := shutil.which(name))), ""
    )
    if not compiler:
        return None, "plain torch: there is no C compiler (Debian: apt-get install gcc)"
    try:
        name = _name(compiler)
    except OSError as error:  # as where a package is one file
        return None, f"plain torch: its source cannot be read ({error})"
    folder = Path(platformdirs.user_cache_dir("workbench", appauthor=False)) / "compiled"
    with suppress(OSError):
        for held in folder.glob(f"{name}-*.so"):
            if held.stem == f"{name}-{_digest(held.read_bytes())}" and (function := load(held)) is not None:
                return function, f"compiled by {compiler}"
    failed = ""
    # The one or the other may be full, or nothing may be run from it.
    for room in (folder, Path(tempfile.gettempdir())):
        try:
            room.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=room, ignore_cleanup_errors=True) as work:
                built = Path(work) / "compiled.so"
                failed = compile_by(compiler, built)
                if not failed and (function := load(built)) is not None:
                    with suppress(OSError):  # it is compiled again the next time
                        built.replace(folder / f"{name}-{_digest(built.read_bytes())}.so")
                    return function, f"compiled by {compiler}"
        except OSError as error:
            failed = str(error)
        except subprocess.TimeoutExpired:
            return None, f"plain torch: {compiler} has not compiled it in {PATIENCE_S} seconds"
    if failed:
        return None, f"plain torch: {compiler} cannot compile it ({failed})"
    return None, f"plain torch: what {compiler} compiles cannot be loaded here, or is not exact"


def _name(compiler: str) -> str:
    """Stands for everything that what is compiled depends on: the source, the compiler, the processor."""
    found = Path(compiler).resolve().stat()
    try:
        cpu = re.search(
            r"^(flags|Features)\s*:.*$", Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace"), re.M
        )
    except OSError:
        cpu = None
    sources = [(FOLDER / name).read_text(encoding="ascii") for name in (*SOURCES, HEADER)]
    parts = [*sources, *FLAGS, compiler, str(found.st_size), str(found.st_mtime_ns)]
    return _digest("\n".join([*parts, platform.machine(), cpu[0] if cpu else ""]).encode())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def compile_by(compiler: str, out: Path, *more: str) -> str:
    """Compile the sources, with `more` flags; returns what went wrong. The functions that start threads are left to be
    found in torch's own library: a second one would bring threads of its own, which wait for work on the same cores."""
    parts = [str(out.with_name(f"{name}.o")) for name in SOURCES]
    steps = [[*FLAGS, *more, "-c", str(FOLDER / name), "-o", part] for name, part in zip(SOURCES, parts, strict=True)]
    told = out.with_name("told")
    for step in (*steps, ["-shared", *parts, "-o", str(out), "-lm"]):
        # No pipe: what the compiler leaves behind, as a cache's server, may hold it open.
        with told.open("wb") as errors:
            code = _run([compiler, *step], errors)
        if code:
            lines = told.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            return next(
                (line for line in lines if "error" in line.lower()), lines[-1] if lines else f"exit code {code}"
            )
    return ""


def _run(command: list[str], errors: BinaryIO) -> int:
    """Its exit code. When it takes too long, it ends with all that it has started."""
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True
    ) as running:
        try:
            return running.wait(PATIENCE_S)
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
            raise


def load(place: Path) -> ctypes.CDLL | None:
    """The functions, if they can be loaded and equal the definitions."""
    try:
        function = ctypes.CDLL(str(place))
        function.attend.argtypes, function.attend.restype = (ctypes.POINTER(_Problem),), ctypes.c_int
        whole, place_of = ctypes.c_int64, ctypes.c_void_p
        function.linear.argtypes = (place_of, whole, place_of, place_of, place_of, whole, whole, whole, whole)
        function.linear.restype, function.panel.restype, function.pairs.restype = None, ctypes.c_int, ctypes.c_int
    except (OSError, AttributeError):
        return None
    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        return function if _attends(function) and _multiplies(function) else None


def _multiplies(function: ctypes.CDLL) -> bool:
    draw = torch.Generator().manual_seed(0)
    x, weight, bias = (
        torch.randn(*shape, generator=draw, dtype=torch.float32, device="cpu") for shape in ((7, 300), (45, 300), (45,))
    )
    out = _linear(function, x, *_pack(function, weight, bias), 45)
    return torch.allclose(out, F.linear(x, weight, bias), rtol=1e-4, atol=1e-4)


def _attends(function: ctypes.CDLL) -> bool:
    draw = torch.Generator().manual_seed(0)
    lengths = (70, 3)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw, dtype=torch.float32, device="cpu")

    query, sinks = normal(6, 3, 32), normal(6)
    keys, values = ([normal(2, n, 32) for n in lengths] for _ in range(2))
    turns, visible = (
        torch.tensor(one, device="cpu") for one in ([[5, 0], [900, 7], [0, 1]], [[70, 1], [33, 0], [0, 3]])
    )
    rotary = Rotary(torch.logspace(0, -3, 8, dtype=torch.float64, device="cpu"))
    plan = attention.plan_attention(turns, visible, lengths, rotary, torch.float32)
    right, shares = attention.attend(query, keys, values, plan, 0.2, mass=True, softcap=20.0, sinks=sinks)
    out, spent = _attend(function, query, keys, values, plan, 0.2, True, 20.0, sinks)
    assert shares is not None
    assert spent is not None
    short = [one.bfloat16() for one in (query, *keys, *values)]
    rounded, _ = _attend(function, short[0], short[1:3], short[3:], plan, 0.2, False, 20.0, sinks)
    exact = torch.allclose(out, right, rtol=1e-4, atol=1e-5) and torch.allclose(spent, shares, rtol=1e-4, atol=1e-5)
    return exact and torch.allclose(rounded.float(), right, rtol=0.05, atol=0.05)
