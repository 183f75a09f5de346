"""What a composite tool is called, and what it says of itself, made from the tools that it calls.

In: a composite and its tools. Out: a name that is free, and a docstring. Neighbours: `proposing` writes them into a
row, where a person may change both. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from toolsets.composites import Composite, Constant, Items, Parameter, Result, Term
from toolsets.rendering import render_result
from toolsets.tool import Tool

MAX_NAME: Final = 60
MAX_EXAMPLES: Final = 2


def name_of(composite: Composite, taken: Collection[str]) -> str:
    """The tools in the order of their calls: `percent_of_then_subtract`; numbered where the name is taken."""
    name = "_then_".join(_collapsed([part.tool for part in composite.parts]))
    if len(name) > MAX_NAME:
        name = f"{composite.parts[0].tool}_to_{composite.parts[-1].tool}"
    free, count = name, 2
    while free in taken:
        free, count = f"{name}_{count}", count + 1
    return free


def docstring_of(
    composite: Composite, name: str, tools: Mapping[str, Tool], examples: Sequence[tuple[Mapping[str, Any], Any]]
) -> str:
    """First what it gives, then which values are fixed, then examples with the values of the runs."""
    described = [tools[part.tool].description for part in composite.parts]
    steps = _collapsed(described)
    summary = ", then ".join([steps[0], *(step[:1].lower() + step[1:] for step in steps[1:])])
    lines = [f"{summary}.", "", *_steps(composite, tools), ""]
    for arguments, result in examples[:MAX_EXAMPLES]:
        given = ", ".join(f"{key}={arguments[key]!r}" for key in composite.parameters)
        lines += [f">>> {name}({given})", repr(result)]
    return "\n".join(lines)


def _steps(composite: Composite, tools: Mapping[str, Tool]) -> list[str]:
    """Each call in words: `1. Percentage of a value: percent is percent, value is price`."""
    lines = []
    for part in composite.parts:
        given = ", ".join(f"{name} is {_said(term)}" for name, term in part.arguments.items())
        lines.append(f"{part.id}. {tools[part.tool].description}: {given}")
    return lines


def _said(term: Term) -> str:
    match term:
        case Parameter(name):
            return f"the argument {name}"
        case Result(call, path):
            part = "".join(f"[{step!r}]" for step in path)
            return f"the result of {call}{part}"
        case Constant(value):
            return f"always {render_result(value)}"
        case Items(terms):
            return "the list of " + " and ".join(map(_said, terms))


def _collapsed(texts: Sequence[str]) -> list[str]:
    """Repeated neighbours once."""
    return [text for number, text in enumerate(texts) if number == 0 or text != texts[number - 1]]
