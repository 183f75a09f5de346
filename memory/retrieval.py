"""Finding rows: the library's views kept in vectors and words, a query compared with all of them.

In: a library, an embedder, a `Query`. Out: an `Answer`: rows in order, each hit explaining itself; or nothing fits.
Before each search what changed in the library since the last one is taken in: texts without a vector are embedded (and
only those: vectors are kept by model and text), the index is brought in step. So whoever wrote last, in whichever
process, and wherever one was killed, a search sees every committed row.

Search is exact. Candidates are the rows of the `CANDIDATES` nearest texts to each view of the query and as many by
words; up to that many texts that is all rows, beyond it a row that is far in every view is not weighed.
Neighbours: store, vectors, embedder below; shelf gathers the evidence, ranking orders.
"""

import heapq
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from memory.embedder import BATCH, Embedder, Progress, Vectors, encode_checked, encode_in_batches
from memory.ranking import DEFAULT_WEIGHTS, Hit, Weights, fuse
from memory.shelf import Query, Shelf
from memory.store import Library
from memory.values import Kind, Row, State, text_hash
from memory.vectors import Ids, VectorCache, VectorIndex, index_path
from memory.views import views_of

CANDIDATES: Final = 512
MAX_CACHED_QUERIES: Final = 4096
# The index file spares the next process reading all vectors row by row; it need not follow every single change.
_UNSAVED_SHARE: Final = 0.02
_MAX_UNSAVED: Final = 64

# Below this fit nothing fits. Measured for each model, by its fingerprint, on the tuning part of the data that ships
# with the project (`evaluation.calibrate`); a model that is not listed has no threshold until one is measured.
FIT_THRESHOLDS: Final[Mapping[str, float]] = {"1403fb7c0dc42e3a7c7dcb623eceb050": 0.35}  # the packaged MiniLM


@dataclass(frozen=True, slots=True)
class Found:
    """A row that fits, and why."""

    row: Row
    hit: Hit

    def why(self) -> dict[str, Any]:
        """The explanation as JSON, for the library's uses."""
        return asdict(self.hit)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a search came to."""

    found: tuple[Found, ...]
    """The rows that fit, the best first; empty where nothing fits."""
    nearest: Found | None
    """The best row, whether it fits or not."""
    threshold: float | None
    """The fit that is asked for; None where it was never measured for this embedder."""


@dataclass(frozen=True, slots=True)
class _Choice:
    """The rows that a search may answer with."""

    row_ids: frozenset[str]
    owners: Mapping[int, Sequence[str]]
    """Whose each vector is."""
    ids: Ids


class Searcher:
    """Searches one library with one embedder; safe to use from several threads."""

    def __init__(
        self,
        library: Library,
        embedder: Embedder,
        *,
        weights: Weights = DEFAULT_WEIGHTS,
        threshold: float | None = None,
    ) -> None:
        self.library = library
        self.embedder = embedder
        self.weights = weights
        self.threshold = threshold if threshold is not None else FIT_THRESHOLDS.get(embedder.fingerprint)
        self._cache = VectorCache(library, embedder.fingerprint)
        self._index = VectorIndex(index_path(library, embedder.fingerprint), embedder.fingerprint)
        self._shelf = Shelf()
        self._rows: dict[str, Row] = {}
        self._ids: dict[str, int] = {}
        self._choices: dict[tuple[Kind, tuple[State, ...], str | None], _Choice] = {}
        self._seen = -1
        self._unsaved = 0
        self._queries: OrderedDict[str, Vectors] = OrderedDict()
        self._lock = threading.RLock()

    def refresh(self, progress: Progress | None = None) -> None:
        """Take in what changed in the library since the last time; embeds what has no vector yet."""
        with self._lock:
            counter, changed = self.library.changes_since(self._seen)
            if counter == self._seen:
                return
            self._take_in(changed)
            texts = self._shelf.texts()
            ids = {hash_: id_ for hash_, id_ in self._ids.items() if hash_ in texts}
            ids.update(self._cache.ids(texts.keys() - ids.keys()))
            lacking = [text for hash_, text in texts.items() if hash_ not in ids]
            for part, vectors in encode_in_batches(self.embedder, lacking, BATCH, progress):
                self._cache.save(part, vectors)
            ids.update(self._cache.ids(texts.keys() - ids.keys()))
            self._ids = ids
            self._choices.clear()
            if self._index.sync(set(self._ids.values()), self._cache):
                self._save_index(len(lacking) + len(changed))
            self._seen = counter

    def search(
        self,
        query: Query | str,
        kind: Kind = "tool",
        *,
        limit: int = 10,
        states: Sequence[State] = ("active",),
        tag: str | None = None,
    ) -> Answer:
        """The rows that fit a query."""
        query = Query(query) if isinstance(query, str) else query
        if not query.texts() or limit < 1:
            return Answer((), None, self.threshold)
        with self._lock:
            self.refresh()
            choice = self._choice(kind, tuple(states), tag)
            vectors = self._query_vectors([text for _, text in query.texts()])
            candidates = self._candidates(kind, query, vectors, choice)
            evidence = self._shelf.evidence(kind, query, vectors, self._products, candidates)
            hits = fuse(evidence, self.weights)
            found = tuple(Found(self._rows[hit.row_id], self._shelf.explained(hit)) for hit in hits[:limit])
        fitting = tuple(one for one in found if self.threshold is None or one.hit.fit >= self.threshold)
        return Answer(fitting, found[0] if found else None, self.threshold)

    def similar(self, kind: Kind, view: str, limit: int) -> list[tuple[str, str, float]]:
        """Pairs of rows whose texts of one view are near each other: for each row, its nearest `limit`."""
        with self._lock:
            self.refresh()
            owners: dict[int, list[str]] = {}
            for row_id, row in self._rows.items():
                for text in self._shelf.views(row_id) if row.kind == kind else ():
                    if text.view == view:
                        owners.setdefault(self._ids[text.text_hash], []).append(row_id)
            if not owners:
                return []
            ids = np.array(sorted(owners), np.int64)
            best: dict[tuple[str, str], float] = {}
            scores, near = self._index.nearest(self._cache.load(ids.tolist()), limit + 1, among=ids)
            for own, row_scores, row_ids in zip(ids.tolist(), scores.tolist(), near.tolist(), strict=True):
                for score, other in zip(row_scores, row_ids, strict=True):
                    for first in owners[own]:
                        for second in owners.get(other, ()):
                            if first < second:
                                best[first, second] = max(score, best.get((first, second), -1.0))
                            elif second < first:
                                best[second, first] = max(score, best.get((second, first), -1.0))
        return [(first, second, score) for (first, second), score in best.items()]

    def rows(self) -> dict[str, Row]:
        """The proposed and active rows as the last refresh saw them."""
        with self._lock:
            return dict(self._rows)

    def _take_in(self, changed: Sequence[Row]) -> None:
        for row in changed:
            if row.state == "retired":
                self._drop(row.row_id)
            else:
                known = self._rows.get(row.row_id)
                if known is None or known.snapshot.content_hash != row.snapshot.content_hash:
                    self._shelf.put(row.row_id, row.kind, views_of(row.kind, row.content))
                self._rows[row.row_id] = row
        for row_id in self._rows.keys() - self.library.row_ids():
            self._drop(row_id)

    def _drop(self, row_id: str) -> None:
        self._rows.pop(row_id, None)
        self._shelf.discard(row_id)

    def _choice(self, kind: Kind, states: tuple[State, ...], tag: str | None) -> _Choice:
        """The rows of a kind, some states and a tag, and whose each vector is."""
        key = (kind, states, tag)
        if key not in self._choices:
            owners: dict[int, list[str]] = {}
            row_ids = []
            for row_id, row in self._rows.items():
                if row.kind == kind and row.state in states and (tag is None or tag in row.tags):
                    row_ids.append(row_id)
                    for view in self._shelf.views(row_id):
                        owners.setdefault(self._ids[view.text_hash], []).append(row_id)
            self._choices[key] = _Choice(frozenset(row_ids), owners, np.fromiter(owners, np.int64, len(owners)))
        return self._choices[key]

    def _candidates(self, kind: Kind, query: Query, vectors: Vectors, choice: _Choice) -> frozenset[str]:
        if len(choice.owners) <= CANDIDATES:
            return choice.row_ids
        _, near = self._index.nearest(vectors, CANDIDATES, choice.ids if len(choice.ids) < len(self._index) else None)
        chosen = {row_id for id_ in set(near.ravel().tolist()) for row_id in choice.owners.get(id_, ())}
        for _, text in query.texts():
            problems, about = self._shelf.lexical_scores(kind, text)
            chosen.update(row_id for row_id, _ in heapq.nlargest(CANDIDATES, problems, key=problems.__getitem__))
            chosen.update(heapq.nlargest(CANDIDATES, about, key=about.__getitem__))
        return choice.row_ids & chosen

    def _products(self, queries: Vectors, hashes: Sequence[str]) -> Vectors:
        ids: Ids = np.fromiter((self._ids[hash_] for hash_ in hashes), np.int64, len(hashes))
        return self._index.products(queries, ids)

    def _query_vectors(self, texts: Sequence[str]) -> Vectors:
        """Vectors of a query, kept in memory only: what a person asks is not written down."""
        lacking = [text for text in dict.fromkeys(texts) if text_hash(text) not in self._queries]
        if lacking:
            for text, vector in zip(lacking, encode_checked(self.embedder, lacking), strict=True):
                self._queries[text_hash(text)] = vector
        vectors = np.stack([self._queries[text_hash(text)] for text in texts])
        while len(self._queries) > MAX_CACHED_QUERIES:
            self._queries.popitem(last=False)
        return vectors

    def _save_index(self, changes: int) -> None:
        if not self._cache.complete:
            return
        self._unsaved += max(changes, 1)
        if self._unsaved < min(_MAX_UNSAVED, len(self._index)) and self._unsaved < _UNSAVED_SHARE * len(self._index):
            return
        try:
            self._index.save(self._cache)
        except OSError:
            return  # a folder that cannot be written costs the next process time, and nobody a result
        self._unsaved = 0
