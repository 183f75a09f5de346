"""Trying a row before it is trusted: a tool on its examples, a concept as a prompt would show it.

In: a row, in whatever state. Out: a `Tried`: each call with what it was to give and what it gave. Code that is not
built in runs in the sandbox (`toolsets.shelf`). Neighbours: `libraries` above.
"""

from __future__ import annotations

import ast
import doctest
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from memory.errors import ChangeRefused
from memory.rendering import render_concept
from memory.store import Library
from memory.values import Row
from toolsets.direct import run_direct
from toolsets.making.answers import same_answer
from toolsets.making.checking import Recorded, Subject, recorded_calls
from toolsets.parse import ToolCall
from toolsets.rendering import render_result
from toolsets.shelf import is_builtin, shared_sandbox, tool_of
from toolsets.tool import Tool
from workbench.visible import one_line

MOST_CALLS: Final = 50


@dataclass(frozen=True, slots=True)
class TriedCall:
    """One call: `agrees` is None where nobody said what it should give."""

    arguments: Mapping[str, Any]
    result: str
    error: str | None
    expected: str | None
    agrees: bool | None
    wall_s: float
    code: str = ""
    """The call itself, where it is code that makes the arguments first, as CRAFT's are; `arguments` is empty then."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of it. `isolation` says where the code ran."""

    name: str
    text: str = ""
    calls: tuple[TriedCall, ...] = ()
    isolation: str = ""

    @property
    def passed(self) -> bool:
        """Every call that has an expected result gave it, and none failed."""
        return all(call.error is None and call.agrees is not False for call in self.calls)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "passed": self.passed,
            "isolation": self.isolation,
            "text": self.text,
            "calls": [
                {
                    "arguments": dict(call.arguments),
                    "code": call.code,
                    "result": call.result,
                    "error": call.error,
                    "expected": call.expected,
                    "agrees": call.agrees,
                    "wall_s": round(call.wall_s, 6),
                }
                for call in self.calls
            ],
        }

    def __str__(self) -> str:
        if self.text:
            return self.text
        verdict = "not tried" if not self.calls else "passed" if self.passed else "FAILED"
        lines = [f"{self.name}: {verdict} ({self.isolation})"]
        for call in self.calls:
            given = ", ".join(
                f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in call.arguments.items()
            )
            given = given or call.code[-80:]
            gave = f"failed: {call.error}" if call.error else call.result
            wanted = f", expected {one_line(call.expected or '', 60)}" if call.agrees is False else ""
            lines.append(f"  {one_line(given, 80)} -> {one_line(gave, 120)}{wanted}")
        if not self.calls:
            lines.append("  It has no examples: give arguments to try it with.")
        return "\n".join(lines)

    __repr__ = __str__


def try_tool(row: Row, library: Library, calls: Sequence[Mapping[str, Any]] = (), *, unsafe: bool = False) -> Tried:
    """Run the tool on these arguments, or on its examples. Raises ToolsetError where it cannot run at all."""
    tool = tool_of(row, library, unsafe=(row.row_id,) if unsafe else ())
    if calls:
        done = tuple(_tried(tool, dict(arguments), None) for arguments in calls)
    else:
        done = tuple(itertools.islice(_examples(row, tool, library), MOST_CALLS))
    if is_builtin(row):
        where = "built in: runs in this process"
    elif row.content.get("plan") is not None:
        where = "a plan of other tools"
    else:
        where = str(shared_sandbox().isolation)
    return Tried(row.name, "", done, where)


def try_concept(row: Row) -> Tried:
    if row.kind != "concept":
        raise ChangeRefused(f"{row.name!r} is a {row.kind}: try it with the tools.")
    return Tried(row.name, render_concept(row.content))


def _tried(tool: Tool, arguments: dict[str, Any], expected: Any) -> TriedCall:
    done = run_direct(ToolCall(tool.name, arguments, ""), {tool.name: tool})
    wanted = None if expected is None else render_result(expected)
    agrees = None
    if wanted is not None and not done.error:
        agrees = done.text.strip() == wanted.strip() or same_answer(done.text, wanted)
    return TriedCall(arguments, done.text, done.error, wanted, agrees, done.wall_s)


def _documented(row: Row, tool: Tool) -> Iterator[tuple[dict[str, Any], Any]]:
    """The calls of the tool in its docstring's examples, as doctest reads them, with what they should give."""
    tree = ast.parse(row.content["code"])
    texts = [ast.get_docstring(node) or "" for node in tree.body if getattr(node, "name", None) == row.name]
    for text in texts:
        try:
            examples = doctest.DocTestParser().get_examples(text)
        except ValueError:
            continue
        for example in examples:
            arguments = _arguments(example.source.strip(), tool)
            if arguments is not None and example.exc_msg is None:
                try:
                    yield arguments, ast.literal_eval(example.want.strip())
                except (ValueError, SyntaxError):
                    yield arguments, None


def _examples(row: Row, tool: Tool, library: Library) -> Iterator[TriedCall]:
    """The recorded calls, the docstring's, and those that stand with the problems, as in CRAFT's data; each once."""
    given = [
        (dict(call["arguments"]), call.get("result"))
        for call in row.content.get("calls", ())
        if isinstance(call, Mapping) and isinstance(call.get("arguments"), Mapping)
    ]
    given += _documented(row, tool)
    executed = []
    for call in recorded_calls(row.content):
        if call.is_code:
            arguments = None if call.pairs else _arguments(call.text, tool)
            if arguments is not None:
                given.append((arguments, call.result if call.result != "" else None))
            else:
                executed.append(call)
    for number, (arguments, expected) in enumerate(given):
        if (arguments, expected) not in given[:number]:
            yield _tried(tool, arguments, expected)
    subject = Subject(row, library)
    if subject.runs_code:
        for call in executed:
            yield _executed(subject, call)


def _executed(subject: Subject, call: Recorded) -> TriedCall:
    """A call that is code, run around the tool's own in the sandbox; held against the problem's answer."""
    ran = subject.run(call)
    expected = str(call.result) if call.result not in ("", None) else None
    agrees = None if expected is None or ran.error else same_answer(ran.value, expected)
    text = "" if ran.error else render_result(ran.value)
    return TriedCall({}, text, ran.error, expected, agrees, ran.wall_s, call.text.strip())


def _arguments(call: str, tool: Tool) -> dict[str, Any] | None:
    """The arguments of `gcd(12, b=18)`, where all of them are plain values; nothing is evaluated."""
    try:
        node = ast.parse(call.strip(), mode="eval").body
        if not isinstance(node, ast.Call):
            return None
        names = list(tool.parameters.get("properties", {}))
        given = {**dict(zip(names, node.args, strict=False)), **{k.arg: k.value for k in node.keywords if k.arg}}
        return {name: ast.literal_eval(value) for name, value in given.items()}
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return None
