"""From traces to composite tools that are worth having.

In: traces of solved runs, and the tools that they called. Out: `Induced` composites, the one that saves most first.
Two things decide (both are shown to the person):

    It is true. Run again with the arguments of every instance, it returns what was returned there.
    It is short. Minimum description length (Rissanen 1978), counted in words that somebody has to write: a call costs
    2 (its place and its tool) and 2 for each argument (its name and its value). With `size` of a plan the sum over its
    calls, a composite C with p parameters and instances I saves

        gain(C) = sum over I of (size(calls of I) - (2 + 2p))  -  (size(calls of C) + 2p + 1)

    and is kept where the gain is above `min_gain`. Calls that one composite has taken are not counted for another.

Neighbours: the files of this room do the steps; `proposing` takes what comes out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from toolsets.composites import Composite, runner
from toolsets.errors import ToolsetError
from toolsets.induction.flow import flow_of
from toolsets.induction.fragments import Fragment, fragments_of, leaves_of
from toolsets.induction.generalise import Generalised, generalise
from toolsets.induction.traces import Trace, value_key
from toolsets.tool import Tool

MIN_INSTANCES: Final = 2
MIN_TOLD: Final = 3
"""Instances, each with other values, where a person passed a result on in the text of the task: fewer may be chance."""
MAX_KEPT: Final = 20


@dataclass(frozen=True, slots=True)
class Instance:
    """One place in one run that a composite was found in."""

    run: str
    calls: tuple[str, ...]
    arguments: Mapping[str, Any] = field(hash=False)
    result: Any = field(hash=False)
    question: str | None = None
    """The question of the task that it answered; None where that is not certain."""
    answer: str = ""


@dataclass(frozen=True, slots=True)
class Induced:
    """A composite with the evidence for it. gain: words saved, see above."""

    composite: Composite
    instances: tuple[Instance, ...]
    gain: int


def induce(
    traces: Sequence[Trace], tools: Mapping[str, Tool], *, min_gain: int = 0, min_instances: int = MIN_INSTANCES
) -> list[Induced]:
    """The composites that the traces teach, none of which shares calls with another. Tools that change something are
    not run again, so nothing is learnt of them."""
    harmless = {name: tool for name, tool in tools.items() if tool.effect == "read"}
    groups = {
        shape: found for shape, found in _by_shape(traces, harmless, told=False).items() if len(found) >= min_instances
    }
    groups |= {
        shape: found
        for shape, found in _by_shape(traces, harmless, told=True).items()
        if len(found) >= max(MIN_TOLD, min_instances) and _links_vary(found)
    }
    taken: set[tuple[int, str]] = set()
    kept: list[Induced] = []
    while groups and len(kept) < MAX_KEPT:
        ready = [(shape, found, generalise(found, harmless)) for shape, found in groups.items()]
        shape, fragments, general = max(ready, key=lambda one: (gain(one[1], one[2]), len(one[1]), one[0]))
        del groups[shape]
        saved = gain(fragments, general)
        if saved <= min_gain:
            break
        if not _varies(general) or not is_true(general, fragments, harmless):
            continue
        kept.append(_induced(fragments, general, traces, saved))
        taken |= {(fragment.trace, id) for fragment in fragments for id in fragment.ids}
        groups = _without(groups, taken, min_instances)
    return kept


def gain(fragments: Sequence[Fragment], general: Generalised) -> int:
    """Words that the composite saves in all instances, less those of its own definition."""
    parameters = len(general.composite.parameters)
    sizes = [_size([len(call.terms) for call in fragment.calls]) for fragment in fragments]
    definition = _size([len(part.arguments) for part in general.composite.parts]) + 2 * parameters + 1
    return sum(size - (2 + 2 * parameters) for size in sizes) - definition


def is_true(general: Generalised, fragments: Sequence[Fragment], tools: Mapping[str, Tool]) -> bool:
    """Whether the composite returns in every instance what was returned there."""
    run = runner(general.composite, {name: tools[name] for name in general.composite.tools()})
    for fragment, arguments in zip(fragments, general.bindings, strict=True):
        try:
            result = run(**arguments)
        except (ToolsetError, ValueError):
            return False
        if value_key(result) != value_key(fragment.last.call.result):
            return False
    return True


def _by_shape(traces: Sequence[Trace], tools: Mapping[str, Tool], *, told: bool) -> dict[str, list[Fragment]]:
    by_shape: defaultdict[str, list[Fragment]] = defaultdict(list)
    seen: set[tuple[str, ...]] = set()
    for number, trace in enumerate(traces):
        for fragment in fragments_of(number, flow_of(trace, tools, told=told)):
            # The same question asked again says nothing new, however often it is asked.
            key = (fragment.shape, *(value_key(value) for _, _, value in leaves_of(fragment)))
            if key not in seen:
                seen.add(key)
                by_shape[fragment.shape].append(fragment)
    return by_shape


def _links_vary(fragments: Sequence[Fragment]) -> bool:
    """Whether every result that is passed on was another one in enough of the instances."""
    passed_on = (
        {value_key(fragment.calls[number].call.result) for fragment in fragments}
        for number in range(len(fragments[0].calls) - 1)
    )
    return all(len(values) >= MIN_TOLD for values in passed_on)


def _size(arguments: Sequence[int]) -> int:
    return sum(2 + 2 * count for count in arguments)


def _varies(general: Generalised) -> bool:
    """Whether there is anything to choose: one and the same question, asked again, teaches no tool."""
    return bool(general.composite.parameters)


def _without(
    groups: Mapping[str, list[Fragment]], taken: set[tuple[int, str]], min_instances: int
) -> dict[str, list[Fragment]]:
    """The fragments that share no call with what was taken, and whose shape still recurs."""
    free = {
        shape: [one for one in fragments if not any((one.trace, id) in taken for id in one.ids)]
        for shape, fragments in groups.items()
    }
    return {shape: fragments for shape, fragments in free.items() if len(fragments) >= min_instances}


def _induced(fragments: Sequence[Fragment], general: Generalised, traces: Sequence[Trace], gain: int) -> Induced:
    instances = []
    for fragment, arguments in zip(fragments, general.bindings, strict=True):
        trace, last = traces[fragment.trace], fragment.last.call
        instances.append(
            Instance(
                trace.run,
                tuple(call.call.id for call in fragment.calls),
                arguments,
                last.result,
                trace.question_of(last),
                last.text,
            )
        )
    return Induced(general.composite, tuple(instances), gain)
