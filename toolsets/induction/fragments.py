"""The pieces of a plan that could be a tool of their own, and which pieces have the same shape.

In: the flow of a trace. Out: `Fragment`s: connected sets of calls in which all but one, the last, are used by nobody
outside. Two fragments have the same shape where they call the same tools and pass results along the same way, whatever
the constants are. Neighbours: `generalise` makes one composite of fragments of one shape. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from toolsets.composites import Items, Result, Term
from toolsets.induction.flow import FlowCall, results_in
from toolsets.plan import Step

MAX_FRAGMENT: Final = 8
"""Calls of one composite. Larger plans are cut into smaller pieces."""
MAX_PER_TRACE: Final = 400

Leaf = tuple[int, str, tuple[Step, ...]]
"""A place of a fragment that holds a value of its own: which call, which argument, where in a list."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """Calls in the canonical order of their shape, the last one returns the result."""

    trace: int
    calls: tuple[FlowCall, ...]
    shape: str = field(repr=False)

    @property
    def ids(self) -> frozenset[str]:
        return frozenset(call.call.id for call in self.calls)

    @property
    def last(self) -> FlowCall:
        return self.calls[-1]


def fragments_of(trace: int, flow: Sequence[FlowCall]) -> list[Fragment]:
    """All fragments of two or more calls, at most `MAX_PER_TRACE`, the small ones first."""
    by_id = {call.call.id: call for call in flow}
    users: dict[str, set[str]] = {id: set() for id in by_id}
    for call in flow:
        for source in call.sources():
            if source in users:
                users[source].add(call.call.id)
    found: list[Fragment] = []
    for sink in flow:
        for ids in _closed_sets(sink.call.id, by_id, users):
            found.append(_fragment(trace, sink, ids, by_id))
            if len(found) >= MAX_PER_TRACE:
                return found
    return found


def leaves_of(fragment: Fragment) -> Iterator[tuple[Leaf, Term, Any]]:
    """The places of a fragment with the terms that stand there and their values; lists with results in them are
    taken apart."""
    for number, call in enumerate(fragment.calls):
        for name, term in sorted(call.terms.items()):
            value = call.values[name]
            if isinstance(term, Items):
                for index, (one, item) in enumerate(zip(term.terms, value, strict=True)):
                    yield (number, name, (index,)), one, item
            else:
                yield (number, name, ()), term, value


def _closed_sets(sink: str, by_id: Mapping[str, FlowCall], users: Mapping[str, set[str]]) -> Iterator[frozenset[str]]:
    """Sets that hold the sink and calls that only the set uses; grown call by call from the sink backwards."""
    frontier = [frozenset({sink})]
    seen = set(frontier)
    while frontier:
        grown: list[frozenset[str]] = []
        for ids in frontier:
            sources = {source for id in ids for source in by_id[id].sources() if source in by_id and source not in ids}
            for source in sorted(sources):
                larger = ids | {source}
                if users[source] <= ids and larger not in seen:
                    seen.add(larger)
                    yield larger
                    if len(larger) < MAX_FRAGMENT:
                        grown.append(larger)
        frontier = grown


def _fragment(trace: int, sink: FlowCall, ids: frozenset[str], by_id: Mapping[str, FlowCall]) -> Fragment:
    order: dict[str, int] = {}

    def visit(call: FlowCall) -> None:
        # Arguments in the order of their names: the same walk through every fragment of this shape.
        for _, term in sorted(call.terms.items()):
            for result in results_in(term):
                if result.call in ids and result.call not in order:
                    visit(by_id[result.call])
        order[call.call.id] = len(order)

    visit(sink)
    calls = tuple(by_id[id] for id in order)
    return Fragment(trace, calls, json.dumps([_told(call, order) for call in calls]))


def _told(call: FlowCall, order: Mapping[str, int]) -> list[Any]:
    """A call without its values: its tool, and where each of its arguments comes from."""

    def term_told(term: Term) -> Any:
        if isinstance(term, Result):
            return [order[term.call], list(term.path)] if term.call in order else "value"
        if isinstance(term, Items) and any(result.call in order for result in results_in(term)):
            return {"items": [term_told(one) for one in term.terms]}
        return "value"

    return [call.call.tool, {name: term_told(term) for name, term in sorted(call.terms.items())}]
