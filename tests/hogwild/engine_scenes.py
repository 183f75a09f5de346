"""Scenes that an engine plays the same way, however its model is spread: over processes, over devices, quantised.

In: an engine. Out: the logits of everything that it did, to be held against those of an engine in one place.
Neighbours: `test_ranks.py`, `test_device_map.py`.
"""

from __future__ import annotations

from torch import Tensor
from twin import text

from hogwild import Block, Engine, Feed, Tape

PROMPT = text(23, seed=41)
HEADS = [text(3, seed=43), text(8, seed=44), text(1, seed=45)]


def operations(engine: Engine) -> list[Tensor]:
    """Every operation on the cache, each with a step after it."""
    prompt, other, own = engine.prefill(PROMPT), engine.prefill(HEADS[1]), engine.open_block()
    logits = engine.step([Feed((prompt, other, own), HEADS[0])])
    whole = engine.compact([prompt, other])
    logits += engine.step([Feed((whole, own), text(2, seed=1))])
    branch = engine.cache.branch(own, 2, frozen=False)
    logits += engine.step([Feed((whole, own), text(1, seed=2)), Feed((whole, branch), text(3, seed=3))])
    engine.freeze(own)
    engine.cache.cut(own, 4)
    after, alone = engine.open_block(), engine.open_block()
    feeds = [Feed((own, after), [1]), Feed((alone,), text(4, seed=5)), Feed((own, branch), [2])]
    logits += engine.step(feeds)  # rows of two groups, one of them not side by side
    engine.cache.check()
    engine.release(whole, own, branch, after, alone)
    return logits


def replayed(engine: Engine) -> list[Tensor]:
    """A run that is recorded, replayed, and rebuilt."""
    tape, prompt = Tape(), engine.prefill(PROMPT)
    tape.record_block(prompt.id, PROMPT)
    blocks = [engine.open_block(), engine.open_block()]
    for tokens in (HEADS[0], HEADS[1], [5]):
        views = [(prompt, *blocks), (prompt, *reversed(blocks))]
        feeds = [Feed(view, tokens, name) for view, name in zip(views, "ab", strict=True)]
        engine.step(feeds)
        tape.record(feeds)
    logits = list(engine.replay(tape).values())
    logits.append(engine.replay_rows(tape, [(prompt.id, 3), (blocks[1].id, 5)]))
    old = [Block(block.id, block.length, block.frozen) for block in (prompt, *blocks)]
    engine.release(prompt, *blocks)
    again = engine.rebuild(tape, old)
    logits += engine.step([Feed(tuple(again), [7, 8])])
    engine.release(*again)
    return logits


def shares(engine: Engine) -> list[float]:
    """Attention that a token spends on the blocks of its view."""
    prompt, own = engine.prefill(PROMPT), engine.open_block()
    feed = Feed((prompt, own), HEADS[1])
    _, step = engine.step_last([feed], mass=True)
    engine.release(prompt, own)
    return list(step.attention_of(feed).values())
