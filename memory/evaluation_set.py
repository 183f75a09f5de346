"""Rows and queries whose right answers are known, and the set of them that ships with the project.

In: nothing, or the part that is wanted. Out: an `EvaluationSet`. The project's own set has a part for tuning and a part
for testing, which share no query and no right tool; every query is asked of all tools. Neighbours: evaluation asks,
evaluation_recipe holds the texts.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from memory.content import checked
from memory.evaluation_recipe import foreign_queries, tools
from memory.shelf import Query
from memory.values import Kind, text_hash
from memory.views import ViewText, views_of

Part: TypeAlias = Literal["tuning", "test"]


@dataclass(frozen=True, slots=True)
class Shelved:
    """A row to be found."""

    row_id: str
    kind: Kind
    views: tuple[ViewText, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """A query, and the ids of the rows that are right; none where nothing fits."""

    query: Query
    right: frozenset[str]


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    name: str
    kind: Kind
    rows: tuple[Shelved, ...]
    queries: tuple[Asked, ...]


def own_set(part: Part) -> EvaluationSet:
    """The project's own tools and queries: near-duplicates, distractors, and queries that no tool fits."""
    rows = []
    queries: list[Asked] = []
    for tool in tools():
        content = checked("tool", {"name": tool.name, "code": tool.code, "problems": list(tool.problems)})
        rows.append(Shelved(tool.name, "tool", views_of("tool", content)))
        if _part(tool.name) == part:
            queries.extend(Asked(Query(text), frozenset({tool.name})) for text in tool.queries)
    queries.extend(Asked(Query(text), frozenset()) for text in foreign_queries() if _part(text) == part)
    return EvaluationSet(f"own tools, {part}", "tool", tuple(rows), tuple(queries))


def _part(text: str) -> Part:
    """A third for tuning, by the hash, so that nobody chose which."""
    return "tuning" if int(text_hash(text)[:8], 16) % 3 == 0 else "test"
