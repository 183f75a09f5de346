"""Concepts learnt from runs: proposed when a person asks, taken in after each batch of runs where memory is continual.

In: what ended runs experienced, the library, and a chat model or none. Out: rows of the library. In continual mode the
person has said that concepts take effect without being asked for: they come as active, by an author of their own, and
the journal undoes them; what contradicts a known concept waits for the person. Only a run's own log is read, so nothing
is learnt that the run did not know itself. Learning is done in a thread of its own; a run that follows waits for it.
Neighbours: `experience` reads logs, `memory.phrases` and `memory.abstraction` draft, `memory.updating` plans.
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from memory.errors import LibraryError
from memory.store import Library
from memory.values import STATES, Snapshot, State
from toolsets.chat import Chat, Message
from toolsets.errors import ToolsetError
from workbench.errors import UsageError, WorkbenchError
from workbench.experience import experiences_of
from workbench.library_values import Done, Proposal, RowView
from workbench.log import RunLog

if TYPE_CHECKING:
    from memory.abstraction import Ask
    from memory.experience import Experience
    from memory.updating import Update
    from workbench.libraries import Libraries

LEARN_EVERY: Final = 1
AUTHOR: Final = "learnt from runs"
_REMEMBERED: Final = 400
"""Experiences of the last runs in which wordings are looked for."""
_NEAREST: Final = 8


@dataclass(frozen=True, slots=True)
class Learning:
    """What experiences would change in the library."""

    experiences: int
    update: Update
    failed: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        update = self.update
        return {
            "experiences": self.experiences,
            "added": list(update.added),
            "revised": list(update.revised),
            "contradictions": [list(pair) for pair in update.contradictions],
            "known": list(update.known),
            "failed": list(self.failed),
        }


def asking(chat: Chat) -> Ask:
    """A chat model as `memory` asks it."""

    def ask(system: str, user: str) -> str:
        return chat.ask([Message("system", system), Message("user", user)], temperature=0.0).text

    return ask


def learn(
    home: Libraries, experiences: Sequence[Experience], chat: Chat | None = None, *, state: State = "proposed"
) -> Learning:
    """What these experiences teach, not yet carried out. Raises LibraryError, and ChatError where the model is away."""
    from memory.abstraction import abstract
    from memory.phrases import concepts_from
    from memory.updating import plan_update

    failed: tuple[str, ...] = ()
    if chat is None:
        drafts: Iterable[Snapshot] = concepts_from(experiences)
    else:

        def near_to(text: str) -> list[Any]:
            found = home.searcher.search(text, "concept", limit=_NEAREST, states=("active", "proposed")).found
            return [hit.row.content for hit in found]

        made = abstract(experiences, near_to, asking(chat), model=chat.name)
        drafts, failed = made.drafts, made.failed
    rows = home.library.rows("concept", states=STATES)
    near = (lambda _: None) if chat is None or not rows else (lambda draft: _same_meaning(home, draft))
    return Learning(len(experiences), plan_update(drafts, rows, near, state=state), failed)


def propose(home: Libraries, log: RunLog, run_ids: Sequence[str] | None = None, chat: Chat | None = None) -> Proposal:
    """Concepts that runs teach, by default the last solved ones, as a proposal: rows come as proposed."""
    from workbench.learning import solved_runs

    chosen = run_ids if run_ids is not None else solved_runs(log)
    learning = learn(home, [one for run_id in chosen for one in experiences_of(log.events(run_id))], chat)
    for why in learning.failed:
        warnings.warn(why, stacklevel=2)

    def apply(proposal: Proposal) -> Done:
        entry = carry_out(home.library, learning)
        rows = tuple(RowView(home.library.row(change.row_id)) for change in proposal.plan.changes)
        return Done(entry, "learn", rows)

    return Proposal(learning.update.plan, apply, learning.update.known)


def _same_meaning(home: Libraries, draft: Snapshot) -> str | None:
    """The known concept whose title, cue or description means what the draft's does."""
    from memory.duplicates import SIMILAR

    content = draft.content
    text = str(content.get("description") or content.get("suggestion") or content.get("title") or "")
    for hit in home.searcher.search(text, "concept", limit=_NEAREST, states=("active", "proposed")).found:
        # What it is, not where it was used: two concepts of one problem are two.
        meant = [
            one.score for one in hit.hit.evidence if one.channel == "dense" and one.view in ("title", "description")
        ]
        if max(meant, default=0.0) >= SIMILAR:
            return hit.row.row_id
    return None


class Remembering:
    """The continual memory of one workbench. every: runs in a batch."""

    def __init__(self, home: Callable[[], Libraries], chat: Chat | None = None, *, every: int = LEARN_EVERY) -> None:
        if not isinstance(every, int) or every < 1:
            raise UsageError(f"A memory learns after 1 or more runs, not after {every}.")
        self.chat = chat
        self._home, self._every = home, every
        self._seen: deque[Experience] = deque(maxlen=_REMEMBERED)
        self._batch: list[Experience] = []
        self._runs = 0
        self._threads: ThreadPoolExecutor | None = None
        self._last: Future[None] | None = None

    def take(self, read: Callable[[], Sequence[Experience]]) -> None:
        """A run has ended: `read` gives what it experienced, and is called in another thread."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(1, "workbench-learning")
        self._last = self._threads.submit(self._took, read)

    def settle(self) -> None:
        """Wait until every batch that is full has been taken in."""
        if (last := self._last) is not None:
            last.result()

    def close(self) -> None:
        """Take in what is left, and end."""
        if self._threads is not None:
            self._threads.submit(self._update).result()
            self._threads.shutdown()
            self._threads = self._last = None

    def _took(self, read: Callable[[], Sequence[Experience]]) -> None:
        try:
            self._batch += read()
        except WorkbenchError as error:
            warnings.warn(f"A run taught nothing: {error}", stacklevel=2)
        self._runs += 1
        if self._runs >= self._every:
            self._update()

    def _update(self) -> None:
        """One batch. What cannot be learnt costs the lesson, not the runs."""
        batch, self._batch, self._runs = self._batch, [], 0
        if not batch:
            return
        self._seen.extend(batch)
        try:
            # Wordings need company: the runs before are looked at too. A model is asked about what is new.
            learning = learn(self._home(), batch if self.chat else list(self._seen), self.chat, state="active")
            carry_out(self._home().library, learning)
        except (LibraryError, ToolsetError) as error:
            warnings.warn(f"The memory could not be updated: {error}", stacklevel=2)
            return
        for why in learning.failed:
            warnings.warn(why, stacklevel=2)


def carry_out(library: Library, learning: Learning) -> int | None:
    """Do it; the journal's entry, None where nothing changes."""
    plan = learning.update.plan
    return library.apply(plan, author=AUTHOR).number if plan.changes else None
