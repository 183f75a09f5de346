"""The code of a run's tools, as its log keeps it, so that an exported run shows it and can be done again.

In: the tools that a run offers. Out: `ToolCode` values, for those that are not of the standard set and whose code
stands by itself: a person's own functions, with the imports that they need, and code of the library. Without code is
what only its process knows: a tool of an MCP server, a function that calls others of its notebook, a bound method.
Neighbours: `host` puts them into `run_started`, `export_again` writes cells of them.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import sys
import textwrap
import types
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from toolsets.builtin import BUILTINS
from toolsets.tool import Tool
from workbench.events import ToolCode

MOST_CHARS: Final = 20_000
_PLAIN: Final = (int, float, str, bool, type(None))
_UNKNOWN: Final = object()


def sources_of(tools: Mapping[str, Tool]) -> list[ToolCode]:
    """The code of those tools that are not of the standard set, in their order; empty where it is not known."""
    others = {name: tool for name, tool in tools.items() if BUILTINS.get(name) is not tool}
    if not others:
        return []
    # Not needed for the usual run, whose first token is waited for.
    from toolsets.shelf import code_of
    from toolsets.standard import STANDARD

    found: list[ToolCode] = []
    for name, tool in others.items():
        if STANDARD.get(name) is tool:
            continue
        code, of = code_of(tool), "library"
        if code is None and tool.server is None:
            code, of = standalone(tool.function), "person"
        other = getattr(tool.function, "__name__", name) != name  # the code would define it under another name
        if code is None or other or not name.isidentifier() or len(code) > MOST_CHARS:
            code, of = "", "process"
        found.append(ToolCode(name=name, of=of, code=code, effect=tool.effect))
    return found


def standalone(function: Callable[..., Any]) -> str | None:
    """The code of a function with the imports that it needs; None where that would not define it anywhere else."""
    plain = inspect.unwrap(function)
    if not inspect.isfunction(plain) or plain.__closure__:
        return None
    try:
        code = textwrap.dedent(inspect.getsource(plain)).rstrip()
        (node,) = ast.parse(code).body
    except (OSError, TypeError, SyntaxError, ValueError):
        return None
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.name != plain.__name__:
        return None
    heads = []
    for name in sorted(_needed(node)):
        head = _head(name, plain.__globals__.get(name, _UNKNOWN))
        if head is None:
            return None
        heads.append(head)
    whole = "\n".join([*heads, *(["", ""] if heads else []), code])
    return whole if _is_what_runs(plain, code, whole) else None


def _is_what_runs(function: types.FunctionType, *texts: str) -> bool:
    """Whether one of the texts, or the file, still says what was loaded: it may have been edited since. What a call
    compiles to depends on whether the text around it imports the name that is called."""
    with suppress(OSError, TypeError):
        texts = ("".join(inspect.findsource(function)[0]), *texts)
    return any(function.__code__.co_code in _bodies(text, function.__name__) for text in texts)


def _bodies(text: str, name: str) -> list[bytes]:
    """What the functions of this name in a text compile to."""
    try:
        waiting = [compile(text, "<source>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)]
    except (SyntaxError, ValueError):  # the cell of a notebook may hold what is no Python
        return []
    found = []
    while waiting:
        one = waiting.pop()
        if one.co_name == name:
            found.append(one.co_code)
        waiting += [inner for inner in one.co_consts if isinstance(inner, types.CodeType)]
    return found


def _needed(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """The names that the function takes from around it."""
    read, bound = set[str](), {function.name}
    for node in ast.walk(function):
        if isinstance(node, ast.Name):
            (read if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            bound |= {(one.asname or one.name).split(".")[0] for one in node.names}
        elif isinstance(node, ast.ExceptHandler) and node.name:
            bound.add(node.name)
    return read - bound - set(dir(builtins))


def _head(name: str, value: Any) -> str | None:
    """The line that gives a name its value anywhere; None where there is none."""
    if isinstance(value, types.ModuleType):
        known = value.__name__ if _everywhere(value.__name__) else None
        return known and (f"import {known}" if known == name else f"import {known} as {name}")
    if isinstance(value, _PLAIN):
        return f"{name} = {value!r}"
    own = str(getattr(value, "__name__", name))
    for module, there in ((getattr(value, "__module__", None), own), ("typing", name)):
        if (
            isinstance(module, str)
            and _everywhere(module)
            and getattr(sys.modules.get(module), there, _UNKNOWN) is value
        ):
            return f"from {module} import {there}" + ("" if there == name else f" as {name}")
    return None


def _everywhere(module: str) -> bool:
    """Whether whoever has what the workbench needs can import it too."""
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names or top in ("toolsets", "workbench"):
        return top != "__main__"
    file = getattr(sys.modules.get(top), "__file__", None) or ""
    return "site-packages" in file or "dist-packages" in file
