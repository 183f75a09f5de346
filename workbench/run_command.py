"""`workbench run`: several workers solve a task, while a person looks on.

In: a task, and how it is to be solved. Out: a live view, plain lines or one JSON object, a notebook if one is asked
for, and the exit code. Neighbours: `session` runs, `live` shows; `runs_commands` shows runs that go on in the same way;
`cli` registers this.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from toolsets.answers import KINDS
from workbench.approving import Deciding
from workbench.breakpoints import of_options
from workbench.command_options import (
    AsJson,
    BreakAtEnd,
    BreakAtStep,
    BreakBefore,
    BreakOn,
    Device,
    Layout,
    Mcp,
    Model,
    OnFailure,
    TensorParallel,
)
from workbench.errors import UsageError
from workbench.events import BreakpointHit, Event
from workbench.export_place import checked
from workbench.keys import is_interactive, keys
from workbench.live import LiveView
from workbench.models import EMBEDDED, REFUSAL, is_embedded
from workbench.plan_command import failure_policy
from workbench.recall import CONCEPTS
from workbench.steering import MAX_WORKERS
from workbench.texts import read_text
from workbench.visible import one_line
from workbench.worker_settings import of_options as of_worker_options

if TYPE_CHECKING:
    from workbench.session import Run


def run(
    task: Annotated[str | None, typer.Argument(metavar="TASK", help="The task, in quotes.")] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Read the task from a file; - for input.")] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", "-n", help=f"How many, 1 to {MAX_WORKERS}; 2 if left out.")
    ] = None,
    worker: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME:SETTINGS",
            help="One of them, such as Alice:temperature=0.2,tools=gcd+add,instruction=Check what others write.",
        ),
    ] = None,
    layout: Layout = "contiguous",
    model: Model = EMBEDDED,
    seed: Annotated[int, typer.Option(help="Of what is random, where the temperature is not 0.")] = 0,
    max_tokens: Annotated[int | None, typer.Option(help="Tokens per worker.")] = None,
    temperature: Annotated[float, typer.Option(help="0 is greedy.")] = 0.0,
    attention: Annotated[bool, typer.Option(help="Log how much workers look at each other.")] = False,
    device: Device = "cpu",
    tensor_parallel: TensorParallel = 1,
    memory: Annotated[str, typer.Option(help="none, fixed or continual: what a run knows of the library.")] = "fixed",
    concepts: Annotated[int, typer.Option(help="Concepts of the library in the prompt, at most.")] = CONCEPTS,
    as_json: AsJson = False,
    notebook: Annotated[Path | None, typer.Option(help="Write the run as a notebook here.")] = None,
    tools: Annotated[
        str, typer.Option(help="builtin, standard, or names of tools (the library's too), with commas.")
    ] = "builtin",
    front: Annotated[str | None, typer.Option(help="The grammar of calls, if not the model's own.")] = None,
    prompting: Annotated[
        Path | None, typer.Option(help="Words for the workers: a JSON file with fields such as rules and names.")
    ] = None,
    free_calls: Annotated[
        bool, typer.Option("--free-calls", help="Let workers write names of tools and parameters that there are not.")
    ] = False,
    answer: Annotated[
        str | None, typer.Option(help="The answer's form: int, number, bool, text, date, or a JSON Schema or its file.")
    ] = None,
    async_tools: Annotated[bool, typer.Option("--async-tools", help="Workers go on while their calls run.")] = False,
    approve: Annotated[
        str | None,
        typer.Option(
            help="Calls that need your word: ask (y, n, or e to edit the arguments), all or none; ask in a terminal, "
            "else none."
        ),
    ] = None,
    call_timeout: Annotated[float | None, typer.Option(help="Seconds for one call.")] = None,
    on_failure: OnFailure = None,
    unsafe_tool: Annotated[
        list[str] | None, typer.Option(help="A tool whose code may run where nothing isolates it.")
    ] = None,
    mcp_file: Mcp = None,
    break_before: BreakBefore = None,
    break_at_step: BreakAtStep = None,
    break_on: BreakOn = None,
    break_at_end: BreakAtEnd = False,
) -> None:
    """Let several workers solve a task together."""
    from toolsets.policy import CallPolicy
    from workbench.session import Workbench

    text = _task(task, file)
    if notebook is not None:
        checked(notebook)
    breaks = of_options(break_before, break_at_step, break_on, break_at_end)
    policy = CallPolicy(timeout_s=call_timeout, on_failure=failure_policy(on_failure))
    asks = approve or ("ask" if is_interactive() and not as_json else "none")
    workbench = Workbench(
        model, of_worker_options(worker or (), workers), layout, seed, max_tokens,
        attention=attention, temperature=temperature, device=device,
        tools=tools.split(","), front=front, prompting=None if prompting is None else _words(prompting),
        guided_calls=not free_calls, async_tools=async_tools, approve=asks,  # type: ignore[arg-type]
        answer=None if answer is None else _form(answer),
        policy=None if policy == CallPolicy() else policy, unsafe_tools=unsafe_tool or (),
        mcp=mcp_file, memory=memory, concepts=concepts, tensor_parallel=tensor_parallel,
    )  # fmt: skip
    started = workbench.run(text, break_at=breaks)
    interrupted = see_through(started, as_json, asks)
    workbench.close()
    if started._error is not None:
        raise started._error
    if as_json:
        print(json.dumps(run_json(started), ensure_ascii=False))
    if notebook is not None:
        written = started.export(notebook)
        if not as_json:
            print(f"The run is in {written}. Open it with: {lab_command()} {written}")
    if not as_json and is_embedded(model) and any(item["answer"] == REFUSAL for item in started.items):
        print(
            "The embedded model answers what its tools can answer (numbers, dates, words, units: workbench tools list) "
            "and nothing else; --model takes any other one."
        )
    leave(started, interrupted)


def see_through(started: Run, as_json: bool, asks: str = "none") -> bool:
    """Show a run to its end. Returns whether it was interrupted. Where nobody is there to let it go on, a breakpoint
    stops it: what it was to pause before is never done unseen."""
    interrupted, attended = False, is_interactive() and not as_json
    view = LiveView(
        Console(file=sys.stderr, quiet=True) if as_json else None, plain=True if as_json else None, errors=False
    )
    if as_json:
        view.console.file = open(os.devnull, "w")  # noqa: SIM115 - lives as long as the process
    pressed = partial(_pressed, started, view, Deciding(started, view) if asks == "ask" else None)
    with keys(pressed) if attended or asks == "ask" else nullcontext(), view:
        try:
            view.watch(started.events() if attended else _stopping(started))
        except KeyboardInterrupt:
            interrupted = True
            if "TORCHELASTIC_RUN_ID" in os.environ:  # torchrun sends it once more
                signal.signal(signal.SIGINT, signal.SIG_IGN)
            started.stop()
            view.watch(started.events(since=view.view.seq))
    started.wait()
    return interrupted


def leave(ended: Run, interrupted: bool) -> None:
    """With the exit code that says how the run ended."""
    if interrupted:
        raise typer.Exit(130)
    if ended.status != "solved":
        raise typer.Exit(1)


def _stopping(run: Run) -> Iterator[Event]:
    """The run's events; it is stopped where a breakpoint pauses it."""
    for event in run.events():
        yield event
        if isinstance(event.payload, BreakpointHit) and run.status == "running":
            run.stop(by="terminal")
            why = f"{event.payload.breakpoint} has paused the run ({one_line(event.payload.why)})"
            print(
                f"{why}, and nobody is there to let it go on: it was stopped. workbench runs fork {run.id} goes on.",
                file=sys.stderr,
            )


def _pressed(run: Run, view: LiveView, decide: Deciding | None, key: str) -> None:
    """A key of the person who watches: c or s where the run is held, others about calls, if these ask."""
    if view.view.breaks.paused and view.edit is None and key.lower() in ("c", "s"):
        with suppress(UsageError):
            (run.resume if key.lower() == "c" else run.step)(by="terminal")
    if decide is not None:
        decide(key)


def run_json(run: Run) -> dict[str, Any]:
    """How a run ended, as `--json` tells it."""
    told = {"run_id": run.id, "status": run.status, "answer": run.answer, "items": run.items, **run.metrics}
    if run.status == "solved" and run.asked is not None:
        told["value"] = json.loads(json.dumps(run.value, default=str))  # a date is a text in JSON
    return told


def lab_command() -> str:
    """The command that opens a notebook; JupyterLab refuses to start as root unless it is told so."""
    beside, here = Path(sys.executable).with_name("jupyter"), Path.cwd()
    jupyter = (beside.relative_to(here) if beside.is_relative_to(here) else beside) if beside.exists() else "jupyter"
    return f"{jupyter} lab --allow-root" if os.geteuid() == 0 else f"{jupyter} lab"


def _task(task: str | None, file: Path | None) -> str:
    if (task is None) == (file is None):
        raise UsageError("Give a task in quotes, or --file with a task in it: one of the two.")
    if task is not None:
        return task
    assert file is not None
    return read_text(file, "a task")


def _form(given: str) -> Any:
    """A kind of answer, or a JSON Schema: as it is, or in a file."""
    text = given.strip()
    if not text.startswith("{"):
        path = Path(text).expanduser()
        if text in KINDS or not path.suffix:
            return text
        text = read_text(path, "a JSON Schema")
    try:
        return json.loads(text)
    except ValueError as error:
        raise UsageError(f'--answer is no JSON Schema, such as {{"type": "integer"}}: {error}.') from error


def _words(file: Path) -> dict[str, Any]:
    """Some fields of a prompting; what they hold is checked with the other settings."""
    try:
        given = json.loads(read_text(file, "a prompting"))
    except ValueError as error:
        raise UsageError(f'{file} is no JSON, such as {{"rules": "..."}}: {error}.') from error
    if not isinstance(given, dict):
        raise UsageError(f'{file} must hold one JSON object, such as {{"rules": "..."}}.')
    return given
