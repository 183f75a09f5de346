"""A value as the text that a model reads, and as the plain value that this text tells of.

In: whatever a tool returned. Out: text; records, lists, texts and numbers. What a model reads as a record is one to
those that refer to it, too: `resolve` and `fitting` ask `told_as` where a value itself has no parts, or does not fit.
Neighbours: `results` keeps values, `executor` renders them. Pure, but for the code of the values' own classes.
"""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

from toolsets.damaged import well_formed

_DECIMALS: Final = 6


def render_result(value: Any) -> str:
    """A value as the short text that a model reads; raises ValueError for one that holds itself.

    >>> [render_result(value) for value in (42, 2.50, 1 / 3, True, [1, 2.0], date(2024, 2, 29))]
    ['42', '2.5', '0.333333', 'yes', '[1, 2]', '2024-02-29']
    """
    try:
        return _render(value)
    except RecursionError:
        raise ValueError("The result holds itself or is nested too deeply: return a flat list or record.") from None


def _render(value: Any) -> str:
    if isinstance(value, str):
        return well_formed(value)
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float | Decimal):
        return _render_decimal(value)
    if isinstance(value, int):
        return _render_integer(value)
    if isinstance(value, date):
        return value.isoformat(sep=" ") if isinstance(value, datetime) else value.isoformat()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_render_item(key)}: {_render_item(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_render_item, value)) + "]"
    plain = told_as(value)
    return well_formed(str(value)) if plain is value else _render(plain)


def render_call(tool: str, arguments: Mapping[str, Any], max_chars: int = 200) -> str:
    """A call on one line, as one would write it, cut where it is long.

    >>> render_call("note", {"text": "a\\nb", "times": 2})
    'note(text="a\\\\nb", times=2)'
    """
    try:
        given = ", ".join(f"{name}={_render_item(value)}" for name, value in arguments.items())
    except Exception:  # the value's own class may do anything when it is looked at
        given = "…"
    text = " ".join(f"{tool}({given})".split())
    return text if len(text) <= max_chars else f"{text[: max_chars - 1]}…"


def _by_size(text: str) -> tuple[float, str]:
    try:
        return float(text), text
    except ValueError:
        return float("inf"), text


def told_as(value: Any) -> Any:
    """A record for what has fields, a table's rows, an array's or a set's items, a choice's value, a path's text;
    anything else as it is.

    >>> told_as({30, 4}), told_as(PurePath("a/b"))
    ([4, 30], 'a/b')
    """
    kind = type(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, set | frozenset):  # their order is drawn anew by every process
        return sorted(value, key=lambda item: _by_size(_render_item(item)))
    if isinstance(value, PurePath | UUID | time):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: getattr(value, one.name) for one in fields(value)}
    if isinstance(names := getattr(kind, "model_fields", None), dict):  # pydantic's
        return {name: getattr(value, name) for name in names}
    if hasattr(kind, "to_dict") and hasattr(value, "columns"):  # a data frame's
        return value.to_dict("records")
    return value.tolist() if hasattr(kind, "tolist") and hasattr(kind, "dtype") else value


def _render_integer(value: int) -> str:
    try:
        return str(value)
    except ValueError:  # Python's own limit
        return f"a whole number of about {int(value.bit_length() * 0.30103):,} digits"


def _render_item(value: Any) -> str:
    value = told_as(value)
    text = _render(value)
    return json.dumps(text, ensure_ascii=False) if isinstance(value, str) else text


def _render_decimal(value: float | Decimal) -> str:
    """Six decimals; six significant digits below 1; a power of ten only where the plain form would be long."""
    number = Decimal(float.__repr__(value)) if isinstance(value, float) else value
    if not number.is_finite():
        return str(number).lower()
    if number == 0:
        return "0"
    magnitude = number.adjusted()
    if not -12 <= magnitude <= 20:
        digits, exponent = f"{number:.{_DECIMALS - 1}e}".split("e")
        return f"{_trimmed(digits)}e{exponent}"
    return _trimmed(f"{number:.{_DECIMALS - min(magnitude + 1, 0)}f}")


def _trimmed(digits: str) -> str:
    return digits.rstrip("0").rstrip(".") if "." in digits else digits
