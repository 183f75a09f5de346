"""The views of many rows in memory, and the evidence that they give for a query.

In: rows' views, a query, and a function that makes inner products. Out: for each row its best evidence for every pair
of views. No disk, no model. Neighbours: retrieval keeps a shelf in step with the library, evaluation fills one from a
data set; ranking takes the evidence.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np

from memory.embedder import Vectors
from memory.lexical import WordIndex, pairs_of
from memory.ranking import DEFAULT_WEIGHTS, Evidence, Hit, QueryView
from memory.values import Kind
from memory.views import ViewText, spoken

Products: TypeAlias = Callable[[Vectors, Sequence[str]], Vectors]
"""Inner products [Q, N] of query vectors and the texts with these hashes."""

_PAIRS: Final = frozenset(DEFAULT_WEIGHTS.dense)


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for: the task, and what a model expects the tool to be called and to say (CRAFT's expansion)."""

    task: str
    expected_names: tuple[str, ...] = ()
    expected_docstrings: tuple[str, ...] = ()

    def texts(self) -> list[tuple[QueryView, str]]:
        texts: list[tuple[QueryView, str]] = [("task", self.task)]
        texts.extend(("expected_name", spoken(name)) for name in self.expected_names)
        texts.extend(("expected_docstring", text) for text in self.expected_docstrings)
        return [(view, text) for view, text in texts if text.strip()]


class Shelf:
    """Rows by their views, with the words of their views."""

    def __init__(self) -> None:
        self._views: dict[str, tuple[ViewText, ...]] = {}
        self._kinds: dict[str, Kind] = {}
        self._problems: defaultdict[Kind, WordIndex[tuple[str, int]]] = defaultdict(lambda: WordIndex(pairs_of))
        self._about: defaultdict[Kind, WordIndex[str]] = defaultdict(WordIndex)

    def put(self, row_id: str, kind: Kind, views: tuple[ViewText, ...]) -> None:
        self.discard(row_id)
        self._views[row_id], self._kinds[row_id] = views, kind
        for view in views:
            if view.view == "problem":
                self._problems[kind].put((row_id, view.ordinal), view.text)
        about = " ".join(view.text for view in views if view.view != "problem")
        if about:
            self._about[kind].put(row_id, about)

    def discard(self, row_id: str) -> None:
        views = self._views.pop(row_id, None)
        if views is None:
            return
        kind = self._kinds.pop(row_id)
        for view in views:
            if view.view == "problem":
                self._problems[kind].discard((row_id, view.ordinal))
        self._about[kind].discard(row_id)

    def views(self, row_id: str) -> tuple[ViewText, ...]:
        return self._views[row_id]

    def texts(self) -> dict[str, str]:
        """Every text of every row by its hash."""
        return {view.text_hash: view.text for views in self._views.values() for view in views}

    def lexical_scores(self, kind: Kind, text: str) -> tuple[dict[tuple[str, int], float], dict[str, float]]:
        """BM25 of a text against each problem, by pairs of words, and against all else that a row says of itself."""
        return self._problems[kind].scores(text), self._about[kind].scores(text)

    def evidence(
        self,
        kind: Kind,
        query: Query,
        query_vectors: Vectors,
        products: Products,
        row_ids: Iterable[str] | None = None,
        without_problems: frozenset[str] = frozenset(),
    ) -> dict[str, list[Evidence]]:
        """The evidence for each of the rows, by default for all; problems whose text is in `without_problems` are
        looked past, as an evaluation must do with the very problem that it asks."""
        chosen = [row_id for row_id in (row_ids if row_ids is not None else self._views) if row_id in self._views]
        chosen = [row_id for row_id in chosen if self._kinds[row_id] == kind]
        found: dict[str, list[Evidence]] = {row_id: [] for row_id in chosen}
        self._add_dense(found, query, query_vectors, products, without_problems)
        self._add_lexical(found, kind, query, without_problems)
        return found

    def explained(self, hit: Hit) -> Hit:
        """The hit with the texts of its exemplars."""
        texts: dict[tuple[str, int], str] = {(view.view, view.ordinal): view.text for view in self._views[hit.row_id]}
        told = (replace(item, text=texts.get((item.view, item.exemplar), "")) for item in hit.evidence)
        return replace(hit, evidence=tuple(told))

    def _add_dense(
        self,
        found: dict[str, list[Evidence]],
        query: Query,
        query_vectors: Vectors,
        products: Products,
        without: frozenset[str],
    ) -> None:
        places = [
            (row_id, view)
            for row_id in found
            for view in self._views[row_id]
            if view.view != "problem" or view.text not in without
        ]
        if not places:
            return
        scores = products(query_vectors, [view.text_hash for _, view in places])
        for query_view, rows in _by_view(query).items():
            best: dict[tuple[str, str], tuple[float, int]] = {}
            for (row_id, view), score in zip(places, scores[rows].max(axis=0).tolist(), strict=True):
                key = (row_id, view.view)
                if (query_view, view.view) in _PAIRS and (key not in best or score > best[key][0]):
                    best[key] = (score, view.ordinal)
            for (row_id, view_name), (score, ordinal) in best.items():
                found[row_id].append(Evidence(query_view, view_name, "dense", score, ordinal))

    def _add_lexical(self, found: dict[str, list[Evidence]], kind: Kind, query: Query, without: frozenset[str]) -> None:
        for query_view in _by_view(query):
            text = " ".join(text for view, text in query.texts() if view == query_view)
            problems, about = self.lexical_scores(kind, text)
            for row_id, items in found.items():
                # A row whose words are all others scores 0; a row that has no such view takes no part.
                items.append(Evidence(query_view, "about", "lexical", about.get(row_id, 0.0), 0))
                scored = [
                    (problems.get((row_id, view.ordinal), 0.0), -view.ordinal)
                    for view in self._views[row_id]
                    if view.view == "problem" and view.text not in without
                ]
                if scored and query_view == "task":
                    score, ordinal = max(scored)
                    items.append(Evidence(query_view, "problem", "lexical", score, -ordinal))


def _by_view(query: Query) -> dict[QueryView, list[int]]:
    """Which of the query's texts belong to which of its views."""
    by_view: defaultdict[QueryView, list[int]] = defaultdict(list)
    for number, (view, _) in enumerate(query.texts()):
        by_view[view].append(number)
    return dict(by_view)


def array_products(vectors: dict[str, Vectors]) -> Products:
    """Inner products with vectors that lie in memory, by the hash of their text."""

    def products(queries: Vectors, hashes: Sequence[str]) -> Vectors:
        result: Vectors = queries @ np.stack([vectors[hash_] for hash_ in hashes]).T
        return result

    return products
