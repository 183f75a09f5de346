"""Sampling: which tokens a setting leaves, what a seed fixes, and that a setting which leaves nothing is refused.

In: rows of logits, and whole decodings of a tiny random model. Out: the tokens that were chosen, held to a reference in
plain Python that shares no code with the sampler. Neighbours: `tiny_models.py`, `hogwild.sampling`.
"""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Callable, Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from twin import text

from hogwild import Engine, Sampling
from hogwild.errors import HogwildError, SamplingError
from hogwild.sampling import Allowed, Sampler, choose, missed_by

Engines = Callable[[str], Engine]

LOGITS = [2.0, 1.0, 0.5, 0.0, -1.0, -3.0]
PROMPT = text(11, seed=1)
HEADS = [text(3, seed=2), text(4, seed=3)]


def draws(sampling: Sampling, logits: Sequence[float] = LOGITS, count: int = 400) -> Counter[int]:
    sampler, row = Sampler(sampling), torch.tensor(logits)
    return Counter(sampler(row) for _ in range(count))


def softmax(logits: Sequence[float]) -> list[float]:
    top = max(logits)
    weights = [math.exp(value - top) for value in logits]
    return [weight / sum(weights) for weight in weights]


def kept(logits: Sequence[float], how: Sampling, slack: float) -> set[int]:
    """The tokens that the settings leave; borderline ones within `slack` count as left."""
    order = sorted(range(len(logits)), key=lambda token: -logits[token])
    if how.top_k:
        order = [t for t in order if logits[t] >= logits[order[min(how.top_k, len(order)) - 1]]]
    likely = dict(zip(order, softmax([logits[t] / how.temperature for t in order]), strict=True))
    held, nucleus = 0.0, list[int]()
    for token in order:
        if nucleus and held >= how.top_p + slack:
            break
        nucleus.append(token)
        held += likely[token]
    best = max(likely[t] for t in nucleus)
    return {t for t in nucleus if likely[t] >= how.min_p * best * (1 - slack)}


def test_temperature_zero_takes_the_likeliest_token() -> None:
    assert draws(Sampling(), count=5) == {0: 5}


@pytest.mark.parametrize(
    "how", [Sampling(temperature=1.0), Sampling(temperature=0.7, top_k=4, min_p=0.05, banned=(2,), seed=4)], ids=str
)
def test_how_far_a_draw_lies_from_a_token_is_a_share_of_all_weight(how: Sampling) -> None:
    row, sampler = torch.tensor(LOGITS), Sampler(how)
    left = sorted(kept([-math.inf if token in how.banned else logit for token, logit in enumerate(LOGITS)], how, 0.0))
    for _ in range(50):
        number = sampler.number
        chosen = sampler(row)
        missed = [missed_by(how, number, row, [], None, token) for token in range(len(LOGITS))]
        assert missed[chosen] == 0.0
        assert all(0 < missed[token] < 1 for token in left if token != chosen)
        assert all(missed[token] == 1.0 for token in range(len(LOGITS)) if token not in left)
    # A number just beneath the one at which the next token begins: rounding may draw either.
    edge = softmax(LOGITS)[0]
    assert 0 < missed_by(Sampling(temperature=1.0), edge - 1e-8, row, [], None, 1) < 1e-7


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_are_drawn_as_often_as_the_temperature_says(temperature: float) -> None:
    count = 4000
    seen = draws(Sampling(temperature=temperature, seed=3), count=count)
    for token, share in enumerate(softmax([value / temperature for value in LOGITS])):
        assert abs(seen[token] / count - share) < 4 * math.sqrt(share * (1 - share) / count) + 1e-3


@pytest.mark.parametrize("top_k", [1, 2, 4, 6, 100])
def test_top_k_leaves_the_k_likeliest_tokens(top_k: int) -> None:
    assert set(draws(Sampling(temperature=3.0, top_k=top_k))) == set(range(min(top_k, len(LOGITS))))


@pytest.mark.parametrize(
    ("top_p", "left"), [(0.05, {0}), (0.5, {0}), (0.7, {0, 1}), (0.85, {0, 1, 2}), (1.0, {*range(6)})]
)
def test_top_p_leaves_the_smallest_set_that_holds_that_share(top_p: float, left: set[int]) -> None:
    assert set(draws(Sampling(temperature=1.0, top_p=top_p), count=3000)) == left


@pytest.mark.parametrize(("min_p", "left"), [(0.01, {0, 1, 2, 3, 4}), (0.2, {0, 1, 2}), (0.3, {0, 1}), (1.0, {0})])
def test_min_p_leaves_tokens_with_that_share_of_the_likeliest_ones(min_p: float, left: set[int]) -> None:
    assert set(draws(Sampling(temperature=1.0, min_p=min_p), count=3000)) == left


@settings(deadline=None, max_examples=150)
@given(
    logits=st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=12),
    temperature=st.floats(0.05, 5.0),
    top_k=st.integers(0, 15),
    top_p=st.floats(0.01, 1.0),
    min_p=st.floats(0.0, 1.0),
    seed=st.integers(0, 2**31),
)
def test_no_token_is_drawn_that_the_settings_leave_out(
    logits: list[float], temperature: float, top_k: int, top_p: float, min_p: float, seed: int
) -> None:
    how = Sampling(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, seed=seed)
    assert set(draws(how, logits, count=5)) <= kept(logits, how, slack=1e-4)


def test_a_penalty_divides_what_was_written_and_multiplies_what_is_below_zero() -> None:
    sampler = Sampler(Sampling(repetition_penalty=2.0))
    assert sampler(torch.tensor([4.0, 3.0, 1.0]), [0]) == 1  # 4 / 2 < 3
    assert sampler(torch.tensor([4.0, 1.9, 1.0]), [0]) == 0  # 4 / 2 > 1.9
    assert sampler(torch.tensor([-1.0, -1.5, -9.0]), [0]) == 1  # -1 * 2 < -1.5
    assert sampler(torch.tensor([4.0, 3.0, 1.0]), []) == 0
    assert Sampler(Sampling(repetition_penalty=0.5))(torch.tensor([4.0, 3.0, 1.0]), [1]) == 1  # below 1 it rewards


def test_a_penalty_counts_a_token_once_however_often_it_was_written() -> None:
    assert Sampler(Sampling(repetition_penalty=2.0))(torch.tensor([4.0, 1.9]), [0] * 9) == 0


@pytest.mark.parametrize("temperature", [0.0, 2.0])
def test_a_banned_token_is_never_chosen(temperature: float) -> None:
    seen = draws(Sampling(temperature=temperature, banned=(0, 2)))
    assert sum(seen.values()) == 400
    assert not set(seen) & {0, 2}


SETTINGS = [
    Sampling(),
    Sampling(temperature=0.9, seed=1),
    Sampling(temperature=1.3, top_k=7, seed=2),
    Sampling(temperature=0.8, top_p=0.8, min_p=0.02, seed=3),
    Sampling(temperature=1.1, min_p=0.1, repetition_penalty=1.7, banned=(3, 5), seed=4),
    Sampling(repetition_penalty=3.0, seed=5),
    Sampling(banned=(0, 1, 2)),
]


def test_choosing_for_all_workers_at_once_gives_each_what_it_would_choose_alone() -> None:
    """So that a worker that comes, goes or samples otherwise changes nothing for the others."""
    generator = torch.Generator().manual_seed(0)
    together, alone = [Sampler(how) for how in SETTINGS], [Sampler(how) for how in SETTINGS]
    written: list[list[int]] = [[] for _ in SETTINGS]
    for step in range(40):
        rows = list(3 * torch.randn(len(SETTINGS), 50, generator=generator))
        some = [at for at in range(len(SETTINGS)) if (step + at) % 4]
        found = choose([together[at] for at in some], [rows[at] for at in some], [written[at] for at in some]).ids()
        assert found == [alone[at](rows[at], written[at]) for at in some]
        for at, token in zip(some, found, strict=True):
            together[at].advance()
            written[at].append(token)
    assert len({tuple(tokens) for tokens in written}) == len(SETTINGS)


def test_a_choice_that_is_not_taken_uses_up_no_random_number() -> None:
    sampler, other = Sampler(Sampling(temperature=2.0, seed=1)), Sampler(Sampling(temperature=2.0, seed=1))
    row = torch.tensor(LOGITS)
    for _ in range(20):
        asked = [choose([sampler], [row], [[]]).ids() for _ in range(2)]
        assert asked[0] == asked[1] == [other(row)]
        sampler.advance()


def test_nobody_who_chooses_is_no_error() -> None:
    assert choose([], [], []).ids() == []


def test_a_vocabulary_of_a_million_equal_tokens_is_drawn_from_end_to_end() -> None:
    seen = draws(Sampling(temperature=1.0, seed=1), [0.0] * 1_000_000, count=30)
    assert min(seen) < 200_000
    assert max(seen) > 800_000


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_a_device_chooses_what_the_cpu_chooses() -> None:
    generator = torch.Generator().manual_seed(0)
    here, there = [Sampler(how) for how in SETTINGS], [Sampler(how) for how in SETTINGS]
    written: list[list[int]] = [[] for _ in SETTINGS]
    for _ in range(40):
        rows = list(3 * torch.randn(len(SETTINGS), 5000, generator=generator))
        found = choose(here, rows, written).ids()
        assert choose(there, [row.cuda() for row in rows], written).ids() == found
        for mine, other, text_of, token in zip(here, there, written, found, strict=True):
            mine.advance()
            other.advance()
            text_of.append(token)


def test_the_row_of_logits_is_left_as_it_was() -> None:
    row = torch.tensor(LOGITS)
    Sampler(Sampling(temperature=1.0, top_k=2, repetition_penalty=2.0, banned=(1,)))(row, [0])
    assert row.tolist() == LOGITS


@pytest.mark.parametrize(
    "bad",
    [
        {"temperature": -0.1}, {"temperature": math.nan}, {"temperature": math.inf}, {"top_k": -1}, {"top_k": 1.5},
        {"top_p": 0.0},
        {"top_p": 1.1}, {"top_p": math.nan}, {"min_p": -0.1}, {"min_p": 2.0}, {"repetition_penalty": 0.0},
        {"repetition_penalty": math.inf},
    ],
    ids=str,
)  # fmt: skip
def test_a_setting_that_makes_no_sense_is_refused_by_its_name(bad: dict[str, float]) -> None:
    with pytest.raises(SamplingError) as error:
        Sampling(**bad)  # type: ignore[arg-type]
    assert next(iter(bad)) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_very_small_temperature_is_as_good_as_greedy() -> None:
    assert draws(Sampling(temperature=1e-6), count=20) == {0: 20}


def test_a_temperature_below_the_range_of_float32_is_greedy_or_refused() -> None:
    with contextlib.suppress(SamplingError):
        assert draws(Sampling(temperature=1e-40), count=5) == {0: 5}


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_banning_every_token_is_refused_and_no_banned_token_comes_out(temperature: float) -> None:
    with pytest.raises(SamplingError):
        draws(Sampling(temperature=temperature, banned=tuple(range(len(LOGITS)))), count=1)


@pytest.mark.parametrize("token", [len(LOGITS), -1])
def test_a_banned_token_that_does_not_exist_is_refused(token: int) -> None:
    with pytest.raises(SamplingError):
        draws(Sampling(banned=(token,)), count=1)


@pytest.mark.parametrize("seed", [2**70, -(2**70)])
def test_a_seed_that_no_generator_takes_is_refused(seed: int) -> None:
    with pytest.raises(SamplingError):
        Sampler(Sampling(seed=seed))


# Whole decodings.


def decode(
    engine: Engine, *samplings: Sampling, heads: Sequence[Sequence[int]] = HEADS, layout: str = "contiguous"
) -> list[list[int]]:
    found: list[list[int]] = engine.decode(
        PROMPT, heads=heads, layout=layout, max_new_tokens=16, stop=False, sampling=list(samplings)
    )
    return found


def test_the_same_seeds_give_the_same_tokens_and_another_seed_gives_others(engine: Engines) -> None:
    how = [Sampling(temperature=1.0, seed=1), Sampling(temperature=1.0, seed=2)]
    first, again = decode(engine("llama"), *how), decode(engine("llama"), *how)
    other = decode(engine("llama"), Sampling(temperature=1.0, seed=7), Sampling(temperature=1.0, seed=8))
    assert first == again
    assert first[0] != other[0]
    assert first[1] != other[1]


def test_workers_sample_each_in_their_own_way(engine: Engines) -> None:
    banned = tuple(range(0, 97, 2))
    odd, plain = decode(engine("llama"), Sampling(temperature=1.0, banned=banned), Sampling())
    assert all(token % 2 for token in odd)
    greedy = decode(engine("llama"), Sampling(banned=banned), Sampling())
    assert odd != greedy[0]
    assert len(plain) == 16


def test_another_worker_does_not_change_what_a_worker_draws_where_it_is_not_seen(engine: Engines) -> None:
    how = Sampling(temperature=1.0, seed=5)
    (alone,) = decode(engine("llama"), how, heads=HEADS[:1], layout="independent")
    together = decode(engine("llama"), how, Sampling(temperature=1.0, seed=6), layout="independent")
    assert together[0] == alone


def test_a_penalty_keeps_a_decoding_from_repeating_itself(engine: Engines) -> None:
    engine_, how = engine("llama"), Sampling(repetition_penalty=100.0)
    for ids in decode(engine_, how, how):
        assert len(set(ids)) == len(ids)


def test_as_many_samplings_as_workers_are_asked_for(engine: Engines) -> None:
    with pytest.raises(HogwildError, match=r"2 workers and 1 samplings"):
        decode(engine("llama"), Sampling())


def test_only_allowed_tokens_are_chosen_and_nobody_else_is_touched() -> None:
    generator = torch.Generator().manual_seed(0)
    together, alone = [Sampler(how) for how in SETTINGS], [Sampler(how) for how in SETTINGS]
    rules = [Allowed(torch.tensor([4, 9, 30])), None, Allowed(torch.tensor([1, 2]), but=True)]
    allowed = [rules[at % 3] for at in range(len(SETTINGS))]
    for _ in range(40):
        rows = list(3 * torch.randn(len(SETTINGS), 50, generator=generator))
        found = choose(together, rows, [[]] * len(SETTINGS), allowed).ids()
        assert found == [one(row, (), rule) for one, row, rule in zip(alone, rows, allowed, strict=True)]
        for one in together:
            one.advance()
        for token, rule in zip(found, allowed, strict=True):
            assert rule is None or (token in rule.ids.tolist()) != rule.but
    free, row = Sampler(Sampling()), torch.tensor(LOGITS)
    assert free(row, (), Allowed(torch.tensor([2]))) == 2
    assert Sampler(Sampling(banned=(2,)))(row, (), Allowed(torch.tensor([2]))) == Sampler(Sampling(banned=(2,)))(row)
    assert row.tolist() == LOGITS


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_a_device_keeps_to_allowed_tokens_without_waiting() -> None:
    row, rules = torch.randn(5000).cuda(), [Allowed(torch.tensor([7, 4000])), Allowed(torch.tensor([7]), but=True)]
    samplers = [Sampler(Sampling(temperature=1.0)) for _ in rules]
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        chosen = choose(samplers, [row, row], [[], []], rules)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    first, second = chosen.ids()
    assert first in (7, 4000)
    assert second != 7
