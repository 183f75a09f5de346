"""Checkpoints that are quantised give the tokens that plain transformers gives with them.

FP8 as it is stored by its makers needs no package, and is computed in higher precision on a CPU; int8 by torchao, 4
bits by bitsandbytes, and GPTQ and AWQ by gptqmodel are tried where these are installed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import tiny_models
import torch
from engine_scenes import HEADS, PROMPT
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM
from twin import TOLERANCE, relative_error

from hogwild import Engine
from hogwild.errors import UnsupportedModel

Parts = dict[str, torch.Tensor]
Packed = Callable[[torch.Tensor, torch.Tensor], Parts]
BLOCK = 32
SHAPE = {"hidden_size": 64, "head_dim": 32, "intermediate_size": 128}
AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
"""Which of eight outputs lies in which four bits of a word."""


def saved_in_fp8(folder: Path) -> Path:
    """A folder as of Qwen3-FP8: linear weights as float8 with a scale for every 32 x 32 block."""

    def parts(weight: torch.Tensor) -> Parts:
        rows, columns = weight.shape
        blocks = weight.float().view(rows // BLOCK, BLOCK, columns // BLOCK, BLOCK)
        scale = blocks.abs().amax((1, 3), keepdim=True) / 448
        levels = (blocks / scale).view(rows, columns).to(torch.float8_e4m3fn)
        return {"weight": levels, "weight_scale_inv": scale[:, 0, :, 0]}

    model = tiny_models.build("qwen3", **SHAPE).to(torch.bfloat16)
    how = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [BLOCK] * 2}
    return saved_in_parts(folder, model, parts, how)


def saved_in_parts(folder: Path, model: Any, parts: Callable[[torch.Tensor], Parts], how: dict[str, Any]) -> Path:
    """A folder of the model, whose linear weights are stored as what `parts` makes of them."""
    tiny_models.save(model, folder)
    weights: dict[str, torch.Tensor] = {}
    for name, weight in model.state_dict().items():
        stored = parts(weight) if "_proj.weight" in name else {"weight": weight}
        weights |= {name.removesuffix("weight") + part: tensor.contiguous() for part, tensor in stored.items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return quantised(folder, how)


def saved_by_gptq(folder: Path) -> Path:
    """Four bits: eight inputs in a word, zero points of 8 stored as 7."""
    pytest.importorskip("gptqmodel")

    def packed(levels: torch.Tensor, scales: torch.Tensor) -> Parts:
        inputs, outputs = levels.shape
        zeros = torch.full((len(scales), outputs), 7)
        words = {"qweight": in_words(levels.t(), range(8)).t(), "qzeros": in_words(zeros, range(8))}
        return {**words, "scales": scales, "g_idx": torch.arange(inputs, dtype=torch.int32) // BLOCK}

    how = {"quant_method": "gptq", "desc_act": False, "sym": True, "checkpoint_format": "gptq"}
    return saved_in_four_bits(folder, packed, how)


def saved_by_awq(folder: Path) -> Path:
    """Four bits: eight outputs in a word, in an order of their own."""
    pytest.importorskip("gptqmodel")

    def packed(levels: torch.Tensor, scales: torch.Tensor) -> Parts:
        zeros = torch.full((len(scales), levels.shape[1]), 8)
        return {"qweight": in_words(levels, AWQ_ORDER), "qzeros": in_words(zeros, AWQ_ORDER), "scales": scales}

    return saved_in_four_bits(folder, packed, {"quant_method": "awq", "zero_point": True, "version": "gemm"})


def in_words(levels: torch.Tensor, order: Iterable[int]) -> torch.Tensor:
    """`[n, m]` levels of four bits as `[n, m / 8]` int32."""
    return sum(levels[:, at::8].int() << (4 * place) for place, at in enumerate(order))  # type: ignore[return-value]


def saved_in_four_bits(folder: Path, packed: Packed, how: dict[str, Any]) -> Path:
    """A folder whose linear weights are 16 levels about 8, with a scale for each group of inputs and output."""

    def parts(weight: torch.Tensor) -> Parts:
        groups = weight.float().view(len(weight), -1, BLOCK)
        scale = groups.abs().amax(-1, keepdim=True) / 7
        levels = ((groups / scale).round() + 8).view(weight.shape).t()
        return packed(levels, scale[..., 0].t().contiguous().half())

    model = tiny_models.build("qwen3", hidden_size=128, head_dim=32, intermediate_size=256).half()
    return saved_in_parts(folder, model, parts, {**how, "bits": 4, "group_size": BLOCK})


def quantised(folder: Path, how: dict[str, Any]) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"quantization_config": how}))
    return folder


def saved_by_torchao(folder: Path) -> Path:
    quantization = pytest.importorskip("torchao.quantization")
    from transformers import TorchAoConfig

    return _quantise(folder, TorchAoConfig(quantization.Int8WeightOnlyConfig()))


def saved_by_bitsandbytes(folder: Path) -> Path:
    pytest.importorskip("bitsandbytes")
    from transformers import BitsAndBytesConfig

    return _quantise(folder, BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=torch.float32))


def _quantise(folder: Path, how: Any) -> Path:
    whole = tiny_models.save(tiny_models.build("qwen3", **SHAPE), folder / "whole")
    model = AutoModelForCausalLM.from_pretrained(whole, quantization_config=how, dtype=torch.float32)
    return tiny_models.save(model, folder / "quantised")


@pytest.mark.parametrize("save", [saved_in_fp8, saved_by_torchao, saved_by_bitsandbytes, saved_by_gptq, saved_by_awq])
def test_a_quantised_checkpoint_gives_the_tokens_of_plain_transformers(save: Any, tmp_path: Path) -> None:
    folder = save(tmp_path)
    engine = Engine.from_pretrained(folder, dtype="float32")
    truth = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    (ids,), (rows,) = engine.decode(PROMPT, [HEADS[0]], max_new_tokens=20, stop=False, logits=True)
    text = PROMPT + HEADS[0] + ids
    if save is saved_in_fp8:  # transformers leaves it in two precisions and cannot run it so
        truth.to(torch.float32)
    with torch.inference_mode():
        logits = truth(torch.tensor([text])).logits[0, len(text) - len(ids) - 1 : -1]
    assert relative_error(rows, logits) < TOLERANCE
    assert ids == logits.argmax(-1).tolist()
    Engine.from_pretrained(folder)  # nothing is cast that cannot be


def test_a_quantised_model_whose_package_is_missing_says_which(tmp_path: Path) -> None:
    folder = tiny_models.save(tiny_models.build("qwen3"), tmp_path)
    quantised(folder, {"quant_method": "hqq", "quant_config": {}})
    with pytest.raises(UnsupportedModel, match=r"quantised and cannot be loaded here: .*(hqq|HQQ)"):
        Engine.from_pretrained(folder)
