"""What a tool's code says of itself, read without running it: parameters, their types, what it returns, its docstring.

In: Python source from a library, and the name of the function that is the tool. Out: JSON Schemas and the docstring's
parts. Code that somebody else wrote is read here and run nowhere in this process. Neighbours: `memory.content` parses,
`shelf` makes a `Tool` of what is read, `hints` does the same for functions that are imported. Pure.
"""

import ast
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from memory import content
from memory.errors import ContentRefused
from toolsets.damaged import well_formed
from toolsets.docstrings import Documentation, read_docstring
from toolsets.errors import ToolDefinitionError
from toolsets.hints import JsonSchema

_PLAIN: Final[dict[str, JsonSchema]] = {
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "Number": {"type": "number"},
    "str": {"type": "string"},
    "bool": {"type": "boolean"},
    "None": {"type": "null"},
    "list": {"type": "array"},
    "tuple": {"type": "array"},
    "set": {"type": "array"},
    "Sequence": {"type": "array"},
    "Iterable": {"type": "array"},
    "dict": {"type": "object"},
    "Mapping": {"type": "object"},
    "date": {"type": "string", "format": "date"},
    "Day": {"type": "string", "format": "date"},
    "datetime": {"type": "string"},
}
# Names that much code uses without importing them, because its author's notebook had them.
USUAL_IMPORTS: Final[dict[str, str]] = {
    "pd": "import pandas as pd",
    "np": "import numpy as np",
    "sympy": "import sympy",
    "sp": "import sympy as sp",
    "math": "import math",
    "re": "import re",
    "datetime": "import datetime",
    "statistics": "import statistics",
    "itertools": "import itertools",
    "collections": "import collections",
    "json": "import json",
    "fractions": "import fractions",
    "Fraction": "from fractions import Fraction",
    "Counter": "from collections import Counter",
    "defaultdict": "from collections import defaultdict",
}


@dataclass(frozen=True, slots=True)
class CodeFacts:
    """What is known of one function before it runs. optional: parameters with a default."""

    name: str
    parameters: dict[str, JsonSchema]
    required: tuple[str, ...]
    returned: JsonSchema
    documentation: Documentation

    def schema(self) -> JsonSchema:
        """JSON Schema of the arguments."""
        return {
            "type": "object",
            "properties": self.parameters,
            "required": list(self.required),
            "additionalProperties": False,
        }


def parsed(code: str) -> ast.Module:
    """The code as a tree; raises ToolDefinitionError where it is no Python."""
    try:
        return content.parsed(code)
    except ContentRefused as error:
        raise ToolDefinitionError(str(error)) from error


def code_facts(code: str, name: str) -> CodeFacts:
    """What the function `name` says of itself; raises ToolDefinitionError where it cannot be a tool."""
    named = [item for item in parsed(code).body if isinstance(item, ast.FunctionDef) and item.name == name]
    node = named[-1] if named else None  # the last one is what the name means once the code has run
    if node is None:
        raise ToolDefinitionError(f"The code defines no plain function {name!r} at its top: write it with def {name}.")
    if node.args.vararg or node.args.kwarg or node.args.posonlyargs:
        raise ToolDefinitionError(
            f"{name} takes arguments that cannot be passed by name (*, ** or /): give it plain named parameters."
        )
    documentation = read_docstring(well_formed(ast.get_docstring(node) or ""))
    try:
        return _facts_of(node, documentation)
    except RecursionError as error:
        raise ToolDefinitionError(f"The type hints of {name} are nested too deeply: make them shorter.") from error


def _facts_of(node: ast.FunctionDef, documentation: Documentation) -> CodeFacts:
    parameters: dict[str, JsonSchema] = {}
    required = []
    for argument, default in _arguments(node.args):
        schema = schema_of(argument.annotation)
        if default is None:
            required.append(argument.arg)
        else:
            schema |= _default(default)
        if argument.arg in documentation.parameters:
            schema["description"] = documentation.parameters[argument.arg]
        parameters[argument.arg] = schema
    return CodeFacts(node.name, parameters, tuple(required), schema_of(node.returns), documentation)


def schema_of(annotation: ast.expr | None) -> JsonSchema:
    """JSON Schema of a type hint as it stands in the code; empty where it says nothing that JSON knows."""
    if annotation is None:
        return {}
    if isinstance(annotation, ast.Constant):
        if annotation.value is None:
            return dict(_PLAIN["None"])
        return schema_of(_read_hint(annotation.value)) if isinstance(annotation.value, str) else {}
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        return _any_of([annotation.left, annotation.right])
    if isinstance(annotation, ast.Subscript):
        return _subscripted(_last_name(annotation.value), annotation.slice)
    name = _last_name(annotation)
    return dict(_PLAIN.get(name) or _PLAIN.get(name.lower(), {}))


def usual_imports(code: str) -> str:
    """The imports for names that the code uses and nowhere gives a meaning to, to be run before it: signatures and
    values at its top may need them already.

    >>> usual_imports("def root(x: float = math.pi):\\n    return math.sqrt(x)")
    'import math'
    """
    tree = parsed(code)
    bound = {name for node in ast.walk(tree) for name in _bound(node)}
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    return "\n".join(line for name, line in USUAL_IMPORTS.items() if name in used - bound)


def _arguments(arguments: ast.arguments) -> Iterator[tuple[ast.arg, ast.expr | None]]:
    lacking = len(arguments.args) - len(arguments.defaults)
    yield from zip(arguments.args, [None] * lacking + list(arguments.defaults), strict=True)
    yield from zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)


def _default(node: ast.expr) -> JsonSchema:
    """A default that JSON can say; any other stays the code's own affair."""
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError):
        return {}
    return {"default": value} if _is_json(value) else {}


def _is_json(value: Any) -> bool:
    """Whether JSON can say a plain value, in a text that can be written down."""
    if not (value is None or isinstance(value, str | int | float | bool)):
        return False
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except ValueError:  # infinity, a number of thousands of digits, half a character
        return False
    return True


def _subscripted(name: str, inner: ast.expr) -> JsonSchema:
    parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    if name == "Optional":
        return _any_of([*parts, ast.Constant(None)])
    if name == "Union":
        return _any_of(parts)
    if name == "Annotated":
        return schema_of(parts[0])
    if name == "Literal":
        values = [part.value for part in parts if isinstance(part, ast.Constant)]
        return {"enum": values} if len(values) == len(parts) and all(map(_is_json, values)) else {}
    plain = dict(_PLAIN.get(name) or _PLAIN.get(name.lower(), {}))
    if plain.get("type") == "array" and name.lower() != "tuple":
        items = schema_of(parts[0])
        return plain | ({"items": items} if items else {})
    return plain


def _any_of(parts: list[ast.expr]) -> JsonSchema:
    options: list[JsonSchema] = []
    for part in parts:
        schema = schema_of(part)
        if not schema:
            return {}
        options.extend(schema.get("anyOf", [schema]))
    kinds = [option for number, option in enumerate(options) if option not in options[:number]]
    if {"type": "number"} in kinds:
        kinds = [option for option in kinds if option != {"type": "integer"}]
    return dict(kinds[0]) if len(kinds) == 1 else {"anyOf": kinds}


def _read_hint(text: str) -> ast.expr | None:
    try:
        return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError):
        return None


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _bound(node: ast.AST) -> Iterator[str]:
    """The names that a node gives a meaning to."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield from ((alias.asname or alias.name).split(".")[0] for alias in node.names)
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, ast.arg):
        yield node.arg


def literal(text: str) -> Any:
    """The value of a Python literal; raises ValueError."""
    try:
        return ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"{text[:80]!r} is no plain value") from error
