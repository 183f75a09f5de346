"""Watching a run in a terminal, or, where the output is no terminal, as plain lines.

In: the events of a run, as they come. Out: on a terminal a picture that is redrawn in place, ten times a second, and
the result when the run has ended; elsewhere one line for each thing that was said, called or decided, with the worker's
name before it and no control codes. Neighbours: `projection` builds what is seen, `panes` draws a frame, the command
line feeds both `run` and `runs follow` into this.
"""

import threading
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live

from workbench.approving import CallEdit
from workbench.events import Event
from workbench.panes import figures, frame, headline, result, tree_of
from workbench.plan_tree import plan_lines
from workbench.projection import Moment, RunView
from workbench.visible import one_line, visible

FRAMES_PER_S = 10
LONGEST_LINE = 2000
_TOLD_STATES = ("paused", "finished", "stopped", "out_of_budget")


class LiveView:
    """The view of one run, kept on the screen while it is open.

    with LiveView() as live:
        live.watch(run.events())

    After an interruption, `live.watch(run.events(since=live.view.seq))` goes on where it stopped. plain: lines instead
    of a picture; by default, whenever the output is no terminal that can be drawn on. errors: whether to say why a run
    failed, which whoever drives it says itself.
    """

    def __init__(self, console: Console | None = None, plain: bool | None = None, *, errors: bool = True) -> None:
        self.console, self.errors = console or Console(), errors
        self.plain = not _can_draw(self.console) if plain is None else plain
        self.view = RunView()
        self.edit: CallEdit | None = None
        """A call whose arguments a person edits just now; set by whoever reads the keys."""
        self._lock = threading.Lock()  # frames are drawn by a thread of rich's
        self._live = Live(
            console=self.console, get_renderable=self._frame, refresh_per_second=FRAMES_PER_S, vertical_overflow="crop"
        )

    def __enter__(self) -> Self:
        if not self.plain:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.plain:
            return
        self._live.stop()
        if self.view.finished:
            self.console.print(result(self.view, errors=self.errors))

    def watch(self, events: Iterable[Event]) -> RunView:
        """Show these events as they come; when there are no more and the run has no end, it was interrupted."""
        for event in events:
            self.apply(event)
        with self._lock:
            self.view.interrupted()
        if self.plain and self.view.was_interrupted:
            for line in _ending(self.view, self.errors):
                self._write(line)
        return self.view

    def apply(self, event: Event) -> None:
        """Show one more event."""
        with self._lock:
            moments = self.view.apply(event)
            if (edit := self.edit) is not None:
                known = self.view.calls.get(edit.call)
                if known is None or not known.is_open or known.state == "running":
                    self.edit = None  # it has been decided about elsewhere
        if self.plain:
            for moment in moments:
                for line in plain_lines(self.view, moment, self.errors):
                    self._write(line)

    def _frame(self) -> RenderableType:
        with self._lock:
            return frame(self.view, self.console, self.console.get_time(), self.edit)

    def _write(self, line: str) -> None:
        # Not through rich: it would wrap the line, and colour it wherever FORCE_COLOR is set.
        encoding = self.console.encoding
        self.console.file.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        self.console.file.flush()


def plain_lines(view: RunView, moment: Moment, errors: bool = True) -> Iterator[str]:
    """A moment as lines of plain text; most are one line, some are none."""
    who = one_line(moment.worker)
    text = one_line(moment.text, LONGEST_LINE)
    match moment.kind:
        case "started":
            yield f"run: {', '.join(headline(view))}"
        case "says" | "told" | "result" | "decides":
            yield f"{who}: {text}"
        case "calls":
            yield f"{who}: calls {text}"
        case "asks":
            yield f"{who}: {text} (call {one_line(moment.call)})"
        case "paused":
            yield f"run: paused at {text}"
        case "joined" if moment.step:
            yield f"{who}: {text}"
        case "state" if text.startswith(_TOLD_STATES):
            yield f"{who}: {text.replace('_', ' ', 2)}"
        case "finished":
            yield from _ending(view, errors)


def _ending(view: RunView, errors: bool) -> Iterator[str]:
    yield f"run: {view.status}, {', '.join(figures(view))}"
    yield from trees(view, at_least=2)
    if view.finished is None:
        return
    if complaint := view.finished.complaint if errors else view.finished.misfit:
        yield f"run: {one_line(complaint, LONGEST_LINE)}"
    for item in view.items:
        by = f" ({one_line(item['worker'])})" if item["worker"] else ""
        answer = "no answer" if item["answer"] is None else one_line(item["answer"], LONGEST_LINE)
        yield f"item {item['item']}: {one_line(item['question'], LONGEST_LINE)} -> {answer}{by}"
    for line in visible(view.finished.answer).strip().splitlines():
        yield f"answer: {one_line(line)}"


def trees(view: RunView, *, at_least: int = 1, at_most: int | None = None) -> Iterator[str]:
    """Each plan of so many calls as a tree with states, times and its critical path."""
    for name, calls in view.plans.items():
        if len(calls) >= at_least and (at_most is None or len(calls) <= at_most):
            yield from plan_lines(tree_of(view, name), title=f"plan {name}")


def _can_draw(console: Console) -> bool:
    """A real terminal that moves its cursor and can show the signs of the frame."""
    is_terminal = getattr(console.file, "isatty", lambda: False)()
    return is_terminal and not console.is_dumb_terminal and console.encoding.lower().startswith("utf")
