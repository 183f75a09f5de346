"""Other words and names for the workers than the model's own: said, logged, proved, forked, exported; and bad ones.

In: a scripted model (`tests/hogwild/scripted_model.py`). Out: runs, their prompts, errors. Neighbours:
`workbench.run_settings`, `workbench.host`; `tests/hogwild/test_prompting.py` for the words themselves.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

sys.path.append(str(Path(__file__).parents[1] / "hogwild"))

from scripted_model import WORDS, save

from hogwild import Prompting
from workbench import Run, Workbench
from workbench import events as ev
from workbench.cli import app
from workbench.errors import UsageError
from workbench.export_again import again_source
from workbench.record import Record
from workbench.run_settings import sendable

CHAINS = (["# Critic\n", "I doubt it."], ["# Solver\n", "It is so."], ["Joint answer:\n", "It is 42."])
OWN = {"rules": "{names}: first one, then the other.", "names": ["Critic", "Solver"]}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save(tmp_path_factory.mktemp("scripted"), *CHAINS))


@pytest.fixture(scope="module")
def bench(model: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    with Workbench(model, data_dir=tmp_path_factory.mktemp("data"), prompting=OWN, memory="none") as made:
        yield made


@pytest.fixture(scope="module")
def run(bench: Workbench) -> Run:
    run = bench.run("What?")
    run.wait()
    return run


def prompt_of(run: Run) -> str:
    (opened,) = [
        e.payload for e in run.events() if isinstance(e.payload, ev.BlockOpened) and e.payload.role == "prompt"
    ]
    return opened.text


def names_of(run: Run) -> list[str]:
    return [event.payload.worker for event in run.events() if isinstance(event.payload, ev.WorkerAdded)]


def test_workers_are_told_your_words_under_your_names(run: Run) -> None:
    assert run.answer == "It is 42."
    assert "Critic and Solver: first one, then the other." in prompt_of(run)
    assert names_of(run) == ["Critic", "Solver"]


def test_what_is_not_given_stays_the_models_own(run: Run, bench: Workbench) -> None:
    assert any(e.kind == "text_injected" and e.payload.text == WORDS["closing"] for e in run.events())
    usual = bench.run("What?", prompting=None)
    usual.wait()
    assert "Alice and Bob work together." in prompt_of(usual)


def test_a_whole_prompting_stands_for_itself(bench: Workbench) -> None:
    other = bench.run("What?", prompting=Prompting(**{**WORDS, "rules": "Go.", "names": ("Solver",)}), workers=1)
    other.wait()
    assert prompt_of(other).count("Go.") == 1
    assert names_of(other) == ["Solver"]


def test_a_run_with_your_words_is_proved_and_forked_with_them(run: Run) -> None:
    assert run.prove()
    child = run.fork(step=1, say="Really?", worker="Solver")
    child.wait()
    assert names_of(child) == ["Critic", "Solver"]
    (started,) = [event.payload for event in child.events() if isinstance(event.payload, ev.RunStarted)]
    assert started.settings["prompting"] == OWN


def test_a_worker_is_addressed_by_its_name(bench: Workbench) -> None:
    other = bench.run("What?")
    with pytest.raises(UsageError, match=r"no worker Alice.*Critic, Solver"):
        other.say("Hello.", worker="Alice")
    other.wait()


def test_the_log_and_the_exported_notebook_have_the_words(run: Run) -> None:
    code = again_source(Record.of(list(run.events())).data)
    assert f"prompting={OWN!r}" in code


def test_the_words_travel_to_the_engines_process_as_json(bench: Workbench) -> None:
    sent = sendable(bench.settings | {"prompting": Prompting(rules="Go.", names=("Solver",))})
    assert json.loads(json.dumps(sent))["prompting"]["names"] == ["Solver"]


BAD: list[tuple[Any, str]] = [
    ("Be brief.", "prompting must be"),
    ({"rule": "x"}, "no field 'rule'"),
    ({"rules": 3}, "'rules'.*text"),
    ({"tool_response": "done"}, r"'tool_response'.*\{content\}"),
    ({"names": ["Zoe"]}, "names 1 workers"),
    ({"names": ["Zoe", "Zoe"]}, "name of its own"),
    ({"names": ["Zoe", "a\nb"]}, "one line"),
    ({"front": "cobol"}, "no grammar 'cobol'"),
]


@pytest.mark.parametrize(("given", "says"), BAD, ids=str)
def test_words_that_make_no_sense_are_refused_in_a_sentence(bench: Workbench, given: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        bench.run("What?", prompting=given)


def test_the_command_line_reads_them_from_a_file(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_DATA_DIR", str(tmp_path / "data"))
    file = tmp_path / "words.json"
    file.write_text(json.dumps(OWN))
    done = CliRunner().invoke(
        app, ["run", "What?", "-m", model, "--prompting", str(file), "--memory", "none", "--json"]
    )
    assert [one["name"] for one in json.loads(done.stdout)["workers"]] == ["Critic", "Solver"]
    file.write_text("[1]")
    assert "one JSON object" in str(CliRunner().invoke(app, ["run", "x", "--prompting", str(file)]).exception)
    file.write_text("{")
    assert "is no JSON" in str(CliRunner().invoke(app, ["run", "x", "--prompting", str(file)]).exception)
