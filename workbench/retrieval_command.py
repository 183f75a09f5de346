"""`workbench eval retrieval`: how well tools are found, on a folder in CRAFT's format or on the project's own set.

In: what a person types. Out: recall at 1, 3 and 10 for each view alone, for CRAFT's vote, for the fusion of cosines,
for BM25 and for the default, as tables or, with `--json`, as one JSON object. Neighbours: `memory.evaluation` measures,
`cli` registers.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from workbench.command_options import AsJson
from workbench.errors import UsageError
from workbench.visible import visible

if TYPE_CHECKING:
    from memory.evaluation import Report


def retrieval(
    craft: Annotated[
        Path | None, typer.Option(help="A folder that CRAFT's pipeline made; by default the project's own set.")
    ] = None,
    expand: Annotated[
        str | None, typer.Option(help="code: ask with the name and docstring of the specific solution too.")
    ] = None,
    embedder: Annotated[
        str | None, typer.Option(help="A folder or hub id of another embedding model than the packaged one.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """How well tools are found: recall by view, by CRAFT's vote, by the fusion, and by the default."""
    from memory.embedder import SentenceEmbedder
    from memory.evaluation import evaluate, evaluate_craft
    from memory.evaluation_set import own_set

    if expand not in (None, "code"):
        raise UsageError(f"--expand takes code, the query's own solution; it is {expand!r}.")
    if expand and craft is None:
        raise UsageError("--expand code needs --craft: the queries of the project's own set have no solutions.")
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=as_json or not console.is_terminal) as bar:
        task = bar.add_task("embedding", total=None)

        def told(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        model = SentenceEmbedder(embedder)
        if craft is None:
            reports = [evaluate(own_set("test"), model, progress=told)]
        else:
            reports = evaluate_craft(craft, model, expand=expand == "code", progress=told)
    if as_json:
        print(json.dumps({"sets": [_json(report) for report in reports]}, ensure_ascii=False))
    else:
        print(visible("\n\n".join(report.table() for report in reports)))


def _json(report: Report) -> dict[str, Any]:
    from memory.evaluation import RECALL_AT

    recall = {one.way: dict(zip(map(str, RECALL_AT), one.at, strict=True)) for one in report.recalls}
    return {"name": report.name, "rows": report.rows, "queries": report.recalls[0].queries, "recall": recall}
