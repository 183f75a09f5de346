"""How a worksheet is solved well: scripted workers on the real workspace, played step by step as the engine would.

In: a worksheet, a tokenizer, the number of workers, a layout, `Habits` (what goes wrong, how often somebody asks). Out:
a `Lesson`: the tape (who saw what) and, for every token that a worker chose, the row it was chosen from. Because the
script runs on the engine's own `Workspace`, what the model is trained on is by construction what it sees in a run.
Who has what is on the `Board`. Below: `hogwild.workspace`, `hogwild.tape`, `hogwild.prompting`. Above:
`lessons.py`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from hogwild.embedded.board import Board
from hogwild.embedded.worksheets import Call, Item, Worksheet
from hogwild.layouts import Layout
from hogwild.prompting import WORKSHEETS, Prompting, parts
from hogwild.tape import Tape
from hogwild.views import Block, Feed
from hogwild.workspace import Workspace

SLIP = "slip"
"""The kind of a choice that is a mistake on purpose: it is played, so that mending it is learned, and never learned."""


class Encoder(Protocol):
    """What the script needs of a tokenizer."""

    def encode(self, text: str) -> list[int]: ...
    def prompt(self, system: str, user: str) -> list[int]: ...
    @property
    def end(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Choice:
    """`token` was chosen from what the worker knew at `(block, index)`; `kind` is what it was writing."""

    block: int
    index: int
    token: int
    kind: str


@dataclass(frozen=True, slots=True)
class Habits:
    """What may happen on the way, as shares. slips: claims of an item that a peer has. busy: calls that fail once for a
    reason that passes. check_every: tokens between two checks for redundant work, 0 for none."""

    slips: float = 0.0
    busy: float = 0.0
    check_every: int = 0


STEADY = Habits()
"""Nothing goes wrong and nobody asks."""


@dataclass(slots=True)
class Lesson:
    """One played worksheet."""

    tape: Tape = field(default_factory=Tape)
    choices: list[Choice] = field(default_factory=list)
    claims: list[tuple[str, int]] = field(default_factory=list)
    answers: dict[int, str] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class Actor:
    """One scripted worker: the tokens that it is about to write, and what it does after them.

    then: the method of `_Play` that fills the queue next; resume: what it goes on with after a check. round: of the
    item's rounds of calls, the one that runs. waits: results that are out, as (step, text).
    """

    name: str
    rank: int
    queue: list[int] = field(default_factory=list)
    then: str = "begin"
    resume: str = ""
    writes: str = ""
    item: Item | None = None
    slipped: str = ""
    tried: int = 0
    round: int = 0
    last: tuple[int, int] = (0, 0)
    waits: list[tuple[int, str]] = field(default_factory=list)
    since_check: int = 0


def play(
    worksheet: Worksheet,
    encoder: Encoder,
    workers: int,
    layout: Layout,
    *,
    rng: random.Random,
    prompting: Prompting = WORKSHEETS,
    habits: Habits = STEADY,
) -> Lesson:
    """Solve the worksheet with scripted workers; tools take 0 to 10 steps."""
    return _Play(worksheet, encoder, workers, layout, rng, prompting, habits).run()


class _Play:
    def __init__(
        self,
        worksheet: Worksheet,
        encoder: Encoder,
        workers: int,
        layout: Layout,
        rng: random.Random,
        words: Prompting,
        habits: Habits,
    ) -> None:
        self.sheet, self.encoder, self.rng, self.words, self.habits = worksheet, encoder, rng, words, habits
        names = words.names[:workers]
        self.lesson = Lesson()
        self.blocks = 0
        self.step = 0
        self.step_end = encoder.encode(words.step_end)
        self.space = Workspace(layout, self.open_block, step_ends=self.ends_step, head=self.head)
        self.actors = {name: Actor(name, rank) for rank, name in enumerate(names)}
        self.board = Board(worksheet.items, self.space, list(names))
        # A person speaks once somebody has taken an item, between two steps of one worker.
        self.lines = list(worksheet.lines)
        self.speaks_at = rng.randint(20, 160)
        prompt = self.open_block()
        system = words.system(names, [tool.line() for tool in worksheet.tools], worksheet.concepts)
        self.feed([Feed((prompt,), encoder.prompt(system, worksheet.text()))])
        prompt.frozen = True
        self.space.prompt = (prompt,)
        for name in names:
            self.space.add_worker(name, encoder.encode(words.begin(name, names)))

    def open_block(self) -> Block:
        self.blocks += 1
        return Block(self.blocks)

    def head(self, name: str, step: int) -> list[int]:
        return self.encoder.encode(self.words.begin_step(name, step))

    def ends_step(self, tokens: Sequence[int]) -> bool:
        return list(tokens[-len(self.step_end) :]) == self.step_end

    def feed(self, feeds: list[Feed]) -> None:
        for feed in feeds:
            feed.own.length += len(feed.tokens)
        self.lesson.tape.record(feeds)
        self.step += 1

    def run(self) -> Lesson:
        self.play_out()
        for name, (first, last) in parts(len(self.sheet.items), list(self.actors)).items():
            self.space.inject(name, self.encoder.encode(self.words.close_part(first, last)))
            self.actors[name].queue, self.actors[name].writes = self.joint_answer(first, last), "joint"
            self.actors[name].then = "closed"
        self.play_out()
        return self.lesson

    def play_out(self) -> None:
        while not self.space.ended():
            for actor in self.actors.values():
                self.respond(actor)
            feeds = self.space.feeds()
            if not feeds:
                self.step += 1
                continue
            self.feed(feeds)
            for feed in feeds:
                self.actors[feed.tag].last = (feed.own.id, feed.own.length - 1)
            for name in self.space.fed(feeds):
                self.choose(self.actors[name])

    def choose(self, actor: Actor) -> None:
        """One token, chosen from what the actor has just fed; or a person speaks before it chooses."""
        if not actor.queue:
            if actor.then == "begin" and self.spoken_to(actor):
                return
            actor.writes = actor.then
            getattr(self, actor.then)(actor)
        token = actor.queue.pop(0)
        self.lesson.choices.append(Choice(*actor.last, token, actor.writes))
        before = self.space.workers[actor.name].steps
        self.space.accept(actor.name, token)
        actor.since_check += 1
        if token == self.encoder.end:
            self.space.finish(actor.name)
        elif not actor.queue and actor.then == "answer":
            self.space.hold(actor.name)
            self.respond(actor)
        elif self.space.workers[actor.name].steps > before:
            self.check(actor)

    # What is put into a worker's block.

    def respond(self, actor: Actor) -> None:
        """Hand over the results that have come by now."""
        due = [one for one in actor.waits if one[0] <= self.step]
        for one in due:
            actor.waits.remove(one)
            tokens = self.encoder.encode(self.words.responded(one[1]))
            self.space.inject(actor.name, tokens, awaited=not actor.waits)

    def check(self, actor: Actor) -> None:
        """As `hogwild.collaboration` does: a question after a step, when enough was written since the last one."""
        if self.habits.check_every and actor.since_check >= self.habits.check_every and not actor.queue:
            actor.since_check = 0
            self.space.inject(actor.name, self.encoder.encode(self.words.check))
            actor.resume, actor.then = actor.then, "review"

    def spoken_to(self, actor: Actor) -> bool:
        if not self.lines or self.step < self.speaks_at or self.words.person == "":
            return False
        line = self.lines.pop()
        tokens = self.encoder.encode(self.words.said(actor.name, line.text))
        own = self.space.own(actor.name)
        self.board.heard(line, own, own.length + len(tokens))
        self.space.inject(actor.name, tokens)
        return True

    # What an actor does next; each fills the queue.

    def begin(self, actor: Actor) -> None:
        blocked = self.board.waits_for(actor.name, actor.rank)
        if blocked is not None:
            actor.queue, actor.then = self.said(f"I wait for {blocked}."), "begin"
        else:
            actor.queue, actor.then = self.encoder.encode("I take"), "claim"

    def claim(self, actor: Actor) -> None:
        actor.slipped = ""
        if self.rng.random() < self.habits.slips and (peer := self.board.being_done(actor.name)):
            actor.slipped, number = peer
        else:
            found = self.board.pick(actor.name, actor.rank)
            if found is None:
                actor.queue, actor.then = [*self.encoder.encode(" nothing."), self.encoder.end], "end"
                return
            number = found
        item = actor.item = self.board.items[number]
        actor.round = actor.tried = 0
        actor.queue = self.encoder.encode(f" {number}")
        actor.then = "restate"
        if actor.slipped:
            actor.writes = SLIP
            return
        self.lesson.claims.append((actor.name, number))
        # " 3" is two tokens, a space and the digit: the claim is known once the last has been fed.
        own = self.space.own(actor.name)
        self.board.claimed(actor.name, item.number, own, own.length + len(actor.queue))

    def restate(self, actor: Actor) -> None:
        assert actor.item is not None
        actor.queue = self.said(f": {actor.item.question}\n{actor.item.says}.")
        actor.then = "withdraw" if actor.slipped else "call" if actor.item.rounds else "conclude"

    def withdraw(self, actor: Actor) -> None:
        """A peer has this item: say so, and take another one."""
        assert actor.item is not None
        actor.queue = self.said(f"{actor.slipped} has {actor.item.number} already.")
        actor.then, actor.slipped, actor.item = "begin", "", None

    def review(self, actor: Actor) -> None:
        """Answer the check for redundant work truthfully."""
        if actor.slipped and actor.item is not None:
            actor.queue = self.said(f"Yes, {actor.slipped} has {actor.item.number} already.")
            actor.then, actor.slipped, actor.item = "begin", "", None
        else:
            actor.queue, actor.then = self.said("No."), actor.resume

    def call(self, actor: Actor) -> None:
        assert actor.item is not None
        calls = actor.item.rounds[actor.round]
        written = "".join(call_text(call) for call in calls)
        actor.queue, actor.then = self.encoder.encode(written + self.words.plan_end), "answer"
        busy = self.rng.random() < self.habits.busy and actor.tried == 0
        actor.tried += 1
        failing = self.rng.randrange(len(calls)) if busy else len(calls)
        # The step in which the last token is written is not known yet; results cannot come before it.
        end = self.step + len(actor.queue) - 1
        for index, call in enumerate(calls):
            text = call.result if index < failing else self.rng.choice(PASSING) if index == failing else SKIPPED
            if len(calls) > 1:
                text = plan_response(index + 1, call.tool, text)
            late = 0 if self.rng.random() < 0.7 else self.rng.randint(1, 10)
            actor.waits.append((end + late, text))
        if busy:
            actor.resume = "again"

    def answer(self, actor: Actor) -> None:
        """The results are there: the next round, another try, or the answer."""
        assert actor.item is not None
        if actor.resume == "again":
            actor.queue, actor.then, actor.resume = self.said("That failed, I try again."), "call", ""
        elif actor.round + 1 < len(actor.item.rounds):
            actor.round += 1
            self.call(actor)
        else:
            self.conclude(actor)

    def conclude(self, actor: Actor) -> None:
        assert actor.item is not None
        number, text = actor.item.number, final(actor.item)
        peer = self.board.waiting_for(number, actor.name)
        told = f"\n{peer}, use my result {number}." if peer else ""
        actor.queue = self.said(f"Answer {number}: {text}{told}")
        actor.then = "begin"
        own = self.space.own(actor.name)
        self.board.answered(number, own, own.length + len(actor.queue))
        self.lesson.answers[number] = text

    def said(self, text: str) -> list[int]:
        # Apart, because a tokenizer may know ".\n\n" as one token, which no step would end with.
        return [*self.encoder.encode(text), *self.step_end]

    def joint_answer(self, first: int, last: int) -> list[int]:
        lines = "\n".join(
            f"{item.number}: {self.lesson.answers.get(item.number, self.words.skipped)}"
            for item in self.sheet.items[first - 1 : last]
        )
        return [*self.encoder.encode(lines), self.encoder.end]


PASSING = (
    "failed: The service is busy; try again.",
    "failed: Connection lost.",
    "timed out after 10 s",
    "failed: Too many requests.",
)
SKIPPED = "skipped: a call before it did not succeed"


def call_text(call: Call) -> str:
    """A call as a worker writes it."""
    written = json.dumps({"name": call.tool, "arguments": call.arguments}, ensure_ascii=False)
    return f"<tool_call>{written}</tool_call>"


def plan_response(number: int, tool: str, text: str) -> str:
    """The result of one call among several, as `toolsets.rounds` tells it."""
    failed = text.startswith(("failed", "timed out", "skipped"))
    return f"${number} {tool} {'' if failed else '= '}{text}"


def final(item: Item) -> str:
    """What the worker answers."""
    return "no result" if item.failed else item.answer
