"""Which argument of a call came from which earlier result.

In: a `Trace` and the tools. Out: for each call its arguments as terms: a constant, or the result of another call. Two
things make an edge: a reference that was written (`$1`), and the equality of a value with an earlier result where
nothing else explains it: the value does not stand in the task's text, is not one of the small values that are equal by
accident, and no other kind of result has it. With `told`, values that stand in the text count too: a person who asks
for 25 percent of 80 and then for 80 minus 20 has passed the 20 on. One run says nothing of that; `induce` asks for
several, with other values each. Pure. Neighbours: `fragments` cuts pieces out of what is made here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from toolsets.composites import Constant, Items, Result, Term
from toolsets.induction.traces import Trace, TracedCall, value_key
from toolsets.plan import Ref, Step
from toolsets.rendering import render_result
from toolsets.tool import Tool

MAX_PLACES: Final = 64
"""Parts of one result that are looked at as the source of an argument."""
_SMALL: Final = 12
_WORDS: Final = re.compile(r"\d[\d,]*(?:\.\d+)?|\w+")


@dataclass(frozen=True, slots=True)
class FlowCall:
    """A call whose arguments say where they come from; `values` are what they were."""

    call: TracedCall
    terms: Mapping[str, Term] = field(hash=False)
    values: Mapping[str, Any] = field(hash=False)

    def sources(self) -> tuple[str, ...]:
        """Ids of the calls whose results it uses, each once."""
        return tuple(dict.fromkeys(result.call for term in self.terms.values() for result in results_in(term)))


def flow_of(trace: Trace, tools: Mapping[str, Tool], *, told: bool = False) -> tuple[FlowCall, ...]:
    """The calls of a trace with the flow of data between them; calls of tools that are not known are left out."""
    task = "" if told else trace.task
    explained = {word.replace(",", "").lower() for word in _WORDS.findall(task)}
    text = " ".join(task.lower().split())
    found: list[FlowCall] = []
    known: dict[str, TracedCall] = {}
    for call in trace.calls:
        tool = tools.get(call.tool)
        if tool is None:
            continue
        values = _with_defaults(call.arguments, tool)
        places = list(_places(list(known.values())))
        terms = {
            name: _written(call.written[name], known) if name in call.written else _term(value, places, explained, text)
            for name, value in values.items()
        }
        found.append(
            FlowCall(
                call,
                {name: term if term is not None else Constant(values[name]) for name, term in terms.items()},
                values,
            )
        )
        known[call.id] = call
    return tuple(found)


def results_in(term: Term) -> Iterator[Result]:
    if isinstance(term, Result):
        yield term
    elif isinstance(term, Items):
        for one in term.terms:
            yield from results_in(one)


@dataclass(frozen=True, slots=True)
class _Place:
    result: Result
    key: str


def _places(calls: Sequence[TracedCall]) -> Iterator[_Place]:
    """What earlier results offer, the latest call first, whole results before their parts."""
    for call in reversed(calls):
        for number, (path, value) in enumerate(_parts(call.result, ())):
            if number >= MAX_PLACES:
                break
            yield _Place(Result(call.id, path), value_key(value))


def _parts(value: Any, path: tuple[Step, ...]) -> Iterator[tuple[tuple[Step, ...], Any]]:
    yield path, value
    if len(path) >= 3:
        return
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _parts(item, (*path, str(key)))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _parts(item, (*path, index))


def _term(value: Any, places: Sequence[_Place], explained: set[str], text: str) -> Term:
    source = _source(value, places, explained, text)
    if source is not None:
        return source
    if isinstance(value, list | tuple) and value:
        items = tuple(_source(item, places, explained, text) or Constant(item) for item in value)
        if any(isinstance(item, Result) for item in items):
            return Items(items)
    return Constant(value)


def _source(value: Any, places: Sequence[_Place], explained: set[str], text: str) -> Result | None:
    if not _is_telling(value) or _is_explained(value, explained, text):
        return None
    key = value_key(value)
    return next((place.result for place in places if place.key == key), None)


def _is_telling(value: Any) -> bool:
    """Whether a value is unlikely to be equal to another one by accident."""
    if value is None or isinstance(value, bool):
        return False
    if isinstance(value, int | float):
        return abs(value) > _SMALL or value != int(value)
    if isinstance(value, str):
        return len(value) >= 3
    return bool(value)


def _is_explained(value: Any, explained: set[str], text: str) -> bool:
    """Whether the task itself gives the value."""
    if isinstance(value, int | float):
        return any(one in explained for one in {render_result(value), str(value), render_result(abs(value))})
    if isinstance(value, str):
        return " ".join(value.lower().split()) in text
    if isinstance(value, list | tuple):
        return all(_is_explained(item, explained, text) for item in value)
    return False


def _written(value: Any, known: Mapping[str, TracedCall]) -> Term | None:
    """A written reference as a term; None where it leads to no call of the trace."""
    if isinstance(value, Ref):
        return Result(value.call, value.path) if value.call in known else None
    if isinstance(value, list | tuple):
        terms = [_written(item, known) for item in value]
        return Items(tuple(term for term in terms if term is not None)) if None not in terms else None
    return Constant(value)


def _with_defaults(arguments: Mapping[str, Any], tool: Tool) -> dict[str, Any]:
    """The arguments with the defaults of those that were left out, so that both ways to write a call are one."""
    properties: Mapping[str, Mapping[str, Any]] = tool.parameters.get("properties", {})
    given = {name: arguments[name] for name in properties if name in arguments}
    defaults = {name: schema["default"] for name, schema in properties.items() if "default" in schema}
    return {name: given.get(name, defaults.get(name)) for name in properties if name in given or name in defaults}
