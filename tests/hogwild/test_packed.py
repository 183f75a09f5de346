"""Packed linear layers: the same numbers, and only where nobody notices another difference."""

from __future__ import annotations

import pytest
import tiny_models
import torch
from torch import nn

import hogwild.packed
from hogwild.packed import PackedLinear, _can_pack, pack

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


def test_a_changed_weight_is_used_as_it_is_now_and_gradients_flow() -> None:
    layer, x = nn.Linear(64, 64), torch.randn(2, 64)
    pack(layer, least_bytes=0)
    layer(x).sum().backward()
    assert layer.weight.grad is not None
    with torch.no_grad():
        layer.weight.mul_(2)
        torch.testing.assert_close(layer(x), x @ layer.weight.t() + layer.bias)


def test_what_does_not_fit_is_refused_as_by_the_layer_itself() -> None:
    layer = nn.Linear(64, 64)
    pack(layer, least_bytes=0)
    with torch.inference_mode():
        for wrong in (torch.ones(2, 32), torch.ones(2, 64).double(), torch.ones(2, 64).bfloat16()):
            with pytest.raises((RuntimeError, ValueError)):
                layer(wrong)
        layer.double()
        assert layer(torch.ones(2, 64).double()).dtype == torch.float64


class Odd(torch.Tensor):
    """As a quantised weight: a tensor that knows for itself how it is multiplied."""


def test_a_weight_of_another_kind_is_left_alone() -> None:
    layer = nn.Linear(64, 64)
    layer.weight = nn.Parameter(layer.weight.detach().as_subclass(Odd))
    assert isinstance(layer.weight, Odd)
    assert pack(layer, least_bytes=0) == 0


def test_small_models_stay_as_they_are_and_a_packed_model_gives_the_same_logits() -> None:
    model, ids = tiny_models.build("qwen2"), torch.tensor([[3, 5, 8]])
    assert pack(model) == 0
    with torch.inference_mode():
        before = model(ids).logits
        assert pack(model, least_bytes=0) == 15
        torch.testing.assert_close(model(ids).logits, before, rtol=1e-4, atol=1e-4)


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
    monkeypatch.setattr(hogwild.packed, "_free_bytes", lambda: 1.9 * layer.weight.nbytes)
    assert pack(layer, least_bytes=0) == 0
    monkeypatch.setattr(hogwild.packed, "_free_bytes", lambda: 2.1 * layer.weight.nbytes)
    assert pack(layer, least_bytes=0) == 1
