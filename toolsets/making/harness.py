"""The program that runs inside the sandbox around a tool: recorded calls that are code, not only arguments.

In: a tool's code, and the text of a call as a model wrote it, which may build a table first and print at the end. Out:
a source for the sandbox and the name of its function. Neighbours: `checking` runs it. What is written here is executed
in the sandbox alone.
"""

from __future__ import annotations

from typing import Final

from toolsets.annotations import usual_imports
from toolsets.errors import ToolDefinitionError

ENTRY: Final = "_run_recorded_call"

_PROGRAM: Final = """

def _run_recorded_call(call, target, name, pairs):
    import ast, contextlib, io
    scope = dict(globals())
    if target:
        tool = scope[target]
        if pairs is not None:
            olds = [old for old, _ in pairs]
            renamed = dict(pairs)
            def called(*args, **given):
                given.update(zip(olds, args))
                return tool(**{renamed.get(key, key): value for key, value in given.items()})
            scope[name] = called
    tree = ast.parse(call)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, "<call>", "exec"), scope)
        value = None
        if last is not None:
            node = last.value
            shown = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
            if shown and len(node.args) == 1 and not isinstance(node.args[0], ast.Starred):
                node = node.args[0]
            value = eval(compile(ast.Expression(node), "<call>", "eval"), scope)
    text = printed.getvalue().strip()
    if value is None and text:
        value = text.splitlines()[-1]
    return _plain_value(value, 0)


def _plain_value(value, depth):
    if value is None or isinstance(value, (bool, str)):
        return value
    if type(value).__module__.partition(".")[0] in ("numpy", "pandas"):
        if hasattr(value, "tolist"):
            value = value.tolist()
        elif hasattr(value, "to_dict"):
            value = value.to_dict("list")
        elif hasattr(value, "item"):
            value = value.item()
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    if depth < 20 and isinstance(value, dict):
        return {str(key): _plain_value(item, depth + 1) for key, item in value.items()}
    if depth < 20 and isinstance(value, (set, frozenset)):
        return sorted((_plain_value(item, depth + 1) for item in value), key=repr)
    if depth < 20 and isinstance(value, (list, tuple)):
        return [_plain_value(item, depth + 1) for item in value]
    return str(value)
"""


def program(code: str) -> str:
    """The tool's code with the harness behind it."""
    return code.rstrip("\n") + "\n" + _PROGRAM


def call_text(call: str) -> str:
    """A call with the imports that it takes for granted; raises ToolDefinitionError where it is no Python.

    A fence around it, as models write it, is taken off.
    """
    lines = call.strip().split("\n")
    if lines[0].startswith("```"):
        lines = lines[1 : -1 if lines[-1].strip() == "```" else None]
    text = "\n".join(lines)
    if not text.strip():
        raise ToolDefinitionError("The call is empty: write the call that solves the problem.")
    return "\n".join(filter(None, [usual_imports(text), text]))
