"""Composite tools: a little plan of calls of other tools, kept as plain data and run by the executor.

In: the `plan` field of a tool in the library, and the tools that it names. Out: a `Composite`, a function that runs it,
and the same as Python for people to read. Neighbours: `induction` makes composites from runs, `shelf` loads them,
`executor` runs them. No code is evaluated here, so a composite needs no sandbox: it can do what its parts can do.

    {"parameters": [{"name": "price", "schema": {"type": "number"}}, {"name": "percent", "schema": {"type": "number"}}],
     "calls": [{"id": "1", "tool": "percent_of",
                "arguments": {"percent": {"parameter": "percent"}, "value": {"parameter": "price"}}},
               {"id": "2", "tool": "subtract", "arguments": {"a": {"parameter": "price"}, "b": {"result": "1"}}}],
     "result": "2"}

An argument is a parameter, a result (with a `path` into it), a `value`, or `items`: a list of these.
"""

from __future__ import annotations

import ast
import asyncio
import functools
import json
import keyword
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import anyio

from toolsets.errors import ToolDefinitionError, ToolsetError
from toolsets.executor import ApprovalAsked, Decision, Executor, report_stop
from toolsets.executor.threads import loop_caller
from toolsets.hints import JsonSchema, kind_of
from toolsets.plan import Plan, PlannedCall, Ref, Step
from toolsets.policy import Effect
from toolsets.results import CallOutcome
from toolsets.tool import Tool

MAX_CALLS: Final = 64
_HINTS: Final = {"int": "int", "number": "int | float", "text": "str", "date": "str", "bool": "bool", "list": "list"}


class CompositeFailed(ToolsetError, ValueError):
    """One of the calls of a composite tool did not succeed."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """An argument of the composite itself."""

    name: str


@dataclass(frozen=True, slots=True)
class Result:
    """What an earlier call of the composite returned, or a part of it."""

    call: str
    path: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Constant:
    """A value that is always the same."""

    value: Any = field(hash=False)


@dataclass(frozen=True, slots=True)
class Items:
    """A list of terms."""

    terms: tuple[Term, ...]


Term: TypeAlias = Parameter | Result | Constant | Items


@dataclass(frozen=True, slots=True)
class Part:
    """One call of a composite."""

    id: str
    tool: str
    arguments: Mapping[str, Term] = field(hash=False)


@dataclass(frozen=True, slots=True)
class Composite:
    """Calls, each of which refers to earlier ones only. result: the id of the call whose value is returned."""

    parameters: Mapping[str, JsonSchema] = field(hash=False)
    parts: tuple[Part, ...]
    result: str

    def tools(self) -> tuple[str, ...]:
        """The names of the tools that it calls, each once."""
        return tuple(dict.fromkeys(part.tool for part in self.parts))

    def plan(self, arguments: Mapping[str, Any]) -> Plan:
        """The calls with the arguments, or the defaults, in the place of the parameters."""
        defaults = {name: schema["default"] for name, schema in self.parameters.items() if "default" in schema}
        arguments = {**defaults, **arguments}
        calls = [
            PlannedCall(part.id, part.tool, {name: _filled(term, arguments) for name, term in part.arguments.items()})
            for part in self.parts
        ]
        return Plan(tuple(calls))

    def as_json(self) -> dict[str, Any]:
        return {
            # A list: the order of a signature is not lost where objects are kept with sorted keys.
            "parameters": [{"name": name, "schema": dict(schema)} for name, schema in self.parameters.items()],
            "calls": [
                {"id": part.id, "tool": part.tool, "arguments": {n: _told(t) for n, t in part.arguments.items()}}
                for part in self.parts
            ],
            "result": self.result,
        }


def read_composite(data: Any) -> Composite:
    """The composite that `as_json` wrote; raises ToolDefinitionError with what is wrong with it."""
    try:
        parameters = {str(one["name"]): dict(one["schema"]) for one in data["parameters"]}
        parts = tuple(
            Part(str(call["id"]), str(call["tool"]), {str(n): _read(t) for n, t in call["arguments"].items()})
            for call in data["calls"]
        )
        composite = Composite(parameters, parts, str(data["result"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ToolDefinitionError(
            f"The plan of a composite tool is malformed ({type(error).__name__}: {error}): "
            "it has parameters, calls with id, tool and arguments, and the id of the result."
        ) from error
    _check(composite)
    return composite


def runner(composite: Composite, tools: Mapping[str, Tool]) -> Callable[..., Any]:
    """A plain function that runs the composite with these tools; raises CompositeFailed where a call fails."""

    def run(**arguments: Any) -> Any:
        # A loop of its own: the caller may be a thread of an executor's, a program without any loop, or a notebook's
        # cell, in whose thread a loop runs already and no other may.
        work = functools.partial(anyio.run, functools.partial(_run, composite, tools, arguments))
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return work()
        with ThreadPoolExecutor(1, thread_name_prefix="composite") as thread:
            return thread.submit(work).result()

    return run


def worst_effect(tools: Sequence[Tool]) -> Effect:
    return "write" if any(tool.effect == "write" for tool in tools) else "read"


def python_of(composite: Composite, name: str, docstring: str, tools: Mapping[str, Tool]) -> str:
    """The composite as a Python function, for people: the same calls, in the same order.

    The tools that it calls are taken to be at hand under their names.
    """
    hints = [f"{parameter}: {_hint(schema)}" for parameter, schema in composite.parameters.items()]
    last = composite.parts[-1]
    final = tools.get(next(part.tool for part in composite.parts if part.id == composite.result))
    returned = f" -> {_hint(final.returns_schema)}" if final is not None and final.returns_schema else ""
    names = _variables(composite)
    lines = [f"def {name}({', '.join(hints)}){returned}:", *_docstring_lines(docstring)]
    for part in composite.parts:
        call = f"{part.tool}({', '.join(f'{n}={_python(t, names)}' for n, t in part.arguments.items())})"
        if part is last and part.id == composite.result:
            lines.append(f"    return {call}")
        else:
            lines.append(f"    {names[part.id]} = {call}")
    if last.id != composite.result:
        lines.append(f"    return {names[composite.result]}")
    return "\n".join(lines) + "\n"


def says_the_same(code: str, name: str, composite: Composite) -> bool:
    """Whether Python code is still the rendering of the composite, docstring and type hints aside."""
    return _body(code, name) == _body(python_of(composite, name, "-", {}), name)


def _body(code: str, name: str) -> str | None:
    try:
        functions = [node for node in ast.parse(code).body if isinstance(node, ast.FunctionDef) and node.name == name]
    except (SyntaxError, ValueError, RecursionError):
        return None
    if len(functions) != 1:
        return None
    for node in ast.walk(functions[0]):
        if isinstance(node, ast.Call):  # the order of named arguments means nothing, and is not kept in the plan
            node.keywords.sort(key=lambda keyword: keyword.arg or "")
    statements = functions[0].body[1 if ast.get_docstring(functions[0]) is not None else 0 :]
    names = [argument.arg for argument in functions[0].args.args]
    return " ".join([*names, *map(ast.dump, statements)])


async def _run(composite: Composite, tools: Mapping[str, Tool], arguments: Mapping[str, Any]) -> Any:
    outcomes: tuple[CallOutcome, ...] = ()
    call_soon = loop_caller()
    with anyio.CancelScope() as scope:
        report_stop(lambda: call_soon(scope.cancel))  # given up, it begins none of its calls any more
        async with Executor(tools, approver=_approved_as_a_whole) as executor:
            outcomes = await executor.run(composite.plan(arguments))
    if scope.cancelled_caught:
        raise CompositeFailed("It was given up before its calls had ended.")
    by_id = {outcome.call: outcome for outcome in outcomes}
    # The first that failed by itself is the reason; what waited for it was only skipped.
    for outcome in sorted(outcomes, key=lambda one: one.state == "skipped"):
        if not outcome.succeeded:
            raise CompositeFailed(f"{outcome.tool} within it did not succeed: {outcome.error}")
    return by_id[composite.result].value


async def _approved_as_a_whole(_: ApprovalAsked) -> Decision:
    """A composite with a part that a person must approve is asked about before it begins, as one call."""
    return Decision(True)


def _check(composite: Composite) -> None:
    if not 1 <= len(composite.parts) <= MAX_CALLS:
        raise ToolDefinitionError(
            f"A composite tool has 1 to {MAX_CALLS} calls, and this one has {len(composite.parts)}: split it."
        )
    for name in composite.parameters:
        if not name.isidentifier() or keyword.iskeyword(name):
            raise ToolDefinitionError(f"{name!r} cannot be the name of a parameter: use a plain word.")
    seen: set[str] = set()
    for part in composite.parts:
        for term in _terms(part.arguments.values()):
            if isinstance(term, Result) and term.call not in seen:
                raise ToolDefinitionError(
                    f"Call {part.id} of the composite uses the result of {term.call}, which does not come before it."
                )
            if isinstance(term, Parameter) and term.name not in composite.parameters:
                raise ToolDefinitionError(f"Call {part.id} of the composite uses {term.name!r}, which is no parameter.")
        if part.id in seen:
            raise ToolDefinitionError(f"Two calls of the composite have the id {part.id}: give each its own.")
        seen.add(part.id)
    if composite.result not in seen:
        raise ToolDefinitionError(f"The composite returns the result of {composite.result}, which is no call of it.")


def _terms(terms: Iterable[Term]) -> Iterator[Term]:
    for term in terms:
        yield term
        if isinstance(term, Items):
            yield from _terms(term.terms)


def _filled(term: Term, arguments: Mapping[str, Any]) -> Any:
    match term:
        case Parameter(name):
            if name not in arguments:
                raise CompositeFailed(f"The composite needs the argument {name!r}: pass it.")
            return arguments[name]
        case Result(call, path):
            return Ref(call, path)
        case Constant(value):
            return value
        case Items(terms):
            return [_filled(one, arguments) for one in terms]


def _told(term: Term) -> dict[str, Any]:
    match term:
        case Parameter(name):
            return {"parameter": name}
        case Result(call, path):
            return {"result": call, "path": list(path)} if path else {"result": call}
        case Constant(value):
            return {"value": value}
        case Items(terms):
            return {"items": [_told(one) for one in terms]}


def _read(data: Any) -> Term:
    if not isinstance(data, Mapping):
        raise ValueError(f"an argument is {data!r}, and must be an object with parameter, result, value or items")
    if "parameter" in data:
        return Parameter(str(data["parameter"]))
    if "result" in data:
        path = tuple(step if isinstance(step, int) else str(step) for step in data.get("path", ()))
        return Result(str(data["result"]), path)
    if "items" in data:
        return Items(tuple(_read(one) for one in data["items"]))
    if "value" in data:
        return Constant(data["value"])
    raise ValueError("an argument has neither parameter, result, value nor items")


def _variables(composite: Composite) -> dict[str, str]:
    """A Python name for each call's result, which no parameter and no tool has."""
    taken = {*composite.parameters, *composite.tools()}
    names = {}
    for number, part in enumerate(composite.parts, start=1):
        name = f"result_{number}"
        while name in taken:
            name += "_"
        taken.add(name)
        names[part.id] = name
    return names


def _python(term: Term, names: Mapping[str, str]) -> str:
    match term:
        case Parameter(name):
            return name
        case Result(call, path):
            return names[call] + "".join(f"[{step!r}]" for step in path)
        case Constant(value):
            return repr(value)
        case Items(terms):
            return "[" + ", ".join(_python(one, names) for one in terms) + "]"


def _docstring_lines(docstring: str) -> list[str]:
    text = docstring.replace("\\", "\\\\").replace('"""', '\\"\\"\\"').strip()
    lines = text.splitlines() or [""]
    if len(lines) == 1:
        return [f'    """{lines[0]}"""']
    return [f'    """{lines[0]}', *(f"    {line}".rstrip() for line in lines[1:]), '    """']


def _hint(schema: Mapping[str, Any]) -> str:
    if isinstance(options := schema.get("anyOf"), list):
        return " | ".join(dict.fromkeys(_hint(option) for option in options))
    if isinstance(choices := schema.get("enum"), list):
        return f"Literal[{', '.join(map(repr, choices))}]" if choices else "object"
    if schema.get("type") == "null":
        return "None"
    return _HINTS.get(kind_of(schema), "dict" if schema.get("type") == "object" else "object")


def same_composite(one: Composite, other: Composite) -> bool:
    """Whether two composites are the same plan, whatever their parameters are called."""
    return _skeleton(one) == _skeleton(other)


def _skeleton(composite: Composite) -> str:
    places = {part.id: str(number) for number, part in enumerate(composite.parts)}
    order = {name: str(number) for number, name in enumerate(_first_uses(composite))}

    def told(term: Term) -> Any:
        match term:
            case Parameter(name):
                return {"parameter": order[name]}
            case Result(call, path):
                return {"result": places[call], "path": list(path)}
            case Items(terms):
                return {"items": [told(one) for one in terms]}
            case _:
                return _told(term)

    calls = [[part.tool, {name: told(term) for name, term in part.arguments.items()}] for part in composite.parts]
    return json.dumps([calls, places[composite.result]], sort_keys=True)


def _first_uses(composite: Composite) -> dict[str, None]:
    uses: dict[str, None] = {}
    for part in composite.parts:
        for name in sorted(part.arguments):
            for term in _terms([part.arguments[name]]):
                if isinstance(term, Parameter):
                    uses.setdefault(term.name)
    return uses
