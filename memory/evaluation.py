"""How well tools are found: recall on a set of queries whose right tools are known.

In: an `EvaluationSet` (from `craft_folder` or the project's own data) and an embedder. Out: recall at 1, 3 and 10 for
each view alone, for CRAFT's vote, for the fusion of cosines, for BM25, and for the default, which mixes both. A query
is never compared with its own problem. Neighbours: shelf and ranking do what a search of a library does.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np

from memory.craft_folder import craft_sets
from memory.embedder import BATCH, Embedder, Progress, Vectors, encode_in_batches
from memory.evaluation_set import Asked, EvaluationSet
from memory.ranking import DEFAULT_WEIGHTS, Evidence, Hit, Pair, Weights, fuse, vote
from memory.shelf import Query, Shelf, array_products
from memory.values import text_hash
from memory.views import CONCEPT_VIEWS, TOOL_VIEWS

Evidences: TypeAlias = Mapping[str, Iterable[Evidence]]
Way: TypeAlias = Callable[[Evidences], list[Hit]]

RECALL_AT: Final = (1, 3, 10)
KEPT: Final = 0.9
"""The share of right answers that a threshold may not refuse; what it refuses beside them is for nothing."""


@dataclass(frozen=True, slots=True)
class Recall:
    """How often a right row was among the first."""

    way: str
    queries: int
    at: tuple[float, ...]
    """Recall at each of `RECALL_AT`."""


@dataclass(frozen=True, slots=True)
class Report:
    """One set, asked in one manner."""

    name: str
    rows: int
    recalls: tuple[Recall, ...]

    def recall(self, way: str, at: int) -> float:
        return next(one for one in self.recalls if one.way == way).at[RECALL_AT.index(at)]

    def table(self) -> str:
        """The figures as text."""
        width = max(len(one.way) for one in self.recalls)
        queries = self.recalls[0].queries
        lines = [f"{self.name}: {self.rows} rows, {queries} queries", f"{'':{width}}  " + _columns(RECALL_AT)]
        lines.extend(f"{one.way:{width}}  " + "".join(f"{value:9.3f}" for value in one.at) for one in self.recalls)
        return "\n".join(lines)


def evaluate_craft(
    folder: Path, embedder: Embedder, *, expand: bool = False, progress: Progress | None = None
) -> list[Report]:
    """The figures of a folder in CRAFT's format, without and with the siblings' problems kept.

    `expand` asks with the name and docstring of the query's own specific solution, as a model would expect them.
    """
    return [evaluate(one, embedder, expand=expand, progress=progress) for one in craft_sets(folder)]


def evaluate(
    data: EvaluationSet, embedder: Embedder, *, expand: bool = False, progress: Progress | None = None
) -> Report:
    """The figures of one set; queries without a right row take no part."""
    asked = [one for one in data.queries if one.right]
    asked = asked if expand else [replace(one, query=Query(one.query.task)) for one in asked]
    evidences = list(gather(data, asked, embedder, progress))
    recalls = []
    for name, way in _ways(data, expand).items():
        ranks = [_rank(way(evidence), one.right) for one, evidence in zip(asked, evidences, strict=True)]
        at = tuple(sum(rank < limit for rank in ranks) / max(len(ranks), 1) for limit in RECALL_AT)
        recalls.append(Recall(name, len(asked), at))
    name = f"{data.name}, expanded" if expand else data.name
    return Report(name, len(data.rows), tuple(recalls))


@dataclass(frozen=True, slots=True)
class Calibration:
    """A threshold, and what it does on a set."""

    threshold: float
    kept: float
    """The share of rightly answered queries whose first hit it keeps."""
    refused: float
    """The share of queries without a right row that it answers with nothing."""


def calibrate(data: EvaluationSet, embedder: Embedder, progress: Progress | None = None) -> Calibration:
    """The fit below which nothing fits: the highest that still keeps `KEPT` of the right answers of this set."""
    right, foreign = _fits(data, embedder, progress)
    threshold = sorted(right)[int(len(right) * (1 - KEPT))] if right else 0.0
    return _calibration(threshold, right, foreign)


def refusals(
    data: EvaluationSet, embedder: Embedder, threshold: float, progress: Progress | None = None
) -> Calibration:
    """What a threshold does on another set than the one it was measured on."""
    return _calibration(threshold, *_fits(data, embedder, progress))


def gather(
    data: EvaluationSet, asked: Sequence[Asked], embedder: Embedder, progress: Progress | None = None
) -> Iterable[dict[str, list[Evidence]]]:
    """The evidence of all rows for each query; every text is encoded once."""
    shelf = Shelf()
    for row in data.rows:
        shelf.put(row.row_id, row.kind, row.views)
    texts = {*shelf.texts().values(), *(text for one in asked for _, text in one.query.texts())}
    vectors: dict[str, Vectors] = {}
    for part, encoded in encode_in_batches(embedder, sorted(texts), BATCH, progress):
        vectors.update((text_hash(text), vector) for text, vector in zip(part, encoded, strict=True))
    products = array_products(vectors)
    for one in asked:
        query_vectors = np.stack([vectors[text_hash(text)] for _, text in one.query.texts()])
        yield shelf.evidence(
            data.kind, one.query, query_vectors, products, without_problems=frozenset({one.query.task})
        )


def _fits(data: EvaluationSet, embedder: Embedder, progress: Progress | None) -> tuple[list[float], list[float]]:
    """The fits of first hits: of those that are right, and of those of queries without a right row. A query whose first
    hit is wrong tells nothing of where a fit begins."""
    right, foreign = [], []
    asked = [replace(one, query=Query(one.query.task)) for one in data.queries]
    for one, evidence in zip(asked, gather(data, asked, embedder, progress), strict=True):
        best = fuse(evidence)[0]
        if not one.right:
            foreign.append(best.fit)
        elif best.row_id in one.right:
            right.append(best.fit)
    return right, foreign


def _calibration(threshold: float, right: Sequence[float], foreign: Sequence[float]) -> Calibration:
    kept, answered = (sum(fit >= threshold for fit in fits) / max(len(fits), 1) for fits in (right, foreign))
    return Calibration(threshold, kept, 1 - answered)


def _ways(data: EvaluationSet, expand: bool) -> dict[str, Way]:
    ways: dict[str, Way] = {}
    views = TOOL_VIEWS if data.kind == "tool" else CONCEPT_VIEWS
    for view in views:
        ways[f"{view} alone"] = _weighted(Weights(_of_view(view, expand)))
    if data.kind == "tool":
        ways["vote (CRAFT)"] = vote
    ways["fusion of cosines"] = _weighted(Weights(DEFAULT_WEIGHTS.dense))
    ways["BM25"] = _weighted(Weights({}, DEFAULT_WEIGHTS.lexical, 1.0))
    ways["default"] = fuse
    return ways


def _of_view(view: str, expand: bool) -> dict[Pair, float]:
    """A view is asked with what was expected of it, where something was."""
    pairs = {pair: weight for pair, weight in DEFAULT_WEIGHTS.dense.items() if pair[1] == view}
    expected = {pair: weight for pair, weight in pairs.items() if pair[0] != "task"}
    return expected if expand and expected else pairs


def _weighted(weights: Weights) -> Way:
    return lambda evidence: fuse(evidence, weights)


def _rank(hits: Sequence[Hit], right: frozenset[str]) -> int:
    return next((number for number, hit in enumerate(hits) if hit.row_id in right), len(hits) + max(RECALL_AT))


def _columns(limits: Sequence[int]) -> str:
    return "".join(f"{f'@{limit}':>9}" for limit in limits)
