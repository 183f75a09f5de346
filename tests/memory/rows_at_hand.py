"""Small tools and concepts that many tests use."""

from typing import Any

from memory.planning import plan_edit, plan_move
from memory.store import Library
from memory.values import Content, Row, Snapshot


def tool(name: str = "add", docstring: str = "Sum of two numbers.", *problems: str, **fields: Any) -> Snapshot:
    code = f'def {name}(a, b):\n    """{docstring}"""\n    return a + b\n'
    return Snapshot("tool", {"name": name, "code": code, "problems": list(problems), **fields})


def concept(title: str = "recolor", **fields: Any) -> Snapshot:
    return Snapshot("concept", {"title": title, "kind": "routine", **fields})


def lesson(situation: str, suggestion: str = "Try it.", **fields: Any) -> Snapshot:
    return Snapshot("concept", {"situation": situation, "suggestion": suggestion, **fields})


def edit(
    library: Library,
    row_id: str,
    content: Content,
    *,
    author: str,
    expected_version: int,
    provenance: Content | None = None,
    note: str = "",
) -> Row:
    """New content for a row as somebody read it, at whatever version it is now."""
    plan = plan_edit(_as_read(library, row_id, expected_version), content, provenance)
    library.apply(plan, author=author, note=note)
    return library.row(row_id)


def move(library: Library, row_id: str, verb: str, *, author: str, expected_version: int, note: str = "") -> Row:
    """A row as somebody read it is approved, rejected, retired or restored."""
    library.apply(plan_move([_as_read(library, row_id, expected_version)], verb), author=author, note=note)
    return library.row(row_id)


def _as_read(library: Library, row_id: str, version: int) -> Row:
    return Row(row_id, version, library.version(row_id, version).snapshot, changed=0)
