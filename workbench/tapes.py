"""What every worker saw at each step, rebuilt from the events of a run alone.

In: the events, from the log or from an exported notebook. Out: a run's `Memory`: its blocks, a tape (who saw which
tokens, for the replay forward), and every choice that a worker made, with the place in the tape that it was made from.
No torch, no model, no text: blocks, token ids and layouts are enough. Neighbours: `events` above; `replay` proves a run
with it, `rehearsal` rebuilds one.

The rules, which are the scheduler's (`hogwild.workspace`): tokens that were sampled for or given to a worker wait until
a step appends all of them to its last open block; a step's views are those of the layout over the blocks as they are
then; freezing a worker's last open block closes its step, and its open blocks join the history.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from hogwild.errors import ViewError
from hogwild.layouts import Arrangement, Layout, layout_named
from hogwild.tape import Tape
from hogwild.views import Block, Feed
from workbench import events as ev
from workbench.errors import ReplayError


@dataclass(frozen=True, slots=True)
class Choice:
    """What a worker chose in a step, after the token at index `at` of block `block`; `token` None: its turn's end."""

    seq: int
    step: int
    worker: str
    block: int
    at: int
    token: int | None


@dataclass(frozen=True, slots=True)
class Seeded:
    """From here on a worker samples so. anew: its random numbers begin again, with this seed."""

    worker: str
    sampling: dict[str, object]
    anew: bool


@dataclass(frozen=True, slots=True)
class Told:
    """Something was put into a worker's block; `instead`: a person's words, in the place of its last ones; `asked`: it
    is to give the answer now."""

    worker: str
    instead: str = ""
    asked: bool = False


@dataclass(frozen=True, slots=True)
class Guided:
    """From here on calls are guided; tools: as `ev.CallsGuided` has them."""

    tools: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Formed:
    """The answer is guided; schema: as `ev.AnswerGuided` has it."""

    schema: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Limited:
    """The worker's calls can only name these tools."""

    worker: str
    tools: list[str]


Course = Choice | Seeded | Told | Guided | Limited | Formed
"""What bears on the choices of a run, in order."""


@dataclass(slots=True)
class Memory:
    """The blocks of a run as its events leave them. `waiting`: per worker, tokens that no step has appended yet."""

    layout: Layout
    tape: Tape = field(default_factory=Tape)
    course: list[Course] = field(default_factory=list)
    blocks: dict[int, Block] = field(default_factory=dict)
    prompt: list[Block] = field(default_factory=list)
    history: list[Block] = field(default_factory=list)
    separator: Block | None = None
    open: dict[str, list[Block]] = field(default_factory=dict)
    waiting: dict[str, list[int]] = field(default_factory=dict)
    steps: int = 0
    _dropping: set[str] = field(default_factory=set)
    _reseeding: set[str | None] = field(default_factory=set)

    @classmethod
    def of(cls, events: Iterable[ev.Event]) -> Memory:
        """Raises ReplayError where the events do not say exactly what was seen."""
        memory: Memory | None = None
        for event in events:
            if memory is not None:
                memory.apply(event)
            elif isinstance(event.payload, ev.RunStarted):
                try:
                    memory = cls(layout_named(event.payload.layout))
                except ViewError as error:
                    raise ReplayError(f"The run's layout is not known here: {error}") from error
        if memory is None:
            raise ReplayError("The run broke off before it began, so there is nothing to replay.")
        return memory

    def apply(self, event: ev.Event) -> None:
        """Take in the next event."""
        match event.payload:
            case ev.WorkerAdded() as one:
                self.open[one.worker], self.waiting[one.worker] = [], []
                self.course.append(Seeded(one.worker, one.sampling, anew=True))
                if one.tools is not None:
                    self.course.append(Limited(one.worker, one.tools))
            case ev.Steered(command="set_sampling") as one if "seed" in one.arguments:
                self._reseeding.add(one.arguments.get("worker"))
            case ev.SamplingChanged() as one:
                anew = bool(self._reseeding & {None, one.worker})
                self.course.append(Seeded(one.worker, one.sampling, anew))
            case ev.BlockOpened() as one:
                self._opened(one)
            case ev.BlockFrozen() as one:
                self._frozen(one)
            case ev.BlocksMerged() as one:
                self._merged(one)
            case ev.BlockPruned() as one:
                self._pruned(one.block)
            case ev.TextInjected() as one:
                _told(one.text, one.ids)
                self._queue(one.worker).extend(one.ids)
                instead = one.text if one.source == "edit" else ""
                self.course.append(Told(one.worker, instead, asked=one.source == "closing"))
            case ev.CallsGuided() as one:
                self.course.append(Guided(one.tools))
            case ev.AnswerGuided() as one:
                self.course.append(Formed(one.schema))
            case ev.WorkerStateChanged(state="out_of_budget" | "stopped") as one:
                self._dropping.add(one.worker)  # what waits may have been dropped, which the next step shows
            case ev.TokensAdded() as one:
                self._reseeding.clear()
                self._stepped(one, event.seq)
            case _:
                pass

    def live(self) -> list[Block]:
        """The blocks that stand in some view."""
        separator = [self.separator] if self.separator is not None else []
        return [*self.prompt, *self.history, *separator, *(block for one in self.open.values() for block in one)]

    def _stepped(self, step: ev.TokensAdded, seq: int) -> None:
        fed = step.fed if step.fed is not None else dict.fromkeys([t["worker"] for t in step.tokens] + step.ended, 1)
        owned = {worker: self._own(worker) for worker in self.open if worker in fed}
        views = {worker: self._view(worker) for worker in owned}
        if len(owned) != len(fed):
            raise ReplayError(f"Step {step.step} feeds a worker that never joined: the log is not whole.")
        taken = {worker: self._take(worker, fed[worker], step.step) for worker in owned}
        for worker, block in owned.items():
            block.length += len(taken[worker])
        self.tape.record([Feed(views[worker], taken[worker], worker) for worker in owned])
        self.steps = step.step
        for one in step.tokens:
            for token in one["ids"]:
                self.course.append(self._choice(seq, step.step, one["worker"], owned, token))
            self._queue(one["worker"]).extend(one["ids"])
        self.course += [self._choice(seq, step.step, worker, owned, None) for worker in step.ended]

    def _choice(self, seq: int, step: int, worker: str, owned: dict[str, Block], token: int | None) -> Choice:
        if worker not in owned:
            raise ReplayError(f"In step {step} {worker} sampled and was fed nothing: the log is not whole.")
        return Choice(seq, step, worker, owned[worker].id, owned[worker].length - 1, token)

    def _take(self, worker: str, count: int, step: int) -> tuple[int, ...]:
        """The tokens that a step appends: all that wait, without those that were dropped when the worker was ended."""
        waiting = self._queue(worker)
        if count < 1 or count > len(waiting) or (count < len(waiting) and worker not in self._dropping):
            raise ReplayError(
                f"The log does not say exactly what {worker} was fed in step {step} ({len(waiting)} tokens waited, "
                f"{count} were fed): runs recorded by an older version cannot be replayed."
            )
        taken = tuple(waiting[-count:])
        waiting.clear()
        self._dropping.discard(worker)
        return taken

    def _view(self, worker: str) -> tuple[Block, ...]:
        given = Arrangement(
            tuple(self.prompt), tuple(self.history),
            {name: tuple(blocks) for name, blocks in self.open.items()}, (), self.separator,
        )  # fmt: skip
        return self.layout.arrange(given, worker)

    def _own(self, worker: str) -> Block:
        if not self.open[worker]:
            raise ReplayError(f"{worker} writes without a block of its own: the log is not whole.")
        return self.open[worker][-1]

    def _queue(self, worker: str) -> list[int]:
        return self.waiting.setdefault(worker, [])

    def _opened(self, one: ev.BlockOpened) -> None:
        block = self.blocks[one.block] = Block(one.block)
        if one.role == "worker":
            opened = self.open.setdefault(one.worker or "", [])
            if opened:  # a fork's: what waits is what it was given
                self.waiting[one.worker or ""] = list(one.tokens)
            opened.append(block)
            return
        _told(one.text, one.tokens)
        block.length, block.frozen = len(one.tokens), True
        self.tape.record_block(block.id, one.tokens)
        if one.role == "prompt":
            self.prompt.append(block)
        else:
            self.separator = block

    def _frozen(self, one: ev.BlockFrozen) -> None:
        block = self._known(one.block)
        block.length, block.frozen = min(block.length, one.length), True
        for blocks in self.open.values():
            if blocks and blocks[-1] is block:
                self.history += blocks
                blocks.clear()

    def _merged(self, one: ev.BlocksMerged) -> None:
        old = [self._known(number) for number in one.merged]
        at = next((index for index, block in enumerate(self.history) if block is old[0]), -1)
        if at < 0 or self.history[at : at + len(old)] != old:
            raise ReplayError(f"Block {one.block} was made of blocks that are no neighbours: the log is not whole.")
        self.tape.record_merge(one.block, [(block.id, block.length) for block in old])
        merged = self.blocks[one.block] = Block(one.block, one.length, frozen=True)
        self.history[at : at + len(old)] = [merged]

    def _pruned(self, number: int) -> None:
        block = self._known(number)
        for blocks in (self.prompt, self.history, *self.open.values()):
            if block in blocks:
                blocks.remove(block)

    def _known(self, number: int) -> Block:
        if number not in self.blocks:
            raise ReplayError(f"The log speaks of block {number}, which was never opened: it is not whole.")
        return self.blocks[number]


def _told(text: str, tokens: list[int]) -> None:
    if text and not tokens:
        raise ReplayError("Credentials were taken out of what this run read, so it cannot be replayed from an export.")
