"""Groups of views that share no block share no information, even in one packed step."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from tiny_models import FAMILIES
from torch import Tensor
from twin import text

from hogwild import Engine, Feed

Engines = Callable[[str], Engine]


def two_runs(engine: Engine, x: Callable[[int, int], list[int]], y: Callable[[int, int], list[int]]) -> list[Tensor]:
    """Two workers of run X and two of run Y in the same packed steps; run Y's logits. x(n, i) is a text of n tokens."""
    prompt_x, prompt_y = engine.open_block(), engine.open_block()
    engine.step([Feed(view=(prompt_x,), tokens=x(9, 0)), Feed(view=(prompt_y,), tokens=y(14, 0))])
    a, b, c, d = (engine.open_block() for _ in range(4))
    views = [(prompt_x, b, a), (prompt_x, a, b), (prompt_y, d, c), (prompt_y, c, d)]
    seen: list[Tensor] = []
    for number, sizes in enumerate([(3, 5, 2, 4), (1, 1, 1, 1), (37, 1, 1, 2), (1, 1, 1, 1), (1, 1, 37, 1)]):
        texts = [(x if i < 2 else y)(size, 10 * number + i + 1) for i, size in enumerate(sizes)]
        out = engine.step([Feed(view=v, tokens=t) for v, t in zip(views, texts, strict=True)])
        seen += out[2:]
    for block in (prompt_x, prompt_y, a, b, c, d):
        engine.release(block)
    return [logits.clone() for logits in seen]


def words(salt: int) -> Callable[[int, int], list[int]]:
    return lambda length, number: text(length, seed=1000 * salt + number)


def identical(one: Sequence[Tensor], other: Sequence[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


# In a mixture of experts the text of X changes how many tokens each expert's matrix product holds, hence its rounding:
# there run Y is untouched but not equal by the bit, which the next test shows.
EXPERTS = ("qwen3_moe", "gpt_oss")


@pytest.mark.parametrize("family", [name for name in FAMILIES if name not in EXPERTS])
def test_the_text_of_one_run_does_not_move_another_runs_logits_by_one_bit(family: str, engine: Engines) -> None:
    first = two_runs(engine(family), words(1), words(3))
    second = two_runs(engine(family), words(2), words(3))
    assert identical(first, second)


@pytest.mark.parametrize("family", EXPERTS)
def test_the_text_of_one_run_moves_another_runs_logits_by_rounding_only_in_a_mixture_of_experts(
    family: str, engine: Engines
) -> None:
    first = two_runs(engine(family), words(1), words(3))
    second = two_runs(engine(family), words(2), words(3))
    assert all(torch.allclose(a, b, rtol=0, atol=1e-5) for a, b in zip(first, second, strict=True))


def test_the_text_of_a_run_does_move_its_own_logits(engine: Engines) -> None:
    first = two_runs(engine("llama"), words(1), words(3))
    second = two_runs(engine("llama"), words(1), words(4))
    assert not any(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_the_same_steps_twice_give_the_same_logits_by_the_bit(engine: Engines) -> None:
    assert identical(two_runs(engine("llama"), words(1), words(3)), two_runs(engine("llama"), words(1), words(3)))


def test_a_released_blocks_keys_are_never_read_by_whoever_comes_next(engine: Engines) -> None:
    """Memory of a finished run is handed to the next: a full history of releases must not show in the logits."""
    fresh = two_runs(engine("llama"), words(1), words(3))
    for salt in range(5, 8):
        blocks = [engine("llama").open_block() for _ in range(3)]
        for block in blocks:
            engine("llama").step([Feed(view=(block,), tokens=words(salt)(50, 1))])
        for block in reversed(blocks):
            engine("llama").release(block)
    assert identical(fresh, two_runs(engine("llama"), words(1), words(3)))


def test_a_worker_outside_the_view_does_not_move_the_logits_at_equal_batch_shape(engine: Engines) -> None:
    """Pruned is gone: the same step with another text in a block that nobody reads."""

    def logits(salt: int) -> Tensor:
        prompt, unread, own = (engine("llama").open_block() for _ in range(3))
        engine("llama").step(
            [Feed(view=(prompt,), tokens=words(1)(6, 1)), Feed(view=(unread,), tokens=words(salt)(6, 2))]
        )
        out = engine("llama").step([Feed(view=(prompt, own), tokens=[3, 4])])
        for block in (prompt, unread, own):
            engine("llama").release(block)
        return out[0].clone()

    assert torch.equal(logits(5), logits(6))
