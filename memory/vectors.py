"""Vectors of the library's texts, kept twice: as rows, which are the cache of the embedder, and as a faiss index.

In: texts by their hash, a space's fingerprint. Out: exact inner products. The rows of table `vectors` are written in
transactions; the index file is derived from them, is written whole and renamed into place, and carries checksums of
itself and of what its ids stand for: a missing, torn or stale file, or one of another library, is seen before it is
used, and made again from the rows without being asked.
Neighbours: retrieval, which says which texts must be there; embedder, which makes the vectors.
"""

import contextlib
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from memory import database
from memory.embedder import Vectors
from memory.errors import LibraryUnwritable
from memory.store import Library
from memory.values import text_hash

Ids = npt.NDArray[np.int64]

_MAGIC: Final = b"workbench vectors 1\n"
_SQL_BATCH: Final = 500
_LEFTOVER_AGE_S: Final = 3600.0
_FIRST_UNSAVED: Final = 2**62


class VectorCache:
    """The vectors of one space, in the library's file, by the hash of their text; in memory, under ids that no row has,
    those that a library which may not be written lacks."""

    def __init__(self, library: Library, fingerprint: str) -> None:
        self._library = library
        self._fingerprint = fingerprint
        self._unsaved: dict[int, Vectors] = {}
        self._unsaved_ids: dict[str, int] = {}

    @property
    def complete(self) -> bool:
        """Whether every vector stands in the library's file, so that its id means the same to other processes."""
        return not self._unsaved

    def ids(self, hashes: Iterable[str]) -> dict[str, int]:
        """The ids of those texts that have a vector in this space."""
        hashes = list(hashes)
        found = {hash_: self._unsaved_ids[hash_] for hash_ in hashes if hash_ in self._unsaved_ids}
        with self._library.reading() as connection:
            for part in _parts(hashes):
                marks = ", ".join("?" for _ in part)
                found.update(
                    connection.execute(
                        f"SELECT text_hash, vector FROM vectors WHERE fingerprint = ? AND text_hash IN ({marks})",
                        (self._fingerprint, *part),
                    )
                )
        return found

    def save(self, texts: Sequence[str], vectors: Vectors) -> None:
        """Keep vectors; a text that another process embedded meanwhile keeps the vector that it has."""
        try:
            with self._library.writing() as connection:
                connection.executemany(
                    "INSERT OR IGNORE INTO vectors (fingerprint, text_hash, numbers) VALUES (?, ?, ?)",
                    [
                        (self._fingerprint, text_hash(text), vector.astype("<f4").tobytes())
                        for text, vector in zip(texts, vectors, strict=True)
                    ],
                )
        except LibraryUnwritable:
            for text, vector in zip(texts, vectors, strict=True):
                id_ = self._unsaved_ids.setdefault(text_hash(text), _FIRST_UNSAVED + len(self._unsaved_ids))
                self._unsaved[id_] = vector.astype(np.float32)

    def meaning(self, ids: set[int]) -> str:
        """A hash of which texts these ids are the vectors of: ids begin anew where a library's file is made anew."""
        digest = hashlib.sha256()
        with self._library.reading() as connection:
            rows = "SELECT vector, text_hash FROM vectors WHERE fingerprint = ? ORDER BY vector"
            for id_, hash_ in connection.execute(rows, (self._fingerprint,)):
                if id_ in ids:
                    digest.update(f"{id_} {hash_}\n".encode())
        return digest.hexdigest()

    def load(self, ids: Sequence[int]) -> Vectors:
        """The vectors of these ids, [N, dimensions]."""
        vectors = dict(self._unsaved)
        with self._library.reading() as connection:
            for part in _parts(ids):
                marks = ", ".join("?" for _ in part)
                found = connection.execute(
                    f"SELECT vector, numbers FROM vectors WHERE vector IN ({marks})", tuple(part)
                )
                vectors.update((id_, np.frombuffer(numbers, dtype="<f4")) for id_, numbers in found)
        if lost := [id_ for id_ in ids if id_ not in vectors]:
            raise database.damaged(self._library.path, f"its vector {lost[0]} is gone")
        return np.stack([vectors[id_] for id_ in ids])


class VectorIndex:
    """Exact search in one space: faiss IndexFlatIP under a map of ids."""

    def __init__(self, path: Path, fingerprint: str) -> None:
        self._path = path
        self._fingerprint = fingerprint
        self._index: Any = None
        self._ids: set[int] = set()
        self._unproved: str | None = None
        """What the ids of the file that was opened should mean; until that is seen to be so nothing of it is used."""
        self._open()

    def __len__(self) -> int:
        return len(self._ids)

    def sync(self, wanted: set[int], cache: VectorCache) -> bool:
        """Make the index hold exactly these ids; True where that changed anything."""
        if self._unproved is not None and self._unproved != cache.meaning(self._ids):
            self._index, self._ids = None, set()
        self._unproved = None
        extra, lacking = self._ids - wanted, sorted(wanted - self._ids)
        if not extra and not lacking:
            return False
        if extra and not (wanted & self._ids):
            self._index, self._ids = None, set()
        elif extra:
            self._index.remove_ids(_id_array(extra))
            self._ids -= extra
        for part in _parts(lacking, 20_000):
            self._add(part, cache.load(part))
        return True

    def save(self, cache: VectorCache) -> None:
        """Write the file whole and rename it into place; a reader sees the old one or the new one."""
        import faiss

        body = faiss.serialize_index(self._index).tobytes() if self._index is not None else b""
        head = {
            "fingerprint": self._fingerprint,
            "sha256": hashlib.sha256(body).hexdigest(),
            "count": len(self._ids),
            "meaning": cache.meaning(self._ids),
        }
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._remove_leftovers()
        descriptor, name = tempfile.mkstemp(dir=self._path.parent, prefix=".index-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(_MAGIC + json.dumps(head).encode() + b"\n" + body)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, self._path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def nearest(self, queries: Vectors, limit: int, among: Ids | None = None) -> tuple[Vectors, Ids]:
        """For each query the nearest vectors, inner products and ids, [Q, K]; an id of -1 fills an empty place."""
        import faiss

        if self._index is None or not limit:
            return np.zeros((len(queries), 0), np.float32), np.zeros((len(queries), 0), np.int64)
        parameters = None
        if among is not None:
            parameters = faiss.SearchParameters(sel=faiss.IDSelectorBatch(among))  # type: ignore[call-arg]
        scores, ids = self._index.search(queries, min(limit, len(self._ids)), params=parameters)
        return scores, ids

    def products(self, queries: Vectors, ids: Ids) -> Vectors:
        """The inner products of queries and ids, [Q, N]."""
        if not len(ids):
            return np.zeros((len(queries), 0), np.float32)
        products: Vectors = queries @ self._index.reconstruct_batch(ids).T
        return products

    def _remove_leftovers(self) -> None:
        """What killed processes left half-written; a younger file may be one that is being written."""
        for leftover in self._path.parent.glob(".index-*"):
            with contextlib.suppress(OSError):
                if time.time() - leftover.stat().st_mtime > _LEFTOVER_AGE_S:
                    leftover.unlink()

    def _open(self) -> None:
        try:
            raw = self._path.read_bytes()
        except OSError:
            return
        index, meaning = _read(raw, self._fingerprint)
        if index is not None:
            import faiss

            self._index, self._unproved = index, meaning
            self._ids = {int(id_) for id_ in faiss.vector_to_array(index.id_map)}

    def _add(self, ids: Sequence[int], vectors: Vectors) -> None:
        import faiss

        if self._index is None:
            self._index = faiss.IndexIDMap2(faiss.IndexFlatIP(vectors.shape[1]))
        self._index.add_with_ids(np.ascontiguousarray(vectors, np.float32), _id_array(ids))
        self._ids.update(ids)


def index_path(library: Library, fingerprint: str) -> Path:
    return library.folder / "vectors" / f"{text_hash(fingerprint)[:32]}.faiss"


def _read(raw: bytes, fingerprint: str) -> tuple[Any, str]:
    """The index in the file, None where the file is damaged, of another space, or empty; and what its ids mean."""
    import faiss

    if not raw.startswith(_MAGIC):
        return None, ""
    head_line, _, body = raw[len(_MAGIC) :].partition(b"\n")
    try:
        head: Mapping[str, Any] = json.loads(head_line)
    except ValueError:
        return None, ""
    if not isinstance(head, dict) or head.get("fingerprint") != fingerprint or not body:
        return None, ""
    if head.get("sha256") != hashlib.sha256(body).hexdigest():
        return None, ""
    try:
        return faiss.deserialize_index(np.frombuffer(body, np.uint8)), str(head.get("meaning", ""))
    except RuntimeError:  # written whole, but by a faiss whose format this one does not know
        return None, ""


def _id_array(ids: Iterable[int]) -> Ids:
    return np.fromiter(ids, np.int64)


def _parts(items: Sequence[Any], size: int = _SQL_BATCH) -> Iterable[Sequence[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))
