"""A model that cannot be shared is refused at load, with the property that stands in the way; so are broken files.

Every model here is a real tiny one of `transformers`, saved and loaded from its folder.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_models
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig

from hogwild import Engine, loading
from hogwild.errors import BrokenModel, HogwildError, ModelNotFound, UnsupportedModel

_SMALL: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
}
_ROPE = {"rope_theta": 10000.0}
_LONG = {"rope_type": "longrope", "short_factor": [1.0] * 8, "long_factor": [4.0] * 8}

# name -> (what the message must name, the configuration)
REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "bloom": ("alibi", {"model_type": "bloom", "vocab_size": 97, "hidden_size": 64, "n_layer": 2, "n_head": 4}),
    "mpt": ("alibi", {"model_type": "mpt", "vocab_size": 97, "d_model": 64, "n_layers": 2, "n_heads": 4}),
    "falcon-alibi": (
        "alibi",
        {key: value for key, value in _SMALL.items() if key != "head_dim"} | {"model_type": "falcon", "alibi": True},
    ),
    "gpt2": ("learned position", {"model_type": "gpt2", "vocab_size": 97, "n_embd": 64, "n_layer": 2, "n_head": 4}),
    "opt": ("learned position", {**_SMALL, "model_type": "opt", "ffn_dim": 96, "word_embed_proj_dim": 64}),
    "gptj": (
        "rotary embedding itself",
        {"model_type": "gptj", "vocab_size": 97, "n_embd": 64, "n_layer": 2, "n_head": 4, "rotary_dim": 8},
    ),
    "codegen": (
        "rotary embedding itself",
        {
            "model_type": "codegen",
            "vocab_size": 97,
            "n_embd": 64,
            "n_layer": 2,
            "n_head": 4,
            "rotary_dim": 8,
            "n_ctx": 64,
            "n_positions": 64,
        },
    ),
    "falcon": (
        "attentions of its own",
        {key: value for key, value in _SMALL.items() if key != "head_dim"} | {"model_type": "falcon"},
    ),
    "llama-dynamic": (
        "dynamic",
        {**_SMALL, "model_type": "llama", "rope_parameters": {**_ROPE, "rope_type": "dynamic", "factor": 2.0}},
    ),
    "phi3-longrope": (
        "longrope",
        {
            **_SMALL,
            "model_type": "phi3",
            "rope_parameters": {**_ROPE, **_LONG, "original_max_position_embeddings": 64},
            "original_max_position_embeddings": 64,
            "max_position_embeddings": 256,
        },
    ),
    "mamba": ("recurrent", {"model_type": "mamba", "vocab_size": 97, "hidden_size": 32, "num_hidden_layers": 2}),
    "lfm2": (
        "recurrent",
        {**_SMALL, "model_type": "lfm2", "layer_types": ["conv", "full_attention"], "block_auto_adjust_ff_dim": False},
    ),
    "qwen3_next": (
        "recurrent",
        {
            **_SMALL,
            "model_type": "qwen3_next",
            "layer_types": ["linear_attention", "full_attention"],
            "num_experts": 2,
            "num_experts_per_tok": 1,
            "moe_intermediate_size": 32,
            "shared_expert_intermediate_size": 32,
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 2,
            "linear_key_head_dim": 16,
            "linear_value_head_dim": 16,
        },
    ),
    "llama4": (
        "chunk",
        {
            **_SMALL,
            "model_type": "llama4_text",
            "layer_types": ["chunked_attention", "full_attention"],
            "attn_temperature_tuning": False,
            "intermediate_size_mlp": 96,
            "num_local_experts": 2,
        },
    ),
    # what does not rotate grows with its position, too little in a few tokens to be seen in the logits
    "beam": (
        "scaled by their absolute position",
        {**_SMALL, "model_type": "beam", "num_hidden_layers": 3, "num_experts": 4, "moe_intermediate_size": 32},
    ),
    "gemma3-both-ways": (
        "see those that come after",
        {**_SMALL, "model_type": "gemma3_text", "use_bidirectional_attention": True},
    ),
}


def saved(config: dict[str, Any], folder: Path) -> Path:
    settings = dict(config)
    model = tiny_models.from_config(AutoConfig.for_model(settings.pop("model_type"), **settings))
    return tiny_models.save(model, folder)


def load(folder: Path) -> Engine:
    return Engine.from_pretrained(folder, dtype="float32", device="cpu")


def assert_one_clear_sentence(error: HogwildError, *words: str) -> None:
    message = str(error)
    assert "\n" not in message
    assert 20 < len(message) < 600
    for word in words:
        assert re.search(word, message, re.IGNORECASE), message


@pytest.mark.parametrize("name", REFUSED)
def test_a_model_that_cannot_be_shared_is_refused_by_the_name_of_the_property(name: str, tmp_path: Path) -> None:
    word, config = REFUSED[name]
    folder = saved(config, tmp_path / "model")
    with pytest.raises(UnsupportedModel) as refusal:
        load(folder)
    assert_one_clear_sentence(refusal.value, word.replace(" ", "[ -]"))
    assert refusal.value.property


# Nothing in these configurations is one of the known obstacles; only the numbers tell.
ONLY_NUMBERS_TELL: dict[str, dict[str, Any]] = {
    # the rotated dimensions stand last in a head, and keys are wider than values
    "multi-head-latent-attention": {
        **{key: value for key, value in _SMALL.items() if key != "head_dim"},
        "model_type": "deepseek_v3",
        "num_key_value_heads": 4,
        "q_lora_rank": 16,
        "kv_lora_rank": 16,
        "qk_rope_head_dim": 8,
        "qk_nope_head_dim": 16,
        "v_head_dim": 16,
        "n_routed_experts": 4,
        "n_group": 1,
        "topk_group": 1,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 32,
        "first_k_dense_replace": 1,
        "rope_parameters": {**_ROPE, "rope_type": "default"},
    },
    # the query grows with its position, every 4 tokens
    "position-dependent-temperature": {
        **_SMALL,
        "model_type": "ministral3",
        "sliding_window": None,
        "rope_parameters": {
            **_ROPE,
            "rope_type": "yarn",
            "factor": 4.0,
            "original_max_position_embeddings": 4,
            "llama_4_scaling_beta": 0.5,
        },
    },
}


@pytest.mark.parametrize("name", ONLY_NUMBERS_TELL)
def test_a_model_whose_numbers_differ_on_a_two_block_view_is_refused(name: str, tmp_path: Path) -> None:
    folder = saved(ONLY_NUMBERS_TELL[name], tmp_path / "model")
    with pytest.raises(UnsupportedModel) as refusal:
        load(folder)
    assert_one_clear_sentence(refusal.value)


def test_a_temperature_that_changes_only_after_thousands_of_tokens_is_refused_too(tmp_path: Path) -> None:
    config = ONLY_NUMBERS_TELL["position-dependent-temperature"]
    rope = {**config["rope_parameters"], "original_max_position_embeddings": 16384}
    folder = saved({**config, "rope_parameters": rope, "max_position_embeddings": 65536}, tmp_path / "model")
    with pytest.raises(UnsupportedModel) as refusal:
        load(folder)
    assert_one_clear_sentence(refusal.value)


def test_a_window_as_wide_as_the_context_is_no_obstacle_where_the_model_does_not_use_it(tmp_path: Path) -> None:
    """Qwen2 configurations carry a window that is switched off."""
    config = tiny_models.build("qwen2").config.to_dict() | {"use_sliding_window": False, "sliding_window": 8}
    folder = saved(config, tmp_path / "model")
    (ids,) = load(folder).decode([1, 2, 3], heads=[[4] * 20], max_new_tokens=5, stop=False)
    assert ids == tiny_models.generate(tiny_models.load(folder), [1, 2, 3] + [4] * 20, 5)


def test_a_window_in_the_configuration_of_a_model_that_knows_none_is_no_window(tmp_path: Path) -> None:
    """A Llama that was converted from a Mistral keeps the words of its configuration."""
    engine = load(saved({**_SMALL, "model_type": "llama", "sliding_window": 16}, tmp_path / "model"))
    assert [kind.window for kind in engine.facts.kinds] == [None]


def test_a_layer_whose_window_is_not_the_configurations_is_refused(tmp_path: Path) -> None:
    """No probe at load is as long as a window of thousands of tokens, so the two words for it are compared."""
    folder = saved({**_SMALL, "model_type": "gemma2", "sliding_window": 1024}, tmp_path / "model")
    loaded = loading.load(folder, "float32", torch.device("cpu"))
    loaded.model.model.layers[0].self_attn.sliding_window = 512
    with pytest.raises(UnsupportedModel) as refusal:
        Engine(loaded)
    assert_one_clear_sentence(refusal.value, "512", "1024", "window")


def test_a_missing_directory_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound) as error:
        load(tmp_path / "nowhere")
    assert_one_clear_sentence(error.value, "nowhere")


def test_an_empty_directory_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises((ModelNotFound, BrokenModel)) as error:
        load(tmp_path)
    assert_one_clear_sentence(error.value, re.escape(str(tmp_path)))


def _truncate(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])


def _empty(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"")


def _garble_the_header(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(b"\xff" * 64 + weights.read_bytes()[64:])


def _remove_the_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _drop_a_tensor(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.self_attn.k_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _cut_a_tensor(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["model.layers.1.self_attn.k_proj.weight"] = torch.zeros(8, 8)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _garble_the_configuration(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "llama", ')


def _name_an_unknown_family(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "no_such_family"}))


DAMAGES: list[Callable[[Path], None]] = [
    _truncate,
    _empty,
    _garble_the_header,
    _remove_the_weights,
    _drop_a_tensor,
    _cut_a_tensor,
    _garble_the_configuration,
    _name_an_unknown_family,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__.strip("_"))
def test_damaged_files_give_one_clear_error(damage: Callable[[Path], None], tmp_path: Path) -> None:
    folder = tiny_models.save(tiny_models.build("llama"), tmp_path / "model")
    damage(folder)
    with pytest.raises(HogwildError) as error:
        load(folder)
    assert_one_clear_sentence(error.value, re.escape(str(folder)))


def test_a_window_as_wide_as_the_longest_text_is_no_window(tmp_path: Path) -> None:
    wide = {**_SMALL, "model_type": "mistral", "max_position_embeddings": 128, "sliding_window": 128}
    assert load(saved(wide, tmp_path / "model")).facts.max_positions == 128


def test_a_model_type_that_transformers_does_not_know_is_named(tmp_path: Path) -> None:
    folder = saved({**_SMALL, "model_type": "llama"}, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "llama99"}))
    with pytest.raises(UnsupportedModel) as refusal:
        load(folder)
    assert_one_clear_sentence(refusal.value, "llama99", "newer transformers")
