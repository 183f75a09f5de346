"""`workbench tools build`: tools made from a file of problems, with any chat endpoint, the CRAFT way.

In: what a person types. Out: a table of what each stage cost and yielded, and the tools that were proposed, or, with
`--json`, one JSON object. A build that was stopped says how it goes on. Neighbours: `toolsets.making` does the work,
`library_commands` has the verbs by which the proposals are looked at and decided, `making_commands` registers.
"""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from memory.values import Row
from toolsets.chat import KEY_VARIABLE, TIMEOUT_S, ChatError, Usage
from toolsets.making import PARALLEL, TRIES
from workbench.command_options import AsJson, Endpoint, EndpointModel
from workbench.errors import UsageError
from workbench.libraries import Libraries
from workbench.paths import data_dir
from workbench.visible import one_line, visible

if TYPE_CHECKING:
    from toolsets.making.book import Figures
    from toolsets.making.build import Built
    from toolsets.making.journal import Journal, Record


def build_tools(
    file: Annotated[
        Path | None, typer.Argument(metavar="PROBLEMS", help="A .csv or .jsonl with question and answer.")
    ] = None,
    endpoint: Endpoint = None,
    model: EndpointModel = None,
    resume: Annotated[str | None, typer.Option(metavar="ID", help="Go on with a build that was stopped.")] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="So many problems, the most diverse; by default all.")
    ] = None,
    tries: Annotated[int, typer.Option(min=1, max=10, help="How often the model may write one thing.")] = TRIES,
    parallel: Annotated[int, typer.Option(min=1, max=64, help="How many replies at once.")] = PARALLEL,
    price: Annotated[
        tuple[float, float] | None, typer.Option(help="Of a million tokens in, and out, where the endpoint tells none.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds that the endpoint may be silent.")] = TIMEOUT_S,
    key_variable: Annotated[str, typer.Option(help="The environment variable that holds the key.")] = KEY_VARIABLE,
    as_json: AsJson = False,
) -> None:
    """Make tools from problems with known answers, by a model, and propose them."""
    # Here, and not above, because every command imports this file.
    from memory.embedder import encode_checked
    from toolsets.endpoint import ChatEndpoint, Prices
    from toolsets.making.build import build

    folder = data_dir() / "builds"
    prices = None if price is None else Prices(*price)
    with _journal(folder, file, endpoint, model, resume, limit, tries) as journal:
        told = journal.head.settings
        wanted = (endpoint or told["endpoint"], model or told["model"])
        with (
            ChatEndpoint(*wanted, key_variable=key_variable, prices=prices, timeout_s=timeout) as chat,
            Libraries() as home,
        ):
            try:
                with _progress(journal, as_json) as tell:
                    built = build(
                        journal,
                        chat,
                        home.library,
                        lambda texts: encode_checked(home.embedder, texts),
                        parallel=parallel,
                        tell=tell,
                    )
            except (ChatError, KeyboardInterrupt):
                print(f"What was done is kept: workbench tools build --resume {journal.head.build}", file=sys.stderr)
                raise
    print(json.dumps(_json(built), ensure_ascii=False)) if as_json else _tell(built)


def _journal(
    folder: Path,
    file: Path | None,
    endpoint: str | None,
    model: str | None,
    resume: str | None,
    limit: int | None,
    tries: int,
) -> Journal:
    from toolsets.endpoint import ChatEndpoint
    from toolsets.making.journal import Head, Journal
    from toolsets.making.problems import read_problems

    if resume is not None:
        if file is not None:
            raise UsageError("A build goes on with the problems that it was begun with: leave the file out.")
        return Journal.resume(folder, resume)
    if file is None or endpoint is None or model is None:
        raise UsageError("Give a file of problems, --endpoint and --model; or --resume with the id of a build.")
    problems = read_problems(file)
    ChatEndpoint(endpoint, model).close()  # what is wrong with the address is said before anything is begun
    settings = {"endpoint": endpoint, "model": model, "limit": limit, "tries": tries, "file": file.name}
    return Journal.begin(folder, Head(uuid.uuid4().hex[:8], tuple(problems), settings))


@contextmanager
def _progress(journal: Journal, quiet: bool) -> Iterator[Any]:
    """Where a person looks on, one moving line: the stage, and what has been spent."""
    with Progress(console=Console(stderr=True), transient=True, disable=quiet) as bar:
        line = bar.add_task(f"build {journal.head.build}", total=None)
        spent = sum((one.usage for one in journal.records if one.usage is not None), Usage())

        def tell(record: Record) -> None:
            nonlocal spent
            spent = spent + record.usage if record.usage is not None else spent
            bar.update(line, description=f"build {journal.head.build}: {record.stage}, {_tokens(spent)} tokens")

        yield tell


def _tell(built: Built) -> None:
    table = Table("stage", "came", "passed", "tokens in", "tokens out", "cost", "seconds", title=f"build {built.build}")
    for one in built.figures:
        usage = one.usage
        spent = (str(usage.tokens_in), str(usage.tokens_out), _cost(usage)) if usage.replies else ("", "", "")
        table.add_row(one.stage, str(one.came), str(one.passed), *spent, f"{one.wall_s:.1f}")
    whole = _whole(built.figures)
    table.add_row("all", "", "", str(whole.tokens_in), str(whole.tokens_out), _cost(whole), "", style="bold")
    Console().print(table, markup=False)
    if not whole.counted:
        print("The endpoint counts no tokens: they are guessed from the length of the texts.")
    for record in built.ended:
        print(f"problem {record.problem + 1} ended at {record.stage}: {one_line(record.why, 160)}")
    for row in built.rows:
        count = row.snapshot.provenance["evidence"]["problems"]
        solved = "its problem" if count == 1 else f"its {count} problems"
        print(f"\n{row.state} {row.name} ({row.row_id}): solves {solved} again")
        print("\n".join(f"    {line}" for line in visible(row.content["code"]).splitlines()))
    if built.rows:
        print(
            f"\nLook at one with workbench tools show {built.rows[0].name}, then approve or reject it; workbench tools "
            "dedupe compares them with the rest of the library."
        )
    else:
        print("No tool came of it.")


def _json(built: Built) -> dict[str, Any]:
    return {
        "build": built.build,
        "stages": [one.json() for one in built.figures],
        "proposed": [_row_json(row) for row in built.rows],
        "ended": [{"problem": one.problem + 1, "stage": one.stage, "why": one.why} for one in built.ended],
    }


def _row_json(row: Row) -> dict[str, Any]:
    evidence = row.snapshot.provenance["evidence"]
    return {"id": row.row_id, "name": row.name, "state": row.state, "code": row.content["code"], **evidence}


def _whole(figures: Sequence[Figures]) -> Usage:
    return sum((one.usage for one in figures), Usage())


def _tokens(usage: Usage) -> str:
    return f"{usage.tokens_in + usage.tokens_out:,}"


def _cost(usage: Usage) -> str:
    return "unknown" if usage.cost is None else f"{usage.cost:.4f}"
