"""What is set for one worker when a run starts: it bears on that worker alone; the log, forks and proofs know of it.

In: the embedded model, and a scripted model whose workers call. Out: events. Neighbours: `workbench.worker_settings`,
`workbench.guides`, `workbench.plan_reader`; `test_own_words.py` for names.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path += [str(Path(__file__).parents[1] / "hogwild"), str(Path(__file__).parent)]

from scripted_model import call, save

from workbench import Workbench, Worker
from workbench import events as ev
from workbench.errors import UsageError
from workbench.export_again import again_source
from workbench.record import Record
from workbench.worker_settings import of_options

TASK = "1. What is the gcd of 48 and 36?\n2. What is 17 + 25?"
LIMIT_S = 60.0


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    with Workbench(memory="none", data_dir=tmp_path_factory.mktemp("data")) as made:
        yield made


def of(run: Any, kind: type) -> list[Any]:
    return [one.payload for one in run.events() if isinstance(one.payload, kind)]


def written(run: Any) -> list[Any]:
    return [[(told["worker"], told["ids"]) for told in one.tokens] for one in of(run, ev.TokensAdded)]


@pytest.fixture(scope="module")
def run(bench: Workbench) -> Any:
    """Alice draws and may only add; Bob has a line of his own."""
    alice = Worker("Alice", temperature=0.7, top_k=5, seed=3, tools=["add"])
    made = bench.run(TASK, workers=[alice, {"name": "Bob", "instruction": "Bob is careful, <b>always</b>."}])
    assert made.wait(LIMIT_S)
    return made


def test_each_worker_begins_as_it_is_set_and_the_log_tells_it(run: Any) -> None:
    alice, bob = of(run, ev.WorkerAdded)
    assert (alice.worker, alice.tools, alice.instruction) == ("Alice", ["add"], "")
    assert {name: alice.sampling[name] for name in ("temperature", "top_k", "seed")} == {
        "temperature": 0.7, "top_k": 5, "seed": 3,
    }  # fmt: skip
    assert (bob.worker, bob.tools, bob.instruction) == ("Bob", None, "Bob is careful, <b>always</b>.")
    assert bob.sampling["temperature"] == 0.0
    heads = {one.worker: one.text for one in of(run, ev.TextInjected) if one.source == "header"}
    assert heads == {"Alice": "# Alice\n", "Bob": "# Bob\nBob is careful, <b>always</b>.\n\n"}
    (started,) = of(run, ev.RunStarted)
    assert started.workers == ["Alice", "Bob"]
    assert started.settings["worker_settings"] == {
        "Alice": {"temperature": 0.7, "top_k": 5, "seed": 3, "tools": ["add"]},
        "Bob": {"instruction": "Bob is careful, <b>always</b>."},
    }


def test_a_worker_calls_no_tool_but_its_own_and_the_proof_knows_why(run: Any) -> None:
    calls = {
        one.worker: {two.tool for two in of(run, ev.CallPlanned) if two.worker == one.worker}
        for one in of(run, ev.CallPlanned)
    }
    assert calls["Alice"] <= {"add"}, "its calls are guided to what it may call"
    assert run.prove(), str(run.prove())


def test_a_fork_and_a_resumed_run_go_on_so(bench: Workbench, run: Any) -> None:
    child = run.fork(20)
    assert child.wait(LIMIT_S)
    assert (child.answer, of(child, ev.WorkerAdded)) == (run.answer, of(run, ev.WorkerAdded))
    assert child.prove()
    events = list(run.events())
    for name, step in (("early", 1), ("late", 25)):
        cut = next(at for at, one in enumerate(events) if getattr(one.payload, "step", -1) == step)
        with bench.log.open_run(f"killed-{name}", TASK, "embedded") as writer:
            for event in events[:cut]:
                writer.append(event.payload)
        again = bench.resume(f"killed-{name}")
        assert again.wait(LIMIT_S)
        assert written(again) == written(run)
        assert again.answer == run.answer
        assert again.prove()


def test_a_call_of_another_tool_is_refused_in_a_sentence_and_never_run(tmp_path: Path) -> None:
    chains = (
        ["# Alice\n", call("gcd", a=48, b=36)], ["# Bob\n", call("gcd", a=48, b=36)],
        ["</tool_response>", "So."], ["Joint answer:\n", "Done."],
    )  # fmt: skip
    model = str(save(tmp_path / "model", *chains))
    settings: dict[str, Any] = {"tools": ["gcd", "add"], "memory": "none", "max_tokens": 6, "guided_calls": False}
    with Workbench(model, data_dir=tmp_path, **settings) as bench:
        run = bench.run("What?", workers=["Alice", Worker("Bob", tools=["add"])])
        assert run.wait(LIMIT_S)
        names = {one.worker: one.call for one in of(run, ev.CallPlanned)}
        ends = {one.call: one for one in of(run, ev.CallFinished)}
        assert ends[names["Alice"]].text == "12"
        assert (ends[names["Bob"]].status, ends[names["Bob"]].error) == (
            "failed", "Bob may not call gcd: it may call add.",
        )  # fmt: skip
        assert names["Bob"] not in {one.call for one in of(run, ev.CallStarted)}
        told = [one.text for one in of(run, ev.TextInjected) if one.call == names["Bob"]]
        assert "may not call gcd" in told[0]
        events = list(run.events())
        planned = next(at for at, one in enumerate(events) if getattr(one.payload, "call", "") == names["Bob"])
        with bench.log.open_run("killed", "What?", model) as writer:  # between the call and its refusal
            for event in events[: planned + 1]:
                writer.append(event.payload)
        again = bench.resume("killed")
        assert again.wait(LIMIT_S)
        assert names["Bob"] not in {one.call for one in of(again, ev.CallStarted)}


@pytest.mark.parametrize(
    ("workers", "said"),
    [
        ([Worker("Alice", temperature=-1)], "Worker Alice: The temperature must be"),
        ([Worker("Alice", tools=["gdc"])], "Worker Alice: there is no tool 'gdc'; this run has .*gcd"),
        (["Alice", "Alice"], "Each worker needs a name of its own"),
        ([{"nme": "Alice"}], "A worker has no 'nme'; it has name"),
        ([{"temperature": 1.0}], "A worker needs a name"),
        ([{"name": "Alice", "tools": "gcd"}], "tools is a list of names"),
        ([{"name": "Alice", "instruction": "a\nb"}], "instruction is one line"),
        ([{"name": "Alice", "top_p": "much"}], "top_p must be a number"),
        ([3], "A worker is a name"),
        ([], "The number of workers must be between 1 and 8"),
    ],
)
def test_settings_that_make_no_sense_are_refused_before_anything_starts(
    bench: Workbench, workers: Any, said: str
) -> None:
    before = len(bench.log.runs())
    with pytest.raises(UsageError, match=said):
        bench.run(TASK, workers=workers)
    assert len(bench.log.runs()) == before


def test_settings_of_a_bench_are_those_of_its_runs_until_a_run_says_otherwise(tmp_path: Path) -> None:
    with Workbench(workers=["Ann", Worker("Ben", temperature=0.5)], data_dir=tmp_path, memory="none") as bench:
        run = bench.run("What is 3+4?")
        assert run.wait(LIMIT_S)
        assert [(one.worker, one.sampling["temperature"]) for one in of(run, ev.WorkerAdded)] == [
            ("Ann", 0.0), ("Ben", 0.5),
        ]  # fmt: skip
        other = bench.run("What is 3+4?", workers=["Zoe"])
        assert other.wait(LIMIT_S)
        assert [(one.worker, one.tools) for one in of(other, ev.WorkerAdded)] == [("Zoe", None)]


def test_an_exported_notebook_runs_it_again_so(run: Any) -> None:
    source = again_source(Record.of(run.events()).data)
    assert "workers=[{'name': 'Alice', 'temperature': 0.7, 'top_k': 5, 'seed': 3, 'tools': ['add']}" in source


def test_the_command_line_names_workers_with_their_settings() -> None:
    (alice, bob, carol) = of_options(["Alice:temperature=0.2,tools=gcd+add,instruction=Check, twice.", "Bob"], 3)  # type: ignore[misc]
    assert alice == Worker("Alice", temperature=0.2, tools=["gcd", "add"], instruction="Check, twice.")
    assert (bob, carol) == (Worker("Bob"), Worker("Carol"))
    assert (of_options([], None), of_options([], 4)) == (2, 4)
    for wrong, said in (
        ("Alice:speed=3", "'speed' is no setting; there are temperature"),
        ("Alice:temperature=hot", "temperature must be a number"),
        ("2", "--worker names one worker, such as Alice; --workers 2 says how many"),
        ("Alice:", "--worker is a name and what is set for it"),
        (":seed=1", "--worker is a name and what is set for it"),
    ):
        with pytest.raises(UsageError, match=said):
            of_options([wrong], None)
    with pytest.raises(UsageError, match="There are 2 --worker and --workers 1"):
        of_options(["Alice", "Bob"], 1)
