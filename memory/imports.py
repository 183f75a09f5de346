"""Rows read from others' formats, planned as one change of the library.

In: a path, or snapshots that an importer read from it. Out: a plan of proposed rows, to be looked at and then applied,
whole or not at all. What the library has already is not proposed again. Neighbours: craft, arcmemo and python_files
read the formats; transfer reads the library's own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from memory.arcmemo import read_concepts
from memory.craft import read_csv
from memory.errors import ImportRefused
from memory.planning import plan_new
from memory.python_files import read_python_file, read_python_folder, read_skill
from memory.store import Library
from memory.values import STATES, Plan, Snapshot


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """What an import would add."""

    plan: Plan
    known: tuple[str, ...]
    """Names that the file has and the library too, with the same content."""


def read_items(path: Path) -> list[Snapshot]:
    """The tools and concepts in a file or folder of any format that is known; the format is told by the path."""
    if path.is_dir():
        return read_skill(path) if (path / "SKILL.md").is_file() else read_python_folder(path)
    suffix = path.suffix.lower()
    if suffix == ".csv":
        return read_csv(path)
    if suffix in (".yaml", ".yml", ".json"):
        return read_concepts(path)
    if suffix == ".py" and path.is_file():
        return read_python_file(path)
    if path.name == "SKILL.md":
        return read_skill(path.parent)
    raise ImportRefused(
        f"There is nothing at {path} that can be imported: name a CRAFT .csv, a concept .yaml, a .py file, a folder of "
        "them or with a SKILL.md, or an export of a library (.jsonl)."
    )


def plan_import(library: Library, items: Sequence[Snapshot]) -> ImportPlan:
    """A plan of the items that the library does not have in any state: what was rejected stays so."""
    plan = plan_new(items, "import")
    known = {(row.kind, row.snapshot.content_hash) for row in library.rows(states=STATES)}
    fresh = []
    old = []
    for change in plan.changes:
        key = (change.after.kind, change.after.content_hash)
        if key in known:
            old.append(change.after.name)
        else:
            known.add(key)
            fresh.append(change)
    return ImportPlan(Plan("import", tuple(fresh)), tuple(old))
