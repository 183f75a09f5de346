"""A file or folder that is to be imported, as a plan that can be looked at first.

In: a path in any format that `memory` reads. Out: what would change, the names that are there already, and a function
that does it. Neighbours: `libraries` shows the plan; `memory.imports` and `memory.transfer` read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from memory import rows
from memory.imports import plan_import, read_items
from memory.store import Library
from memory.transfer import Imported, import_jsonl
from memory.values import Change, Plan, Version

Take = Callable[[], int | None]
"""Does the import; gives the number of its journal entry, None where nothing changed."""


def plan_file(library: Library, path: Path, *, author: str, trusted: bool) -> tuple[Plan, tuple[str, ...], Take]:
    """What importing would do. Nothing is written before the returned function is called, and then all or nothing."""
    if path.suffix.lower() == ".jsonl":
        return _plan_export(library, path, author, trusted)
    planned = plan_import(library, read_items(path))

    def take() -> int | None:
        if not planned.plan.changes:
            return None
        return library.apply(planned.plan, author=author, note=str(path)).number

    return planned.plan, planned.known, take


def _plan_export(library: Library, path: Path, author: str, trusted: bool) -> tuple[Plan, tuple[str, ...], Take]:
    plan, known = _rehearsed(library, path, author, trusted)

    def take() -> int | None:
        with library.writing():
            return _take_export(library, path, author, trusted).entry

    return plan, known, take


class _Rehearsed(Exception):
    """Leaves a transaction so that nothing of it stays."""


def _rehearsed(library: Library, path: Path, author: str, trusted: bool) -> tuple[Plan, tuple[str, ...]]:
    """What an import of a library's own export does, found out by doing it and taking it back."""
    done: list[Imported] = []
    changes: list[Change] = []
    known: list[str] = []
    try:
        with library.writing():
            before = {row_id: library.row(row_id) for row_id in library.row_ids()}
            done.append(_take_export(library, path, author, trusted))
            for row_id in (*done[0].added, *done[0].continued):
                old, new = before.get(row_id), library.row(row_id)
                changes.append(Change(row_id, old.version if old else 0, old.snapshot if old else None, new.snapshot))
            known.extend(library.row(row_id).name for row_id in done[0].unchanged)
            raise _Rehearsed
    except _Rehearsed:
        pass
    return Plan("import", tuple(changes)), tuple(known)


def _take_export(library: Library, path: Path, author: str, trusted: bool) -> Imported:
    """The built-in tools are in every library, so those of the file are passed over; but one's own backup replaces a
    library that has nothing else yet, and so comes back with all ids and uses."""
    if trusted and all(_is_seed(library.history(row_id)) for row_id in library.row_ids()):
        with library.writing() as connection:
            rows.delete_rows(connection, sorted(library.row_ids()))
            return import_jsonl(library, path, author=author, trusted=True)
    return import_jsonl(library, path, author=author, trusted=trusted, skip=_is_seed)


def _is_seed(versions: Sequence[Version]) -> bool:
    return len(versions) == 1 and versions[0].snapshot.provenance.get("source") == "builtin"
