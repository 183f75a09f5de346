"""What a tool is: a typed, documented Python function, told to a model in one line or as a JSON Schema.

In: a Python function with type hints and a docstring. Out: a `Tool`, a plain value. Neighbours: `builtin` makes tools
from its functions, `arguments` checks a call against `Tool.parameters`, prompts show `Tool.line()` or `Tool.schema()`.
"""

import inspect
import json
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final, TypeAlias

from toolsets.errors import ToolDefinitionError

Number: TypeAlias = int | float
Day: TypeAlias = date | str
"""A calendar day; a text is read as an ISO date, YYYY-MM-DD."""

JsonSchema: TypeAlias = dict[str, Any]

_SCHEMAS: Final[dict[Any, JsonSchema]] = {
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
}


@dataclass(frozen=True, slots=True)
class Tool:
    """A callable with everything that a model is told about it."""

    name: str
    description: str
    """A noun phrase without its final period: the first line of the docstring."""
    parameters: JsonSchema = field(hash=False)
    """JSON Schema of the arguments, an object."""
    function: Callable[..., Any]
    returns: str
    """The kind of the result: int, number, text, date, list, bool or value."""

    @classmethod
    def from_function(cls, function: Callable[..., Any]) -> "Tool":
        """Read name, description and schema off a function; raises ToolDefinitionError where one is missing."""
        name = function.__name__
        if not name.isidentifier():
            raise ToolDefinitionError(f"A function named {name!r} cannot become a tool: give it a plain name with def.")
        hints = _type_hints(function)
        properties: dict[str, JsonSchema] = {}
        required: list[str] = []
        for parameter in inspect.signature(function).parameters.values():
            properties[parameter.name] = _parameter_schema(name, parameter, hints)
            if parameter.default is parameter.empty:
                required.append(parameter.name)
        return cls(
            name=name,
            description=_first_line(function),
            parameters={
                "type": "object",
                "properties": properties,
                "required": required,
                "additionalProperties": False,
            },
            function=function,
            returns=kind_of(_annotation_schema(hints.get("return")) or {}),
        )

    def signature(self) -> str:
        """The call as a model reads it, e.g. `gcd(a: int, b: int)`."""
        return f"{self.name}({', '.join(self._parameter_texts())})"

    def line(self) -> str:
        """Description first, then the signature, e.g. `Greatest common divisor: gcd(a: int, b: int)`."""
        return f"{self.description}: {self.signature()}"

    def schema(self) -> dict[str, Any]:
        """The tool as chat templates expect it: an OpenAI function description."""
        return {
            "type": "function",
            "function": {"name": self.name, "description": self.description, "parameters": self.parameters},
        }

    def _parameter_texts(self) -> list[str]:
        texts = []
        for name, schema in self.parameters.get("properties", {}).items():
            default = f" = {json.dumps(schema['default'], ensure_ascii=False)}" if "default" in schema else ""
            texts.append(f"{name}: {kind_of(schema)}{default}")
        return texts


def kind_of(schema: Mapping[str, Any]) -> str:
    """The short word for a JSON Schema: int, number, text, date, list, bool, or value for anything else."""
    if schema.get("type") == "string" and schema.get("format") == "date":
        return "date"
    kind = schema.get("type")
    return _KINDS.get(kind, "value") if isinstance(kind, str) else "value"


def _type_hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError) as error:
        raise ToolDefinitionError(
            f"The type hints of {function.__name__} cannot be read ({error}): import the types that they name."
        ) from error


def _first_line(function: Callable[..., Any]) -> str:
    lines = (inspect.getdoc(function) or "").strip().splitlines()
    if not lines:
        raise ToolDefinitionError(
            f"{function.__name__} has no docstring: its first line is what a model is told, so write one."
        )
    return lines[0].strip().removesuffix(".")


def _parameter_schema(tool: str, parameter: inspect.Parameter, hints: Mapping[str, Any]) -> JsonSchema:
    if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
        raise ToolDefinitionError(
            f"Parameter {parameter.name!r} of {tool} cannot be passed by name: replace it with plain named parameters."
        )
    schema = _annotation_schema(hints.get(parameter.name))
    if schema is None:
        raise ToolDefinitionError(
            f"Parameter {parameter.name!r} of {tool} needs one of these type hints: "
            "int, float, str, bool, datetime.date, or a list of one of them."
        )
    if parameter.default is not parameter.empty:
        schema["default"] = _json_default(tool, parameter)
    return schema


def _json_default(tool: str, parameter: inspect.Parameter) -> Any:
    default = parameter.default.isoformat() if isinstance(parameter.default, date) else parameter.default
    try:
        json.dumps(default, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ToolDefinitionError(
            f"The default of parameter {parameter.name!r} of {tool} cannot be written as JSON: use a plain value."
        ) from error
    return default


def _annotation_schema(annotation: Any) -> JsonSchema | None:
    """A fresh JSON Schema for a type hint; None where there is none."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        annotation = frozenset(args)
    elif origin is list:
        items = _annotation_schema(args[0])
        return None if items is None else {"type": "array", "items": items}
    schema = _SCHEMAS.get(annotation) if isinstance(annotation, (type, frozenset)) else None
    return None if schema is None else dict(schema)
