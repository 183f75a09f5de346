"""A run in a notebook: live, as text, as a picture where widgets are missing; in a real kernel, in a real browser."""

import base64
import html
import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from staged_runs import HOSTILE, QUESTIONS, RUN_ID, Story, raw_call, worksheet

from workbench import events as ev
from workbench import widget
from workbench.projection import RunView
from workbench.snapshot import snapshot
from workbench.widget import Feed, mimebundle, run_widget

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "workbench" / "static"
BROWSER = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
HOSTILE_QUESTION = (HOSTILE, HOSTILE, "gcd", {"a": HOSTILE}, HOSTILE)
BOUND_S = 30


class Told:
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

    def stop(self) -> None:
        self.stopped.set()


def test_the_last_snapshot_is_the_whole_run() -> None:
    published: list[dict[str, Any]] = []
    feed = Feed(Told(worksheet()), published.append)
    feed.start()
    assert feed.wait(BOUND_S)
    assert published[-1] == snapshot(RunView.of(worksheet()), widget.LANE_CHARS) | {"error": ""}
    assert published[-1]["status"] == "solved"


def test_snapshots_come_no_faster_than_the_interval_however_fast_the_events() -> None:
    published: list[dict[str, Any]] = []
    feed = Feed(Told(worksheet(8, QUESTIONS * 2)), published.append, interval_s=3600.0)
    feed.start()
    assert feed.wait(BOUND_S)  # the end is not made to wait for the interval
    assert len(published) <= 2


def test_what_is_new_is_shown_although_nothing_follows_it() -> None:
    events = worksheet()
    run = Told(events, at_once=False)
    seen: dict[int, threading.Event] = {number: threading.Event() for number in (5, 40)}

    def publish(taken: dict[str, Any]) -> None:
        for number, event in seen.items():
            if taken["seq"] >= number:
                event.set()

    feed = Feed(run, publish, interval_s=0.01)
    feed.start()
    for number, event in seen.items():
        run.go.release(number)
        assert event.wait(BOUND_S)
        assert not feed.wait(0)
    run.go.release(len(events))
    assert feed.wait(BOUND_S)


def test_a_run_whose_events_end_without_an_end_is_shown_as_interrupted() -> None:
    feed = Feed(Told(worksheet(finished=False)), lambda _: None)
    feed.start()
    assert feed.wait(BOUND_S)
    assert feed.latest()["status"] == "interrupted"


def test_an_error_while_watching_is_shown() -> None:
    class Broken(Told):
        def events(self, since: int = 0) -> Iterator[ev.Event]:
            yield from worksheet()[:5]
            raise OSError("the log is gone")

    feed = Feed(Broken([]), lambda _: None)
    feed.start()
    assert feed.wait(BOUND_S)
    assert feed.latest()["error"] == "Watching ended: the log is gone"


def test_a_long_run_syncs_only_the_end_of_its_lanes() -> None:
    story = Story()
    story.begin(["Alice"])
    story.tokens(Alice="word " * 200_000)
    feed = Feed(Told(story.events), lambda _: None)
    feed.start()
    assert feed.wait(BOUND_S)
    assert len(json.dumps(feed.latest())) < 2 * widget.LANE_CHARS


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


def test_the_stop_button_stops_the_run_and_no_other_message_does() -> None:
    run = Told(worksheet())
    shown = run_widget(run)
    for message in ({"type": "start"}, "stop", None, ["stop"]):
        shown._handle_custom_msg(message, [])
    assert not run.stopped.is_set()
    shown._handle_custom_msg({"type": "stop"}, [])
    assert run.stopped.is_set()


def test_the_widgets_code_writes_text_and_nothing_but_text() -> None:
    code = (STATIC / "run.js").read_text()
    assert not re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|DOMParser", code)
    assert "textContent" in code
    css = (STATIC / "run.css").read_text()
    for rule in re.findall(r"(?:color|background|border[\w-]*):[^;]*var\(--jp[^;]*;", css):
        assert re.search(r"var\(--jp-[\w-]+, ", rule), f"{rule} has no colour outside JupyterLab"


def test_in_a_kernel_a_displayed_run_ends_with_the_whole_run_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'kernels'}:{Path(__file__).parent}")
    cells = [
        "from staged_runs import worksheet\nfrom test_widget import Told\nfrom workbench.widget import run_widget",
        "shown = run_widget(Told(worksheet()))\nshown",
        f"assert shown.feed.wait({BOUND_S})",
    ]
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    done = NotebookClient(
        made, timeout=120, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    view = done.cells[1].outputs[0].data["application/vnd.jupyter.widget-view+json"]
    state = done.metadata.widgets["application/vnd.jupyter.widget-state+json"].state[view["model_id"]].state
    assert state.snapshot.status == "solved"
    assert state.snapshot.lanes[0].spans[1].label == "gcd(a=48, b=36)"


def in_browser(tmp_path: Path, snapshots: Sequence[dict[str, Any]], script: str = "") -> tuple[str, dict[str, Any]]:
    """The page after these snapshots were drawn one after the other by the real code, and what `script` found."""
    code = base64.b64encode((STATIC / "run.js").read_bytes()).decode()
    data = json.dumps(list(snapshots)).replace("<", "\\u003c")
    page = tmp_path / "page.html"
    page.write_text(f"""<!doctype html><meta charset="utf-8"><style>{(STATIC / "run.css").read_text()}</style>
<div id="place"></div><pre id="found"></pre><script type="module">
const {{ default: made }} = await import("data:text/javascript;base64,{code}");
const snapshots = {data}; const sent = []; const found = {{}}; let changed = null; let at = 0;
const model = {{ get: () => snapshots[at], on: (_, f) => {{ changed = f; }}, off: () => {{ changed = null; }},
                 send: (message) => sent.push(message) }};
const el = document.getElementById("place");
const cleanup = made.render({{ model, el }});
const draw = () => {{ while (at + 1 < snapshots.length) {{ at += 1; changed(); }} }};
{script or "draw();"}
document.getElementById("found").textContent = JSON.stringify({{ ...found, sent }});
</script>""")
    arguments = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=5000", "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    dom = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=True).stdout
    told = re.search(r'<pre id="found">(.+?)</pre>', dom, re.S)
    assert told, dom
    return dom[dom.index('<div id="place"') : dom.index('<pre id="found"')], json.loads(html.unescape(told.group(1)))


def growing(events: Sequence[ev.Event], every: int = 7) -> list[dict[str, Any]]:
    """Snapshots of the run as it grows, the last of them of all of it."""
    view = RunView()
    taken = []
    for number, event in enumerate(events):
        view.apply(event)
        if number % every == 0 or number == len(events) - 1:
            taken.append(snapshot(view, 20_000))
    return taken


browser = pytest.mark.skipif(not BROWSER, reason="needs chromium or Google Chrome on the path")


@browser
def test_in_a_browser_the_lanes_the_calls_and_the_answer_are_shown_once(tmp_path: Path) -> None:
    dom, _ = in_browser(tmp_path, growing(worksheet()))
    text = html.unescape(re.sub(r"<[^>]*>", "|", dom))
    assert text.count("I take 1: Greatest common divisor.") == 1
    assert re.search(r"✓\|+ gcd\(a=48, b=36\)\|+ → 12", text)
    assert "75 steps · 41.5 tokens/s · cache 512 tokens · 4 calls" in text
    assert "What is 20 percent of $50?" in text
    assert "tool_call" not in text
    assert text.index("I take 1") < text.index("gcd(") < text.index("Answer 1: 12") < text.index("I take 3")


@browser
def test_in_a_browser_every_lane_is_a_named_region_and_only_the_status_is_read_out(tmp_path: Path) -> None:
    dom, _ = in_browser(tmp_path, growing(worksheet(3)))
    regions = re.findall(r'<section[^>]*role="region"[^>]*aria-label="([^"]*)"', dom)
    assert regions == ["Worker Alice", "Worker Bob", "Worker Carol"]
    assert re.findall(r"<(\w+)[^>]*aria-live=\"(\w+)\"[^>]*>([^<]*)", dom) == [("span", "polite", "solved")]


@browser
def test_in_a_browser_hostile_text_is_text(tmp_path: Path) -> None:
    events = worksheet(2, [HOSTILE_QUESTION] * 2)
    dom, _ = in_browser(tmp_path, growing(events))
    assert "<script" not in dom
    assert "<bold" not in dom
    text = html.unescape(re.sub(r"<[^>]*>", "", dom))
    assert text.count("<script>alert(1)</script> [bold]loud[/bold]") >= 6
    assert "␛[31mred" in text


@browser
def test_in_a_browser_the_stop_button_asks_once_and_goes_when_the_run_has_ended(tmp_path: Path) -> None:
    script = """
      const button = el.querySelector("button");
      found.before = button.hidden; button.click(); button.click();
      draw(); found.after = button.hidden;
      cleanup(); found.listening = changed !== null;"""
    _, found = in_browser(tmp_path, growing(worksheet()), script)
    assert found == {"before": False, "after": True, "listening": False, "sent": [{"type": "stop"}]}


@browser
def test_in_a_browser_nodes_stay_while_text_grows_and_leave_when_it_is_cut(tmp_path: Path) -> None:
    story = Story()
    story.begin(["Alice"])
    story.tokens(Alice="one two ")
    before = snapshot(RunView.of(story.events))
    story.tokens(Alice="three" + raw_call("gcd", {"a": 1}))
    story.call("Alice", "c1", "gcd", {"a": 1}, "1")
    story.tokens(Alice="four")
    after = snapshot(RunView.of(story.events))
    cut = snapshot(RunView.of(story.events), tail_chars=4)
    script = """
      const node = el.querySelector(".text"); at = 1; changed();
      found.same = node === el.querySelector(".text"); found.text = node.textContent;
      at = 2; changed(); found.left = [...el.querySelectorAll(".words > *")].map((n) => n.textContent);
      at = 1; changed(); found.order = [...el.querySelectorAll(".words > *")].map((n) => n.className);"""
    _, found = in_browser(tmp_path, [before, after, cut], script)
    assert found["same"]
    assert found["text"] == "one two three"
    assert found["left"] == ["four"]
    assert found["order"] == ["text", "call", "text"]
