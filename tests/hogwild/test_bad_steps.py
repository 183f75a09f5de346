"""Steps that cannot be taken are refused in one sentence, and a refused step leaves no trace in the cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from twin import text

from hogwild import Block, Engine, Feed
from hogwild.errors import ContextOverflow, HogwildError, ViewError

Engines = Callable[[str], Engine]


class Scene:
    """One engine with a prompt of 5 tokens and two workers, one of which has written 3 tokens."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.before = engine.cache.num_tokens
        self.prompt, self.a, self.b = (engine.open_block() for _ in range(3))
        engine.step([Feed(view=(self.prompt,), tokens=text(5, seed=1))])
        engine.step([Feed(view=(self.prompt, self.b, self.a), tokens=text(3, seed=2))])

    def next_logits(self) -> torch.Tensor:
        view = (self.prompt, self.b, self.a)
        return torch.cat(list(self.engine.step([Feed(view=view, tokens=[7, 8, 9])])))

    def close(self) -> None:
        for block in (self.prompt, self.a, self.b):
            self.engine.release(block)


@pytest.fixture
def scene(engine: Engines) -> Iterator[Scene]:
    made = Scene(engine("llama"))
    yield made
    made.close()


def _frozen(scene: Scene) -> list[Feed]:
    scene.engine.freeze(scene.b)
    return [Feed(view=(scene.prompt, scene.b), tokens=[1])]


def _twice_appended(scene: Scene) -> list[Feed]:
    return [Feed(view=(scene.prompt, scene.b), tokens=[1]), Feed(view=(scene.b,), tokens=[2])]


def _twice_in_a_view(scene: Scene) -> list[Feed]:
    return [Feed(view=(scene.prompt, scene.prompt, scene.b), tokens=[1])]


def _own_block_in_the_middle(scene: Scene) -> list[Feed]:
    return [Feed(view=(scene.b, scene.prompt, scene.b), tokens=[1])]


def _released(scene: Scene) -> list[Feed]:
    gone = scene.engine.open_block()
    scene.engine.release(gone)
    return [Feed(view=(scene.prompt, gone, scene.b), tokens=[1])]


def _unknown_block(scene: Scene) -> list[Feed]:
    return [Feed(view=(scene.prompt, Block(id=987654321), scene.b), tokens=[1])]


def _token_beyond_the_vocabulary(scene: Scene) -> list[Feed]:
    return [Feed(view=(scene.prompt, scene.b), tokens=[1, scene.engine.vocab_size])]


def _negative_token(scene: Scene) -> list[Feed]:
    return [Feed(view=(scene.prompt, scene.b), tokens=[-1])]


def _no_block(scene: Scene) -> list[Feed]:
    return [Feed(view=(), tokens=[1])]


def _good_then_bad(scene: Scene) -> list[Feed]:
    return [Feed(view=(scene.prompt, scene.b), tokens=[1]), *_frozen_prompt(scene)]


def _frozen_prompt(scene: Scene) -> list[Feed]:
    scene.engine.freeze(scene.prompt)
    return [Feed(view=(scene.prompt,), tokens=[1])]


BAD = [
    _frozen,
    _twice_appended,
    _twice_in_a_view,
    _own_block_in_the_middle,
    _released,
    _unknown_block,
    _token_beyond_the_vocabulary,
    _negative_token,
    _no_block,
    _good_then_bad,
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.__name__.strip("_"))
def test_a_bad_step_is_refused_and_leaves_no_trace(bad: Callable[[Scene], list[Feed]], engine: Engines) -> None:
    untouched, refused = Scene(engine("llama")), Scene(engine("llama"))
    feeds = bad(refused)
    held = refused.engine.cache.num_tokens
    with pytest.raises(HogwildError) as error:
        refused.engine.step(feeds)
    assert "\n" not in str(error.value)
    assert refused.engine.cache.num_tokens == held
    refused.engine.cache.check()
    assert torch.equal(refused.next_logits(), untouched.next_logits())
    for scene in (untouched, refused):
        scene.close()


def test_tokens_beyond_the_positions_of_the_model_are_refused_and_leave_no_trace(scene: Scene) -> None:
    held = scene.engine.cache.num_tokens
    with pytest.raises(ContextOverflow):
        scene.engine.step([Feed(view=(scene.prompt, scene.a, scene.b), tokens=text(2041, seed=3))])
    assert scene.engine.cache.num_tokens == held
    scene.engine.cache.check()


def test_the_last_position_of_the_model_can_still_be_used(scene: Scene) -> None:
    (logits,) = scene.engine.step([Feed(view=(scene.prompt, scene.a, scene.b), tokens=text(2040, seed=3))])
    assert logits.shape[0] == 2040


def test_a_block_of_another_engine_is_refused(scene: Scene, engine: Engines) -> None:
    other = engine("qwen3")
    foreign = other.open_block()
    with pytest.raises(ViewError):
        scene.engine.step([Feed(view=(foreign, scene.b), tokens=[1])])
    other.release(foreign)


def test_open_or_single_blocks_are_not_compacted_and_stay_usable(scene: Scene) -> None:
    with pytest.raises(ViewError):
        scene.engine.compact([scene.prompt, scene.a])
    assert scene.next_logits().isfinite().all()


def test_decoding_names_the_layouts_when_it_does_not_know_one(engine: Engines) -> None:
    with pytest.raises(HogwildError, match=r"contiguous.*interleaved.*combined.*independent"):
        engine("llama").decode([1, 2], heads=[[3]], layout="spiral", max_new_tokens=2)


def test_decoding_no_new_tokens_gives_empty_lists(engine: Engines) -> None:
    assert engine("llama").decode([1, 2], heads=[[3], [4]], max_new_tokens=0) == [[], []]


@pytest.mark.parametrize("heads", [[], [[]], [[1], []]], ids=["no-heads", "one-empty-head", "an-empty-head"])
def test_decoding_without_a_token_to_begin_with_is_refused(heads: list[list[int]], engine: Engines) -> None:
    before = engine("llama").cache.num_tokens
    with pytest.raises(HogwildError):
        engine("llama").decode([1, 2], heads=heads, max_new_tokens=2)
    assert engine("llama").cache.num_tokens == before


def test_decoding_beyond_the_positions_of_the_model_is_refused_and_nothing_stays_in_the_cache(engine: Engines) -> None:
    before = engine("llama").cache.num_tokens
    with pytest.raises(ContextOverflow):
        engine("llama").decode(text(2040, seed=1), heads=[[1], [2]], max_new_tokens=20, stop=False)
    assert engine("llama").cache.num_tokens == before
    engine("llama").cache.check()
