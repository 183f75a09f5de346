"""From rows of the library to tools that can be called.

In: a `memory.store.Library`, and the names or ids of tools in it. Out: `Tool`s. A row is one of three things:

    built in    its `builtin` names a tool of `standard`, whose own function runs
    composite   its `plan` is run by the executor, with the tools that it names (see `composites`)
    code        its `code` is run in the sandbox, call by call; never in this process

Rows that no person has approved are not handed out (`tools_of`), but can be tried (`tool_of`). Where a machine cannot
isolate, code runs only for the tools that are named in `unsafe`. Neighbours: `seeding` fills a library with the
built-in tools, `making` and `induction` propose rows, whoever runs a task offers what is loaded here.
"""

from __future__ import annotations

import atexit
import functools
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import date
from typing import Any, Final

from memory.store import Library
from memory.values import Row
from toolsets.annotations import code_facts, usual_imports
from toolsets.composites import read_composite, runner, says_the_same, worst_effect
from toolsets.errors import ToolDefinitionError, ToolsetError
from toolsets.executor import OvertimeError, TransientError, report_isolation, report_output, report_stop
from toolsets.hints import kind_of
from toolsets.policy import CallPolicy, Effect
from toolsets.rendering import told_as
from toolsets.sandbox import Limits, Sandbox
from toolsets.sandbox.exchange import GRACE_S
from toolsets.schemas import followed
from toolsets.standard import STANDARD
from toolsets.tool import Tool

MAX_DEPTH: Final = 8
"""Composites of composites, before a plan that contains itself is suspected."""
LIMITS: Final = Limits(memory_mb=1024)
"""pandas and numpy take most of 256 MB by being imported."""


class ToolFault(ToolsetError, ValueError):
    """The code of a tool from the library failed; the message is what went wrong, with the line."""


def tools_of(
    library: Library,
    wanted: Iterable[str],
    *,
    sandbox: Sandbox | None = None,
    unsafe: Collection[str] = (),
    more: Mapping[str, Tool] | None = None,
    refused: Callable[[str, str], object] | None = None,
) -> dict[str, Tool]:
    """The active tools with these names or row ids, by name, in this order.

    sandbox: where code runs, by default one that this process shares. unsafe: names or ids of tools whose code a person
    lets run where nothing isolates it. more: tools from elsewhere that composites may call. refused: told the name and
    a sentence for each tool that cannot be used, which is then left out; without it the first one raises ToolsetError.
    """
    found: dict[str, Tool] = {}
    for name in dict.fromkeys(wanted):
        try:
            row = _active(library, name)
            if row.name in found:
                raise ToolsetError(f"Two tools are called {row.name}: offer one of them.")
            found[row.name] = tool_of(row, library, sandbox=sandbox, unsafe=unsafe, more=more)
        except ToolsetError as error:
            if refused is None:
                raise
            refused(name, str(error))
    return found


def tool_of(
    row: Row,
    library: Library,
    *,
    sandbox: Sandbox | None = None,
    unsafe: Collection[str] = (),
    more: Mapping[str, Tool] | None = None,
) -> Tool:
    """The tool of one row, whatever its state: to try it before it is approved. Raises ToolsetError."""
    return _Loader(library, sandbox, frozenset(unsafe), more or {}).load(row, ())


@functools.cache
def shared_sandbox() -> Sandbox:
    """The sandbox of this process; its server starts with the first call and ends with the process."""
    sandbox = Sandbox(limits=LIMITS)
    atexit.register(sandbox.close)
    return sandbox


def is_builtin(row: Row) -> bool:
    """Whether the row is a tool of the standard set, as it was seeded and not edited since."""
    name = row.content.get("builtin")
    tool = STANDARD.get(name) if isinstance(name, str) else None
    # Whoever changes the code of such a row wants that code to run, not the function that it was copied from.
    return tool is not None and row.name == name and row.content["code"] == builtin_code(tool)


@functools.lru_cache(maxsize=512)
def builtin_code(tool: Tool) -> str:
    """The source of a standard tool's function, to be read."""
    import inspect

    return inspect.getsource(tool.function)


class _Loader:
    def __init__(
        self, library: Library, sandbox: Sandbox | None, unsafe: frozenset[str], more: Mapping[str, Tool]
    ) -> None:
        self._library, self._sandbox, self._unsafe, self._more = library, sandbox, unsafe, more

    def load(self, row: Row, within: tuple[str, ...]) -> Tool:
        if row.kind != "tool":
            raise ToolDefinitionError(f"{row.name!r} ({row.row_id}) is a {row.kind}, and cannot be called.")
        if is_builtin(row):
            return STANDARD[row.name]
        return self._composite(row, within) if row.content.get("plan") is not None else self._code(row)

    def _composite(self, row: Row, within: tuple[str, ...]) -> Tool:
        if row.name in within or len(within) >= MAX_DEPTH:
            raise ToolDefinitionError(f"The tool {row.name} is made of itself ({' > '.join((*within, row.name))}).")
        composite = read_composite(row.content["plan"])
        if not says_the_same(row.content["code"], row.name, composite):
            raise ToolDefinitionError(
                f"The code of {row.name} was edited and no longer says what its plan does, which is what runs: "
                "edit the plan, or take the field 'plan' out so that the code runs in the sandbox."
            )
        parts = {name: self._part(name, row, within) for name in composite.tools()}
        tools = list(parts.values())
        last = next(part.tool for part in composite.parts if part.id == composite.result)
        facts = code_facts(row.content["code"], row.name)
        asks = any(tool.policy.approval for tool in tools)
        return Tool(
            name=row.name,
            description=facts.documentation.summary or row.name.replace("_", " "),
            parameters={
                "type": "object",
                "properties": {name: dict(schema) for name, schema in composite.parameters.items()},
                "required": [name for name, schema in composite.parameters.items() if "default" not in schema],
                "additionalProperties": False,
            },
            function=runner(composite, parts),
            returns=parts[last].returns,
            effect=worst_effect(tools),
            idempotent=all(tool.idempotent for tool in tools),
            policy=CallPolicy(approval=True if asks else None),
            trusted=all(tool.trusted for tool in tools),
            returns_schema=parts[last].returns_schema,
            details=facts.documentation.details,
            examples=facts.documentation.examples,
        )

    def _part(self, name: str, row: Row, within: tuple[str, ...]) -> Tool:
        found = self._library.active("tool", name)
        if found is not None:
            return self.load(found, (*within, row.name))
        tool = self._more.get(name) or STANDARD.get(name)
        if tool is None:
            raise ToolDefinitionError(
                f"The tool {row.name} calls {name}, which the library has no active tool for: approve one of that name."
            )
        return tool

    def _code(self, row: Row) -> Tool:
        effect: Effect = "write" if row.content.get("effect") == "write" else "read"
        unsafe = bool(self._unsafe & {row.name, row.row_id})
        return sandboxed(row.name, row.content["code"], effect=effect, sandbox=self._sandbox, unsafe=unsafe)


def sandboxed(
    name: str, code: str, *, effect: Effect = "read", sandbox: Sandbox | None = None, unsafe: bool = False
) -> Tool:
    """The function `name` of some code as a tool whose calls run in the sandbox; raises ToolDefinitionError."""
    facts = code_facts(code, name)
    returned = facts.returned
    return Tool(
        name=name,
        description=facts.documentation.summary or name.replace("_", " "),
        parameters=facts.schema(),
        function=_Sandboxed(code, name, sandbox, unsafe),
        returns=kind_of(followed(returned, returned)),
        effect=effect,
        # Nothing outside can be reached from the sandbox, but the code may draw a random number or read the clock.
        idempotent=False,
        # The sandbox keeps the time; this is for one that does not answer, or that a busy machine is slow to start.
        policy=CallPolicy(timeout_s=LIMITS.time_s + GRACE_S),
        trusted=False,
        returns_schema=returned,
        details=facts.documentation.details,
        examples=facts.documentation.examples,
    )


def code_of(tool: Tool) -> str | None:
    """The code of a tool whose calls run in the sandbox; None for any other."""
    return tool.function.code if isinstance(tool.function, _Sandboxed) else None


class _Sandboxed:
    """A function whose body runs in the sandbox."""

    def __init__(self, code: str, name: str, sandbox: Sandbox | None, unsafe: bool) -> None:
        self.__name__, self.code = name, code
        self._prelude, self._sandbox, self._unsafe = usual_imports(code), sandbox, unsafe

    def __call__(self, **arguments: Any) -> Any:
        sandbox = self._sandbox or shared_sandbox()
        given = {name: as_json(value) for name, value in arguments.items()}
        outcome = sandbox.call_sync(
            self.code,
            self.__name__,
            given,
            limits=LIMITS,
            unsafe=self._unsafe,
            prelude=self._prelude,
            begun=report_stop,
        )
        report_isolation(str(outcome.isolation))
        report_output(outcome.stdout)
        if outcome.error is None:
            return outcome.value
        if outcome.error.kind == "lost":
            raise TransientError(str(outcome.error))
        if outcome.error.took_too_long:
            raise OvertimeError(str(outcome.error))
        raise ToolFault(str(outcome.error))


def _active(library: Library, wanted: str) -> Row:
    row = library.active("tool", wanted)
    if row is not None:
        return row
    if wanted not in library.row_ids():
        raise ToolsetError(f"The library has no active tool {wanted!r}: list the library to see its tools.")
    row = library.row(wanted)
    if row.state != "active":
        raise ToolsetError(f"The tool {row.name} ({wanted}) is {row.state}: approve it before it is used in a run.")
    return row


def as_json(value: Any) -> Any:
    """A value as JSON says it: days as texts, records and arrays as what they are told as."""
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    plain = told_as(value)
    return value if plain is value else as_json(plain)
