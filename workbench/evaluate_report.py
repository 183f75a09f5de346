"""The report of `workbench eval worksheets --report`: a page and a notebook with tables and plots.

In: a model and seeds. Out: plain data (`gather`), and from it `report.html`, `report.ipynb`, `report.json` in a folder.
The notebook carries the data and draws itself from them again. Below: `evaluate_sets` measures, `plots` draws.
"""

# mypy: disable-error-code="no-untyped-call"
# (nbformat is typed in part only)
from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from workbench import intervals
from workbench.errors import UsageError
from workbench.evaluate_sets import ALONE, CROWDS, SetReport, evaluate_set
from workbench.export_place import write_whole
from workbench.intervals import Interval
from workbench.models import EMBEDDED, embedded_directory
from workbench.plots import Bar, Point, Series, bar_plot, line_plot
from workbench.static_view import escaped, table_html

if TYPE_CHECKING:
    from hogwild import Engine

PARTS: Final = ("layouts", "crowd", "unseen")
"""The sets that a report measures."""
HEADS: Final = ("figure", "value", "95 % interval", "n", "bar", "")
_CURVES: Final = ("claim", "call", "answer", "joint")


def prepared(folder: Path) -> Path:
    """The folder, made if need be; before anything is measured. Raises UsageError where there can be none."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder} cannot be a folder for the report: name another one.") from error
    return folder


def gather(
    engine: Engine, model: str, seeds: range, progress: Callable[[int], None] = lambda _: None
) -> dict[str, Any]:
    """Measure everything. The result is JSON."""
    reports: dict[str, SetReport] = {}
    done = 0
    for part in PARTS:
        base = done
        reports[part] = evaluate_set(engine, part, seeds, lambda count, base=base: progress(base + count))  # type: ignore[misc]
        done += len(seeds) * len(reports[part].scores)
    crowd, layouts, unseen = reports["crowd"].scores, reports["layouts"].scores, reports["unseen"].scores
    one = [float(score.steps) for score in crowd[ALONE]]
    speed_up = [[1, 1.0, 1.0, 1.0]]
    for workers in CROWDS:
        steps = [float(score.steps) for score in crowd[f"{workers} workers"]]
        speed_up.append([workers, *_rounded(intervals.ratio(one, steps))])
    familiar = {
        "built-in tools": layouts["contiguous"],
        "tools seen in training": unseen["seen"],
        "tools never seen": unseen["unseen"],
    }
    return {
        "model": model,
        "seeds": [seeds.start, seeds.stop],
        "sets": [report.to_json() for report in reports.values()],
        "speed_up": speed_up,
        "claimed_twice": [
            [layout, *_rounded(intervals.share(sum(s.duplicated for s in each), sum(s.items for s in each)))]
            for layout, each in layouts.items()
        ],
        "correct": [
            [name, *_rounded(intervals.share(sum(s.right for s in each), sum(s.items for s in each)))]
            for name, each in familiar.items()
        ],
        "curve": learning_curve(model),
    }


def learning_curve(model: str) -> list[dict[str, float]]:
    """What a training noted on its way: tokens read so far, and loss or shares of right tokens; empty without a log.

    The log lies beside the exported model, as `python -m hogwild.embedded.train` leaves it.
    """
    path = embedded_directory().parent / "training_log.jsonl" if model == EMBEDDED else Path(model).parent / "log.jsonl"
    try:
        notes = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError):
        return []
    curve, before, leg, last = [], 0, None, 0
    for note in notes:
        if note.get("leg") != leg:
            before, leg = before + last, note.get("leg")
        last = note["tokens"]
        kept = {name: note[name] for name in ("loss", *_CURVES) if name in note}
        curve.append({"tokens": before + last, **kept})
    return curve


def plots(data: Mapping[str, Any]) -> dict[str, str]:
    """The report's plots as SVG, by name."""
    measured = [Point(workers, value, low, high) for workers, value, low, high in data["speed_up"]]
    ideal = [Point(point.x, point.x) for point in measured]
    curve = data["curve"]
    losses = Series("loss", [Point(note["tokens"] / 1e6, note["loss"]) for note in curve if "loss" in note])
    shares = [
        Series(name, [Point(note["tokens"] / 1e6, note[name]) for note in curve if name in note]) for name in _CURVES
    ]
    shares = [one for one in shares if one.points]
    return {
        "speed-up": line_plot(
            "Speed-up on 12 items", "workers", "steps of 1 worker / steps",
            [Series("measured", measured), Series("ideal", ideal, dashed=True)],
        ),
        "claimed twice": bar_plot(
            "Items claimed twice, 2 workers", "share of items", [Bar(*row) for row in data["claimed_twice"]], top=1.0
        ),
        "familiarity": bar_plot(
            "Items correct, by how well the tools are known", "share of items", [Bar(*row) for row in data["correct"]],
            top=1.0,
        ),
        "learning curve: loss": line_plot("Learning curve: loss", "million tokens read", "loss", [losses], top=1.5),
        "learning curve: right tokens": line_plot(
            "Learning curve: right tokens", "million tokens read", "share", shares, top=1.0
        ),
    }  # fmt: skip


def tables(data: Mapping[str, Any]) -> dict[str, list[tuple[str, ...]]]:
    """The rows under `HEADS`, by set."""
    return {one["set"]: [_row(figure) for figure in one["figures"]] for one in data["sets"]}


def page(data: Mapping[str, Any]) -> str:
    """The report as one HTML page without scripts."""
    title = f"How well {escaped(data['model'])} works"
    parts = [f"<h1>{title}</h1><p>{escaped(_about(data))}</p>"]
    parts += [f"<figure>{svg}</figure>" for svg in plots(data).values()]
    parts += [f"<h2>{escaped(name)}</h2>{table_html(HEADS, rows)}" for name, rows in tables(data).items()]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        "<style>td,th{padding:2px 16px 2px 0;text-align:left}</style></head>"
        '<body style="font-family:sans-serif;max-width:60em;margin:2em auto;padding:0 1em">'
        f"{''.join(parts)}</body></html>\n"
    )


def notebook(data: Mapping[str, Any]) -> str:
    """The report as a notebook: it carries the data, shows everything unexecuted, and draws it again when executed."""
    stored = json.dumps(data, ensure_ascii=True).replace("'", "\\u0027")
    load = (
        "# What was measured; everything below is drawn from it.\nimport json\n\nfrom IPython.display import SVG\n\n"
        f"from workbench.evaluate_report import plots\n\ndata = json.loads(r'''{stored}''')"
    )
    cells = [
        new_markdown_cell(f"# How well {escaped(data['model'])} works\n\n{escaped(_about(data))}", id="title"),
        new_code_cell(load, id="data", metadata={"jupyter": {"source_hidden": True}}),
    ]
    for at, (name, svg) in enumerate(plots(data).items()):
        # As a picture, because a notebook that is not trusted shows no SVG.
        coded = base64.b64encode(svg.encode()).decode()
        shown = {
            "text/html": f'<img alt="{escaped(name)}" src="data:image/svg+xml;base64,{coded}">',
            "text/plain": name,
        }
        cells.append(
            new_code_cell(f"SVG(plots(data)[{name!r}])", id=f"plot-{at}", outputs=[new_output("display_data", shown)])
        )
    for name, rows in tables(data).items():
        cells.append(new_markdown_cell(f"## {escaped(name)}\n\n{table_html(HEADS, rows)}", id=f"table-{name}"))
    made = new_notebook(
        cells=cells,
        metadata={
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
    )
    nbformat.validate(made)
    return str(nbformat.writes(made)) + "\n"


def write(data: Mapping[str, Any], folder: Path) -> tuple[Path, Path]:
    """Write all files; returns the page and the notebook."""
    write_whole(folder / "report.json", json.dumps(data, indent=1) + "\n")
    write_whole(folder / "report.html", page(data))
    write_whole(folder / "report.ipynb", notebook(data))
    return folder / "report.html", folder / "report.ipynb"


def _about(data: Mapping[str, Any]) -> str:
    first, last = data["seeds"]
    return (
        f"{last - first} held-out worksheets for each line of the tables (seeds {first} to {last - 1}); "
        "wordings, numbers and words that training never showed. Lines at points and bars are 95 % intervals."
    )


def _row(figure: Mapping[str, Any]) -> tuple[str, ...]:
    verdict = "" if figure["holds"] is None else "reached" if figure["holds"] else "missed"
    ends = f"{figure['low']:.3f} to {figure['high']:.3f}"
    return figure["name"], f"{figure['value']:.3f}", ends, str(figure["n"]), figure["bar"] or "", verdict


def _rounded(interval: Interval) -> list[float]:
    return [round(value, 4) for value in interval]
