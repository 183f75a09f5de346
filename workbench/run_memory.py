"""One run and the library: what it is given when it starts, what is written down when it has ended.

In: the library, a run's settings and task. Out: tools and concepts, `library_shown` events, uses and outcomes. The
search is done in a thread of its own, because the first one loads the embedder, and the runs that go on must not wait
for it. Neighbours: `session` owns one for each run; `recall` does the work.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from memory.errors import LibraryError
from toolsets.errors import ToolsetError
from toolsets.tool import Tool
from toolsets.untrusted import neutralise
from workbench import events as ev
from workbench.errors import UsageError
from workbench.experience import called_in, experiences_of
from workbench.models import is_embedded
from workbench.recall import Found, Recalled, Wanted, begun, ended, find, prepare
from workbench.remembering import Remembering, asking
from workbench.worksheet import read_task

if TYPE_CHECKING:
    from hogwild import Engine, Prompting
    from workbench.libraries import Libraries
    from workbench.log import RunLog


def token_counter(engine: Engine, words: Prompting, workers: tuple[str, ...]) -> Callable[[str], int]:
    """How many tokens of the prompt a text of the library will be."""
    from workbench.told import markers_of, special_tokens

    markers = markers_of(words, workers, special_tokens(engine.tokenizer))

    def count(text: str) -> int:
        # What the prompt will hold is counted, not what the library has.
        return len(engine.tokenizer(neutralise(text, markers)).input_ids) if engine.tokenizer else len(text)

    return count


class RunMemory:
    """chosen: the tools that are offered anyway are the person's choice, and stay. unsafe: tools whose code may run
    where nothing isolates it."""

    def __init__(
        self,
        home: Libraries,
        settings: Mapping[str, Any],
        model: str,
        learning: Remembering,
        *,
        chosen: bool,
        unsafe: Collection[str] = (),
    ) -> None:
        self._home, self._unsafe, self._learning = home, unsafe, learning
        self.mode: str = settings["memory"]
        self._embedded = is_embedded(model)
        self._wanted = Wanted(
            settings["more_tools"], settings["concepts"], settings["concept_tokens"], chosen or self._embedded
        )
        self._found = Found()
        self._error: Exception | None = None
        self._done = threading.Event()
        self.recalled = Recalled({})

    @property
    def ready(self) -> bool:
        """Whether the search is over."""
        return self._done.is_set()

    def search(self, task: str, woken: Callable[[], None]) -> None:
        """Begin to search, beside; `woken` is called when it is over."""
        if self.mode == "none" or not (self._home.exists or self.mode == "continual"):
            self._done.set()
            return
        items = read_task(task, always_items=self._embedded).items
        questions = [item["question"] for item in items] or [task]

        def work() -> None:
            try:
                if self.mode == "continual":  # what the runs before this one taught is to be known
                    self._learning.settle()
                ask = asking(self._learning.chat) if self._learning.chat is not None else None
                self._found = find(self._home, questions, self._wanted, ask)
            except Exception as error:  # told to the run, in `prepare`
                self._error = error
            self._done.set()
            woken()

        threading.Thread(target=work, name="workbench-recall", daemon=True).start()

    def prepare(self, engine: Engine, words: Prompting, workers: tuple[str, ...], base: Mapping[str, Tool]) -> Recalled:
        """What the run is given, beside the tools of `base` or in their place; raises UsageError where the library
        cannot be used."""
        try:
            if self._error is not None:
                raise self._error
            count = token_counter(engine, words, workers)
            self.recalled = prepare(
                self._home, self._found, base, self._wanted, count_tokens=count, unsafe=self._unsafe
            )
        except (LibraryError, ToolsetError) as error:
            raise UsageError(f"{error} Or run without it: memory none.") from error
        return self.recalled

    def begun(self, run_id: str, emit: Callable[[ev.Payload], object]) -> None:
        """The run has started: tell and write down what it was shown."""
        for shown in self.recalled.shown:
            emit(shown)
        for why in self.recalled.refused:
            warnings.warn(f"Of the library this run does without something: {why}", stacklevel=2)
        if self.recalled.shown:
            self._kept(lambda: begun(self._home, run_id, self.recalled))

    def ended(self, run_id: str, log: RunLog, *, solved: bool) -> None:
        """The run has ended: write down what was used, and how it went."""
        if self.recalled.shown:
            called, said = called_in(log.events(run_id))
            self._kept(lambda: ended(self._home, run_id, self.recalled, called=called, said=said, solved=solved))
        if self.mode == "continual":
            self._learning.take(lambda: experiences_of(log.events(run_id)))

    def _kept(self, write: Callable[[], None]) -> None:
        """A library that cannot be written to costs the statistics, not the run."""
        try:
            write()
        except LibraryError as error:
            warnings.warn(f"What this run used of the library was not kept: {error}", stacklevel=3)
