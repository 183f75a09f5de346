"""Near-duplicates: pairs of rows that may be one.

In: a searcher, and, where somebody can run tools, a callable that says whether two behave alike. Out: candidates, the
nearest first. Similar texts decide nothing: `count_above` and `count_below` are as similar as can be. What a person
said to be two is never proposed again. Neighbours: planning merges, `toolsets` runs tools on each other's calls.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from memory.retrieval import Searcher
from memory.values import Kind, Row

SIMILAR: Final = 0.9
NEIGHBOURS: Final = 10
# The views that say what a row does; two problems can be alike and need different tools.
_VIEWS: Final[dict[Kind, tuple[str, ...]]] = {"tool": ("name", "docstring"), "concept": ("title", "description", "cue")}


@dataclass(frozen=True, slots=True)
class Candidate:
    """Two rows that may be one."""

    first: Row
    second: Row
    similarity: float
    """The mean over the views in which both were compared."""
    views: tuple[tuple[str, float], ...]
    behave_alike: bool | None
    """Whether they did the same on each other's calls; None where that was not tried or cannot be said."""


def near_duplicates(
    searcher: Searcher,
    kind: Kind,
    *,
    threshold: float = SIMILAR,
    behave_alike: Callable[[Row, Row], bool | None] | None = None,
) -> list[Candidate]:
    """Pairs at or above the threshold, without those that a person said are two."""
    by_pair: dict[tuple[str, str], dict[str, float]] = {}
    for view in _VIEWS[kind]:
        for first, second, score in searcher.similar(kind, view, NEIGHBOURS):
            by_pair.setdefault((first, second), {})[view] = score
    known_apart, rows = searcher.library.not_duplicates(), searcher.rows()
    candidates = []
    for (first, second), scores in by_pair.items():
        similarity = sum(scores.values()) / len(scores)
        if similarity < threshold or (first, second) in known_apart or first not in rows or second not in rows:
            continue
        alike = behave_alike(rows[first], rows[second]) if behave_alike is not None else None
        candidates.append(Candidate(rows[first], rows[second], similarity, tuple(sorted(scores.items())), alike))
    return sorted(candidates, key=lambda one: (-one.similarity, one.first.row_id, one.second.row_id))
