"""What may be given as `tools=`: functions, tools, mappings, lists, names, as one mapping by name.

In: whatever a person hands over. Out: `Tool`s by name, or UsageError with one sentence. Neighbours: `session` offers
them to the workers of its runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from toolsets.builtin import BUILTINS
from toolsets.errors import ToolDefinitionError
from toolsets.tool import Tool
from workbench.errors import UsageError

OneTool: TypeAlias = Tool | Callable[..., Any] | str
Offer: TypeAlias = OneTool | Mapping[str, OneTool] | Iterable[OneTool] | None


def offered_tools(given: Offer, library: Callable[[str], Tool] | None = None) -> dict[str, Tool]:
    """None: the built-in tools, which the embedded model knows. "standard": all of the standard set. A name: that
    tool of the standard set, or an active tool of the library. A function becomes a tool by its type hints and its
    docstring. In a mapping each has the name that it stands under, which is what workers are told.

    >>> sorted(offered_tools([max, "gcd"]))
    Traceback (most recent call last):
    workbench.errors.UsageError: max cannot be offered as a tool: Parameter 'args' of max cannot be passed by name: ...
    >>> sorted(offered_tools(["gcd", "lcm"]))
    ['gcd', 'lcm']
    """
    if given is None:
        return dict(BUILTINS)
    if isinstance(given, Mapping):
        return {str(name): _named(_one(tool, library, str(name)), str(name)) for name, tool in given.items()}
    found: dict[str, Tool] = {}
    for tool in _each(given, library):
        if tool.name in found and found[tool.name] is not tool:
            raise UsageError(f"Two tools are called {tool.name}: give one of them another name.")
        found[tool.name] = tool
    return found


def _named(tool: Tool, name: str) -> Tool:
    return tool if tool.name == name else replace(tool, name=name)


def _each(given: OneTool | Iterable[OneTool], library: Callable[[str], Tool] | None) -> Iterator[Tool]:
    items: list[Any] = [given] if isinstance(given, str | Tool) or callable(given) else _listed(given)
    for item in items:
        if item == "standard":
            from toolsets.standard import STANDARD

            yield from STANDARD.values()
        elif item == "builtin":
            yield from BUILTINS.values()
        else:
            yield _one(item, library)


def _listed(given: Any) -> list[Any]:
    try:
        return list(given)
    except TypeError as error:
        raise UsageError(
            f"tools cannot be a {type(given).__name__}: give functions, tools, names, a list or a mapping of them."
        ) from error


def _one(given: Any, library: Callable[[str], Tool] | None, name: str = "") -> Tool:
    if isinstance(given, Tool):
        return given
    if isinstance(given, str):
        from toolsets.standard import STANDARD

        if given in STANDARD:
            return STANDARD[given]
        if library is not None:
            return library(given)
        raise UsageError(f"There is no tool {given!r} in the standard set: give its function, or another name.")
    if not callable(given):
        raise UsageError(f"{given!r} cannot be a tool: give a function, or the name of a standard tool.")
    try:
        tool = Tool.from_function(given)
    except (ToolDefinitionError, ValueError) as error:
        known = name or getattr(given, "__name__", type(given).__name__)
        raise UsageError(f"{known} cannot be offered as a tool: {error}") from error
    return tool
