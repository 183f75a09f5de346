"""An embedder without a model: each word is a direction of its own, so texts are near that share words."""

import hashlib
from collections.abc import Sequence

import numpy as np

from memory.embedder import Vectors
from memory.lexical import words_of

DIMENSIONS = 64


class HashEmbedder:
    """Deterministic; remembers what it was asked to encode. Another `space` makes other vectors."""

    def __init__(self, space: str = "a", dimensions: int = DIMENSIONS) -> None:
        self.fingerprint = f"hash-{space}-{dimensions}"
        self.space = space
        self.dimensions = dimensions
        self.encoded: list[str] = []

    def encode(self, texts: Sequence[str]) -> Vectors:
        self.encoded.extend(texts)
        return np.stack([self._vector(text) for text in texts])

    def _vector(self, text: str) -> Vectors:
        vector = np.full(self.dimensions, 1e-3, np.float32)
        for word in words_of(text):
            seed = int.from_bytes(hashlib.sha256(f"{self.space} {word}".encode()).digest()[:8], "big")
            vector += np.random.default_rng(seed).standard_normal(self.dimensions).astype(np.float32)
        return vector
