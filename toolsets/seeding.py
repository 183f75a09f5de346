"""The built-in and standard tools as rows of a library, so that retrieval finds them beside those that were made.

In: a library. Out: one active row for each tool of `standard`, with its source to be read and its documented examples
as recorded calls. Seeding again changes nothing, and after an update of the package it brings the rows up to date,
except those that a person has edited, retired or replaced. A library that may not be written stays as it is.
Neighbours: `shelf` turns the rows back into the tools.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

from memory.errors import ChangeRefused, RowChanged
from memory.planning import joined, plan_edit, plan_new
from memory.store import Library
from memory.values import STATES, Plan, Row, Snapshot
from toolsets.annotations import literal
from toolsets.shelf import builtin_code
from toolsets.standard import STANDARD
from toolsets.tool import Tool

AUTHOR: Final = "workbench"
TAG: Final = "builtin"
_TRIES: Final = 3


def seed_library(library: Library, *, author: str = AUTHOR) -> int:
    """Bring the rows of the built-in tools up to date; returns how many were added or changed."""
    if library.read_only:
        return 0
    for _ in range(_TRIES - 1):
        # Another process may have seeded the library, or changed a row, since it was read here: read it again.
        with suppress(ChangeRefused, RowChanged):
            return _seed(library, author)
    return _seed(library, author)


def _seed(library: Library, author: str) -> int:
    known = {row.content["builtin"]: row for row in library.rows("tool", states=STATES) if row.content.get("builtin")}
    taken = {row.name for row in library.rows("tool", states=("active",))}
    fresh = [_snapshot(name, tool) for name, tool in STANDARD.items() if name not in known and name not in taken]
    edits = [plan for row in known.values() if (plan := _update(library, row, author)) is not None]
    plan = joined("seed", [*([plan_new(fresh)] if fresh else []), *edits])
    if plan.changes:
        library.apply(plan, author=author, note="the tools that come with the workbench")
    return len(plan.changes)


def _snapshot(name: str, tool: Tool) -> Snapshot:
    provenance = {"source": "builtin", "module": tool.function.__module__}
    return Snapshot("tool", _content(name, tool), state="active", tags=(TAG,), provenance=provenance)


def _content(name: str, tool: Tool) -> dict[str, Any]:
    return {
        "name": name,
        "code": builtin_code(tool),
        "builtin": name,
        "effect": tool.effect,
        "problems": [],
        "calls": list(_recorded(tool)),
    }


def _update(library: Library, row: Row, author: str) -> Plan | None:
    """The edit that brings a seeded row up to date; None where it is, or where somebody else has changed it."""
    tool = STANDARD.get(row.content["builtin"])
    if tool is None or row.state == "retired":
        return None
    content = {**_content(row.content["builtin"], tool), "problems": row.content.get("problems", [])}
    if dict(row.content) == content or row.content.get("code") == content["code"]:
        return None
    edited = any(version.author != author and version.action == "edit" for version in library.history(row.row_id))
    return None if edited else plan_edit(row, content)


def _recorded(tool: Tool) -> Iterator[dict[str, Any]]:
    """The documented examples as calls with their results, where both are plain values."""
    for example in tool.examples:
        call, _, result = example.rpartition(" -> ")
        try:
            node = ast.parse(call, mode="eval").body
            if not isinstance(node, ast.Call):
                continue
            names = list(tool.parameters.get("properties", {}))
            values = {**dict(zip(names, node.args, strict=False)), **{k.arg: k.value for k in node.keywords if k.arg}}
            arguments = {name: literal(ast.unparse(value)) for name, value in values.items()}
            yield {"arguments": arguments, "result": literal(result)}
        except (SyntaxError, ValueError):
            continue
