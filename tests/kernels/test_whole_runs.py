"""Attention of whole runs on the kernels: output and gradients equal the definition's, and they compile.

Tolerance: twice the error that plain torch makes in the same type, and a few units in the last place.
"""

from __future__ import annotations

import re
import subprocess
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
import torch
from run_cases import Case, by_definition, by_kernels, losses_apart

from hogwild.errors import UnsupportedModel
from hogwild.families import Kind, ModelFacts
from hogwild.replay import PackedReplay, Strip, pack, packs
from hogwild.seam import Softmax
from hogwild_kernels import Rotary

triton = pytest.importorskip("triton", reason="Triton is not installed (pip install 'agent-workbench[gpu]')")

BF16, F32 = torch.bfloat16, torch.float32
CASES = {
    "prompt and two workers": Case(0, 6, 2, 32, F32, ((70, (70, 90, 40)), (0, (30, 33, 5, 9)))),
    "bfloat16, one group": Case(1, 2, 2, 64, BF16, ((40, (40, 100)),)),
    "no rotation, wide": Case(2, 4, 1, 128, F32, ((10, (10, 3)), (130, (130,))), rotary=False),
}


def agree(case: Case, got: list[torch.Tensor]) -> None:
    exact, naive = by_definition(case, torch.float64), by_definition(case, case.dtype)
    for ours, right, plain in zip(got, exact, naive, strict=True):
        allowed = 2 * float((plain.double() - right).abs().max())
        allowed += 8 * torch.finfo(case.dtype).eps * float(right.abs().max())
        assert float((ours.double() - right).abs().max()) <= allowed  # false for NaN


@pytest.mark.parametrize("name", CASES)
def test_whole_runs_attend_as_defined_and_so_do_their_gradients(name: str, interpreter: ProcessPoolExecutor) -> None:
    agree(CASES[name], interpreter.submit(by_kernels, CASES[name]).result(timeout=120))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("name", CASES)
def test_whole_runs_attend_as_defined_on_the_device(name: str) -> None:
    agree(CASES[name], by_kernels(CASES[name], "cuda"))


def test_a_packed_batch_gives_the_loss_and_gradients_of_its_strips(interpreter: ProcessPoolExecutor) -> None:
    assert max(interpreter.submit(losses_apart).result(timeout=120)) < 1e-5


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_a_packed_batch_gives_the_loss_and_gradients_of_its_strips_on_the_device() -> None:
    assert max(losses_apart("cuda")) < 1e-4


def test_whole_runs_are_not_packed_where_there_are_windows_and_refused_with_sinks_or_a_cap() -> None:
    def facts(window: int | None) -> ModelFacts:
        rotary = Rotary(torch.ones(16, dtype=torch.float64))
        return ModelFacts((Kind(rotary, window, (0,)),), 1, 2, 1, 32, vocab_size=9, max_positions=99)

    assert packs(facts(None))
    assert not packs(facts(8))
    replay = PackedReplay(
        pack([Strip(*torch.zeros(2, 3).long(), 3, (3,), *torch.zeros(2, 0, 1).int(), {0: 0})]), facts(None)
    )
    rows = torch.zeros(2, 3, 32)
    for how in (Softmax(1.0, sinks=torch.zeros(2)), Softmax(1.0, softcap=3.0)):
        with pytest.raises(UnsupportedModel, match="sinks"):
            replay.attend(0, rows, rows, rows, how)


@pytest.mark.parametrize("half", [16, 64])
def test_the_kernels_of_whole_runs_compile(half: int, tmp_path: Path) -> None:
    """With the embedded model's head size nothing is spilled; with 128 a little is."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from hogwild_kernels import gpu, run_kernels

    for kernel in (run_kernels.forward_kernel, run_kernels.query_kernel, run_kernels.keys_kernel):
        names = kernel.arg_names
        fixed = {"GROUP": 3, "HALF": half, "BLOCK_M": 64, "BLOCK_N": 64, "TURN": True, "PRODUCT": gpu.PRODUCTS[BF16]}
        data = ("query", "key", "value", "out", "grad", "d_query", "d_key", "d_value")
        kinds = {
            **dict.fromkeys(fixed, "constexpr"), **dict.fromkeys(data, "*bf16"), "scale": "fp32", "scaling": "fp32",
            **dict.fromkeys(("lse", "delta"), "*fp32"), **dict.fromkeys(("frequencies", "runs"), "*i64"),
            **dict.fromkeys(("turns", "visible", "segments", "tiles", "keys"), "*i32"),
        }  # fmt: skip
        signature = {name: kinds.get(name, "i32") for name in names}
        whole = {i for i, name in enumerate(names) if signature[name].startswith("*") or name.endswith("_row")}
        source = ASTSource(
            kernel, signature, {(names.index(k),): v for k, v in fixed.items()},
            {(i,): [["tt.divisibility", 16]] for i in whole},
        )  # fmt: skip
        options = {"num_warps": 4 if half < 32 else 8, "num_stages": 2}
        binary = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
        (tmp_path / "kernel.cubin").write_bytes(binary.asm["cubin"])
        tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
        said = subprocess.run([tool, "-res-usage", tmp_path / "kernel.cubin"], capture_output=True, text=True)
        used = {key: int(value) for key, value in re.findall(r"(REG|STACK|LOCAL):(\d+)", said.stdout)}
        assert used["STACK"] <= (0 if half == 16 else 512)
        assert binary.metadata.shared <= 100_000
