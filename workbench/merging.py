"""Which tools of the library do the same: candidates by how they read, decided by how they behave.

In: the library, with its search. Out: a comparison for each pair that reads alike, and one plan of all merges, to be
shown before it is done. Neighbours: `memory.duplicates` finds the pairs and leaves out those that a person said are
two, `toolsets.making.behaviour` runs the tools on each other's calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from memory.duplicates import near_duplicates
from memory.planning import joined
from memory.values import Plan
from toolsets.making.behaviour import Comparison, compare, merge_plan
from toolsets.sandbox import Sandbox
from workbench.libraries import Libraries


@dataclass(frozen=True, slots=True)
class Found:
    """plan: None where nothing is to be merged."""

    comparisons: tuple[Comparison, ...]
    plan: Plan | None

    def json(self) -> dict[str, Any]:
        pairs = [
            {
                "first": {"id": one.first.row_id, "name": one.first.name},
                "second": {"id": one.second.row_id, "name": one.second.name},
                "alike": one.alike,
                "agreed": one.agreed,
                "why": one.sentence(),
            }
            for one in self.comparisons
        ]
        return {"pairs": pairs, "merges": 0 if self.plan is None else len(self.plan.changes) // 2}


def like_tools(home: Libraries, *, threshold: float, sandbox: Sandbox | None = None) -> Found:
    """Compare all tools that read alike. A row takes part in one merge at most; what is left is found the next time."""
    pairs = near_duplicates(home.searcher, "tool", threshold=threshold)
    # Two built-in tools are two on purpose.
    made = [pair for pair in pairs if not (pair.first.content.get("builtin") and pair.second.content.get("builtin"))]
    comparisons = tuple(compare(pair.first, pair.second, home.library, sandbox=sandbox) for pair in made)
    return Found(comparisons, _merges(comparisons))


def _merges(comparisons: Sequence[Comparison]) -> Plan | None:
    taken: set[str] = set()
    plans = []
    for one in comparisons:
        ids = {one.first.row_id, one.second.row_id}
        if one.alike and not ids & taken:
            taken |= ids
            plans.append(merge_plan(one))
    return joined("merge", plans) if plans else None
