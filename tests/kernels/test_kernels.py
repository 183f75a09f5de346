"""The kernels equal the definition: in Triton's interpreter, on a device where there is one, and compiled for three.

Tolerance: twice the error that plain torch makes in the same type, and a few units in the last place.
"""

from __future__ import annotations

import itertools
import re
import subprocess
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from kernel_cases import (
    BETWEEN,
    CASES,
    ROTATIONS,
    agree,
    between_apart,
    engines_apart,
    fused_apart,
    kernels_append,
    kernels_result,
    refused_apart,
    rotated_and_appended_apart,
)

from hogwild import Engine, Feed, Sampling
from hogwild.sampling import Sampler, choose
from hogwild_kernels.tiling import BLOCK_COST, PIECE_COST, cut

triton = pytest.importorskip("triton", reason="Triton is not installed (pip install 'agent-workbench[gpu]')")

F16, BF16, F32 = torch.float16, torch.bfloat16, torch.float32


@pytest.mark.parametrize("name", CASES)
def test_the_kernels_equal_the_definition_in_the_interpreter(name: str, interpreter: ProcessPoolExecutor) -> None:
    agree(CASES[name], interpreter.submit(kernels_result, CASES[name]).result(timeout=120))


def test_keys_are_turned_and_stored_in_one_pass(interpreter: ProcessPoolExecutor) -> None:
    keys, values, right_keys, right_values = interpreter.submit(kernels_append, 0).result(timeout=120)
    torch.testing.assert_close(keys, right_keys, rtol=1e-5, atol=1e-5)
    assert torch.equal(values, right_values)


def near(results: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]) -> None:
    for ours, plain, right in results:
        assert ours.dtype == plain.dtype
        assert ours.shape == plain.shape
        allowed = 2 * float((plain.double() - right).abs().max())
        allowed += 4 * torch.finfo(ours.dtype).eps * float(right.abs().max())
        assert float((ours.double() - right).abs().max()) <= allowed  # false for NaN


@pytest.mark.parametrize("dtype", [F32, BF16, F16], ids=str)
@pytest.mark.parametrize("name", [*BETWEEN, *ROTATIONS])
def test_norms_gates_and_rotations_equal_their_definition_in_the_interpreter(
    name: str, dtype: torch.dtype, interpreter: ProcessPoolExecutor
) -> None:
    near(interpreter.submit(between_apart, name, dtype).result(timeout=120))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("name", [*BETWEEN, *ROTATIONS])
def test_norms_gates_and_rotations_equal_their_definition_on_the_device(name: str) -> None:
    for dtype in (F32, BF16, F16):
        near(between_apart(name, dtype, "cuda"))


def test_keys_are_rotated_by_tables_and_stored_in_one_pass(interpreter: ProcessPoolExecutor) -> None:
    for one, other in interpreter.submit(rotated_and_appended_apart, F32).result(timeout=120):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)
        assert other.any()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_keys_are_rotated_by_tables_and_stored_in_one_pass_on_the_device() -> None:
    for dtype in (F32, BF16, F16):
        for one, other in rotated_and_appended_apart(dtype, "cuda"):
            torch.testing.assert_close(one, other, rtol=0.01, atol=0.02)


FUSED = ("llama", "qwen3", "glm4", "gemma2")


@pytest.mark.parametrize("family", FUSED)
def test_a_model_on_these_kernels_gives_its_own_logits_in_the_interpreter(
    family: str, interpreter: ProcessPoolExecutor, tmp_path: Path
) -> None:
    done, difference = interpreter.submit(fused_apart, saved(family, tmp_path)).result(timeout=120)
    assert {"norms", "products", "gates", "rotations"} <= set(done)
    assert difference < 1e-4


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("family", [*FUSED, "qwen2", "olmo2", "smollm3", "cohere2", "gpt_oss"])
def test_a_model_on_these_kernels_gives_its_own_logits_on_the_device(family: str, tmp_path: Path) -> None:
    folder = saved(family, tmp_path)
    # In a short type a token may go to another expert, which is no error of a kernel.
    for dtype, allowed in ((F32, 1e-4), (BF16, 0.05))[: 1 if family == "gpt_oss" else 2]:
        done, difference = fused_apart(folder, "cuda", dtype)
        assert {"products", "rotations"} <= set(done)
        assert family in ("cohere2", "gpt_oss") or {"norms", "gates"} <= set(done)
        assert difference < allowed


@pytest.fixture(scope="module", params=["smollm3", "gemma2", "gemma3", "gpt_oss"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny model on disk: with a layer without rotation; with capped scores and a window; with two rotations and a
    window; with sinks and a window."""
    return saved(request.param, tmp_path_factory.mktemp(request.param))


def saved(family: str, folder: Path) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[1] / "hogwild"))
        import tiny_models
    changes: dict[str, Any] = {"sliding_window": 6} if family in tiny_models.WINDOWED else {}
    if family == "gemma3":
        changes |= {"num_hidden_layers": 2, "layer_types": ["sliding_attention", "full_attention"]}
    return str(tiny_models.save(tiny_models.build(family, **changes), folder))


def test_an_engine_on_the_kernels_gives_the_logits_of_plain_torch(
    folder: str, interpreter: ProcessPoolExecutor
) -> None:
    assert max(interpreter.submit(engines_apart, folder, fused=True).result(timeout=120)) < 1e-4


def test_a_step_that_cannot_rotate_keys_on_their_way_leaves_that_to_the_model(
    interpreter: ProcessPoolExecutor, tmp_path: Path
) -> None:
    difference, rotates = interpreter.submit(refused_apart, saved("llama", tmp_path)).result(timeout=120)
    assert difference < 1e-4
    assert not rotates


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_an_engine_on_the_device_gives_plain_torch_s_logits(folder: str) -> None:
    assert max(engines_apart(folder, "cuda", graphs=True)) < 1e-3


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_decoding_in_bfloat16_is_the_same_with_and_without_fusions_on_the_device(tmp_path: Path) -> None:
    from hogwild.fusing import switched_off

    engine = Engine.from_pretrained(saved("llama", tmp_path), dtype="bfloat16", device="cuda")
    found = []
    for fused in (True, False):
        engine._runner.use_kernels()
        with nullcontext() if fused else switched_off():
            prompt, a, b = engine.prefill([(5 * i) % 90 for i in range(900)]), engine.open_block(), engine.open_block()
            rows = []
            for token in range(20):
                rows += engine.step_last([Feed((prompt, b, a), [token]), Feed((prompt, a, b), [90 - token])])[0]
        assert all(graph is not None for _, graph, _ in engine._runner._kernels.graphs.values())
        found.append(torch.stack(rows))
        engine.release(prompt, a, b)
    ours, other = found
    assert float((ours - other).abs().max()) <= 0.05 * float(other.abs().max())
    assert float((ours - other).abs().mean()) <= 0.03 * float(other.abs().mean())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_decoding_on_the_device_waits_for_nothing_but_its_tokens(family: str, tmp_path: Path) -> None:
    """Steps whose graph is there already, each worker sampling in its own way; anything that waits is an error. Every
    step but the first is begun before its tokens are known, and then none is: both give the same tokens."""
    engine = Engine.from_pretrained(saved(family, tmp_path), dtype="float32", device="cuda")
    hows = [Sampling(temperature=0.9, seed=1), Sampling(temperature=1.2, top_k=20, top_p=0.9, banned=(3,), seed=2)]
    found = []
    for engine._runner.runs_ahead in (True, False):
        prompt, a, b = engine.prefill(list(range(30))), engine.open_block(), engine.open_block()
        engine.step([Feed((prompt, b, a), [1, 2]), Feed((prompt, a, b), [3])])
        samplers, written, begun_at = [Sampler(how) for how in hows], [[1], [3]], 0
        for number in range(12):
            feeds = [Feed((prompt, b, a), written[0][-1:]), Feed((prompt, a, b), written[1][-1:])]
            torch.cuda.set_sync_debug_mode("error" if number >= 2 else "default")
            try:
                rows, _ = engine.step_last(feeds)
                chosen = choose(samplers, rows, written)
                engine.run_ahead([feed.view for feed in feeds], chosen, (0, 1))
            finally:
                torch.cuda.set_sync_debug_mode("default")
            began = engine._runner._ahead
            assert (began is not None) == engine._runner.runs_ahead
            assert begun_at in (0, rows[0].data_ptr())
            begun_at = began.logits.data_ptr() if began else 0
            for sampler, text, token in zip(samplers, written, chosen.ids(), strict=True):
                sampler.advance()
                text.append(token)
        found.append(written)
        engine.release(prompt, a, b)
    assert found[0] == found[1]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("name", CASES)
def test_the_kernels_equal_the_definition_on_the_device(name: str) -> None:
    agree(CASES[name], kernels_result(CASES[name], "cuda"))


SHARED_BYTES = {80: 166_912, 89: 101_376, 90: 232_448}
COMPILED = {
    # rows, heads per KV head, head size, type, bytes of stack allowed (what ptxas spills to), what is on
    "decoding": (4, 4, 128, BF16, 16, ()),
    "eight workers": (8, 4, 128, BF16, 32, ()),
    "prefill": (2048, 4, 128, BF16, 80, ()),
    "wide": (4, 2, 256, F16, 16, ()),
    "float32": (4, 4, 128, F32, 0, ()),
    "gemma2": (4, 2, 256, BF16, 16, ("WINDOW", "SOFTCAP")),
    "gpt_oss": (4, 8, 64, BF16, 24, ("WINDOW", "SINKS")),
    "early": (4, 4, 128, BF16, 16, ("EARLY",)),
}


@pytest.mark.parametrize("arch", SHARED_BYTES)
@pytest.mark.parametrize("name", COMPILED)
def test_the_attention_compiles_within_the_device_s_limits(name: str, arch: int, tmp_path: Path) -> None:
    rows, group, head_dim, dtype, stack, flags = COMPILED[name]
    if "EARLY" in flags and arch < 90:
        pytest.skip("kernels are launched early from sm_90 on")
    shape, binary = compiled(arch, rows, group, head_dim, dtype, flags)
    assert ("griddepcontrol.wait" in binary.asm["ptx"]) == ("EARLY" in flags)
    (tmp_path / "kernel.cubin").write_bytes(binary.asm["cubin"])
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    said = subprocess.run([tool, "-res-usage", tmp_path / "kernel.cubin"], capture_output=True, text=True, check=True)
    used = {key: int(value) for key, value in re.findall(r"(REG|STACK|LOCAL):(\d+)", said.stdout)}
    assert used["REG"] <= 255
    assert used["STACK"] <= stack
    assert used["LOCAL"] == 0
    # As many decoding programs fit on a multiprocessor as it is given at a time; keys travel 16 bytes at a time while
    # the last ones are worked on.
    at_once = shape.items if rows < 100 else 1
    assert at_once * binary.metadata.shared <= SHARED_BYTES[arch]
    assert at_once * 32 * shape.num_warps * used["REG"] <= 1 << 16
    assert re.search(r"cp\.async\.cg\.shared\.global \[[^]]*\], \[[^]]*\], 0x10", binary.asm["ptx"])


SMALL = {  # of an 8 B model in bfloat16
    "norm_kernel": {"DIM": 4096, "BLOCK": 4096, "ADD": True, "OFFSET": 0.0, "num_warps": 16},
    "gate_kernel": {"BLOCK": 1024, "SILU": True, "num_warps": 4},
    "rotate_kernel": {
        "NUM_HEADS": 32, "KV_HEADS": 8, "DIM": 128, "SIZE": 128, "STRIDE": 1, "BLOCK": 64, "BLOCK_REST": 1, "HEADS": 8,
        "INTERLEAVED": False, "cos_column": 1, "sin_column": 1, "num_warps": 4,
    },
}  # fmt: skip
SMALL["rotate_append_kernel"] = SMALL["rotate_kernel"] | {"BLOCK_DIM": 128}


@pytest.mark.parametrize("arch", SHARED_BYTES)
@pytest.mark.parametrize("name", SMALL)
def test_norms_gates_and_rotations_compile_and_keep_everything_in_registers(name: str, arch: int) -> None:
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from hogwild_kernels import between_kernels

    fixed = dict(SMALL[name])
    options = {"num_warps": fixed.pop("num_warps")}
    kernel = getattr(between_kernels, name)
    names = kernel.arg_names
    tensors = ("x", "added", "weight", "out", "total", "both", "query", "key", "query_out", "key_out", "cos", "sin")
    kinds = dict.fromkeys(fixed, "constexpr") | dict.fromkeys((*tensors, "value", "base"), "*bf16")
    kinds |= {"eps": "fp32", "segments": "*i64", "targets": "*i32"}
    signature = {one: kinds.get(one, "i32") for one in names}
    whole = [
        one for one in names if signature[one] != "constexpr" and one not in ("eps", "cos_row", "sin_row", "layer")
    ]
    aligned = {(names.index(one),): [["tt.divisibility", 16]] for one in whole}
    source = ASTSource(kernel, signature, {(names.index(k),): v for k, v in fixed.items()}, aligned)
    binary = triton.compile(source, target=GPUTarget("cuda", arch, 32), options=options)
    assert ".local" not in binary.asm["ptx"]
    assert re.search(r"ld\.global\.v4|ld\.global\.v2", binary.asm["ptx"])


def compiled(
    arch: int, rows: int, group: int, head_dim: int, dtype: torch.dtype, flags: Sequence[str] = ()
) -> tuple[Any, Any]:
    """Its shape and the attention kernel as it would be launched, compiled without a device."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from hogwild_kernels import gpu
    from hogwild_kernels.triton_kernels import attend_kernel

    shape = gpu.shape_for(rows, group, head_dim, dtype, SHARED_BYTES[arch])
    fixed = {
        "GROUP": group, "DIM": head_dim, "BLOCK_D": shape.block_d, "BLOCK_M": shape.block_m, "BLOCK_N": shape.block_n,
        "ROTARY": head_dim, "INTERLEAVED": False, "WINDOW": False, "SOFTCAP": False, "SINKS": False,
        "SPLIT": rows < 100, "MASS": False, "EARLY": False, "PRODUCT": gpu.PRODUCTS[dtype],
        **dict.fromkeys(flags, True),
    }  # fmt: skip
    data = {F16: "*fp16", BF16: "*bf16", F32: "*fp32"}[dtype]
    kinds = {
        **dict.fromkeys(fixed, "constexpr"), **dict.fromkeys(("query", "out", "sinks", "base"), data),
        **dict.fromkeys(("partial", "stats", "piece_stats", "lse"), "*fp32"),
        **dict.fromkeys(("frequencies", "segments"), "*i64"), "scale": "fp32", "cap": "fp32",
        **dict.fromkeys(("turns", "visible", "first_seen", "items", "pieces"), "*i32"),
    }  # fmt: skip
    names = attend_kernel.arg_names
    signature = {name: kinds.get(name, "i32") for name in names}
    aligned = {(i,): [["tt.divisibility", 16]] for i, name in enumerate(names) if signature[name].startswith("*")}
    source = ASTSource(attend_kernel, signature, {(names.index(k),): v for k, v in fixed.items()}, aligned)
    options = {"num_warps": shape.num_warps, "num_stages": shape.num_stages}
    return shape, triton.compile(source, target=GPUTarget("cuda", arch, 32), options=options)


def test_a_decoding_tile_of_a_large_multiprocessor_takes_all_of_it() -> None:
    from hogwild_kernels import gpu

    for rows in (1, 2, 4, 8):  # the measured ones: 32 heads over 8 KV heads
        wide = gpu.shape_for(rows, 4, 128, BF16, SHARED_BYTES[90])
        assert wide == gpu.Shape(max(16, 4 * rows), 128, 128, 8, 3, items=1)
    for shape in (gpu.shape_for(4, 4, 128, BF16, SHARED_BYTES[80]), gpu.shape_for(16, 4, 128, BF16, SHARED_BYTES[90])):
        assert (shape.block_n, shape.items) == (64, 2)
    device = torch.device("cpu")
    assert wide.programs(device, 2) * 2 == gpu.Shape(16, 64, 128, 4, 3).programs(device, 2)


@pytest.mark.parametrize("family", ["gpt_oss", "qwen3_moe"])
def test_experts_that_wait_for_nothing_give_the_same_logits(family: str, tmp_path: Path) -> None:
    from hogwild.gpu_step import Kernels, _experts_of

    engine = Engine.from_pretrained(saved(family, tmp_path))
    kernels = Kernels(engine.model, engine.cache)
    ids, before = torch.tensor([[3, 5, 8, 30]]), _experts_of(engine.model)
    engine.model.set_attn_implementation("eager")
    with torch.inference_mode():
        wanted, kernels.experts = engine.model(ids).logits, "batched_mm"
        with kernels._chosen_experts():
            assert _experts_of(engine.model) == "batched_mm"
            torch.testing.assert_close(engine.model(ids).logits, wanted, rtol=1e-4, atol=1e-4)
    assert before == _experts_of(engine.model) == "grouped_mm"  # what a prompt is multiplied by


def test_the_tables_of_decoding_steps_cover_what_rows_see_while_blocks_grow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hogwild import gpu_step

    engine = Engine.from_pretrained(saved("llama", tmp_path))
    prompt, a, b = (engine.open_block() for _ in range(3))
    for block, length in ((prompt, 300), (a, 50), (b, 9)):
        engine.cache.reserve(block, 600)
        block.length = length
    origin, cuts = torch.empty(16), []
    monkeypatch.setattr(gpu_step, "cut", lambda *given: cuts.append(given) or cut(*given))
    decoding = gpu_step._Decoding(engine.cache, origin, 2, 8)
    for step in range(40):
        if step == 30:
            a, b = b, a
        a.length, b.length = a.length + 1, b.length + 1
        decoding.fill([Feed((prompt, b, a), [1]), Feed((prompt, a, b), [2])], origin)
        host = decoding.on_host
        items = [item for item in host["items None"].tolist() if item[0] >= 0]
        pieces = [piece for _, begin, end in items for piece in host["pieces None"][begin:end].tolist()]
        for segment in range(3):
            mine = [(start, stop) for which, start, stop in pieces if which == segment]
            assert mine[0][0] == 0
            assert mine[-1][1] >= host["visible"][:, segment].max()
            assert all(one[1] == other[0] for one, other in itertools.pairwise(mine))
    assert (
        len(cuts) == 3
    )  # at first, when the first worker begins another block of keys, and when the two change places


def test_tiles_cover_what_their_rows_see_once_and_share_the_work() -> None:
    draw = np.random.default_rng(0)
    for _ in range(50):
        rows, segments = draw.integers(1, 40), draw.integers(1, 9)
        visible = draw.integers(0, 500, (rows, segments)).astype(np.int32)
        first = np.minimum(draw.integers(0, 300, (rows, segments)), visible).astype(np.int32)
        tiling = cut(first, visible, 8, 64, 20)
        for tile, (begin, end) in enumerate(tiling.tiles):
            items = tiling.items[begin:end]
            assert set(items[:, 0]) == {tile}
            pieces = tiling.pieces[items[0, 1] : items[-1, 2]]
            mine, low = visible[tile * 8 : tile * 8 + 8], first[tile * 8 : tile * 8 + 8]
            for segment in range(segments):
                stretches = pieces[pieces[:, 0] == segment, 1:].tolist()
                seen = mine[:, segment] > low[:, segment]
                assert bool(stretches) == bool(seen.any())
                if stretches:
                    assert stretches[0][0] == low[seen, segment].min()
                    assert stretches[-1][1] == mine[:, segment].max()
                    assert all(a[1] == b[0] for a, b in itertools.pairwise(stretches))
            share = max(1, 20 // len(tiling.tiles))
            assert len(items) <= share
            work = [
                sum(
                    PIECE_COST + BLOCK_COST * -(-(stop - start) // 64) for _, start, stop in tiling.pieces[a:b].tolist()
                )
                for _, a, b in items
            ]
            assert max(work) <= -(-sum(work) // share) + 2 * PIECE_COST + BLOCK_COST


def test_many_short_segments_are_shared_out_as_what_they_take() -> None:
    """Eight workers of 64 tokens over 8,192 in 16 programs: beginning a piece takes longer than a block of keys."""
    visible = np.array([[8192] + [64] * 8] * 8, dtype=np.int32)
    tiling = cut(None, visible, 8, 128, 16)
    pieces = [tiling.pieces[begin:end].tolist() for _, begin, end in tiling.items]
    assert len(pieces) == 16
    assert max(sum(-(-(stop - start) // 128) for _, start, stop in item) for item in pieces) == 5
    assert max(len(item) for item in pieces) == 3
