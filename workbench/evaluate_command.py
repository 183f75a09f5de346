"""`workbench eval`: a model measured on held-out worksheets, on each set of the embedded model's world, or on all.

In: a model, seeds. Out: a table, or JSON; with `--report`, a page and a notebook. Below: `evaluate`, `evaluate_sets`,
`evaluate_report`. Above: `cli`, which hangs the commands in.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from workbench.command_options import AsJson, Layout, Model
from workbench.errors import UsageError
from workbench.models import EMBEDDED, load_engine
from workbench.visible import visible

if TYPE_CHECKING:
    from workbench.evaluate_sets import SetReport

evaluation = typer.Typer(no_args_is_help=True, help="Measure a model.")

Seeds = Annotated[str, typer.Option(help="Held-out generator seeds, from:to (to is not included).")]

ABOUT = {
    "single": "Single calls, 4 to 6 items, 2 workers.",
    "plans": "Plans of 2 to 4 dependent calls, and second rounds.",
    "typed": "Questions typed in a hurry: sums such as (3+4)*2, several in one line, no capitals and marks.",
    "unseen": "Tools that training never showed, against tools that it did.",
    "retrieved": "Only the 8 tools that the library finds, of more than 300.",
    "concepts": "Questions that need a concept, with the concepts in the prompt and without.",
    "misled": "Irrelevant concepts beside the needed ones.",
    "crowd": "12 items for 1, 2, 4 and 8 workers: speed-up, items claimed twice.",
    "layouts": "Single calls by 2 workers in each layout: items claimed twice.",
    "lines": "A person says in mid-run that an item is not needed, or adds one.",
    "long": "30 items: a context of some 4,000 tokens.",
    "outside": "Questions that no tool answers, and questions about other items' answers.",
}
"""The sets, as the help shows them; found without importing torch. A test holds them to `evaluate_sets.SETS`."""


@evaluation.command()
def worksheets(
    seeds: Seeds = "0:50",
    workers: Annotated[int, typer.Option("--workers", "-n", help="How many.")] = 2,
    layout: Layout = "contiguous",
    model: Model = EMBEDDED,
    memory: Annotated[
        str, typer.Option(help="none, fixed or continual: with the library, against without it.")
    ] = "none",
    as_json: AsJson = False,
    report: Annotated[
        Path | None, typer.Option(help="Measure speed-up, layouts and unseen tools too; write a page with plots here.")
    ] = None,
) -> None:
    """Held-out worksheets of 4 to 6 items: how many items come out right, in how many steps."""
    if report is not None:
        _report(report, seeds, model, as_json)
        return
    from workbench.evaluate import evaluate_worksheets
    from workbench.evaluate_memory import evaluate_memory
    from workbench.run_settings import check

    defaults: dict[str, Any] = {"max_tokens": None, "max_run_tokens": None, "temperature": 0.0}
    check({"workers": workers, "layout": layout, "memory": memory, **defaults})
    chosen = read_seeds(seeds)
    engine = load_engine(model)
    with Bar("worksheets", len(chosen) * (1 if memory == "none" else 2), hidden=as_json) as bar:
        if memory == "none":
            found = evaluate_worksheets(engine, chosen, workers=workers, layout=layout, progress=bar)
        else:
            found = evaluate_memory(engine, chosen, memory, workers=workers, layout=layout, progress=bar)
    if as_json:
        print(json.dumps(found))
        return
    table = Table("figure", "value", title=f"{len(chosen)} held-out worksheets, {workers} workers, {layout}")
    for name, value in found.items():
        table.add_row(name, str(value))
    Console().print(table)


@evaluation.command()
def problems(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .csv or .jsonl with the fields question and answer.")],
    workers: Annotated[int, typer.Option("--workers", "-n", help="How many.")] = 2,
    layout: Layout = "contiguous",
    model: Model = EMBEDDED,
    seed: Annotated[int, typer.Option(help="Of what is random, where the temperature is not 0.")] = 0,
    temperature: Annotated[float, typer.Option(help="0 is greedy.")] = 0.0,
    max_tokens: Annotated[int | None, typer.Option(help="Tokens per worker.")] = None,
    tools: Annotated[
        str, typer.Option(help="builtin, standard, or names of tools (the library's too), with commas.")
    ] = "builtin",
    memory: Annotated[str, typer.Option(help="none, fixed or continual: what a run knows of the library.")] = "fixed",
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: layers over all GPUs.")] = "cpu",
    contains: Annotated[
        bool, typer.Option("--contains", help="An answer is right where it holds the known one.")
    ] = False,
    at_once: Annotated[int, typer.Option(help="So many runs at the same time.")] = 4,
    as_json: AsJson = False,
) -> None:
    """Your own problems with known answers: each is a run of the log, and judged."""
    from workbench.evaluate_problems import Interrupted, holds, problems_of
    from workbench.session import Workbench

    chosen = problems_of(file)
    bench = Workbench(
        model, workers, layout, seed, max_tokens, temperature=temperature, device=device, tools=tools.split(","),
        memory=memory, approve="none",
    )  # fmt: skip
    stopped = None
    try:
        with bench, Bar("problems", len(chosen), hidden=as_json) as bar:
            found = bench.evaluate(chosen, check=holds if contains else None, at_once=at_once, progress=bar)
    except Interrupted as interruption:
        found, stopped = interruption.evaluation, interruption
    print(json.dumps(found.to_json(), ensure_ascii=False) if as_json else visible(str(found)))
    if stopped is not None:
        print(stopped, file=sys.stderr)
        raise stopped


@evaluation.command("all")
def every_set(seeds: Seeds = "0:300", model: Model = EMBEDDED, as_json: AsJson = False) -> None:
    """All sets, one after the other."""
    _measure(list(ABOUT), seeds, model, as_json)


def _command(name: str) -> Callable[..., None]:
    def measure(seeds: Seeds = "0:300", model: Model = EMBEDDED, as_json: AsJson = False) -> None:
        _measure([name], seeds, model, as_json)

    return measure


for _name, _about in ABOUT.items():
    evaluation.command(_name, help=_about)(_command(_name))


def _measure(names: list[str], seeds: str, model: str, as_json: bool) -> None:
    from workbench.evaluate_sets import SETS, evaluate_set

    chosen = read_seeds(seeds)
    engine = load_engine(model)
    reports = []
    for name in names:
        with Bar(name, len(chosen) * len(SETS[name].cases), hidden=as_json) as bar:
            report = evaluate_set(engine, name, chosen, bar)
        reports.append(report)
        if not as_json:
            Console().print(table_of(report))
    if as_json:
        found = [report.to_json() for report in reports]
        print(json.dumps(found if len(names) > 1 else found[0]))


def _report(folder: Path, seeds: str, model: str, as_json: bool) -> None:
    from workbench.evaluate_report import PARTS, gather, prepared, write
    from workbench.evaluate_sets import SETS

    chosen, target = read_seeds(seeds), prepared(folder)
    engine = load_engine(model)
    with Bar("report", len(chosen) * sum(len(SETS[part].cases) for part in PARTS), hidden=as_json) as bar:
        data = gather(engine, model, chosen, bar)
    page, notebook = write(data, target)
    print(json.dumps(data) if as_json else f"{page}\n{notebook}")


def table_of(report: SetReport) -> Table:
    """A set's figures for a terminal."""
    title = f"{report.set}: {ABOUT[report.set]} {report.worksheets} worksheets"
    table = Table("figure", "value", "95 % interval", "n", "bar", "", title=title, title_justify="left")
    for one in report.figures:
        verdict = "" if one.holds is None else "reached" if one.holds else "missed"
        table.add_row(one.name, f"{one.value:.3f}", f"{one.low:.3f} to {one.high:.3f}", str(one.num), one.bar, verdict)
    return table


class Bar:
    """A progress bar on the error stream; called with how many worksheets are done."""

    def __init__(self, name: str, total: int, *, hidden: bool) -> None:
        from rich.progress import Progress

        self._progress = Progress(console=Console(stderr=True), transient=True, disable=hidden)
        self._task = self._progress.add_task(name, total=total)

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, done: int) -> None:
        self._progress.update(self._task, completed=done)


def read_seeds(text: str) -> range:
    """What `--seeds` says; raises UsageError."""
    first, _, last = text.partition(":")
    if not (first.isdigit() and last.isdigit() and int(first) < int(last)):
        raise UsageError(f"--seeds takes from:to with from below to, such as 0:200; it is {text!r}.")
    return range(int(first), int(last))
