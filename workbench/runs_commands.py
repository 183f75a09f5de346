"""`workbench runs ...`: the runs that are kept in the log, looked at, proved, gone on with, exported.

In: a run's id, or how it begins. Out: lines, a view or, with `--json`, one JSON value; a fork and a resumed run are
shown to their end, with the exit codes of `workbench run`. Neighbours: `log` keeps the runs, `run_command` shows one
that goes on, `replay`, `comparing` and `export` do the work; `cli` registers the group.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from workbench.breakpoints import of_options
from workbench.command_options import AsJson, BreakAtEnd, BreakAtStep, BreakBefore, BreakOn, RunId
from workbench.keys import is_interactive
from workbench.live import LiveView, trees
from workbench.log import RunLog
from workbench.run_command import lab_command, leave, run_json, see_through
from workbench.runs_table import Runs
from workbench.visible import one_line, visible

if TYPE_CHECKING:
    from workbench.session import Run

runs = typer.Typer(no_args_is_help=True, help="Runs that are kept in the log.")


@runs.command("list")
def list_runs(
    search: Annotated[str, typer.Option(help="Only runs with this in their id, task, model, status or answer.")] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many.")] = None,
    sort: Annotated[str, typer.Option(metavar="COLUMN", help="Such as tokens_per_s; the greatest first.")] = "",
    as_json: AsJson = False,
) -> None:
    """All runs, newest first; with --json all their figures."""
    log = RunLog()
    found = Runs.of(log, search, None if sort else limit)
    found = found.sort(sort, reverse=True)[:limit] if sort else found
    if as_json:
        summaries = {one.run_id: asdict(one) for one in log.runs(limit=-1)}
        print(json.dumps([{**row, **summaries.get(row["run_id"], {})} for row in found.to_json()], ensure_ascii=False))
        return
    # A run's id is what the other commands ask for: it is never cut, and where no terminal is, nothing is.
    id_width = max((len(one.run_id) for one in found), default=0)
    whole, cut = Column("run", min_width=id_width, no_wrap=True), Column("task", no_wrap=True)
    table = Table(whole, "status", "steps", "tokens", "calls", "seconds", "model", cut)
    for one in found:
        task, seconds = one_line(one.task, 60), "" if one.wall_s is None else f"{one.wall_s:.1f}"
        calls = "" if one.calls is None else str(one.calls)
        figures = (str(one.steps), str(one.tokens), calls, seconds)
        table.add_row(one.run_id, one.status, *figures, one_line(one.model, 24), task)
    console = Console()
    if not console.is_terminal:
        console.width = id_width + 150
    console.print(table if found else "There are no runs yet: start one with workbench run.", markup=False)


@runs.command()
def show(run_id: RunId, as_json: AsJson = False) -> None:
    """A run as it is in the log."""
    log = RunLog()
    found = log.find(run_id)
    if as_json:
        print(json.dumps(asdict(log.summary(found)), ensure_ascii=False))
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
    break_before: BreakBefore = None,
    break_at_step: BreakAtStep = None,
    break_on: BreakOn = None,
    break_at_end: BreakAtEnd = False,
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
            break_at=of_options(break_before, break_at_step, break_on, break_at_end),
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
    how = others.get(written.suffix, f"Open it with: {lab_command()} {written}")
    print(f"The run is in {written}. {how}")


@runs.command()
def delete(run_id: RunId) -> None:
    """Remove a run from the log, for good."""
    log = RunLog()
    found = log.find(run_id)
    log.delete(found)
    print(f"Deleted {found}.")


def _watch(begun: Run, as_json: bool) -> None:
    """Show a run to its end; the exit codes are those of `workbench run`."""
    interrupted = see_through(begun, as_json, "ask" if is_interactive() and not as_json else "none")
    if begun._error is not None:
        raise begun._error
    print(json.dumps(run_json(begun), ensure_ascii=False) if as_json else f"This is run {begun.id}.")
    leave(begun, interrupted)
