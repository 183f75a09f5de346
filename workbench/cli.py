"""The command line: `workbench run`, `runs`, `tools`, `concepts`, `plan`, `engine`, `mcp`, `models`, `eval`, `bench`,
`doctor`.

In: what a person types. Out: a live view, plain lines or one JSON object, and an exit code: 0 solved, 1 ended without
an answer, 2 bad usage, 130 interrupted. Errors are one sentence; `--debug` shows the traceback. Neighbours: `session`,
`live`, `log`, `export`, `evaluate_command`, `plan_command`, `library_commands`.
"""

from __future__ import annotations

import codecs
import errno
import io
import json
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table

from memory.errors import LibraryError, LibraryUnavailable
from toolsets.errors import ToolsetError
from workbench.bench_command import bench
from workbench.complaints import complain, warned
from workbench.doctor_command import doctor
from workbench.engine_command import engine
from workbench.errors import LogError, RunNotFound, UsageError, WorkbenchError
from workbench.evaluate_command import evaluation
from workbench.export_place import checked
from workbench.keys import is_interactive, keys
from workbench.library_commands import commands
from workbench.live import LiveView, trees
from workbench.log import RunLog
from workbench.making_commands import add_making
from workbench.mcp_command import mcp
from workbench.memory_commands import add_remembering
from workbench.models import EMBEDDED, REFUSAL, embedded_directory, is_embedded
from workbench.plan_command import failure_policy, plan
from workbench.recall import CONCEPTS
from workbench.retrieval_command import retrieval
from workbench.steering import MAX_WORKERS
from workbench.texts import read_text
from workbench.visible import one_line, visible

if TYPE_CHECKING:
    from workbench.session import Run

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
runs = typer.Typer(no_args_is_help=True, help="Runs that are kept in the log.")
app.add_typer(runs, name="runs")
app.add_typer(evaluation, name="eval")
tools = commands("tool")
add_making(tools)
app.add_typer(tools, name="tools")
concepts_app = commands("concept")
add_remembering(tools, concepts_app)
app.add_typer(concepts_app, name="concepts")
app.command()(plan)
app.command()(bench)
app.command()(engine)
app.command()(mcp)
app.command()(doctor)

evaluation.command()(retrieval)

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")]
Model = Annotated[str, typer.Option("--model", "-m", help="embedded, a model directory, or a hub id.")]
Layout = Annotated[str, typer.Option(help="contiguous, interleaved, combined or independent.")]
Mcp = Annotated[Path | None, typer.Option("--mcp", help="Offer the tools of the MCP servers in this file too.")]
Memory = Annotated[str, typer.Option(help="none, fixed or continual: what a run knows of the library.")]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or how it begins.")]


@app.callback()
def options(debug: Annotated[bool, typer.Option(help="Show tracebacks.")] = False) -> None:
    """Several LLM workers on one shared KV cache: start them, watch them, keep what they did and learnt.

    Exit codes: 0 solved, 1 ended without an answer, 2 wrong usage, 130 interrupted (the log is complete in every case).
    """
    if debug:
        os.environ["WORKBENCH_DEBUG"] = "1"


@app.command()
def run(
    task: Annotated[str | None, typer.Argument(metavar="TASK", help="The task, in quotes.")] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Read the task from a file; - for input.")] = None,
    workers: Annotated[int, typer.Option("--workers", "-n", help=f"How many, 1 to {MAX_WORKERS}.")] = 2,
    layout: Layout = "contiguous",
    model: Model = EMBEDDED,
    seed: Annotated[int, typer.Option(help="Of what is random, where the temperature is not 0.")] = 0,
    max_tokens: Annotated[int | None, typer.Option(help="Tokens per worker.")] = None,
    temperature: Annotated[float, typer.Option(help="0 is greedy.")] = 0.0,
    attention: Annotated[bool, typer.Option(help="Log how much workers look at each other.")] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: layers over all GPUs.")] = "cpu",
    tensor_parallel: Annotated[
        int, typer.Option(metavar="N", help="Share the model out among N processes, one for each GPU.")
    ] = 1,
    memory: Memory = "fixed",
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
    async_tools: Annotated[bool, typer.Option("--async-tools", help="Workers go on while their calls run.")] = False,
    approve: Annotated[
        str | None, typer.Option(help="Calls that need your word: ask, all or none; ask in a terminal, else none.")
    ] = None,
    call_timeout: Annotated[float | None, typer.Option(help="Seconds for one call.")] = None,
    on_failure: Annotated[
        str | None, typer.Option(help="After a failed call: skip what needs it, pass it the error, or stop its plan.")
    ] = None,
    unsafe_tool: Annotated[
        list[str] | None, typer.Option(help="A tool whose code may run where nothing isolates it.")
    ] = None,
    mcp_file: Mcp = None,
) -> None:
    """Let several workers solve a task together."""
    from toolsets.policy import CallPolicy
    from workbench.session import Workbench

    text = _task(task, file)
    if notebook is not None:
        checked(notebook)
    policy = CallPolicy(timeout_s=call_timeout, on_failure=failure_policy(on_failure))
    asks = approve or ("ask" if is_interactive() and not as_json else "none")
    bench = Workbench(
        model, workers, layout, seed, max_tokens, attention=attention, temperature=temperature, device=device,
        tools=tools.split(","), front=front, prompting=None if prompting is None else _words(prompting),
        guided_calls=not free_calls, async_tools=async_tools, approve=asks,  # type: ignore[arg-type]
        policy=None if policy == CallPolicy() else policy, unsafe_tools=unsafe_tool or (),
        mcp=mcp_file, memory=memory, concepts=concepts, tensor_parallel=tensor_parallel,
    )  # fmt: skip
    started = bench.run(text)
    interrupted = _see_through(started, as_json, asks)
    bench.close()
    if started._error is not None:
        raise started._error
    if as_json:
        print(json.dumps(_summary(started), ensure_ascii=False))
    if notebook is not None:
        written = started.export(notebook)
        if not as_json:
            print(f"The run is in {written}. Open it with: {_lab()} {written}")
    if not as_json and is_embedded(model) and any(item["answer"] == REFUSAL for item in started.items):
        print(
            "The embedded model answers what its tools can answer (numbers, dates, words, units: workbench tools list) "
            "and nothing else; --model takes any other one."
        )
    _leave(started, interrupted)


def _see_through(started: Run, as_json: bool, asks: str = "none") -> bool:
    """Show a run to its end. Returns whether it was interrupted."""
    interrupted = False
    view = LiveView(
        Console(file=sys.stderr, quiet=True) if as_json else None, plain=True if as_json else None, errors=False
    )
    if as_json:
        view.console.file = open(os.devnull, "w")  # noqa: SIM115 - lives as long as the process
    with keys(partial(_decide, started)) if asks == "ask" else nullcontext(), view:
        try:
            view.watch(started.events())
        except KeyboardInterrupt:
            interrupted = True
            if "TORCHELASTIC_RUN_ID" in os.environ:  # torchrun sends it once more
                signal.signal(signal.SIGINT, signal.SIG_IGN)
            started.stop()
            view.watch(started.events(since=view.view.seq))
    started.wait()
    return interrupted


def _leave(ended: Run, interrupted: bool) -> None:
    """With the exit code that says how the run ended."""
    if interrupted:
        raise typer.Exit(130)
    if ended.status != "solved":
        raise typer.Exit(1)


def _decide(run: Run, key: str) -> None:
    """A key of the person who watches: y or n, about the call that has waited longest."""
    if key.lower() in ("y", "n") and (pending := run.pending):
        with suppress(UsageError):  # it has just ended
            (run.approve if key.lower() == "y" else run.reject)(pending[0].call, by="terminal")


@runs.command("list")
def list_runs(as_json: AsJson = False) -> None:
    """All runs, newest first."""
    found = RunLog().runs()
    if as_json:
        print(json.dumps([_plain(summary) for summary in found], ensure_ascii=False))
        return
    # A run's id is what the other commands ask for: it is never cut, and where no terminal is, nothing is.
    id_width = max((len(one.run_id) for one in found), default=0)
    whole, cut = Column("run", min_width=id_width, no_wrap=True), Column("task", no_wrap=True)
    table = Table(whole, "status", "steps", "tokens", "model", cut)
    for one in found:
        task = one_line(one.task, 60)
        table.add_row(one.run_id, one.status, str(one.steps), str(one.tokens), one_line(one.model, 24), task)
    console = Console()
    if not console.is_terminal:
        console.width = id_width + 130
    console.print(table if found else "There are no runs yet: start one with workbench run.", markup=False)


@runs.command()
def show(run_id: RunId, as_json: AsJson = False) -> None:
    """A run as it is in the log."""
    log = RunLog()
    found = log.find(run_id)
    if as_json:
        print(json.dumps(_plain(log.summary(found)), ensure_ascii=False))
        return
    with LiveView(plain=True) as view:
        view.watch(log.events(found))
    for line in trees(view.view, at_most=1):
        print(line)


@runs.command()
def follow(run_id: RunId) -> None:
    """Watch a run that another process drives."""
    log = RunLog()
    with LiveView() as view:
        view.watch(log.follow(log.find(run_id)))


@runs.command()
def prove(run_id: RunId, as_json: AsJson = False) -> None:
    """Replay a run: does the same model choose every token again? Exit code 0 if it does, 1 if it does not."""
    from workbench.replay import prove

    log = RunLog()
    proof = prove(log.events(log.find(run_id)))
    print(json.dumps(proof.to_json(), ensure_ascii=False) if as_json else visible(str(proof)))
    raise typer.Exit(0 if proof else 1)


@runs.command()
def fork(
    run_id: RunId,
    step: Annotated[int | None, typer.Option(help="After which step; the last one if left out.")] = None,
    say: Annotated[str, typer.Option(help="Your words, in a worker's block.")] = "",
    worker: Annotated[str | None, typer.Option(help="Whose block; the first worker's if left out.")] = None,
    replace: Annotated[
        tuple[str, str] | None, typer.Option(metavar="WORKER TEXT", help="Put TEXT where WORKER wrote its last words.")
    ] = None,
    temperature: Annotated[float | None, typer.Option(help="Of all workers, from here on.")] = None,
    without_tool: Annotated[list[str] | None, typer.Option(help="A tool whose calls fail from here on.")] = None,
    seed: Annotated[int | None, typer.Option(help="All random numbers begin again.")] = None,
    as_json: AsJson = False,
) -> None:
    """Begin a new run with the state of a run after a step, change something, and go on."""
    from workbench.session import Workbench

    log = RunLog()
    with Workbench(log.summary(log.find(run_id)).model, engine="auto") as bench:
        begun = bench.fork(
            run_id, step, say=say, worker=worker, replace=dict([replace]) if replace else None,
            sampling={} if temperature is None else {"temperature": temperature},
            without_tools=without_tool or (), seed=seed,
        )  # fmt: skip
        _watch(begun, as_json)


@runs.command()
def resume(run_id: RunId, as_json: AsJson = False) -> None:
    """Go on with a run whose process was killed, from the last event of its log."""
    from workbench.session import Workbench

    log = RunLog()
    with Workbench(log.summary(log.find(run_id)).model, engine="auto") as bench:
        _watch(bench.resume(run_id), as_json)


@runs.command()
def compare(a: RunId, b: RunId, as_json: AsJson = False) -> None:
    """Two runs, aligned where they part: what differs in each worker, in the answers and in the figures."""
    from workbench.comparing import compare

    log = RunLog()
    found = compare(log.events(log.find(a)), log.events(log.find(b)))
    print(json.dumps(found.to_json(), ensure_ascii=False) if as_json else visible(str(found)))


def _watch(begun: Run, as_json: bool) -> None:
    """Show a run to its end; the exit codes are those of `workbench run`."""
    interrupted = _see_through(begun, as_json)
    if begun._error is not None:
        raise begun._error
    print(json.dumps(_summary(begun), ensure_ascii=False) if as_json else f"This is run {begun.id}.")
    _leave(begun, interrupted)


@runs.command()
def export(
    run_id: RunId, out: Annotated[Path, typer.Argument(metavar="FILE", help="What to write: .ipynb, .html, or .json.")]
) -> None:
    """Write a run as a notebook, as a page that any browser shows, or as an OpenTelemetry trace (.json)."""
    from workbench.export import export_run

    log = RunLog()
    written = export_run(log.events(log.find(run_id)), out)
    others = {
        ".html": "Open it in a browser.",
        ".json": "Send it to a collector of OpenTelemetry (POST /v1/traces), or open it in a viewer of traces.",
    }
    how = others.get(written.suffix, f"Open it with: {_lab()} {written}")
    print(f"The run is in {written}. {how}")


@runs.command()
def delete(run_id: RunId) -> None:
    """Remove a run from the log, for good."""
    log = RunLog()
    found = log.find(run_id)
    log.delete(found)
    print(f"Deleted {found}.")


@app.command()
def models(as_json: AsJson = False) -> None:
    """The models at hand."""
    place = embedded_directory()
    held = [{"model": EMBEDDED, "place": "in the package", "found": (place / "config.json").is_file()}]
    if as_json:
        print(json.dumps(held))
        return
    print(f"{EMBEDDED}: comes with the workbench, solves worksheets{'' if held[0]['found'] else ' (missing!)'}")
    print("Any other: the path of a model directory, or a hub id such as Qwen/Qwen3-4B, which is then downloaded.")


def main() -> None:
    """The console script."""
    warnings.showwarning = warned
    _escape_what_cannot_be_printed()
    try:
        _check_folder()
        with _noting_ctrl_c():
            code = app(standalone_mode=False)
    except WorkbenchError as error:
        if os.environ.get("WORKBENCH_DEBUG"):
            raise
        complain(error)
        sys.exit(error.exit_code)
    except (LibraryError, ToolsetError) as error:
        if os.environ.get("WORKBENCH_DEBUG"):
            raise
        complain(error)
        sys.exit(1 if isinstance(error, LibraryUnavailable) else 2)
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(130)
    except Exception as error:
        # typer's own usage errors know how to show themselves.
        if hasattr(error, "show") and hasattr(error, "exit_code"):
            error.show()
            sys.exit(error.exit_code)
        if os.environ.get("WORKBENCH_DEBUG"):
            raise
        full = isinstance(error, OSError) and error.errno == errno.ENOSPC
        where = f"{type(error).__name__}: {error} (--debug shows where)"
        complain("There is no space for what this prints or writes: free some, or write elsewhere." if full else where)
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


def _escape_what_cannot_be_printed() -> None:
    """A terminal or a pipe may have letters of one alphabet only; the others become \\u escapes, as JSON has them."""

    def escaped(error: UnicodeError) -> tuple[str, int]:
        if not isinstance(error, UnicodeEncodeError):
            raise error
        return json.dumps(error.object[error.start : error.end])[1:-1], error.end

    codecs.register_error("workbench", escaped)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="workbench")


def _check_folder() -> None:
    try:
        os.getcwd()
    except OSError as error:  # libraries end the process where they cannot ask for it
        raise UsageError("The folder that you are in is gone: change to one that exists.") from error


@contextmanager
def _noting_ctrl_c() -> Iterator[None]:
    """Ctrl-C ends what goes on as ever, also where somebody catches it on its way and raises another error, as happens
    while transformers is imported."""
    pressed = False

    def press(number: int, frame: Any) -> None:
        nonlocal pressed
        pressed = True
        signal.default_int_handler(number, frame)

    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, press)
    try:
        yield
    except Exception as error:
        if pressed and not isinstance(error, LogError):
            raise KeyboardInterrupt from error
        raise
    finally:
        if signal.getsignal(signal.SIGINT) is press:
            signal.signal(signal.SIGINT, before)


def _task(task: str | None, file: Path | None) -> str:
    if (task is None) == (file is None):
        raise UsageError("Give a task in quotes, or --file with a task in it: one of the two.")
    if task is not None:
        return task
    assert file is not None
    return read_text(file, "a task")


def _words(file: Path) -> dict[str, Any]:
    """Some fields of a prompting; what they hold is checked with the other settings."""
    try:
        given = json.loads(read_text(file, "a prompting"))
    except ValueError as error:
        raise UsageError(f'{file} is no JSON, such as {{"rules": "..."}}: {error}.') from error
    if not isinstance(given, dict):
        raise UsageError(f'{file} must hold one JSON object, such as {{"rules": "..."}}.')
    return given


def _summary(run: Any) -> dict[str, Any]:
    metrics = run.metrics
    return {"run_id": run.id, "status": run.status, "answer": run.answer, "items": run.items, **metrics}


def _plain(summary: Any) -> dict[str, Any]:
    return {name: getattr(summary, name) for name in summary.__dataclass_fields__}


def _lab() -> str:
    """The command that opens a notebook; JupyterLab refuses to start as root unless it is told so."""
    beside, here = Path(sys.executable).with_name("jupyter"), Path.cwd()
    jupyter = (beside.relative_to(here) if beside.is_relative_to(here) else beside) if beside.exists() else "jupyter"
    return f"{jupyter} lab --allow-root" if os.geteuid() == 0 else f"{jupyter} lab"


__all__ = ["RunNotFound", "app", "main"]
