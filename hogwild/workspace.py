"""The scheduler's state machine: workers, their blocks, and which tokens are due. Pure; no torch, no text, no clock.

In: sampled tokens (`accept`), text handed to a worker (`inject`), people's wishes (`pause`, `stop`...). Out: `feeds()`,
the tokens due in the next step with the view each of them sees. One step reads: feeds -> (somebody runs the model,
which appends) -> `fed(feeds)` says who may sample -> `accept`. Above: `collaboration.py` drives it with the engine,
the embedded model's generator with a script. Below: `layouts.py`, `views.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from hogwild.errors import ViewError
from hogwild.layouts import Arrangement, Layout
from hogwild.views import Block, Feed, View


class State(StrEnum):
    """What a worker is doing. Only a DECODING worker samples; FINISHED and beyond feed what is left, and then nothing
    unless woken."""

    DECODING = "decoding"
    WAITING = "waiting"  # for a tool
    PAUSED = "paused"
    FINISHED = "finished"
    STOPPED = "stopped"
    OUT_OF_BUDGET = "out_of_budget"


ENDED = frozenset({State.FINISHED, State.STOPPED, State.OUT_OF_BUDGET})


@dataclass(eq=False, slots=True)
class Worker:
    """One stream of tokens.

    open: its unfinished blocks, the last is written to. pending: tokens that wait to be fed. step_ids: sampled tokens
    since its last finished step. sampled: how many tokens it has decoded; budget: how many it may, None for no limit.
    closes: the step is over as soon as its last token is fed. begins: should it go on, a step's header comes first.
    """

    name: str
    open: list[Block]
    pending: list[int] = field(default_factory=list)
    step_ids: list[int] = field(default_factory=list)
    state: State = State.DECODING
    resume_to: State = State.DECODING
    sampled: int = 0
    budget: int | None = None
    steps: int = 0
    closes: bool = False
    begins: bool = False
    after_step: list[int] = field(default_factory=list)

    @property
    def own(self) -> Block:
        return self.open[-1]


def never_ends(_: Sequence[int]) -> bool:
    """The default of `step_ends`: no token ends a step."""
    return False


class Workspace:
    """The workers of one run over their shared blocks.

    open_block: makes a new empty block (the engine's, or a counter in a simulation). step_ends: given the tokens that a
    worker has sampled since its last finished step, is the step finished with the last of them? head: tokens that begin
    a worker's k-th step after the first, for layouts that close steps.
    """

    def __init__(
        self,
        layout: Layout,
        open_block: Callable[[], Block],
        *,
        step_ends: Callable[[Sequence[int]], bool] = never_ends,
        head: Callable[[str, int], Sequence[int]] | None = None,
        on_block: Callable[[Block, str], None] | None = None,
        on_freeze: Callable[[Block], None] | None = None,
    ) -> None:
        self.layout = layout
        self.workers: dict[str, Worker] = {}
        self.prompt: tuple[Block, ...] = ()
        self.history: list[Block] = []
        self.common: list[Block] = []
        self.separator: Block | None = None
        self._open_block = open_block
        self._step_ends = step_ends
        self._head = head
        self._on_block = on_block
        self._on_freeze = on_freeze

    def add_worker(self, name: str, head: Sequence[int], budget: int | None = None) -> Worker:
        """A new worker whose block begins with the tokens of `head` (at least one); possible at any time."""
        if name in self.workers:
            raise ViewError(f"There is a worker named {name} already; give the new one another name.")
        if not head:
            raise ViewError(f"Worker {name} needs at least one token to begin with; give it a header.")
        worker = Worker(name, [self._new_block(name)], pending=list(head), budget=budget)
        self.workers[name] = worker
        return worker

    def view(self, name: str) -> View:
        """The worker's view as the layout arranges it now."""
        given = Arrangement(
            self.prompt,
            tuple(self.history),
            {worker.name: tuple(worker.open) for worker in self.workers.values()},
            tuple(self.common),
            self.separator,
        )
        view = self.layout.arrange(given, name)
        if not view or view[-1] is not self.own(name):
            raise ViewError(f"The layout '{self.layout.name}' must put {name}'s own open block last.")
        return view

    def own(self, name: str) -> Block:
        return self.workers[name].own

    def feeds(self) -> list[Feed]:
        """All tokens that are due: one for a decoding worker, a whole chunk for one that has been given text."""
        due = [worker for worker in self.workers.values() if worker.pending and worker.state is not State.PAUSED]
        return [Feed(self.view(worker.name), tuple(worker.pending), worker.name) for worker in due]

    def fed(self, feeds: Sequence[Feed]) -> list[str]:
        """The tokens have been appended. Returns the workers whose next token may be sampled from this step."""
        for feed in feeds:
            worker = self.workers[feed.tag]
            del worker.pending[: len(feed.tokens)]
            if worker.closes:
                self._close_step(worker)
            elif worker.state in ENDED:
                self._leave(worker)
        return [
            feed.tag
            for feed in feeds
            if self.workers[feed.tag].state is State.DECODING and not self.workers[feed.tag].pending
        ]

    def foreseen(self, feeds: Sequence[Feed]) -> list[int] | None:
        """Before the step of these feeds is `fed`: which of them (indices) feed one token in the next step, the one
        chosen in this, while nobody feeds anything else and every view keeps its blocks. None where that is not so;
        what is asked of the workspace in between may still change it."""
        workers = [self.workers[feed.tag] for feed in feeds]
        for worker, feed in zip(workers, feeds, strict=True):
            leaves = worker.state in ENDED and self.layout.closes_steps
            if worker.closes or leaves or len(worker.pending) > len(feed.tokens):
                return None
        return [at for at, worker in enumerate(workers) if worker.state is State.DECODING]

    def accept(self, name: str, token: int) -> None:
        """The worker has sampled a token; it is fed in the next step."""
        worker = self.workers[name]
        worker.pending.append(token)
        worker.step_ids.append(token)
        worker.sampled += 1
        if self._step_ends(worker.step_ids):
            worker.steps += 1
            worker.step_ids.clear()
            worker.closes = self.layout.closes_steps
        if worker.budget is not None and worker.sampled >= worker.budget:
            worker.state = State.OUT_OF_BUDGET

    def inject(self, name: str, tokens: Sequence[int], *, awaited: bool = True) -> None:
        """Hand text to a worker. A waiting one goes on after what it waited for (`awaited`); an ended one goes on."""
        worker = self.workers[name]
        if worker.begins:
            worker.begins = False
            worker.pending.extend(self._head(name, worker.steps) if self._head else ())
        if worker.closes:
            worker.after_step.extend(tokens)
        else:
            worker.pending.extend(tokens)
        paused = worker.state is State.PAUSED
        if awaited or (worker.resume_to if paused else worker.state) is not State.WAITING:
            self._set(name, State.DECODING)

    def hold(self, name: str) -> None:
        """The worker waits (for a tool); what is pending is still fed, nothing is sampled."""
        self._set(name, State.WAITING)

    def finish(self, name: str, state: State = State.FINISHED, *, drop: bool = False) -> None:
        """The worker has ended its turn. Tokens not yet fed are still fed, so that every block holds what was said;
        with `drop` they are dropped, and nobody will see them.

        Where the layout closes steps, what it has written of an unfinished one joins the history all the same: others
        see nothing else of it, and one of them may be asked for the answer.
        """
        worker = self.workers[name]
        worker.state = state
        if drop:
            worker.pending.clear()
            worker.closes, worker.after_step = False, []
        if not worker.pending:
            self._leave(worker)

    def pause(self, name: str) -> None:
        worker = self.workers[name]
        if worker.state not in ENDED and worker.state is not State.PAUSED:
            worker.resume_to, worker.state = worker.state, State.PAUSED

    def resume(self, name: str) -> None:
        worker = self.workers[name]
        if worker.state is State.PAUSED:
            worker.state = worker.resume_to

    def ended(self) -> bool:
        """Nobody has anything left to do."""
        return all(worker.state in ENDED and not worker.pending for worker in self.workers.values())

    def blocks(self) -> list[Block]:
        """Every block of this run."""
        separator = [self.separator] if self.separator is not None else []
        opened = [block for worker in self.workers.values() for block in worker.open]
        return [*self.prompt, *self.history, *self.common, *separator, *opened]

    def compacted(self, old: Sequence[Block], new: Block) -> None:
        """Put a merged block in the place of neighbours of the history."""
        at = next(index for index, block in enumerate(self.history) if block is old[0])
        self.history[at : at + len(old)] = [new]

    def _set(self, name: str, state: State) -> None:
        worker = self.workers[name]
        if worker.state is State.PAUSED:
            worker.resume_to = state
        else:
            worker.state = state

    def _close_step(self, worker: Worker) -> None:
        worker.closes = False
        self._freeze_open(worker)
        if worker.state in ENDED and not worker.after_step:
            worker.begins = True
            return
        head = self._head(worker.name, worker.steps) if self._head else ()
        worker.pending = [*worker.pending, *head, *worker.after_step]
        worker.after_step = []

    def _leave(self, worker: Worker) -> None:
        """It has ended and everything is fed: an unfinished step is over."""
        if self.layout.closes_steps and worker.step_ids:
            worker.steps += 1
            worker.step_ids.clear()
            worker.begins = True
            self._freeze_open(worker)

    def _freeze_open(self, worker: Worker) -> None:
        """The worker's open blocks join the history; it gets a new one."""
        for block in worker.open:
            if self._on_freeze:  # first: a cache gives back the spare room of a block that is not frozen yet
                self._on_freeze(block)
            block.frozen = True
            self.history.append(block)
        worker.open = [self._new_block(worker.name)]

    def _new_block(self, name: str) -> Block:
        block = self._open_block()
        if self._on_block:
            self._on_block(block, name)
        return block
