"""Packed linear layers: the same numbers, and only where nobody notices another difference."""

from __future__ import annotations

import copy
import functools
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_models
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.utils import parametrize

import hogwild.packed
from hogwild import Engine
from hogwild.loading import load
from hogwild.packed import PackedLinear, _can_pack, pack
from hogwild.room import free_bytes
from hogwild_kernels import compiled

pytestmark = pytest.mark.skipif(not _can_pack(torch.float32), reason="this torch cannot pack weights")


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [1, 2, 5, 33, 300])
def test_a_packed_layer_gives_what_the_layer_gave(rows: int, bias: bool) -> None:
    layer, x = nn.Linear(96, 160, bias=bias), torch.randn(1, rows, 96)
    with torch.inference_mode():
        before = layer(x)
        assert pack(layer, least_bytes=0) == 1
        assert isinstance(layer, PackedLinear)
        torch.testing.assert_close(layer(x), before, rtol=1e-5, atol=1e-5)


def test_gradients_flow_through_a_packed_layer() -> None:
    layer, x = packed_layer()
    layer(x).sum().backward()
    assert layer.weight.grad is not None
    assert layer.packed is not None


def packed_layer(dtype: torch.dtype = torch.float32) -> tuple[PackedLinear, Tensor]:
    layer: Any = nn.Linear(64, 64).to(dtype)
    assert pack(layer, least_bytes=0) == 1
    return layer, torch.randn(2, 64).to(dtype)


def in_place(layer: nn.Linear) -> None:
    with torch.no_grad():
        layer.weight.mul_(2)


def bias_in_place(layer: nn.Linear) -> None:
    with torch.no_grad():
        layer.bias.add_(1)


def replaced(layer: nn.Linear) -> None:
    layer.weight = nn.Parameter(2 * layer.weight.detach())


def bias_replaced(layer: nn.Linear) -> None:
    layer.bias = nn.Parameter(layer.bias.detach() + 1)


def loaded(layer: nn.Linear) -> None:
    layer.load_state_dict({name: value + 1 for name, value in layer.state_dict().items()}, assign=True)


def by_data(layer: nn.Linear) -> None:
    layer.weight.data += 1  # as adapters are merged


def data_replaced(layer: nn.Linear) -> None:
    layer.weight.data = 2 * layer.weight.data


def moved(layer: nn.Linear) -> None:
    dtype = layer.weight.dtype
    layer.half().to(dtype)


class Twice(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return 2 * weight


def parametrised(layer: nn.Linear) -> None:
    parametrize.register_parametrization(layer, "weight", Twice())


CHANGES = (in_place, bias_in_place, replaced, bias_replaced, loaded, by_data, data_replaced, moved, parametrised)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_parameter_is_used_as_it_is_now(change: Callable[[nn.Linear], None], dtype: torch.dtype) -> None:
    if not _can_pack(dtype):
        pytest.skip("this processor does not multiply bfloat16")
    layer, x = packed_layer(dtype)
    change(layer)
    with torch.no_grad():
        assert torch.equal(layer(x), nn.functional.linear(x, layer.weight, layer.bias))
    assert layer.packed is None, "nothing is held twice any more"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_copies_and_pickles_are_plain_layers(dtype: torch.dtype) -> None:
    if not _can_pack(dtype):
        pytest.skip("this processor does not multiply bfloat16")
    layer, x = packed_layer(dtype)
    for copied in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert type(copied) is nn.Linear
        in_place(copied)
        with torch.no_grad():
            assert torch.equal(copied(x), nn.functional.linear(x, 2 * layer.weight, layer.bias))
            torch.testing.assert_close(layer(x), nn.functional.linear(x, layer.weight, layer.bias))
    assert layer.packed is not None


@torch.no_grad()
def test_whoever_traces_a_model_sees_the_layer_itself() -> None:
    layer, x = packed_layer()
    other = torch.randn(2, 64)
    traced = torch.jit.trace(layer, (x,))
    torch.testing.assert_close(traced(other), layer(other))
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert layer(torch.empty(5, 64)).shape == (5, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_what_a_person_has_set_for_all_of_torch_is_no_hindrance(dtype: torch.dtype) -> None:
    if not _can_pack(dtype):
        pytest.skip("this processor does not multiply bfloat16")
    layer, x = nn.Linear(64, 64, dtype=dtype), torch.randn(2, 64, dtype=dtype)
    _can_pack.cache_clear()
    compiled._library.cache_clear()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert pack(layer, least_bytes=0) == 1
    finally:
        torch.set_default_dtype(torch.float32)
    with torch.inference_mode():
        torch.testing.assert_close(layer(x), nn.functional.linear(x, layer.weight, layer.bias))


def test_a_model_is_packed_where_no_versions_are_counted() -> None:
    with torch.inference_mode():
        layer, x = packed_layer()
        torch.testing.assert_close(layer(x), nn.functional.linear(x, layer.weight, layer.bias))
        layer.weight.mul_(2)
        assert torch.equal(layer(x), nn.functional.linear(x, layer.weight, layer.bias))


def test_what_does_not_fit_is_refused_as_by_the_layer_itself() -> None:
    layer = nn.Linear(64, 64)
    pack(layer, least_bytes=0)
    with torch.inference_mode():
        for wrong in (torch.ones(2, 32), torch.ones(2, 64).double(), torch.ones(2, 64).bfloat16()):
            with pytest.raises((RuntimeError, ValueError)):
                layer(wrong)
        layer.double()
        assert layer(torch.ones(2, 64).double()).dtype == torch.float64
    weight = nn.Parameter(torch.randn(48, 64).t())
    layer = nn.Linear(48, 64)
    layer.weight = weight
    assert pack(layer, least_bytes=0) == 0


class Odd(torch.Tensor):
    """As a quantised weight: a tensor that knows for itself how it is multiplied."""


def test_a_weight_of_another_kind_is_left_alone() -> None:
    layer = nn.Linear(64, 64)
    layer.weight = nn.Parameter(layer.weight.detach().as_subclass(Odd))
    assert isinstance(layer.weight, Odd)
    assert pack(layer, least_bytes=0) == 0


def test_a_layer_whose_forward_is_somebody_elses_is_left_alone() -> None:
    layer: Any = nn.Linear(64, 64)
    layer.forward = functools.partial(layer.forward)  # as accelerate's hooks do
    assert pack(layer, least_bytes=0) == 0


def test_small_models_stay_as_they_are_and_a_packed_model_gives_the_same_logits() -> None:
    model, ids = tiny_models.build("qwen2"), torch.tensor([[3, 5, 8]])
    assert pack(model) == 0
    with torch.inference_mode():
        before = model(ids).logits
        assert pack(model, least_bytes=0) == 15
        torch.testing.assert_close(model(ids).logits, before, rtol=1e-4, atol=1e-4)


def test_an_engine_packs_and_what_is_loaded_to_learn_is_not_held_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(pack.__kwdefaults__, "least_bytes", 0)
    folder = tiny_models.save(tiny_models.build("qwen2"), tmp_path)
    kinds = {type(module) for module in Engine.from_pretrained(folder).model.modules()}
    assert PackedLinear in kinds
    assert nn.Linear not in kinds
    loaded = load(folder, "float32", torch.device("cpu"))
    assert not any(isinstance(module, PackedLinear) for module in loaded.model.modules())


@pytest.mark.skipif(not _can_pack(torch.bfloat16), reason="this processor does not multiply bfloat16")
@pytest.mark.parametrize("rows", [1, 5, 300])
def test_a_packed_layer_in_bfloat16_is_as_right_as_the_layer_was(rows: int) -> None:
    torch.manual_seed(rows)
    layer, x = nn.Linear(96, 160).bfloat16(), torch.randn(1, rows, 96).bfloat16()
    with torch.inference_mode():
        exact = nn.functional.linear(x.double(), layer.weight.double(), layer.bias.double())
        before = (layer(x).double() - exact).abs().max()
        assert pack(layer, least_bytes=0) == 1
        assert (layer(x).double() - exact).abs().max() <= 2 * before


def test_a_model_whose_copy_would_not_fit_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = nn.Linear(64, 64)
    monkeypatch.setattr(hogwild.packed, "free_bytes", lambda: 1.9 * layer.weight.nbytes)
    assert pack(layer, least_bytes=0) == 0
    monkeypatch.setattr(hogwild.packed, "free_bytes", lambda: 2.1 * layer.weight.nbytes)
    assert pack(layer, least_bytes=0) == 1


def test_a_model_stays_as_it_is_where_the_process_may_not_take_so_much(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(layer: nn.Linear) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")

    layer = nn.Linear(64, 64)
    monkeypatch.setattr(hogwild.packed, "_pack", full)
    assert pack(layer, least_bytes=0) == 0
    assert type(layer) is nn.Linear


@pytest.mark.parametrize(
    ("group", "folder", "files"),
    [
        ("0::/", "", ("memory.max", "memory.current", "inactive_file")),
        ("0::/a.slice/b.scope", "a.slice", ("memory.max", "memory.current", "inactive_file")),
        ("4:memory:/docker/77", "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")),
    ],
)
def test_the_limits_of_a_container_are_heeded(
    group: str, folder: str, files: tuple[str, str, str], tmp_path: Path
) -> None:
    assert free_bytes(tmp_path) == float("inf"), "a system that tells nothing"
    within = tmp_path / "sys/fs/cgroup" / folder
    for place in (tmp_path / "proc/self", within):
        place.mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:    8000 kB\n", encoding="ascii")
    (tmp_path / "proc/self/cgroup").write_text(f"{group}\n1:name=systemd:/x\n", encoding="ascii")
    assert free_bytes(tmp_path) == 8000 * 1024
    (within / files[0]).write_text("max\n", encoding="ascii")
    (within / files[1]).write_text("300000\n", encoding="ascii")
    assert free_bytes(tmp_path) == 8000 * 1024
    (within / files[0]).write_text("1000000\n", encoding="ascii")
    (within / "memory.stat").write_text(f"anon 5\n{files[2]} 50000\n", encoding="ascii")
    assert free_bytes(tmp_path) == 750_000
