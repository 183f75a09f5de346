"""One run of several workers, in words: prompts, headers, what ends a step, checks, the closing, budgets.

In: a task, workers, a layout. Out: `Happening`s, step by step, and at the end an answer. It drives the pure `Workspace`
with the engine's logits and knows no tools: whoever listens holds a worker that has written a call, and injects the
result. Several collaborations may share one engine (`stepping.advance`). Above: `stepping.py`, `workbench.driver`.
Below: `engine.py`, `workspace.py`, `prompting.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from hogwild.engine import Engine
from hogwild.errors import ContextOverflow, HogwildError
from hogwild.layouts import Layout, layout_named
from hogwild.prompting import SHARED_WORKSPACE, Prompting, parts
from hogwild.run_values import Brief, Guide, Happening, Unguided
from hogwild.sampling import Allowed, Sampler, Sampling, for_worker
from hogwild.text import TextOf
from hogwild.views import Block, Feed, num_tokens
from hogwild.workspace import ENDED, State, Workspace

COMPACT = 8
"""So many neighbours in the history that were merged equally often become one block: a token is copied once per level,
log8 of the run's steps in all, and there are never more than about 7 blocks per level."""


def to_merge(levels: Sequence[int]) -> slice:
    """The first `COMPACT` neighbours of a history that were merged equally often (`levels`), or an empty slice."""
    for at in range(len(levels) - COMPACT + 1):
        if len(set(levels[at : at + COMPACT])) == 1:
            return slice(at, at + COMPACT)
    return slice(0, 0)


CLOSING_ROOM = 32
"""Tokens that are kept free in a full context for each part of the answer."""


class Collaboration:
    """A run: open it, `advance` it until `ended`, read `answer`."""

    def __init__(
        self,
        engine: Engine,
        brief: Brief,
        *,
        layout: str | Layout = "contiguous",
        prompting: Prompting | None = None,
        listener: Callable[[Happening], None] = lambda _: None,
        guide: Guide | None = None,
    ) -> None:
        if engine.tokenizer is None:
            raise HogwildError(f"The model in {engine.directory} has no tokenizer; use Engine.decode with token ids.")
        if not brief.workers:
            raise HogwildError("A run needs at least one worker.")
        self.engine, self.brief, self._listener = engine, brief, listener
        self.num_items = brief.items  # asked for by the closing; whoever adds one in mid-run raises it
        self.guide: Guide = guide or Unguided()
        self._held: list[Happening] | None = None
        self.words = prompting or Prompting.of_directory(engine.directory) or SHARED_WORKSPACE
        self.layout = layout_named(layout)
        self.space = Workspace(
            self.layout, engine.open_block, step_ends=self._ends_step, head=self._step_head, on_block=self._opened,
            on_freeze=self._frozen,
        )  # fmt: skip
        self.closing = False
        self.closed_with: dict[str, list[str]] = {}
        self._samplers: dict[str, Sampler] = {}
        self._texts: dict[str, TextOf] = {}
        self._step_text: dict[str, str] = {}
        self._since_check: dict[str, int] = {}
        self._written: dict[str, list[int]] = {}
        self._merged: dict[int, int] = {}
        self._deferred: list[tuple[str, str, str]] = []
        self._closing_room: int | None = None

    def tell(self, happening: Happening) -> None:
        """Tell the listener; what follows from a decoded token is told after it."""
        if self._held is None:
            self._listener(happening)
        else:
            self._held.append(happening)

    def open(self) -> None:
        """Feed the prompt and let every worker begin. Raises ContextOverflow if the task is too long."""
        prompt = self._encode(self.prompt_text(), special=True)
        room = self.engine.facts.max_positions - 64 * len(self.brief.workers)
        if len(prompt) > room:
            raise ContextOverflow(
                f"The task with its tools is {len(prompt):,} tokens long and the model holds "
                f"{self.engine.facts.max_positions:,}, workers' text included; shorten the task or offer fewer tools."
            )
        block = self.engine.prefill(prompt)
        self.space.prompt = (block,)
        self.tell(Happening("opened", block=block.id, role="prompt", ids=tuple(prompt), text=self.prompt_text()))
        self.tell(Happening("frozen", block=block.id, length=block.length))
        if self.words.separator:
            ids = self._encode(self.words.separator)
            separator = self.space.separator = self.engine.prefill(ids)
            self.tell(
                Happening("opened", block=separator.id, role="separator", ids=tuple(ids), text=self.words.separator)
            )
        for name in self.brief.workers:
            self.add_worker(name)

    def prompt_text(self) -> str:
        """Rules, tools and task, through the model's own chat template where it has one."""
        system = self.words.system(self.brief.workers, self.brief.tools, self.brief.concepts)
        messages = [{"role": "system", "content": system}, {"role": "user", "content": self.brief.task}]
        tokenizer: Any = self.engine.tokenizer
        if not getattr(tokenizer, "chat_template", None):
            tools = "\n\nTools:\n" + "\n".join(self.brief.tools) if self.brief.tools else ""
            return f"{system}{tools if self.words.tools_in_template else ''}\n\nTask:\n{self.brief.task}\n\n"
        schemas = list(self.brief.schemas) if self.words.tools_in_template and self.brief.schemas else None
        alone = [{"role": "user", "content": f"{system}\n\n{self.brief.task}"}]
        made: list[str] = []
        for attempt in (messages, alone):  # templates without a system role refuse one, or leave it out
            try:
                text = tokenizer.apply_chat_template(attempt, tools=schemas, add_generation_prompt=True, tokenize=False)
            except Exception as error:
                failure = error
                continue
            if system.strip() in text:
                return str(text)
            made.append(str(text))
        if made:
            return made[0]
        raise HogwildError(
            f"The chat template of {self.engine.directory} cannot be used ({str(failure).splitlines()[0][:200]}); "
            "repair its chat_template, or take it out of the tokenizer's files to do without."
        ) from failure

    def add_worker(self, name: str, sampling: Sampling | None = None) -> None:
        """A worker begins, at the start or in mid-run."""
        header, ids = self._first_header(name)
        self.space.add_worker(name, ids, self.brief.budget)
        self._closing_room = None
        self._samplers[name] = Sampler(for_worker(sampling or self.brief.sampling_of(name), len(self._samplers)))
        self._texts[name] = TextOf(self.engine.tokenizer)
        self._step_text[name], self._since_check[name], self._written[name] = "", 0, []
        self._injected(name, header, ids, "header")

    # One step.

    def feeds(self) -> list[Feed]:
        """Tokens that are due. Workers whose view has become too long for the model are ended first."""
        limit = self.engine.facts.max_positions - (0 if self.closing else self._kept_for_the_closing())
        alone = self.layout.name == "independent"
        for worker in self.space.workers.values():
            if worker.pending and worker.state not in ENDED:
                seen = [worker] if alone else self.space.workers.values()
                due = sum(len(other.pending) for other in seen)
                if num_tokens(self.space.view(worker.name)) + due > limit:
                    self._end(worker.name, State.OUT_OF_BUDGET, drop=True)
        return self.space.feeds()

    def chooser(self, name: str) -> tuple[Sampler, Sequence[int]]:
        """How a worker chooses, and what it has written so far."""
        return self._samplers[name], self._written[name]

    def allowed(self, name: str) -> Allowed | None:
        """What a worker may choose next; None for everything."""
        return self.guide.allowed(name)

    def took(self, feeds: Sequence[Feed], tokens: Sequence[int]) -> list[Happening]:
        """The step has run, and `tokens` are what each feed's worker would choose: taken by everyone who may. Returns
        what was decoded, then what follows from it."""
        chosen = {feed.tag: token for feed, token in zip(feeds, tokens, strict=True)}
        held = self._held = []
        try:
            due = self.space.fed(feeds)
            self._put_deferred()
            decoded = []
            for name in due:
                if not self.space.workers[name].pending and not self._run_is_spent():
                    decoded.append(self._sample(name, chosen[name]))
            if self._run_is_spent():
                for worker in self.space.workers.values():
                    if worker.state not in ENDED:
                        self._end(worker.name, State.OUT_OF_BUDGET)
        finally:
            self._held = None
        return [*decoded, *held]

    def settle(self) -> None:
        """After the listeners have reacted: close the run when everybody has ended."""
        if self.space.ended() and not self.closing:
            self.closing = True
            self._close()
        self._compact()

    @property
    def ended(self) -> bool:
        return self.closing and self.space.ended()

    @property
    def answer(self) -> str:
        """What was written after the closing prompt, in worker order."""
        return "\n".join(text for pieces in self.closed_with.values() if (text := "".join(pieces).strip()))

    @property
    def sampled(self) -> int:
        return sum(worker.sampled for worker in self.space.workers.values())

    def hold(self, worker: str) -> None:
        """The worker waits for something outside (a tool)."""
        self.space.hold(worker)
        self._state(worker)

    def respond(self, worker: str, content: str, *, awaited: bool = True) -> tuple[str, tuple[int, ...]]:
        """Hand a tool's result to the worker that called; everybody sees it. Returns the text and its tokens.

        awaited: False while the worker waits for another result, too.
        """
        text = self.words.responded(content)
        ids = self._encode(text)
        self.space.inject(worker, ids, awaited=awaited)
        self.guide.told(worker)
        self._state(worker)
        return text, tuple(ids)

    def length(self, content: str) -> int:
        """How many tokens `respond` would put in for it."""
        return len(self._encode(self.words.responded(content)))

    def length_said(self, worker: str, text: str) -> int:
        """How many tokens `say` would put in for it."""
        return len(self._encode(self.words.said(worker, text)))

    def room(self, worker: str) -> int:
        """How many tokens this worker may still be told before some view that they come into is full."""
        workers = self.space.workers.values()
        seen_by = [one.name for one in workers if one.name == worker or self.layout.name != "independent"]
        due = sum(len(one.pending) + len(one.after_step) for one in workers)
        longest = max(num_tokens(self.space.view(name)) for name in seen_by)
        return max(self.engine.facts.max_positions - self._kept_for_the_closing() - longest - due, 0)

    def say(self, worker: str, text: str) -> None:
        """A person's words, put where the worker writes."""
        self.inject(worker, self.words.said(worker, text), "person")

    def inject(self, worker: str, text: str, source: str) -> None:
        """Put text where a worker writes; one that waits for a tool goes on waiting."""
        if self.space.workers[worker].closes:  # its block is full, the next one is opened with the next step
            self._deferred.append((worker, text, source))
            return
        ids = self._encode(text)
        self.space.inject(worker, ids, awaited=False)
        self._injected(worker, text, ids, source)
        if source == "edit":
            self.guide.wrote(worker, text)
        self._state(worker)

    def pause(self) -> None:
        for name in self.space.workers:
            self.space.pause(name)
            self._state(name)

    def resume(self) -> None:
        for name in self.space.workers:
            self.space.resume(name)
            self._state(name)

    def retire(self, name: str) -> None:
        """The worker has ended its turn; what it wrote is fed, and stays."""
        if self.space.workers[name].state not in ENDED:
            self._end(name, State.FINISHED)

    def set_sampling(self, name: str, **changes: Any) -> Sampling:
        """From its next token on the worker samples so; its random numbers go on unless a new seed is given."""
        sampler = self._samplers[name]
        new = replace(sampler.sampling, **changes)
        if "seed" in changes:
            self._samplers[name] = Sampler(new)
        else:
            sampler.sampling = new
        return new

    def stop(self) -> None:
        """Everybody stops where they are; no closing."""
        self.closing = True
        for worker in list(self.space.workers.values()):
            if worker.state not in ENDED:
                self._end(worker.name, State.STOPPED, drop=True)

    def release(self) -> None:
        """Give all blocks back; the collaboration cannot go on after it."""
        held = {block.id for block in self.engine.cache.blocks}
        self.engine.release(*[block for block in self.space.blocks() if block.id in held])

    # How it works inside.

    def _sample(self, name: str, token: int) -> Happening:
        self._samplers[name].advance()
        worker = self.space.workers[name]
        if token in self.engine.end_ids:
            self._end(name, State.FINISHED)
            self.guide.told(name)
            return Happening("ended", name)
        text = self._texts[name].add(token)
        self.guide.wrote(name, text)
        self._written[name].append(token)
        self._step_text[name] += text
        if self.closing:
            self.closed_with.setdefault(name, []).append(text)
        block = worker.own.id
        before = worker.steps
        self.space.accept(name, token)
        self._since_check[name] += 1
        if worker.steps > before:
            self._step_text[name] = ""
        if worker.state is State.OUT_OF_BUDGET:
            self._end(name, State.OUT_OF_BUDGET)
        elif worker.steps > before:
            self._check(name)
        return Happening("decoded", name, block, text, (token,))

    def _run_is_spent(self) -> bool:
        return not self.closing and self.brief.run_budget is not None and self.sampled >= self.brief.run_budget

    def _put_deferred(self) -> None:
        waiting, self._deferred = self._deferred, []
        for name, text, source in waiting:
            if source != "check" or self.space.workers[name].state not in ENDED:  # nobody is asked who was ended since
                self.inject(name, text, source)

    def _kept_for_the_closing(self) -> int:
        """Tokens that every view leaves free, so that the answer can still be asked for and given."""
        if self._closing_room is None:
            texts = list(self._closing_prompts().values())
            self._closing_room = sum(len(self._encode(text)) + CLOSING_ROOM for text in texts)
        return min(self._closing_room, self.engine.facts.max_positions // 4)

    def _check(self, name: str) -> None:
        words = self.words
        if words.check_every and words.check and self._since_check[name] >= words.check_every and not self.closing:
            self._since_check[name] = 0
            self.inject(name, words.check, "check")

    def _close(self) -> None:
        for name, text in self._closing_prompts().items():
            if name in self.closed_with:
                continue
            worker = self.space.workers[name]
            room = self.engine.facts.max_positions - num_tokens(self.space.view(name)) - len(self._encode(text)) - 8
            if room < 1:
                continue
            worker.budget = worker.sampled + min(self.words.closing_tokens, room)
            worker.closes = False
            self.closed_with[name] = []
            self.inject(name, text, "closing")

    def _closing_prompts(self) -> dict[str, str]:
        """Who is asked for which part of the answer."""
        names = list(self.space.workers)
        if self.num_items and self.words.closing_part:
            shares = parts(self.num_items, names)
            return {name: self.words.close_part(first, last) for name, (first, last) in shares.items()}
        return {names[0]: self.words.closing} if self.words.closing else {}

    def _compact(self) -> None:
        """Merge finished steps, so that hundreds of steps do not mean hundreds of blocks."""
        while old := self._mergeable():
            new = self.engine.compact(old)
            self.space.compacted(old, new)
            self._merged[new.id] = 1 + max(self._merged.pop(block.id, 0) for block in old)
            self.tell(Happening("merged", block=new.id, ids=tuple(block.id for block in old), length=new.length))

    def _mergeable(self) -> list[Block]:
        """The first neighbours that were merged equally often, or nothing."""
        history = self.space.history
        return history[to_merge([self._merged.get(block.id, 0) for block in history])]

    def _ends_step(self, tokens: Sequence[int]) -> bool:
        name = next(name for name, worker in self.space.workers.items() if worker.step_ids is tokens)
        return bool(self.words.step_end) and self._step_text[name].endswith(self.words.step_end)

    def _first_header(self, name: str) -> tuple[str, list[int]]:
        everyone = list(dict.fromkeys([*self.brief.workers, *self.space.workers, name]))
        header = self.words.begin(name, everyone)
        if line := self.brief.instructions.get(name):
            header = f"{header}{line}\n\n"
        return header, self._encode(header)

    def _step_head(self, name: str, step: int) -> list[int]:
        header = self.words.begin_step(name, step)
        ids = self._encode(header)
        # The block of the new step is not the worker's own yet when its header is asked for.
        self._injected(name, header, ids, "header")
        return ids

    def _encode(self, text: str, *, special: bool = False) -> list[int]:
        assert self.engine.tokenizer is not None
        templated = special and bool(getattr(self.engine.tokenizer, "chat_template", None))
        # verbose: a text that is too long is refused here, with a sentence, where transformers would warn and go on.
        return list(self.engine.tokenizer.encode(text, add_special_tokens=special and not templated, verbose=False))

    def _end(self, name: str, state: State, *, drop: bool = False) -> None:
        self.space.finish(name, state, drop=drop)
        self._step_text[name] = ""
        self._state(name)

    def _opened(self, block: Block, name: str) -> None:
        self.tell(Happening("opened", name, block.id, role="worker"))

    def _frozen(self, block: Block) -> None:
        self.engine.freeze(block)
        self.tell(Happening("frozen", block=block.id, length=block.length))

    def _injected(self, name: str, text: str, ids: Sequence[int], source: str) -> None:
        self.guide.told(name)
        if source == "closing":
            self.guide.asked(name)
        block = self.space.own(name).id
        self.tell(Happening("injected", name, block, text, tuple(ids), role=source))

    def _state(self, name: str) -> None:
        self.tell(Happening("state", name, role=self.space.workers[name].state.value))
