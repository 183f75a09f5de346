"""Anti-unification: the least general composite of which all fragments of one shape are instances (Plotkin 1970).

In: fragments of one shape. Out: a `Composite` and, for each fragment, the arguments by which it is an instance. Where
the instances agree a value becomes a constant; where they differ, a parameter; and places that differ in the same way
become one parameter. Its type is what the tools say of the places where it is used. Neighbours: `fragments` groups,
`induce` keeps or drops what comes out. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from toolsets.composites import Composite, Constant, Items, Parameter, Part, Result, Term
from toolsets.hints import JsonSchema
from toolsets.induction.fragments import Fragment, Leaf, leaves_of
from toolsets.induction.traces import value_key
from toolsets.tool import Tool

_NOT_OF_A_TYPE: Final = frozenset({"default", "title", "examples"})


@dataclass(frozen=True, slots=True)
class Generalised:
    """bindings: the arguments of each instance, in the order of the fragments."""

    composite: Composite
    bindings: tuple[Mapping[str, Any], ...] = field(hash=False)


@dataclass(slots=True)
class _Variable:
    """Places that differ in the same way in all instances."""

    leaves: list[Leaf]
    values: tuple[Any, ...]
    name: str = ""


def generalise(fragments: Sequence[Fragment], tools: Mapping[str, Tool]) -> Generalised:
    """The composite of fragments of one shape."""
    first = fragments[0]
    number_of = {call.call.id: number for number, call in enumerate(first.calls)}
    columns = [list(leaves_of(fragment)) for fragment in fragments]
    terms: dict[Leaf, Term] = {}
    variables: dict[tuple[str, ...], _Variable] = {}
    for row in zip(*columns, strict=True):
        leaf, term, _ = row[0]
        if isinstance(term, Result) and term.call in number_of:
            terms[leaf] = Result(str(number_of[term.call] + 1), term.path)
            continue
        values = tuple(value for _, _, value in row)
        keys = tuple(map(value_key, values))
        # What came from a call outside is an input of the piece, even where it was the same in every instance.
        if len(set(keys)) == 1 and not any(isinstance(one, Result) for _, one, _ in row):
            terms[leaf] = Constant(values[0])
        else:
            variables.setdefault(keys, _Variable([], values)).leaves.append(leaf)
    _name(list(variables.values()), first)
    for variable in variables.values():
        terms |= {leaf: Parameter(variable.name) for leaf in variable.leaves}
    parameters = {variable.name: _schema(variable, first, tools) for variable in variables.values()}
    parts = tuple(
        Part(str(number + 1), call.call.tool, _arguments(number, call.terms, terms))
        for number, call in enumerate(first.calls)
    )
    bindings = tuple(
        {variable.name: variable.values[index] for variable in variables.values()} for index in range(len(fragments))
    )
    return Generalised(Composite(parameters, parts, parts[-1].id), bindings)


def _arguments(number: int, written: Mapping[str, Term], terms: Mapping[Leaf, Term]) -> dict[str, Term]:
    arguments: dict[str, Term] = {}
    for name, term in written.items():
        if isinstance(term, Items):
            arguments[name] = Items(tuple(terms[number, name, (index,)] for index in range(len(term.terms))))
        else:
            arguments[name] = terms[number, name, ()]
    return arguments


def _name(variables: Sequence[_Variable], fragment: Fragment) -> None:
    """Each variable is called as the parameter that it is passed to first; where two would be called the same, by its
    tool too, and by a number where even that is not enough."""
    wanted = [variable.leaves[0][1] for variable in variables]
    taken: set[str] = set()
    for variable, name in zip(variables, wanted, strict=True):
        number, _, _ = variable.leaves[0]
        if wanted.count(name) > 1:
            name = f"{fragment.calls[number].call.tool}_{name}"
        free, count = name, 2
        while free in taken:
            free, count = f"{name}_{count}", count + 1
        variable.name = free
        taken.add(free)


def _schema(variable: _Variable, fragment: Fragment, tools: Mapping[str, Tool]) -> JsonSchema:
    """The narrowest type among those that the tools ask for at the variable's places, with its description."""
    schemas = []
    for number, name, path in variable.leaves:
        schema = tools[fragment.calls[number].call.tool].parameters["properties"][name]
        for _ in path:
            items = schema.get("items", {})
            schema = items if isinstance(items, Mapping) else {}
        schemas.append({key: value for key, value in schema.items() if key not in _NOT_OF_A_TYPE})
    return min(schemas, key=_width)


def _width(schema: Mapping[str, Any]) -> int:
    """How much a schema lets in, in rough steps."""
    if "enum" in schema:
        return 0
    if "anyOf" in schema:
        return 4
    return {"boolean": 0, "integer": 1, "number": 2}.get(str(schema.get("type")), 3 if schema.get("type") else 5)
