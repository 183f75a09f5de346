"""A run in a notebook: live, as text, as a picture where widgets are missing; in a real kernel."""

import html
import json
import re
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from staged_runs import HOSTILE, QUESTIONS, RUN_ID, Story, worksheet

from workbench import events as ev
from workbench import front_end, widget
from workbench.errors import UsageError
from workbench.event_json import to_json
from workbench.widget import Feed, mimebundle, run_widget

ROOT = Path(__file__).parents[2]
HOSTILE_QUESTION = (HOSTILE, HOSTILE, "gcd", {"a": HOSTILE}, HOSTILE)
BOUND_S = 30


class Told:
    in_engine = False

    """A run whose events are given out as a test lets them go: one for each `go.release()`."""

    def __init__(self, events: Sequence[ev.Event], at_once: bool = True) -> None:
        self._events = events
        self._at_once = at_once
        self.go = threading.Semaphore(0)
        self.stopped = threading.Event()

    @property
    def id(self) -> str:
        return RUN_ID

    def events(self, since: int = 0) -> Iterator[ev.Event]:
        for event in self._events[since:]:
            if not self._at_once:
                assert self.go.acquire(timeout=BOUND_S)
            yield event

    def command(self, name: str, arguments: Any, *, key: str = "", by: str = "") -> dict[str, Any]:
        assert name == "stop"
        self.stopped.set()
        return {}


def collected(run: Told, since: int = 0, interval_s: float = 0.0) -> list[dict[str, Any]]:
    """All messages that a page which asks from `since` on gets."""
    sent: list[dict[str, Any]] = []
    feed = Feed(run, since, sent.append, interval_s)
    feed.start()
    assert feed.wait(BOUND_S)
    return sent


def events_of(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event for message in messages if message["type"] == "events" for event in message["events"]]


def test_a_page_gets_every_event_once_and_then_the_end() -> None:
    sent = collected(Told(worksheet()))
    assert events_of(sent) == [to_json(event) for event in worksheet()]
    assert sent[-1] == {"type": "end", "last_seq": len(worksheet()), "finished": True, "error": ""}


def test_a_page_that_asks_from_a_number_on_gets_what_follows_it() -> None:
    assert [event["seq"] for event in events_of(collected(Told(worksheet()), since=40))] == list(
        range(41, len(worksheet()) + 1)
    )


def test_messages_come_no_faster_than_the_interval_however_fast_the_events() -> None:
    run = Told(worksheet(8, QUESTIONS * 2), at_once=False)
    sent: list[dict[str, Any]] = []
    first = threading.Event()
    feed = Feed(run, 0, lambda message: (sent.append(message), first.set())[0], interval_s=3600.0)
    feed.start()
    run.go.release()
    assert first.wait(BOUND_S)
    run.go.release(10_000)
    assert not feed.wait(0.2)
    assert len(sent) == 1
    feed.stop()
    assert feed.wait(BOUND_S)


def test_a_silent_run_says_that_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(widget, "ALIVE_S", 0.01)
    sent: list[dict[str, Any]] = []
    second = threading.Event()
    run = Told(worksheet(), at_once=False)
    feed = Feed(run, 0, lambda message: (sent.append(message), len(sent) == 2 and second.set())[0], interval_s=0.0)
    feed.start()
    assert second.wait(BOUND_S)
    assert sent[:2] == [{"type": "alive"}] * 2
    run.go.release(10_000)
    assert feed.wait(BOUND_S)
    assert events_of(sent) == [to_json(event) for event in worksheet()]


def test_what_is_new_is_sent_although_nothing_follows_it() -> None:
    events = worksheet()
    run = Told(events, at_once=False)
    seen: dict[int, threading.Event] = {number: threading.Event() for number in (5, 40)}

    def send(message: dict[str, Any]) -> None:
        for number, event in seen.items():
            if message["type"] == "events" and message["events"][-1]["seq"] >= number:
                event.set()

    feed = Feed(run, 0, send, interval_s=0.001)
    feed.start()
    for number, event in seen.items():
        run.go.release(number)
        assert event.wait(BOUND_S)
        assert not feed.wait(0)
    run.go.release(len(events))
    assert feed.wait(BOUND_S)


def test_a_run_whose_events_end_without_an_end_is_told_to_be_unfinished() -> None:
    assert collected(Told(worksheet(finished=False)))[-1]["finished"] is False


def test_an_error_while_watching_is_told() -> None:
    class Broken(Told):
        def events(self, since: int = 0) -> Iterator[ev.Event]:
            yield from worksheet()[:5]
            raise OSError("the log is gone")

    sent = collected(Broken([]))
    assert len(events_of(sent)) == 5
    assert sent[-1]["error"] == "Watching ended: the log is gone"
    look = widget.Look(Broken([]))
    assert look.wait(BOUND_S)
    assert look.latest()["error"] == "Watching ended: the log is gone"


def test_a_run_too_long_for_a_notebook_is_not_stored_in_it_and_its_picture_is_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    story = Story()
    story.begin(["Alice"])
    story.tokens(Alice="word " * 200_000)
    monkeypatch.setattr(widget, "MOST_STORED", 500_000)
    assert widget.stored(Told(story.events)) == []
    look = widget.Look(Told(story.events))
    assert look.wait(BOUND_S)
    assert len(json.dumps(look.latest())) < 2 * widget.LANE_CHARS
    assert widget.stored(Told(worksheet())) == [to_json(event) for event in worksheet()]


def test_a_run_displays_as_a_widget_and_as_a_picture_for_pages_without_widgets() -> None:
    data, _ = mimebundle(Told(worksheet()))
    assert "application/vnd.jupyter.widget-view+json" in data
    assert "gcd(a=48, b=36)" in data["text/html"]
    assert "solved" in data["text/plain"]


def test_without_anywidget_a_run_displays_as_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "anywidget", None)
    widget._widget_class.cache_clear()
    try:
        data = mimebundle(Told(worksheet(questions=[HOSTILE_QUESTION])))
        assert set(data) == {"text/html", "text/plain"}
        assert "<script>" not in data["text/html"]
        assert "<script>alert(1)</script>" in html.unescape(data["text/html"])
        with pytest.raises(ImportError, match="pip install anywidget"):
            run_widget(Told([]))
    finally:
        widget._widget_class.cache_clear()


def test_displaying_a_run_does_not_wait_for_its_end() -> None:
    run = Told(worksheet(), at_once=False)
    data, _ = mimebundle(run)
    assert "running" in data["text/plain"]
    run.go.release(1000)


def test_the_buttons_steer_the_run_no_other_message_does_and_a_refusal_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Steered(Told):
        def __init__(self) -> None:
            super().__init__(worksheet())
            self.told: list[tuple[str, dict[str, Any], str]] = []

        def command(self, name: str, arguments: Any, *, key: str = "", by: str = "") -> dict[str, Any]:
            if name == "say" and not arguments.get("text"):
                raise UsageError("There is nothing to say.")
            self.told.append((name, dict(arguments), key))
            return {}

    run = Steered()
    shown = run_widget(run)
    sent: list[Any] = []
    monkeypatch.setattr(shown, "send", sent.append)
    hostile = [{"type": "start"}, "stop", None, ["stop"], {"type": "control", "command": "events"}]
    hostile += [{"type": "control", "command": "__init__"}, {"type": "control", "command": ["stop"]}, {}]
    hostile += [{"type": "control", "command": "say", "key": "k0"}]
    for message in hostile:
        shown._handle_custom_msg(message, [])
    assert not run.told
    assert sent[-1] == {"type": "answer", "key": "k0", "refused": "There is nothing to say."}
    say = {"type": "control", "command": "say", "arguments": {"text": "hi", "worker": "Bob"}, "key": "k1"}
    shown._handle_custom_msg(say, [])
    assert run.told == [("say", {"text": "hi", "worker": "Bob"}, "k1")]
    assert sent[-1] == {"type": "answer", "key": "k1", "refused": ""}


def test_what_is_synced_is_the_runs_id_and_once_it_has_ended_its_events() -> None:
    run = Told(worksheet(), at_once=False)
    shown = run_widget(run)
    assert {name for name in shown.keys if not name.startswith(("_", "layout", "tab", "tool"))} == {
        "run_id",
        "in_engine",
        "snapshot",
    }
    assert shown.snapshot == {}
    run.go.release(1000)
    assert shown.wait(BOUND_S)
    assert shown.snapshot["events"][-1]["kind"] == "run_finished"


def test_the_front_ends_code_writes_text_and_nothing_but_text() -> None:
    sources = sorted((front_end.SOURCES / "src").rglob("*.ts"))
    assert len(sources) > 20
    for path in sources:
        forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|DOMParser"
        assert not re.findall(forbidden, path.read_text()), path
    css = (front_end.SOURCES / "style" / "run.css").read_text()
    for rule in re.findall(r"var\(--jp[^;]*;", css):
        assert re.search(r"var\(--jp-[\w-]+, ", rule), f"{rule} has no value outside JupyterLab"


def test_in_a_kernel_a_displayed_run_ends_with_the_whole_run_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'kernels'}:{Path(__file__).parent}")
    cells = [
        "from staged_runs import worksheet\nfrom test_widget import Told\nfrom workbench.widget import run_widget",
        "shown = run_widget(Told(worksheet()))\nshown",
        f"assert shown.wait({BOUND_S})",
        "from workbench.widget import display_run, mimebundle\nrun = Told(worksheet(), at_once=False)\n"
        "display_run(run, mimebundle(run))",
        "import threading\nrun.go.release(10_000)\n"
        "[one.join(30) for one in threading.enumerate() if one.name.startswith('workbench-picture-')];",
    ]
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    done = NotebookClient(
        made, timeout=120, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    view = done.cells[1].outputs[0].data["application/vnd.jupyter.widget-view+json"]
    state = done.metadata.widgets["application/vnd.jupyter.widget-state+json"].state[view["model_id"]].state
    assert state.run_id == RUN_ID
    assert [event.kind for event in state.snapshot.events] == [event.kind for event in worksheet()]
    assert "solved" in done.cells[3].outputs[0].data["text/plain"], (
        "its picture is that of the end, not of the beginning"
    )
