"""A step begun before the host knows its tokens: the same tokens and logits, to the bit, whatever happens in between.

In: tiny random models on a CPU, told to run ahead as a CUDA device does. Out: what they decode, against the same
without. Neighbours: `hogwild.runner` (`run_ahead`), `hogwild.workspace` (`foreseen`), `tests/kernels` for the device.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from test_collaboration import WORDS, Play, random_model  # noqa: F401 - a fixture
from twin import text

from hogwild import Block, Engine, Feed, Sampling
from hogwild import runner as runner_module
from hogwild.errors import ContextOverflow
from hogwild.sampling import Chosen, Sampler, choose

Engines = Callable[[str], Engine]
PROMPT, SEPARATOR, HEADS = text(9, seed=1), text(2, seed=2), [text(3, seed=3), text(2, seed=4), text(4, seed=5)]
LAYOUTS = ["contiguous", "interleaved", "combined", "independent"]


class Ahead:
    """Lets an engine run ahead, and counts the steps that were used and those that were not."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.patch, self.counted = patch, Counter[str]()
        began, asked = runner_module.Runner.run_ahead, runner_module._Ahead.is_of

        def run_ahead(runner: Any, *given: Any) -> None:
            began(runner, *given)
            self.counted["begun"] += runner._ahead is not None

        def is_of(ahead: Any, *given: Any) -> bool:
            right = asked(ahead, *given)
            self.counted["used" if right else "dropped"] += 1
            return right

        patch.setattr(runner_module.Runner, "run_ahead", run_ahead)
        patch.setattr(runner_module._Ahead, "is_of", is_of)

    def both(self, engine: Engine, work: Callable[[], Any]) -> tuple[Any, Any]:
        """What `work` gives without running ahead and with it."""
        found = []
        for ahead in (False, True):
            self.patch.setattr(engine._runner, "runs_ahead", ahead)
            self.patch.setattr(engine._runner, "_ahead", None)
            found.append(work())
            engine.cache.check()
        return found[0], found[1]


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> Ahead:
    return Ahead(monkeypatch)


def test_a_cpu_which_computes_while_the_host_waits_begins_nothing_early(engine: Engines, ahead: Ahead) -> None:
    engine("llama").decode(PROMPT, HEADS, SEPARATOR, max_new_tokens=5)
    assert not ahead.counted["begun"]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("family", ["llama", "gemma2", "qwen3"])
def test_decoding_is_the_same_to_the_bit(family: str, layout: str, engine: Engines, ahead: Ahead) -> None:
    how = [Sampling(), Sampling(temperature=1.0, seed=3), Sampling(temperature=1.3, top_k=20, seed=4)]

    def decode() -> Any:
        given: Any = {"layout": layout, "max_new_tokens": 40, "sampling": how, "step_end_ids": [text(1, seed=3)[0]]}
        return engine(family).decode(PROMPT, HEADS, SEPARATOR, logits=True, stop=False, **given)

    (ids, logits), (ids_ahead, logits_ahead) = ahead.both(engine(family), decode)
    assert ids_ahead == ids
    assert all(torch.equal(one, other) for one, other in zip(logits, logits_ahead, strict=True))
    assert ahead.counted["used"] >= 30


def test_a_worker_that_ends_leaves_the_steps_of_the_others_foreseen(engine: Engines, ahead: Ahead) -> None:
    llama = engine("llama")
    ends = llama.decode(PROMPT, HEADS, SEPARATOR, max_new_tokens=30, stop=False)[1][8]

    def decode() -> Any:
        return llama.decode(PROMPT, HEADS, SEPARATOR, max_new_tokens=30)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(llama.__dict__, "end_ids", frozenset({ends}))
        without, with_it = ahead.both(llama, decode)
    assert with_it == without
    assert len(set(map(len, without))) > 1
    # Begun in vain: the step after the last token of each.
    assert ahead.counted["dropped"] <= len(HEADS)
    assert ahead.counted["used"] > 20


@pytest.mark.parametrize("layout", LAYOUTS)
def test_whatever_a_person_does_between_two_steps_counts(
    layout: str,
    random_model: Engine,  # noqa: F811
    ahead: Ahead,
) -> None:
    tokenizer: Any = random_model.tokenizer
    letters = set(tokenizer.encode("abcdefgh."))
    how = Sampling(temperature=1.0, seed=4, banned=tuple(token for token in range(264) if token not in letters))
    words = replace(WORDS, step_end=".", step_header="# {name}\n")

    def work() -> Any:
        with Play(random_model, "Alice", "Bob", layout=layout, words=words, sampling=how, budget=90) as play:
            run = play.run
            doings: dict[int, Callable[[], object]] = {
                5: lambda: run.say("Alice", "Stop it!"),
                11: lambda: run.hold("Bob"),
                14: lambda: run.respond("Bob", "42"),
                20: run.pause,
                22: run.resume,
                25: lambda: run.add_worker("Carol"),
                31: lambda: run.set_sampling("Alice", temperature=0.3),
                36: lambda: run.space.inject("Bob", tokenizer.encode("x"), awaited=False),
                44: lambda: run.retire("Carol"),
                50: lambda: run.say("Bob", "One more thing."),
            }
            for number in range(90):
                if number in doings:
                    doings[number]()
                play.step()
            run.stop()
            return play.told

    without, with_it = ahead.both(random_model, work)
    assert [(one.kind, one.worker, one.text, one.role, len(one.ids)) for one in with_it] == [
        (one.kind, one.worker, one.text, one.role, len(one.ids)) for one in without
    ]
    assert ahead.counted["used"] > 25
    assert ahead.counted["dropped"] >= 3


def test_two_runs_go_ahead_together(random_model: Engine, ahead: Ahead) -> None:  # noqa: F811
    def work() -> Any:
        how = Sampling(temperature=1.0, seed=1)
        with (
            Play(random_model, "Alice", "Bob", sampling=how, budget=20) as one,
            Play(random_model, "Carol", sampling=how, budget=30) as other,
        ):
            one.to_the_end(other)
            return [play.ids(name) for play in (one, other) for name in play.run.space.workers]

    without, with_it = ahead.both(random_model, work)
    assert with_it == without
    assert ahead.counted["used"] > 20


def test_steps_that_tell_shares_of_attention_are_not_begun_early(
    random_model: Engine,  # noqa: F811
    ahead: Ahead,
) -> None:
    def work() -> Any:
        with Play(random_model, "Alice", "Bob", budget=8) as play:
            while not play.run.ended:
                play.step(mass=True)
            return play.ids("Alice")

    without, with_it = ahead.both(random_model, work)
    assert with_it == without
    assert not ahead.counted


Change = Callable[[Engine, dict[str, Block]], list[Feed]]


def _other_token(engine: Engine, has: dict[str, Block]) -> list[Feed]:
    return [Feed((has["prompt"], has["b"], has["a"]), [1]), Feed((has["prompt"], has["a"], has["b"]), [2])]


def _pruned(engine: Engine, has: dict[str, Block]) -> list[Feed]:
    return [Feed((has["prompt"], has["a"]), has["tokens"][:1]), Feed((has["prompt"], has["b"]), has["tokens"][1:])]  # type: ignore[index]


def _one_leaves(engine: Engine, has: dict[str, Block]) -> list[Feed]:
    return [Feed((has["prompt"], has["b"], has["a"]), has["tokens"][:1])]  # type: ignore[index]


def _frozen(engine: Engine, has: dict[str, Block]) -> list[Feed]:
    engine.freeze(has["b"])
    return [Feed((has["prompt"], has["b"], has["a"]), has["tokens"][:1])]  # type: ignore[index]


def _a_chunk(engine: Engine, has: dict[str, Block]) -> list[Feed]:
    tokens: Any = has["tokens"]
    return [
        Feed((has["prompt"], has["b"], has["a"]), [tokens[0], 7, 8]),
        Feed((has["prompt"], has["a"], has["b"]), tokens[1:]),
    ]


def _moved(engine: Engine, has: dict[str, Block]) -> list[Feed]:
    engine.cache.reserve(has["a"], 500)
    tokens: Any = has["tokens"]
    return [
        Feed((has["prompt"], has["b"], has["a"]), tokens[:1]),
        Feed((has["prompt"], has["a"], has["b"]), tokens[1:]),
    ]


@pytest.mark.parametrize("change", [_other_token, _pruned, _one_leaves, _frozen, _a_chunk, _moved])
def test_a_step_that_turns_out_otherwise_is_taken_as_if_nothing_had_begun(
    change: Change, engine: Engines, ahead: Ahead
) -> None:
    llama = engine("llama")

    def work() -> list[torch.Tensor]:
        has: Any = {"prompt": llama.prefill(PROMPT), "a": llama.open_block(), "b": llama.open_block()}
        prompt, a, b = has["prompt"], has["a"], has["b"]
        views = [(prompt, b, a), (prompt, a, b)]
        rows, _ = llama.step_last([Feed(view, head) for view, head in zip(views, HEADS, strict=False)])
        chosen = choose([Sampler(Sampling()) for _ in views], rows, [(), ()])
        llama.run_ahead(views, chosen, (0, 1))
        assert [a.length, b.length] == [3, 2]
        has["tokens"] = chosen.ids()
        found = llama.step(change(llama, has))
        llama.cache.check()
        found += llama.step([Feed((prompt, b, a), [5])])
        llama.release(prompt, a, b)
        return found

    without, with_it = ahead.both(llama, work)
    assert all(torch.equal(one, other) for one, other in zip(without, with_it, strict=True))
    assert ahead.counted == {"begun": 1, "dropped": 1}


def test_a_step_that_would_fail_fails_when_it_is_taken(engine: Engines, ahead: Ahead) -> None:
    llama = engine("llama")
    ahead.patch.setattr(llama._runner, "runs_ahead", True)
    prompt = llama.prefill([1] * (llama.facts.max_positions - 4))
    own = llama.open_block()
    rows, _ = llama.step_last([Feed((prompt, own), [1, 2, 3, 4])])
    chosen = choose([Sampler(Sampling())], rows, [()])
    llama.run_ahead([(prompt, own)], chosen, [0])
    with pytest.raises(ContextOverflow):
        llama.step([Feed((prompt, own), chosen.ids())])
    llama.freeze(own)
    llama.run_ahead([(prompt, own)], Chosen(torch.tensor([5])), [0])
    assert own.length == 4
    assert not ahead.counted["begun"]
    llama.release(prompt, own)
