"""Finding and loading a model: what a name means, what is kept of its files, and what each bad request is told.

In: folders, names, devices, dtypes. Out: engines, or one clear sentence. Neighbours: `test_refusals.py` for models that
cannot be shared and for damaged files, `hogwild.loading`.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import scripted_model
import tiny_models
import torch
from safetensors.torch import load_file, save_file

from hogwild import Engine
from hogwild.errors import BrokenModel, HogwildError, ModelNotFound
from hogwild.loading import find, fingerprint

Folder = Callable[[str], Path]


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scripted_model.save(tmp_path_factory.mktemp("scripted"), ["# Alice\n", "done."])


def copy(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to))


def test_a_directory_is_found_by_its_path(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find(folder("llama")) == folder("llama")
    assert find(str(folder("llama"))) == folder("llama")
    monkeypatch.setenv("HOME", str(folder("llama").parent))
    assert find(f"~/{folder('llama').name}") == folder("llama")


@pytest.mark.parametrize("name", ["./nowhere", "/no/such/place", "a/b/c", "with space", "", "../up", "a//b"])
def test_what_is_neither_a_directory_nor_a_hub_id_is_not_looked_for_on_the_hub(name: str) -> None:
    with pytest.raises(ModelNotFound) as error:
        find(name)
    assert "hub id such as" in str(error.value) or "no config.json" in str(error.value)


def test_a_file_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "weights.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelNotFound, match=r"weights\.gguf"):
        find(tmp_path / "weights.gguf")


def test_a_folder_without_a_configuration_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"no config\.json"):
        find(tmp_path)


def test_a_hub_id_that_cannot_be_fetched_is_one_clear_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelNotFound, match=r"'nobody/no-such-model-here'.*check the name and the network") as error:
        find("nobody/no-such-model-here")
    assert "\n" not in str(error.value)


def test_a_model_without_a_tokenizer_decodes_ids(folder: Folder) -> None:
    engine = Engine.from_pretrained(folder("llama"))
    assert engine.tokenizer is None
    assert [len(ids) for ids in engine.decode([1, 2], heads=[[3], [4]], max_new_tokens=3, stop=False)] == [3, 3]


def test_a_tokenizer_that_cannot_be_read_is_named(scripted: Path, tmp_path: Path) -> None:
    broken = copy(scripted, tmp_path / "model")
    (broken / "tokenizer.json").write_text("{")
    with pytest.raises(BrokenModel, match="tokenizer") as error:
        Engine.from_pretrained(broken)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16], ids=str)
def test_a_small_model_in_half_precision_is_computed_in_float32_on_a_cpu(stored: torch.dtype, tmp_path: Path) -> None:
    model: torch.nn.Module = tiny_models.build("llama")
    folder = tiny_models.save(model.to(stored), tmp_path / "model")  # type: ignore[arg-type]
    assert Engine.from_pretrained(folder).dtype == torch.float32


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", torch.bfloat16], ids=str)
def test_the_dtype_that_was_asked_for_is_used(dtype: str | torch.dtype, folder: Folder) -> None:
    engine = Engine.from_pretrained(folder("llama"), dtype=dtype)
    assert str(engine.dtype).endswith(str(dtype).split(".")[-1])
    assert engine.cache.dtype == engine.dtype
    assert len(engine.decode([1, 2], heads=[[3], [4]], max_new_tokens=3, stop=False)[0]) == 3


def test_an_unknown_dtype_is_answered_with_the_known_ones(folder: Folder) -> None:
    with pytest.raises(HogwildError, match=r"'int4'.*auto, float32, bfloat16 or float16"):
        Engine.from_pretrained(folder("llama"), dtype="int4")


@pytest.mark.parametrize("device", ["gpu", "cuda:x", ""])
def test_an_unknown_device_is_answered_with_the_known_ones(device: str, folder: Folder) -> None:
    with pytest.raises(HogwildError, match="choose cpu"):
        Engine.from_pretrained(folder("llama"), device=device)


@pytest.mark.parametrize("device", ["meta", "xla", "mps"])
def test_a_device_that_torch_knows_and_the_engine_does_not_is_refused(device: str, folder: Folder) -> None:
    with pytest.raises(HogwildError):
        Engine.from_pretrained(folder("llama"), device=device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_is_refused_where_there_is_none(folder: Folder) -> None:
    with pytest.raises(HogwildError, match="no CUDA device"):
        Engine.from_pretrained(folder("llama"), device="cuda")


def test_weights_that_are_not_numbers_are_refused(folder: Folder, tmp_path: Path) -> None:
    broken = copy(folder("llama"), tmp_path / "model")
    tensors = load_file(broken / "model.safetensors")
    tensors["model.layers.0.mlp.down_proj.weight"].fill_(float("nan"))
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BrokenModel, match="its weights are damaged"):
        Engine.from_pretrained(broken)


def test_weights_that_are_too_large_for_float16_are_told_to_be_loaded_as_float32(
    folder: Folder, tmp_path: Path
) -> None:
    large = copy(folder("llama"), tmp_path / "model")
    tensors = load_file(large / "model.safetensors")
    tensors["lm_head.weight"] *= 1e6
    save_file(tensors, large / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BrokenModel, match="load it as float32"):
        Engine.from_pretrained(large, dtype="float16")
    assert Engine.from_pretrained(large, dtype="float32").decode([5], [[6]], max_new_tokens=1)


def test_weights_of_another_shape_are_named_in_a_sentence_and_not_in_a_table(
    folder: Folder, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = copy(folder("llama"), tmp_path / "model")
    tensors = load_file(broken / "model.safetensors")
    tensors["model.norm.weight"] = tensors["model.norm.weight"][:-8].clone()
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    theirs = logging.getLogger("transformers")  # writes to a stream of its own
    monkeypatch.setattr(theirs, "handlers", [*theirs.handlers, caplog.handler])
    with pytest.raises(BrokenModel, match=r"incomplete: model\.norm\.weight is missing or of the wrong shape"):
        Engine.from_pretrained(broken)
    assert caplog.messages == []


def test_the_fingerprint_names_weights_and_configuration(folder: Folder, tmp_path: Path) -> None:
    same = copy(folder("llama"), tmp_path / "same")
    (same / "README.md").write_text("Another card changes nothing.")
    assert fingerprint(same) == fingerprint(folder("llama"))
    assert len(fingerprint(same)) == 16

    weights = copy(folder("llama"), tmp_path / "weights")
    with (weights / "model.safetensors").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last[0] ^ 1]))
    config = copy(folder("llama"), tmp_path / "config")
    changed = json.loads((config / "config.json").read_text()) | {"rms_norm_eps": 1e-5}
    (config / "config.json").write_text(json.dumps(changed))
    assert len({fingerprint(one) for one in (same, weights, config, folder("qwen3"))}) == 4


def test_loading_leaves_the_cache_empty_and_draws_no_random_number(folder: Folder) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    engine = Engine.from_pretrained(folder("llama"))
    assert engine.cache.blocks == ()
    assert torch.equal(torch.rand(3), expected)
