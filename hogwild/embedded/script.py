"""How a worksheet is solved well: scripted workers on the real workspace, played step by step as the engine would.

In: a worksheet, a tokenizer, the number of workers, a layout. Out: a `Lesson`: the tape (who saw what) and, for every
token that a worker chose, the row it was chosen from. Because the script runs on the engine's own `Workspace`, what the
model is trained on is by construction what it sees in a run. Below: `hogwild.workspace`, `hogwild.tape`,
`hogwild.prompting`. Above: `train.py`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from hogwild.embedded.worksheets import Item, Worksheet
from hogwild.layouts import Layout
from hogwild.prompting import WORKSHEETS, Prompting, parts
from hogwild.tape import Tape
from hogwild.views import Block, Feed
from hogwild.workspace import Workspace


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


@dataclass(slots=True)
class Lesson:
    """One played worksheet."""

    tape: Tape = field(default_factory=Tape)
    choices: list[Choice] = field(default_factory=list)
    claims: list[tuple[str, int]] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class _Actor:
    """One scripted worker: the tokens that it is about to write, and what it does after them."""

    name: str
    rank: int
    queue: list[int] = field(default_factory=list)
    then: str = "begin"
    writes: str = ""
    item: Item | None = None
    last: tuple[int, int] = (0, 0)
    resumes: int = -1


def play(
    worksheet: Worksheet,
    encoder: Encoder,
    workers: int,
    layout: Layout,
    *,
    rng: random.Random,
    prompting: Prompting = WORKSHEETS,
) -> Lesson:
    """Solve the worksheet with scripted workers; tools take 0 to 10 steps."""
    return _Play(worksheet, encoder, workers, layout, rng, prompting).run()


class _Play:
    def __init__(
        self, worksheet: Worksheet, encoder: Encoder, workers: int, layout: Layout, rng: random.Random, words: Prompting
    ) -> None:
        self.sheet, self.encoder, self.rng, self.words = worksheet, encoder, rng, words
        names = words.names[:workers]
        self.lesson = Lesson()
        self.blocks = 0
        self.step = 0
        self.step_end = encoder.encode(words.step_end)
        self.space = Workspace(layout, self.open_block, step_ends=self.ends_step, head=self.head)
        self.actors = {name: _Actor(name, rank) for rank, name in enumerate(names)}
        self.claimed_in: dict[tuple[str, int], tuple[Block, int]] = {}
        prompt = self.open_block()
        system = words.system(names, [tool.line() for tool in worksheet.tools])
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
        self.play_out()
        return self.lesson

    def play_out(self) -> None:
        while not self.space.ended():
            for actor in self.actors.values():
                if actor.resumes == self.step:
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

    def choose(self, actor: _Actor) -> None:
        """One token, chosen from what the actor has just fed."""
        if not actor.queue:
            actor.writes = actor.then
            getattr(self, actor.then)(actor)
        token = actor.queue.pop(0)
        self.lesson.choices.append(Choice(*actor.last, token, actor.writes))
        self.space.accept(actor.name, token)
        if token == self.encoder.end:
            self.space.finish(actor.name)
        elif not actor.queue and actor.then == "answer":
            self.space.hold(actor.name)
            delay = 0 if self.rng.random() < 0.7 else self.rng.randint(1, 10)
            if delay:
                actor.resumes = self.step + delay
            else:
                self.respond(actor)

    def respond(self, actor: _Actor) -> None:
        assert actor.item is not None
        actor.resumes = -1
        self.space.inject(actor.name, self.encoder.encode(self.words.responded(actor.item.answer)))

    # What an actor does next; each fills the queue.

    def begin(self, actor: _Actor) -> None:
        actor.queue, actor.then = self.encoder.encode("I take"), "claim"

    def claim(self, actor: _Actor) -> None:
        number = self.pick(actor)
        if number is None:
            actor.queue, actor.then = [*self.encoder.encode(" nothing."), self.encoder.end], "end"
            return
        actor.item = self.sheet.items[number - 1]
        self.lesson.claims.append((actor.name, number))
        topic = next(tool.description for tool in self.sheet.tools if tool.name == actor.item.tool)
        claim = f" {number}: {actor.item.question}\n{topic}.{self.words.step_end}"
        actor.queue, actor.then = self.encoder.encode(claim), "call"
        # " 3" is two tokens, a space and the digit: the claim is known once the second has been fed.
        own = self.space.own(actor.name)
        self.claimed_in[actor.name, number] = (own, own.length + 2)

    def call(self, actor: _Actor) -> None:
        assert actor.item is not None
        call = json.dumps({"name": actor.item.tool, "arguments": actor.item.arguments}, ensure_ascii=False)
        actor.queue, actor.then = self.encoder.encode(f"<tool_call>{call}</tool_call>"), "answer"

    def answer(self, actor: _Actor) -> None:
        assert actor.item is not None
        actor.queue = self.encoder.encode(f"Answer {actor.item.number}: {final(actor.item)}{self.words.step_end}")
        actor.then = "begin"

    def pick(self, actor: _Actor) -> int | None:
        """An item that nobody is seen to have taken, by a rule that keeps two who choose at once apart.

        The first worker takes the lowest, the second the highest, the third the second lowest, and so on.
        """
        view = self.space.view(actor.name)
        taken = {
            number
            for (name, number), (block, length) in self.claimed_in.items()
            if name == actor.name or (block in view and block.length >= length)
        }
        free = [item.number for item in self.sheet.items if item.number not in taken]
        if actor.rank % 2:
            free.reverse()
        at = min(actor.rank // 2, len(free) - 1)
        order = [*free[at:], *free[:at][::-1]]
        # Whoever chooses in this very step before this actor is not seen yet, but whoever is at "I take" is.
        rivals = {
            number
            for (name, number), (block, length) in self.claimed_in.items()
            if name != actor.name and block in view and block.length < length
        }
        return next((number for number in order if number not in rivals), None)

    def joint_answer(self, first: int, last: int) -> list[int]:
        lines = "\n".join(f"{item.number}: {final(item)}" for item in self.sheet.items[first - 1 : last])
        return [*self.encoder.encode(lines), self.encoder.end]


def final(item: Item) -> str:
    """What the worker answers."""
    return "no result" if item.failed else item.answer
