"""Whether two tools do the same: not by their names, but by running each on the other's calls.

In: two rows of the library. Out: a `Comparison`: alike, not alike with the call on which they differ, or nothing can be
said; and the plan of a merge that keeps the more general tool and all exemplars (CRAFT, arXiv 2309.17428, section 2.1,
decides this by names; `count_groups_above` and `count_groups_below` show why that is not enough). Neighbours:
`checking` runs the calls, `probes` makes further ones, `memory.duplicates` finds the candidates, a person decides.

Both tools run all recorded calls of both, and probes: the same calls with small changes, because a threshold of 3 in
[1, 5] leaves as many above as below. Where parameters have other names or another order, a mapping is looked for under
which they agree on everything.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from memory.planning import plan_merge
from memory.store import Library
from memory.values import Plan, Row
from toolsets.annotations import code_facts
from toolsets.errors import ToolsetError
from toolsets.making.answers import same_value
from toolsets.making.checking import Ran, Recorded, Subject, recorded_calls
from toolsets.making.probes import probes_of
from toolsets.sandbox import Sandbox
from toolsets.schemas import can_be

MAX_CALLS: Final = 12
"""Recorded calls of each tool that are run; a tool that was merged often has many alike."""
MAX_PROBES: Final = 24
MAX_MAPPINGS: Final = 24
MIN_AGREED: Final = 2
"""Calls on which both returned a value, and the same: one alone may be an accident."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """alike: None where nothing can be said. mapping: the second tool's parameters by the first one's names. agreed:
    calls on which both returned the same. differs: the call on which they did not, in words."""

    first: Row
    second: Row
    alike: bool | None
    mapping: Mapping[str, str] = field(default_factory=dict, hash=False)
    agreed: int = 0
    differs: str = ""

    def sentence(self) -> str:
        """The verdict for a person."""
        names = f"{self.first.name} and {self.second.name}"
        if self.alike:
            return f"{names} returned the same on {self.agreed} calls."
        if self.alike is None:
            return f"Nothing can be said of {names}: {self.differs or 'they have no recorded calls to compare'}."
        return f"{names} differ: {self.differs}."


@dataclass(slots=True)
class _Score:
    agreed: int = 0
    differs: str = ""
    failed: str = ""
    """Why the first call that neither can do fails."""


def compare(first: Row, second: Row, library: Library, *, sandbox: Sandbox | None = None) -> Comparison:
    """Run both tools on the recorded calls of both and on probes. What the code does wrong is data; nothing raises."""
    try:
        one, other = Subject(first, library, sandbox), Subject(second, library, sandbox)
    except ToolsetError as error:
        return Comparison(first, second, None, differs=str(error).rstrip("."))
    mine, theirs = recorded_calls(first.content)[:MAX_CALLS], recorded_calls(second.content)[:MAX_CALLS]
    if not mine and not theirs:
        return Comparison(first, second, None)
    best = _Score()
    mappings = list(_mappings(one, other))
    for mapping in mappings:
        score = _agreement(one, other, mapping, mine, theirs)
        if not score.differs and score.agreed >= MIN_AGREED:
            return Comparison(first, second, True, mapping, score.agreed)
        if score.agreed >= best.agreed or not best.differs:
            best = score
    if not mappings:
        return Comparison(first, second, False, differs="their parameters cannot be matched")
    if best.differs:
        return Comparison(first, second, False, agreed=best.agreed, differs=best.differs)
    why = f" (the first fails: {best.failed.rstrip('.')})" if best.failed else ""
    return Comparison(first, second, None, agreed=best.agreed, differs=f"too few of their calls return anything{why}")


def alike(library: Library, sandbox: Sandbox | None = None) -> Callable[[Row, Row], bool | None]:
    """`compare` in the form that `memory.duplicates.near_duplicates` asks for."""
    return lambda first, second: compare(first, second, library, sandbox=sandbox).alike


def merge_plan(comparison: Comparison) -> Plan:
    """The more general of two like tools stays, with the problems and recorded calls of both; the other is retired."""
    assert comparison.alike
    keep, gone, mapping = comparison.first, comparison.second, {v: k for k, v in comparison.mapping.items()}
    if _generality(gone) > _generality(keep):
        keep, gone, mapping = gone, keep, dict(comparison.mapping)
    return _merged(keep, [gone], [mapping])


def merge_as_told(keep: Row, others: Sequence[Row]) -> Plan:
    """A merge on a person's word, without running anything: parameters are matched by their names, then in their order.
    A call with an argument that `keep` has no place for stays with the retired row."""
    return _merged(keep, others, [_matched(_parameters(other), _parameters(keep)) for other in others])


def _merged(keep: Row, others: Sequence[Row], mappings: Sequence[Mapping[str, str]]) -> Plan:
    """mappings: for each of the others, the parameters of `keep` by its own."""
    plan = plan_merge(keep, others)
    content = dict(plan.changes[0].after.content)
    places = set(_parameters(keep))
    calls = list(keep.content.get("calls", ()))
    own = {problem["text"]: problem for problem in keep.content.get("problems", ())}
    called: dict[str, Mapping[str, Any]] = {}
    for other, mapping in zip(others, mappings, strict=True):
        for call in other.content.get("calls", ()):
            if isinstance(call, Mapping) and isinstance(call.get("arguments"), Mapping):
                moved = _renamed_call(call, mapping)
                if moved not in calls and moved["arguments"].keys() <= places:
                    calls.append(moved)
        for problem in other.content.get("problems", ()):
            called.setdefault(problem["text"], _called(problem, other, mapping))
    if calls:
        content["calls"] = calls
    content["problems"] = [
        problem if problem["text"] in own else called[problem["text"]] for problem in content["problems"]
    ]
    kept = plan.changes[0]
    return replace(plan, changes=(replace(kept, after=kept.after.with_(content=content)), *plan.changes[1:]))


def _matched(theirs: Sequence[str], own: Sequence[str]) -> dict[str, str]:
    """Their parameters by name, and what is left over in order."""
    same = {name: name for name in theirs if name in own}
    left, right = [name for name in theirs if name not in same], [name for name in own if name not in same]
    return {**same, **dict(zip(left, right, strict=False))}


def _parameters(row: Row) -> tuple[str, ...]:
    try:
        return tuple(code_facts(row.content["code"], row.name).parameters)
    except ToolsetError:  # a tool that cannot be called by name has no calls either
        return ()


def _agreement(
    one: Subject, other: Subject, mapping: Mapping[str, str], mine: Sequence[Recorded], theirs: Sequence[Recorded]
) -> _Score:
    """Both tools on all calls; stops at the first on which they differ."""
    back = {new: old for old, new in mapping.items()}
    score = _Score()
    recorded = _interleaved(((one, call) for call in mine), ((other, call) for call in theirs))
    probes = _interleaved(
        ((one, probe) for call in mine for probe in probes_of(call)),
        ((other, probe) for call in theirs for probe in probes_of(call)),
    )
    calls = itertools.chain(
        ((*call, True) for call in recorded), ((*call, False) for call in itertools.islice(probes, MAX_PROBES))
    )
    for owner, call, was_recorded in calls:
        if owner is one:
            left, right = one.run(call), other.run(call, one, mapping)
        else:
            left, right = one.run(call, other, back), other.run(call)
        _judge(score, one, other, call, left, right, recorded=was_recorded)
        if score.differs:
            break
    return score


def _judge(
    score: _Score, one: Subject, other: Subject, call: Recorded, left: Ran, right: Ran, *, recorded: bool
) -> None:
    if left.error and right.error:
        score.failed = score.failed or left.error
        return  # a call that neither can do tells nothing
    if not left.error and not right.error and same_value(left.value, right.value):
        score.agreed += left.value is not None
        return
    told = [f"{row.row.name} {_outcome(ran)}" for row, ran in ((one, left), (other, right))]
    what = "on a recorded call" if recorded else "on a recorded call with a small change"
    score.differs = f"{what}, {_shown(call)}, {told[0]} and {told[1]}"


def _mappings(one: Subject, other: Subject) -> Iterator[dict[str, str]]:
    """Ways to pass the first tool's arguments to the second: by equal names first, the rest in order, then in every
    other order that the types allow."""
    own, others = one.parameters, other.parameters
    same = {name: name for name in own if name in others}
    left, right = [n for n in own if n not in same], [n for n in others if n not in same]
    if len(one.required) > len(others) or len(other.required) > len(own):
        return
    needed = [name for name in left if name in one.required]
    free = [name for name in right if name in other.required]
    shorter = min(len(left), len(right))
    count = 0
    for chosen in itertools.permutations(right, shorter):
        for givers in itertools.combinations(left, shorter):
            mapping = {**same, **dict(zip(givers, chosen, strict=True))}
            covers = all(name in mapping for name in needed) and set(free) <= set(mapping.values())
            fits = all(_fits(own[old], others[new], one, other) for old, new in mapping.items())
            if covers and fits:
                yield mapping
                count += 1
                if count >= MAX_MAPPINGS:
                    return
    # The same names, swapped: subtract(a, b) and subtract_from(a, b).
    if not left and not right and len(same) <= 3:
        for swapped in list(itertools.permutations(same))[1:]:
            mapping = dict(zip(same, swapped, strict=True))
            if all(_fits(own[old], others[new], one, other) for old, new in mapping.items()):
                yield mapping


def _fits(mine: Mapping[str, Any], theirs: Mapping[str, Any], one: Subject, other: Subject) -> bool:
    return can_be([mine], theirs, one.tool.parameters, other.tool.parameters)


def _generality(row: Row) -> tuple[int, ...]:
    """More parameters can say more; then a built-in tool, more exemplars, an approved one, the shorter code."""
    facts = code_facts(row.content["code"], row.name)
    return (
        len(facts.parameters),
        int(bool(row.content.get("builtin"))),
        len(row.content.get("problems", ())),
        int(row.state == "active"),
        -len(row.content["code"]),
    )


def _renamed_call(call: Mapping[str, Any], mapping: Mapping[str, str]) -> dict[str, Any]:
    return {**call, "arguments": {mapping.get(name, name): value for name, value in call["arguments"].items()}}


def _called(problem: Mapping[str, Any], gone: Row, mapping: Mapping[str, str]) -> dict[str, Any]:
    """A problem with a note of the function that its call was written for, so that it can be run again."""
    if not problem.get("call"):
        return dict(problem)
    called = problem.get("called") or {
        "name": gone.name,
        "pairs": [[name, name] for name in _parameters(gone)],
    }
    pairs = [[old, mapping.get(new, new)] for old, new in called["pairs"]]
    return {**problem, "called": {"name": called["name"], "pairs": pairs}}


def _interleaved(
    first: Iterator[tuple[Subject, Recorded]], second: Iterator[tuple[Subject, Recorded]]
) -> Iterator[tuple[Subject, Recorded]]:
    for pair in itertools.zip_longest(first, second):
        yield from (one for one in pair if one is not None)


def _outcome(ran: Ran) -> str:
    text = f"fails ({ran.error})" if ran.error else f"returns {ran.value!r}"
    return text if len(text) <= 120 else f"{text[:117]}..."


def _shown(call: Recorded) -> str:
    text = (
        " ".join(call.text.split())
        if call.is_code
        else ", ".join(f"{name}={value!r}" for name, value in call.arguments.items())
    )
    return text if len(text) <= 160 else f"...{text[-157:]}"
