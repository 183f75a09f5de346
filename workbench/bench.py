"""`make bench`: speed, each figure measured inside one process on one machine, with its spread.

In: names of groups, by default all of them. Out: a table, and a line in a history file. Two sides of a ratio are timed
in turn, again and again, so that whatever else the machine does falls on both; the value is the median over the
rounds, its spread the quartiles. Neighbours: the files `bench_*` measure, `bench_rows` says how.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from workbench import bench_engine, bench_panel, bench_papers, bench_plans, bench_sandbox, bench_stream
from workbench.bench_rows import Row

HISTORY = Path("bench.jsonl")
GROUPS: Final[dict[str, Callable[[bool], Iterator[Row]]]] = {
    "start": bench_engine.start,
    "engine": bench_engine.rows,
    "papers": bench_papers.rows,
    "plans": bench_plans.rows,
    "sandbox": bench_sandbox.rows,
    "stream": bench_stream.rows,
    "panel": bench_panel.rows,
}
"""By name, in the order in which they run; each is told whether it has to be quick."""


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Speed, measured in one process.")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, smaller contexts")
    parser.add_argument("--only", type=_groups, default=list(GROUPS), help=f"of {', '.join(GROUPS)}; with commas")
    parser.add_argument("--history", type=Path, default=HISTORY)
    args = parser.parse_args(arguments)
    console, table = Console(), Table("figure", "value", "quartiles", "bar", "")
    found = []
    for one in (one for group in args.only for one in GROUPS[group](args.quick)):
        console.print(f"{one.name}: {one.value} ({one.low} to {one.high}), bar {one.bar}", highlight=False)
        console.print(f"    {one.explanation}", style="dim", highlight=False)
        table.add_row(one.name, f"{one.value}", f"{one.low} to {one.high}", one.bar, "" if one.holds else "missed")
        found.append(one)
    console.print(table)
    with args.history.open("a", encoding="utf-8") as history:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S")
        history.write(json.dumps({"time": stamp, "rows": [asdict(one) for one in found]}) + "\n")
    console.print(f"Kept in {args.history}.", highlight=False)


def _groups(text: str) -> list[str]:
    named = [name.strip() for name in text.split(",") if name.strip()]
    if not named or not set(named) <= set(GROUPS):
        raise argparse.ArgumentTypeError(f"{text!r}: name some of {', '.join(GROUPS)}, with commas between them.")
    return named


if __name__ == "__main__":
    main()
