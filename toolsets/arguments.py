"""Checks the arguments of a call against a tool's JSON Schema, and forgives the slips that models make.

In: a `Tool` and the arguments as they were parsed. Out: keyword arguments for the tool's function, or an ArgumentError
of one sentence that names the parameter, what was expected and what came. Neighbours: `tool` writes the schema,
`direct` calls the function. Pure.

Forgiven: a number or a list written as a text, a whole number written as 3.0, yes and no written as texts. Nothing is
ever rounded or guessed.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any, Final

from toolsets.errors import ArgumentError
from toolsets.tool import Tool, kind_of

_EXPECTED: Final = {
    "int": "a whole number",
    "number": "a number",
    "text": "a text",
    "date": "a date as YYYY-MM-DD",
    "bool": "true or false",
    "list": "a list",
}
_NUMBER_TEXT: Final = re.compile(r"[+-]?\d{1,300}(\.\d{1,300})?([eE][+-]?\d{1,3})?", re.ASCII)
_BOOL_TEXTS: Final = {"true": True, "yes": True, "false": False, "no": False}
_MAX_SHOWN: Final = 40
# Beyond it a float has no exact last digit, so "the whole number that was meant" is unknown.
_MAX_EXACT_FLOAT: Final = 2**53


class _Misfit(Exception):
    """Raised by the readers below; `fit_arguments` turns it into a sentence."""


def fit_arguments(tool: Tool, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments as the tool's function takes them; raises ArgumentError where they do not fit."""
    properties: Mapping[str, Mapping[str, Any]] = tool.parameters.get("properties", {})
    for name in arguments:
        if name not in properties:
            raise ArgumentError(f"{tool.name} has no parameter {_shown(name)}: call it as {tool.signature()}.")
    for name in tool.parameters.get("required", ()):
        if name not in arguments:
            raise ArgumentError(f"{tool.name} needs the parameter {name!r}: call it as {tool.signature()}.")
    return {name: _fit(tool.name, name, value, properties[name]) for name, value in arguments.items()}


def _fit(tool: str, place: str, value: Any, schema: Mapping[str, Any]) -> Any:
    kind = kind_of(schema)
    reader = _READERS.get(kind)
    if reader is None:
        return value
    try:
        fitted = reader(value)
    except _Misfit:
        raise ArgumentError(f"{place} of {tool} must be {_EXPECTED[kind]}, not {_shown(value)}.") from None
    if kind == "list":
        items = schema.get("items", {})
        return [_fit(tool, f"{place}[{index}]", item, items) for index, item in enumerate(fitted)]
    return fitted


def _read_int(value: Any) -> int:
    number = _read_number(value)
    if isinstance(number, int):
        return number
    if number.is_integer() and abs(number) <= _MAX_EXACT_FLOAT:
        return int(number)
    raise _Misfit


def _read_number(value: Any) -> int | float:
    if isinstance(value, str):
        match = _NUMBER_TEXT.fullmatch(value.strip())
        if match is None:
            raise _Misfit
        value = float(match[0]) if match[1] or match[2] else int(match[0])
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Misfit
    if isinstance(value, float) and not math.isfinite(value):
        raise _Misfit
    return value


def _read_text(value: Any) -> str:
    if not isinstance(value, str):
        raise _Misfit
    return value


def _read_date(value: Any) -> date:
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(_read_text(value).strip())
    except ValueError:
        raise _Misfit from None


def _read_bool(value: Any) -> bool:
    if isinstance(value, str):
        value = _BOOL_TEXTS.get(value.strip().lower())
    if not isinstance(value, bool):
        raise _Misfit
    return value


def _read_list(value: Any) -> list[Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise _Misfit from None
    if not isinstance(value, list | tuple):
        raise _Misfit
    return list(value)


def _shown(value: Any) -> str:
    """What came, short enough for a sentence."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return "true" if value else "false"
    try:
        text = repr(value)
    except Exception:  # a number of more digits than Python prints, or an object whose repr is broken
        return f"a very long {type(value).__name__}" if isinstance(value, int) else f"a {type(value).__name__}"
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


_READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "int": _read_int,
    "number": _read_number,
    "text": _read_text,
    "date": _read_date,
    "bool": _read_bool,
    "list": _read_list,
}
