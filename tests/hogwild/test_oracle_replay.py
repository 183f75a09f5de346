"""One teacher-forced forward over a finished run gives the logits that the oracle computed step by step."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from oracle import Oracle, greedy, greedy_by_steps
from tiny_models import FAMILIES, WINDOWED
from twin import TOLERANCE, relative_error, text

from hogwild import Engine, Feed, replay
from hogwild.tape import Tape

Engines = Callable[[str], Engine]
Oracles = Callable[[str], Oracle]

PROMPT = text(19, seed=51)
SEPARATOR = text(2, seed=52)
HEADS = [text(4, seed=53), text(1, seed=54), text(7, seed=55)]
STEPS = 40


def replayed_rows(engine: Engine, tape: Tape, worker: int) -> torch.Tensor:
    """The replay's logits after each of this worker's chunks, `[chunks, vocab]`: what its next tokens came from."""
    logits = engine.replay(tape)
    chunks = [chunk for chunk in tape.chunks if chunk.worker == str(worker)]
    return torch.stack([logits[chunk.block][chunk.at + len(chunk.tokens) - 1] for chunk in chunks])


@pytest.mark.parametrize("layout", ["contiguous", "independent"])
@pytest.mark.parametrize("family", FAMILIES)
def test_replay_gives_the_logits_of_the_step_by_step_run(
    family: str, layout: str, engine: Engines, oracle: Oracles
) -> None:
    tape = Tape()
    engine(family).decode(
        PROMPT, heads=HEADS, separator_ids=SEPARATOR, layout=layout, max_new_tokens=STEPS, stop=False, tape=tape
    )
    _, rows = greedy(oracle(family), PROMPT, HEADS, SEPARATOR, layout == "contiguous", STEPS)
    for worker, truth in enumerate(rows):
        ours = replayed_rows(engine(family), tape, worker)[:STEPS]
        assert relative_error(ours, truth[: len(ours)]) < TOLERANCE


@pytest.mark.parametrize("family", ["llama", *WINDOWED])
def test_a_long_prompt_is_replayed_in_pieces_and_blocks_are_rebuilt_as_they_were(
    family: str, engine: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "ROWS_AT_ONCE", 7)
    live, tape = engine(family), Tape()
    prompt = live.prefill(PROMPT)
    tape.record_block(prompt.id, PROMPT)
    a, b = live.open_block(), live.open_block()
    for number in range(3):
        feeds = [Feed((prompt, b, a), text(5, seed=number), "a"), Feed((prompt, a, b), [number], "b")]
        live.step(feeds)
        tape.record(feeds)
    again = live.rebuild(tape, [prompt, a, b])
    for block, made in zip((prompt, a, b), again, strict=True):
        assert (made.length, made.frozen) == (block.length, block.frozen)
        for layer in range(live.facts.num_layers):
            for was, is_now in zip(live.cache.read(block, layer), live.cache.read(made, layer), strict=True):
                assert torch.allclose(was, is_now, rtol=1e-4, atol=1e-4)
    live.release(prompt, a, b, *again)


@pytest.mark.parametrize("layout", ["interleaved", "combined"])
@pytest.mark.parametrize("family", ["llama", "llama-yarn", "glm4", "smollm3", "phi3", "gemma3", "gpt_oss"])
def test_replay_picks_the_same_tokens_where_finished_steps_become_history(
    family: str, layout: str, engine: Engines, oracle: Oracles
) -> None:
    # the token that is picked most when no step ends: its first coming ends a step for sure
    free = greedy_by_steps(oracle(family), PROMPT, HEADS, [-1], layout == "combined", STEPS - 5)
    endless = [token for ids in free for token in ids]
    end = [max(endless, key=endless.count)]
    tape = Tape()
    engine(family).decode(
        PROMPT, heads=HEADS, layout=layout, max_new_tokens=STEPS, stop=False, step_end_ids=end, tape=tape
    )
    chosen = greedy_by_steps(oracle(family), PROMPT, HEADS, end, layout == "combined", STEPS)
    assert len({chunk.block for chunk in tape.chunks}) > 1 + len(HEADS), "no step ended"
    for worker, ids in enumerate(chosen):
        assert replayed_rows(engine(family), tape, worker).argmax(-1).tolist()[:STEPS] == ids
