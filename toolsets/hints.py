"""From type hints to JSON Schema.

In: a function's hints. Out: one JSON Schema per parameter, and for hints beyond the plain ones a reader that turns the
JSON value into what the function expects (a dataclass, a member of an enum). Neighbours: `tool` puts them into a
`Tool`, `arguments` checks against the schemas and calls the readers.

pydantic is loaded only where a hint needs it, so that the plain tools stay quick to import.
"""

import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import Any, Final, TypeAlias

JsonSchema: TypeAlias = dict[str, Any]
Reader: TypeAlias = Callable[[Any], Any]

_PLAIN: Final[dict[Any, JsonSchema]] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    frozenset({int, float}): {"type": "number"},
    str: {"type": "string"},
    date: {"type": "string", "format": "date"},
    frozenset({date, str}): {"type": "string", "format": "date"},
    list: {"type": "array"},
}
_KINDS: Final[dict[str, str]] = {
    "boolean": "bool",
    "integer": "int",
    "number": "number",
    "string": "text",
    "array": "list",
    "object": "object",
}


@dataclass(frozen=True, slots=True)
class Told:
    """What could be told of some hints. untold: hints that have no JSON Schema, with what pydantic says of them."""

    schemas: dict[str, JsonSchema] = field(default_factory=dict)
    definitions: dict[str, JsonSchema] = field(default_factory=dict)
    readers: dict[str, Reader] = field(default_factory=dict)
    writers: dict[str, Callable[[Any], Any]] = field(default_factory=dict)
    untold: dict[str, str] = field(default_factory=dict)


def tell_hints(hints: Mapping[str, Any], *, returned: bool = False) -> Told:
    """The schemas of some hints by name. returned: the hints are of results, so what is written out counts."""
    plain = {name: schema for name, hint in hints.items() if (schema := plain_schema(hint)) is not None}
    rest = {name: hint for name, hint in hints.items() if name not in plain}
    if not rest:
        return Told(plain)
    told = _tell_by_pydantic(rest, returned)
    return Told({**plain, **told.schemas}, told.definitions, told.readers, told.writers, told.untold)


def plain_schema(hint: Any) -> JsonSchema | None:
    """A fresh JSON Schema of a plain hint; None for any other."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        hint = frozenset(args)
    elif origin is list:
        items = plain_schema(args[0])
        return None if items is None else {"type": "array", "items": items}
    schema = _PLAIN.get(hint) if isinstance(hint, (type, frozenset)) else None
    return None if schema is None else dict(schema)


def kind_of(schema: Mapping[str, Any]) -> str:
    """The short word for a JSON Schema: int, number, text, date, list, bool, object, or value for anything else."""
    if schema.get("type") == "string" and schema.get("format") == "date":
        return "date"
    kind = schema.get("type")
    return _KINDS.get(kind, "value") if isinstance(kind, str) else "value"


def _tell_by_pydantic(hints: Mapping[str, Any], returned: bool) -> Told:
    from pydantic import PydanticUserError, TypeAdapter
    from pydantic.errors import PydanticSchemaGenerationError

    mode: typing.Literal["serialization", "validation"] = "serialization" if returned else "validation"
    adapters: dict[str, TypeAdapter[Any]] = {}
    untold: dict[str, str] = {}
    for name, hint in hints.items():
        try:
            adapter: TypeAdapter[Any] = TypeAdapter(hint)
            adapter.json_schema(mode=mode)
        except (PydanticUserError, PydanticSchemaGenerationError, NameError, TypeError) as error:
            untold[name] = str(error).split("\n")[0].rstrip(".")
            continue
        adapters[name] = adapter
    # All at once, so that two types of one name get two definitions.
    schemas, shared = TypeAdapter.json_schemas([(name, mode, adapter) for name, adapter in adapters.items()])
    return Told(
        schemas={name: _untitled(schema) for (name, _), schema in schemas.items()},
        definitions={name: _untitled(schema) for name, schema in shared.get("$defs", {}).items()},
        readers={name: partial(_read, adapter) for name, adapter in adapters.items()},
        writers={name: partial(adapter.dump_python, mode="json", warnings=False) for name, adapter in adapters.items()},
        untold=untold,
    )


def _read(adapter: Any, value: Any) -> Any:
    """The value as the hint has it. Of an Iterable pydantic gives an iterator that checks each item when it is asked
    for, and can be read once: all of it is checked here."""
    read = adapter.validate_python(value)
    return list(read) if isinstance(read, Iterator) else read


def _untitled(schema: Any, named: bool = False) -> Any:
    """The schema without titles, which only repeat names. named: the keys are somebody's names, not JSON Schema's."""
    if isinstance(schema, list):
        return [_untitled(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: value if key in ("default", "enum", "const", "examples") and not named
        else _untitled(value, named=not named and key in ("properties", "$defs"))
        for key, value in schema.items()
        if named or key != "title"
    }  # fmt: skip
