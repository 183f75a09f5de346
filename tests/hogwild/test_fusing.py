"""Norms, products, gates, rotations and layers by fewer kernels: only where the numbers stay the same."""

from __future__ import annotations

import copy
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import tiny_models
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from transformers import AutoConfig
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from hogwild.fusing import fuse, fuse_norms, switched_off
from hogwild.fusing.rotations import Rotation
from hogwild_kernels import between


@pytest.fixture(autouse=True)
def rotations_as_they_were() -> Iterator[None]:
    """A rotation stands in the source file of its family, for all models of this process."""
    yield
    for name, source in list(sys.modules.items()):
        stand_in = vars(source).get("apply_rotary_pos_emb") if name.startswith("transformers.models.") else None
        if isinstance(stand_in, Rotation):
            source.apply_rotary_pos_emb = stand_in.original


IDS = torch.tensor([[3, 5, 8, 30, 2, 41, 7, 60]])


def logits(model: nn.Module) -> Tensor:
    with torch.inference_mode():
        out: Tensor = model(IDS).logits.float()
    return out


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_model_whose_norms_are_fused_gives_the_same_logits(dtype: torch.dtype) -> None:
    model, ids = tiny_models.build("qwen3").to(dtype), torch.tensor([[3, 5, 8]])
    norms = [module for module in model.modules() if type(module).__name__ == "Qwen3RMSNorm"]
    with torch.inference_mode():
        before = model(ids).logits
    assert fuse_norms(model) == len(norms) > 4
    assert all("forward" in vars(norm) for norm in norms)
    with torch.inference_mode():
        after = model(ids).logits
    allowed = 16 * torch.finfo(dtype).eps * float(before.float().abs().max())
    assert float((after.float() - before.float()).abs().max()) <= allowed
    assert fuse_norms(model) == 0  # once is enough


@pytest.mark.parametrize("family", ["gemma2", "gemma3"])
def test_norms_that_scale_by_one_and_the_weight_stay_as_they_are(family: str) -> None:
    model = tiny_models.build(family)
    assert fuse_norms(model) == 0
    assert not any("forward" in vars(module) for module in model.modules())


class GatedRMSNorm(LlamaRMSNorm):
    def forward(self, hidden_states: Tensor, gate: Tensor | None = None) -> Tensor:
        out: Tensor = super().forward(hidden_states)
        return out if gate is None else out * gate


class RoughRMSNorm(LlamaRMSNorm):
    """Without its epsilon."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        out: Tensor = hidden_states * hidden_states.pow(2).mean(-1, keepdim=True).rsqrt() * self.weight
        return out


@pytest.mark.parametrize("kind", [GatedRMSNorm, RoughRMSNorm])
def test_a_norm_that_does_something_else_stays_as_it_is(kind: type[LlamaRMSNorm]) -> None:
    assert fuse_norms(nn.Sequential(kind(32, eps=1e-5))) == 0
    assert fuse_norms(nn.Sequential(LlamaRMSNorm(32, eps=1e-5))) == 1


def test_gradients_flow_through_a_fused_norm_and_a_changed_weight_counts() -> None:
    norm, plain, x = LlamaRMSNorm(32, eps=1e-6), LlamaRMSNorm(32, eps=1e-6), torch.randn(5, 32)
    assert fuse_norms(nn.Sequential(norm)) == 1
    for one in (norm, plain):
        one.weight.data = torch.linspace(0.5, 2, 32)
        one(x).square().sum().backward()
    torch.testing.assert_close(norm.weight.grad, plain.weight.grad)


WHAT = {  # per layer of two: merged products, gates, whole layers; norms that PyTorch has a kernel for or not
    "llama": {"norms": 5, "products": 4, "gates": 2, "rotations": 1, "layers": 2},
    "qwen2": {"norms": 5, "products": 4, "gates": 2, "rotations": 1, "layers": 2},
    "qwen3": {"norms": 9, "products": 4, "gates": 2, "rotations": 1, "layers": 2},
    "mistral": {"norms": 5, "products": 4, "gates": 2, "rotations": 1, "layers": 2},
    "phi3": {"norms": 5, "gates": 2, "rotations": 1, "layers": 2},  # its products are one by themselves
    "olmo2": {"norms": 9, "products": 4, "gates": 2, "rotations": 1},
    "smollm3": {"norms": 7, "products": 6, "gates": 3, "rotations": 1, "layers": 3},
    "glm4": {"norms": 9, "products": 2, "gates": 2, "rotations": 1},
    "gemma2": {"norms": 9, "products": 4, "gates": 2, "rotations": 1},
    "gemma3": {"norms": 19, "products": 6, "gates": 3, "rotations": 1},
    "cohere2": {"products": 4, "gates": 2, "rotations": 1},
    "qwen3_moe": {"norms": 9, "products": 2, "rotations": 1, "layers": 2},
    "gpt_oss": {"norms": 5, "products": 2, "rotations": 1, "layers": 2},
}


@pytest.mark.parametrize("family", WHAT)
def test_a_fused_model_gives_its_own_logits(family: str) -> None:
    model = tiny_models.build(family)
    before, weights = logits(model), copy.deepcopy(model.state_dict())
    assert {name: times for name, times in fuse(model).items() if times} == WHAT[family]
    after = logits(model)
    assert float((after - before).abs().max()) <= 1e-5 * float(before.abs().max())
    kept = model.state_dict()
    assert list(kept) == list(weights)
    assert all(torch.equal(kept[name], one) for name, one in weights.items())
    assert not any(fuse(model)[what] for what in ("norms", "products", "gates", "layers"))  # once is enough
    with switched_off():
        assert float((logits(model) - before).abs().max()) <= 1e-5 * float(before.abs().max())


class Counted:
    """Counts the calls of what would be one kernel each."""

    def __init__(self) -> None:
        self.calls = Counter[str]()

    def __getattr__(self, name: str) -> Any:
        self.calls[name] += 1
        return getattr(between, name)


def test_two_layers_of_llama_are_this_many_kernels() -> None:
    model, by = tiny_models.build("llama"), Counted()
    fuse(model, by)
    by.calls.clear()
    with torch.inference_mode(), profile(activities=[ProfilerActivity.CPU]) as seen:
        model(IDS)
    assert by.calls == {"rms_norm": 1, "add_rms_norm": 4, "gated": 2, "rotate": 2}
    assert sum(event.count for event in seen.key_averages() if event.key == "aten::linear") == 2 * 4 + 1


@pytest.mark.parametrize("family", ["llama", "qwen2", "glm4"])
def test_a_fused_model_is_no_further_from_float64_in_a_short_type(family: str) -> None:
    model = tiny_models.build(family).to(torch.bfloat16)
    exact = logits(copy.deepcopy(model).double())
    before = float((logits(model) - exact).abs().mean())
    assert fuse(model)["gates"] == 2
    assert float((logits(model) - exact).abs().mean()) <= 1.5 * before


def test_weights_of_one_product_are_held_once_and_a_change_of_one_counts() -> None:
    model: Any = tiny_models.build("qwen2")
    fuse(model)
    block, attention = model.model.layers[0].mlp, model.model.layers[0].self_attn
    assert block.gate_proj.weight.untyped_storage().data_ptr() == block.up_proj.weight.untyped_storage().data_ptr()
    assert attention.q_proj.bias.untyped_storage().data_ptr() == attention.v_proj.bias.untyped_storage().data_ptr()
    before = logits(model)
    with torch.no_grad():
        block.up_proj.weight.mul_(2.0)  # in place: a view of the common weight
        attention.v_proj.bias.data = attention.v_proj.bias + 1.0  # another tensor: the product is no longer used
    with switched_off():
        wanted = logits(model)
    assert float((wanted - before).abs().max()) > 0.1
    torch.testing.assert_close(logits(model), wanted, rtol=1e-4, atol=1e-4)


def test_layers_of_a_product_that_are_asked_with_other_tensors_multiply_by_themselves() -> None:
    model: Any = tiny_models.build("llama")
    attention = model.model.layers[0].self_attn
    a, b = torch.randn(2, 1, 3, 48)
    with torch.inference_mode():
        wanted = [attention.q_proj(a), attention.k_proj(b), attention.v_proj(a)]
        fuse(model)
        got = [attention.q_proj(a), attention.k_proj(b), attention.v_proj(a)]
    for mine, theirs in zip(got, wanted, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_gradients_reach_the_weights_of_a_fused_model() -> None:
    plain, fused = tiny_models.build("llama"), tiny_models.build("llama")
    fuse(fused)
    for model in (plain, fused):
        model(IDS, labels=IDS).loss.backward()
    for (name, one), other in zip(plain.named_parameters(), fused.parameters(), strict=True):
        torch.testing.assert_close(other.grad, one.grad, msg=name)


def test_what_somebody_else_has_changed_stays_as_it_is() -> None:
    model: Any = tiny_models.build("llama")
    first, second = model.model.layers
    first.self_attn.k_proj.register_forward_hook(lambda module, given, out: 2 * out)
    second.mlp.up_proj = nn.Sequential(second.mlp.up_proj)
    second.self_attn.forward = second.self_attn.forward
    before = logits(model)
    assert fuse(model) == {"norms": 5, "products": 2, "gates": 1, "rotations": 1, "layers": 1}
    torch.testing.assert_close(logits(model), before)


def test_layers_that_scale_what_they_add_stay_as_they_are() -> None:
    shape = {name: size for name, size in tiny_models._SHAPE.items() if "token" not in name}
    model = tiny_models.from_config(AutoConfig.for_model("granite", **shape, residual_multiplier=0.9))
    before = logits(model)
    done = fuse(model)
    assert done["norms"] == 5
    assert done["layers"] == 0
    torch.testing.assert_close(logits(model), before)


def test_a_kernel_that_cannot_run_leaves_the_model_as_it_was(caplog: pytest.LogCaptureFixture) -> None:
    class Refused:
        rms_norm = staticmethod(between.rms_norm)
        gated = staticmethod(between.gated)

        @staticmethod
        def rotate(*given: Any) -> Any:
            raise RuntimeError("no kernel image is available for this device")

    class AllRefused(Refused):
        @staticmethod
        def rms_norm(*given: Any) -> Any:
            raise RuntimeError("no kernel image is available for this device")

        gated = add_rms_norm = rms_norm

    for by, left in ((Refused, {"norms", "products", "gates"}), (AllRefused, {"norms", "products"})):
        model = tiny_models.build("llama")
        before = logits(model)
        done = fuse(model, by)
        assert {name for name, times in done.items() if times} == left
        assert "no kernel image" in caplog.text
        torch.testing.assert_close(logits(model), before, rtol=1e-4, atol=1e-4)
