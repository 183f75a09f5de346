"""Ranking: how near a row is to a query, over all their views. Pure: scores in, hits out.

In: for each row the scores of its views, dense (cosines) and lexical (BM25). Out: `Hit`s in order, each of which says
which of its views matched which view of the query, by which exemplar and with which score. Two ways:

    fuse   the weighted mean of all cosines, plus a share of the weighted mean of the lexical scores (default)
    vote   CRAFT's (arXiv 2309.17428, section 2.2): the nearest 10 by problem, 5 by name, 10 by docstring have a vote
           each, and at least two votes are needed

A lexical score says which share of the query's words was found. It is divided by the best of its view, so that words
count as much as cosines, but not where even the best text has few of them: then all it would spread is noise.
Neighbours: retrieval gathers the scores, evaluation compares the ways.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

QueryView: TypeAlias = Literal["task", "expected_name", "expected_docstring"]
Channel: TypeAlias = Literal["dense", "lexical"]
Pair: TypeAlias = tuple[QueryView, str]
"""A view of the query and the view of a row that it is compared with."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One view of the query against one view of a row."""

    query_view: QueryView
    view: str
    channel: Channel
    score: float
    """A cosine, or a BM25 score as a share of the whole query."""
    exemplar: int
    """Which text of the view was the nearest: which problem, which cue."""
    text: str = ""
    """That text; filled in for the hits that are returned."""
    weight: float = 0.0
    """The share of the hit's score that a score of 1 here would make."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A row that was found, and why."""

    row_id: str
    score: float
    """What the hits are ordered by; means something only within one search."""
    fit: float
    """The weighted mean of the cosines alone: comparable between searches with one embedder."""
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each pair of views counts."""

    dense: Mapping[Pair, float]
    lexical: Mapping[Pair, float] = field(default_factory=dict)
    lexical_share: float = 0.0
    """What the mean lexical score counts, beside a mean cosine of weight 1."""
    lexical_floor: float = 0.0
    """Lexical scores are divided by the best one of their view, or by this where that is smaller."""


# One set of weights for tools and concepts: a pair whose view a row does not have takes no part in that row's mean.
# What a task is compared with best is another task; cues are written to be compared with tasks. The figures were chosen
# on half of the queries of public CRAFT tools and on the tuning part of the project's own set together
# (docs/libraries.md has what they give). Words help where problems are told in one jargon, and hurt where a query is
# told in other words than the tool: single words in common are then accidents. Pairs of words (`lexical.pairs_of`) are
# in common in the first case and hardly ever in the second.
DEFAULT_WEIGHTS: Final = Weights(
    dense={
        ("task", "problem"): 1.0,
        ("task", "name"): 0.75,
        ("task", "docstring"): 0.75,
        ("task", "title"): 1.0,
        ("task", "cue"): 1.0,
        ("task", "description"): 0.5,
        ("task", "implementation"): 0.25,
        ("expected_name", "name"): 1.0,
        ("expected_name", "title"): 1.0,
        ("expected_docstring", "docstring"): 1.0,
        ("expected_docstring", "description"): 1.0,
    },
    lexical={
        ("task", "problem"): 1.0,
        ("task", "about"): 0.1,
        ("expected_name", "about"): 0.5,
        ("expected_docstring", "about"): 0.5,
    },
    lexical_share=0.5,
    lexical_floor=0.6,
)

VOTES: Final[Mapping[str, int]] = {"problem": 10, "name": 5, "docstring": 10}
MIN_VOTES: Final = 2


def fuse(evidence: Mapping[str, Iterable[Evidence]], weights: Weights = DEFAULT_WEIGHTS) -> list[Hit]:
    """All rows, the best first; rows of equal score in the order of their ids."""
    found = {row_id: tuple(items) for row_id, items in evidence.items()}
    best = _best_lexical(found.values())
    hits = [_fused(row_id, items, weights, best) for row_id, items in found.items()]
    return sorted(hits, key=lambda hit: (-hit.score, hit.row_id))


def vote(evidence: Mapping[str, Iterable[Evidence]]) -> list[Hit]:
    """The rows that at least two views agree on, by votes and then by mean cosine.

    A view is asked with what was expected of it where anything was, else with the task.
    """
    dense = {row_id: [item for item in items if item.channel == "dense"] for row_id, items in evidence.items()}
    by_pair: defaultdict[Pair, list[tuple[float, str]]] = defaultdict(list)
    for row_id, items in dense.items():
        for item in items:
            by_pair[item.query_view, item.view].append((-item.score, row_id))
    expected = {view for query_view, view in by_pair if query_view != "task"}
    votes: defaultdict[str, list[str]] = defaultdict(list)
    for (query_view, view), scored in by_pair.items():
        if view in VOTES and (query_view != "task" or view not in expected):
            for _, row_id in sorted(scored)[: VOTES[view]]:
                votes[row_id].append(view)
    hits = []
    for row_id, views in votes.items():
        if len(views) >= MIN_VOTES:
            fit = sum(item.score for item in dense[row_id]) / len(dense[row_id])
            hits.append(Hit(row_id, len(views) + fit / 10, fit, tuple(dense[row_id])))
    return sorted(hits, key=lambda hit: (-hit.score, hit.row_id))


def _fused(row_id: str, items: tuple[Evidence, ...], weights: Weights, best: Mapping[Pair, float]) -> Hit:
    dense = [(item, weights.dense.get((item.query_view, item.view), 0.0)) for item in items if item.channel == "dense"]
    lexical = [
        (item, weights.lexical.get((item.query_view, item.view), 0.0)) for item in items if item.channel == "lexical"
    ]
    dense_total = sum(weight for _, weight in dense) or 1.0
    lexical_total = sum(weight for _, weight in lexical) or 1.0
    kept: list[Evidence] = []
    fit = share = 0.0
    for item, weight in dense:
        fit += item.score * weight / dense_total
        kept.append(_weighted(item, weight / dense_total))
    for item, weight in lexical:
        scale = max(best[item.query_view, item.view], weights.lexical_floor) or 1.0
        share += item.score / scale * weight / lexical_total
        kept.append(_weighted(item, weights.lexical_share * weight / lexical_total / scale))
    kept.sort(key=lambda item: -item.score * item.weight)
    return Hit(row_id, fit + weights.lexical_share * share, fit, tuple(item for item in kept if item.weight))


def _weighted(item: Evidence, weight: float) -> Evidence:
    return Evidence(item.query_view, item.view, item.channel, item.score, item.exemplar, item.text, weight)


def _best_lexical(found: Iterable[tuple[Evidence, ...]]) -> dict[Pair, float]:
    best: defaultdict[Pair, float] = defaultdict(float)
    for items in found:
        for item in items:
            if item.channel == "lexical":
                best[item.query_view, item.view] = max(best[item.query_view, item.view], item.score)
    return dict(best)
