"""What the handlers share: the run log, opened once, and answers as JSON values.

In: ids and wishes of requests. Out: rows and errors, as docs/protocol.md names them. Reading happens in threads, so
that a slow disk holds up one request and not the server. Neighbours: `handlers` and `stream` above, `workbench.log`
below.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from memory.errors import LibraryError, LibraryUnavailable, RowChanged, RowNotFound
from toolsets.errors import ToolsetError
from workbench.comparing import compare
from workbench.engine.client import EngineClient
from workbench.engine.place import models_at
from workbench.errors import (
    EngineError,
    LogDamaged,
    LogFull,
    LogLocked,
    LogTooNew,
    LogUnwritable,
    ModelError,
    ReplayError,
    RunNotFound,
    UsageError,
    WorkbenchError,
)
from workbench.log import RunLog, RunSummary
from workbench.models import EMBEDDED
from workbench.run_settings import check_fork
from workbench.server.library import LibraryDesk
from workbench.visible import one_line

Given = ParamSpec("Given")
Result = TypeVar("Result")

_STATUS: tuple[tuple[type[Exception], int, str], ...] = (
    (RunNotFound, 404, "run_not_found"),
    (UsageError, 400, "usage"),
    (LogFull, 507, "log_full"),
    (LogLocked, 503, "log_locked"),
    (LogUnwritable, 500, "log_unwritable"),
    (LogTooNew, 500, "log_too_new"),
    (LogDamaged, 500, "log_damaged"),
    (ReplayError, 409, "replay"),
    (ModelError, 500, "model"),
    (EngineError, 503, "engine"),
    (RowNotFound, 404, "row_not_found"),
    (RowChanged, 409, "row_changed"),
    (LibraryUnavailable, 503, "library"),
    (LibraryError, 400, "refused"),
    (ToolsetError, 400, "refused"),
)
TASK_CHARS = 300
PROVE_S = 600.0
FORK_S = 60.0
LIVING = ("busy", "starting", "ready")


class Desk:
    """One per Jupyter server. `data_dir` None: the workbench's own."""

    def __init__(self, data_dir: Path | None = None) -> None:
        self.data_dir = data_dir
        self._log: RunLog | None = None
        self.model = EMBEDDED
        self._engines: dict[str, EngineClient] = {}
        self.library = LibraryDesk(data_dir, self.engine)

    def engine(self, model: str = "") -> EngineClient:
        """The engine of a model, by default of the one that was last asked for."""
        model = model or self.model
        return self._engines.setdefault(model, EngineClient(model, self.data_dir))

    def status(self) -> dict[str, Any]:
        """engine: how the one is that was last asked for; where that does nothing, one that works, or at least is
        there. engines: all that are there, that one first."""
        models = list(dict.fromkeys([self.model, *models_at(self.data_dir)]))
        with ThreadPoolExecutor(len(models)) as asking:  # one that is too busy to answer holds up no other
            asked, *others = asking.map(lambda model: self.engine(model).status(), models)
        first = most_telling(asked, others)
        there = [one for one in (asked, *others) if one is not first and one["state"] in LIVING]
        engines = [first, *there] if first["state"] != "absent" else there
        return {"version": version("agent-workbench"), "engine": first, "engines": engines}

    def command_engine(self, action: str, model: str = "") -> dict[str, Any]:
        """start, restart or stop; raises UsageError, EngineError."""
        if action not in ("start", "restart", "stop"):
            raise UsageError(f"An engine is told start, restart or stop; not {action!r}.")
        self.model = model or self.model
        engine = self.engine()
        if action != "start":
            engine.stop()
        if action != "stop":
            engine.start()
        return self.status()

    def start_run(self, task: str, settings: dict[str, Any], key: str) -> dict[str, Any]:
        """Start a run in the engine of its model, which is started where it does not run."""
        settings = dict(settings)
        model = settings.pop("model", None) or self.model
        if not isinstance(task, str) or not isinstance(model, str):
            raise UsageError("A run needs a task and the name of a model, both as text.")
        self.model = model
        engine = self.engine()
        engine.start()
        return _run_of(engine.call("start", task=task, settings=settings, key=key))

    def control(self, run_id: str, command: str, arguments: dict[str, Any], key: str, by: str) -> dict[str, Any]:
        """Give a command to the engine that drives the run."""
        run = self.log.summary(run_id)
        if run.status not in ("running", "interrupted"):
            raise UsageError(f"Run {run_id} has ended ({run.status}): there is nothing to steer.")
        if run.status == "interrupted":
            raise UsageError(f"Run {run_id} was interrupted: its engine has ended.")
        given: dict[str, Any] = {"run_id": run_id, "command": command, "arguments": arguments, "key": key, "by": by}
        return self.engine(run.model).call("control", **given)

    def fork(self, run_id: str, given: dict[str, Any], key: str) -> dict[str, Any]:
        """A new run that begins with this one's state after a step, in the engine of its model."""
        step = given.get("step")
        changes = {name: value for name, value in given.items() if name != "step" and value is not None}
        check_fork(step, changes)
        engine = self.engine(self.log.summary(run_id).model)
        engine.start()
        return _run_of(engine.call("fork", FORK_S, run_id=run_id, step=step, changes=changes, key=key))

    def resume(self, run_id: str, key: str) -> dict[str, Any]:
        """Let an interrupted run go on, in the engine of its model."""
        engine = self.engine(self.log.summary(run_id).model)
        engine.start()
        return _run_of(engine.call("resume", FORK_S, run_id=run_id, key=key))

    def compare(self, a: str, b: str) -> dict[str, Any]:
        """Two runs, aligned where they part."""
        return compare(self.log.events(a), self.log.events(b)).to_json()

    def prove(self, run_id: str) -> dict[str, Any]:
        """Replay a run with its model, in an engine that is started where it does not run."""
        engine = self.engine(self.log.summary(run_id).model)
        engine.start()
        return engine.call("prove", PROVE_S, run_id=run_id)

    def steers(self, run_id: str) -> bool:
        """Whether commands to a run that goes on reach it from here: an engine does it, not a kernel or a terminal."""
        run = self.log.summary(run_id)
        if run.status != "running":
            return True
        engine = self.engine(run.model).status()
        return run_id in engine.get("runs", [run_id] if engine["state"] == "busy" else [])

    def picture(self, run_id: str) -> dict[str, str]:
        """A run that has ended, as HTML and as text."""
        from workbench.widget import picture_of

        return picture_of(self.log.events(run_id))

    def export(self, run_id: str, path: Path) -> Path:
        """Write a run as a notebook, a page or a trace; a name that is taken gets a number."""
        from workbench.export import export_run

        events = self.log.events(run_id)
        stem, number = path, 1
        while path.exists():
            number += 1
            path = stem.with_name(f"{stem.stem}-{number}{stem.suffix}")
        return export_run(events, path)

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


def _run_of(begun: dict[str, Any]) -> dict[str, Any]:
    """Of what an engine says of a run that it has begun, what is a client's concern."""
    return {"run_id": begun["run_id"]}


def most_telling(asked: dict[str, Any], others: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Of the states of engines the one to be shown: the one that was last asked for, unless it is idle or absent and
    another one works (or, where it is absent, is ready)."""
    better = {"absent": ("busy", "ready"), "ready": ("busy",)}.get(asked["state"], ())
    there = list(others) if better else []
    return next((other for state in better for other in there if other["state"] == state), asked)


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


OURS = (WorkbenchError, LibraryError, ToolsetError)
"""The errors whose text is one sentence for a person."""


def explained(error: Exception) -> tuple[int, str]:
    """HTTP status and code of an error of ours."""
    for kind, status, code in _STATUS:
        if isinstance(error, kind):
            return status, code
    return 500, "failed"
