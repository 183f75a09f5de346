"""What a model wrote, read as code and the call of it.

In: the text of a reply. Out: a `Written`, or ReplyRefused with a sentence that can go back to the model. Code is
parsed, never run. Neighbours: `prompts` asks for it, `build` has it checked in the sandbox.
"""

from __future__ import annotations

import ast
import builtins
import re
from dataclasses import dataclass
from typing import Final

from memory.content import tool_facts
from memory.errors import ContentRefused
from toolsets.annotations import code_facts, parsed
from toolsets.errors import ToolDefinitionError, ToolsetError

_FENCE: Final = re.compile(r"^[ ]{0,3}```[ \t]*(\w*)[^\n]*\n(.*?)^[ ]{0,3}```[ \t]*$", re.MULTILINE | re.DOTALL)
_PYTHON: Final = frozenset({"", "python", "py", "python3"})


class ReplyRefused(ToolsetError):
    """A reply holds no code that can be used."""


@dataclass(frozen=True, slots=True)
class Written:
    """code: up to the last definition. call: what follows, whose last value is the answer. name: the tool's; empty for
    a solution, which may define anything or nothing."""

    code: str
    call: str
    name: str = ""


def read_solution(reply: str) -> Written:
    """Code that solves one problem; raises ReplyRefused."""
    return _written(reply)


def read_tool(reply: str) -> Written:
    """One general function and the call of it; raises ReplyRefused where it cannot be a tool."""
    written = _written(reply)
    if not written.code:
        raise ReplyRefused("There is no function: define one with def.")
    try:
        name = tool_facts(written.code).name
        facts = code_facts(written.code, name)
    except (ContentRefused, ToolDefinitionError) as error:
        raise ReplyRefused(str(error)) from error
    node = next(one for one in parsed(written.code).body if isinstance(one, ast.FunctionDef) and one.name == name)
    untyped = [one.arg for one in (*node.args.args, *node.args.kwonlyargs) if one.annotation is None]
    if not facts.parameters:
        raise ReplyRefused(f"{name} has no parameters, so it can solve one problem only: make what may differ one.")
    if untyped or node.returns is None:
        lacking = [f"the parameter {one}" for one in untyped] + ([] if node.returns else ["what it returns"])
        raise ReplyRefused(f"{name} says no type for {', '.join(lacking)}: annotate it.")
    if not facts.documentation.summary:
        raise ReplyRefused(f"{name} has no docstring: say in its first line what it does.")
    if hasattr(builtins, name):
        raise ReplyRefused(f"{name} is the name of one of Python's own functions: choose another.")
    if not any(isinstance(one, ast.Name) and one.id == name for one in ast.walk(parsed(written.call))):
        raise ReplyRefused(f"The last line does not call {name}: end with the call of it that solves the problem.")
    return Written(written.code, written.call, name)


def _written(reply: str) -> Written:
    text = _source(reply)
    try:
        body = parsed(text).body
    except ToolDefinitionError as error:
        raise ReplyRefused(str(error)) from error
    ends = [
        number
        for number, one in enumerate(body)
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    ]
    split = ends[-1] + 1 if ends else 0
    if split == len(body):
        raise ReplyRefused("There is no call after the code: end with the call whose value is the answer.")
    lines = re.split(r"\r\n|\r|\n", text)  # as Python counts them: other separators may stand in a text
    first = body[split].lineno - 1
    return Written("\n".join(lines[:first]).strip("\n"), "\n".join(lines[first:]).strip("\n"))


def _source(reply: str) -> str:
    """All Python of the reply: models put the function and its call into one block or into two."""
    blocks = [text for language, text in _FENCE.findall(reply) if language.lower() in _PYTHON]
    if blocks:
        return "\n".join(blocks)
    if "```" in reply:
        raise ReplyRefused("The code is not closed by a line of three backticks: write a shorter answer, and whole.")
    if not re.search(r"^(def|from|import) ", reply, re.MULTILINE):
        raise ReplyRefused("There is no code: write one Python block between lines of three backticks.")
    return reply
