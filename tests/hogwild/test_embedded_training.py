"""The training of the embedded model, in little: shards, the smoke preset from nothing to a usable model, fine-tuning.

In: recipes so small that they learn for seconds. Out: what they leave behind. Neighbours: `hogwild.embedded.shards`,
`training`, `train`, `fine_tune`, `muon`.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, Qwen2Config, Qwen2ForCausalLM

from hogwild import Engine
from hogwild.embedded import MODEL_DIR
from hogwild.embedded.fine_tune import ChatEncoder, Tuning, fine_tune
from hogwild.embedded.lessons import EASY, batch, lesson
from hogwild.embedded.muon import Muon, orthogonal
from hogwild.embedded.recipe import PRESETS
from hogwild.embedded.shards import ShardPlan, Supply, load_shard, save_shard
from hogwild.embedded.train import main, train
from hogwild.embedded.training import Training, chosen_logits
from hogwild.loading import load
from hogwild.prompting import WORKSHEETS, Prompting

PLAN = ShardPlan(str(MODEL_DIR), "widen", 4000, 1500, 1_000_000)
TINY = replace(PRESETS["smoke"], max_tokens=9000, tokenizer_lessons=20, shard_tokens=4000, eval_lessons=1)


def test_a_shard_is_the_same_whenever_and_wherever_it_is_made(tmp_path: Path) -> None:
    here = list(PLAN.make(3, PLAN.encoder()))
    save_shard(tmp_path / "3.pt", here)
    for one, again in zip(here, load_shard(tmp_path / "3.pt"), strict=True):
        assert torch.equal(one.rows, again.rows)
        assert torch.equal(one.targets, again.targets)
        assert all(torch.equal(a.visible, b.visible) for a, b in zip(one.strips, again.strips, strict=True))
    assert not torch.equal(here[0].targets, next(PLAN.make(4, PLAN.encoder())).targets)


def test_one_process_makes_shards_ahead_and_leaves_no_file_behind(tmp_path: Path) -> None:
    with Supply(PLAN, tmp_path / "shards", processes=1, first=2) as supply:
        shards = iter(supply)
        taken = [next(shards) for _ in range(2)]
    assert [number for number, _ in taken] == [2, 3]
    assert torch.equal(taken[1][1][0].targets, next(PLAN.make(3, PLAN.encoder())).targets)
    assert list((tmp_path / "shards").iterdir()) == []


def test_the_smoke_preset_goes_from_nothing_to_a_model_that_the_engine_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PRESETS, "smoke", TINY)
    main(["--preset", "smoke", "--out", str(tmp_path)])
    notes = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert notes[-1]["what"] == "eval"
    assert notes[-1]["tokens"] >= TINY.max_tokens
    engine = Engine.from_pretrained(tmp_path / "model")
    assert engine.tokenizer is not None
    assert len(engine.decode([1, 2, 3], heads=[[4], [5]], max_new_tokens=3, stop=False)[0]) == 3
    assert Prompting.of_directory(tmp_path / "model") == WORKSHEETS


def test_a_training_goes_on_where_it_was_left(tmp_path: Path) -> None:
    train(TINY, tmp_path)
    left = Training(TINY, tmp_path)
    assert left.progress >= 1.0
    # As if it had been stopped in the middle of a shard.
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    step, tokens, seconds, shard, _ = state["counts"]
    torch.save({**state, "counts": [step, tokens - 3000, seconds, shard, 1]}, tmp_path / "checkpoint.pt")
    going = Training(TINY, tmp_path)
    assert (going.step, going.shard, going.batch) == (step, shard, 1)
    going.run()
    assert going.step > step
    assert going.tokens >= TINY.max_tokens


def test_a_recipe_for_a_device_that_is_not_there_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(SystemExit, match="--preset cpu"):
        main(["--preset", "gpu", "--out", str(tmp_path)])


def test_muon_makes_the_singular_values_of_a_step_alike() -> None:
    for shape in ((24, 10), (10, 24)):
        values = torch.linalg.svdvals(orthogonal(torch.randn(shape, generator=torch.Generator().manual_seed(1))))
        assert values.min() > 0.4
        assert values.max() < 1.6


def test_muon_takes_the_steps_of_the_optimizer_in_torch() -> None:
    generator = torch.Generator().manual_seed(0)
    ours, theirs = (torch.nn.Parameter(torch.eye(12, 20)) for _ in range(2))
    mine = Muon([ours], 0.02, weight_decay=0.1)
    reference = torch.optim.Muon([theirs], lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for _ in range(5):
        ours.grad = torch.randn(12, 20, generator=generator)
        theirs.grad = ours.grad.clone()
        mine.step()
        reference.step()
    # Theirs iterates in bfloat16.
    assert torch.allclose(ours, theirs, atol=0.01)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another family than the embedded model's, with random weights, that speaks in its tokens."""
    folder = tmp_path_factory.mktemp("tiny")
    tokenizer = load(MODEL_DIR, "float32", torch.device("cpu")).tokenizer
    assert tokenizer is not None
    torch.manual_seed(0)
    Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(tokenizer), hidden_size=64, intermediate_size=96, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=4096, tie_word_embeddings=False,
            initializer_range=0.2,
            eos_token_id=tokenizer.eos_token_id,
        )
    ).save_pretrained(folder)  # fmt: skip
    tokenizer.save_pretrained(folder)
    return folder


def guessed_right(directory: Path) -> float:
    """Share of the tokens that held-out workers chose which the model would choose, too."""
    loaded = load(directory, "float32", torch.device("cpu"))
    encoder = ChatEncoder(loaded.tokenizer)
    given = batch([lesson(seed, EASY, encoder, "held_out") for seed in range(4)])
    with torch.no_grad():
        chosen = chosen_logits(loaded.model, given, loaded.facts).argmax(-1)
    return float((chosen == given.targets).float().mean())


@pytest.mark.parametrize("rank", [8, 0], ids=["adapter", "whole"])
def test_a_model_of_another_family_learns_to_collaborate(rank: int, tiny: Path, tmp_path: Path) -> None:
    if rank:
        pytest.importorskip("peft")
    losses = fine_tune(tiny, tmp_path, Tuning(rank=rank, steps=30, lessons=1, lr=2e-2 if rank else 5e-3, easy=True))
    assert sum(losses[-4:]) < 0.8 * sum(losses[:4])
    assert guessed_right(tmp_path / "model") > guessed_right(tiny) + 0.1
    assert Prompting.of_directory(tmp_path / "model") == WORKSHEETS


def test_the_adapter_that_was_learned_loads_and_is_the_merged_model(tiny: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    fine_tune(tiny, tmp_path, Tuning(rank=4, steps=3, lessons=1, lr=1e-2, easy=True))
    adapted = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny), tmp_path / "adapter")
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    ids = torch.arange(20)[None]
    with torch.no_grad():
        assert torch.allclose(adapted(ids).logits, merged(ids).logits, atol=1e-4)
        assert not torch.allclose(AutoModelForCausalLM.from_pretrained(tiny)(ids).logits, merged(ids).logits, atol=1e-3)
