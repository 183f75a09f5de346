"""The library of tools and concepts for the side bar: on the same calls as Python and the command line.

In: a kind, a row's id, a verb with what it needs. Out: rows with the reason of each hit, histories, what was done.
Searching by meaning needs an embedder, which is torch, and the Jupyter server shall not load it: a search goes to the
engine where one runs, and else by words. Neighbours: `handlers` above, `workbench.libraries` below.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import yaml  # type: ignore[import-untyped]

from memory.values import STATES
from memory.yaml_text import YamlRefused, read_yaml
from workbench.engine.client import EngineClient
from workbench.errors import EngineError, UsageError
from workbench.libraries import Face, Libraries
from workbench.library_values import Done, RowView

KINDS: Final = ("tools", "concepts")
VERBS: Final = ("approve", "reject", "retire", "restore", "edit", "merge", "revert", "try", "undo", "purge")
KEPT_KEYS: Final = 1000
EMPTY: Final[tuple[Any, ...]] = ([], "", None)
"""Fields of a concept that hold nothing; its editor does not show them, and an edit leaves them as they are."""


class LibraryDesk:
    """One per Jupyter server; opened with the first request."""

    def __init__(self, data_dir: Path | None, engine: Callable[[], EngineClient]) -> None:
        self._libraries = Libraries(data_dir)
        self._engine = engine
        self._answers: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def rows(self, kind: str, search: str, state: str, limit: int) -> dict[str, Any]:
        """Proposed rows first where nobody searches; the best hits first where somebody does."""
        face = self._face(kind)
        if state and state not in STATES:
            raise UsageError(f"There is no state {state!r}; rows are {', '.join(STATES)}.")
        states = (state,) if state else ("active", "proposed")
        if not search.strip():
            found = sorted(face.rows(states=states), key=lambda row: row.state != "proposed")
            return {"rows": [row.to_json() for row in found[:limit]], "by": "name"}
        engine = self._engine()
        try:
            if engine.status()["state"] in ("ready", "busy"):
                given: dict[str, Any] = {"kind": kind, "query": search, "states": list(states), "limit": limit}
                return engine.call("search", **given) | {"by": "meaning"}
        except EngineError:
            pass  # it has just ended, or cannot search by meaning: words are better than nothing
        return {"rows": _by_words(list(face.rows(states=states)), search)[:limit], "by": "words"}

    def show(self, kind: str, row_id: str) -> dict[str, Any]:
        """One row with everything that a person decides by."""
        face = self._face(kind)
        view = face.show(row_id)
        row = view.to_json(full=True)
        row["source" if kind == "tools" else "text"] = _editable(view)
        return {
            "row": row,
            "history": [version.to_json() for version in face.history(row_id)],
            "examples": [*row["content"].get("calls", []), *row["content"].get("problems", [])],
            "usage": row["usage"],
            "diff": face.diff(row_id) if view.version > 1 else [],
            "evidence": {"provenance": row["provenance"], "helped": row["helped"], "shown": face.why("", row_id)[:20]},
        }

    def act(self, kind: str, row_id: str, given: dict[str, Any], key: str) -> dict[str, Any]:
        """Do what a verb says, once for each key; raises UsageError, LibraryError."""
        with self._lock:
            if key not in self._answers:
                self._answers[key] = self._act(self._face(kind), kind, row_id, given)
                while len(self._answers) > KEPT_KEYS:
                    self._answers.popitem(last=False)
            return self._answers[key]

    def close(self) -> None:
        self._libraries.close()

    def _act(self, face: Face, kind: str, row_id: str, given: dict[str, Any]) -> dict[str, Any]:
        verb, expected, note = given.get("verb"), given.get("expected_version"), str(given.get("reason", ""))
        if verb not in VERBS:
            raise UsageError(f"There is no verb {verb!r}; a row can be told {', '.join(VERBS)}.")
        if expected is not None and not isinstance(expected, int):
            raise UsageError("expected_version must be the number of the version that you have seen.")
        if verb == "try":
            if kind == "tools":
                return self._libraries.tools.try_(row_id).to_json()
            return self._libraries.concepts.try_(row_id).to_json()
        if verb == "undo":
            entry = given.get("entry")
            if not isinstance(entry, int):
                raise UsageError("Say which change to undo: entry is its number in the journal.")
            return _done(face.undo(entry).apply())
        if verb == "purge":
            return {"purged": face.purge(row_id, sure=True)}
        if verb == "edit":
            return _done(face.edit(row_id, expected_version=expected, note=note, **self._edited(kind, row_id, given)))
        if verb == "merge":
            proposal = face.merge(str(given.get("into", "")), row_id)
            return _done(proposal.apply())
        if verb == "revert":
            version = given.get("version", face.show(row_id).version - 1)
            if not isinstance(version, int):
                raise UsageError(f"version must be a whole number; it is {version!r:.60}.")
            return _done(face.revert(row_id, version, expected_version=expected, note=note))
        return _done(getattr(face, verb)(row_id, expected_version=expected, note=note))

    def _edited(self, kind: str, row_id: str, given: dict[str, Any]) -> dict[str, Any]:
        """The new content, from what the editor was given by `show`."""
        if kind == "tools":
            if not isinstance(given.get("source"), str):
                raise UsageError("An edited tool needs its source.")
            return {"code": given["source"]}
        try:
            content = read_yaml(str(given.get("text", "")))
        except YamlRefused as error:
            where = f" (line {error.line})" if error.line is not None else ""
            raise UsageError(f"The concept is no YAML{where}: {error}.") from error
        if not isinstance(content, dict):
            raise UsageError("A concept is written as fields, one `name: value` after another.")
        empty = {name: value for name, value in self._face(kind).show(row_id).row.content.items() if value in EMPTY}
        return {"content": empty | content}

    def _face(self, kind: str) -> Face:
        return self._libraries.tools if kind == "tools" else self._libraries.concepts


def _editable(view: RowView) -> str:
    if view.row.kind == "tool":
        return str(view.row.content["code"])
    written = {name: value for name, value in view.row.content.items() if value not in EMPTY}
    return str(yaml.safe_dump(written, sort_keys=False, allow_unicode=True))


def _done(done: Done) -> dict[str, Any]:
    told = done.to_json()
    return told | {"row": told["rows"][0] if told["rows"] else None}


def _by_words(rows: list[RowView], search: str) -> list[dict[str, Any]]:
    """Rows that have every word of the search somewhere; those that have it in the name come first."""
    words = search.lower().split()
    found = []
    for row in rows:
        views = {"name": row.name, "summary": row.summary, "tags": " ".join(row.row.tags), "text": row.text}
        if all(any(word in text.lower() for text in views.values()) for word in words):
            scores = {view: sum(word in text.lower() for word in words) for view, text in views.items()}
            best = max(scores, key=lambda view: scores[view])  # of equals the first: the name counts most
            why = {"view": best, "exemplar": search, "score": round(scores[best] / len(words), 3)}
            found.append((list(views).index(best), row.to_json() | {"why": why}))
    return [told for _, told in sorted(found, key=lambda one: one[0])]
