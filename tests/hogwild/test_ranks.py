"""A model that is shared out among two processes gives what it gives in one; and a lost process ends all, with a word.

Real processes over gloo, one pair for the whole file: starting one means importing torch and transformers again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from engine_scenes import HEADS, PROMPT, operations, replayed, shares
from transformers import AutoConfig
from twin import TOLERANCE, relative_error

from hogwild import Engine, Feed, Sampling
from hogwild.errors import HogwildError, RankLost, UnsupportedModel

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="where there is a GPU, ranks need one each")


@pytest.fixture(scope="module")
def one(engine: Callable[[str], Engine]) -> Engine:
    return engine("qwen3")


@pytest.fixture(scope="module")
def two(folder: Callable[[str], Path]) -> Iterator[Engine]:
    shared_out = Engine.from_pretrained(folder("qwen3"), dtype="float32", tensor_parallel=2)
    yield shared_out
    shared_out.close()


def test_each_rank_holds_its_own_key_value_heads_only(one: Engine, two: Engine) -> None:
    assert (one.facts.num_heads, one.facts.num_kv_heads) == (4, 2)
    assert (two.facts.num_heads, two.facts.num_kv_heads) == (2, 1)
    assert two.cache.bytes_per_token * 2 == one.cache.bytes_per_token


@pytest.mark.parametrize("layout", ["contiguous", "interleaved"])
def test_two_processes_choose_the_tokens_of_one(layout: str, one: Engine, two: Engine) -> None:
    def decode(engine: Engine) -> Any:
        return engine.decode(
            PROMPT, HEADS, layout=layout, max_new_tokens=40, logits=True, stop=False, step_end_ids=[23]
        )

    (ids, rows), (truth, logits) = decode(two), decode(one)
    assert ids == truth
    assert max(map(relative_error, rows, logits)) < TOLERANCE
    assert two.cache.num_tokens == 0


def test_two_processes_draw_the_tokens_that_one_draws(one: Engine, two: Engine) -> None:
    how = Sampling(temperature=0.8, top_p=0.9, seed=7)
    ids, truth = (engine.decode(PROMPT, HEADS, max_new_tokens=12, stop=False, sampling=how) for engine in (two, one))
    assert ids == truth
    assert ids != one.decode(PROMPT, HEADS, max_new_tokens=12, stop=False, sampling=replace(how, seed=8))


def test_every_operation_on_the_cache_reaches_all_ranks(one: Engine, two: Engine) -> None:
    assert max(map(relative_error, operations(two), operations(one))) < TOLERANCE


def test_a_recorded_run_is_replayed_and_rebuilt_by_all_ranks(one: Engine, two: Engine) -> None:
    assert max(map(relative_error, replayed(two), replayed(one))) < TOLERANCE


def test_shares_of_attention_are_those_of_all_heads(one: Engine, two: Engine) -> None:
    assert shares(two) == pytest.approx(shares(one), rel=1e-4)
    assert sum(shares(two)) == pytest.approx(1.0, rel=1e-4)


def test_a_step_that_is_refused_leaves_the_ranks_together(one: Engine, two: Engine) -> None:
    block = two.prefill([1, 2, 3])
    with pytest.raises(HogwildError, match="frozen"):
        two.step([Feed((block,), [4])])
    own = two.open_block()
    (rows,) = two.step([Feed((block, own), [4])])
    two.release(block, own)
    theirs, mine = one.prefill([1, 2, 3]), one.open_block()
    (truth,) = one.step([Feed((theirs, mine), [4])])
    one.release(theirs, mine)
    assert relative_error(rows, truth) < TOLERANCE


def test_a_second_shared_out_model_is_refused_in_the_same_process(two: Engine, folder: Callable[[str], Path]) -> None:
    with pytest.raises(HogwildError, match="one tensor-parallel model at a time"):
        Engine.from_pretrained(folder("llama"), tensor_parallel=2)


@pytest.mark.parametrize("ranks", [3, 4])
def test_heads_that_cannot_be_shared_out_evenly_are_refused(ranks: int, folder: Callable[[str], Path]) -> None:
    with pytest.raises(HogwildError, match=f"2 key-value heads.*among {ranks} processes; choose 2"):
        Engine.from_pretrained(folder("llama"), tensor_parallel=ranks)


def test_a_family_that_transformers_cannot_share_out_is_refused(tmp_path: Path) -> None:
    AutoConfig.for_model("stablelm", hidden_size=64, num_attention_heads=4).save_pretrained(tmp_path)
    with pytest.raises(UnsupportedModel, match="no tensor-parallel plan for the model type stablelm"):
        Engine.from_pretrained(tmp_path, tensor_parallel=2)


def test_a_rank_that_ends_ends_all_with_one_sentence(two: Engine) -> None:
    """The last test of this file: the engine cannot be used after it."""
    (other,) = two.ranks._others  # type: ignore[attr-defined]
    block = two.prefill(PROMPT)
    two.ranks._noted.append(["freeze", 10**6])  # type: ignore[attr-defined]  # an order that it cannot follow
    with pytest.raises(RankLost, match=r"Rank 1 of 2 is gone \(Block 1000000 does not belong.*load the model again"):
        two.step([Feed((block, two.open_block()), [1])])
    assert other.died(0.0) == 1
    with pytest.raises(RankLost, match="load the model again"):
        two.decode(PROMPT, HEADS, max_new_tokens=3)
