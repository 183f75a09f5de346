"""RMS norms as one kernel: only where the numbers stay the same."""

from __future__ import annotations

import pytest
import tiny_models
import torch
from torch import Tensor, nn
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from hogwild.norms import fuse_norms


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
