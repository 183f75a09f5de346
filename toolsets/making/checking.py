"""Running a tool on recorded calls, wherever its code has to run, and what came of it.

In: a row of the library (or code that is not in it yet), and recorded calls. Out: `Ran` values: errors are data.
Neighbours: `harness` is the program in the sandbox, `behaviour` compares two tools by what comes out here, `build`
checks what a model wrote.

A recorded call is `arguments` with the `result` that they gave, or the text of a call (CRAFT's data, a model's example)
that is executed as code around the tool.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from memory.store import Library
from memory.values import Content, Row
from toolsets.annotations import usual_imports
from toolsets.arguments import fit_arguments
from toolsets.errors import ToolsetError
from toolsets.making.harness import ENTRY, call_text, program
from toolsets.sandbox import Limits, Sandbox
from toolsets.shelf import shared_sandbox, tool_of
from toolsets.tool import Tool

LIMITS: Final = Limits(time_s=10.0, memory_mb=1024)

Pairs = Sequence[tuple[str, str]]
"""Parameters as the tool names them that a call was written for, in its order, and as the one does that runs it."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One call of a tool. text: set for a call that is code; arguments are used otherwise. name: the function that the
    text calls, and pairs: its parameters, where it is another function than the row's, because that one was merged."""

    arguments: Mapping[str, Any] = field(default_factory=dict, hash=False)
    result: Any = field(default=None, hash=False)
    text: str = ""
    name: str = ""
    pairs: tuple[tuple[str, str], ...] = ()
    problem: str = ""

    @property
    def is_code(self) -> bool:
        return bool(self.text)


@dataclass(frozen=True, slots=True)
class Ran:
    """value: None where there is an error. error: one sentence."""

    value: Any = field(default=None, hash=False)
    error: str | None = None
    wall_s: float = 0.0


def recorded_calls(content: Content) -> list[Recorded]:
    """All calls that stand in a row's content: those with arguments first."""
    return list(_recorded(content))


def run_code_call(
    code: str,
    target: str,
    call: str,
    *,
    name: str = "",
    pairs: Pairs | None = None,
    sandbox: Sandbox | None = None,
    limits: Limits = LIMITS,
) -> Ran:
    """Execute the text of a call around a tool's code, in the sandbox. target: the tool's function, empty where the
    code only solves a problem. pairs: lets the tool answer to `name`, with those parameters renamed."""
    try:
        prelude, text = usual_imports(code), call_text(call)
    except ToolsetError as error:
        return Ran(error=str(error))
    given = {
        "call": text,
        "target": target,
        "name": name or target,
        "pairs": None if pairs is None else [list(pair) for pair in pairs],
    }
    outcome = (sandbox or shared_sandbox()).call_sync(program(code), ENTRY, given, limits=limits, prelude=prelude)
    return Ran(outcome.value, str(outcome.error) if outcome.error else None, outcome.wall_s)


class Subject:
    """A tool that recorded calls are run on."""

    def __init__(self, row: Row, library: Library, sandbox: Sandbox | None = None) -> None:
        self.row, self._sandbox = row, sandbox
        self.tool: Tool = tool_of(row, library, sandbox=sandbox)
        self.runs_code = self.row.content.get("plan") is None and not self.row.content.get("builtin")

    @property
    def parameters(self) -> dict[str, Mapping[str, Any]]:
        return dict(self.tool.parameters.get("properties", {}))

    @property
    def required(self) -> tuple[str, ...]:
        return tuple(self.tool.parameters.get("required", ()))

    def run(self, call: Recorded, of: Subject | None = None, mapping: Mapping[str, str] | None = None) -> Ran:
        """One recorded call. of: the tool that it was recorded for, where it is not this one; mapping: that one's
        parameters by this one's names."""
        names = mapping or {}
        if not call.is_code:
            return self._run_arguments({names.get(name, name): value for name, value in call.arguments.items()})
        if not self.runs_code:
            return Ran(error="The call is code, and this tool is none.")
        owner = of or self
        pairs = None
        if of is not None or call.pairs:
            written = call.pairs or tuple((name, name) for name in owner.parameters)
            pairs = [(old, names.get(new, new)) for old, new in written]
        return run_code_call(
            self.row.content["code"],
            self.row.name,
            call.text,
            name=call.name or owner.row.name,
            pairs=pairs,
            sandbox=self._sandbox,
        )

    def _run_arguments(self, arguments: Mapping[str, Any]) -> Ran:
        try:
            return Ran(self.tool.function(**fit_arguments(self.tool, arguments)))
        except ToolsetError as error:
            return Ran(error=str(error))
        except Exception as error:  # a built-in tool refuses with ValueError, and another one may break
            return Ran(error=f"{type(error).__name__}: {error}")


def _recorded(content: Content) -> Iterator[Recorded]:
    for call in content.get("calls", ()):
        if isinstance(call, Mapping) and isinstance(call.get("arguments"), Mapping) and "result" in call:
            yield Recorded(dict(call["arguments"]), call["result"])
    for problem in content.get("problems", ()):
        text = problem.get("call")
        if isinstance(text, str) and text.strip():
            called = problem.get("called") or {}
            yield Recorded(
                result=problem.get("answer"),
                text=text,
                name=str(called.get("name", content["name"])),
                pairs=tuple((str(old), str(new)) for old, new in called.get("pairs", ())),
                problem=problem["text"],
            )
