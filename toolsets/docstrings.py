"""From a docstring to what a model is told.

In: a docstring in Google, NumPy or reST style, or just a first line, without the indentation of its code. Out: a
`Documentation`. Neighbours: `tool` takes the first line as description, the sections as descriptions of the parameters;
`annotations` does the same for code that is only read. Pure.
"""

import doctest
import re
from dataclasses import dataclass, field
from typing import Final

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


def read_docstring(text: str) -> Documentation:
    """What a docstring says; nothing where it is empty.

    >>> read_docstring("Scaled value.\\n\\nArgs:\\n    value: what is scaled").parameters
    {'value': 'what is scaled'}
    """
    text = text.strip()
    if not text:
        return Documentation()
    lines = text.splitlines()
    prose = "\n".join(lines[1:])
    parameters: dict[str, str] = {}
    if _SECTION.search(text):
        # Loaded where there is a section to read, so that the plain tools stay quick to import.
        from docstring_parser import parse

        parsed = parse(text)
        parameters = {p.arg_name.lstrip("*"): _one_line(p.description) for p in parsed.params if p.description}
        prose = parsed.long_description or ""
    details = "\n".join(_without_examples(prose)).strip()
    return Documentation(lines[0].strip().removesuffix("."), details, parameters, _examples(text))


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
