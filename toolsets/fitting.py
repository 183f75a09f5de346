"""Reads one value against a JSON Schema, forgiving what can only mean one thing.

In: a value, a schema. Out: the value as the schema has it, or a `Misfit` that says where and what was expected.
Neighbours: `arguments` calls this for each argument and words the sentence. Pure. Not looked at: "pattern", whose
matching can be made endless by whoever wrote the schema, and the rarer keywords of JSON Schema.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from toolsets.hints import kind_of
from toolsets.plan import Ref, Template
from toolsets.rendering import told_as
from toolsets.schemas import followed, options

_EXPECTED: Final = {
    "int": "a whole number",
    "number": "a number",
    "text": "a text",
    "date": "a date as YYYY-MM-DD",
    "bool": "true or false",
    "list": "a list",
    "object": "a record",
}
_NUMBER_TEXT: Final = re.compile(r"[+-]?\d{1,300}(\.\d{1,300})?([eE][+-]?\d{1,3})?", re.ASCII)
_MAX_DIGITS: Final = 300
_BOOL_TEXTS: Final = {"true": True, "yes": True, "false": False, "no": False}
_PLAIN: Final = frozenset({str, int, float, bool, type(None), list, dict})
# Keys of a schema that asks for something: where none stands, a value passes as it is.
_SAYING: Final = frozenset({"type", "enum", "const"})
_MAX_SHOWN: Final = 40
_MAX_CHOICES: Final = 12
_MAX_NESTED: Final = 40
_MAX_PARTS: Final = 10_000
"""Parts of schemas made of others ("allOf") for one argument: a few that hold each other can be more than time has."""
# Beyond it a float has no exact last digit, so "the whole number that was meant" is unknown.
_MAX_EXACT_FLOAT: Final = 2**53
_SIZES: Final = {
    "minItems": (1, "items at least"),
    "maxItems": (-1, "items at most"),
    "minLength": (1, "characters at least"),
    "maxLength": (-1, "characters at most"),
    "minProperties": (1, "fields at least"),
    "maxProperties": (-1, "fields at most"),
}
_BOUNDS: Final[dict[str, tuple[Callable[[Any, Any], bool], str]]] = {
    "minimum": (lambda value, bound: value >= bound, "at least"),
    "maximum": (lambda value, bound: value <= bound, "at most"),
    "exclusiveMinimum": (lambda value, bound: value > bound, "more than"),
    "exclusiveMaximum": (lambda value, bound: value < bound, "less than"),
}


class Misfit(Exception):
    """A value that does not fit, where it stands, and what was expected there."""

    def __init__(self, place: str, value: Any, expected: str) -> None:
        super().__init__(expected)
        self.place, self.value, self.expected = place, value, expected


class Fitter:
    """Fits values to schemas of one tool. hole: called for each reference, which stays as it is."""

    def __init__(
        self,
        root: Mapping[str, Any],
        hole: Callable[[str, Ref | Template, Mapping[str, Any]], None],
        *,
        keeps_dates_as_text: bool = False,
    ) -> None:
        self._root = root
        self._hole = hole
        self._parts = 0
        self._readers = dict(_READERS)
        if keeps_dates_as_text:
            self._readers["date"] = lambda value: _read_date(value).isoformat()

    def fit(self, place: str, value: Any, schema: Any, depth: int = _MAX_NESTED) -> Any:
        """The value as the schema has it; raises Misfit."""
        schema = followed(schema, self._root)
        if isinstance(value, Ref | Template):
            self._hole(place, value, schema)
            return value
        if depth == 0:
            raise Misfit(place, value, "less deeply nested")
        for part in schema.get("allOf", ()):
            self._parts += 1
            if self._parts > _MAX_PARTS:
                raise Misfit(place, value, "asked for in fewer words")
            value = self.fit(place, value, part, depth - 1)
        choices = options(schema, self._root)
        if type(value) not in _PLAIN and any(choice.keys() & _SAYING for choice in choices):
            value = told_as(value)  # what a tool returned fits as what it is told as
        if len(choices) > 1:
            return self._fit_one_of(place, value, choices, depth)
        return self._fit_kind(place, value, choices[0], depth)

    def _fit_one_of(self, place: str, value: Any, choices: list[Mapping[str, Any]], depth: int) -> Any:
        """The first alternative of the value's own type; only then one for which a slip has to be forgiven."""
        own = [choice for choice in choices if _is_of(value, choice)]
        for choice in [*own, *(choice for choice in choices if not any(choice is one for one in own))]:
            try:
                return self._fit_kind(place, value, choice, depth)
            except Misfit as misfit:
                if len(own) == 1 and choice is own[0]:
                    raise
                last = misfit
        if last.place != place:
            raise last
        raise Misfit(place, value, " or ".join(dict.fromkeys(_expected(choice) for choice in choices)))

    def _fit_kind(self, place: str, value: Any, schema: Mapping[str, Any], depth: int) -> Any:
        kind = kind_of(schema)
        if schema.get("type") == "null":
            if value is not None:
                raise Misfit(place, value, _expected(schema))
            return None
        reader = self._readers.get(kind)
        if reader is not None:
            try:
                value = reader(value)
            except ValueError:
                raise Misfit(place, value, _expected(schema)) from None
        self._check_choice(place, value, schema)
        self._check_size(place, value, schema)
        if kind == "list":
            return self._fit_items(place, value, schema, depth)
        if kind == "object":
            return self._fit_fields(place, value, schema, depth)
        return value

    def _fit_items(self, place: str, items: list[Any], schema: Mapping[str, Any], depth: int) -> list[Any]:
        first = schema.get("prefixItems", [])
        rest = schema.get("items", {})
        return [
            self.fit(f"{place}[{index}]", item, first[index] if index < len(first) else rest, depth - 1)
            for index, item in enumerate(items)
        ]

    def _fit_fields(self, place: str, fields: dict[str, Any], schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties", {})
        more = schema.get("additionalProperties", True)
        for name in schema.get("required", ()):
            if name not in fields:
                raise Misfit(place, fields, f"a record with the field {name!r}")
        fitted = {}
        for name, item in fields.items():
            if name not in properties and more is False:
                known = ", ".join(properties) or "no fields"
                raise Misfit(f"{place}.{name}", item, f"left out, as {place} has {known}")
            inner = properties.get(name, more if isinstance(more, Mapping) else {})
            fitted[name] = self.fit(f"{place}.{name}", item, inner, depth - 1)
        return fitted

    def _check_choice(self, place: str, value: Any, schema: Mapping[str, Any]) -> None:
        choices = [schema["const"]] if "const" in schema else schema.get("enum")
        if isinstance(choices, list) and not any(value == one and _same_kind(value, one) for one in choices):
            raise Misfit(place, value, _expected(schema))

    def _check_size(self, place: str, value: Any, schema: Mapping[str, Any]) -> None:
        if isinstance(value, int | float) and not isinstance(value, bool):
            for key, (holds, words) in _BOUNDS.items():
                bound = schema.get(key)
                if isinstance(bound, int | float) and not isinstance(bound, bool) and not holds(value, bound):
                    raise Misfit(place, value, f"{words} {bound}")
        elif isinstance(value, str | list | dict):
            kind = {str: "Length", list: "Items", dict: "Properties"}[type(value)]
            for key, (sign, words) in _SIZES.items():
                bound = schema.get(key)
                if key.endswith(kind) and isinstance(bound, int) and sign * len(value) < sign * bound:
                    raise Misfit(place, value, f"{_expected({'type': schema.get('type')})} of {bound} {words}")


def shown(value: Any) -> str:
    """What came, short enough for a sentence."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return "true" if value else "false"
    try:
        text = _written(value)
    except Exception:  # a number of more digits than Python prints, or an object whose repr is broken
        return f"a very long {type(value).__name__}" if isinstance(value, int) else f"a {type(value).__name__}"
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def _written(value: Any) -> str:
    """As Python writes it, with references as the plan has them."""
    if isinstance(value, Ref | Template):
        return str(value)
    if type(value) is list:
        return f"[{', '.join(map(_written, value))}]"
    if type(value) is dict:
        return f"{{{', '.join(f'{key!r}: {_written(item)}' for key, item in value.items())}}}"
    return repr(value)


def _expected(schema: Mapping[str, Any]) -> str:
    choices = [schema["const"]] if "const" in schema else schema.get("enum")
    if isinstance(choices, list) and choices:
        texts = [json.dumps(choice, ensure_ascii=False, default=str) for choice in choices[:_MAX_CHOICES]]
        return " or ".join([*texts, "..."] if len(choices) > _MAX_CHOICES else texts)
    if schema.get("type") == "null":
        return "null"
    return _EXPECTED.get(kind_of(schema), "another value")


def _same_kind(one: Any, other: Any) -> bool:
    """True is not 1, though Python says that they are equal."""
    return isinstance(one, bool) == isinstance(other, bool)


def _is_of(value: Any, schema: Mapping[str, Any]) -> bool:
    """Whether nothing has to be forgiven for the value to be of the schema's type."""
    if schema.get("type") == "null":
        return value is None
    if "enum" in schema or "const" in schema:
        choices = schema.get("enum", [schema.get("const")])
        return any(value == one and _same_kind(value, one) for one in choices)
    kind = kind_of(schema)
    types = {"text": str, "list": list | tuple, "object": Mapping, "bool": bool, "date": date}.get(kind)
    if types is not None:
        if kind == "date" and isinstance(value, str):
            return _reads(_read_date, value)
        return isinstance(value, types)
    if kind == "int":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    return True


def _reads(reader: Callable[[Any], Any], value: Any) -> bool:
    try:
        reader(value)
    except ValueError:
        return False
    return True


def _read_int(value: Any) -> int:
    number = _read_number(value)
    if isinstance(number, int):
        return number
    if number.is_integer() and abs(number) <= _MAX_EXACT_FLOAT:
        return int(number)
    raise ValueError


def _read_number(value: Any) -> int | float:
    if isinstance(value, str):
        match = _NUMBER_TEXT.fullmatch(value.strip())
        if match is None:
            raise ValueError
        value = float(match[0]) if match[1] or match[2] else int(match[0])
    if isinstance(value, Decimal | Fraction):
        value = _read_exact(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError
    return value


def _read_exact(value: Decimal | Fraction) -> int | float:
    if isinstance(value, Decimal) and not (value.is_finite() and value.adjusted() <= _MAX_DIGITS):
        raise ValueError
    whole = int(value)
    try:
        return whole if whole == value else float(value)
    except OverflowError:
        raise ValueError from None


def _read_text(value: Any) -> str:
    # Results are typed: a tool that returns a date may feed one that reads a text.
    if isinstance(value, date):
        return value.isoformat()
    if not isinstance(value, str):
        raise ValueError
    return value


def _read_date(value: Any) -> date:
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    return date.fromisoformat(_read_text(value).strip())


def _read_bool(value: Any) -> bool:
    if isinstance(value, str):
        value = _BOOL_TEXTS.get(value.strip().lower())
    if not isinstance(value, bool):
        raise ValueError
    return value


def _read_list(value: Any) -> list[Any]:
    value = _from_json(value)
    if not isinstance(value, list | tuple):
        raise ValueError
    return list(value)


def _read_object(value: Any) -> dict[str, Any]:
    value = _from_json(value)
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ValueError
    return dict(value)


def _from_json(value: Any) -> Any:
    """A list or a record that was written as a text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except RecursionError:
        raise ValueError from None


_READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "int": _read_int,
    "number": _read_number,
    "text": _read_text,
    "date": _read_date,
    "bool": _read_bool,
    "list": _read_list,
    "object": _read_object,
}
