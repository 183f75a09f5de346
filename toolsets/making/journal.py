"""What a build has done, kept line by line, so that a build that was stopped in any way goes on where it was.

In: records. Out: the same records, after a kill too: a line counts once it is on the disk, and half a line at the end
is cut off. One process at a time writes a build; the system lets go of it when that process ends. Neighbours: `build`
writes and reads, `book` says what is still to be done. The file is JSON lines, a head first:

    {"build": "1f2e3d4c", "format": 1, "problems": [{"text": ..., "answer": ...}], "settings": {...}}
    {"stage": "solve", "problem": 3, "attempt": 1, "passed": true, "why": "", "data": {...}, ...}
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from toolsets.chat import Usage
from toolsets.errors import ToolsetError
from toolsets.making.problems import Problem

Stage: TypeAlias = Literal["choose", "solve", "check", "abstract", "validate", "siblings", "deduplicate", "propose"]

FORMAT: Final = 1
_ID: Final = re.compile(r"[\w-]{1,64}")


class BuildError(ToolsetError):
    """A build cannot be begun, found or gone on with."""


@dataclass(frozen=True, slots=True)
class Record:
    """One step that was done. problem: its number, or -1 where the step is of the whole build. attempt: from 1."""

    stage: Stage
    problem: int
    attempt: int
    passed: bool
    why: str = ""
    data: Mapping[str, Any] = field(default_factory=dict, hash=False)
    usage: Usage | None = None
    wall_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Head:
    """What a build was begun with."""

    build: str
    problems: tuple[Problem, ...]
    settings: Mapping[str, Any] = field(hash=False)


class Journal:
    """One build's file, held open; use it in a `with`."""

    def __init__(self, path: Path, head: Head, records: Sequence[Record], file: Any) -> None:
        self.path, self.head, self.records, self._file = path, head, list(records), file

    @classmethod
    def begin(cls, folder: Path, head: Head) -> Journal:
        """A new build; raises BuildError where it cannot be written."""
        path = folder / f"{head.build}.jsonl"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = path.open("xb", buffering=0)
        except OSError as error:
            raise BuildError(f"{path} cannot be written ({error.strerror}): make room, or choose a folder.") from error
        _hold(file, head.build)
        journal = cls(path, head, (), file)
        problems = [problem.json() for problem in head.problems]
        journal._write({"build": head.build, "format": FORMAT, "problems": problems, "settings": dict(head.settings)})
        return journal

    @classmethod
    def resume(cls, folder: Path, build: str) -> Journal:
        """A build that was begun; raises BuildError where there is none, or another process is at it."""
        path = folder / f"{build}.jsonl"
        if not _ID.fullmatch(build) or not path.is_file():
            known = ", ".join(builds(folder)[-5:]) or "none"
            raise BuildError(f"There is no build {build!r}: give the id of one (the last ones: {known}).")
        try:
            file = path.open("r+b", buffering=0)
        except OSError as error:
            raise BuildError(f"{path} cannot be written ({error.strerror}): make it writable.") from error
        try:
            _hold(file, build)
            lines, length = _lines(file.read())
            if not lines:
                raise BuildError(f"{path} is empty: its build was stopped before it began; begin a new one.")
            head, records = _head(lines[0], path), [_record(line, path) for line in lines[1:]]
            # What a kill left of a half line goes, so that the next line begins a line.
            file.truncate(length)
            file.seek(length)
        except BaseException:
            file.close()
            raise
        return cls(path, head, records, file)

    def append(self, record: Record) -> None:
        """Kept when this returns."""
        self._write({**asdict(record), "data": dict(record.data)})
        self.records.append(record)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, value: Mapping[str, Any]) -> None:
        line = json.dumps(value, ensure_ascii=True, allow_nan=False).encode() + b"\n"
        try:
            while line:
                line = line[self._file.write(line) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            raise BuildError(
                f"{self.path} cannot be written ({error.strerror}): make room, then go on with the build."
            ) from error


def builds(folder: Path) -> list[str]:
    """The ids of all builds, the oldest first."""
    paths = sorted(folder.glob("*.jsonl"), key=lambda path: (path.stat().st_mtime, path.name))
    return [path.stem for path in paths]


def _hold(file: Any, build: str) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise BuildError(f"Another process is at the build {build}: wait until it ends, or stop it.") from error


def _lines(data: bytes) -> tuple[list[bytes], int]:
    """The whole lines, and how many bytes they are."""
    length = data.rfind(b"\n") + 1
    return data[:length].splitlines(), length


def _object(line: bytes, path: Path) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BuildError(f"{path} is damaged ({error}): begin a new build.") from error
    if not isinstance(value, dict):
        raise BuildError(f"{path} is damaged (a line is no object): begin a new build.")
    return value


def _head(line: bytes, path: Path) -> Head:
    value = _object(line, path)
    if value.get("format") != FORMAT:
        raise BuildError(f"{path} was written by another version of the workbench: begin a new build.")
    try:
        problems = tuple(Problem(one["text"], one["answer"], one.get("table", "")) for one in value["problems"])
        return Head(value["build"], problems, dict(value["settings"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise BuildError(f"{path} is damaged (its head lacks {error}): begin a new build.") from error


def _record(line: bytes, path: Path) -> Record:
    value = _object(line, path)
    try:
        usage = Usage(**value["usage"]) if value.get("usage") else None
        return Record(**{**value, "usage": usage})
    except TypeError as error:
        raise BuildError(f"{path} is damaged ({error}): begin a new build.") from error
