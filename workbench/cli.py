"""The command line: `workbench run`, `runs`, `tools`, `concepts`, `plan`, `engine`, `mcp`, `models`, `eval`, `bench`,
`doctor`.

In: what a person types. Out: what the command prints, and an exit code: 0 solved, 1 ended without an answer, 2 bad
usage, 130 interrupted. Errors are one sentence; `--debug` shows the traceback. Neighbours: the files `*_command.py` and
`*_commands.py`, one for each command or group; `entry`, which calls `main`.
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
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from memory.errors import LibraryError, LibraryUnavailable
from toolsets.errors import ToolsetError
from workbench.bench_command import bench
from workbench.command_options import AsJson
from workbench.complaints import complain, warned
from workbench.doctor_command import doctor
from workbench.engine_command import engine
from workbench.errors import LogError, UsageError, WorkbenchError
from workbench.evaluate_command import evaluation
from workbench.library_commands import commands
from workbench.making_commands import add_making
from workbench.mcp_command import mcp
from workbench.memory_commands import add_remembering
from workbench.models import EMBEDDED, embedded_directory
from workbench.plan_command import plan
from workbench.retrieval_command import retrieval
from workbench.run_command import run
from workbench.runs_commands import runs

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
tools, concepts = commands("tool"), commands("concept")
add_making(tools)
add_remembering(tools, concepts)
evaluation.command()(retrieval)
for _group, _name in ((runs, "runs"), (evaluation, "eval"), (tools, "tools"), (concepts, "concepts")):
    app.add_typer(_group, name=_name)
for _command in (run, plan, bench, engine, mcp, doctor):
    app.command()(_command)


@app.callback()
def options(debug: Annotated[bool, typer.Option(help="Show tracebacks.")] = False) -> None:
    """Several LLM workers on one shared KV cache: start them, watch them, keep what they did and learnt.

    Exit codes: 0 solved, 1 ended without an answer, 2 wrong usage, 130 interrupted (the log is complete in every case).
    """
    if debug:
        os.environ["WORKBENCH_DEBUG"] = "1"


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
