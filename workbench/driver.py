"""One run, driven: workers' text is scanned for tool calls, calls are run, results injected, everything told as events.

In: what happens in a `hogwild.Collaboration`. Out: events of the run log, and the outcome. Above: `session` and
`evaluate`, which own the engine and step it. Below: `hogwild.collaboration`, `toolsets`. Parsing a call and running it
are kept apart: an executor of plans can take the place of `_run_call`.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from hogwild.collaboration import Brief, Collaboration, Happening
from hogwild.engine import Engine
from hogwild.layouts import Layout
from hogwild.prompting import Prompting
from hogwild.runner import Step
from hogwild.sampling import Sampling
from hogwild.views import Feed
from hogwild.workspace import ENDED
from toolsets.direct import CallResult, run_direct
from toolsets.parse import AnyCall, BrokenCall, CallScanner
from toolsets.tool import Tool
from workbench import events as ev
from workbench.worksheet import Task, answered, read_task

PATIENCE_S = 0.25
"""How long the step of a call waits for the tool. A result within it joins the very next step, so that fast tools keep
a run reproducible; a slower one is injected when it comes, and the other workers go on meanwhile."""


@dataclass(frozen=True, slots=True)
class Spec:
    """What a run is asked to do. max_tokens: per worker; max_run_tokens: of all workers together."""

    task: str
    workers: tuple[str, ...]
    layout: str | Layout = "contiguous"
    seed: int = 0
    max_tokens: int | None = None
    max_run_tokens: int | None = None
    sampling: Sampling = field(default_factory=Sampling)
    attention: bool = False
    prompting: Prompting | None = None


class Pool(Protocol):
    """Runs functions beside: an executor, or `threads.ToolThreads`."""

    def submit(self, function: Callable[..., CallResult], /, *args: Any) -> Future[CallResult]: ...


@dataclass(slots=True)
class Outcome:
    """How a run ended."""

    status: ev.EndStatus
    answer: str
    items: list[ev.AnsweredItem]
    metrics: ev.Metrics
    error: str | None = None


class Driver:
    """Drives one run on an engine that somebody else steps: `feeds` are taken by `hogwild.collaboration.advance`."""

    def __init__(
        self,
        engine: Engine,
        spec: Spec,
        tools: Mapping[str, Tool],
        emit: Callable[[ev.Payload], object],
        pool: Pool,
        woken: Callable[[], None] = lambda: None,
    ) -> None:
        self.engine, self.spec, self.tools, self.emit, self.pool, self.woken = engine, spec, tools, emit, pool, woken
        words = spec.prompting or Prompting.of_directory(engine.directory)
        self.task: Task = read_task(spec.task, always_items=bool(words and words.closing_part))
        brief = Brief(
            self.task.text,
            spec.workers,
            items=len(self.task.items),
            tools=tuple(tool.line() for tool in tools.values()),
            schemas=tuple(tool.schema() for tool in tools.values()),
            budget=spec.max_tokens or self._item_budget(),
            run_budget=spec.max_run_tokens,
            sampling=replace(spec.sampling, seed=spec.seed),
        )
        self.run = Collaboration(engine, brief, layout=spec.layout, prompting=words, listener=self._heard)
        self.lanes: dict[str, str] = dict.fromkeys(spec.workers, "")
        self.steps = self.calls = 0
        self.began = time.monotonic()
        self._scanners = {name: CallScanner() for name in spec.workers}
        self._states: dict[str, str] = {}
        self._running: dict[Future[CallResult], tuple[str, str]] = {}
        self._numbers = itertools.count(1)
        self._stopped = False

    def open(self) -> None:
        """Feed the prompt. Raises ContextOverflow for a task that does not fit."""
        for name in self.spec.workers:
            self._joined(name)
        self.run.open()

    def add_worker(self, name: str) -> None:
        """A worker joins in mid-run; nothing happens once the run is closing."""
        if not self.run.closing:
            self.lanes[name], self._scanners[name] = "", CallScanner()
            self._joined(name)
            self.run.add_worker(name)

    def say(self, worker: str, text: str) -> None:
        """A person's words into a worker's block; a worker that has ended goes on with them."""
        if not self.run.closing:
            self.run.say(worker, text)

    def stepped(self, happenings: Sequence[Happening], step: Step, feeds: Sequence[Feed]) -> None:
        """Take in one step: tell what was decoded, start calls, hand over results, close when all have ended."""
        self.steps += 1
        planned = False
        decoded = [one for one in happenings if one.kind == "decoded"]
        if decoded:
            shares = None
            if self.spec.attention:
                shares = {
                    feed.tag: {str(block): round(share, 5) for block, share in step.attention_of(feed).items()}
                    for feed in feeds
                }
            tokens = [
                ev.WorkerTokens(worker=one.worker, block=one.block, ids=list(one.ids), text=one.text) for one in decoded
            ]
            self.emit(ev.TokensAdded(self.steps, tokens, shares))
        for one in happenings:
            self._heard(one)
        for one in decoded:
            self.lanes[one.worker] += one.text
            for call in self._scanners[one.worker].feed(one.text):
                self._plan(one.worker, call)
                planned = True
        for one in happenings:
            if one.kind == "ended":
                self._scanners[one.worker].finish()
        self.settle(PATIENCE_S if planned else 0.0)

    def settle(self, patience_s: float = PATIENCE_S) -> None:
        """Hand over the results that have come, waiting a moment for fast tools, and close when all have ended.

        To be called for a run that had nothing due in a step, too.
        """
        if self._running:
            done, _ = wait(self._running, timeout=patience_s)
            for future in sorted(done, key=lambda one: int(self._running[one][0][1:])):
                self._finish(future)
        if not self._running:
            self.run.settle()

    def stop(self) -> None:
        """Everybody stops; calls that still run are given up."""
        self._stopped = True
        self.run.stop()
        for future, (call, _) in list(self._running.items()):
            future.cancel()
            self.emit(ev.CallFinished(call, "failed", "", "The run was stopped.", 0.0))
        self._running.clear()

    @property
    def ended(self) -> bool:
        return self.run.ended and not self._running

    def outcome(self, error: str | None = None) -> Outcome:
        """How it ended; call once `ended`."""
        answer = self.run.answer
        items = answered(self.task.items, answer, self.lanes)
        solved = all(item["answer"] for item in items) if items else bool(answer)
        status: ev.EndStatus = (
            "failed" if error else "stopped" if self._stopped else "solved" if solved else "unanswered"
        )
        return Outcome(status, answer, items, self.metrics(), error)

    def metrics(self) -> ev.Metrics:
        wall_s = time.monotonic() - self.began
        workers = self.run.space.workers.values()
        return ev.Metrics(
            steps=self.steps,
            wall_s=round(wall_s, 3),
            tokens_per_s=round(self.run.sampled / max(wall_s, 1e-9), 1),
            cache_tokens=sum(block.length for block in self.run.space.blocks()),
            calls=self.calls,
            workers=[ev.WorkerReport(name=w.name, tokens=w.sampled, state=w.state.value) for w in workers],
        )

    def close(self) -> None:
        self.run.release()

    def _joined(self, name: str) -> None:
        how = _fields(self.run.brief.sampling)
        self.emit(ev.WorkerAdded(name, {**how, "banned": list(how["banned"])}, self.run.brief.budget))

    def _item_budget(self) -> int | None:
        """Without a budget of its own, a worksheet's worker gets twice what doing every item alone would take: the item
        in its own words, a call, an answer line."""
        return 64 + sum(96 + len(item["question"]) for item in self.task.items) if self.task.items else None

    def _plan(self, worker: str, call: AnyCall) -> None:
        self.calls += 1
        name = f"c{next(self._numbers)}"
        if isinstance(call, BrokenCall):
            self.emit(ev.CallPlanned(name, worker, "?", {}, call.raw))
        else:
            self.emit(ev.CallPlanned(name, worker, call.name, dict(call.arguments), call.raw))
        if self.run.space.workers[worker].state in ENDED:
            self.emit(ev.CallFinished(name, "failed", "", f"{worker} had ended when the call was complete.", 0.0))
            return
        self.run.hold(worker)
        self.emit(ev.CallStarted(name))
        future = self.pool.submit(run_direct, call, self.tools)
        self._running[future] = (name, worker)
        future.add_done_callback(lambda _: self.woken())

    def _finish(self, future: Future[CallResult]) -> None:
        call, worker = self._running.pop(future)
        result = future.result()
        finished = ev.CallFinished(call, result.status, result.text, result.error, round(result.wall_s, 6))
        if self.run.space.workers[worker].state in ENDED:  # the run's budget was used up meanwhile
            self.emit(finished)
            return
        more = any(caller == worker for _, caller in self._running.values())
        text, ids = self.run.respond(worker, result.text, awaited=not more)
        self.emit(finished)
        block = self.run.space.own(worker).id
        self.emit(ev.TextInjected(worker, block, text, list(ids), "tool", call))

    def _heard(self, one: Happening) -> None:
        if one.kind == "opened":
            role: ev.Role = one.role  # type: ignore[assignment]
            self.emit(ev.BlockOpened(one.block, role, one.worker or None, one.text, list(one.ids)))
        elif one.kind == "frozen":
            self.emit(ev.BlockFrozen(one.block, one.length))
        elif one.kind == "merged":
            self.emit(ev.BlocksMerged(one.block, one.length, list(one.ids)))
        elif one.kind == "injected":
            source: ev.Source = one.role  # type: ignore[assignment]
            self.emit(ev.TextInjected(one.worker, one.block, one.text, list(one.ids), source, None))
        elif one.kind == "state" and self._states.get(one.worker) != one.role:
            self._states[one.worker] = one.role
            state: ev.WorkerState = one.role  # type: ignore[assignment]
            self.emit(ev.WorkerStateChanged(one.worker, state, ""))


def _fields(sampling: Sampling) -> dict[str, Any]:
    return {name: getattr(sampling, name) for name in Sampling.__dataclass_fields__}
