"""The runs of a log as a table of figures: looked through, filtered and sorted in Python, shown in a notebook.

In: a run log. Out: `Runs`, the newest first, each a `RunRow`; HTML and text with every text made harmless; a DataFrame
where there is pandas. What a damaged event would have told of a run is None, and its row says that it is damaged.
Neighbours: `log` has the summaries, `session` gives this to people as `bench.runs`, `runs_commands` prints it.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Final, overload

from workbench import static_view
from workbench.database import connect_to_read, translated
from workbench.errors import UsageError
from workbench.visible import one_line
from workbench.writer import unpacked

if TYPE_CHECKING:
    from workbench.log import RunLog, RunSummary

MOST_SHOWN: Final = 50
BUSY_S: Final = 5.0
_PROMPT_WITHIN: Final = 200
"""Among so many first events of a run its prompt is looked for."""
_BAD: Final = (ValueError, TypeError, KeyError, AttributeError)


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run. created: seconds since 1970. tokens: sampled by all workers; prompt_tokens: of the prompt, stored
    once. wall_s: until its end, or its last event. parent: the run that it is a fork of. damaged: whether something of
    it cannot be read; figures that are not known are None."""

    run_id: str
    created: float
    task: str
    status: str
    answer: str
    workers: int
    layout: str
    model: str
    steps: int
    tokens: int
    prompt_tokens: int | None
    calls: int | None
    failed_calls: int | None
    tokens_per_s: float | None
    wall_s: float | None
    parent: str | None
    damaged: bool = False

    @property
    def cells(self) -> tuple[str, ...]:
        """For the table that people look at."""
        calls = _shown(self.calls) + (f", {self.failed_calls} failed" if self.failed_calls else "")
        return (
            self.run_id, time.strftime("%Y-%m-%d %H:%M", time.localtime(self.created)), one_line(self.task, 60),
            self.status + (" (damaged)" if self.damaged else ""), str(self.workers), one_line(self.layout),
            one_line(self.model.rstrip("/").rpartition("/")[2], 24), str(self.steps), str(self.tokens),
            _shown(self.prompt_tokens), calls, _shown(self.tokens_per_s, 1), _shown(self.wall_s, 1),
            one_line(self.answer, 40), self.parent or "",
        )  # fmt: skip


HEADS: Final = (
    "run", "started", "task", "status", "workers", "layout", "model", "steps", "tokens", "prompt", "calls", "tokens/s",
    "seconds", "answer", "fork of",
)  # fmt: skip
COLUMNS: Final = tuple(one.name for one in fields(RunRow))


class Runs(Sequence[RunRow]):
    """Rows in an order. `where`, `search` and `sort` give other tables; a slice does, too."""

    def __init__(self, rows: Sequence[RunRow]) -> None:
        self.rows = tuple(rows)

    @classmethod
    def of(cls, log: RunLog, search: str = "", limit: int | None = None) -> Runs:
        """All runs of a log, the newest first; search and limit as in `RunLog.runs`."""
        found = log.runs(search, limit=-1 if limit is None else limit)
        with translated(log.path), closing(connect_to_read(log.path, BUSY_S)) as connection:
            numbers = dict(connection.execute("SELECT run_id, run FROM runs"))
            return cls([_row(connection, numbers.get(one.run_id, -1), one) for one in found])

    def where(self, condition: Callable[[RunRow], object] | None = None, **equal: Any) -> Runs:
        """Those for which a function says so, and whose columns have these values: `where(status="solved")`."""
        for name in equal:
            _check_column(name)
        kept = (row for row in self.rows if all(getattr(row, name) == value for name, value in equal.items()))
        return Runs([row for row in kept if condition is None or condition(row)])

    def search(self, text: str) -> Runs:
        """Those that have a text in their id, task, model, status, layout or answer."""
        wanted = text.casefold()
        return self.where(
            lambda row: any(
                wanted in one.casefold()
                for one in (row.run_id, row.task, row.model, row.status, row.layout, row.answer)
            )
        )

    def sort(self, column: str, *, reverse: bool = False) -> Runs:
        """By a column, the smallest first; what is not known comes last."""
        _check_column(column)
        known = [row for row in self.rows if getattr(row, column) is not None]
        unknown = [row for row in self.rows if getattr(row, column) is None]
        return Runs([*sorted(known, key=lambda row: getattr(row, column), reverse=reverse), *unknown])

    def to_json(self) -> list[dict[str, Any]]:
        """Plain values, one object for each run."""
        return [asdict(row) for row in self.rows]

    def to_pandas(self) -> Any:
        """A pandas DataFrame with a row for each run; raises UsageError where there is no pandas."""
        try:
            import pandas
        except ImportError as error:
            raise UsageError("A DataFrame needs pandas: pip install pandas, or use to_json().") from error
        frame = pandas.DataFrame(self.to_json(), columns=list(COLUMNS))
        frame["created"] = pandas.to_datetime(frame["created"], unit="s", utc=True)
        return frame

    @overload
    def __getitem__(self, at: int) -> RunRow: ...
    @overload
    def __getitem__(self, at: slice) -> Runs: ...
    def __getitem__(self, at: int | slice) -> RunRow | Runs:
        return Runs(self.rows[at]) if isinstance(at, slice) else self.rows[at]

    def __iter__(self) -> Iterator[RunRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __str__(self) -> str:
        if not self.rows:
            return "There are no runs here."
        return static_view.table_text(HEADS, [row.cells for row in self.rows[:MOST_SHOWN]]) + self._more("\n")

    __repr__ = __str__

    def _repr_html_(self) -> str:
        if not self.rows:
            return static_view.preformatted(str(self))
        table = static_view.table_html(HEADS, [row.cells for row in self.rows[:MOST_SHOWN]])
        return table + (static_view.preformatted(self._more("")) if len(self) > MOST_SHOWN else "")

    def _more(self, before: str) -> str:
        left = len(self) - MOST_SHOWN
        return f"{before}{left:,} more runs: choose some with where, search or a slice." if left > 0 else ""


def _check_column(name: str) -> None:
    if name not in COLUMNS:
        raise UsageError(f"Runs have no column {name!r:.60}; they have {', '.join(COLUMNS)}.")


def _row(connection: sqlite3.Connection, run: int, one: RunSummary) -> RunRow:
    told: dict[str, Any] = {}
    try:
        told, damaged = _figures(connection, run, one)
    except sqlite3.DatabaseError:  # a page of the file, or a text in it, that is none
        damaged = True
    return RunRow(
        one.run_id, one.created, one.task, one.status, one.answer, one.workers, one.layout, one.model, one.steps,
        one.tokens, told.get("prompt_tokens"), told.get("calls"), told.get("failed_calls"), told.get("tokens_per_s"),
        told.get("wall_s"), None if one.parent is None else one.parent["run_id"], damaged,
    )  # fmt: skip


_TOLD: Final = f"""
    SELECT kind, CASE kind WHEN 'call_planned' THEN '' ELSE fields END FROM events WHERE run = ? AND
    (kind IN ('call_planned', 'call_finished', 'run_finished') OR (kind = 'block_opened' AND seq <= {_PROMPT_WITHIN}))
    ORDER BY seq
"""
_LAST: Final = "SELECT time FROM events WHERE run = ? ORDER BY seq DESC LIMIT 1"


def _figures(connection: sqlite3.Connection, run: int, one: RunSummary) -> tuple[dict[str, Any], bool]:
    """What the events of a run tell, and whether one of them cannot be read. A run's events lie side by side in the
    file, and only the few that are asked for are taken out of it."""
    told: dict[str, Any] = {"prompt_tokens": None, "calls": 0}
    failed, damaged, unsure, metrics = 0, False, False, dict[str, Any]()
    for kind, text in connection.execute(_TOLD, (run,)):
        if kind == "call_planned":
            told["calls"] += 1
            continue
        try:
            found = json.loads(unpacked(text))
            if kind == "call_finished":
                failed += found["status"] != "succeeded"
            elif kind == "run_finished":
                metrics = dict(found["metrics"])
            elif found["role"] == "prompt" and told["prompt_tokens"] is None:
                told["prompt_tokens"] = len(found["tokens"])
        except _BAD:
            damaged = True
            unsure = unsure or kind == "call_finished"
    told["failed_calls"] = None if unsure else failed
    if not metrics:
        (last,) = connection.execute(_LAST, (run,)).fetchone() or (None,)
        wall_s = None if last is None else round(last - one.created, 3)
        metrics = {"wall_s": wall_s, "tokens_per_s": round(one.tokens / wall_s, 1) if wall_s else None}
    return told | {name: metrics.get(name) for name in ("wall_s", "tokens_per_s")}, damaged


def _shown(figure: float | None, digits: int = 0) -> str:
    return "" if figure is None else f"{figure:.{digits}f}"
