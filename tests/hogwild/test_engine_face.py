"""The engine as researchers use it by itself: token ids in, token ids out, and the explicit objects beneath.

In: prompts, heads, layouts, blocks and views of a tiny random model. Out: what the README and the docstrings promise.
Neighbours: the oracle's tests beside this one prove the numbers; here it is the face.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_models
import torch
from twin import TOLERANCE, relative_error, text

import hogwild
from hogwild import Arrangement, Block, Engine, Feed, Layout, Sampling, Tape, View
from hogwild.errors import HogwildError, ViewError
from hogwild.layouts import COMBINED
from hogwild.views import fork, join, num_tokens, permute, prune, replace, start
from hogwild.workspace import Workspace

Engines = Callable[[str], Engine]
PROMPT, SEPARATOR = text(9, seed=1), text(2, seed=2)
HEADS = [text(3, seed=3), text(2, seed=4)]


@pytest.fixture
def llama(engine: Engines) -> Any:
    made = engine("llama")
    before = made.cache.num_tokens
    yield made
    made.cache.check()
    assert made.cache.num_tokens == before


def test_every_public_name_is_there_and_no_other() -> None:
    for name in hogwild.__all__:
        assert getattr(hogwild, name) is not None
    with pytest.raises(AttributeError, match="nothing_of_this_name"):
        hogwild.nothing_of_this_name  # noqa: B018 - looking it up is what is tested


def test_the_face_has_the_arguments_that_were_promised() -> None:
    wanted = ["prompt_ids", "heads", "separator_ids", "layout", "max_new_tokens", "logits", "stop"]
    assert list(inspect.signature(Engine.decode).parameters)[1:8] == wanted
    assert {"dtype", "device"} <= set(inspect.signature(Engine.from_pretrained).parameters)


def test_decoding_gives_one_list_of_new_ids_per_worker(llama: Engine) -> None:
    ids = llama.decode(PROMPT, heads=HEADS, separator_ids=SEPARATOR, max_new_tokens=7, stop=False)
    assert [len(one) for one in ids] == [7, 7]
    assert all(type(token) is int and 0 <= token < llama.vocab_size for one in ids for token in one)


def test_each_row_of_logits_is_what_its_token_was_chosen_from(llama: Engine) -> None:
    ids, logits = llama.decode(PROMPT, heads=HEADS, max_new_tokens=6, logits=True, stop=False)
    assert [rows.argmax(-1).tolist() for rows in logits] == ids


def test_a_worker_that_has_stopped_leaves_the_others_going(engine: Engines, tmp_path: Path) -> None:
    plain = engine("llama").decode(PROMPT, heads=HEADS, max_new_tokens=30, stop=False)
    end = next(token for n, token in enumerate(plain[0]) if n > 3 and token not in plain[0][:n] + plain[1])
    folder = tiny_models.save(tiny_models.build("llama", eos_token_id=end), tmp_path / "model")
    stopping = Engine.from_pretrained(folder, dtype="float32")
    assert stopping.end_ids == {end}
    first, second = stopping.decode(PROMPT, heads=HEADS, max_new_tokens=30)
    assert first == plain[0][: plain[0].index(end) + 1], "the end stands at the end of the list"
    assert len(second) == 30
    assert stopping.decode(PROMPT, heads=HEADS, max_new_tokens=30, stop=False) == plain


def test_the_layout_decides_what_is_decoded(llama: Engine) -> None:
    def decoded(layout: Any) -> Any:
        return llama.decode(PROMPT, heads=HEADS, layout=layout, max_new_tokens=10, stop=False)

    assert decoded("contiguous") != decoded("independent")
    alone = [llama.decode(PROMPT, heads=[head], max_new_tokens=10, stop=False)[0] for head in HEADS]
    assert decoded("independent") == alone


def test_a_layout_that_a_person_wrote_is_as_good_as_the_named_one(llama: Engine) -> None:
    def mine(given: Arrangement, worker: str) -> View:
        return (*given.prompt, *given.others(worker), *given.before_own(), *given.open[worker])

    def backwards(given: Arrangement, worker: str) -> View:
        return (*given.others(worker), *given.prompt, *given.open[worker])

    how: dict[str, Any] = {"separator_ids": SEPARATOR, "max_new_tokens": 10, "stop": False}
    named = llama.decode(PROMPT, heads=HEADS, **how)
    assert llama.decode(PROMPT, heads=HEADS, layout=Layout("mine", mine), **how) == named
    assert llama.decode(PROMPT, heads=HEADS, layout=Layout("backwards", backwards), **how) != named


def test_a_layout_that_forgets_the_own_block_is_refused_and_nothing_stays_in_the_cache(llama: Engine) -> None:
    with pytest.raises(ViewError, match="forgetful"):
        llama.decode(PROMPT, heads=HEADS, layout=Layout("forgetful", lambda given, worker: given.prompt))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"max_new_tokens": -1}, "negative"),
        ({"heads": []}, "at least one worker"),
        ({"step_end_ids": {5}}, "sequence"),
        ({"layout": "diagonal"}, "diagonal"),
        ({"sampling": [Sampling()] * 3}, "3 samplings"),
        ({"prompt_ids": [9999]}, "9999"),
        ({"prompt_ids": "text"}, "prompt_ids must be token ids"),
        ({"prompt_ids": torch.tensor([[5, 6]])}, "in a row"),
        ({"heads": [[5], [0.5]]}, r"heads\[1\]"),
        ({"separator_ids": [None]}, "separator_ids"),
    ],
    ids=str,
)
def test_a_wrong_request_is_one_sentence_and_leaves_nothing(wrong: dict[str, Any], said: str, llama: Engine) -> None:
    with pytest.raises(HogwildError, match=said) as error:
        llama.decode(**{"prompt_ids": PROMPT, "heads": HEADS, **wrong})
    assert "\n" not in str(error.value)


def test_ids_may_come_as_tensors(llama: Engine) -> None:
    given = {"prompt_ids": torch.tensor(PROMPT), "heads": torch.tensor([[5, 6], [7, 8]]), "max_new_tokens": 4}
    assert llama.decode(**given) == llama.decode(PROMPT, heads=[[5, 6], [7, 8]], max_new_tokens=4)


def test_a_prompt_is_not_needed(llama: Engine) -> None:
    assert len(llama.decode([], heads=HEADS, max_new_tokens=3, stop=False)[0]) == 3


def test_a_long_prompt_that_is_fed_in_pieces_decodes_the_same(llama: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = llama.decode(text(100, seed=9), heads=HEADS, max_new_tokens=10, stop=False)
    monkeypatch.setattr("hogwild.engine.PREFILL_CHUNK", 7)
    assert llama.decode(text(100, seed=9), heads=HEADS, max_new_tokens=10, stop=False) == whole


# The explicit objects.


def test_by_hand_and_by_decode_the_same_tokens_come_out(llama: Engine) -> None:
    prompt, separator = llama.prefill(PROMPT), llama.prefill(SEPARATOR)
    a, b = llama.open_block(), llama.open_block()
    due = [list(HEADS[0]), list(HEADS[1])]
    found: list[list[int]] = [[], []]
    for _ in range(8):
        feeds = [Feed((prompt, b, separator, a), due[0]), Feed((prompt, a, separator, b), due[1])]
        for worker, logits in enumerate(llama.step(feeds)):
            due[worker] = [int(logits[-1].argmax())]
            found[worker] += due[worker]
    llama.release(prompt, separator, a, b)
    assert found == llama.decode(PROMPT, heads=HEADS, separator_ids=SEPARATOR, max_new_tokens=8, stop=False)


def test_the_last_logits_of_a_step_are_the_last_of_all_its_logits(llama: Engine) -> None:
    a, b = llama.open_block(), llama.open_block()
    rows, _ = llama.step_last([Feed((a,), PROMPT), Feed((b,), SEPARATOR)])
    llama.release(a, b)
    a, b = llama.open_block(), llama.open_block()
    whole = llama.step([Feed((a,), PROMPT), Feed((b,), SEPARATOR)])
    llama.release(a, b)
    assert [tuple(one.shape) for one in whole] == [(9, 97), (2, 97)]
    for row, all_rows in zip(rows, whole, strict=True):
        assert relative_error(row, all_rows[-1]) < TOLERANCE


def test_a_workers_block_can_be_closed_into_the_common_history(llama: Engine) -> None:
    """As in the combined layout: what Bob has finished stands behind the prompt, for Alice and for Bob."""
    prompt, bob = llama.prefill(PROMPT), llama.open_block()
    llama.step([Feed((prompt, bob), HEADS[1])])
    llama.freeze(bob)
    alice, bob_next = llama.open_block(), llama.open_block()
    logits = llama.step([Feed((prompt, bob, bob_next, alice), [5, 6]), Feed((prompt, bob, alice, bob_next), [7])])
    assert [len(one) for one in logits] == [2, 1]
    with pytest.raises(ViewError, match="frozen"):
        llama.step([Feed((prompt, bob), [1])])
    llama.release(prompt, bob, alice, bob_next)


def test_a_step_that_is_over_gives_its_spare_room_back(llama: Engine) -> None:
    space = Workspace(COMBINED, llama.open_block, step_ends=lambda ids: len(ids) == 5, on_freeze=llama.freeze)
    for name, head in zip("AB", HEADS, strict=True):
        space.add_worker(name, head)
    for _ in range(12):
        feeds = space.feeds()
        llama.step_last(feeds)
        for name in space.fed(feeds):
            space.accept(name, 7)
        llama.cache.check()
    assert len(space.history) == 4
    llama.release(*space.blocks())


def test_a_block_is_held_once_however_many_look_at_it(llama: Engine) -> None:
    before = llama.cache.num_bytes
    prompt = llama.prefill(text(128, seed=5))
    assert llama.cache.num_bytes - before == 128 * llama.cache.bytes_per_token
    workers = [llama.open_block() for _ in range(4)]
    llama.step([Feed((prompt, worker), [1]) for worker in workers])
    assert llama.cache.num_bytes - before == 132 * llama.cache.bytes_per_token
    llama.release(prompt, *workers)
    assert llama.cache.num_bytes == before


def test_views_are_changed_by_functions_that_move_no_key(llama: Engine) -> None:
    prompt, own = llama.prefill(PROMPT), llama.open_block()
    llama.step([Feed((prompt, own), [1, 2])])
    llama.freeze(own)
    keys = llama.cache.read(own, 0)[0]
    branches = [fork((prompt, own), llama.open_block()) for _ in range(2)]
    note = llama.prefill([3, 4, 5])
    joined = join(branches[0], note)
    assert [block.id for block in joined] == [prompt.id, own.id, note.id, branches[0][-1].id]
    assert prune(joined, own) == (prompt, note, branches[0][-1])
    assert permute(joined, [2, 0, 1, 3]) == (note, prompt, own, branches[0][-1])
    assert (num_tokens(joined), start(joined, note)) == (14, 11)
    assert llama.cache.read(own, 0)[0].data_ptr() == keys.data_ptr()
    merged = llama.compact([prompt, own])
    assert replace(joined, [prompt, own], merged) == (merged, note, branches[0][-1])
    llama.release(merged, note, *(branch[-1] for branch in branches))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda a, b: fork((a, b), Block(99)),
        lambda a, b: join((a, b), a),
        lambda a, b: prune((a, b), b),
        lambda a, b: prune((a, b), Block(99)),
        lambda a, b: permute((a, b), [1, 0]),
        lambda a, b: permute((a, b), [0, 0]),
        lambda a, b: replace((a, b), [b, a], Block(99)),
        lambda a, b: start((a, b), Block(99)),
    ],
)
def test_a_change_of_a_view_that_makes_no_sense_is_refused(wrong: Callable[[Block, Block], Any]) -> None:
    with pytest.raises(ViewError) as error:
        wrong(Block(1, 3, True), Block(2, 1))
    assert "\n" not in str(error.value)


def test_the_shares_of_attention_name_the_blocks_of_the_view_and_sum_to_one(llama: Engine) -> None:
    prompt, a, b, stranger = llama.prefill(PROMPT), llama.open_block(), llama.open_block(), llama.open_block()
    feeds = [Feed((prompt, b, a), [1, 2]), Feed((prompt, b), [3]), Feed((stranger,), [4])]
    _, step = llama.step_last(feeds, mass=True)
    shares = [step.attention_of(feed) for feed in feeds]
    assert [set(one) for one in shares] == [{prompt.id, b.id, a.id}, {prompt.id, b.id}, {stranger.id}]
    assert [sum(one.values()) for one in shares] == [pytest.approx(1.0, abs=1e-5)] * 3
    llama.release(prompt, a, b, stranger)


@pytest.mark.parametrize("layout", ["contiguous", "interleaved", "combined", "independent"])
def test_a_recorded_decoding_replays_to_its_logits(layout: str, llama: Engine) -> None:
    tape = Tape()
    ids, logits = llama.decode(
        PROMPT, heads=HEADS, separator_ids=SEPARATOR, layout=layout, max_new_tokens=12, logits=True, stop=False,
        step_end_ids=[llama.decode(PROMPT, heads=HEADS, max_new_tokens=4, stop=False)[0][2]], tape=tape,
    )  # fmt: skip
    replayed = torch.cat(list(llama.replay(tape).values()))
    for worker, rows in zip(ids, logits, strict=True):
        assert len(worker) == len(rows)
        for row in rows:
            assert float((replayed - row).abs().amax(-1).min() / row.abs().max()) < TOLERANCE


def test_a_person_may_use_the_model_by_itself_in_between(llama: Engine) -> None:
    ids = torch.tensor([PROMPT])
    before = llama.decode(PROMPT, heads=HEADS, separator_ids=SEPARATOR, max_new_tokens=5)
    with pytest.raises(HogwildError, match="set_attn_implementation"):
        llama.model(ids)
    llama.model.set_attn_implementation("sdpa")
    assert llama.model(ids).logits.requires_grad
    assert llama.decode(PROMPT, heads=HEADS, separator_ids=SEPARATOR, max_new_tokens=5) == before


def test_an_engine_computes_in_its_own_type_within_a_persons_autocast(llama: Engine) -> None:
    def logits(engine: Engine) -> torch.Tensor:
        block = engine.open_block()
        (found,) = engine.step([Feed(view=[block], tokens=PROMPT)])
        engine.release(block)
        return found

    right = logits(llama)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(logits(llama), right)
        assert torch.equal(logits(Engine.from_pretrained(llama.directory, dtype="float32")), right)


def test_one_seed_for_all_workers_does_not_make_them_draw_alike(llama: Engine) -> None:
    how = Sampling(temperature=1.0, seed=3)
    ids = llama.decode(PROMPT, heads=[HEADS[0]] * 2, layout="independent", max_new_tokens=12, stop=False, sampling=how)
    assert ids[0] != ids[1]
