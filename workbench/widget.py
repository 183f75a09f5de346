"""A run that shows itself live in a notebook.

In: a run's handle (its id, its events as they come, a way to stop it). Out: what a notebook displays: a widget that
redraws at most ten times a second, or, where `anywidget` is not installed, the picture of the moment. The widget gets
snapshots, plain values; `static/run.js` writes them as text, never as HTML. Neighbours: `projection` and `snapshot`
above, `static_view` for the picture, the session's `Run` displays itself through `mimebundle`.
"""

import threading
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from workbench import static_view
from workbench.events import Event
from workbench.projection import RunView
from workbench.snapshot import snapshot

INTERVAL_S = 0.1
LANE_CHARS = 20_000
"""How much of a lane's end is synced; a longer text would be sent again and again."""

FIRST_LOOK_S = 0.2
"""How long displaying may wait for what there is already, so that a run that has ended is complete at once."""

_STATIC = Path(__file__).parent / "static"


class RunHandle(Protocol):
    """What the widget needs of a run."""

    @property
    def id(self) -> str: ...

    def events(self, since: int = 0) -> Iterator[Event]:
        """The events from that number on, until the run has ended."""
        ...

    def stop(self) -> None: ...


class Feed:
    """Follows a run and publishes a snapshot when there is news: at most one per `interval_s`, and always the last."""

    def __init__(
        self, run: RunHandle, publish: Callable[[dict[str, Any]], None], interval_s: float = INTERVAL_S
    ) -> None:
        self._run = run
        self._publish = publish
        self._interval_s = interval_s
        self._view = RunView(run_id=run.id)
        self._error = ""
        self._news = threading.Condition()
        self._is_new = False
        self._read_all = threading.Event()
        self._done = threading.Event()

    def start(self) -> None:
        """Begin; returns at once."""
        for job in (self._read, self._send):
            threading.Thread(target=job, name=f"workbench-widget-{self._run.id}", daemon=True).start()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the last snapshot has been published; False if that took longer."""
        return self._done.wait(timeout_s)

    def latest(self) -> dict[str, Any]:
        """A snapshot of now."""
        with self._news:
            taken = snapshot(self._view, LANE_CHARS)
        return taken | {"error": taken["error"] or self._error}

    def _read(self) -> None:
        try:
            for event in self._run.events():
                with self._news:
                    self._view.apply(event)
                    self._is_new = True
                    self._news.notify()
        except Exception as error:  # nobody else would hear of it: it is shown in the widget
            self._error = f"Watching ended: {error}"
        finally:
            with self._news:
                self._view.interrupted()
                self._is_new = True
                self._read_all.set()
                self._news.notify()

    def _send(self) -> None:
        try:
            while not self._send_once():
                self._read_all.wait(self._interval_s)
        finally:
            self._done.set()

    def _send_once(self) -> bool:
        """Publish the news, waiting for some; True if there will be no more."""
        with self._news:
            self._news.wait_for(lambda: self._is_new)
            self._is_new = False
            last = self._read_all.is_set()
        self._publish(self.latest())
        return last


def mimebundle(run: RunHandle) -> Any:
    """What a notebook displays for a run: the live widget and, for pages without widgets, the picture of now."""
    made = _widget_class()
    if made is None:
        feed = Feed(run, lambda _: None)
        feed.start()
        feed.wait(FIRST_LOOK_S)
        return picture(feed.latest())
    widget = made(run)
    widget.feed.wait(FIRST_LOOK_S)
    return _with_picture(widget._repr_mimebundle_(), picture(widget.feed.latest()))


def run_widget(run: RunHandle) -> Any:
    """The live widget of a run, to be placed in a layout of one's own; needs anywidget."""
    made = _widget_class()
    if made is None:
        raise ImportError("Watching a run live in a notebook needs anywidget: pip install anywidget.")
    return made(run)


def picture(snap: dict[str, Any]) -> dict[str, str]:
    """A snapshot as HTML and as text."""
    return {"text/html": static_view.run_html(snap), "text/plain": static_view.run_text(snap)}


def _with_picture(shown: Any, pictured: dict[str, str]) -> Any:
    data, *metadata = shown if isinstance(shown, tuple) else (shown,)
    together = {**pictured, **data, "text/plain": pictured["text/plain"]}
    return (together, *metadata) if metadata else together


@cache
def _widget_class() -> Any:
    """The widget's class, or None. Made on first use: importing ipywidgets takes longer than the rest of this room."""
    try:
        import anywidget
        import traitlets
    except ImportError:
        return None

    class RunWidget(anywidget.AnyWidget):
        """One run, live. `snapshot` is what is shown; a message {"type": "stop"} stops the run."""

        _esm = _STATIC / "run.js"
        _css = _STATIC / "run.css"
        snapshot = traitlets.Dict().tag(sync=True)

        def __init__(self, run: RunHandle) -> None:
            self.feed = Feed(run, self._show)
            self._run = run
            super().__init__(snapshot=self.feed.latest())
            self.on_msg(self._heard)
            self.feed.start()

        def _show(self, taken: dict[str, Any]) -> None:
            self.snapshot = taken

        def _heard(self, _: object, content: Any, __: object) -> None:
            if isinstance(content, dict) and content.get("type") == "stop":
                self._run.stop()

    return RunWidget
