"""The scheduler's state machine: who is fed what, in which view, in every state; no model and no text anywhere.

In: workers, sampled tokens, injected tokens, people's wishes. Out: feeds and views, held to what the words say. A
counter makes the blocks, and a step "runs" by adding to their lengths. Neighbours: `hogwild.workspace`, `layouts`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hogwild.errors import ViewError
from hogwild.layouts import LAYOUTS, Arrangement, Layout
from hogwild.views import Block, Feed, View
from hogwild.workspace import ENDED, State, Workspace

END = 0
"""The token that ends a step."""


class Desk:
    """A workspace whose blocks are counters and whose steps add to them; remembers the tokens of every block."""

    def __init__(
        self, layout: str | Layout = "contiguous", head: Callable[[str, int], list[int]] | None = None
    ) -> None:
        self.held: dict[int, list[int]] = {}
        self.names: dict[int, str] = {}
        self.frozen: list[int] = []
        ids = itertools.count()
        self.space = Workspace(
            LAYOUTS[layout] if isinstance(layout, str) else layout,
            lambda: Block(next(ids)),
            step_ends=lambda tokens: tokens[-1] == END,
            head=head,
            on_block=lambda block, name: self.names.update({block.id: name}),
            on_freeze=lambda block: self.frozen.append(block.id),
        )
        prompt = Block(next(ids), length=3, frozen=True)
        self.space.prompt = (prompt,)
        self.names[prompt.id] = "prompt"

    def step(self) -> list[str]:
        """Run what is due; the workers that may sample."""
        feeds = self.space.feeds()
        self.run(feeds)
        return self.space.fed(feeds)

    def run(self, feeds: list[Feed]) -> None:
        for feed in feeds:
            feed.check()
            feed.own.length += len(feed.tokens)
            self.held.setdefault(feed.own.id, []).extend(feed.tokens)

    def due(self) -> dict[str, list[int]]:
        return {feed.tag: list(feed.tokens) for feed in self.space.feeds()}

    def state(self, name: str) -> State:
        return self.space.workers[name].state

    def seen(self, name: str) -> list[str]:
        """Whose blocks stand in the worker's view, in order."""
        return [self.names[block.id] for block in self.space.view(name)]

    def say(self, name: str, *tokens: int) -> None:
        """The worker samples these tokens, one step each."""
        for token in tokens:
            assert name in self.step()
            self.space.accept(name, token)


def two(layout: str | Layout = "contiguous", head: Callable[[str, int], list[int]] | None = None) -> Desk:
    desk = Desk(layout, head)
    desk.space.add_worker("Alice", [11])
    desk.space.add_worker("Bob", [21, 22])
    return desk


def test_a_worker_is_fed_its_header_in_one_chunk_and_then_token_by_token() -> None:
    desk = two()
    assert desk.due() == {"Alice": [11], "Bob": [21, 22]}
    assert desk.step() == ["Alice", "Bob"]
    assert desk.due() == {}
    desk.space.accept("Bob", 5)
    assert desk.due() == {"Bob": [5]}


def test_a_waiting_worker_is_fed_what_it_said_last_and_does_not_sample() -> None:
    desk = two()
    desk.step()
    desk.space.accept("Alice", 5)
    desk.space.hold("Alice")
    assert desk.due() == {"Alice": [5]}
    assert desk.step() == []
    assert desk.due() == {}


def test_text_for_a_waiting_worker_is_fed_in_one_chunk_and_it_goes_on() -> None:
    desk = two()
    desk.step()
    desk.space.accept("Alice", 5)
    desk.space.hold("Alice")
    desk.space.inject("Alice", [7, 8, 9])
    assert desk.due() == {"Alice": [5, 7, 8, 9]}
    assert desk.step() == ["Alice"]


def test_text_that_nobody_waited_for_leaves_a_waiting_worker_waiting() -> None:
    desk = two()
    desk.step()
    desk.space.hold("Alice")
    desk.space.inject("Alice", [7], awaited=False)
    assert desk.step() == []
    assert desk.held[desk.space.own("Alice").id] == [11, 7]
    assert desk.space.workers["Alice"].state is State.WAITING


def test_a_paused_worker_is_not_fed_and_goes_on_where_it_was() -> None:
    desk = two()
    desk.step()
    desk.space.accept("Alice", 5)
    desk.space.pause("Alice")
    assert desk.due() == {}
    desk.space.resume("Alice")
    assert desk.due() == {"Alice": [5]}


def test_a_worker_that_was_paused_while_it_waited_waits_on_after_it() -> None:
    desk = two()
    desk.step()
    desk.space.hold("Alice")
    desk.space.pause("Alice")
    desk.space.pause("Alice")  # again is harmless
    desk.space.resume("Alice")
    assert desk.space.workers["Alice"].state is State.WAITING


def test_a_result_that_comes_during_a_pause_is_read_after_it() -> None:
    desk = two()
    desk.step()
    desk.space.hold("Alice")
    desk.space.pause("Alice")
    desk.space.inject("Alice", [7])
    assert desk.due() == {}
    desk.space.resume("Alice")
    assert desk.step() == ["Alice"]
    assert desk.held[desk.space.own("Alice").id] == [11, 7]


def test_a_call_that_is_found_during_a_pause_is_waited_for_after_it() -> None:
    desk = two()
    desk.step()
    desk.space.pause("Alice")
    desk.space.hold("Alice")
    assert desk.state("Alice") is State.PAUSED
    desk.space.resume("Alice")
    assert desk.state("Alice") is State.WAITING


def test_resuming_a_worker_that_is_not_paused_changes_nothing() -> None:
    desk = two()
    desk.step()
    desk.space.finish("Alice")
    desk.space.resume("Alice")
    desk.space.pause("Alice")
    assert desk.space.workers["Alice"].state is State.FINISHED


def test_a_worker_stops_sampling_when_its_budget_is_used_up() -> None:
    desk = Desk()
    worker = desk.space.add_worker("Alice", [11], budget=3)
    desk.say("Alice", 5, 6, 7)
    assert (worker.sampled, worker.state) == (3, State.OUT_OF_BUDGET)
    assert desk.due() == {"Alice": [7]}  # what it said last is still read by the others
    assert not desk.space.ended()
    assert desk.step() == []
    assert desk.due() == {}
    assert desk.space.ended()


@pytest.mark.parametrize("layout", ["interleaved", "combined"])
def test_an_unfinished_step_joins_the_history_when_its_worker_ends(layout: str) -> None:
    desk = two(layout, head=lambda name, step: [50 + step])
    desk.say("Alice", 5, END)
    desk.step()
    desk.say("Alice", 6)
    desk.space.finish("Alice")
    assert desk.step() == []  # her last token is fed, nothing follows
    assert [desk.held[block.id] for block in desk.space.history] == [[11, 5, END], [51, 6]]
    assert all(block.frozen for block in desk.space.history)
    desk.space.inject("Alice", [9])
    assert desk.due()["Alice"] == [52, 9]


def test_a_worker_that_ends_at_a_step_s_end_leaves_no_empty_step() -> None:
    desk = two("interleaved", head=lambda name, step: [50 + step])
    desk.say("Alice", 5, END)
    desk.step()
    desk.space.finish("Alice")
    desk.step()
    assert [desk.held[block.id] for block in desk.space.history] == [[11, 5, END]]


def test_what_is_dropped_is_not_fed() -> None:
    desk = two("combined")
    desk.say("Alice", 5)
    desk.space.finish("Alice", State.OUT_OF_BUDGET, drop=True)
    assert "Alice" not in desk.due()
    assert [desk.held[block.id] for block in desk.space.history] == [[11]]


def test_a_worker_that_has_ended_is_woken_by_text() -> None:
    desk = two()
    desk.step()
    desk.space.finish("Alice")
    desk.space.finish("Bob", State.STOPPED)
    assert desk.space.ended()
    desk.space.inject("Alice", [9])
    assert not desk.space.ended()
    assert desk.step() == ["Alice"]


def test_a_worker_that_ends_between_planning_and_the_step_samples_no_more() -> None:
    desk = two()
    feeds = desk.space.feeds()
    desk.space.finish("Alice", State.STOPPED)
    desk.run(feeds)
    assert desk.space.fed(feeds) == ["Bob"]


SEEN = {
    "contiguous": (["prompt", "Bob", "Alice"], ["prompt", "Bob", "Alice"]),
    "interleaved": (["prompt", "Alice"], ["prompt", "Bob", "Alice", "Alice"]),
    "combined": (["prompt", "Bob", "Alice"], ["prompt", "Bob", "Alice", "Bob", "Alice"]),
    "independent": (["prompt", "Alice"], ["prompt", "Alice"]),
}


@pytest.mark.parametrize("layout", SEEN)
def test_a_layout_puts_the_blocks_in_its_order_before_and_after_finished_steps(layout: str) -> None:
    desk = two(layout, head=lambda name, step: [50 + step])
    before, after = SEEN[layout]
    assert desk.seen("Alice") == before
    desk.step()
    desk.space.accept("Bob", END)
    desk.step()
    desk.space.accept("Alice", END)
    desk.step()
    desk.step()
    assert desk.seen("Alice") == after


@pytest.mark.parametrize("layout", ["interleaved", "combined"])
def test_a_finished_step_is_frozen_into_the_history_and_the_next_begins_with_a_header(layout: str) -> None:
    heads: list[tuple[str, int]] = []

    def head(name: str, step: int) -> list[int]:
        heads.append((name, step))
        return [50 + step]

    desk = two(layout, head)
    first = desk.space.own("Bob")
    desk.step()
    desk.space.accept("Bob", END)
    assert not first.frozen, "the token that ends a step is still to be fed into it"
    desk.step()
    assert [block.id for block in desk.space.history] == desk.frozen == [first.id]
    assert desk.held[first.id] == [21, 22, END]
    assert heads == [("Bob", 1)]
    assert desk.due() == {"Bob": [51]}
    assert desk.space.own("Bob") is not first


@pytest.mark.parametrize("layout", ["contiguous", "independent"])
def test_layouts_without_steps_keep_one_block_per_worker(layout: str) -> None:
    desk = two(layout, head=lambda name, step: [50])
    own = desk.space.own("Alice")
    desk.say("Alice", END, END, 4)
    assert desk.space.own("Alice") is own
    assert desk.space.history == []


def test_text_that_comes_with_the_end_of_a_step_stands_behind_the_next_header() -> None:
    desk = two("combined", head=lambda name, step: [50 + step])
    first = desk.space.own("Alice")
    desk.step()
    desk.space.accept("Alice", END)
    desk.space.inject("Alice", [7, 8])
    desk.step()
    assert desk.held[first.id] == [11, END]
    assert desk.due()["Alice"] == [51, 7, 8]


def test_a_step_without_a_header_goes_on_sampling_in_a_new_block() -> None:
    desk = two("combined")
    desk.step()
    desk.space.accept("Alice", END)
    assert desk.step() == ["Alice"]
    desk.space.accept("Alice", 6)
    desk.step()
    assert desk.held[desk.space.own("Alice").id] == [6]


def test_text_for_an_ended_worker_that_had_just_finished_a_step_is_fed() -> None:
    desk = two("combined", head=lambda name, step: [50])
    desk.step()
    desk.space.accept("Alice", END)
    desk.space.finish("Alice", State.OUT_OF_BUDGET)
    desk.space.inject("Alice", [7])
    assert desk.due() == {"Alice": [END]}
    desk.step()
    assert desk.due() == {"Alice": [50, 7]}


def test_a_worker_that_joins_later_sees_and_is_seen() -> None:
    desk = two("combined")
    desk.say("Bob", END)
    desk.space.add_worker("Carol", [31])
    assert desk.seen("Carol") == ["prompt", "Alice", "Bob", "Carol"]
    assert desk.seen("Alice") == ["prompt", "Bob", "Carol", "Alice"]
    assert desk.due() == {"Bob": [END], "Carol": [31]}
    assert desk.step() == ["Bob", "Carol"]
    assert desk.seen("Carol") == ["prompt", "Bob", "Alice", "Bob", "Carol"]


def test_a_name_is_taken_once_and_a_refused_worker_leaves_no_trace() -> None:
    desk = two()
    before = [block.id for block in desk.space.blocks()]
    with pytest.raises(ViewError, match="Alice"):
        desk.space.add_worker("Alice", [1])
    with pytest.raises(ViewError, match="header"):
        desk.space.add_worker("Carol", [])
    assert [block.id for block in desk.space.blocks()] == before
    assert list(desk.space.workers) == ["Alice", "Bob"]


def test_a_layout_that_a_person_writes_decides_the_view() -> None:
    def nearest_last(given: Arrangement, worker: str) -> View:
        return (*given.others(worker), *given.prompt, *given.open[worker])

    desk = two(Layout("prompt in the middle", nearest_last))
    assert desk.seen("Bob") == ["Alice", "prompt", "Bob"]


@pytest.mark.parametrize("arrange", [lambda given, worker: (), lambda given, worker: given.open["Bob"]])
def test_a_layout_that_does_not_put_the_own_block_last_is_refused_by_its_name(arrange: Callable[..., View]) -> None:
    desk = two(Layout("upside down", arrange))
    with pytest.raises(ViewError, match=r"upside down.*Alice"):
        desk.space.view("Alice")


def test_the_separator_stands_before_the_own_block_only() -> None:
    desk = two()
    desk.space.separator = Block(99, length=2, frozen=True)
    desk.names[99] = "separator"
    assert desk.seen("Alice") == ["prompt", "Bob", "separator", "Alice"]
    assert 99 in [block.id for block in desk.space.blocks()]


def test_common_blocks_are_seen_by_everyone() -> None:
    desk = two("independent")
    desk.space.common = [Block(98, length=2, frozen=True)]
    desk.names[98] = "person"
    assert desk.seen("Alice") == ["prompt", "person", "Alice"]
    assert desk.seen("Bob") == ["prompt", "person", "Bob"]


def test_a_merged_block_takes_the_place_of_its_parts() -> None:
    desk = two("interleaved")
    desk.say("Alice", END, 1, END, 1, END)
    desk.step()
    first, *middle = desk.space.history
    merged = Block(77, length=sum(block.length for block in middle), frozen=True)
    desk.space.compacted(middle, merged)
    assert desk.space.history == [first, merged]


class Machine(RuleBasedStateMachine):
    """Anything may happen in any order: nothing that was said is lost, fed twice, or fed to the wrong block."""

    names = st.sampled_from(["Alice", "Bob", "Carol"])

    def __init__(self) -> None:
        super().__init__()
        self.desk = two("combined", head=lambda name, step: [1000 + step])
        self.said: dict[str, list[int]] = {"Alice": [11], "Bob": [21, 22]}
        self.may_sample: set[str] = set()
        self.numbers = itertools.count(100)

    def known(self, name: str) -> bool:
        return name in self.desk.space.workers

    @rule(name=names)
    def join(self, name: str) -> None:
        if not self.known(name):
            self.said[name] = [next(self.numbers)]
            self.desk.space.add_worker(name, self.said[name])

    @rule()
    def step(self) -> None:
        feeds = self.desk.space.feeds()
        assert all(self.desk.space.workers[f.tag].state is not State.PAUSED for f in feeds)
        self.desk.run(feeds)
        self.may_sample = set(self.desk.space.fed(feeds))

    @rule(name=names, ends=st.booleans())
    def sample(self, name: str, ends: bool) -> None:
        if name in self.may_sample and self.desk.space.workers[name].state is State.DECODING:
            self.may_sample.discard(name)
            token = END if ends else next(self.numbers)
            self.said[name].append(token)
            self.desk.space.accept(name, token)

    @rule(name=names, size=st.integers(1, 3))
    def inject(self, name: str, size: int) -> None:
        if self.known(name) and self.desk.space.workers[name].state not in ENDED:
            self.may_sample.discard(name)  # it reads first
            tokens = [next(self.numbers) for _ in range(size)]
            self.said[name] += tokens
            self.desk.space.inject(name, tokens)

    @rule(name=names, what=st.sampled_from(["pause", "resume", "hold"]))
    def wish(self, name: str, what: str) -> None:
        if self.known(name) and self.desk.space.workers[name].state not in ENDED:
            getattr(self.desk.space, what)(name)

    @rule(name=names, drop=st.booleans())
    def finish(self, name: str, drop: bool) -> None:
        if self.known(name):
            worker = self.desk.space.workers[name]
            unfed = sum(not 1000 <= token < 2000 for token in (*worker.pending, *worker.after_step))  # heads aside
            if worker.state not in ENDED:
                if drop:
                    del self.said[name][len(self.said[name]) - unfed :]
                self.desk.space.finish(name, drop=drop)

    @invariant()
    def every_view_is_in_order(self) -> None:
        for name, worker in self.desk.space.workers.items():
            view = self.desk.space.view(name)
            assert view[-1] is worker.own
            assert not worker.own.frozen
            assert all(block.frozen for block in self.desk.space.history)
            assert len({id(block) for block in view}) == len(view)

    @invariant()
    def what_was_said_is_held_once_in_order(self) -> None:
        for name, worker in self.desk.space.workers.items():
            mine = [self.desk.held.get(id_, []) for id_, owner in sorted(self.desk.names.items()) if owner == name]
            fed = [token for tokens in mine for token in tokens]
            waiting = [*worker.pending, *worker.after_step]
            assert [token for token in fed + waiting if token < 1000 or token >= 2000] == self.said[name]


Machine.TestCase.settings = settings(deadline=None, max_examples=60, stateful_step_count=30)
TestAnythingInAnyOrder = Machine.TestCase
