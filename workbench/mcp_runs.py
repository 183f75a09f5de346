"""Runs as tools: what another agent needs to start runs here, to wait for them, and to read what came of them.

In: a factory of workbenches, the run log. Out: ordinary `Tool`s, made from plain functions. Neighbours: `mcp_server`
serves them, `session` runs, `log` knows every run, those of other processes too.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from toolsets.errors import ToolsetError
from toolsets.executor import report_progress
from toolsets.policy import CallPolicy
from toolsets.tool import Tool
from workbench.errors import LogTimeout, UsageError, WorkbenchError
from workbench.events import AnsweredItem, RunFinished, TokensAdded
from workbench.log import RunLog, RunSummary
from workbench.session import Run, Workbench

MAX_WAIT_S: Final = 3_600.0
LISTED: Final = 50
_LOOK_S: Final = 5.0


class RunTools:
    """bench: makes the workbench, with the first run that is started. Methods may be called from any thread."""

    def __init__(self, bench: Callable[[], Workbench], log: RunLog) -> None:
        self._make_bench, self._log = bench, log
        self._bench: Workbench | None = None
        self._runs: dict[str, Run] = {}
        self._lock = threading.Lock()

    def tools(self) -> dict[str, Tool]:
        """By name."""

        def made(function: Callable[..., Any], **how: Any) -> Tool:
            return Tool.from_function(_plainly(function), **how)

        wait = made(self.wait_run, policy=CallPolicy(timeout_s=MAX_WAIT_S + 60.0, retries=0))
        reads = [made(self.run_status), made(self.run_answer), made(self.list_runs), wait]
        writes = [made(self.start_run, effect="write", policy=CallPolicy(timeout_s=300.0))]
        writes += [made(self.stop_run, effect="write", idempotent=True)]
        return {tool.name: tool for tool in (*writes, *reads)}

    def close(self) -> None:
        """Stop what still runs."""
        with self._lock:
            if self._bench is not None:
                self._bench.close()

    # ------------------------------------------------------------------------------------------------------ the tools

    def start_run(
        self, task: str, workers: int = 2, layout: str = "contiguous", max_tokens: int | None = None, seed: int = 0
    ) -> dict[str, Any]:
        """Start several workers on one task; returns at once with the run's id.

        Then wait with wait_run, or look with run_status. The embedded model solves worksheets: numbered short
        questions, each answerable by one call of a tool.

        Args:
            task: the task, in words; a worksheet has one question on each line, numbered 1. 2. 3.
            workers: how many think at once in the shared cache
            layout: contiguous, interleaved, combined, or independent (nothing is shared)
            max_tokens: of each worker
            seed: the same seed draws the same tokens
        """
        with self._lock:
            if self._bench is None:
                self._bench = self._make_bench()
            run = self._bench.run(task, workers=workers, layout=layout, max_tokens=max_tokens, seed=seed)
            self._runs[run.id] = run
        return {"run": run.id, "status": run.status}

    def run_status(self, run: str) -> dict[str, Any]:
        """How far a run is: its status, steps, tokens.

        Args:
            run: its id, or how the id begins
        """
        return _told(self._log.summary(self._log.find(run)))

    def wait_run(self, run: str, timeout_s: float = 600.0) -> dict[str, Any]:
        """Wait until a run has ended, with progress meanwhile; returns its answer, or its status after the time given.

        Args:
            run: its id, or how the id begins
            timeout_s: seconds to wait at most
        """
        id = self._log.find(run)
        deadline_s = time.monotonic() + min(max(timeout_s, 0.0), MAX_WAIT_S)
        since = tokens = 0
        while (left_s := deadline_s - time.monotonic()) > 0 and self._log.summary(id).status == "running":
            try:
                for event in self._log.follow(id, since, min(left_s, _LOOK_S)):
                    since = event.seq
                    if isinstance(event.payload, TokensAdded):
                        tokens += sum(len(one["ids"]) for one in event.payload.tokens)
                        report_progress(tokens, None, f"step {event.payload.step}")
                    if time.monotonic() >= deadline_s:
                        break
            except LogTimeout:
                continue  # a slow step; the deadline is looked at above
        return self._ended(id)

    def run_answer(self, run: str) -> dict[str, Any]:
        """The answer of a run that has ended, with each item's answer and who gave it.

        Args:
            run: its id, or how the id begins
        """
        id = self._log.find(run)
        if self._log.summary(id).status == "running":
            raise UsageError(f"Run {id} has not ended: wait for it with wait_run.")
        return self._ended(id)

    def list_runs(self, limit: int = 20) -> list[dict[str, Any]]:
        """The newest runs, each with its id, status and task.

        Args:
            limit: how many at most
        """
        return [_told(summary) for summary in self._log.runs()[: max(0, min(limit, LISTED))]]

    def stop_run(self, run: str) -> dict[str, Any]:
        """Stop a run that was started here, after the step it is in; what it wrote is kept.

        Args:
            run: its id, or how the id begins
        """
        id = self._log.find(run)
        with self._lock:
            own = self._runs.get(id)
        if own is None:
            raise UsageError(f"Run {id} was not started by this server: stop it where it was started.")
        own.stop()
        if not own.wait(60.0):
            raise WorkbenchError(f"Run {id} is being stopped, and its step takes long: look with run_status.")
        return self._ended(id)

    def _ended(self, id: str) -> dict[str, Any]:
        """The status, and what came of it where it has ended."""
        with self._lock:
            own = self._runs.get(id)
        summary = self._log.summary(id)
        if own is not None and summary.status != "running":
            own.wait(10.0)
        final = next((e.payload for e in reversed(self._log.events(id)) if isinstance(e.payload, RunFinished)), None)
        told = _told(summary) | {"answer": summary.answer}
        if final is None:
            return told
        items: list[AnsweredItem] = final.items
        return told | {"items": [dict(item) for item in items], "error": final.complaint or None}


def _plainly(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, whose refusals are told in their own words."""

    @functools.wraps(function)
    def plain(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except WorkbenchError as error:
            raise ToolsetError(str(error)) from error

    return plain


def _told(summary: RunSummary) -> dict[str, Any]:
    return {
        "run": summary.run_id,
        "status": summary.status,
        "task": summary.task,
        "model": summary.model,
        "workers": summary.workers,
        "steps": summary.steps,
        "tokens": summary.tokens,
    }
