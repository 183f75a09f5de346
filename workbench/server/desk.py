"""What the handlers share: the run log, opened once, and answers as JSON values.

In: ids and wishes of requests. Out: rows and errors, as docs/protocol.md names them. Reading happens in threads, so
that a slow disk holds up one request and not the server. Neighbours: `handlers` and `stream` above, `workbench.log`
below.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from workbench.errors import (
    LogDamaged,
    LogFull,
    LogLocked,
    LogTooNew,
    LogUnwritable,
    ModelError,
    RunNotFound,
    UsageError,
    WorkbenchError,
)
from workbench.log import RunLog, RunSummary
from workbench.visible import one_line

Given = ParamSpec("Given")
Result = TypeVar("Result")

_STATUS: tuple[tuple[type[WorkbenchError], int, str], ...] = (
    (RunNotFound, 404, "run_not_found"),
    (UsageError, 400, "usage"),
    (LogFull, 507, "log_full"),
    (LogLocked, 503, "log_locked"),
    (LogUnwritable, 500, "log_unwritable"),
    (LogTooNew, 500, "log_too_new"),
    (LogDamaged, 500, "log_damaged"),
    (ModelError, 500, "model"),
)
TASK_CHARS = 300


class Desk:
    """One per Jupyter server. `data_dir` None: the workbench's own."""

    def __init__(self, data_dir: Path | None = None) -> None:
        self.data_dir = data_dir
        self._log: RunLog | None = None

    @property
    def log(self) -> RunLog:
        """Opened when first asked for; raises LogError, and tries again next time."""
        if self._log is None:
            self._log = RunLog(self.data_dir / "runs.sqlite3" if self.data_dir else None)
        return self._log

    async def reading(self, what: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs) -> Result:
        """The result of `what`, called in a thread."""
        return await asyncio.to_thread(what, *args, **kwargs)

    def rows(self, search: str, limit: int, before: str | None) -> dict[str, Any]:
        """One page of runs, newest first."""
        found = self.log.runs(search, limit=limit + 1, before=before)
        return {"runs": [row(one) for one in found[:limit]], "more": len(found) > limit}


def row(run: RunSummary) -> dict[str, Any]:
    """A run as the list shows it."""
    wall_s = None if run.ended is None else round(run.ended - run.created, 3)
    return {
        "run_id": run.run_id,
        "status": run.status,
        "task": one_line(run.task, TASK_CHARS),
        "model": one_line(run.model, TASK_CHARS),
        "layout": one_line(run.layout),
        "workers": run.workers,
        "started_at": run.created,
        "ended_at": run.ended,
        "wall_s": wall_s,
        "steps": run.steps,
        "tokens": run.tokens,
        "events": run.events,
        "answer": one_line(run.answer, TASK_CHARS),
        "parent": run.parent,
        "live": run.status == "running",
    }


def explained(error: WorkbenchError) -> tuple[int, str]:
    """HTTP status and code of an error of ours."""
    for kind, status, code in _STATUS:
        if isinstance(error, kind):
            return status, code
    return 500, "failed"
