"""Further calls to tell two tools apart: recorded ones with one small change each.

In: a recorded call. Out: calls like it: a number one more, one less or with the other sign, a list without its first
item or in reverse, a text in reverse. Pure, and always the same for the same call. Neighbours: `behaviour` runs them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from toolsets.making.checking import Recorded

MAX_PLACES: Final = 12
_STEPS: Final = (1, -1, 10)


def probes_of(call: Recorded) -> Iterator[Recorded]:
    """Each probe once, the small changes first."""
    if call.is_code:
        yield from (replace(call, text=text, result=None) for text in _changed_texts(call.text))
        return
    for name, value in call.arguments.items():
        for changed in _changed(value):
            yield replace(call, arguments={**call.arguments, name: changed}, result=None)


def _changed(value: Any) -> Iterator[Any]:
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield from (value + step for step in _STEPS)
        if value:
            yield -value
    elif isinstance(value, str) and value:
        if value[::-1] != value:
            yield value[::-1]
        yield value + value[:1]
    elif isinstance(value, list) and value:
        yield value[1:]
        if value[::-1] != value:
            yield value[::-1]
        for index in range(min(len(value), MAX_PLACES)):
            for changed in _changed(value[index]):
                yield [*value[:index], changed, *value[index + 1 :]]
                break


def _changed_texts(text: str) -> Iterator[str]:
    """The code of a call with one of its numbers changed; the last numbers, the arguments of the call itself, first."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return
    places = [node for node in ast.walk(tree) if _is_number(node)]
    places.sort(key=lambda node: (getattr(node, "lineno", 0), getattr(node, "col_offset", 0)), reverse=True)
    for step in _STEPS:
        for number in range(min(len(places), MAX_PLACES)):
            changed = ast.parse(text)
            same = [node for node in ast.walk(changed) if _is_number(node)]
            same.sort(key=lambda node: (getattr(node, "lineno", 0), getattr(node, "col_offset", 0)), reverse=True)
            node = same[number]
            assert isinstance(node, ast.Constant)
            assert isinstance(node.value, int | float)
            node.value = node.value + step
            try:
                yield ast.unparse(changed)
            except (RecursionError, ValueError):  # a sum of hundreds of terms, a number of thousands of digits
                return


def _is_number(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool)
