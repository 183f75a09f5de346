"""Checks the arguments of a call against a tool's JSON Schema, and forgives the slips that models make.

In: a `Tool` and the arguments as they were parsed. Out: keyword arguments for the tool's function, or what does not
fit, each in one sentence that names the parameter, what was expected and what came. Neighbours: `tool` writes the
schema, `fitting` reads a value against it, `check` asks before a plan runs, an executor before it calls the function.
Pure.

Forgiven: a number or a list written as a text, a whole number written as 3.0, yes and no written as texts. Nothing is
ever rounded or guessed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from toolsets.diagnostics import DiagnosticKind
from toolsets.errors import ArgumentError
from toolsets.fitting import Fitter, Misfit, shown
from toolsets.plan import Ref, Template
from toolsets.tool import Tool, kind_of

Hole = Callable[[str, Ref | Template, Mapping[str, Any]], "ArgumentProblem | None"]
"""Says whether a reference may stand at a place of the arguments where a schema is asked for."""


@dataclass(frozen=True, slots=True)
class ArgumentProblem:
    """One argument that does not fit."""

    kind: DiagnosticKind
    message: str
    expected: str = ""


def fit_arguments(tool: Tool, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments as the tool's function takes them; raises ArgumentError where they do not fit."""
    fitted, problems = fit_or_tell(tool, arguments)
    if problems:
        raise ArgumentError(problems[0].message)
    return fitted


def fit_or_tell(
    tool: Tool, arguments: Mapping[str, Any], hole: Hole | None = None
) -> tuple[dict[str, Any], list[ArgumentProblem]]:
    """The arguments that fit, and a problem for each that does not. hole: judges references, which stay as they are."""
    arguments = bind_positional(tool, arguments)
    properties: Mapping[str, Mapping[str, Any]] = tool.parameters.get("properties", {})
    more = tool.parameters.get("additionalProperties", not properties)
    problems = [_unknown(tool, name) for name in arguments if name not in properties and more is False]
    problems += [_missing(tool, name) for name in tool.parameters.get("required", ()) if name not in arguments]
    fitted: dict[str, Any] = {}
    for name, value in arguments.items():
        if name not in properties and more is False:
            continue
        schema = properties.get(name, more if isinstance(more, Mapping) else {})
        if value is None and "default" in schema and schema["default"] is None:
            fitted[name] = None  # what stands there if it is left out, whatever the hint says: `n: int = None`
            continue
        try:
            fitted[name] = _fit(tool, name, value, schema, hole)
        except _Problem as found:
            problems.append(found.problem)
    return fitted, problems


def bind_positional(tool: Tool, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments that were given by place, as "0", "1", ..., under their parameters' names; those left over stay.

    A single record whose keys are all parameters, `gcd({"a": 12, "b": 18})`, is taken apart.
    """
    properties: Mapping[str, Mapping[str, Any]] = tool.parameters.get("properties", {})
    placed = [str(index) for index in range(len(arguments))]
    placed = [key for key in placed if key in arguments and key not in properties]
    if not placed:
        return dict(arguments)
    only = next(iter(arguments.values()))
    if len(arguments) == 1 and isinstance(only, Mapping) and only and only.keys() <= properties.keys():
        first = next(iter(properties.values()))
        if kind_of(first) not in ("object", "value"):
            return dict(only)
    free = [name for name in properties if name not in arguments]
    names = dict(zip(placed, free, strict=False))
    return {names.get(key, key): value for key, value in arguments.items()}


class _Problem(Exception):
    def __init__(self, problem: ArgumentProblem) -> None:
        self.problem = problem


def _fit(tool: Tool, name: str, value: Any, schema: Mapping[str, Any], hole: Hole | None) -> Any:
    holes = 0

    def judge(place: str, ref: Ref | Template, wanted: Mapping[str, Any]) -> None:
        nonlocal holes
        holes += 1
        if hole is not None and (problem := hole(place, ref, wanted)) is not None:
            raise _Problem(problem)

    # A remote tool gets its arguments as JSON, where a date is a text.
    fitter = Fitter(tool.parameters, judge, keeps_dates_as_text=tool.server is not None)
    try:
        fitted = fitter.fit(name, value, schema)
    except Misfit as misfit:
        message = f"{misfit.place} of {tool.name} must be {misfit.expected}, not {shown(misfit.value)}."
        problem = ArgumentProblem(DiagnosticKind.ILL_TYPED_ARGUMENT, message, misfit.expected)
        raise _Problem(problem) from None
    reader = tool.readers.get(name)
    if reader is None or holes:
        return fitted
    try:
        return reader(fitted)
    except Exception as error:  # pydantic's ValidationError, and whatever a class makes of a value that it refuses
        raise _Problem(_refused(tool, name, error)) from None


def _refused(tool: Tool, name: str, error: Exception) -> ArgumentProblem:
    """What pydantic says, of the first part that it refuses."""
    details = getattr(error, "errors", None)
    first: Mapping[str, Any] = details(include_url=False)[0] if callable(details) else {"loc": (), "msg": error}
    place = name + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in first["loc"])
    try:
        reason = " ".join(str(first["msg"]).split()).rstrip(".") or type(error).__name__
    except Exception:  # an exception whose own text cannot be made
        reason = type(error).__name__
    return ArgumentProblem(DiagnosticKind.ILL_TYPED_ARGUMENT, f"{place} of {tool.name} does not fit: {reason}.")


def _unknown(tool: Tool, name: str) -> ArgumentProblem:
    message = f"{tool.name} has no parameter {shown(name)}: call it as {tool.signature()}."
    if name.isascii() and name.isdigit():
        message = f"{tool.name} takes no argument at place {int(name) + 1}: call it as {tool.signature()}."
    return ArgumentProblem(DiagnosticKind.UNKNOWN_ARGUMENT, message, tool.signature())


def _missing(tool: Tool, name: str) -> ArgumentProblem:
    message = f"{tool.name} needs the parameter {name!r}: call it as {tool.signature()}."
    return ArgumentProblem(DiagnosticKind.MISSING_ARGUMENT, message, tool.signature())
