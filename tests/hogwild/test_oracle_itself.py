"""The judge is judged first: the oracle against stock `transformers`, with no engine anywhere in sight."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import tiny_models
import torch
from oracle import Oracle, greedy
from tiny_models import FAMILIES, VOCAB

Text = list[int]


def text(length: int, seed: int) -> Text:
    return torch.randint(VOCAB, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


def relative(ours: torch.Tensor, truth: torch.Tensor) -> float:
    return float((ours - truth).abs().max() / truth.abs().max())


def stock_logits(folder: Path, ids: Text) -> torch.Tensor:
    with torch.no_grad():
        return tiny_models.load(folder)(input_ids=torch.tensor([ids])).logits[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_one_block_gives_the_logits_of_the_stock_model(
    family: str, folder: Callable[[str], Path], oracle: Callable[[str], Oracle]
) -> None:
    ids = text(150, seed=1)
    (logits,) = oracle(family).step([(("own",), ids)])
    assert relative(logits, stock_logits(folder(family), ids)) < 2e-5


@pytest.mark.parametrize("family", FAMILIES)
def test_a_prompt_and_an_own_block_fed_in_pieces_give_the_logits_of_the_stock_model(
    family: str, folder: Callable[[str], Path], oracle: Callable[[str], Oracle]
) -> None:
    ids, judge = text(90, seed=2), oracle(family)
    pieces = [(("prompt",), ids[:40]), (("prompt", "own"), ids[40:41]), (("prompt", "own"), ids[41:])]
    logits = torch.cat([judge.step([piece])[0] for piece in pieces])
    assert relative(logits, stock_logits(folder(family), ids)) < 2e-5


def stock_logits_of_a_view(folder: Path, blocks: list[Text], own: Text) -> torch.Tensor:
    """The stock model on all texts in a row, with a mask that keeps the blocks blind to each other; `own` sees all."""
    ids = [token for piece in (*blocks, own) for token in piece]
    visible = torch.tril(torch.ones(len(ids), len(ids)))
    ends = torch.tensor([len(block) for block in blocks]).cumsum(0).tolist()
    for block, end in zip(blocks, ends, strict=True):
        visible[end - len(block) : end, : end - len(block)] = 0
    model, back = tiny_models.load(folder), torch.arange(len(ids))[:, None] - torch.arange(len(ids))
    window = model.config.to_dict().get("sliding_window") or len(ids)

    def mask(seen: torch.Tensor) -> torch.Tensor:
        return torch.where(seen, 0.0, torch.finfo(torch.float32).min)[None, None]

    near, far = mask((visible > 0) & (back < window)), mask(visible > 0)
    masks: object = near
    if "layer_types" in model.config.to_dict():  # these models choose a mask by the layer's type
        masks = {"full_attention": far, "sliding_attention": near}
    with torch.no_grad():
        out = model(input_ids=torch.tensor([ids]), attention_mask=masks)
    return out.logits[0, ends[-1] :]


@pytest.mark.parametrize("family", FAMILIES)
def test_blocks_read_in_an_order_of_the_readers_own_give_the_stock_logits_under_a_block_mask(
    family: str, folder: Callable[[str], Path], oracle: Callable[[str], Oracle]
) -> None:
    texts = {name: text(length, seed=length) for name, length in [("a", 17), ("b", 60), ("c", 5)]}
    own, judge = text(9, seed=2), oracle(family)
    judge.step([((name,), ids) for name, ids in texts.items()])
    for order in ("abc", "cba", "bca"):
        (logits,) = judge.step([((*order, "own " + order), own)])
        assert relative(logits, stock_logits_of_a_view(folder(family), [texts[name] for name in order], own)) < 2e-5


@pytest.mark.parametrize("family", FAMILIES)
def test_the_order_of_two_blocks_in_a_view_moves_the_logits_by_more_than_a_hundred_tolerances(
    family: str, oracle: Callable[[str], Oracle]
) -> None:
    judge = oracle(family)
    judge.step([(("a",), text(9, seed=3)), (("b",), text(12, seed=4))])
    one, other = judge.step([(("a", "b", "x"), [5]), (("b", "a", "y"), [5])])
    assert relative(one, other) > 1e-2


@pytest.mark.parametrize("family", FAMILIES)
def test_a_token_of_the_same_step_moves_the_other_workers_logits_by_more_than_a_hundred_tolerances(
    family: str, oracle: Callable[[str], Oracle]
) -> None:
    judge = oracle(family)
    judge.step([(("prompt",), text(20, seed=5))])
    heads = [(("prompt", "b", "a"), [7, 8]), (("prompt", "a", "b"), [9, 10])]
    together, _ = judge.step(heads)
    alone, _ = judge.step([(("prompt", "d", "c"), [7, 8]), (("prompt", "c", "d"), [9, 11])])
    assert relative(together[-1], alone[-1]) > 1e-2


def test_greedy_decoding_with_one_worker_is_generate_of_the_stock_model(
    folder: Callable[[str], Path], oracle: Callable[[str], Oracle]
) -> None:
    prompt, head = text(30, seed=6), text(4, seed=7)
    (chosen,), _ = greedy(oracle("llama"), prompt, [head], steps=60)
    assert chosen == tiny_models.generate(tiny_models.load(folder("llama")), prompt + head, 60)


def test_greedy_decoding_of_random_weights_does_not_fall_into_one_repeated_token(
    oracle: Callable[[str], Oracle],
) -> None:
    chosen, _ = greedy(oracle("llama"), text(30, seed=8), [text(3, seed=9), text(5, seed=10)], steps=60)
    assert all(len(set(ids)) > 10 for ids in chosen)
