"""`workbench bench`: how fast a model runs on this machine, what bounds it, and what one more worker would cost.

In: a model. Out: a table with a roofline, or one JSON object. Neighbours: `measuring` measures, `cli` registers this.
"""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from workbench.command_options import AsJson, Model
from workbench.errors import UsageError
from workbench.models import EMBEDDED

CONTEXTS = "128,1024"


def bench(
    model: Model = EMBEDDED,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    workers: Annotated[str, typer.Option(help="How many workers, with commas.")] = "1,2,4,8",
    contexts: Annotated[str, typer.Option(help="Tokens of shared context, with commas.")] = CONTEXTS,
    as_json: AsJson = False,
) -> None:
    """Measure tokens per second, and how near a step is to what the memory allows."""
    counts, lengths = _numbers(workers, "--workers"), _numbers(contexts, "--contexts")
    from workbench.measuring import measure, one_more, plot
    from workbench.models import load_engine

    engine = load_engine(model, device)
    points = list(measure(engine, counts, lengths))
    if not points:
        raise UsageError(
            f"The model knows {engine.facts.max_positions:,} positions, fewer than any of the contexts needs; "
            "name shorter ones."
        )
    if as_json:
        copy = points[0].copy_bytes_per_s / 1e9
        print(json.dumps({"model": model, "copy_gb_per_s": copy, "points": [point.as_dict() for point in points]}))
        return
    console = Console()
    table = Table("workers", "context", "step, ms", "tokens/s", "GB/s", "of roof", "bound by")
    for point in points:
        table.add_row(
            f"{point.workers}",
            f"{point.context:,}",
            f"{point.step_s * 1e3:.2f}",
            f"{point.tokens_per_s:.1f}",
            f"{point.bytes_per_s / 1e9:.1f}",
            f"{point.of_roof:.0%}",
            point.bound,
        )
    console.print(table)
    console.print(f"A copy moves {points[0].copy_bytes_per_s / 1e9:.1f} GB/s here; the roof is that.", highlight=False)
    for line in (*plot(points), "", *one_more(points)):
        console.print(line, highlight=False, soft_wrap=True)


def _numbers(text: str, option: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and 0 < int(part) < 1 << 24 for part in parts):
        raise UsageError(f"{option} takes whole numbers with commas, such as 1,2,4; it was '{text[:40]}'.")
    return sorted({int(part) for part in parts})
