"""A run as it stood at some event of its log, made to go on: a fork of it, or the run itself after its engine died.

In: the events up to there, and a driver made for the same task and settings and not opened. Out: that driver, with its
workers, blocks, random numbers, open calls and readers as they were. The blocks are those of the parent, where it still
holds them in the same engine; otherwise they are computed again in one forward (`Engine.rebuild`), with exactly the
visibility that the run had. Nothing that the log tells is done again: results of calls are those of the log.
Neighbours: `tapes` reads the blocks, `host` begins the run.
"""

from __future__ import annotations

import itertools
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hogwild.sampling import Sampler, Sampling, for_worker
from hogwild.text import TextOf
from hogwild.views import Block
from hogwild.workspace import ENDED, State, Worker
from toolsets.guiding import Signature
from workbench import events as ev
from workbench.driver import Driver, WaitingLine
from workbench.errors import ReplayError, UsageError
from workbench.plan_reader import PlanEnded, Read
from workbench.tapes import Memory
from workbench.told import is_cut

_LEFT_OUT = (ev.RunStarted, ev.RunFinished, ev.RunForked, ev.RunResumed)


@dataclass(frozen=True, slots=True)
class Changes:
    """What a person changes where a fork begins; see docs/protocol.md."""

    say: str = ""
    worker: str | None = None
    replace: Mapping[str, str] = field(default_factory=dict)
    sampling: Mapping[str, Any] = field(default_factory=dict)
    without_tools: tuple[str, ...] = ()
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Past:
    """What a run begins with. before: the events up to the point where it goes on; after: its parent's later ones, by
    which calls end that were open there; why: in words, what became of those that nobody knows of."""

    before: list[ev.Event]
    after: list[ev.Event]
    why: str
    resumed: bool = False
    changes: Changes = field(default_factory=Changes)

    @property
    def started(self) -> ev.RunStarted:
        return next(one.payload for one in self.before if isinstance(one.payload, ev.RunStarted))

    def copied(self) -> list[ev.Payload]:
        """What the child's log begins with, after its own start."""
        return [one.payload for one in self.before if not isinstance(one.payload, _LEFT_OUT)]


def past_of(events: Sequence[ev.Event], step: int | None) -> tuple[list[ev.Event], list[ev.Event]]:
    """The events that belong to the run as it was after `step`, by default the last, and those after it; raises
    UsageError for a step that there was not."""
    steps = [index for index, one in enumerate(events) if isinstance(one.payload, ev.TokensAdded)]
    last = events[steps[-1]].payload.step if steps else 0  # type: ignore[union-attr]
    if not any(isinstance(one.payload, ev.TextInjected) for one in events):
        raise UsageError("This run has not come to its first step: fork it later, or start it again if it broke off.")
    if not any(isinstance(one.payload, ev.RunStarted) for one in events):
        raise UsageError(
            "The log of this run has lost its beginning, so nothing can go on from it: start the task again."
        )
    step = last if step is None else step
    if not 0 <= step <= last:
        raise UsageError(f"The run had {last} steps; choose one of 0 to {last}, not {step}.")
    later = (index for index in steps if events[index].payload.step > step)  # type: ignore[union-attr]
    at = next(later, len(events))
    known = [index for index in steps if index < at]
    for index in range(known[-1] + 1 if known else 0, at):  # how it ended is not a part of what goes on
        payload = events[index].payload
        if isinstance(payload, ev.RunFinished) or (isinstance(payload, ev.Steered) and payload.command == "stop"):
            at = index
            break
    return list(events[:at]), list(events[at:])


def go_on(driver: Driver, past: Past, parent: Driver | None = None) -> None:
    """Put the driver where the past ends, carry out the changes; raises ReplayError, UsageError. parent: the driver of
    the run that is forked, where it goes on in the same engine."""
    rehearsal = _Rehearsal(driver, past, parent)
    rehearsal.follow()
    rehearsal.restore_blocks()
    rehearsal.settle()


class _Rehearsal:
    def __init__(self, driver: Driver, past: Past, parent: Driver | None) -> None:
        self.driver, self.run, self.past, self.parent = driver, driver.run, past, parent
        self.emit = driver.emit
        self.memory = Memory.of(past.before)
        self.unplanned: dict[str, deque[Read]] = defaultdict(deque)
        """What was read and the log does not show as planned yet, with the ends of plans after it."""
        self.ended_plans: list[str] = []
        self.unheld = set[str]()
        """Workers whose plan has ended, or whose results have come, of whom the log does not show that they wait, or
        were told."""
        self.begun: set[str] = set()
        self.since: dict[str, int] = {}
        self.said: dict[str, str] = {}
        self.states: dict[str, State] = {}
        self.woken = set[str]()
        """Who had ended and was spoken to; the log may end before it tells that they go on."""
        self.newest: dict[str, int] = {}
        self.unclosed: set[str] = set()
        """Workers whose step is over and whose blocks the log does not show as frozen yet."""
        self.headless: set[str] = set()
        """Workers whose new step the log shows without its header."""
        self.unchecked: set[str] = set()
        """Workers who are due to be asked whether they do what others do, and of whom the log does not show it."""
        self.silent: list[str] = []
        """Workers that have joined, and whose first header the log does not show."""
        self.paused: set[str] = set()
        self.reseeding: set[str | None] = set()
        self.held = False
        """Whether the past ends in a pause, which is not gone on with."""

    def follow(self) -> None:
        """Everything but the blocks, event by event; nothing is told."""
        driver, calls = self.driver, self.driver.calls
        driver.emit = calls._emit = lambda payload: None
        for event in self.past.before:
            self._take(event.payload)
        driver.emit = calls._emit = self.emit
        driver.steps = self.memory.steps

    def _take(self, payload: ev.Payload) -> None:
        calls = self.driver.calls
        self.driver.breaks.hear(payload)
        match payload:
            case ev.WorkerAdded():
                self._joined(payload)
            case ev.TokensAdded():
                self._stepped(payload)
            case ev.TextInjected():
                self._told(payload)
            case ev.BlockOpened():
                self.newest[payload.worker or ""] = payload.block
            case ev.BlockFrozen() if payload.block in self.newest.values():  # not what a fork has put aside
                self._frozen(payload)
            case ev.BlocksMerged():
                levels = self.run._merged
                levels[payload.block] = 1 + max(levels.pop(old, 0) for old in payload.merged)
            case ev.WorkerStateChanged():
                self._state(payload)
            case ev.Steered(command="set_sampling") if "seed" in payload.arguments:
                self.reseeding.add(payload.arguments.get("worker"))
            case ev.Steered(command="pause" | "resume"):
                self.held = payload.command == "pause"
            case ev.Steered(command="without_tools"):
                self._without(payload.arguments["tools"])
            case ev.SamplingChanged():
                self._sampling(payload)
            case ev.SayQueued():
                known = self.driver._queue.pop(payload.line, None)
                if payload.text:
                    listener = self.driver._listener(payload.worker)
                    since = known.since if known else listener.sampled if listener else 0
                    self.driver._queue[payload.line] = WaitingLine(payload.worker, payload.text, payload.when, since)
            case ev.CallsGuided():
                self.driver.guide.offer(map(Signature.from_json, payload.tools))
            case ev.AnswerGuided():
                self.driver.guide.answer(payload.schema)
            case ev.CallPlanned():
                waiting = self.unplanned[payload.worker]
                if not waiting or isinstance(waiting[0], PlanEnded):
                    raise ReplayError(f"Call {payload.call} cannot be read again from what {payload.worker} wrote.")
                calls.recall(payload, waiting[0])
                waiting.popleft()
                self._read(payload.worker, ())
            case ev.ApprovalGiven():
                calls.recall_word(payload)
            case ev.CallStarted():
                self.begun.add(payload.call)
                calls.recall_start(payload)
            case ev.CallFinished():
                calls.recall_end(payload)
            case _:
                pass

    def _joined(self, one: ev.WorkerAdded) -> None:
        driver, run = self.driver, self.run
        how = _sampling(one.sampling)
        run._samplers[one.worker] = Sampler(for_worker(how, len(run._samplers)))
        driver.limit(one.worker, one.tools)
        if one.instruction:
            run.brief = replace(run.brief, instructions={**run.brief.instructions, one.worker: one.instruction})
        run._texts[one.worker] = TextOf(run.engine.tokenizer)
        run._step_text[one.worker], run._since_check[one.worker], run._written[one.worker] = "", 0, []
        run.space.workers[one.worker] = Worker(one.worker, [], budget=one.budget)
        driver.lanes[one.worker] = ""
        driver._readers[one.worker] = driver._reader(one.worker)
        self.since[one.worker], self.said[one.worker] = 0, ""
        self.silent.append(one.worker)

    def _stepped(self, step: ev.TokensAdded) -> None:
        self.reseeding.clear()
        self.unheld.difference_update(one["worker"] for one in step.tokens)
        fed = step.fed if step.fed is not None else [*(t["worker"] for t in step.tokens), *step.ended]
        for name in fed:
            if self.run.space.workers[name].closes:
                self.unclosed.add(name)
            self.run.space.workers[name].closes = False
        for one in step.tokens:
            for token in one["ids"]:
                self._sampled(one["worker"], token)
        for name in step.ended:
            self._draw(name)
            self.run.guide.told(name)
            self._ended(name, State.FINISHED)
            self._read(name, self.driver._readers[name].finish())

    def _sampled(self, name: str, token: int) -> None:
        run, worker = self.run, self.run.space.workers[name]
        self._draw(name)
        text = run._texts[name].add(token)
        run._written[name].append(token)
        run.guide.wrote(name, text)
        run._step_text[name] += text
        self.driver.lanes[name] += text
        self.since[name] += 1
        self.said[name] += text
        run._since_check[name] += 1
        if run.closing:
            run.closed_with.setdefault(name, []).append(text)
        worker.sampled += 1
        worker.step_ids.append(token)
        if run.words.step_end and run._step_text[name].endswith(run.words.step_end):
            worker.steps += 1
            worker.step_ids.clear()
            worker.closes = run.layout.closes_steps
            run._step_text[name] = ""
            if run.words.check_every and run._since_check[name] >= run.words.check_every and not run.closing:
                self.unchecked.add(name)
        if worker.budget is not None and worker.sampled >= worker.budget:
            self._ended(name, State.OUT_OF_BUDGET)
        self._read(name, self.driver._readers[name].feed(text))

    def _draw(self, name: str) -> None:
        """The random numbers that a choice has used up."""
        self.run._samplers[name].advance()

    def _read(self, name: str, read: Sequence[Read]) -> None:
        waiting = self.unplanned[name]
        waiting.extend(read)
        while waiting and isinstance(waiting[0], PlanEnded):
            self.ended_plans.append(waiting.popleft().plan)
            self.unheld.add(name)

    def _ended(self, name: str, state: State) -> None:
        self.states[name] = state
        self.run._step_text[name] = ""

    def _told(self, one: ev.TextInjected) -> None:
        run, calls, worker = self.run, self.driver.calls, self.run.space.workers[one.worker]
        run.guide.told(one.worker)
        if one.source == "closing":
            run.guide.asked(one.worker)
        if one.source == "edit":
            self._read(one.worker, self._take_back(one.worker, one.text))
            run.guide.wrote(one.worker, one.text)
            if self.states.get(one.worker) is State.WAITING:
                self.states[one.worker] = State.DECODING
        self.since[one.worker], self.said[one.worker] = 0, ""
        self.driver.spoken_to |= one.source == "person"
        if one.source in ("closing", "person") and self.states.get(one.worker) in ENDED:
            self.woken.add(one.worker)
        if one.line:
            self.driver._queue.pop(one.line, None)
        if one.source == "header":
            worker.begins = False
            self.headless.discard(one.worker)
            self.silent = [name for name in self.silent if name != one.worker]
        elif one.source == "check":
            self.unchecked.discard(one.worker)
            run._since_check[one.worker] = 0
        elif one.source == "closing":
            run.closing, worker.closes = True, False
            worker.budget = worker.sampled + run.words.closing_tokens
            run.closed_with[one.worker] = []
        elif one.source == "tool":
            if is_cut(one.text):
                calls.offer_reading()
            for call in calls.ready_of(one.worker):
                if call.name == one.call:
                    calls.told(call)
            if not calls.ready_of(one.worker):
                self.unheld.discard(one.worker)
            last = not calls.open_of(one.worker) and not calls.ready_of(one.worker)
            if (last or self.driver.spec.asynchronous) and self.states.get(one.worker) is State.WAITING:
                self.states[one.worker] = State.DECODING  # in a pause the log does not tell that it waits no more

    def _frozen(self, one: ev.BlockFrozen) -> None:
        owner = next(name for name, block in self.newest.items() if block == one.block)
        if owner not in self.run.space.workers:
            return  # the prompt, the separator
        worker = self.run.space.workers[owner]
        worker.closes = False
        self.since[owner], self.said[owner] = 0, ""
        if owner in self.unclosed:
            self.unclosed.discard(owner)
            self.headless.add(owner)
        if self.states.get(owner) in ENDED:
            self.headless.discard(owner)
            worker.begins = True
            worker.steps += bool(worker.step_ids)
            worker.step_ids.clear()

    def _state(self, one: ev.WorkerStateChanged) -> None:
        if one.state == "paused":
            self.paused.add(one.worker)
            return
        self.paused.discard(one.worker)
        self.woken.discard(one.worker)
        before, now = self.states.get(one.worker), State(one.state)
        self.states[one.worker] = now
        if now is not State.FINISHED:  # and a turn that ends with a plan goes on when its results come
            self.unheld.discard(one.worker)
        if before is State.WAITING and now is State.DECODING and self.driver.calls.ready_of(one.worker):
            self.unheld.add(one.worker)
        if now in ENDED:  # as the driver cuts off what it was writing
            read = self.driver._readers[one.worker].finish()
            self._read(one.worker, [item for item in read if isinstance(item, PlanEnded)])
        elif before in ENDED and now is not State.WAITING:  # it goes on, and nobody was left to be told until now
            for call in self.driver.calls.ready_of(one.worker):
                self.driver.calls.told(call)

    def _sampling(self, one: ev.SamplingChanged) -> None:
        how = _sampling(one.sampling)
        if self.reseeding & {None, one.worker}:
            self.run._samplers[one.worker] = Sampler(how)
        else:
            self.run._samplers[one.worker].sampling = how

    def restore_blocks(self) -> None:
        """The cache, and the workers over it."""
        memory, space, engine = self.memory, self.run.space, self.run.engine
        woken = list(self.woken)
        for name in woken:
            self._state(ev.WorkerStateChanged(name, "decoding"))
        old = memory.live()
        shared = self._shared(old)
        made = dict(zip([one.id for one in old], shared or engine.rebuild(memory.tape, old), strict=True))
        self.driver.logged = {block.id: number for number, block in made.items()}
        self.driver.next_logged = max(memory.blocks, default=-1) + 1
        self.run._merged = {made[number].id: level for number, level in self.run._merged.items() if number in made}
        space.prompt = tuple(made[one.id] for one in memory.prompt)
        space.history = [made[one.id] for one in memory.history]
        space.separator = None if memory.separator is None else made[memory.separator.id]
        for name, worker in space.workers.items():
            worker.open = [made[one.id] for one in memory.open[name]]
            worker.pending = list(memory.waiting[name])
            worker.state = self.states.get(name, State.DECODING)
            self.driver._states[name] = "paused" if name in self.paused else worker.state.value
            if name in woken:
                self.driver._states[name] = ""  # still to be told
            if worker.state is State.WAITING:
                self.driver._holding.add(name)
            if not worker.open:
                worker.open = [space._new_block(name)]

    def _shared(self, old: Sequence[Block]) -> list[Block]:
        """The parent's own keys and values, nothing copied or computed; none where it does not hold them all any more,
        because steps were merged since."""
        if self.parent is None:
            return []
        # What its log calls them; of a run that has a past itself, that is not what the engine calls them.
        held = {self.parent.logged_as(block.id): block for block in self.parent.run.space.blocks()}
        theirs = [held.get(block.id) for block in old]
        cache = self.run.engine.cache
        if any(found is None or found.length < block.length for found, block in zip(theirs, old, strict=True)):
            return []
        pairs = zip(theirs, old, strict=True)
        return [cache.branch(found, block.length, frozen=block.frozen) for found, block in pairs if found is not None]

    def settle(self) -> None:
        """What the log did not get to tell, what a person changes, and what becomes of calls that were open."""
        driver, run, calls, changes = self.driver, self.run, self.driver.calls, self.past.changes
        if self.held:
            self.emit(ev.Steered("resume", {}, by="resume" if self.past.resumed else "fork"))
        for name, worker in run.space.workers.items():
            if name in self.silent:
                header, worker.pending = run._first_header(name)
                run._injected(name, header, worker.pending, "header")
            elif name in self.unclosed:
                run.space._close_step(worker)
            elif name in self.headless:
                worker.pending = [*run._step_head(name, worker.steps), *worker.pending]
            elif worker.state in ENDED and not worker.pending:
                run.space._leave(worker)
            elif worker.state is State.DECODING and not worker.pending and run._run_is_spent():
                run._end(name, State.OUT_OF_BUDGET)
            if name in self.unchecked and worker.state not in ENDED:
                run._check(name)
            run._state(name)
        self._end_as_the_parents([name for worker in run.space.workers for name in calls.open_of(worker)])
        for name, text in changes.replace.items():
            self._replace(name, text)
        if changes.without_tools:
            tools = list(dict.fromkeys(changes.without_tools))
            self.emit(ev.Steered("without_tools", {"tools": tools}, by="fork"))
            self._without(tools)
        calls.go_on(self.ended_plans, self.begun, self.past.why)
        driver.offer()
        for name, reads in self.unplanned.items():
            if name not in changes.replace:
                driver._read(name, list(reads))
        for name in self.unheld:
            gone = run.space.workers[name].state in (State.OUT_OF_BUDGET, State.STOPPED)
            if not gone and (calls.open_of(name) or calls.ready_of(name)):
                driver._hold(name)
        for name, worker in run.space.workers.items():
            if worker.state in ENDED:  # it reads no results any more, also where it is asked for its part of the answer
                for call in calls.ready_of(name):
                    calls.told(call)
        if run.closing:
            driver.count_items()
            run._close()  # whoever has not been asked for the answer yet
        if changes.seed is not None:
            self._steer({"worker": None, "seed": changes.seed})
        if changes.sampling:
            self._steer({"worker": None, **changes.sampling})
        if changes.say and run.closing:
            raise UsageError("After that step the run gives its answer and hears nobody: choose an earlier one.")
        if changes.say:
            self._say(changes.worker, changes.say)
        driver.settle()  # what comes at once joins the next step, as it would have

    def _end_as_the_parents(self, names: Sequence[str]) -> None:
        """Open calls that have ended in the parent end as there, and as what ran there."""
        later: dict[str, list[ev.ApprovalGiven | ev.CallStarted | ev.CallFinished]] = {name: [] for name in names}
        for event in self.past.after:
            one = event.payload
            if isinstance(one, ev.ApprovalGiven | ev.CallStarted | ev.CallFinished) and one.call in later:
                later[one.call].append(one)
        for told in later.values():
            if not told or not isinstance(told[-1], ev.CallFinished):
                continue
            for one in told:
                match one:
                    case ev.ApprovalGiven():
                        self.driver.calls.recall_word(one)
                        self.emit(one)
                    case ev.CallStarted():
                        self.driver.calls.recall_start(one)
                    case ev.CallFinished():
                        self.driver.calls.recall_end(one)

    def _say(self, worker: str | None, text: str) -> None:
        """At once, but on a worksheet between two items, as to a worker that is held: what it has begun is not lost."""
        names = (f"line-fork-{at}" if at else "line-fork" for at in itertools.count())
        line = next(name for name in names if name not in self.driver._queue)
        self.emit(ev.SayQueued(line, worker, text, "now"))
        if self.run.words.closing_part:
            self.driver.queue(line, worker, text, "now")
        else:
            self.driver.say(worker, text, line)

    def _without(self, tools: Sequence[str]) -> None:
        for tool in tools:
            self.driver.calls.tools.pop(tool, None)

    def _steer(self, arguments: dict[str, Any]) -> None:
        self.emit(ev.Steered("set_sampling", dict(arguments), by="fork"))
        self.driver.set_sampling(arguments.pop("worker"), arguments)

    def _replace(self, name: str, text: str) -> None:
        """The worker's last words are taken out of its block, and these stand there."""
        run, driver, worker = self.run, self.driver, self.run.space.workers[name]
        if not self.since[name] or run.closing:
            raise UsageError(f"{name} has said nothing since it was last given something: there is nothing to replace.")
        if (takes := run.length(text)) > (room := run.room(name)):
            raise UsageError(
                f"The words for {name} take {takes:,} tokens, and there is room for {room:,}: shorten them."
            )
        run.engine.freeze(worker.own)
        kept = worker.own.length - (self.since[name] - len(worker.pending))
        old = worker.own
        driver._holding.discard(name)
        if worker.state is State.WAITING:  # for calls in the words that are taken back
            worker.state = State.DECODING
        run.engine.cache.cut(old, kept)
        worker.pending = []
        worker.open.append(run.space._new_block(name))
        self.emit(ev.BlockFrozen(driver._logged(old.id), kept))
        read = self._take_back(name, text)
        run.inject(name, text, "edit")
        driver._read(name, read)

    def _take_back(self, name: str, text: str) -> list[Read]:
        """Text in the place of a worker's last words; returns the calls in it."""
        run, driver, worker = self.run, self.driver, self.run.space.workers[name]
        self.unchecked.discard(name)
        worker.steps -= worker.closes  # the end of its step is taken back, too
        worker.step_ids, worker.closes = [], False
        run._texts[name], run._step_text[name] = TextOf(run.engine.tokenizer), ""
        driver.lanes[name] = driver.lanes[name].removesuffix(self.said[name]) + text
        driver.calls.forget(name, "a person replaced the words that it stood in.")
        self.unplanned[name].clear()
        self.unheld.discard(name)
        reader = driver._readers[name]
        reader._plan = None
        reader._renew()
        return reader.feed(text)


def _sampling(given: Mapping[str, Any]) -> Sampling:
    return replace(Sampling(**{**given, "banned": ()}), banned=tuple(given.get("banned", ())))
