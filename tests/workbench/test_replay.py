"""Runs proved from their events alone: every token again, and a sentence for whatever differs.

In: runs of scripted models (`tests/hogwild/scripted_model.py`) and of tiny random ones, whose tokens depend on all that
they see, and their events, whole and tampered with. Out: proofs. Neighbours: `workbench.tapes`, `workbench.replay`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[1] / "hogwild"))

import tiny_models
from scenes import Scene
from scripted_model import WORDS, byte_tokenizer, save

from hogwild import Engine, Prompting, Sampling
from toolsets.builtin import BUILTINS
from workbench import Workbench
from workbench import events as ev
from workbench.errors import ReplayError
from workbench.log import RunLog
from workbench.models import load_engine
from workbench.replay import Difference, prove, versions
from workbench.stored import StoredRun

TASK = "1. What is the gcd of 48 and 36?\n2. Spell the word lantern backwards.\n3. Is 97 a prime number?"
LAYOUTS = ("contiguous", "interleaved", "combined", "independent")


@pytest.fixture(scope="module")
def embedded() -> Engine:
    return load_engine("embedded")


def recorded(
    engine: Engine,
    *workers: str,
    meddle: Callable[[Scene, int], None] = lambda *_: None,
    most_steps: int = 400,
    **how: Any,
) -> Any:
    """The events of a run, as the log has them, or of its first steps."""
    scene = Scene(engine, *workers, **{"tools": BUILTINS, **how})
    spec = scene.driver.spec
    scene.hear(
        ev.RunStarted("What?", [], "here", engine.fingerprint, versions(), 0, str(spec.layout), list(workers), {}, [])
    )
    with scene:
        for number in range(most_steps):
            if scene.driver.ended:
                break
            meddle(scene, number)
            scene.step()
    return [ev.Event("run", seq, 0.0, payload) for seq, payload in enumerate(scene.told, 1)]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_run_with_calls_is_proved_from_its_events(layout: str, embedded: Engine) -> None:
    how: dict[str, Any] = {"task": TASK, "layout": layout, "max_tokens": 150}
    events = recorded(embedded, "Alice", "Bob", **how)
    assert any(isinstance(one.payload, ev.CallFinished) for one in events)
    proof = prove(events, embedded)
    assert proof, str(proof)
    told = [one.payload for one in events if isinstance(one.payload, ev.TokensAdded)]
    sampled = sum(len(worker["ids"]) for step in told for worker in step.tokens)
    assert proof.tokens == proof.identical == sampled + sum(len(step.ended) for step in told)


@pytest.mark.parametrize("layout", ["contiguous", "combined"])
def test_a_run_that_was_steered_and_sampled_is_proved(layout: str, embedded: Engine) -> None:
    """Workers that come late and go early, pauses, words, another sampling with another seed."""

    def meddle(scene: Scene, number: int) -> None:
        driver = scene.driver
        match number:
            case 4:
                driver.add_worker("Carol")
            case 9:
                driver.pause()
            case 11:
                driver.resume()
            case 14:
                driver.say("Bob", "Take your time.", "line-1")
            case 20:
                scene.hear(ev.Steered("set_sampling", {"worker": "Bob", "temperature": 1.2, "seed": 8}))
                driver.set_sampling("Bob", {"temperature": 1.2, "seed": 8})
            case 26:
                driver.set_sampling(None, {"temperature": 0.4, "repetition_penalty": 1.1})
            case 60:
                driver.retire("Carol")

    how: dict[str, Any] = {"task": TASK, "layout": layout, "max_tokens": 90, "seed": 3}
    events = recorded(embedded, "Alice", "Bob", meddle=meddle, sampling=Sampling(temperature=0.9), **how)
    proof = prove(events, embedded)
    assert proof, str(proof)
    assert proof.tokens > 100


def test_steps_that_merge_into_the_history_are_proved(tmp_path: Path) -> None:
    engine = Engine.from_pretrained(save(tmp_path, ["# Kim\n", "k\n\n", "k\n\n"], ["# Bob\n", "b1 ", "b2."]))
    words = Prompting.from_json({**WORDS, "step_header": "# {name}\n"})
    events = recorded(engine, "Kim", "Bob", layout="interleaved", max_tokens=20, prompting=words)
    assert any(isinstance(one.payload, ev.BlocksMerged) for one in events)
    assert prove(events, engine)


@pytest.mark.parametrize("family", ["gemma2", "gemma3", "gpt_oss"])
def test_runs_of_models_with_windows_soft_caps_and_sinks_are_proved(family: str, tmp_path: Path) -> None:
    tokenizer = byte_tokenizer()
    size = len(tokenizer) + -len(tokenizer) % 8
    folder = tiny_models.save(tiny_models.build(family, vocab_size=size), tmp_path)
    tokenizer.save_pretrained(folder)
    (folder / "prompting.json").write_text(json.dumps(WORDS))
    engine = Engine.from_pretrained(folder)
    how: dict[str, Any] = {"tools": {}, "layout": "combined", "most_steps": 40}
    events = recorded(engine, "Kim", "Bob", sampling=Sampling(temperature=0.8), **how)
    proof = prove(events, engine)
    assert proof, str(proof)
    assert proof.tokens > 40
    assert not prove(tampered(events, "Bob", 12), engine)


def tampered(events: list[ev.Event], worker: str, number: int) -> list[ev.Event]:
    """The same events, but one sampled token of one worker is another."""
    steps = [
        index for index, one in enumerate(events)
        if isinstance(one.payload, ev.TokensAdded) and any(t["worker"] == worker for t in one.payload.tokens)
    ]  # fmt: skip
    at = steps[number]
    step = events[at].payload
    assert isinstance(step, ev.TokensAdded)
    tokens = [{**t, "ids": [(t["ids"][0] + 1) % 90]} if t["worker"] == worker else t for t in step.tokens]
    return [*events[:at], replace(events[at], payload=replace(step, tokens=tokens)), *events[at + 1 :]]


def test_what_may_be_rounding_is_said_so_in_logits_or_as_a_share_of_the_draw() -> None:
    one = Difference(seq=9, step=4, worker="Erin", recorded="a", chosen="b", margin=0.002, drawn=True)
    assert "rounding" not in str(one)
    assert "rounding" not in str(replace(one, drawn=False))
    assert "1.7e-08 apart, which is rounding" in str(replace(one, margin=1.7e-8))
    assert "rounding" in str(replace(one, drawn=False, margin=2e-5))


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_token_that_was_changed_is_found_and_named(temperature: float, embedded: Engine) -> None:
    events = recorded(embedded, "Alice", "Bob", task=TASK, max_tokens=60, sampling=Sampling(temperature=temperature))
    forged = tampered(events, "Bob", 12)
    proof = prove(forged, embedded)
    assert not proof
    assert proof.first is not None
    assert (proof.first.worker, proof.first.margin > 0) == ("Bob", True)
    (at,) = [one.seq for one, other in zip(events, forged, strict=True) if one != other]
    assert proof.first.seq == at
    assert f"(event {at})" in str(proof)
    assert proof.identical < proof.tokens


def test_another_model_and_other_versions_are_told_in_sentences(embedded: Engine) -> None:
    events = recorded(embedded, "Alice", task="1. Is 97 a prime number?", max_tokens=20)
    started = events[0].payload
    assert isinstance(started, ev.RunStarted)
    other = [replace(events[0], payload=replace(started, model_fingerprint="0f1e")), *events[1:]]
    assert "The model differs: the run had 0f1e" in str(prove(other, embedded))
    older = replace(started, versions={**started.versions, "torch": "1.0"})
    proof = prove([replace(events[0], payload=older), *events[1:]], embedded)
    assert proof
    assert "The version of torch differs: the run had 1.0" in str(proof)


def test_a_log_that_does_not_say_all_is_refused(embedded: Engine) -> None:
    events = recorded(embedded, "Alice", "Bob", task="1. Is 97 a prime number?", max_tokens=20)
    bare = [
        replace(one, payload=replace(one.payload, fed=None)) if isinstance(one.payload, ev.TokensAdded) else one
        for one in events
    ]
    with pytest.raises(ReplayError, match="older version"):
        prove(bare, embedded)
    with pytest.raises(ReplayError, match="not whole"):
        prove([one for one in events if not isinstance(one.payload, ev.BlockOpened)], embedded)


def test_a_notebooks_own_data_prove_the_run_and_credentials_do_not_travel(tmp_path: Path) -> None:
    with Workbench(data_dir=tmp_path, max_tokens=40) as bench:
        run = bench.run("1. Is 97 a prime number?")
        assert run.wait(60)
        assert run.prove()
        carried = StoredRun.from_text(StoredRun.of(bench.log.events(run.id)).to_text())
        assert prove(carried, bench.loaded())
        secret = bench.run("1. Is 97 prime? My key is hf_abcdefghijklmnopqrstuvwx.")
        assert secret.wait(60)
    stored = StoredRun.of(RunLog(tmp_path / "runs.sqlite3").events(secret.id))
    opened = next(one for one in stored.events if one["kind"] == "block_opened")
    assert opened["tokens"] == []
    with pytest.raises(ReplayError, match="Credentials"):
        prove(stored, bench.loaded())
