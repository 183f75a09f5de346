"""The embedder: the packaged model without a net, fingerprints, models that cannot be had."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hash_embedder import HashEmbedder

from memory.embedder import SentenceEmbedder, encode_checked, encode_in_batches
from memory.errors import EmbeddingError

OFFLINE = """
import sys

def no_net(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        raise RuntimeError(f"the net was asked: {arguments}")

sys.addaudithook(no_net)
from memory.embedder import SentenceEmbedder
assert "sentence_transformers" not in sys.modules
vectors = SentenceEmbedder().encode(["How much do pens cost?", "What is the price of a pen?", "A leap year"])
print(vectors.shape, vectors[0] @ vectors[1] > 0.7 > 0.3 > vectors[0] @ vectors[2])
"""


def test_the_packaged_model_works_without_a_net_and_is_loaded_only_when_needed(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "HF_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[-2] == "(3, 384) True"


def test_a_copy_of_a_model_has_its_fingerprint_and_a_changed_one_has_another(tmp_path: Path) -> None:
    original = SentenceEmbedder()
    copy = tmp_path / "copy"
    shutil.copytree(original.folder, copy)
    (copy / "README.md").write_text("another card")
    assert SentenceEmbedder(copy).fingerprint == original.fingerprint
    config = copy / "1_Pooling" / "config.json"
    config.write_text(config.read_text().replace("true", "false", 1))
    assert SentenceEmbedder(copy).fingerprint != original.fingerprint


def test_a_model_that_cannot_be_had_is_refused_with_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EmbeddingError, match="There is no folder"):
        _ = SentenceEmbedder(tmp_path / "none").fingerprint
    with pytest.raises(EmbeddingError, match="holds no embedding model"):
        _ = SentenceEmbedder(tmp_path).fingerprint
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(EmbeddingError, match=r"cannot be loaded .* name another model"):
        SentenceEmbedder(tmp_path).encode(["x"])


def test_with_the_hub_offline_a_name_that_is_not_here_is_refused_at_once(tmp_path: Path) -> None:
    script = (
        "from memory.embedder import SentenceEmbedder\n"
        "from memory.errors import EmbeddingError\n"
        "try:\n    SentenceEmbedder('nobody/no-such-model').fingerprint\n"
        "except EmbeddingError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "HF_HUB_OFFLINE": "1",
            "HF_HOME": str(tmp_path),
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.startswith("The embedding model 'nobody/no-such-model' cannot be had"), done.stderr


def test_batches_cover_every_text_once_and_tell_their_progress() -> None:
    texts = [f"text {'x' * n}" for n in range(10)]
    seen: list[tuple[int, int]] = []
    parts = list(encode_in_batches(HashEmbedder(), texts, 4, lambda done, total: seen.append((done, total))))
    assert sorted(text for part, _ in parts for text in part) == sorted(texts)
    assert seen == [(4, 10), (8, 10), (10, 10)]


def test_vectors_are_made_of_length_one() -> None:
    vectors = encode_checked(HashEmbedder(), ["a long text of words", "short"])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(2), abs=1e-6)


def test_a_model_that_makes_another_number_of_vectors_is_refused() -> None:
    class Short(HashEmbedder):
        def encode(self, texts):  # type: ignore[no-untyped-def]
            return super().encode(texts)[:-1]

    with pytest.raises(EmbeddingError, match="one vector each"):
        encode_checked(Short(), ["a", "b"])
