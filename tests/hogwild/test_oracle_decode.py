"""`engine.decode` picks the tokens that the oracle picks, and with one worker those of the stock `generate`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import tiny_models
import torch
from oracle import Oracle, greedy, greedy_by_steps
from tiny_models import FAMILIES
from twin import TOLERANCE, relative_error, text

from hogwild import Engine

Engines = Callable[[str], Engine]
Oracles = Callable[[str], Oracle]

PROMPT = text(23, seed=41)
SEPARATOR = text(2, seed=42)
HEADS = [text(3, seed=43), text(8, seed=44), text(1, seed=45)]


def assert_same_decoding(
    engine: Engine, oracle: Oracle, heads: list[list[int]], separator: list[int], layout: str, steps: int
) -> None:
    ids, logits = engine.decode(
        PROMPT, heads=heads, separator_ids=separator, layout=layout, max_new_tokens=steps, logits=True, stop=False
    )
    chosen, rows = greedy(oracle, PROMPT, heads, separator, shared=layout == "contiguous", steps=steps)
    assert [len(worker) for worker in ids] == [steps] * len(heads)
    assert ids == chosen
    for ours, truth in zip(logits, rows, strict=True):
        assert relative_error(ours, truth) < TOLERANCE


@pytest.mark.parametrize("layout", ["contiguous", "independent"])
@pytest.mark.parametrize("separator", [SEPARATOR, []], ids=["separator", "no-separator"])
@pytest.mark.parametrize("workers", [2, 3])
def test_200_greedy_steps_pick_the_oracles_tokens(
    workers: int, separator: list[int], layout: str, engine: Engines, oracle: Oracles
) -> None:
    assert_same_decoding(engine("llama"), oracle("llama"), HEADS[:workers], separator, layout, 200)


@pytest.mark.parametrize("layout", ["interleaved", "combined"])
@pytest.mark.parametrize("end", [[23], [23, 53]], ids=["one-token", "two-tokens"])
@pytest.mark.parametrize("workers", [2, 3])
def test_200_greedy_steps_pick_the_oracles_tokens_where_finished_steps_become_history(
    workers: int, end: list[int], layout: str, engine: Engines, oracle: Oracles
) -> None:
    judge, heads = oracle("llama"), HEADS[:workers]
    chosen = greedy_by_steps(judge, PROMPT, heads, end, layout == "combined", 200)
    assert len(judge.blocks) >= 1 + workers + 4, "too few steps ended for this test to mean something"
    ids = engine("llama").decode(PROMPT, heads=heads, layout=layout, max_new_tokens=200, stop=False, step_end_ids=end)
    assert ids == chosen


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "llama"])
def test_every_family_decodes_the_oracles_tokens(family: str, engine: Engines, oracle: Oracles) -> None:
    assert_same_decoding(engine(family), oracle(family), HEADS[:2], SEPARATOR, "contiguous", 40)


@pytest.mark.parametrize("family", FAMILIES)
def test_one_worker_decodes_what_generate_does(family: str, engine: Engines, folder: Callable[[str], Path]) -> None:
    (ids,) = engine(family).decode(PROMPT, heads=[HEADS[0]], max_new_tokens=50, stop=False)
    assert ids == tiny_models.generate(tiny_models.load(folder(family)), PROMPT + HEADS[0], 50)


def test_one_worker_decodes_what_generate_does_for_200_steps(engine: Engines, folder: Callable[[str], Path]) -> None:
    (ids,) = engine("llama").decode(PROMPT, heads=[HEADS[1]], max_new_tokens=200, stop=False)
    assert ids == tiny_models.generate(tiny_models.load(folder("llama")), PROMPT + HEADS[1], 200)


def test_one_worker_stops_at_the_end_of_sequence_where_generate_stops(engine: Engines, tmp_path: Path) -> None:
    (ids,) = engine("llama").decode(PROMPT, heads=[HEADS[0]], max_new_tokens=50, stop=False)
    end = next(token for n, token in enumerate(ids) if n > 5 and token not in ids[:n])
    path = tiny_models.save(tiny_models.build("llama", eos_token_id=end), tmp_path / "model")
    (stopped,) = Engine.from_pretrained(path, dtype="float32", device="cpu").decode(
        PROMPT, heads=[HEADS[0]], max_new_tokens=50
    )
    assert stopped == tiny_models.generate(tiny_models.load(path), PROMPT + HEADS[0], 50, eos=end)


def test_asking_for_logits_does_not_change_the_tokens(engine: Engines) -> None:
    plain = engine("llama").decode(PROMPT, heads=HEADS, max_new_tokens=12, stop=False)
    ids, logits = engine("llama").decode(PROMPT, heads=HEADS, max_new_tokens=12, stop=False, logits=True)
    assert ids == plain
    assert [tuple(rows.shape) for rows in logits] == [(12, tiny_models.VOCAB)] * 3
    assert all(rows.dtype == torch.float32 for rows in logits)


def test_decoding_leaves_nothing_in_the_cache(engine: Engines) -> None:
    before = engine("llama").cache.num_tokens
    engine("llama").decode(PROMPT, heads=HEADS, separator_ids=SEPARATOR, max_new_tokens=5, stop=False)
    assert engine("llama").cache.num_tokens == before
    engine("llama").cache.check()
