"""The engine's thread: takes up the runs of one workbench, steps them all, and ends them.

In: runs that wait, wishes of people. Out: events of the run log; every run has its end, whatever breaks. Above:
`session`, which starts the thread. Below: `driver` (one run), `hogwild.stepping.advance` (one step over all runs).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from toolsets.policy import CallPolicy
from toolsets.tool import Tool
from workbench import events as ev
from workbench.answer_values import form_of
from workbench.errors import UsageError, WorkbenchError
from workbench.models import loading
from workbench.worker_settings import check_names

if TYPE_CHECKING:
    from hogwild import Engine
    from workbench.driver import Driver
    from workbench.rehearsal import Past
    from workbench.session import Run, Workbench

_UNUSUAL: dict[str, Any] = {
    "front": None, "prompting": None, "async_tools": False, "approve": "ask", "policy": None, "answer": None,
    "worker_settings": None,
}  # fmt: skip


class Host:
    """Steps all runs of one workbench; lives in the engine's thread."""

    def __init__(self, bench: Workbench) -> None:
        self.bench = bench
        self.engine: Engine | None = None
        self.active: dict[Run, Driver] = {}

    def work(self) -> None:
        """Until the workbench is closed. An error outside of a run's own work ends all of them, each with a sentence:
        who waits for a run never waits for a thread that is gone."""
        try:
            self._work()
        except Exception as error:
            bench = self.bench
            with bench._changed:
                late, bench._waiting, bench._thread = bench._waiting, [], None
            for run in [*self.active, *late]:
                self._fail(run, _as_ours(error))

    def _work(self) -> None:
        with loading():
            from hogwild.stepping import advance

        while self._begin_waiting():
            self._grant_wishes()
            due = {driver.run: run for run, driver in self.active.items()}
            stepping = [run for run, driver in self.active.items() if driver.has_due]
            if self.engine is None:  # the model could not be loaded, and every run that asked for it has been told
                continue
            stepped = self._guarded(stepping, partial(advance, self.engine, list(due), mass=self._mass()))
            for one, happenings, step, feeds in stepped or ():
                run = due.pop(one)
                if run in self.active:
                    self._safely(run, partial(self.active[run].stepped, happenings, step, feeds))
            if not stepped:
                self._idle()
            else:
                for run in due.values():
                    if run in self.active:
                        self._safely(run, partial(self.active[run].settle, 0.0))
            for run, driver in list(self.active.items()):
                if driver.ended:
                    self._finish(run, driver)

    def _mass(self) -> bool:
        return any(driver.spec.attention for driver in self.active.values())

    def _begin_waiting(self) -> bool:
        """Take up new runs, waiting for one if there is nothing to do; False when the workbench is closed."""
        bench = self.bench
        with bench._changed:
            while not any(run._memory.ready for run in bench._waiting) and not self.active and not bench._closed:
                bench._changed.wait()
            closing = bench._closed
            fresh = [run for run in bench._waiting if run._memory.ready]
            bench._waiting = [run for run in bench._waiting if run not in fresh]
            late = bench._waiting if closing else []
        for run in fresh:
            self._begin(run)
        for run in late:
            self._fail(run, UsageError("The workbench was closed before the run began."))
        if closing:
            for run, driver in list(self.active.items()):
                driver.stop()
                self._finish(run, driver)
        return not closing

    def _begin(self, run: Run) -> None:
        from hogwild.errors import HogwildError
        from hogwild.prompting import SHARED_WORKSPACE, Prompting
        from hogwild.sampling import Sampling
        from workbench.driver import Driver, Spec

        how, driver = run._settings, None
        try:
            if self.engine is None or self.engine.ranks.over:
                self.engine = self.bench.loaded()
            words = Prompting.of_directory(self.engine.directory) or SHARED_WORKSPACE
            if how["prompting"] is not None:
                words = words.changed(how["prompting"])
            names = words.names
            if len(names) < how["workers"]:
                raise UsageError(f"This model's prompting names {len(names)} workers; ask for no more than that.")
            workers = tuple(names[: how["workers"]]) if run._past is None else tuple(run._past.started.workers)
            offered = self.bench.offered_now()
            if run._past is None:
                run._steering.names[: how["workers"]] = workers
            else:
                offered = {name: self._tool(name, offered) for name in run._past.started.tools}
            recalled = run._memory.prepare(self.engine, words, workers, offered)
            own = how["worker_settings"] if run._past is None else None
            check_names(own, workers, recalled.tools)
            spec = Spec(
                run._task,
                workers,
                layout=how["layout"],
                seed=how["seed"],
                max_tokens=how["max_tokens"],
                max_run_tokens=how["max_run_tokens"],
                sampling=Sampling(temperature=how["temperature"]),
                attention=how["attention"],
                prompting=words,
                front=how["front"],
                asynchronous=how["async_tools"],
                approve=how["approve"],
                policy=how["policy"],
                concepts=recalled.text,
                guided=how["guided_calls"],
                own=own or {},
                answer=form_of(how["answer"]),
            )
            driver = Driver(self.engine, spec, recalled.tools, run._writer.append, self.bench._wake)
            run._calls, driver.on_said = driver.calls, run._steering.said
            if run._past is not None:
                self._go_on(run, driver, run._past)
            else:
                run._writer.append(self._started(run, driver))
                run._memory.begun(run.id, run._writer.append)
                for what in run._steering.breakpoints.values():
                    run._steering.check_breakpoint(what)
                for wish in run._at_start:  # in the log before anything that a run can go on from
                    wish(driver)
                driver.open()
            self.active[run] = driver
        except Exception as error:
            if driver is not None:
                driver.close()
            self._fail(run, UsageError(str(error)) if isinstance(error, HogwildError) else _as_ours(error))

    def _tool(self, name: str, offered: Mapping[str, Tool]) -> Tool:
        return offered[name] if name in offered else self.bench._from_library(name)

    def _go_on(self, run: Run, driver: Driver, past: Past) -> None:
        """A fork, whose log begins with its parent's, or an interrupted run."""
        from workbench.rehearsal import go_on

        if past.started.model_fingerprint != driver.engine.fingerprint:
            raise UsageError("The model has changed since that run: what it computed cannot be gone on with.")
        if past.resumed:
            run._writer.append(ev.RunResumed(past.why))
        else:
            started = self._started(run, driver)
            # What the library gave stands in the prompt already; the run itself asked for none.
            settings = started.settings | {"memory": past.started.settings.get("memory", "none")}
            run._writer.append(replace(started, settings=settings, parent=run._parent, tools=past.started.tools))
            for payload in past.copied():
                run._writer.append(payload)
        parent = self._parent_of(run)
        if parent is not None and run._parent is not None:
            parent.emit(ev.RunForked(run.id, run._parent["seq"]))
        go_on(driver, past, parent)

    def _parent_of(self, run: Run) -> Driver | None:
        """The driver of the run that this one is forked from, where that still goes on here."""
        named = run._parent["run_id"] if run._parent is not None else None
        return next((driver for other, driver in self.active.items() if other.id == named), None)

    def _started(self, run: Run, driver: Driver) -> ev.RunStarted:
        assert self.engine is not None
        from workbench.replay import versions
        from workbench.sources import sources_of

        return ev.RunStarted(
            task=run._task,
            items=list(driver.task.items),
            model=self.bench.model,
            model_fingerprint=self.engine.fingerprint,
            versions=versions(),
            seed=run._settings["seed"],
            layout=run._settings["layout"],
            workers=list(driver.spec.workers),
            settings=self._settings(run),
            tools=list(driver.calls.tools),
            sources=sources_of(driver.calls.tools),
        )

    def _settings(self, run: Run) -> dict[str, Any]:
        """The run's settings as the log keeps them; those that are as they always were are left out."""
        assert self.engine is not None
        kept = {name: value for name, value in run._settings.items() if name not in _UNUSUAL}
        for name, usual in _UNUSUAL.items():
            if (value := run._settings[name]) != usual:
                kept[name] = (
                    {name: value for name, value in asdict(value).items() if value is not None}
                    if isinstance(value, CallPolicy)
                    else value
                )
        if self.bench.unsafe_tools:
            kept["unsafe_tools"] = sorted(self.bench.unsafe_tools)
        if self.bench.tensor_parallel > 1:
            kept["tensor_parallel"] = self.bench.tensor_parallel
        return {**kept, "device": self.bench.device, "dtype": str(self.engine.dtype).split(".")[-1]}

    def _grant_wishes(self) -> None:
        for run, driver in list(self.active.items()):
            while run._wishes and run in self.active:
                self._safely(run, partial(run._wishes.popleft(), driver))
            if run in self.active:
                self._safely(run, driver.break_off)
            if run in self.active and driver.ended:
                self._finish(run, driver)

    def _idle(self) -> None:
        """Nothing is due: everybody waits for a tool, or for a person, or is paused."""
        self.bench._news = False
        for run, driver in list(self.active.items()):
            self._safely(run, partial(driver.settle, 0.0))
            if run in self.active and driver.stuck and not run._wishes:
                self._fail(run, WorkbenchError("The run broke off: it has not ended, and no worker can go on."))
        waits = all(driver.paused or driver.waits for run, driver in self.active.items())
        if self.active and waits:
            with self.bench._changed:
                # A run whose library is still searched says so itself when it is ready.
                ready = any(run._memory.ready for run in self.bench._waiting)
                if not (self.bench._news or ready or any(run._wishes for run in self.active)):
                    self.bench._changed.wait(0.5)

    def _guarded(self, stepping: Collection[Run], how: Callable[[], Any]) -> Any:
        """A step that fails ends every run that took part in it, with a sentence; the engine goes on, and so do runs
        that are paused or wait for their calls."""
        try:
            return how()
        except Exception as error:
            for run in stepping or list(self.active):
                self._fail(run, _as_ours(error))
            return None

    def _safely(self, run: Run, how: Callable[[], Any]) -> None:
        try:
            how()
        except Exception as error:
            self._fail(run, _as_ours(error))

    def _finish(self, run: Run, driver: Driver) -> None:
        outcome = driver.outcome()
        final = ev.RunFinished(outcome.status, outcome.answer, outcome.items, outcome.metrics, None, outcome.misfit)
        self._end(run, final, None)

    def _fail(self, run: Run, error: WorkbenchError) -> None:
        driver = self.active.get(run)
        nothing = ev.Metrics(steps=0, wall_s=0.0, tokens_per_s=0.0, cache_tokens=0, calls=0, workers=[])
        metrics = driver.metrics() if driver else nothing
        self._end(run, ev.RunFinished("failed", "", [], metrics, str(error)), error)

    def _end(self, run: Run, final: ev.RunFinished, error: WorkbenchError | None) -> None:
        driver = self.active.pop(run, None)
        # A run that could not be gone on with stays interrupted, to be tried again.
        still = driver is None and run._past is not None and run._past.resumed
        try:
            try:
                if driver is not None:
                    driver.close()
                if not still:
                    run._writer.append(final)
            finally:
                run._writer.close()
            if error is None:
                run._memory.ended(run.id, self.bench.log, solved=final.status == "solved")
        except Exception as failed:
            error = error or _as_ours(failed)
        finally:
            run._final, run._error = final, error
            run._done.set()


def _as_ours(error: Exception) -> WorkbenchError:
    from hogwild.errors import HogwildError

    if isinstance(error, WorkbenchError):
        return error
    if isinstance(error, HogwildError):  # a sentence already
        return WorkbenchError(f"The run broke off: {error}")
    return WorkbenchError(f"The run broke off: {type(error).__name__}: {error}")
