"""The compiled attention equals the definition, whatever the processor has; where there is none, the definition runs.

Tolerance: twice the error that plain torch makes in the same type, and a few units in the last place.
"""

from __future__ import annotations

import ctypes
import platform
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from kernel_cases import CASES, Case, agree, result

from hogwild_kernels import attention, compiled

COMPILER = next((place for name in compiled.COMPILERS if (place := shutil.which(name))), "")
pytestmark = pytest.mark.skipif(not COMPILER, reason="there is no C compiler")
F32 = torch.float32
TWIN = SimpleNamespace(plan_attention=attention.plan_attention, attend=compiled.attend)
MORE = {
    "many rows": Case(20, 150, 12, 4, 32, (700, 37, 140), F32, 32),
    "long, in pieces": Case(21, 4, 8, 2, 64, (2500, 16, 16), F32, 64, mass=True),
    "a window over pieces": Case(22, 4, 4, 2, 64, (2200, 300), F32, 64, window=1500, mass=True),
    "nothing in the first segment": Case(24, 3, 4, 2, 32, (0, 300, 0, 5), F32, 32, mass=True),
    "one head a group": Case(23, 2, 8, 8, 128, (65, 9), F32, 128, softcap=5.0),
}
# The same source for less of the same processor: 32 bytes a vector instead of 64, and 16 without fused sums.
LESS = {"as it is": (), "without AVX-512": ("-mno-avx512f",), "any x86-64": ("-march=x86-64",)}


@pytest.fixture(scope="module", params=LESS)
def function(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    if LESS[request.param] and platform.machine() != "x86_64":
        pytest.skip("another processor")
    out = tmp_path_factory.mktemp("compiled") / "attend.so"
    assert not compiled.compile_by(COMPILER, out, *LESS[request.param])
    found = compiled.load(out)
    assert found is not None
    return found


@pytest.fixture
def build(function: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `attend` runs in this test."""
    monkeypatch.setattr(compiled, "_library", lambda: (function, ""))


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Nothing has been compiled yet; the folder where it will be kept."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    compiled._library.cache_clear()
    yield tmp_path / "workbench" / "compiled"
    compiled._library.cache_clear()


@torch.no_grad()
@pytest.mark.parametrize("dtype", compiled.TYPES, ids=str)
def test_it_equals_the_definition(dtype: torch.dtype, build: None) -> None:
    for case in [replace(case, dtype=dtype) for case in (*CASES.values(), *MORE.values())]:
        agree(case, result(case, TWIN, dtype))


@torch.no_grad()
def test_the_number_of_threads_changes_no_bit(build: None) -> None:
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(result(MORE["long, in pieces"], TWIN, F32)[0])
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@torch.no_grad()
def test_many_rows_over_many_segments_are_done_part_by_part(build: None, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(25, 300, 4, 2, 32, (9,) * 30, F32, 32, mass=True, sinks=True, window=100)
    whole, sizes = result(case, TWIN, F32), []
    monkeypatch.setattr(attention, "MAX_SCORES", 1 << 16)
    monkeypatch.setattr(
        compiled, "_attend", lambda *given, do=compiled._attend: sizes.append(given[1].shape) or do(*given)
    )
    parts = result(case, TWIN, F32)
    assert sizes == [(4, 128, 32), (4, 128, 32), (4, 44, 32)]
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_what_is_no_number_stays_none(build: None) -> None:
    query, keys, values = torch.ones(2, 2, 16), [torch.ones(1, 40, 16)], [torch.ones(1, 40, 16)]
    query[0, 1, 3] = torch.nan
    plan = attention.plan_attention(torch.zeros(2, 1).long(), torch.full((2, 1), 40), [40], None, F32)
    out, _ = compiled.attend(query, keys, values, plan, 1.0)
    assert out.isnan().tolist() == [[[False] * 16, [True] * 16], [[False] * 16] * 2]
    assert torch.equal(out[1], torch.ones(2, 16))


@torch.no_grad()
@pytest.mark.parametrize(("head_dim", "apart"), [(32, 33), (32, 34), (15, 15), (14, 14)])
def test_keys_in_bfloat16_may_lie_anywhere(head_dim: int, apart: int, build: None) -> None:
    """Where pairs of numbers do not begin at a multiple of four bytes, or one number is left over."""
    draw = torch.Generator().manual_seed(head_dim + apart)
    query, keys = torch.randn(2, 3, head_dim, generator=draw).bfloat16(), torch.randn(1, 71, apart, generator=draw)
    given, values = keys.bfloat16()[..., :head_dim], torch.randn(1, 71, 16, generator=draw).bfloat16()
    plan = attention.plan_attention(torch.zeros(3, 1).long(), torch.full((3, 1), 71), [71], None, torch.bfloat16)
    out, _ = compiled.attend(query, [given], [values], plan, 0.3)
    exact = (query.double() @ given.double().mT * 0.3).softmax(-1) @ values.double()
    assert float((out.double() - exact).abs().max()) < 0.01


def test_it_serves_two_types_without_gradients(build: None, function: ctypes.CDLL) -> None:
    query, values, rows = torch.ones(2, 1, 24), [torch.ones(1, 3, 32)], compiled.WIDENED_FROM
    assert not compiled.serves(query, values)
    with torch.no_grad():
        assert compiled.serves(query, values)
        assert not compiled.serves(query, [torch.ones(1, 3, 24)])
        assert not compiled.serves(query.half(), [values[0].half()])
        assert not compiled.serves(query, [values[0].bfloat16()])
        assert compiled.serves(torch.ones(2, rows, 24).bfloat16(), [values[0].bfloat16()])
        few = not compiled.multiplies_bfloat16() or bool(function.pairs())
        assert compiled.serves(query.bfloat16(), [values[0].bfloat16()]) == few


@torch.no_grad()
@pytest.mark.parametrize(("inputs", "outputs"), [(96, 160), (1000, 33), (7, 5), (4864, 64)])
def test_a_linear_layer_is_as_exact_as_the_librarys(inputs: int, outputs: int, build: None) -> None:
    draw = torch.Generator().manual_seed(inputs)
    weight, bias = torch.randn(outputs, inputs, generator=draw), torch.randn(outputs, generator=draw)
    packed = compiled.pack(weight, bias)
    alone = compiled.linear(x := torch.randn(1, inputs, generator=draw), *packed, outputs)
    for rows in (1, 2, 3, 5, 8, 15, 70):
        many = torch.cat([x, torch.randn(rows - 1, inputs, generator=draw)])
        exact = torch.nn.functional.linear(many.double(), weight.double(), bias.double())
        naive = (torch.nn.functional.linear(many, weight, bias).double() - exact).abs().max()
        got = compiled.linear(many.view(1, rows, inputs), *packed, outputs)
        assert got.shape == (1, rows, outputs)
        assert float((got[0].double() - exact).abs().max()) <= 2 * float(naive) + 8 * 2**-23 * float(exact.abs().max())
        assert torch.equal(got[0, :1], alone), "other rows change nothing"
    apart = torch.randn(3, 2 * inputs, generator=draw)[:, inputs:]  # rows that lie apart
    assert torch.equal(compiled.linear(apart, *packed, outputs), compiled.linear(apart.contiguous(), *packed, outputs))
    without = compiled.linear(x, *compiled.pack(weight, None), outputs)
    torch.testing.assert_close(without, x @ weight.t(), rtol=1e-4, atol=1e-4)


def test_it_is_compiled_once_and_kept(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert compiled.library() is not None
    assert compiled.state() == f"compiled by {COMPILER}"
    (kept,) = fresh.iterdir()
    compiled._library.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(compiled, "compile_by", None)  # is not called
        assert compiled.library() is not None
    whole = kept.read_bytes()
    kept.unlink()  # and not cut short: this process runs what is in it
    kept.write_bytes(whole[:5000])  # from a disk that was full
    compiled._library.cache_clear()
    assert compiled.library() is not None
    assert kept.read_bytes() == whole


def test_a_folder_that_cannot_be_written_to_costs_only_time(fresh: Path) -> None:
    fresh.parent.write_text("no folder", encoding="utf-8")
    assert compiled.library() is not None


def compiler(folder: Path, lines: str) -> str:
    """A compiler that does the lines first."""
    place = folder / "odd-cc"
    place.write_text(f"#!/bin/sh\n{lines}\n", encoding="utf-8")
    place.chmod(0o755)
    return str(place)


def test_whatever_a_compiler_says_it_is_heeded(fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", compiler(tmp_path, "printf 'Fehler: \\344\\n' >&2\nexit 1"))
    assert compiled.library() is None
    assert compiled.state().endswith("cannot compile it (Fehler: \ufffd)")
    compiled._library.cache_clear()
    # It warns in bytes of another encoding, asks something, and leaves a process that holds its output open.
    lines = f"printf '\\344\\n' >&2\nread answer\nsleep 1 &\nexec {COMPILER} \"$@\""
    monkeypatch.setenv("CC", compiler(tmp_path, lines))
    assert compiled.library() is not None


def test_a_compiler_that_hangs_is_ended_with_all_that_it_started(
    fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "PATIENCE_S", 0.5)
    monkeypatch.setenv("CC", compiler(tmp_path, f"sleep 100 &\necho $! > {tmp_path}/started\nwait"))
    assert compiled.library() is None
    assert "has not compiled it in" in compiled.state()
    started = Path("/proc", (tmp_path / "started").read_text(encoding="ascii").strip(), "stat")
    for _ in range(100):  # until the system has taken it away
        if not started.exists() or started.read_text(encoding="ascii").rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.05)
    pytest.fail("It goes on.")


def test_where_the_folder_is_full_or_runs_nothing_it_is_compiled_elsewhere(
    fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = f'case "$*" in *{fresh}*) echo "No space left on device" >&2; exit 1;; esac\nexec {COMPILER} "$@"'
    monkeypatch.setenv("CC", compiler(tmp_path, lines))
    assert compiled.library() is not None
    compiled._library.cache_clear()
    monkeypatch.delenv("CC")
    load = compiled.load
    monkeypatch.setattr(compiled, "load", lambda place: None if fresh in place.parents else load(place))
    assert compiled.library() is not None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("a->scaling;", "1.01f;", "not exact"),
        ("+= x[r * step + k] * right", "-= x[r * step + k] * right", "not exact"),
        ("int attend", "int", "error: "),
    ],
)
def test_what_is_wrong_is_not_used(
    old: str, new: str, said: str, fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "wrong"
    folder.mkdir()
    for name in (*compiled.SOURCES, compiled.HEADER):
        source = (compiled.FOLDER / name).read_text(encoding="ascii")
        (folder / name).write_text(source.replace(old, new), encoding="ascii")
    monkeypatch.setattr(compiled, "FOLDER", folder)
    assert compiled.library() is None
    assert said in compiled.state()
    assert not list(fresh.iterdir())
    with torch.no_grad():
        assert not compiled.serves(torch.ones(2, 1, 16), [torch.ones(1, 3, 16)])


def test_without_its_source_the_definition_runs(fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "FOLDER", tmp_path / "package.zip")
    assert compiled.library() is None
    assert compiled.state().startswith("plain torch: its source cannot be read")


def test_without_a_compiler_the_definition_runs(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(fresh))
    assert compiled.library() is None
    assert compiled.state() == "plain torch: there is no C compiler (Debian: apt-get install gcc)"
