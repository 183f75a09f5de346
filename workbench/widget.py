"""A run that shows itself live in a notebook.

In: a run's handle (its id, its events as they come, its commands). Out: what a notebook displays: a widget around
the view core of `workbench/ui`, or, where `anywidget` is not installed, the picture of the moment. The page asks for
events from a number on and gets them in portions over the comm; where it has the server extension it reads the log
from there instead. What the widget syncs does not grow: the run's id, and once the run has ended its events, so that a
saved notebook shows it without a kernel; its picture is then that of the end. Neighbours: `projection` and `snapshot`
for the picture, `static_view` draws it, `front_end` knows the bundle; runs display themselves through `display_run`.
"""

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from workbench import front_end, static_view
from workbench.engine.client import has_server
from workbench.errors import WorkbenchError
from workbench.event_json import to_json
from workbench.events import Event
from workbench.paths import log_path
from workbench.projection import RunView
from workbench.snapshot import snapshot
from workbench.steering import COMMANDS

INTERVAL_S = 1 / 30
ALIVE_S = 3.0
"""A page that hears nothing for longer takes the kernel for gone; a run may be silent, held or waiting for a call."""

PORTION = 1000
"""How many events one message holds at most."""

LANE_CHARS = 20_000
"""How much of a lane's end is in the picture."""

MOST_STORED = 2_000_000
"""Characters of events that are kept in a saved notebook; a longer run is kept as its picture only."""

FIRST_LOOK_S = 0.2
"""How long displaying may wait for what there is already, so that a run that has ended is complete at once."""


class RunHandle(Protocol):
    """What the widget needs of a run."""

    @property
    def id(self) -> str: ...

    @property
    def in_engine(self) -> bool:
        """Whether an engine's process does the run, rather than this one."""
        ...

    def events(self, since: int = 0) -> Iterator[Event]:
        """The events from that number on, until the run has ended."""
        ...

    def command(self, name: str, arguments: Mapping[str, Any], *, key: str = "", by: str = "") -> dict[str, Any]:
        """Carry out one of `COMMANDS`; raises WorkbenchError."""
        ...


class Look:
    """The picture of a run as far as it has come, read in a thread of its own."""

    def __init__(self, run: RunHandle) -> None:
        self._run, self._view, self._error = run, RunView(run_id=run.id), ""
        self._lock, self._done = threading.Lock(), threading.Event()
        threading.Thread(target=self._read, name=f"workbench-look-{run.id}", daemon=True).start()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the end of the run; False if that took longer."""
        return self._done.wait(timeout_s)

    def latest(self) -> dict[str, Any]:
        """A snapshot of now."""
        with self._lock:
            taken = snapshot(self._view, LANE_CHARS)
        return taken | {"error": taken["error"] or self._error}

    def _read(self) -> None:
        try:
            for event in self._run.events():
                with self._lock:
                    self._view.apply(event)
        except Exception as error:  # nobody else would hear of it: it is shown in the picture
            self._error = f"Watching ended: {error}"
        finally:
            with self._lock:
                self._view.interrupted()
            self._done.set()


class Feed:
    """Sends a run's events from a number on, in portions: at most one per `interval_s`, in order, and then the end."""

    def __init__(
        self, run: RunHandle, since: int, send: Callable[[dict[str, Any]], None], interval_s: float = INTERVAL_S
    ) -> None:
        self._run, self._since, self._send, self._interval_s = run, since, send, interval_s
        self._waiting: list[dict[str, Any]] = []
        self._changed = threading.Condition()
        self._read_all, self._stopped, self._done = False, threading.Event(), threading.Event()
        self._last = since
        self._finished = False
        self._error = ""

    def start(self) -> None:
        """Begin; returns at once."""
        for job in (self._read, self._deliver):
            threading.Thread(target=job, name=f"workbench-widget-{self._run.id}", daemon=True).start()

    def stop(self) -> None:
        """Nobody listens any more."""
        self._stopped.set()
        with self._changed:
            self._changed.notify()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until everything has been sent; False if that took longer."""
        return self._done.wait(timeout_s)

    def _read(self) -> None:
        try:
            for event in self._run.events(self._since):
                with self._changed:
                    self._waiting.append(to_json(event))
                    self._last, self._finished = event.seq, event.kind == "run_finished"
                    self._changed.notify()
                if self._stopped.is_set():
                    return
        except Exception as error:  # nobody else would hear of it: it is shown in the widget
            self._error = f"Watching ended: {error}"
        finally:
            with self._changed:
                self._read_all = True
                self._changed.notify()

    def _deliver(self) -> None:
        try:
            while not self._stopped.is_set() and self._deliver_once():
                self._stopped.wait(self._interval_s)
        finally:
            self._done.set()

    def _deliver_once(self) -> bool:
        """Send what waits, waiting for some; False if there will be no more."""
        with self._changed:
            news = self._changed.wait_for(lambda: self._waiting or self._read_all or self._stopped.is_set(), ALIVE_S)
            portion, self._waiting = self._waiting[:PORTION], self._waiting[PORTION:]
            at_end = self._read_all and not self._waiting
        if not news:
            self._send({"type": "alive"})
        if portion:
            self._send({"type": "events", "events": portion})
        if at_end:
            end = {"type": "end", "last_seq": self._last, "finished": self._finished, "error": self._error}
            self._send(end)
        return not at_end


def mimebundle(run: RunHandle) -> Any:
    """What a notebook displays for a run: the live widget and, for pages without widgets, the picture of now."""
    look = Look(run)
    look.wait(FIRST_LOOK_S)
    made = _widget_class()
    if made is None:
        return picture(look.latest())
    return _with_picture(made(run)._repr_mimebundle_(), picture(look.latest()))


def with_log(shown: Any, run_id: str, log: Path, *, in_kernel: bool) -> Any:
    """Where the server's log holds the run: what lets JupyterLab's extension show it from there, through restarts of
    the kernel and reloads of the page; one that a kernel does only once that has gone, and its widget with it."""
    from workbench.stored import RUN_TYPE

    if not has_server() or log != log_path():
        return shown
    data, *metadata = shown if isinstance(shown, tuple) else (shown,)
    data = {**data, RUN_TYPE: {"run_id": run_id, **({"in_kernel": True} if in_kernel else {})}}
    return (data, *metadata) if metadata else data


def display_run(run: RunHandle, shown: Any) -> None:
    """Display what `mimebundle` made; once the run has ended, its picture is put in the place of that of the beginning.

    So a saved notebook shows the whole run also to pages without widgets and without this machine's log.
    """
    from IPython import display as ipython_display
    from IPython import get_ipython

    display: Any = ipython_display.display
    data, metadata = shown if isinstance(shown, tuple) else (shown, {})
    if not hasattr(get_ipython(), "kernel"):  # a terminal would write it twice
        display(data, metadata=metadata, raw=True)
        return
    place = display(data, metadata=metadata, raw=True, display_id=True)

    def renew() -> None:
        look = Look(run)
        look.wait()
        place.update({**data, **picture(look.latest())}, metadata=metadata, raw=True)

    threading.Thread(target=renew, name=f"workbench-picture-{run.id}", daemon=True).start()


def run_widget(run: RunHandle) -> Any:
    """The live widget of a run, to be placed in a layout of one's own; needs anywidget and the built front end."""
    made = _widget_class()
    if made is None:
        raise ImportError("Watching a run live in a notebook needs anywidget: pip install anywidget.")
    return made(run)


def picture(snap: dict[str, Any]) -> dict[str, str]:
    """A snapshot as HTML and as text."""
    return {"text/html": static_view.run_html(snap), "text/plain": static_view.run_text(snap)}


def picture_of(events: Iterable[Event]) -> dict[str, str]:
    """The picture of a run of which there will be no more events."""
    return picture(snapshot(RunView.of(events).interrupted(), LANE_CHARS))


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
    if not front_end.WIDGET.is_file():  # a checkout in which `make` has not built it
        return None

    class RunWidget(anywidget.AnyWidget):
        """One run, live. These three are all that is synced; see `ui/src/widget.ts` for the messages."""

        _esm = front_end.WIDGET
        _css = front_end.STYLE
        run_id = traitlets.Unicode().tag(sync=True)
        in_engine = traitlets.Bool().tag(sync=True)
        snapshot = traitlets.Dict().tag(sync=True)

        def __init__(self, run: RunHandle) -> None:
            self._run = run
            self._feed: Feed | None = None
            self._synced = threading.Event()
            super().__init__(run_id=run.id, in_engine=run.in_engine, snapshot={})
            self.on_msg(self._heard)
            threading.Thread(target=self._store, name=f"workbench-store-{run.id}", daemon=True).start()

        def wait(self, timeout_s: float | None = None) -> bool:
            """Wait until the ended run has been synced; False if that took longer."""
            return self._synced.wait(timeout_s)

        def _store(self) -> None:
            try:
                kept = stored(self._run)
                if kept:
                    self.snapshot = {"events": kept}
            finally:
                self._synced.set()

        def _heard(self, _: object, content: Any, __: object) -> None:
            if not isinstance(content, dict):
                return
            match content.get("type"):
                case "since":
                    since = content.get("seq")
                    self._follow(since if isinstance(since, int) and since >= 0 else 0)
                case "away":
                    self._follow(None)
                case "control":
                    self.send({"type": "answer", "key": content.get("key"), "refused": obey(self._run, content)})

        def _follow(self, since: int | None) -> None:
            if self._feed is not None:
                self._feed.stop()
            self._feed = None if since is None else Feed(self._run, since, self.send)
            if self._feed is not None:
                self._feed.start()

    return RunWidget


def stored(run: RunHandle) -> list[dict[str, Any]]:
    """The events of a run, waiting for its end, if they are few enough to be kept in a notebook; else none."""
    kept, size = [], 0
    try:
        for event in run.events():
            kept.append(to_json(event))
            size += len(json.dumps(kept[-1]))
            if size > MOST_STORED:
                return []
    except Exception:  # the feed tells it to whoever watches; what is incomplete is not stored
        return []
    return kept


def obey(run: RunHandle, message: dict[str, Any]) -> str:
    """Carry out a button's command; returns why it was refused, in a sentence, or nothing."""
    name, given = message.get("command"), message.get("arguments")
    if name not in COMMANDS:
        return f"A widget cannot do {name!r}."
    try:
        run.command(str(name), given if isinstance(given, dict) else {}, key=str(message.get("key", "")), by="notebook")
    except WorkbenchError as error:
        return str(error)
    return ""
