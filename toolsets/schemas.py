"""Questions about JSON Schemas that need no value: what stands at a path, and whether one schema's values can be
another's.

In: schemas with their definitions. Out: schemas and truth values. Neighbours: `check` asks here about references,
`arguments` follows "$ref" with it. Pure. Where a schema says nothing, everything is possible.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from toolsets.plan import Step

Schema: TypeAlias = Mapping[str, Any]

_ANY: Final[Schema] = {}
_MAX_FOLLOWED: Final = 20
_SCALARS: Final = frozenset({"string", "integer", "number", "boolean", "null"})


def followed(schema: Any, root: Schema) -> Schema:
    """The schema behind its "$ref"; the empty schema where the reference leads nowhere."""
    for _ in range(_MAX_FOLLOWED):
        if not isinstance(schema, Mapping):
            return _ANY
        target = schema.get("$ref")
        if not isinstance(target, str):
            return schema
        schema = root.get("$defs", root.get("definitions", {})).get(target.rpartition("/")[2], {})
    return _ANY


def options(schema: Schema, root: Schema) -> list[Schema]:
    """The alternatives of a schema, each with one type and once; the schema itself where it has none."""
    return _options(schema, root, set()) or [_ANY]


def _options(schema: Schema, root: Schema, seen: set[int]) -> list[Schema]:
    """seen: schemas that were looked at: a definition may be an alternative of itself."""
    schema = followed(schema, root)
    if id(schema) in seen:
        return []
    seen.add(id(schema))
    for key in ("anyOf", "oneOf"):
        if isinstance(schema.get(key), list):
            return [option for part in schema[key] for option in _options(part, root, seen)]
    kinds = schema.get("type")
    if isinstance(kinds, list):
        return [{**schema, "type": kind} for kind in kinds]
    return [schema]


def at_path(schema: Schema, root: Schema, path: Sequence[Step]) -> list[Schema]:
    """What may stand at a path of a value; empty where the schema rules every such path out."""
    found = options(schema, root)
    for step in path:
        found = [inner for option in found for inner in _at_step(option, root, step)]
    return found


def can_be(given: Sequence[Schema], wanted: Schema, given_root: Schema, wanted_root: Schema, depth: int = 8) -> bool:
    """Whether some value of the given schemas can be passed where `wanted` is asked for, slips forgiven."""
    return any(
        _option_can_be(one, other, given_root, wanted_root, depth)
        for one in given
        for other in options(wanted, wanted_root)
    )


def _at_step(schema: Schema, root: Schema, step: Step) -> list[Schema]:
    kind = schema.get("type")
    if kind in _SCALARS:
        return []
    if kind == "array":
        return _at_index(schema, root, step) if isinstance(step, int) else []
    if kind == "object":
        name = str(step)
        properties = schema.get("properties", {})
        if name in properties:
            return options(properties[name], root)
        # Whoever lists the fields of a result means all of them, unless the schema says otherwise.
        more = schema.get("additionalProperties", not properties)
        return [] if more is False else options(more if isinstance(more, Mapping) else _ANY, root)
    return [_ANY]


def _at_index(schema: Schema, root: Schema, index: int) -> list[Schema]:
    first = schema.get("prefixItems", [])
    if 0 <= index < len(first):
        return options(first[index], root)
    items = schema.get("items", _ANY)
    if items is False or (first and "maxItems" in schema and not -len(first) <= index < len(first)):
        return []
    return options(items if isinstance(items, Mapping) and not first else _ANY, root)


def _option_can_be(given: Schema, wanted: Schema, given_root: Schema, wanted_root: Schema, depth: int) -> bool:
    one, other = given.get("type"), wanted.get("type")
    choices, allowed = given.get("enum"), wanted.get("enum")
    if isinstance(choices, list) and isinstance(allowed, list) and not any(choice in allowed for choice in choices):
        return False
    if one is None or other is None or depth == 0 or (one == "string" and given.get("format") != "date"):
        # A text may be a number, a date or a list that is written as a text.
        return True
    if other == "string":
        return one == "string" and (wanted.get("format") in (None, "date") or given.get("format") is None)
    if one == "array" and other == "array":
        items = at_path(given, given_root, (0,)) or [_ANY]
        return can_be(items, wanted.get("items", _ANY), given_root, wanted_root, depth - 1)
    return one == other or {one, other} <= {"integer", "number"}
