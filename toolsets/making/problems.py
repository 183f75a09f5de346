"""The problems that tools are made from: a table or JSON lines, each with its answer.

In: a `.csv` with the columns `question` and `answer` (and `table`, if the problem has one), or a `.jsonl` with objects
of these fields. Out: `Problem`s, each once. A file that is malformed half-way is refused whole, with the line.
Neighbours: `diverse` chooses among them, `build` solves them; `memory.craft` reads CRAFT's tables.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from memory.craft import read_records
from toolsets.errors import ToolsetError

_FIELDS: Final = ("question", "answer")


class ProblemsRefused(ToolsetError):
    """The file of problems cannot be used; nothing of it was."""


@dataclass(frozen=True, slots=True)
class Problem:
    """answer: as a text; compared by value (`answers`). table: what the question speaks of, if anything."""

    text: str
    answer: str
    table: str = ""

    def json(self) -> dict[str, str]:
        return {"text": self.text, "answer": self.answer} | ({"table": self.table} if self.table else {})


def read_problems(path: Path) -> list[Problem]:
    """The problems of a file; raises ProblemsRefused or memory's ImportRefused with the line where it is malformed."""
    if path.suffix.lower() == ".csv":
        lines: Iterator[tuple[int, Mapping[str, Any]]] = iter(read_records(path, _FIELDS))
    elif path.suffix.lower() in (".jsonl", ".ndjson"):
        lines = _json_lines(path)
    else:
        raise ProblemsRefused(f"{path} is neither .csv nor .jsonl: give problems with the fields question and answer.")
    found: dict[tuple[str, str], tuple[int, Problem]] = {}
    for line, fields in lines:
        problem = _problem(path, line, fields)
        known = found.setdefault((problem.text, problem.table), (line, problem))
        if known[1].answer != problem.answer:
            raise ProblemsRefused(
                f"{path}, line {line}: the question of line {known[0]} again, with another answer: keep the right one."
            )
    if not found:
        raise ProblemsRefused(f"{path} holds no problem: give at least one with its answer.")
    return [problem for _, problem in found.values()]


def _problem(path: Path, line: int, fields: Mapping[str, Any]) -> Problem:
    for name in _FIELDS:
        value = fields.get(name)
        if value is None or not str(value).strip():
            raise ProblemsRefused(f"{path}, line {line}: the field {name} is missing or empty: nothing was taken.")
    if not isinstance(fields["question"], str):
        raise ProblemsRefused(f"{path}, line {line}: the question is no text: nothing was taken.")
    return Problem(
        fields["question"].strip(), _text(fields["answer"]).strip(), _text(fields.get("table") or "").strip()
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _json_lines(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ProblemsRefused(f"{path} cannot be read ({error}): give a file in UTF-8.") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ProblemsRefused(f"{path}, line {number} is no JSON ({error}): nothing was taken.") from error
        if not isinstance(value, dict):
            raise ProblemsRefused(f"{path}, line {number} is no JSON object: nothing was taken.")
        yield number, value
