"""The front end: its own unit tests, that it is built from these sources, and that it folds a run as Python does."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from staged_runs import HOSTILE, QUESTIONS, Story, worksheet

from workbench import events as ev
from workbench import front_end
from workbench.event_json import to_json
from workbench.lanes import shown
from workbench.projection import RunView
from workbench.visible import visible

PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
NODE = shutil.which("node", path=PATH)
needs_node = pytest.mark.skipif(
    NODE is None or not (front_end.SOURCES / "node_modules").is_dir(), reason="needs node and `make ui`"
)


def test_what_is_built_was_built_from_these_sources() -> None:
    assert front_end.is_current(), "run `make ui`"


def test_the_panel_is_small() -> None:
    import gzip

    (bundle,) = (front_end.EXTENSION / "static").glob("remoteEntry.*.js")
    for file in (bundle, front_end.WIDGET, front_end.VIEW):
        assert len(gzip.compress(file.read_bytes())) < 250_000


def test_no_shortcut_is_taken_already() -> None:
    schemas = Path(sys.prefix) / "share" / "jupyter" / "lab" / "schemas"
    schema = json.loads((front_end.SOURCES / "schema" / "panel.json").read_text())
    ours = {tuple(shortcut["keys"]) for shortcut in schema["jupyter.lab.shortcuts"]}
    assert ours
    found = 0
    for path in schemas.rglob("*.json"):
        for shortcut in json.loads(path.read_text()).get("jupyter.lab.shortcuts", []):
            found += 1
            assert tuple(shortcut["keys"]) not in ours, f"{shortcut} of {path}"
    assert found > 50


@pytest.fixture(scope="module")
def tests_built() -> None:
    done = subprocess.run([str(NODE), "build.mjs", "--tests"], cwd=front_end.SOURCES, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@needs_node
@pytest.mark.usefixtures("tests_built")
def test_the_view_cores_own_tests_pass() -> None:
    command = [str(NODE), "--test", *map(str, sorted((front_end.SOURCES / "build" / "tests").glob("*.test.mjs")))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-5000:]
    assert "# pass 0" not in done.stdout


class Folder:
    """The view core in a process of its own: events in, the state out."""

    def __init__(self) -> None:
        file = front_end.SOURCES / "build" / "tests" / "fold.mjs"
        self.process = subprocess.Popen(
            [str(NODE), str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def fold(self, events: Sequence[ev.Event]) -> dict[str, object]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([to_json(event) for event in events]) + "\n")
        self.process.stdin.flush()
        found: dict[str, object] = json.loads(self.process.stdout.readline())
        return found

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)


@pytest.fixture(scope="module")
def folder(tests_built: None) -> Iterator[Folder]:
    made = Folder()
    yield made
    made.close()


def as_python_sees(events: Sequence[ev.Event]) -> dict[str, object]:
    view = RunView.of(events)
    lanes = []
    for lane in view.lanes.values():
        texts: list[list[str]] = []
        for span in list(shown(lane))[::-1]:
            kind, text = span.kind, visible(span.text) if span.kind != "call" else span.call
            if kind == "text" and texts and texts[-1][0] == "text":
                texts[-1][1] += text  # the page keeps long text in pieces
            else:
                texts.append([kind, text])
        lanes.append({"worker": lane.worker, "state": lane.state, "tokens": lane.tokens, "spans": texts})
    calls = [[call.call, call.worker, call.state, call.label, call.outcome] for call in view.calls.values()]
    return {
        "status": view.status, "tokens": view.tokens, "cached": view._cached, "lanes": lanes,
        "calls": [[visible(part) for part in call] for call in calls],
        "blocks": [[b.block, b.length, b.state] for b in view.blocks.values()],
    }  # fmt: skip


@needs_node
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_a_page_sees_a_run_as_the_terminal_does(folder: Folder, workers: int) -> None:
    hostile = (HOSTILE, HOSTILE, "gcd", {"a": HOSTILE}, HOSTILE)
    for questions in (QUESTIONS, [hostile] * 2):
        events = worksheet(workers, questions)
        for until in (len(events), len(events) // 2, 12):
            assert folder.fold(events[:until]) == as_python_sees(events[:until])


PIECES = st.sampled_from(
    ["a", "\n", "<tool", "_call>", "</tool_call>", "<tool_call>", '{"name": "gcd"', "}", " ", "</tool", "<", "word "]
)


@needs_node
@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["say", "plan", "hear", "end"]), PIECES, PIECES), max_size=30))
def test_whatever_a_model_writes_the_page_and_the_terminal_agree(
    folder: Folder, happenings: list[tuple[str, str, str]]
) -> None:
    story = Story()
    story.begin(["Alice", "Bob"])
    for number, (what, one, two) in enumerate(happenings):
        if what == "say":
            story.tokens(Alice=one + two, Bob=two)
        elif what == "plan":
            story.call("Alice", f"c{number}", "gcd", {"a": number}, "7" if len(one) > 1 else None)
        elif what == "hear":
            story.add(ev.TextInjected("Bob", story.blocks()["Bob"], one + two, [1], "person"))
        else:
            story.add(ev.WorkerStateChanged("Bob", "finished", ""))
    assert folder.fold(story.events) == as_python_sees(story.events)
