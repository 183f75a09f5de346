"""Fork, join, prune, permute, compact: after each, and after random sequences of them, the logits are the oracle's.

The oracle has no such operations: it is only told, step by step, which blocks stand in the view and in which order, so
the order that the engine's view functions make is checked by hand-written orders here and by the logits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from tiny_models import FAMILIES
from twin import TOLERANCE, Twin, text

from hogwild import views

Twins = Callable[[str], Twin]


def begin(twin: Twin) -> Twin:
    """A frozen prompt and two workers, a and b, that read each other."""
    twin.step((["prompt"], text(10, seed=1)))
    twin.freeze("prompt")
    twin.step((["prompt", "b", "a"], text(4, seed=2)), (["prompt", "a", "b"], text(6, seed=3)))
    return twin


@pytest.mark.parametrize("family", FAMILIES)
def test_both_branches_of_a_fork_go_on_from_the_same_history(family: str, twin: Twins) -> None:
    pair = begin(twin(family))
    trunk = pair.view(["prompt", "b", "a"])
    pair.freeze("a")
    left, right = (views.fork(trunk, block) for block in pair.view(["a.left", "a.right"]))
    assert pair.names(left) == ("prompt", "b", "a", "a.left")
    assert pair.names(right) == ("prompt", "b", "a", "a.right")
    for seed in (4, 5):
        pair.step(
            (pair.names(left), text(3, seed)), (pair.names(right), text(1, seed + 1)), (["prompt", "a", "b"], [seed])
        )
    assert pair.worst < TOLERANCE


@pytest.mark.parametrize("family", FAMILIES)
def test_a_joined_block_is_seen_before_the_own_block(family: str, twin: Twins) -> None:
    pair = begin(twin(family))
    pair.step((["summary"], text(5, seed=4)))
    joined = views.join(pair.view(["prompt", "b", "a"]), pair.blocks["summary"])
    assert pair.names(joined) == ("prompt", "b", "summary", "a")
    pair.step((pair.names(joined), [7]), (["prompt", "a", "b"], [8]))
    pair.step((pair.names(joined), [7]), (["prompt", "a", "b"], [8]), (["summary"], [9]))
    assert pair.worst < TOLERANCE


@pytest.mark.parametrize("family", FAMILIES)
def test_a_pruned_block_is_gone_for_one_worker_and_stays_for_the_other(family: str, twin: Twins) -> None:
    pair = begin(twin(family))
    pair.step((["prompt", "note"], text(9, seed=4)))
    pair.step((["prompt", "note", "b", "a"], [7]), (["prompt", "note", "a", "b"], [8]))
    pruned = views.prune(pair.view(["prompt", "note", "b", "a"]), pair.blocks["note"])
    assert pair.names(pruned) == ("prompt", "b", "a")
    pair.step((pair.names(pruned), [9, 10]), (["prompt", "note", "a", "b"], [11]))
    assert pair.worst < TOLERANCE


@pytest.mark.parametrize("family", FAMILIES)
def test_permuted_blocks_are_seen_in_their_new_order(family: str, twin: Twins) -> None:
    pair = begin(twin(family))
    pair.step((["x"], text(3, seed=4)), (["y"], text(5, seed=5)))
    permuted = views.permute(pair.view(["prompt", "x", "y", "a"]), [2, 0, 1, 3])
    assert pair.names(permuted) == ("y", "prompt", "x", "a")
    pair.step((pair.names(permuted), [7, 8]), (["x", "y", "a", "b"], [9]))
    assert pair.worst < TOLERANCE


@pytest.mark.parametrize("family", FAMILIES)
def test_compacted_neighbours_are_seen_as_before(family: str, twin: Twins) -> None:
    pair = begin(twin(family))
    pair.step((["x"], text(3, seed=4)), (["prompt", "x", "y"], text(5, seed=5)), (["z"], text(7, seed=6)))
    for part in ("x", "y", "z"):
        pair.freeze(part)
    run = pair.view(["x", "y", "z"])
    before = pair.view(["prompt", "x", "y", "z", "b", "a"])
    pair.compact(["x", "y", "z"], "xyz")
    after = views.replace(before, run, pair.blocks["xyz"])
    assert pair.names(after) == ("prompt", "xyz", "b", "a")
    pair.step((pair.names(after), text(3, seed=7)), (["a", "xyz", "prompt", "b"], [9]))
    pair.engine.cache.check()
    assert pair.worst < TOLERANCE


def test_a_block_that_was_compacted_twice_is_still_seen_as_before(twin: Twins) -> None:
    pair = begin(twin("glm4"))
    pair.step((["x"], text(3, seed=4)), (["y"], text(5, seed=5)), (["z"], text(7, seed=6)))
    for part in ("x", "y", "z"):
        pair.freeze(part)
    pair.compact(["x", "y"], "xy")
    pair.compact(["z", "xy"], "zxy")
    pair.step((["prompt", "zxy", "b", "a"], text(3, seed=7)), (["zxy", "a", "b"], [9]))
    assert pair.worst < TOLERANCE


class Crowd(RuleBasedStateMachine):
    """Workers come, read whatever they like in any order, write, branch; the oracle is asked after every step."""

    new_twin: Callable[[], Twin]

    def __init__(self) -> None:
        super().__init__()
        self.twin = self.new_twin()
        self.count = 0
        self.workers: dict[str, list[str]] = {}  # a worker's open block -> its view
        self.frozen: list[str] = []
        self.twin.step((["prompt"], text(5, seed=1)))
        self.twin.freeze("prompt")
        self.frozen.append("prompt")

    def fresh(self, kind: str) -> str:
        self.count += 1
        self.twin.view([f"{kind}{self.count}"])
        return f"{kind}{self.count}"

    def pick_worker(self, data: Any) -> str:
        return data.draw(st.sampled_from(sorted(self.workers)), label="worker")

    def set_view(self, view: tuple[Any, ...], expected: list[str]) -> None:
        assert self.twin.names(view) == tuple(expected)
        self.workers[expected[-1]] = expected

    @precondition(lambda self: len(self.workers) < 5)
    @rule(data=st.data())
    def open(self, data: Any) -> None:
        everyone = sorted([*self.frozen, *self.workers])
        seen = data.draw(st.lists(st.sampled_from(everyone), unique=True, max_size=6), label="sees")
        own = self.fresh("w")
        self.workers[own] = [*seen, own]

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def step(self, data: Any) -> None:
        """Some of the workers, in any order, some of them with many tokens."""
        names = st.lists(st.sampled_from(sorted(self.workers)), unique=True, min_size=1)
        self.write(data, data.draw(names, label="feeds"))

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def step_of_everyone(self, data: Any) -> None:
        self.write(data, sorted(self.workers))

    def write(self, data: Any, workers: list[str]) -> None:
        sizes = st.sampled_from([1, 1, 1, 2, 3, 6, 20])
        feeds = []
        for own in workers:
            size, seed = data.draw(sizes, label="tokens"), data.draw(st.integers(0, 99), label="seed")
            feeds.append((self.workers[own], text(size, seed)))
        assert self.twin.step(*feeds) < TOLERANCE

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def freeze(self, data: Any) -> None:
        own = self.pick_worker(data)
        del self.workers[own]
        self.twin.freeze(own)
        self.frozen.append(own)

    @precondition(lambda self: 0 < len(self.workers) < 5)
    @rule(data=st.data(), branches=st.integers(1, 2))
    def fork(self, data: Any, branches: int) -> None:
        own = self.pick_worker(data)
        trunk = self.workers.pop(own)
        self.twin.freeze(own)
        self.frozen.append(own)
        for _ in range(branches):
            branch = self.fresh("f")
            self.set_view(views.fork(self.twin.view(trunk), self.twin.blocks[branch]), [*trunk, branch])

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def join(self, data: Any) -> None:
        view = self.workers[self.pick_worker(data)]
        unseen = sorted({*self.frozen, *self.workers} - set(view))
        if unseen:
            other = data.draw(st.sampled_from(unseen), label="joins")
            joined = views.join(self.twin.view(view), self.twin.blocks[other])
            self.set_view(joined, [*view[:-1], other, view[-1]])

    @precondition(lambda self: any(len(view) > 1 for view in self.workers.values()))
    @rule(data=st.data())
    def prune(self, data: Any) -> None:
        view = self.workers[self.pick_worker(data)]
        if len(view) > 1:
            gone = data.draw(st.sampled_from(view[:-1]), label="prunes")
            pruned = views.prune(self.twin.view(view), self.twin.blocks[gone])
            self.set_view(pruned, [name for name in view if name != gone])

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def permute(self, data: Any) -> None:
        view = self.workers[self.pick_worker(data)]
        order = [*data.draw(st.permutations(range(len(view) - 1)), label="order"), len(view) - 1]
        self.set_view(views.permute(self.twin.view(view), order), [view[i] for i in order])

    def runs(self) -> list[list[str]]:
        """Frozen neighbours of some view that no other view tears apart, or reads in another order."""
        views_now = list(self.workers.values())
        runs = [view[i : i + n] for view in views_now for n in (2, 3) for i in range(len(view) - n)]
        return [
            run
            for run in runs
            if set(run) <= set(self.frozen)
            and all(_place(view, run) is not None or not set(run) & set(view) for view in views_now)
        ]

    @precondition(lambda self: any(self.runs()))
    @rule(data=st.data())
    def compact(self, data: Any) -> None:
        """Only a run that every view holds as neighbours or not at all can become one block."""
        run = data.draw(st.sampled_from(self.runs()), label="parts")
        places = {own: _place(view, run) for own, view in self.workers.items()}
        before = {own: self.twin.view(view) for own, view in self.workers.items()}
        parts = self.twin.view(run)
        whole = f"c{self.count}"
        self.count += 1
        self.twin.compact(run, whole)
        self.frozen = [name for name in self.frozen if name not in run] + [whole]
        for own, place in places.items():
            if place is not None:
                view = self.workers[own]
                replaced = views.replace(before[own], parts, self.twin.blocks[whole])
                self.set_view(replaced, [*view[:place], whole, *view[place + len(run) :]])

    @invariant()
    def the_cache_is_sound_and_holds_every_token_once(self) -> None:
        self.twin.engine.cache.check()
        held = sum(self.twin.oracle.length(name) for name in [*self.frozen, *self.workers])
        assert self.twin.engine.cache.num_tokens - self.twin.tokens_before == held

    def teardown(self) -> None:
        self.twin.close()


def _place(view: list[str], run: list[str]) -> int | None:
    """Where the run stands in the view, or None."""
    return next((i for i in range(len(view)) if view[i : i + len(run)] == run), None)


CROWDS = settings(
    max_examples=30,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("family", ["llama", "llama-yarn", "glm4", "smollm3", "gemma3"])
def test_random_sequences_of_operations_keep_the_logits_of_the_oracle(family: str, twin: Twins) -> None:
    machine = type("CrowdOf" + family, (Crowd,), {"new_twin": staticmethod(lambda: twin(family))})
    run_state_machine_as_test(machine, settings=CROWDS)
