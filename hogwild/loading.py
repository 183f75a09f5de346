"""Finding and loading a model: a local directory or a hub id, refused with one sentence when it cannot be used.

In: a path or an id. Out: model, tokenizer (or None), facts, and the directory that the files came from. Above:
`engine.py`. Below: transformers' Auto classes, `families.py`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import hogwild.late  # noqa: F401  # isort: skip
import torch
from transformers import CONFIG_MAPPING, AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from hogwild.errors import BrokenModel, HogwildError, ModelNotFound, UnsupportedModel
from hogwild.families import TRY, ModelFacts, facts_of, refuse, refuse_ranks
from hogwild.fusing import fuse, fuse_norms
from hogwild.seam import ATTENTION

HALF_ABOVE = 1_500_000_000
"""On a CPU, dtype 'auto' means float32 up to this many parameters and bfloat16 beyond."""
HUB_ID = re.compile(r"^[\w.-]+(/[\w.-]+)?$")


@dataclass(frozen=True)
class Loaded:
    """A model that is ready to be run, and what belongs to it."""

    model: Any
    tokenizer: Any | None
    facts: ModelFacts
    directory: Path
    placed: bool = False
    """Whether transformers has put it where it is (in part here, over several devices, quantised): its parameters do
    not tell what reaches its attention."""
    layers: tuple[torch.device, ...] = ()
    """The device of every layer, if not where its keys are."""


def look(path_or_id: str | Path, ranks: int = 1) -> Path:
    """The directory of a model that may be loaded, as far as its configuration tells. Raises what `load` raises."""
    return _look(path_or_id, ranks)[0]


def load(
    path_or_id: str | Path,
    dtype: str | torch.dtype,
    device: torch.device,
    *,
    ranks: int = 1,
    device_map: str | Mapping[str, Any] | None = None,
) -> Loaded:
    """Load a model with its tokenizer; with several ranks (`ranks.py`), which have met, this one's part of it.

    Raises ModelNotFound, BrokenModel or UnsupportedModel.
    """
    directory, config = _look(path_or_id, ranks)
    wanted = _dtype(dtype)
    placing = _placing(config, device, ranks, device_map)
    # transformers draws a bar of its own for every load; a small model's is over before it can be read. And what it has
    # to say of the weights, in a table, is said below in a sentence.
    logging.disable_progress_bar()
    told = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        model, info = _read(
            lambda: AutoModelForCausalLM.from_pretrained(
                directory,
                dtype=wanted,
                attn_implementation=ATTENTION,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                **placing,
            ),
            directory,
            "weights",
        )
    except BrokenModel as error:
        if _is_quantised(config):
            raise UnsupportedModel(
                "quantisation",
                f"The weights in {directory} are quantised and cannot be loaded here: {_first_line(error.__cause__)}",
            ) from error
        if isinstance(error.__cause__, KeyError) and ATTENTION in str(error.__cause__):
            raise UnsupportedModel(
                "attention of its own",
                f"The model type {config.model_type} chooses among attentions of its own and cannot be given a shared "
                f"one; {TRY}.",
            ) from error
        raise
    finally:
        logging.set_verbosity(told)
        logging.enable_progress_bar()
    lost = sorted([*info["missing_keys"], *(name for name, *_ in info.get("mismatched_keys", ()))])
    if lost:
        others = f" and {len(lost) - 1} more are" if len(lost) > 1 else " is"
        raise BrokenModel(
            f"The weights in {directory} are incomplete: {lost[0]}{others} missing or of the wrong shape; fetch the "
            "model again."
        )
    # transformers makes plain weights of some quantised ones (FP8 where there is no GPU); they are moved and cast, too.
    unpacked = ranks == 1 and device_map is None and getattr(model, "hf_quantizer", None) is None
    if not placing or unpacked:
        if dtype == "auto" and device.type == "cpu":
            wanted = torch.float32 if model.num_parameters() <= HALF_ABOVE else torch.bfloat16
        model.to(device, *([] if wanted == "auto" else [wanted]))
    model.eval()
    if device.type == "cuda" and device_map is None:
        # A part of a layer that is shared out among ranks is not the layer.
        _ = fuse(model) if ranks == 1 else fuse_norms(model)
    return Loaded(model, _tokenizer(directory), facts_of(model), directory, placed=bool(placing))


def _look(path_or_id: str | Path, ranks: int) -> tuple[Path, Any]:
    directory = find(path_or_id)
    _known_type(directory)
    config = _read(lambda: AutoConfig.from_pretrained(directory), directory, "config.json")
    refuse(config.get_text_config(decoder=True))
    refuse_ranks(config.get_text_config(decoder=True), ranks)
    return directory, config


def find(path_or_id: str | Path) -> Path:
    """The directory of a model; a hub id is downloaded by transformers, with its progress bar."""
    text = str(path_or_id)
    path = Path(text).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ModelNotFound(f"{path} holds no config.json, so it is not a model directory; name one that does.")
        return path
    if path.exists() or not HUB_ID.match(text) or text.startswith("."):
        raise ModelNotFound(f"There is no model directory {text}; give a directory or a hub id such as Qwen/Qwen3-4B.")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    patterns = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"]
    try:
        # The hub's client asks the network whether the copy at hand is the newest, and uses it without a network.
        return Path(snapshot_download(text, allow_patterns=patterns))
    except (OSError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, ValueError) as error:
        raise ModelNotFound(
            f"There is no directory '{text}' here and no model of that id could be fetched; check the name and the "
            "network, or give the path of a model directory."
        ) from error


def fingerprint(directory: Path) -> str:
    """Sixteen hex digits that name configuration and weights: same fingerprint, same model."""
    digest = hashlib.sha256()
    for path in sorted(directory.iterdir()):
        if path.name == "config.json" or path.suffix == ".safetensors":
            digest.update(path.name.encode())
            with path.open("rb") as file:
                while chunk := file.read(1 << 22):
                    digest.update(chunk)
    return digest.hexdigest()[:16]


def _placing(config: Any, device: torch.device, ranks: int, device_map: Any) -> dict[str, Any]:
    """What transformers is told about where the weights go; nothing for a plain model, which is moved afterwards."""
    if ranks == 1 and device_map is None and not _is_quantised(config):
        return {}
    if find_spec("accelerate") is None:
        raise HogwildError(
            "To spread a model over devices, or to load a quantised one, takes the package accelerate; "
            "pip install 'agent-workbench[tp]'."
        )
    if ranks > 1:
        return {"distributed_config": _sharded(ranks)}
    # A quantised model is put in its place while it is loaded: most of them cannot be moved or cast afterwards.
    return {"device_map": {"": device} if device_map is None else device_map}


def _is_quantised(config: Any) -> bool:
    return getattr(config, "quantization_config", None) is not None


def _sharded(ranks: int) -> Any:
    """How transformers is to share the model out."""
    try:
        from transformers.distributed.configuration_utils import DistributedConfig

        return DistributedConfig(tp_size=ranks)
    except (ImportError, TypeError) as error:
        raise HogwildError("Tensor parallel needs a newer transformers; pip install -U transformers.") from error


def _dtype(dtype: str | torch.dtype) -> Any:
    if isinstance(dtype, torch.dtype) or dtype == "auto":
        return dtype
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if dtype not in known:
        raise HogwildError(f"There is no dtype '{dtype}' here; choose auto, float32, bfloat16 or float16.")
    return known[dtype]


def _known_type(directory: Path) -> None:
    """Refuse a model type that the installed transformers does not know; a config.json that cannot be read is left
    to transformers."""
    try:
        named = json.loads((directory / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError):
        return
    if isinstance(named, str) and named not in CONFIG_MAPPING:
        raise UnsupportedModel(
            "unknown model type",
            f"The installed transformers knows no model type '{named[:80]}' (in {directory / 'config.json'}); install "
            f"a newer transformers, or {TRY}.",
        )


def _read(how: Any, directory: Path, what: str) -> Any:
    """Run a reader of transformers; whatever it raises about the files becomes one sentence."""
    try:
        return how()
    except HogwildError:
        raise
    except Exception as error:  # transformers, safetensors and json each raise their own kinds for damaged files
        raise BrokenModel(
            f"The {what} in {directory} cannot be read ({_first_line(error)}); fetch the model again."
        ) from error


def _first_line(error: BaseException | None) -> str:
    return str(error).strip().split("\n")[0][:200] or type(error).__name__


def _tokenizer(directory: Path) -> Any | None:
    names = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json")
    if not any((directory / name).exists() for name in names):
        return None
    return _read(lambda: AutoTokenizer.from_pretrained(directory), directory, "tokenizer")
