"""A run in the engine's process, as a handle that looks like a run of one's own.

In: a run's id. Out: everything that `session.Run` shows, read from the run log; commands go to the engine. The run goes
on when this process ends. Neighbours: `session.Workbench(engine="process")` makes these, `client` speaks with the
engine.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any

from workbench import events as ev
from workbench.breakpoints import Breakpoint, Predicate, sendable
from workbench.engine.client import EngineClient
from workbench.errors import UsageError, WorkbenchError
from workbench.log import RunLog
from workbench.reading import Readable
from workbench.steering import Steerable
from workbench.widget import display_run, mimebundle, with_log

if TYPE_CHECKING:
    from workbench.call_values import Pending
    from workbench.replay import Proof

LOOK_S = 0.05
PROVE_S = 600.0


class RemoteRun(Readable, Steerable):
    """One run; `await run` and `run.answer` wait for its end."""

    in_engine = True

    def __init__(self, run_id: str, log: RunLog, engine: EngineClient, since: int = 0) -> None:
        """since: how many events it began with."""
        self.id, self._log, self._engine, self._looked_until = run_id, log, engine, since

    @property
    def status(self) -> str:
        """running, interrupted (its engine was killed), or how it ended: solved, unanswered, stopped, failed."""
        return self._log.summary(self.id).status

    @property
    def answer(self) -> str:
        """Waits for the end. Raises WorkbenchError if the run failed or was interrupted."""
        return self._finished().answer

    @property
    def items(self) -> list[ev.AnsweredItem]:
        """Waits for the end; the worksheet's questions with answer and worker."""
        return self._finished().items

    @property
    def metrics(self) -> ev.Metrics:
        """Waits for the end."""
        return self._finished().metrics

    def wait(self, timeout_s: float | None = None) -> bool:
        """True once the run has ended."""
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while self.status == "running":
            if until is not None and time.monotonic() >= until:
                return False
            time.sleep(LOOK_S)
        return True

    def __await__(self) -> Generator[Any, None, RemoteRun]:
        yield from asyncio.to_thread(self.wait).__await__()
        self._finished()
        return self

    @property
    def results(self) -> Mapping[str, Any]:
        """What its calls returned so far, by the names that the log gives them, as JSON has it."""
        return dict(self._engine.call("results", run_id=self.id)["values"])

    @property
    def pending(self) -> tuple[Pending, ...]:
        """The calls that wait for a person's word: each has a `call` for `approve` and `reject`, and its arguments."""
        from workbench.call_values import Pending

        if self.status != "running":
            return ()
        return tuple(Pending(**one) for one in self._engine.call("pending", run_id=self.id)["calls"])

    @property
    def breakpoints(self) -> dict[str, Breakpoint]:
        """Where it is to pause by itself, by the names that `break_at` gave."""
        if self.status == "running":
            told = self._engine.call("breakpoints", run_id=self.id)["set"]
        else:
            told = self.view().breaks.set
        return {name: Breakpoint.of(given) for name, given in told.items() if "when" not in given}

    def break_when(self, predicate: Predicate, *, by: str = "") -> str:
        """Refused: the engine's process cannot call a function of this one."""
        raise UsageError('A function of events works in the process of its run only: use break_at, or engine="thread".')

    def command(self, name: str, arguments: Mapping[str, Any], *, key: str = "", by: str = "") -> dict[str, Any]:
        """A command by its name; raises UsageError, and EngineError where the engine does not run."""
        return self._engine.call("control", run_id=self.id, command=name, arguments=dict(arguments), key=key, by=by)

    def fork(self, step: int | None = None, **changes: Any) -> RemoteRun:
        """A new run in the same engine, that begins as this one was after a step; see `Workbench.fork`."""
        changes |= sendable(changes.pop("break_at", ()))
        told = self._engine.call("fork", run_id=self.id, step=step, changes=changes)
        return RemoteRun(told["run_id"], self._log, self._engine, told["since"])

    def prove(self) -> Proof:
        """Replay the run as the log has it, with the engine's model; raises ReplayError."""
        from workbench.replay import Proof

        return Proof.from_json(self._engine.call("prove", PROVE_S, run_id=self.id))

    def _finished(self) -> ev.RunFinished:
        self.wait()
        last = self._log.events(self.id)[-1].payload
        if not isinstance(last, ev.RunFinished):
            raise WorkbenchError(f"Run {self.id} was interrupted: its engine ended. What it had is in the log.")
        if last.error:
            raise WorkbenchError(last.error)
        return last

    def __repr__(self) -> str:
        return f"<Run {self.id}: {self.status}>"

    def _repr_mimebundle_(self, **_: Any) -> Any:
        return with_log(mimebundle(self), self.id, self._log.path, in_kernel=False)

    def _ipython_display_(self, **_: Any) -> None:
        display_run(self, self._repr_mimebundle_())
