"""Answers of a form that was asked for: what workers write is one, proofs, forks and resumed runs choose alike.

In: scripted models that write noise, the embedded model. Out: runs, their values. Neighbours: `workbench.guides`,
`workbench.answer_values`; `tests/toolsets/test_answering.py` has the grammar.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
from typer.testing import CliRunner

sys.path.append(str(Path(__file__).parents[1] / "hogwild"))

from scenes import Scene
from scripted_model import WORDS, save

from hogwild import Engine, Sampling
from hogwild.sampling import Sampler
from hogwild.text import TextOf
from toolsets.answers import AnswerForm
from workbench import Workbench
from workbench import events as ev
from workbench.answer_values import misfit, value_of
from workbench.cli import app
from workbench.errors import UsageError
from workbench.event_json import from_json, to_json
from workbench.guides import CallGuide
from workbench.models import load_engine
from workbench.replay import prove, versions

LIMIT_S = 60.0
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "verdict": {"enum": ["yes", "no", "unclear"]},
        "numbers": {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 3},
        "why": {"type": "string"},
    },
    "required": ["verdict", "numbers"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """Says something and ends; where it is asked for the answer it would write noise."""
    marks = ("{", '{"', '": "', '", "', ', "', '": [', "]}", '"}', "verdict", "numbers", "\n\n")
    chains = [["# Alice\n", "I ", "think.\n"], ["# Bob\n", "so "], *zip(marks)]
    return Engine.from_pretrained(save(tmp_path_factory.mktemp("noise"), *chains, words=WORDS))


def noisy(engine: Engine, seed: int, **spec: Any) -> Scene:
    # Only texts of few characters, or a text of the answer would hardly ever end.
    texts = [engine.tokenizer.decode([token]) for token in range(len(engine.tokenizer))]
    rare = [
        id for id, text in enumerate(texts) if len(text) == 1 and text not in '{}[]":, \n-.0123456789abcdehilmnorstuvwy'
    ]
    how = {"seed": seed, "sampling": Sampling(temperature=1.5, banned=tuple(rare)), **spec}
    scene = Scene(engine, "Alice", "Bob", tools={}, **how)
    scene.hear(
        ev.RunStarted("?", [], "here", engine.fingerprint, versions(), 0, "contiguous", ["Alice", "Bob"], {}, [])
    )
    return scene


def events_of(scene: Scene) -> list[ev.Event]:
    return [ev.Event("run", seq, 0.0, payload) for seq, payload in enumerate(scene.told, 1)]


@pytest.mark.parametrize("layout", ["contiguous", "interleaved", "combined", "independent"])
def test_a_model_that_writes_noise_gives_answers_by_the_schema_and_is_proved(noise: Engine, layout: str) -> None:
    whole, free = 0, 0
    for seed in range(6):
        with noisy(noise, seed, layout=layout, answer=AnswerForm.of(SCHEMA)) as scene:
            scene.to_the_end()
        outcome = scene.driver.outcome()
        if outcome.status == "solved":
            jsonschema.validate(json.loads(outcome.answer), SCHEMA)
            assert "\n" not in outcome.answer
            whole += 1
        else:
            assert outcome.misfit.startswith("The answer is no JSON, or was cut off: ")  # a text without an end
        events = events_of(scene)
        assert prove(events, noise), str(prove(events, noise))
        unguided = [one for one in events if not isinstance(one.payload, ev.AnswerGuided)]
        assert not prove(unguided, noise)  # so the guide has chosen
        with noisy(noise, seed, layout=layout) as plain:
            plain.to_the_end()
        free += AnswerForm.of(SCHEMA) is None or _is_json(plain.driver.outcome().answer)
    assert whole >= 3
    assert free == 0


def _is_json(text: str) -> bool:
    try:
        jsonschema.validate(json.loads(text), SCHEMA)
    except (ValueError, jsonschema.ValidationError):
        return False
    return True


def test_the_workers_are_told_of_the_form(noise: Engine) -> None:
    with noisy(noise, 0, answer=AnswerForm.of(int)) as scene:
        (prompt,) = [one for one in scene.of(ev.BlockOpened) if one.role == "prompt"]
        assert 'The final answer is JSON of this schema, and nothing else: {"type": "integer"}' in prompt.text
        assert [one.schema for one in scene.of(ev.AnswerGuided)] == [{"type": "integer"}]


def test_noise_in_a_large_vocabulary_is_guided_to_the_end_of_the_turn() -> None:
    """The embedded model's tokens, of logits without any sense."""
    embedded = load_engine("embedded")
    generator = torch.Generator().manual_seed(0)
    quotes = [id for id in range(embedded.vocab_size) if '"' in embedded.tokenizer.decode([id])]
    whole = 0
    for number in range(20):
        guide, texts, written = CallGuide(embedded), TextOf(embedded.tokenizer), ""
        guide.answer(SCHEMA)
        guide.wrote("A", "Before it is asked anything may stand here. ")
        assert guide.allowed("A") is None
        guide.asked("A")
        sampler = Sampler(Sampling(temperature=1.0, seed=number))
        while len(written) < 2000:
            row = torch.randn(embedded.vocab_size, generator=generator)
            row[quotes] += 2.0  # or a text would hardly ever end
            token = sampler(row, (), guide.allowed("A"))
            if token in embedded.end_ids:
                break
            written += (text := texts.add(token))
            guide.wrote("A", text)
        if token in embedded.end_ids:
            jsonschema.validate(json.loads(written), SCHEMA)
            whole += 1
    assert whole > 10


def test_a_fork_in_the_middle_of_an_answer_goes_on_by_the_schema(noise: Engine, tmp_path: Path) -> None:
    # Enough noise that two seeds do not write alike, and no texts, which are long.
    schema = {"type": "array", "items": {"type": "integer"}, "minItems": 8, "maxItems": 12}
    with Workbench(noise.directory, data_dir=tmp_path, tools=[], temperature=1.5, seed=3, answer=schema) as bench:
        run = bench.run("?")
        assert run.wait(LIMIT_S)
        jsonschema.validate(run.value, schema)
        closing = next(
            one.seq
            for one in run.events()
            if isinstance(one.payload, ev.TextInjected) and one.payload.source == "closing"
        )
        steps = [e.payload.step for e in run.events() if e.seq > closing and isinstance(e.payload, ev.TokensAdded)]
        middle = steps[len(steps) // 2]
        same, other = run.fork(middle), run.fork(middle, seed=77)
        for one in (same, other):
            assert one.wait(LIMIT_S)
            jsonschema.validate(one.value, schema)
            assert one.prove(), str(one.prove())
        assert same.value == run.value != other.value
        log = bench.log
    # Another workbench knows the form from the log alone; its own wish is for its own new runs.
    with Workbench(noise.directory, data_dir=tmp_path, tools=[], answer=bool) as later:
        assert later.fork(run.id, middle).value == run.value
        assert later.attach(run.id).value == run.value
        events = [from_json(to_json(one)) for one in log.events(run.id)]
        assert prove(events, noise)


def test_a_run_that_was_killed_in_its_answer_is_resumed_by_the_schema(noise: Engine, tmp_path: Path) -> None:
    schema = {"type": "array", "items": {"type": "integer"}, "minItems": 8, "maxItems": 12}
    with Workbench(noise.directory, data_dir=tmp_path, tools=[], temperature=1.5, seed=3, answer=schema) as bench:
        run = bench.run("?")
        assert run.wait(LIMIT_S)
        value, events = run.value, list(run.events())
    closing = next(at for at, one in enumerate(events) if getattr(one.payload, "source", "") == "closing")
    with Workbench(noise.directory, data_dir=tmp_path, tools=[]) as bench:
        for cut in range(closing - 1, len(events) - 1, 5):
            with bench.log.open_run(f"cut-{cut}", "?", str(noise.directory)) as writer:
                for one in events[:cut]:
                    writer.append(one.payload)
            resumed = bench.resume(f"cut-{cut}")
            assert resumed.wait(LIMIT_S)
            assert resumed.value == value
            assert resumed.prove(), cut


@dataclass
class Sum:
    total: int


def test_the_embedded_model_gives_values_of_one_item_and_of_several(tmp_path: Path) -> None:
    with Workbench(data_dir=tmp_path) as bench:
        assert bench.run("What is 3 + 4?", answer=int).value == 7
        assert bench.run("1. What is 3 + 4?\n2. What is 12 * 12?", answer=int).value == [7, 144]
        wrong = bench.run("1. What is 3 + 4?\n2. Is 97 a prime number?", answer=int)
        assert wrong.wait(LIMIT_S)
        assert wrong.status == "unanswered"
        finished = wrong.view().finished
        assert finished is not None
        assert finished.misfit == "Item 2: The answer must be a whole number, not 'yes'."
        with pytest.raises(UsageError, match="Item 2: The answer must be a whole number"):
            _ = wrong.value
        with pytest.raises(UsageError, match="was not asked for a value"):
            _ = bench.run("What is 3 + 4?").value
        with pytest.raises(UsageError, match="There is no kind of answer 'integer'"):
            bench.run("What is 3 + 4?", answer="integer")
    with pytest.raises(UsageError, match="is not JSON Schema"):
        Workbench(data_dir=tmp_path, answer={"type": 3})


def test_an_item_that_was_taken_out_has_no_value_and_costs_the_others_nothing() -> None:
    items = [ev.AnsweredItem(item=n, question="?", answer=text, worker=None) for n, text in ((1, "7"), (2, None))]
    form = AnswerForm.of(int)
    assert (misfit(form, "", items), value_of(form, "", items)) == ("", [7, None])
    assert misfit(form, "", items[1:]) == "There is no answer."


def test_a_value_is_what_was_asked_for_whoever_computes_it(noise: Engine, tmp_path: Path) -> None:
    with Workbench(noise.directory, data_dir=tmp_path, temperature=1.0, answer=Sum, engine="process") as bench:
        try:
            run = bench.run("?")
            assert isinstance(run.value, Sum)
            assert bench.attach(run.id).value == {"total": run.value.total}
        finally:
            assert bench._process is not None
            bench._process.stop()


def test_the_command_line_asks_for_a_form_and_gives_the_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_DATA_DIR", str(tmp_path))
    told = CliRunner().invoke(app, ["run", "What is 3 + 4?", "--json", "--answer", "int"])
    assert told.exit_code == 0
    assert json.loads(told.stdout)["value"] == 7
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "string", "format": "date"}')
    told = CliRunner().invoke(app, ["run", "What date is 3 days after 2024-02-27?", "--json", "--answer", str(schema)])
    assert json.loads(told.stdout)["value"] == "2024-03-01"
    told = CliRunner().invoke(app, ["run", "What is 3 + 4?", "--json", "--answer", "bool"])
    assert told.exit_code == 1
    assert "value" not in json.loads(told.stdout)
    for given, words in (("{", "no JSON Schema"), ("nope", "There is no kind of answer"), ("gone.json", "gone.json")):
        told = CliRunner().invoke(app, ["run", "What is 3 + 4?", "--answer", given])
        assert isinstance(told.exception, UsageError)
        assert words in str(told.exception)
