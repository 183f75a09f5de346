"""What a tool is: a typed, documented Python function, told to a model in one line or as a JSON Schema.

In: a Python function with type hints and a docstring. Out: a `Tool`, a plain value. Neighbours: `hints` and
`docstrings` read the function; `builtin` and `standard` make tools from their functions; `arguments` checks a call
against `Tool.parameters`; `executor` obeys effect, policy and caps; prompts show `Tool.line()` or `Tool.schema()`.
"""

import functools
import inspect
import json
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final, TypeAlias, overload

from toolsets.docstrings import Documentation, read_docstring
from toolsets.errors import ToolDefinitionError
from toolsets.hints import JsonSchema, Reader, Told, kind_of, tell_hints
from toolsets.policy import CallPolicy, Effect
from toolsets.schemas import followed, options

__all__ = ["Day", "JsonSchema", "Number", "Tool", "kind_of", "tool"]

Number: TypeAlias = int | float
Day: TypeAlias = date | str
"""A calendar day; a text is read as an ISO date, YYYY-MM-DD."""

_MAX_CHOICES: Final = 8


@dataclass(frozen=True, slots=True)
class Tool:
    """A callable with everything that a model is told about it and everything that an executor must obey."""

    name: str
    description: str
    """A noun phrase without its final period: the first line of the docstring."""
    parameters: JsonSchema = field(hash=False)
    """JSON Schema of the arguments, an object."""
    function: Callable[..., Any]
    """Plain or async; see `is_async`."""
    returns: str
    """The kind of the result: int, number, text, date, list, bool, object or value."""
    effect: Effect = "read"
    idempotent: bool = False
    """The same arguments always mean the same result and no further change: identical calls may run once."""
    policy: CallPolicy = field(default_factory=CallPolicy)
    max_concurrent: int | None = None
    """Calls of this tool at one time; None for no cap of its own."""
    server: str | None = None
    """The MCP server that runs it, whose cap and whose failures its calls share."""
    trusted: bool = True
    """False: its description and its results come from outside, and are neutralised before a model reads them."""
    returns_schema: JsonSchema = field(default_factory=dict, hash=False)
    """JSON Schema of the result; empty where nothing is known."""
    details: str = ""
    """What the docstring says after its first line, without sections and examples."""
    examples: tuple[str, ...] = ()
    """Calls with their results, from the docstring: `gcd(12, 18) -> 6`."""
    readers: Mapping[str, Reader] = field(default_factory=dict, hash=False, compare=False, repr=False)
    """By parameter: turns the JSON value into what the function takes, for hints beyond the plain ones."""
    server_cap: int | None = None
    """Calls of all tools of its server at one time; None for no cap."""

    @classmethod
    def from_function(
        cls,
        function: Callable[..., Any],
        *,
        effect: Effect = "read",
        idempotent: bool = False,
        policy: CallPolicy | None = None,
        max_concurrent: int | None = None,
        server: str | None = None,
        trusted: bool = True,
    ) -> "Tool":
        """Read name, description and schema off a function; raises ToolDefinitionError where one is missing."""
        name = getattr(_beneath(function), "__name__", type(function).__name__)
        if not name.isidentifier():
            raise ToolDefinitionError(f"A function named {name!r} cannot become a tool: give it a plain name with def.")
        if max_concurrent is not None and max_concurrent < 1:
            raise ToolDefinitionError(f"max_concurrent of {name} is {max_concurrent}: give a number of 1 or more.")
        hints = _type_hints(name, function)
        documentation = read_docstring(inspect.getdoc(_documented(function)) or "")
        if not documentation.summary:
            raise ToolDefinitionError(f"{name} has no docstring: its first line is what a model is told, so write one.")
        parameters, readers = _parameters(name, function, hints, documentation)
        returned = _returned(hints)
        return cls(
            name=name,
            description=documentation.summary,
            parameters=parameters,
            function=function,
            returns=kind_of(followed(returned, returned)),
            effect=effect,
            idempotent=idempotent,
            policy=policy or CallPolicy(),
            max_concurrent=max_concurrent,
            server=server,
            trusted=trusted,
            returns_schema=returned,
            details=documentation.details,
            examples=documentation.examples,
            readers=readers,
        )

    @property
    def is_async(self) -> bool:
        """Whether calling the function gives something to await, or an async generator."""
        call = getattr(self.function, "__call__", None)  # noqa: B004 - an object whose __call__ is async counts
        return any(inspect.iscoroutinefunction(one) or inspect.isasyncgenfunction(one) for one in (self.function, call))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """A decorated function stays one that can be called."""
        return self.function(*args, **kwargs)

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
            texts.append(f"{name}: {_type_text(schema, self.parameters)}{default}")
        return texts


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...


@overload
def tool(
    *,
    effect: Effect = "read",
    idempotent: bool = False,
    policy: CallPolicy | None = None,
    max_concurrent: int | None = None,
) -> Callable[[Callable[..., Any]], Tool]: ...


def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    effect: Effect = "read",
    idempotent: bool = False,
    policy: CallPolicy | None = None,
    max_concurrent: int | None = None,
) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Make a function a tool, as `@tool` or with what it declares: `@tool(effect="write")`.

    >>> @tool(idempotent=True)
    ... def double(n: int) -> int:
    ...     '''Twice a number.'''
    ...     return 2 * n
    >>> double.line(), double(4)
    ('Twice a number: double(n: int)', 8)
    """

    def made(plain: Callable[..., Any]) -> Tool:
        return Tool.from_function(
            plain, effect=effect, idempotent=idempotent, policy=policy, max_concurrent=max_concurrent
        )

    return made if function is None else made(function)


def _beneath(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function that was written, where it was decorated or some arguments of it are given already."""
    while True:
        inner = function.func if isinstance(function, functools.partial) else inspect.unwrap(function)
        if inner is function:
            return inner
        function = inner


def _documented(function: Callable[..., Any]) -> Callable[..., Any]:
    """Who says what it does: a callable object whose class says nothing, in its `__call__`."""
    inner = _beneath(function)
    plain = inspect.isroutine(inner) or inspect.isclass(inner)
    return inner if plain or inspect.getdoc(inner) else type(inner).__call__


def _type_hints(name: str, function: Callable[..., Any]) -> dict[str, Any]:
    if inspect.isclass(function):
        raise ToolDefinitionError(f"{name} is a class, which cannot become a tool: give a function that makes one.")
    function = _beneath(function)
    plain = inspect.isfunction(function) or inspect.ismethod(function) or inspect.isbuiltin(function)
    try:
        return typing.get_type_hints(function if plain else type(function).__call__, include_extras=True)
    except (NameError, TypeError) as error:
        raise ToolDefinitionError(
            f"The type hints of {name} cannot be read ({error}): import the types that they name."
        ) from error


def _parameters(
    name: str, function: Callable[..., Any], hints: Mapping[str, Any], documentation: Documentation
) -> tuple[JsonSchema, Mapping[str, Reader]]:
    """The JSON Schema of the arguments, and the readers of those that need one."""
    try:
        parameters = inspect.signature(function).parameters
    except ValueError as error:
        raise ToolDefinitionError(
            f"{name} does not say what it takes: call it in a function with type hints."
        ) from error
    told = tell_hints({p: hints[p] for p in parameters if p in hints})
    properties: dict[str, JsonSchema] = {}
    for parameter in parameters.values():
        schema = _parameter_schema(name, parameter, told)
        description = documentation.parameters.get(parameter.name)
        if description and "description" not in schema:
            schema["description"] = description
        properties[parameter.name] = schema
    schema = {
        "type": "object",
        "properties": properties,
        "required": [p.name for p in parameters.values() if p.default is p.empty],
        "additionalProperties": False,
    }
    return schema | ({"$defs": told.definitions} if told.definitions else {}), told.readers


def _parameter_schema(name: str, parameter: inspect.Parameter, told: Told) -> JsonSchema:
    if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
        raise ToolDefinitionError(
            f"Parameter {parameter.name!r} of {name} cannot be passed by name: replace it with plain named parameters."
        )
    if parameter.name not in told.schemas:
        reason = f" ({told.untold[parameter.name]})" if parameter.name in told.untold else ""
        raise ToolDefinitionError(
            f"Parameter {parameter.name!r} of {name} needs one of these type hints: int, float, str, bool, "
            "datetime.date, list, dict, Literal, Optional, a TypedDict, a dataclass, or what else pydantic can tell"
            f"{reason}."
        )
    schema = dict(told.schemas[parameter.name])
    if parameter.default is not parameter.empty:
        schema["default"] = _json_default(name, parameter, told)
    return schema


def _json_default(name: str, parameter: inspect.Parameter, told: Told) -> Any:
    default = parameter.default.isoformat() if isinstance(parameter.default, date) else parameter.default
    try:
        if write := told.writers.get(parameter.name):
            default = write(default)
        json.dumps(default, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError) as error:
        raise ToolDefinitionError(
            f"The default of parameter {parameter.name!r} of {name} cannot be written as JSON: use a plain value."
        ) from error
    return default


def _returned(hints: Mapping[str, Any]) -> JsonSchema:
    """The schema of the result; empty where the hint says nothing that can be told."""
    if hints.get("return") is None or hints["return"] is Any:
        return {}
    told = tell_hints({"return": hints["return"]}, returned=True)
    schema = told.schemas.get("return", {})
    return schema | ({"$defs": told.definitions} if told.definitions else {})


def _type_text(schema: Mapping[str, Any], root: Mapping[str, Any]) -> str:
    """A type in the few words of a signature: `int`, `"up" | "down"`, `text | none`."""
    schema = followed(schema, root)
    choices = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if isinstance(choices, list) and len(choices) <= _MAX_CHOICES:
        return " | ".join(json.dumps(choice, ensure_ascii=False) for choice in choices)
    if schema.get("type") == "null":
        return "none"
    if isinstance(schema.get("anyOf"), list):
        return " | ".join(dict.fromkeys(_type_text(option, root) for option in options(schema, root)))
    return kind_of(schema)
