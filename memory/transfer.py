"""The library as a file of JSON lines, out and in again without losing anything.

    {"format": "workbench-library", "version": 1}
    {"row": "tool-1f...", "kind": "tool", "versions": [{"content": {...}, "state": "active", "tags": [], "provenance":
        {}, "author": "ana", "time": 1.0, "action": "create", "note": ""}, ...], "uses": [{"run": ..., ...}],
        "trials": [{"case": ..., ...}]}
    {"not_duplicates": ["tool-1f...", "tool-2a..."], "author": "ana", "time": 1.0}

One line for each row, with its whole history (the first version first), its uses and its trials; rows in the order of
their ids, fields in the order of their names, UTF-8, one line feed after each line. So an export that is imported into
an empty library as `trusted` exports to the same bytes. Not trusted, which is the default, what was active is proposed
again: code from a file runs in the sandbox until a person here approves it. The journal is not exported: what was done
elsewhere is not undone here.

In: a path. Out: a file, or rows. A file is read whole and checked before the first row is written, and written in one
transaction. Neighbours: store; the formats of others are read by craft, arcmemo and python_files.
"""

import json
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from memory import rows
from memory.content import checked
from memory.effects import Trial
from memory.errors import ChangeRefused, ImportRefused, LibraryError, LibraryUnwritable
from memory.planning import clean_tags
from memory.store import Library
from memory.values import KINDS, STATES, Snapshot, Use, Version, canonical_json, checked_content

FORMAT: Final = "workbench-library"
FORMAT_VERSION: Final = 1
_LAST_S: Final = 1e11
"""Seconds since 1970; the year 5138."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did."""

    added: tuple[str, ...]
    """Ids of rows that were not here."""
    continued: tuple[str, ...]
    """Ids of rows that were here with a shorter history."""
    unchanged: tuple[str, ...]
    """Ids of rows that were here already."""
    entry: int | None
    """The journal entry that undoes it; None where nothing changed."""


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    row_id: str
    versions: tuple[Version, ...]
    uses: tuple[Use, ...]
    trials: tuple[Trial, ...]


def export_lines(library: Library) -> Iterator[str]:
    """The lines of the export, of one moment of the library."""
    with library.reading() as connection:
        lines = [canonical_json({"format": FORMAT, "version": FORMAT_VERSION})]
        for row_id in sorted(library.row_ids()):
            versions = rows.versions_of(connection, row_id)
            uses = rows.uses_where(connection, "row_id = ?", (row_id,))
            lines.append(
                canonical_json(
                    {
                        "row": row_id,
                        "kind": versions[0].snapshot.kind,
                        "versions": [_version_fields(version) for version in versions],
                        "uses": [_use_fields(use) for use in uses],
                        "trials": [_trial_fields(trial) for trial in rows.trials_of(connection, row_id)],
                    }
                )
            )
        for pair, (author, said) in sorted(library.not_duplicates().items()):
            lines.append(canonical_json({"not_duplicates": list(pair), "author": author, "time": said}))
    yield from lines


def export_jsonl(library: Library, path: Path) -> None:
    """Write the export whole and rename it into place."""
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
                file.writelines(f"{line}\n" for line in export_lines(library))
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise LibraryUnwritable(
            f"The export {path} cannot be written ({error.strerror or error}): choose another place for it."
        ) from error


def import_jsonl(
    library: Library,
    path: Path,
    *,
    author: str,
    trusted: bool = False,
    skip: Callable[[Sequence[Version]], bool] = lambda _: False,
) -> Imported:
    """Take an export in, all of it or nothing. `trusted` keeps active what was active: for one's own backup. skip: by
    its history, a row that is not wanted."""
    lines, pairs = _read(path)
    lines = [line for line in lines if not skip(line.versions)]
    taken = {line.row_id for line in lines} | library.row_ids()
    pairs = [pair for pair in pairs if {pair[0], pair[1]} <= taken]
    with library.writing() as connection:
        entry = rows.new_entry(connection, "import", author, library.clock(), str(path))
        done: dict[str, list[str]] = {"added": [], "continued": [], "unchanged": []}
        # First those that hold no name in the end.
        for line in sorted(lines, key=lambda line: line.versions[-1].snapshot.state == "active"):
            try:
                done[_take(connection, line, entry, author, library.clock(), trusted)].append(line.row_id)
            except ChangeRefused as error:
                raise ImportRefused(f"{path}, line {line.number}: {error}") from error
        for first, second, said_by, said in pairs:
            connection.execute(
                "INSERT OR IGNORE INTO not_duplicates VALUES (?, ?, ?, ?)", (first, second, said_by, said)
            )
        changed = bool(done["added"] or done["continued"])
        if not changed:
            connection.execute("DELETE FROM entries WHERE entry = ?", (entry,))
    return Imported(
        tuple(done["added"]), tuple(done["continued"]), tuple(done["unchanged"]), entry if changed else None
    )


def _take(connection: sqlite3.Connection, line: _Line, entry: int, author: str, now: float, trusted: bool) -> str:
    present = rows.versions_of(connection, line.row_id)
    shared = min(len(present), len(line.versions))
    if [_identity(version) for version in present[:shared]] != [_identity(one) for one in line.versions[:shared]]:
        raise ChangeRefused(
            f"the row {line.row_id} has another history here than in the file: retire and purge it here first, or take "
            "its line out of the file."
        )
    for version in line.versions[shared:]:
        snapshot = version.snapshot
        if not trusted and snapshot.state == "active":
            # Told as it was, but never active here, not even on the way: another row may hold the name.
            snapshot = snapshot.with_(state="proposed")
        rows.write_version(
            connection,
            line.row_id,
            Version(version.number, snapshot, version.author, version.time, version.action, version.note, entry),
        )
    _write_uses(connection, line)
    rows.write_trials(connection, line.trials, replace=False)
    if len(line.versions) <= len(present):
        return "unchanged"
    return "continued" if present else "added"


def _write_uses(connection: sqlite3.Connection, line: _Line) -> None:
    connection.executemany(
        "INSERT OR IGNORE INTO uses VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (use.run_id, use.row_id, use.content_hash, use.time, int(use.used),
             None if use.solved is None else int(use.solved), canonical_json(use.why))
            for use in line.uses
        ],
    )  # fmt: skip


def _read(path: Path) -> tuple[list[_Line], list[tuple[str, str, str, float]]]:
    """The file's rows and its words on duplicates, every line checked."""
    try:
        texts = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ImportRefused(f"The file {path} cannot be read ({error}): name an export of a library.") from error
    if texts and not texts[-1]:
        texts.pop()
    objects = [_object(path, number, text) for number, text in enumerate(texts, start=1)]
    head = objects[0] if objects else {}
    if head.get("format") != FORMAT:
        raise ImportRefused(f"The file {path} is no export of a library: its first line must name {FORMAT!r}.")
    if head.get("version") != FORMAT_VERSION:
        raise ImportRefused(
            f"The file {path} has version {head.get('version')} of the format, this program reads {FORMAT_VERSION}: "
            "update the workbench."
        )
    lines: dict[str, _Line] = {}
    pairs: list[tuple[str, str, str, float]] = []
    for number, fields in enumerate(objects[1:], start=2):
        try:
            if "not_duplicates" in fields:
                first, second = sorted(str(row_id) for row_id in fields["not_duplicates"])
                pairs.append((first, second, str(fields["author"]), _moment(fields)))
                continue
            line = _line(number, fields)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            reason = f"it has no {error}" if isinstance(error, KeyError) else str(error)
            raise ImportRefused(f"{path}, line {number} is no row ({reason}): nothing was imported.") from error
        except LibraryError as error:
            raise ImportRefused(f"{path}, line {number}: {error} Nothing was imported.") from error
        if line.row_id in lines:
            raise ImportRefused(f"{path}, line {number} has the row {line.row_id} again: nothing was imported.")
        lines[line.row_id] = line
    return list(lines.values()), pairs


def _object(path: Path, number: int, text: str) -> dict[str, Any]:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ImportRefused(f"{path}, line {number} is no JSON ({error}): nothing was imported.") from error
    if not isinstance(fields, dict):
        raise ImportRefused(f"{path}, line {number} is no JSON object: nothing was imported.")
    return fields


def _line(number: int, fields: Mapping[str, Any]) -> _Line:
    row_id, kind = fields["row"], fields["kind"]
    if not isinstance(row_id, str) or not row_id:
        raise ValueError("its id is no text")
    if kind not in KINDS:
        raise ValueError(f"its kind is {kind!r}")
    versions = tuple(_version(kind, version, item) for version, item in enumerate(fields["versions"], start=1))
    if not versions:
        raise ValueError("it has no version")
    uses = tuple(_use(row_id, item) for item in fields.get("uses", ()))
    trials = tuple(_trial(row_id, item) for item in fields.get("trials", ()))
    return _Line(number, row_id, versions, uses, trials)


def _version(kind: Any, number: int, fields: Mapping[str, Any]) -> Version:
    state = fields["state"]
    if state not in STATES:
        raise ValueError(f"version {number} has the state {state!r}")
    snapshot = Snapshot(
        kind,
        checked(kind, fields["content"]),
        state,
        clean_tags(fields["tags"]),
        checked_content(fields["provenance"]),
    )
    texts = [fields[field] for field in ("author", "action", "note")]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError(f"version {number} has an author, an action or a note that is no text")
    return Version(number, snapshot, texts[0], _moment(fields), texts[1], texts[2], entry=0)


def _use(row_id: str, fields: Mapping[str, Any]) -> Use:
    solved = fields["solved"]
    if solved is not None and not isinstance(solved, bool):
        raise ValueError("a use has a 'solved' that is neither true, false nor null")
    return Use(
        str(fields["run"]), row_id, str(fields["content"]), _moment(fields), bool(fields["used"]), solved,
        fields["why"],
    )  # fmt: skip


def _trial(row_id: str, fields: Mapping[str, Any]) -> Trial:
    scores = float(fields["with"]), float(fields["without"])
    if not all(0.0 <= score <= 1.0 for score in scores):
        raise ValueError("a trial has a score that is not between 0 and 1")
    return Trial(row_id, str(fields["content"]), str(fields["case"]), _moment(fields), *scores)


def _moment(fields: Mapping[str, Any]) -> float:
    """A time as everything that shows it can; one that is not finite could not be exported again either."""
    moment = float(fields["time"])
    if not 0 <= moment < _LAST_S:
        raise ValueError(f"its time {moment:g} is none")
    return moment


def _identity(version: Version) -> dict[str, Any]:
    """What makes two versions the same one: an import that is not trusted changes states, and only them."""
    return {field: value for field, value in _version_fields(version).items() if field != "state"}


def _version_fields(version: Version) -> dict[str, Any]:
    return {
        "content": version.snapshot.content,
        "state": version.snapshot.state,
        "tags": list(version.snapshot.tags),
        "provenance": version.snapshot.provenance,
        "author": version.author,
        "time": version.time,
        "action": version.action,
        "note": version.note,
    }


def _use_fields(use: Use) -> dict[str, Any]:
    return {
        "run": use.run_id,
        "content": use.content_hash,
        "time": use.time,
        "used": use.used,
        "solved": use.solved,
        "why": use.why,
    }


def _trial_fields(trial: Trial) -> dict[str, Any]:
    return {
        "case": trial.case_id,
        "content": trial.content_hash,
        "time": trial.time,
        "with": trial.score_with,
        "without": trial.score_without,
    }
