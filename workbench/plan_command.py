"""`workbench plan FILE`: checks a plan, draws it, and runs it against the library of tools.

In: a file in one of the five grammars. Out: diagnostics, the tree with states and times while it runs, the results;
or one JSON object. Exit codes as everywhere: 0 all calls succeeded, 1 some did not, 2 the plan has errors or the
request is wrong, 130 interrupted. Neighbours: `plan_run` does the work, `plan_tree` draws, `cli` registers this.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, cast, get_args

import anyio
import anyio.to_thread
import typer
from rich.console import Console
from rich.live import Live

from toolsets.executor import ApprovalAsked, Decision, Event, Finished
from toolsets.policy import OnFailure
from toolsets.results import CallOutcome
from toolsets.tool import Tool
from toolsets.untrusted import neutralise
from workbench import command_options as options
from workbench.approving import arguments_json, read_arguments
from workbench.edits import Asked, read_edit
from workbench.errors import UsageError
from workbench.mcp_tools import McpTools
from workbench.plan_run import BothTools, PlanBoard, ReadPlan, read_plan, run_plan
from workbench.plan_tree import arguments_text, draw_plan, path_of, plan_lines
from workbench.texts import read_text
from workbench.told import logged
from workbench.visible import one_line, visible

FRAMES_PER_S = 10


def plan(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A plan; - for input.")],
    front: Annotated[
        str, typer.Option(help="auto, tool_calls, tool_use, llmcompiler, dta or python: the grammar.")
    ] = "auto",
    only_check: Annotated[bool, typer.Option("--check", "--dry", help="Check and draw; run nothing.")] = False,
    sound: Annotated[bool, typer.Option(help="Run what is sound of a plan with errors.")] = False,
    draw: Annotated[bool, typer.Option(help="Draw the plan as a tree.")] = True,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Approve every call that needs a person's yes.")] = False,
    timeout_s: Annotated[float | None, typer.Option("--timeout", min=0.001, help="Seconds for each call.")] = None,
    on_failure: options.OnFailure = None,
    mcp: options.Mcp = None,
    as_json: options.AsJson = False,
) -> None:
    """Check a plan of tool calls, draw it, and run it."""
    policy = failure_policy(on_failure)
    with _tools(mcp) as tools:
        read = read_plan(read_text(file, "a plan"), tools, front)
        command = _Command(read, tools, draw=draw, as_json=as_json)
        command.tell_diagnostics()
        if only_check or (read.diagnostics and not sound) or not read.checked.calls:
            command.show()
            raise typer.Exit(2 if read.diagnostics else 0)
        interrupted = command.run(yes=yes, timeout_s=timeout_s, on_failure=policy)
    command.show(ran=True, interrupted=interrupted)
    if interrupted:
        raise typer.Exit(130)
    if read.diagnostics:
        raise typer.Exit(2)
    if not all(outcome.succeeded for outcome in command.board.outcomes.values()):
        raise typer.Exit(1)


def failure_policy(given: str | None) -> OnFailure | None:
    """What `--on-failure` says; raises UsageError for a word that it does not know."""
    if given is None or given in get_args(OnFailure):
        return cast("OnFailure | None", given)
    raise UsageError(f"--on-failure is {given!r}: give skip, pass or stop.")


@contextlib.contextmanager
def _tools(mcp: Path | None) -> Iterator[Mapping[str, Tool]]:
    """What a plan may call: the standard tools, and those of MCP servers."""
    from toolsets.standard import STANDARD  # takes as long to import as the rest of the command line

    if mcp is None:
        yield STANDARD
        return
    servers = McpTools(mcp)
    try:
        yield BothTools(servers.tools(), STANDARD)
    finally:
        servers.close()


class _Command:
    """One run of the command: what it shows, and where."""

    def __init__(self, read: ReadPlan, tools: Mapping[str, Tool], *, draw: bool, as_json: bool) -> None:
        self.read, self._tools, self._draw, self._as_json = read, tools, draw, as_json
        self.board = PlanBoard(read.calls, tools, read.unsound)
        self._console = Console()
        self._live = Live(
            console=self._console,
            get_renderable=lambda: draw_plan(self.board.calls(), max_lines=max(self._console.height - 1, 4)),
            refresh_per_second=FRAMES_PER_S,
            transient=True,
        )
        self._in_place = draw and not as_json and _can_draw(self._console)

    def tell_diagnostics(self) -> None:
        if self._as_json:
            return
        for one in self.read.diagnostics:
            expected = f" (expected: {one_line(one.expected, 200)})" if one.expected else ""
            print(f"workbench: {one_line(str(one))}{expected}", file=sys.stderr)

    def run(self, *, yes: bool, timeout_s: float | None, on_failure: OnFailure | None) -> bool:
        """Run the sound calls; returns whether a person broke it off."""

        async def main() -> None:
            lock = anyio.Lock()

            async def approver(asked: ApprovalAsked) -> Decision:
                async with lock:  # one question at a time
                    return Decision(True, "--yes") if yes else await self._ask(asked)

            somebody = approver if yes or (sys.stdin.isatty() and not self._as_json) else None
            await run_plan(
                self.read.checked.plan, self._tools, self._heard,
                approver=somebody, timeout_s=timeout_s, on_failure=on_failure,
            )  # fmt: skip

        with contextlib.ExitStack() as stack:
            if self._in_place:
                stack.enter_context(self._live)
            try:
                anyio.run(main)
            except KeyboardInterrupt:
                return True
        return False

    def show(self, *, ran: bool = False, interrupted: bool = False) -> None:
        """The whole plan as it stands, and the results that no other call uses."""
        if self._as_json:
            print(json.dumps(self._json(ran, interrupted), ensure_ascii=False))
            return
        if self._draw:
            title = f"plan ({self.read.front})"
            if self._in_place:
                self._console.print(draw_plan(self.board.calls(), title=title))
            else:
                for line in plan_lines(self.board.calls(), title=title):
                    _write(self._console, line)
        used = {need for call in self.read.plan for need in call.needs()}
        for call in self.read.plan:
            outcome = self.board.outcomes.get(call.id)
            if outcome is not None and (call.id not in used or not outcome.succeeded):
                _write(self._console, _result_line(outcome))

    def _heard(self, event: Event) -> None:
        self.board.apply(event)
        if isinstance(event, Finished) and not self._draw and not self._as_json:
            # Without a picture, one line as each call ends.
            _write(self._console, f"${event.call} {event.outcome.tool} {event.outcome.state.replace('_', ' ')}")

    async def _ask(self, asked: ApprovalAsked) -> Decision:
        self._live.stop()
        print(f"${asked.call} {one_line(asked.tool)}({one_line(arguments_text(asked.arguments), 500)})")
        if asked.problem:
            print(one_line(asked.problem, 500))
        answer = await anyio.to_thread.run_sync(input, "Run it? [y/N, e: edit] ", abandon_on_cancel=True)
        word = answer.strip().lower()
        decision = await self._edit(asked) if word in ("e", "edit") else Decision(word in ("y", "yes"))
        if self._in_place:
            self._live.start()
        return decision

    async def _edit(self, asked: ApprovalAsked) -> Decision:
        """Ask for other arguments, as JSON on one line, until they fit or the person goes back to the question."""
        text = arguments_json(logged(asked.arguments))
        while text := await anyio.to_thread.run_sync(_edited, text, abandon_on_cancel=True):
            try:
                mine = Asked(asked.call, asked.tool, asked.arguments)
                edit = read_edit(mine, read_arguments(text), self._tools, self.board.outcomes)
            except UsageError as error:
                print(one_line(str(error), 500))
            else:
                return Decision(True, arguments=None if edit is None else edit.arguments)
        return await self._ask(asked)

    def _json(self, ran: bool, interrupted: bool) -> dict[str, Any]:
        drawn = self.board.calls()
        path = path_of(drawn) if ran else None
        outcomes = self.board.outcomes
        failed = bool(self.read.diagnostics) or not all(one.succeeded for one in outcomes.values())
        status = "interrupted" if interrupted else "failed" if failed else "succeeded" if ran else "sound"
        return {
            "front": self.read.front,
            "status": status,
            "joins": self.read.plan.joins,
            "diagnostics": [
                {"kind": one.kind.value, "line": one.line, "call": one.call, "message": one.message}
                | ({"expected": one.expected} if one.expected else {})
                for one in self.read.diagnostics
            ],
            "calls": [
                {
                    "id": call.id,
                    "tool": call.tool,
                    "arguments": _json_value(call.arguments),
                    "needs": list(call.needs()),
                    "line": call.line,
                    "sound": call.id not in self.read.unsound,
                    **_outcome_json(outcomes.get(call.id)),
                }
                for call in self.read.calls
            ],
            "critical_path": None if path is None else {"wall_s": path.duration_s, "calls": list(path.calls)},
        }


def _edited(text: str) -> str:
    """A line that the person edits; empty where they go back."""
    try:
        import readline
    except ImportError:  # without it the line is written anew
        return input("Arguments, an empty line goes back: ").strip()
    readline.set_startup_hook(lambda: readline.insert_text(text))
    try:
        return input("Arguments, an empty line goes back: ").strip()
    finally:
        readline.set_startup_hook(None)


def _json_value(value: Any) -> Any:
    """Arguments as JSON, with references as they are written."""
    if isinstance(value, Mapping):
        return {str(key): _json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(item) for item in value]
    return value if value is None or isinstance(value, str | int | float) else str(value)


def _outcome_json(outcome: CallOutcome | None) -> dict[str, Any]:
    if outcome is None:
        return {"state": "planned"}
    return {
        "state": outcome.state,
        "text": outcome.text,
        "error": outcome.error,
        "wall_s": round(outcome.wall_s, 6),
        "attempts": outcome.attempts,
        "isolation": outcome.isolation,
        "shared_with": list(outcome.shared_with),
        "trusted": outcome.trusted,
    }


def _result_line(outcome: CallOutcome) -> str:
    text = outcome.text if outcome.trusted else neutralise(outcome.text)
    outside = "" if outcome.trusted else "(from outside) "
    return f"${one_line(outcome.call)} {one_line(outcome.tool, 80)} {outside}{'= ' if outcome.succeeded else ''}{text}"


def _can_draw(console: Console) -> bool:
    """A real terminal that moves its cursor and can show the signs of the tree."""
    is_terminal = getattr(console.file, "isatty", lambda: False)()
    return is_terminal and not console.is_dumb_terminal and console.encoding.lower().startswith("utf")


def _write(console: Console, line: str) -> None:
    # Not through rich: it would wrap the line.
    encoding = console.encoding
    console.file.write(visible(line).encode(encoding, "backslashreplace").decode(encoding) + "\n")
    console.file.flush()
