"""From a docstring to what a model is told.

In: a function's docstring in Google, NumPy or reST style, or just a first line. Out: a `Documentation`. Neighbours:
`tool` takes the first line as description, the sections as descriptions of the parameters. Pure.
"""

import doctest
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

_SECTION: Final = re.compile(
    r"^\s*(?:(?:Args|Arguments|Parameters|Params|Keyword Args|Attributes|Returns)\s*:?\s*$|[:@]param\b)", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Documentation:
    """summary: the first line without its final period. examples: calls as they stand in doctests."""

    summary: str = ""
    details: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    examples: tuple[str, ...] = ()


def read_docstring(function: Callable[..., Any]) -> Documentation:
    """What the docstring says; empty where there is none.

    >>> def scale(value: float, by: float = 2) -> float:
    ...     '''Scaled value.
    ...
    ...     Args:
    ...         value: what is scaled
    ...     '''
    >>> read_docstring(scale).parameters
    {'value': 'what is scaled'}
    """
    text = (inspect.getdoc(function) or "").strip()
    if not text:
        return Documentation()
    lines = text.splitlines()
    prose = "\n".join(line for line in _without_examples("\n".join(lines[1:])))
    parameters: dict[str, str] = {}
    if _SECTION.search(text):
        # Loaded where there is a section to read, so that the plain tools stay quick to import.
        from docstring_parser import parse

        parsed = parse(text)
        parameters = {p.arg_name.lstrip("*"): _one_line(p.description) for p in parsed.params if p.description}
        prose = parsed.long_description or ""
        prose = "\n".join(_without_examples(prose))
    return Documentation(lines[0].strip().removesuffix("."), prose.strip(), parameters, _examples(text))


def _examples(text: str) -> tuple[str, ...]:
    try:
        examples = doctest.DocTestParser().get_examples(text)
    except ValueError:  # a prompt that is only shown, not an example
        return ()
    return tuple(f"{example.source.strip()} -> {example.want.strip()}" for example in examples if example.want)


def _without_examples(text: str) -> list[str]:
    kept: list[str] = []
    inside = False
    for line in text.splitlines():
        inside = line.lstrip().startswith(">>>") or (inside and bool(line.strip()))
        if not inside:
            kept.append(line.rstrip())
    return kept


def _one_line(text: str) -> str:
    return " ".join(text.split())
