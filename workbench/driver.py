"""One run, driven: workers' text is read as plans, calls are run, results injected, everything told as events.

In: what happens in a `hogwild.Collaboration`. Out: events of the run log, and the outcome. Above: `session` and
`evaluate`, which own the engine and step it. Below: `hogwild.collaboration`; `plan_reader` finds the calls, `calls`
runs them, `told` says what a worker reads of them.

A call begins when its text is complete, while its worker writes on. A worker that has ended a plan waits until all
calls of its plans have ended; with `asynchronous` it goes on, and is told whenever it is not writing a call.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hogwild.collaboration import Collaboration
from hogwild.engine import Engine
from hogwild.layouts import Layout
from hogwild.prompting import SHARED_WORKSPACE, Prompting
from hogwild.run_values import Brief, Happening
from hogwild.runner import Step
from hogwild.sampling import Sampling, for_worker
from hogwild.views import Feed
from hogwild.workspace import ENDED, State, Worker
from toolsets.answers import AnswerForm
from toolsets.guiding import Signature
from toolsets.policy import CallPolicy
from toolsets.results import CallOutcome
from toolsets.tool import Tool
from toolsets.untrusted import neutralise, neutralise_tool
from workbench import events as ev
from workbench.answer_values import misfit
from workbench.breakpoints import Breakpoints
from workbench.call_values import Call
from workbench.calls import READING, Approve, Calls
from workbench.grammar import with_answer, with_grammar, writes_json
from workbench.guides import CallGuide
from workbench.plan_reader import PlanEnded, PlanReader, Read
from workbench.told import fitting, markers_of, result_text, special_tokens
from workbench.worker_settings import sampling_of
from workbench.worksheet import Task, added_items, amid_item, answered, read_task, skipped_in

PATIENCE_S = 0.25
"""How long a step waits for the calls that it completed, or that a worker now waits for. Results within it join the
very next step, so that fast tools keep a run reproducible; a slower one is injected when it comes, and the other
workers go on meanwhile."""
LONG_STEP = 200
"""How many tokens of a worker's unfinished step or item a person's words wait for."""


@dataclass(frozen=True, slots=True)
class Spec:
    """What a run is asked to do. max_tokens: per worker; max_run_tokens: of all workers together. front: the grammar
    that workers write calls in, None for the model's own. asynchronous: workers go on while their calls run. approve:
    what becomes of calls that need a person's word. policy: of calls whose tool says nothing of its own. concepts:
    rendered, for the prompt. guided: calls can only name tools that are offered, and their parameters. own: what
    is set for some workers (`workbench.worker_settings`). answer: the form that the answer is to have; where several
    workers write a part of it, each item's."""

    task: str
    workers: tuple[str, ...]
    layout: str | Layout = "contiguous"
    seed: int = 0
    max_tokens: int | None = None
    max_run_tokens: int | None = None
    sampling: Sampling = field(default_factory=Sampling)
    attention: bool = False
    prompting: Prompting | None = None
    front: str | None = None
    asynchronous: bool = False
    approve: Approve = "ask"
    policy: CallPolicy | None = None
    concepts: str = ""
    guided: bool = True
    own: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    answer: AnswerForm | None = None


@dataclass(slots=True)
class Outcome:
    """How a run ended."""

    status: ev.EndStatus
    answer: str
    items: list[ev.AnsweredItem]
    metrics: ev.Metrics
    error: str | None = None
    misfit: str = ""


class Driver:
    """Drives one run on an engine that somebody else steps: `feeds` are taken by `hogwild.stepping.advance`."""

    def __init__(
        self,
        engine: Engine,
        spec: Spec,
        tools: Mapping[str, Tool],
        emit: Callable[[ev.Payload], object],
        woken: Callable[[], None] = lambda: None,
    ) -> None:
        self.engine, self.spec, self.breaks = engine, spec, Breakpoints()
        self._tell, self.emit = emit, self._told_of
        words = spec.prompting or Prompting.of_directory(engine.directory) or SHARED_WORKSPACE
        self.task: Task = read_task(spec.task, always_items=bool(words.closing_part))
        self._special = special_tokens(engine.tokenizer)
        self._markers = markers_of(words, spec.workers, self._special)
        tools = {name: neutralise_tool(tool, self._markers) for name, tool in tools.items()}
        self._front = spec.front or words.front
        template = getattr(engine.tokenizer, "chat_template", None)
        words = with_grammar(
            words, self._front, asynchronous=spec.asynchronous, tools=bool(tools), template=template
        )  # fmt: skip
        # A worksheet's joint answer has lines of its own.
        self._form = None if words.closing_part or not words.closing else spec.answer
        if self._form is not None:
            words = with_answer(words, self._form.schema)
        self._guided = spec.guided and writes_json(words, self._front, template)
        self.guide = CallGuide(engine)
        brief = Brief(
            self.task.text,
            spec.workers,
            items=len(self.task.items),
            tools=tuple(tool.line() for tool in tools.values()),
            schemas=tuple(tool.schema() for tool in tools.values()),
            budget=spec.max_tokens or self._item_budget(),
            run_budget=spec.max_run_tokens,
            sampling=(sampling := replace(spec.sampling, seed=spec.seed)),
            own={name: replace(sampling, **sampling_of(own)) for name, own in spec.own.items()},
            instructions={name: own["instruction"] for name, own in spec.own.items() if own.get("instruction")},
            concepts=neutralise(spec.concepts, self._markers),
        )
        self.run = Collaboration(
            engine, brief, layout=spec.layout, prompting=words, listener=self._heard, guide=self.guide
        )
        self.limits: dict[str, frozenset[str]] = {}
        """Which tools some workers may call; the others may call all."""
        self.lanes: dict[str, str] = dict.fromkeys(spec.workers, "")
        self.steps = 0
        self.began = time.monotonic()
        self.calls = Calls(
            dict(tools), self.emit, woken, approve=spec.approve, policy=spec.policy, holds=self._is_hit
        )  # fmt: skip
        for name, own in spec.own.items():
            self.limit(name, own.get("tools"))
        self._readers = {name: self._reader(name) for name in spec.workers}
        self._holding: set[str] = set()
        self._states: dict[str, str] = {}
        self._stopped = False
        self.paused = False
        self._at_break = False
        """Whether a breakpoint holds the run; it does not end before it is let go on."""
        self._steps_due = 0
        self.on_said: Callable[[str], None] = lambda line: None
        self._queue: dict[str, WaitingLine] = {}
        self._saying: list[tuple[str, str]] = []
        self.spoken_to = False
        """Whether a person has said something."""
        self.logged: dict[int, int] = {}
        self.next_logged: int | None = None
        """The ids that the log has for the engine's blocks, where a run goes on from a log; see `rehearsal`."""

    def open(self) -> None:
        """Feed the prompt. Raises ContextOverflow for a task that does not fit."""
        self.offer()
        if self._form is not None:
            self.guide.answer(self._form.schema)
            self.emit(ev.AnswerGuided(self._form.schema))
        for name in self.spec.workers:
            self._joined(name)
        self.run.open()
        self.break_off()

    def offer(self) -> None:
        """From now on calls are guided by the tools that are offered; told where these have changed."""
        tools = self.calls.tools if self._guided else {}
        if self.guide.offer(Signature.of(name, tool) for name, tool in tools.items()):
            self.emit(ev.CallsGuided(self.guide.signatures))

    def add_worker(self, name: str) -> None:
        """A worker joins in mid-run; nothing happens once the run is closing."""
        if not self.run.closing:
            self.lanes[name], self._readers[name] = "", self._reader(name)
            self._joined(name)
            self.run.add_worker(name)
            self._keep_paused()

    def retire(self, name: str) -> None:
        """End one worker's turn; what it was about to hear of its calls is not told."""
        if not self.run.closing:
            self.run.retire(name)

    def pause(self) -> None:
        self.paused, self._steps_due = True, 0
        with self.breaks.deaf():
            self.run.pause()

    def break_off(self) -> None:
        """Pause where a breakpoint was hit."""
        hits = self.breaks.take()
        for hit in hits:
            self.emit(hit)
        for name in self.breaks.orphans:
            self.emit(ev.Steered("remove_breakpoint", {"breakpoint": name}, by="workbench"))
        if hits and not self.paused and not self._stopped:
            self.emit(ev.Steered("pause", {"breakpoint": hits[0].breakpoint}, by="breakpoint"))
        if hits and not self._stopped:
            self.pause()
            self._at_break = True

    def _keep_paused(self) -> None:
        """Whoever has just joined or been woken is held with the others."""
        if self.paused:
            self.run.pause()

    def resume(self) -> None:
        """Go on; calls that a breakpoint has held begin, and what they return at once joins the next step, as if there
        had been no pause."""
        self.paused, self._steps_due, self._at_break = False, 0, False
        with self.breaks.deaf():
            self.run.resume()
        if held := self.calls.release():
            self.settle(PATIENCE_S, held)

    def single_step(self) -> None:
        """All workers go on until the next step in which something was due was done; two such wishes, two steps."""
        due = self._steps_due + 1
        self.resume()
        self._steps_due = 0 if self.paused else due

    def set_sampling(self, worker: str | None, changes: Mapping[str, Any]) -> None:
        """From the next token on; with a seed for all, each draws by one of its own made from it."""
        names = list(self.run.space.workers)
        for name in [worker] if worker is not None else names:
            if name in self.run.space.workers:
                how = dict(changes)
                if worker is None and "seed" in how:  # one seed for all, and no two that draw alike
                    how["seed"] = for_worker(Sampling(seed=how["seed"]), names.index(name)).seed
                sampling = _fields(self.run.set_sampling(name, **how))
                self.emit(ev.SamplingChanged(name, {**sampling, "banned": list(sampling["banned"])}))

    def say(self, worker: str | None, text: str, line: str = "") -> None:
        """A person's words into a worker's block, by default the first's; where nobody sees the others' blocks, into
        everybody's. A worker that has ended goes on with them."""
        if self.run.closing:
            return
        everybody = list(self.run.space.workers)
        alone = self.spec.layout == "independent"
        for name in [worker] if worker is not None else everybody if alone else everybody[:1]:
            self._saying.append((name, line))
            self.run.say(name, self._fitting_words(name, text))
        self._keep_paused()
        self.spoken_to = True
        self.on_said(line)

    def _fitting_words(self, name: str, text: str) -> str:
        """A person's words, cut with a note where they would take more than half of the room that is left."""
        room, chars, told = self.run.room(name) // 2, len(text), text
        while chars and (takes := self.run.length_said(name, told)) > room:
            chars = min(chars * room // takes, chars * 9 // 10)
            told = f"{text[:chars]}\n[cut: {len(text) - chars:,} more characters]"
        return told

    def queue(self, line: str, worker: str | None, text: str, when: str = "queued") -> None:
        """Words that wait for their moment. "now": until the worker has ended the step that it writes and the item that
        it has taken (in the middle of a word nobody listens), at the latest until it has written LONG_STEP tokens more;
        at once where it is held, but on a worksheet, whose item would be lost.
        "queued": until the worker waits for a call or has ended its turn."""
        listener = self._listener(worker)
        self._queue[line] = WaitingLine(worker, text, when, listener.sampled if listener else 0)
        self._say_queued()

    def requeue(self, line: str, text: str) -> None:
        """Other words for a line that still waits; none take it back."""
        if line not in self._queue:
            return
        known = self._queue.pop(line)
        if text:
            self._queue[line] = replace(known, text=text)
        self.emit(ev.SayQueued(line, known.worker, text, known.when))

    def stepped(self, happenings: Sequence[Happening], step: Step, feeds: Sequence[Feed]) -> None:
        """Take in one step: tell what was decoded, start calls, hand over results, close when all have ended."""
        self.steps += 1
        decoded = [one for one in happenings if one.kind == "decoded"]
        ended = [one.worker for one in happenings if one.kind == "ended"]
        shares = None
        if self.spec.attention:
            shares = {
                feed.tag: {
                    str(self._logged(block)): round(share, 5) for block, share in step.attention_of(feed).items()
                }
                for feed in feeds
            }
        tokens = [
            ev.WorkerTokens(worker=one.worker, block=self._logged(one.block), ids=list(one.ids), text=one.text)
            for one in decoded
        ]
        fed = {feed.tag: len(feed.tokens) for feed in feeds}
        usual = fed == dict.fromkeys([*(one["worker"] for one in tokens), *ended], 1)
        self.emit(ev.TokensAdded(self.steps, tokens, shares, None if usual else fed, ended))
        for one in happenings:
            self._heard(one)
        due: set[str] = set()
        for one in decoded:
            self.lanes[one.worker] += one.text
            due |= self._read(one.worker, self._readers[one.worker].feed(one.text))
        for worker in ended:
            due |= self._turn_ended(worker)
        if self._steps_due:
            self._steps_due -= 1
            if not self._steps_due:
                self.pause()
        self.break_off()
        self.settle(PATIENCE_S, due)

    def settle(self, patience_s: float = PATIENCE_S, due: Collection[str] | None = None) -> None:
        """Hand over the results that have come, waiting a moment for those of `due`, by default for all that run, and
        close when all have ended.

        To be called for a run that had nothing due in a step, too.
        """
        due = set(self._waited_for() if due is None else due)
        for name, worker in self.run.space.workers.items():
            if worker.state in ENDED:
                self._cut_off(name)
                due |= set(self.calls.cancel(name, f"{name} had ended before it."))
        self.calls.wait(due, patience_s)
        for name in self.run.space.workers:
            self._deliver(name)
        self._say_queued()
        if self._guided and not self.guide.offers(self.calls.tools.keys()):
            self.offer()  # what a worker was told was cut, and it may read on
        if not self.calls.open:
            self.count_items()
            self.run.settle()
            self._keep_paused()  # whoever is asked for the answer now
        self.break_off()

    def count_items(self) -> None:
        """Ask for the answers of items, too, that a person has added."""
        if self.spoken_to and not self.run.closed_with:
            self.run.num_items = len(self._items())

    def _items(self) -> tuple[ev.Item, ...]:
        more = added_items(len(self.task.items), self.lanes.values()) if self.spoken_to and self.task.items else ()
        return *self.task.items, *more

    def stop(self) -> None:
        """Everybody stops; calls that still run are given up."""
        self._stopped, self._at_break = True, False
        self.run.stop()
        self.calls.stop("The run was stopped.")

    @property
    def ended(self) -> bool:
        return self.run.ended and not self.calls.open and not self._at_break

    @property
    def waits(self) -> bool:
        """Whether nothing can happen before a call ends or a person speaks."""
        return self.calls.open

    @property
    def has_due(self) -> bool:
        """Whether it takes part in a step now."""
        return any(one.pending and one.state is not State.PAUSED for one in self.run.space.workers.values())

    @property
    def stuck(self) -> bool:
        """Whether nothing can happen any more, though it has not ended. It should never be; whoever waits is told."""
        idle = not any(worker.pending for worker in self.run.space.workers.values())
        return idle and not (self.ended or self.waits or self.paused)

    def outcome(self, error: str | None = None) -> Outcome:
        """How it ended; call once `ended`."""
        answer = self.run.answer
        items = answered(self._items(), answer, self.lanes, self.run.words.skipped)
        dropped = skipped_in(answer, self.run.words.skipped) if self.spoken_to else ()
        solved = all(item["answer"] or item["item"] in dropped for item in items) if items else bool(answer)
        wrong = misfit(self.spec.answer, answer, items) if solved and self.spec.answer is not None else ""
        solved = solved and not wrong
        status: ev.EndStatus = (
            "failed" if error else "stopped" if self._stopped else "solved" if solved else "unanswered"
        )
        return Outcome(status, answer, items, self.metrics(), error, wrong)

    def metrics(self) -> ev.Metrics:
        wall_s = time.monotonic() - self.began
        workers = self.run.space.workers.values()
        return ev.Metrics(
            steps=self.steps,
            wall_s=round(wall_s, 3),
            tokens_per_s=round(self.run.sampled / max(wall_s, 1e-9), 1),
            cache_tokens=sum(block.length for block in self.run.space.blocks()),
            calls=self.calls.num_planned,
            workers=[ev.WorkerReport(name=w.name, tokens=w.sampled, state=w.state.value) for w in workers],
        )

    def close(self) -> None:
        """Give everything back. Every call has its end before it."""
        try:
            self.calls.stop("The run broke off.")
        finally:
            self.calls.close()
            self.run.release()

    def _told_of(self, payload: ev.Payload) -> None:
        """Every event passes here, so that none is missed that a run is to pause for."""
        told = self._tell(payload)
        self.breaks.hear(payload, told if isinstance(told, ev.Event) else None)

    def _is_hit(self) -> bool:
        return bool(self.breaks.due)

    def _joined(self, name: str) -> None:
        how, own = _fields(self.run.brief.sampling_of(name)), self.spec.own.get(name, {})
        tools = None if own.get("tools") is None else list(own["tools"])
        banned = {"banned": list(how["banned"])}
        self.emit(ev.WorkerAdded(name, how | banned, self.run.brief.budget, tools, own.get("instruction", "")))

    def limit(self, worker: str, tools: Collection[str] | None) -> None:
        """Which tools a worker may call, for as long as the run lasts; reading on in its results it always may."""
        if tools is not None:
            self.limits[worker] = frozenset({*tools, READING})
            self.guide.limit(worker, self.limits[worker])

    def _item_budget(self) -> int | None:
        """Without a budget of its own, a worksheet's worker gets twice what doing every item alone would take: the item
        in its own words, a call, an answer line."""
        return 64 + sum(96 + len(item["question"]) for item in self.task.items) if self.task.items else None

    def _reader(self, worker: str) -> PlanReader:
        allowed = self.limits.get(worker)
        return PlanReader(worker, self.calls.tools, self._front, self.run.words.plan_end, allowed)

    def _read(self, worker: str, read: Sequence[Read], *, turn_ended: bool = False) -> set[str]:
        """Start what a worker has written. Returns the calls that are worth a moment's wait."""
        gone = self.run.space.workers[worker].state in ENDED and not turn_ended
        due: set[str] = set()
        for item in read:
            if not isinstance(item, PlanEnded):
                refused = f"{worker} had ended when the call was complete." if gone else ""
                name = self.calls.plan(worker, item, refused=refused)
                due |= {name} if self.spec.asynchronous else set()
                continue
            self.calls.end_plan(item.plan)
            if not self.spec.asynchronous and not gone:
                due |= self._hold(worker)
        return due

    def _hold(self, worker: str) -> set[str]:
        """The worker waits for all of its calls."""
        self._holding.add(worker)
        self.run.hold(worker)
        return set(self.calls.open_of(worker))

    def _turn_ended(self, worker: str) -> set[str]:
        """A turn that ends with calls goes on with their results."""
        due = self._read(worker, self._readers[worker].finish(), turn_ended=True)
        if worker not in self._holding and (self.calls.open_of(worker) or self.calls.ready_of(worker)):
            due |= self._hold(worker)
        return due

    def _cut_off(self, worker: str) -> None:
        """Its turn is over, maybe in the middle of a plan or a call: what it writes after that (its part of the answer)
        belongs to neither."""
        self._holding.discard(worker)
        for item in self._readers[worker].finish():
            if isinstance(item, PlanEnded):
                self.calls.end_plan(item.plan)

    def _deliver(self, worker: str) -> None:
        """Tell a worker of its calls that have ended, if it can be told now."""
        ready = self.calls.ready_of(worker)
        in_space = self.run.space.workers[worker]
        if in_space.state in ENDED:  # its budget was used up meanwhile, or the run's
            for call in ready:
                self.calls.told(call)
            return
        held = worker in self._holding
        if in_space.closes or not (held or (self.spec.asynchronous and not self._readers[worker].inside)):
            return  # its block is full, or it still writes its plan
        for call in ready:
            self.calls.told(call)
            last = not self.calls.open_of(worker) and not self.calls.ready_of(worker)
            text, ids = self.run.respond(worker, self._told(call), awaited=last or self.spec.asynchronous)
            own = self._logged(self.run.space.own(worker).id)
            self.emit(ev.TextInjected(worker, own, text, list(ids), "tool", call.name))
        if held and not self.calls.open_of(worker):
            self._holding.discard(worker)

    def _told(self, call: Call) -> str:
        """What the worker reads of a call that has ended: half of the room that is left at most, so it can go on."""

        def text(outcome: CallOutcome) -> str:
            return result_text(
                outcome, self.run.words, label=call.label,
                alone=self.calls.is_alone(call) and not self.spec.asynchronous, outside=call.outside,
                wary=self.calls.outside_was_read, sharers=self.calls.sharers(call), markers=self._markers,
                special=self._special, read=call.read,
            )  # fmt: skip

        assert call.outcome is not None
        outcome = fitting(call.outcome, lambda one: self.run.length(text(one)), self.run.room(call.worker) // 2)
        if outcome.cut:
            self.calls.offer_reading()
        return text(outcome)

    def _say_queued(self) -> None:
        """Say the lines whose moment has come."""
        for line, one in list(self._queue.items()):
            worker = self._listener(one.worker)
            if worker is None:
                continue
            between = not worker.step_ids and not amid_item(self.lanes[worker.name])
            late = worker.sampled - one.since > LONG_STEP
            halted = worker.state in ENDED or worker.state is State.WAITING
            held = self.paused and not self.run.words.closing_part  # a worksheet's item would be lost
            if halted or (one.when == "now" and (held or between or late)):
                del self._queue[line]
                self.say(one.worker, one.text, line)

    def _listener(self, name: str | None) -> Worker | None:
        """Whose moment a line waits for: the worker of that name, by default the first."""
        return self.run.space.workers.get(name or next(iter(self.run.space.workers)))

    def _waited_for(self) -> list[str]:
        return [name for worker in self.run.space.workers for name in self.calls.open_of(worker)]

    def _heard(self, one: Happening) -> None:
        if one.kind == "opened":
            role: ev.Role = one.role  # type: ignore[assignment]
            self.emit(ev.BlockOpened(self._logged(one.block), role, one.worker or None, one.text, list(one.ids)))
        elif one.kind == "frozen":
            self.emit(ev.BlockFrozen(self._logged(one.block), one.length))
        elif one.kind == "merged":
            self.emit(ev.BlocksMerged(self._logged(one.block), one.length, [self._logged(old) for old in one.ids]))
        elif one.kind == "injected":
            source: ev.Source = one.role  # type: ignore[assignment]
            line = self._line_of(one.worker) if source == "person" else None
            self.emit(ev.TextInjected(one.worker, self._logged(one.block), one.text, list(one.ids), source, None, line))
        elif one.kind == "state" and self._states.get(one.worker) != one.role:
            self._states[one.worker] = one.role
            state: ev.WorkerState = one.role  # type: ignore[assignment]
            self.emit(ev.WorkerStateChanged(one.worker, state, ""))

    def logged_as(self, block: int) -> int | None:
        """What the log calls one of the engine's blocks, where it has spoken of it."""
        return block if self.next_logged is None else self.logged.get(block)

    def _logged(self, block: int) -> int:
        if self.next_logged is None:
            return block
        if block not in self.logged:
            self.logged[block] = self.next_logged
            self.next_logged += 1
        return self.logged[block]

    def _line_of(self, worker: str) -> str | None:
        """The person's line that has just been put into the worker's block; lines of one worker keep their order."""
        for at, (name, line) in enumerate(self._saying):
            if name == worker:
                del self._saying[at]
                return line or None
        return None


@dataclass(frozen=True, slots=True)
class WaitingLine:
    """A person's words that wait; since: how many tokens the worker had sampled."""

    worker: str | None
    text: str
    when: str
    since: int = 0


def _fields(sampling: Sampling) -> dict[str, Any]:
    return {name: getattr(sampling, name) for name in Sampling.__dataclass_fields__}
