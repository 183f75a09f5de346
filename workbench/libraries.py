"""The library as a person curates it: `wb.tools` and `wb.concepts`, in Python; the command line does the same.

In: what a person asks for, by id, by the beginning of an id, or by name. Out: values of `library_values`, each with a
plain JSON form. One row is changed at once; whatever changes several rows (merge, split, bulk, tag, import, undo) comes
back as a `Proposal`, which says what it would do and does it when `apply` is called. Everything but `purge` can be
undone. Neighbours: `memory.store` keeps the rows, `memory.retrieval` searches, `trying` runs tools; `session`, the
command line and the server call this.
"""

from __future__ import annotations

import getpass
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from memory.errors import ChangeRefused, RowChanged, RowNotFound
from memory.planning import MOVES, plan_edit, plan_merge, plan_move, plan_revert, plan_split, plan_tags, snapshot_diff
from memory.store import FILE_NAME, Library
from memory.values import STATES, Kind, Plan, Row, Snapshot, State
from toolsets.damaged import well_formed
from workbench.library_values import Done, Proposal, Rows, RowView, VersionView, entry_json, use_json
from workbench.models import EMBEDDED, loading
from workbench.paths import library_folder

if TYPE_CHECKING:
    from memory.embedder import Embedder, Progress
    from memory.retrieval import Searcher
    from workbench.evaluate_memory import Ablated
    from workbench.trying import Tried

SHOWN: Final[tuple[State, ...]] = ("active", "proposed")
_FEWEST_CHARACTERS: Final = 4


class Libraries:
    """The library in one folder, opened when first asked for; `tools` and `concepts` are its two faces.

    author: whose name stands in the history. embedder: what makes vectors for search, by default the packaged MiniLM.
    progress: told how many texts are embedded, and how many there are, when a search has to embed some first.
    """

    def __init__(
        self,
        data_dir: Path | None = None,
        *,
        author: str | None = None,
        embedder: Embedder | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.folder = library_folder(data_dir)
        self.author = author or _user()
        self.progress = progress
        self.model = (EMBEDDED, "cpu", "auto")
        """Model, device and dtype of an ablation; a workbench has its own here."""
        self._embedder = embedder
        self._library: Library | None = None
        self._searcher: Searcher | None = None
        self._lock = threading.RLock()
        self.tools = Tools(self, "tool")
        self.concepts = Concepts(self, "concept")

    @property
    def exists(self) -> bool:
        """Whether anybody has put anything into it; asking does not make it."""
        return (self.folder / FILE_NAME).exists()

    @property
    def library(self) -> Library:
        """The store, with the built-in tools in it; raises LibraryError where it cannot be opened."""
        with self._lock:
            if self._library is None:
                from toolsets.seeding import seed_library

                opened = Library(self.folder)
                try:
                    seed_library(opened)
                except BaseException:
                    opened.close()
                    raise
                self._library = opened
            return self._library

    @property
    def embedder(self) -> Embedder:
        """What makes vectors of texts; the packaged model is loaded when it is first asked for."""
        with self._lock:
            if self._embedder is None:
                self._embedder = _packaged_embedder()
            return self._embedder

    @property
    def searcher(self) -> Searcher:
        """Search by meaning and words; the embedder is loaded with the first search."""
        with self._lock:
            if self._searcher is None:
                from memory.retrieval import Searcher

                self._searcher = Searcher(self.library, self.embedder)
            self._searcher.refresh(self.progress)
            return self._searcher

    def close(self) -> None:
        with self._lock:
            if self._library is not None:
                self._library.close()
            self._library = self._searcher = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Face:
    """One kind of rows, and the verbs of curating. A `ref` is an id, how one begins, or a name."""

    def __init__(self, home: Libraries, kind: Kind) -> None:
        self.home, self._kind = home, kind

    # ---------------------------------------------------------------------------------------------- looking

    def rows(self, *, states: Sequence[str] = SHOWN, tag: str | None = None) -> Rows:
        """All rows of these states, by name."""
        found = self._library.rows(self._kind, states=_states(states), tag=tag)
        return Rows(tuple(map(self._view, found)))

    def search(self, query: str, *, limit: int = 10, states: Sequence[str] = SHOWN, tag: str | None = None) -> Rows:
        """The rows that fit, the best first, each with the reason; an empty query lists all."""
        if not isinstance(query, str):
            raise ChangeRefused(f"A search asks for a text, not for {query!r:.60}: write what the row should do.")
        if not isinstance(limit, int):
            raise ChangeRefused(f"limit must be a whole number; it is {limit!r:.60}.")
        query = well_formed(query)  # the embedder reads no halves of characters, which a terminal may send
        if not query.strip():
            return Rows(self.rows(states=states, tag=tag).found[:limit])
        answer = self.home.searcher.search(query, self._kind, limit=limit, states=_states(states), tag=tag)
        views = tuple(self._view(found.row, found) for found in answer.found)
        return Rows(views, query, self._view(answer.nearest.row, answer.nearest) if answer.nearest else None)

    def show(self, ref: str) -> RowView:
        """One row with its usage and what it did to the solve rate."""
        return self._view(self._row(ref))

    def history(self, ref: str) -> list[VersionView]:
        """All versions, the first one first, each with what it changed."""
        row = self._row(ref)
        versions = self._library.history(row.row_id)
        before = [None, *(version.snapshot for version in versions)]
        return [
            VersionView(version, tuple(snapshot_diff(old, version.snapshot)))
            for old, version in zip(before, versions, strict=False)
        ]

    def diff(self, ref: str, older: int | None = None, newer: int | None = None) -> list[str]:
        """The lines that changed between two versions; by default since the last approval, else the last version."""
        row = self._row(ref)
        if older is None:
            older = self._approved(row) or max(1, (newer or row.version) - 1)
        return self._library.diff(row.row_id, older, newer)

    def why(self, run_id: str, ref: str | None = None) -> list[dict[str, Any]]:
        """Why rows were shown in a run: view, exemplar and score of each; whether they were used; how the run ended."""
        library = self._library
        row_id = self._row(ref, any_state=True).row_id if ref is not None else None
        uses = [use for use in library.uses(row_id=row_id) if use.run_id.startswith(run_id)]
        found = [(use, library.row(use.row_id)) for use in uses]
        return [use_json(use, row.name) for use, row in found if row.kind == self._kind]

    def journal(self, limit: int = 20) -> list[dict[str, Any]]:
        """The last changes of the whole library, the newest first; the numbers are what `undo` takes."""
        return [entry_json(entry) for entry in self._library.journal(limit)]

    def duplicates(self, *, threshold: float = 0.9) -> list[dict[str, Any]]:
        """Pairs that read alike. Whether they are one is not said here: look, then `merge` or `not_duplicates`."""
        from memory.duplicates import near_duplicates

        return [
            {
                "first": self._view(pair.first).to_json(),
                "second": self._view(pair.second).to_json(),
                "similarity": round(pair.similarity, 4),
                "views": dict(pair.views),
            }
            for pair in near_duplicates(self.home.searcher, self._kind, threshold=threshold)
        ]

    # ---------------------------------------------------------------------------------------------- one row

    def add(self, content: Mapping[str, Any], *, tags: Sequence[str] = (), note: str = "") -> RowView:
        """A row of one's own, proposed until it is approved."""
        snapshot = Snapshot(self._kind, content, tags=tuple(_listed(tags)), provenance={"source": "person"})
        return self._view(self._library.add(snapshot, author=self._author, note=note))

    def edit(
        self,
        ref: str,
        content: Mapping[str, Any] | None = None,
        *,
        expected_version: int | None = None,
        note: str = "",
        **fields: Any,
    ) -> Done:
        """New content, whole or by fields (`code=...`, `cues=[...]`; None takes a field out), as the next version."""
        row = self._row(ref, expected_version)
        changed = {**(row.content if content is None else content), **fields}
        kept = {name: value for name, value in changed.items() if value is not None}
        return self._apply(plan_edit(row, kept), note)

    def approve(self, ref: str, *, expected_version: int | None = None, note: str = "") -> Done:
        """Make a proposed row active: from now on runs may be shown it."""
        return self._move("approve", ref, expected_version, note)

    def reject(self, ref: str, *, expected_version: int | None = None, note: str = "") -> Done:
        """Retire a proposed row; the same content is not proposed again by an import."""
        return self._move("reject", ref, expected_version, note)

    def retire(self, ref: str, *, expected_version: int | None = None, note: str = "") -> Done:
        """Take a row out of use; it stays, with its history, and can be restored."""
        return self._move("retire", ref, expected_version, note)

    def restore(self, ref: str, *, expected_version: int | None = None, note: str = "") -> Done:
        """Bring a retired row back as proposed."""
        return self._move("restore", ref, expected_version, note)

    def revert(self, ref: str, version: int, *, expected_version: int | None = None, note: str = "") -> Done:
        """The content and tags of an older version, as a new one."""
        row = self._row(ref, expected_version)
        old = self._library.version(row.row_id, version)
        return self._apply(plan_revert(row, old), note or f"back to version {version}")

    # ---------------------------------------------------------------------------------------------- several rows

    def bulk(
        self,
        verb: str,
        refs: Sequence[str] = (),
        *,
        tag: str | None = None,
        states: Sequence[str] | None = None,
    ) -> Proposal:
        """Approve, reject, retire or restore several rows: those named, or all with a tag, or in a state."""
        if verb not in MOVES:
            raise ChangeRefused(f"There is no bulk change {verb!r}: it is one of {', '.join(MOVES)}.")
        refs = _listed(refs)
        if not refs and tag is None and states is None:
            raise ChangeRefused(f"Say which rows to {verb}: name them, or give a tag or a state.")
        return self.proposal(plan_move(self._chosen(refs, tag, states or MOVES[verb][0]), verb))

    def tag(self, refs: Sequence[str], *, add: Sequence[str] = (), remove: Sequence[str] = ()) -> Proposal:
        """Put tags on rows and take tags off."""
        return self.proposal(plan_tags(self._chosen(_listed(refs), None, STATES), _listed(add), _listed(remove)))

    def merge(self, keep: str, *others: str, expected_version: int | None = None) -> Proposal:
        """One row of several: the first stays and gets the problems, recorded calls, cues and tags of the others."""
        return self.proposal(self._merged(self._row(keep, expected_version), [self._row(ref) for ref in others]))

    def split(self, ref: str, parts: Sequence[Mapping[str, Any]], *, expected_version: int | None = None) -> Proposal:
        """Several proposed rows of one, which is retired; `parts` are their contents."""
        return self.proposal(plan_split(self._row(ref, expected_version), parts))

    def proposal(self, plan: Plan) -> Proposal:
        """A plan as something to look at first, and then to do."""
        return Proposal(plan, lambda proposal: self._apply(proposal.plan))

    def not_duplicates(self, first: str, second: str) -> None:
        """Remember that two rows are two, so that nobody proposes to merge them again."""
        pair = self._row(first).row_id, self._row(second).row_id
        self._library.mark_not_duplicates(*pair, author=self._author)

    def undo(self, entry: int | None = None) -> Proposal:
        """Take back an entry of the journal, by default the last one that is not undone."""
        library = self._library
        if entry is None:
            # Of an entry whose rows were all purged nothing is left to take back.
            open_ = [
                one
                for one in library.journal(200)
                if one.undone_by is None and one.action not in _NOT_UNDONE and one.row_ids
            ]
            if not open_:
                raise ChangeRefused("There is nothing to undo.")
            entry = open_[0].number
        number = entry

        def carry_out(proposal: Proposal) -> Done:
            done = library.undo(number, author=self._author)
            return self._done(done.number, "undo", done.row_ids)

        return Proposal(library.plan_undo(number), carry_out)

    def purge(self, *refs: str, sure: bool = False) -> list[str]:
        """Remove retired rows for good, with all versions and uses: this alone cannot be undone."""
        if not refs:
            raise ChangeRefused("Say which rows to purge: name them.")
        rows = [self._row(ref, any_state=True) for ref in refs]
        if not sure:
            names = ", ".join(f"{row.name} ({row.row_id})" for row in rows)
            raise ChangeRefused(f"Purging removes {names} for good, with all versions and uses: say sure=True.")
        self._library.purge([row.row_id for row in rows])
        return [row.row_id for row in rows]

    # ---------------------------------------------------------------------------------------------- helped or hurt

    def ablate(
        self,
        *refs: str,
        worksheets: str = "single",
        seeds: range = range(20),
        model: str | None = None,
        progress: Callable[[int], None] = lambda _: None,
    ) -> list[Ablated]:
        """Helped or hurt: held-out worksheets of a set with each row in the prompt, against the same without it.

        refs: by default all active rows of one's own. model: by default the workbench's. progress: told how many
        worksheets were played, two for each row and seed. What is found is kept, and `show` tells it."""
        from workbench.evaluate_memory import ablate_on

        rows = self.ablated_rows(refs)
        return list(ablate_on(self.home, rows, worksheets, seeds, model=model, progress=progress))

    def ablated_rows(self, refs: Sequence[str]) -> list[Row]:
        """The rows that an ablation is about: those named, or all active ones but the built-in."""
        from toolsets.shelf import is_builtin

        if refs:
            return [self._row(ref) for ref in refs]
        rows = [row for row in self._library.rows(self._kind, states=("active",)) if not is_builtin(row)]
        if not rows:
            raise ChangeRefused(f"No {self._kind} of your own is active: name one, or approve one first.")
        return rows

    # ---------------------------------------------------------------------------------------------- files

    def import_from(self, path: str | Path, *, trusted: bool = False) -> Proposal:
        """What a file or folder holds, as proposed rows: CRAFT's CSV, ArcMemo's YAML, Python files, a SKILL.md, or an
        export of a library (`trusted`, for one's own backup: active rows stay active)."""
        from workbench.library_files import plan_file

        plan, known, take = plan_file(self._library, Path(path), author=self._author, trusted=trusted)

        def carry_out(proposal: Proposal) -> Done:
            entry = take()
            return self._done(entry, "import", tuple(change.row_id for change in plan.changes) if entry else ())

        return Proposal(plan, carry_out, known)

    def export_to(self, path: str | Path) -> Path:
        """The whole library, tools and concepts, with all histories, as JSON lines; comes back exactly by an import."""
        from memory.transfer import export_jsonl

        export_jsonl(self._library, Path(path))
        return Path(path)

    def __repr__(self) -> str:
        return str(self.rows())

    def _repr_mimebundle_(self, **_: Any) -> Any:
        return self.rows()._repr_mimebundle_()

    # ---------------------------------------------------------------------------------------------- inside

    @property
    def _library(self) -> Library:
        return self.home.library

    @property
    def _author(self) -> str:
        return self.home.author

    def _view(self, row: Row, hit: Any = None) -> RowView:
        content = row.snapshot.content_hash
        usage = next((count for count in self._library.usage(row.row_id) if count.content_hash == content), None)
        return RowView(row, usage, self._library.effect(row.row_id), hit)

    def _row(self, ref: str, expected_version: int | None = None, *, any_state: bool = False) -> Row:
        """The row that is meant; a retired one only by its id, or where nothing else has the name."""
        if not isinstance(ref, str):
            raise RowNotFound(f"A {self._kind} is named by a text, not by {ref!r:.60}: give its id or its name.")
        rows = self._library.rows(self._kind, states=STATES)
        exact = [row for row in rows if row.row_id == ref]
        named = [row for row in rows if row.name == ref]
        present = [row for row in named if row.state != "retired"]
        begun = [row for row in rows if len(ref) >= _FEWEST_CHARACTERS and _begins(row, ref)]
        found = exact or ([] if any_state else present) or named or begun
        if not found:
            raise RowNotFound(f"There is no {self._kind} {ref!r} in the library: search or list it to see the names.")
        if len(found) > 1:
            ids = ", ".join(f"{row.row_id} ({row.state})" for row in found[:5])
            raise RowNotFound(f"{len(found)} {self._kind}s answer to {ref!r}: name one by its id, of {ids}.")
        row = found[0]
        if expected_version is not None and row.version != expected_version:
            raise RowChanged(
                f"{row.kind.capitalize()} {row.name!r} ({row.row_id}) is at version {row.version}, not at "
                f"{expected_version}: read it again, then change that."
            )
        return row

    def _chosen(self, refs: Sequence[str], tag: str | None, states: Sequence[str]) -> list[Row]:
        if refs:
            named = {(row := self._row(ref)).row_id: row for ref in refs}
            return list(named.values())
        return self._library.rows(self._kind, states=_states(states), tag=tag)

    def _approved(self, row: Row) -> int | None:
        """The last version before the present one that was active, which is what the present one is held against."""
        versions = self._library.history(row.row_id)[:-1]
        active = [version.number for version in versions if version.snapshot.state == "active"]
        return active[-1] if active else None

    def _move(self, verb: str, ref: str, expected_version: int | None, note: str) -> Done:
        return self._apply(plan_move([self._row(ref, expected_version)], verb), note)

    def _merged(self, keep: Row, others: Sequence[Row]) -> Plan:
        return plan_merge(keep, others)

    def _apply(self, plan: Plan, note: str = "") -> Done:
        entry = self._library.apply(plan, author=self._author, note=note)
        return self._done(entry.number, plan.action, tuple(change.row_id for change in plan.changes))

    def _done(self, entry: int | None, action: str, row_ids: Sequence[str]) -> Done:
        return Done(entry, action, tuple(self._view(self._library.row(row_id)) for row_id in row_ids))


class Tools(Face):
    """`wb.tools`: the tools that runs may call."""

    def try_(self, ref: str, *calls: Mapping[str, Any], unsafe: bool = False) -> Tried:
        """Run a tool on its recorded examples, or on these arguments; code that is not built in runs in the sandbox."""
        from workbench.trying import try_tool

        return try_tool(self._row(ref), self._library, calls, unsafe=unsafe)

    def _merged(self, keep: Row, others: Sequence[Row]) -> Plan:
        from toolsets.making.behaviour import merge_as_told

        return merge_as_told(keep, others)


class Concepts(Face):
    """`wb.concepts`: what runs may be told."""

    def try_(self, ref: str) -> Tried:
        """The concept as a prompt would show it."""
        from workbench.trying import try_concept

        return try_concept(self._row(ref))


_NOT_UNDONE: Final = ("undo", "seed")


def _begins(row: Row, ref: str) -> bool:
    """Ids may be given without their kind: `tool-1f3a` or `1f3a`."""
    return row.row_id.startswith(ref) or row.row_id.partition("-")[2].startswith(ref)


def _listed(given: Sequence[str]) -> Sequence[str]:
    """One text where several may be given is one, and not a list of its letters."""
    return [given] if isinstance(given, str) else given


def _states(states: Sequence[str]) -> tuple[State, ...]:
    known: dict[str, State] = {state: state for state in STATES}
    states = _listed(states)
    unknown = [state for state in states if state not in known]
    if unknown:
        raise ChangeRefused(f"There is no state {unknown[0]!r}: rows are {', '.join(STATES)}.")
    return tuple(known[state] for state in states)


def _packaged_embedder() -> Embedder:
    with loading():
        from transformers.utils import logging

        from memory.embedder import SentenceEmbedder

        embedder = SentenceEmbedder()
        logging.disable_progress_bar()  # a small model's is over before it can be read
        try:
            embedder.load()
        finally:
            logging.enable_progress_bar()
    return embedder


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container may run under a number that has no name
        return "person"
