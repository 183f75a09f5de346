"""What curating a library shows, as values: rows, hits, proposals, what was done. Each has a plain JSON form.

In: rows, plans and hits of `memory`. Out: values for people (`str`, a table in a notebook) and for programs
(`to_json`). Pure, but for `Proposal.apply`, which carries out what it has shown. Neighbours: `libraries` makes them;
the command line, the notebook and the server show them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from memory.content import tool_facts
from memory.effects import Effect
from memory.errors import ContentRefused
from memory.planning import describe, snapshot_diff
from memory.rendering import render_concept
from memory.values import Change, Entry, Plan, Row, UsageCount, Use, Version
from workbench import library_table
from workbench.visible import one_line

if TYPE_CHECKING:
    from memory.retrieval import Found  # needs numpy

SUMMARY_CHARS: Final = 160


@dataclass(frozen=True, slots=True)
class RowView:
    """A tool or a concept as it is now, with what its present content did in runs."""

    row: Row
    usage: UsageCount | None = None
    helped: Effect | None = None
    hit: Found | None = None
    """Why a search found it; None where nobody searched."""

    @property
    def id(self) -> str:
        return self.row.row_id

    @property
    def name(self) -> str:
        return self.row.name

    @property
    def version(self) -> int:
        return self.row.version

    @property
    def state(self) -> str:
        return self.row.state

    @property
    def summary(self) -> str:
        """The first line of a tool's docstring; what a concept says it is for."""
        return summary_of(self.row)

    @property
    def why(self) -> str:
        """The strongest reason of the hit, in words; empty where nobody searched."""
        return _reason(self.hit) if self.hit is not None else ""

    def to_json(self, *, full: bool = False) -> dict[str, Any]:
        """full: with content and provenance."""
        told: dict[str, Any] = {
            "id": self.id,
            "kind": self.row.kind,
            "name": self.name,
            "state": self.state,
            "version": self.version,
            "tags": list(self.row.tags),
            "summary": self.summary,
            "usage": _usage(self.usage),
            "helped": self.helped.to_json() if self.helped is not None else None,
            "why": _why(self.hit) if self.hit is not None else None,
        }
        if full:
            told |= {
                "content": dict(self.row.content),
                "content_hash": self.row.snapshot.content_hash,
                "provenance": dict(self.row.snapshot.provenance),
                "text": self.text,
            }
        return told

    @property
    def text(self) -> str:
        """The row for reading: a tool's code, a concept as a prompt would show it."""
        return str(self.row.content["code"]) if self.row.kind == "tool" else render_concept(self.row.content)

    def __str__(self) -> str:
        head = f"{self.row.kind} {self.name} ({self.id}), version {self.version}, {self.state}"
        tags = [f"tags: {', '.join(self.row.tags)}"] if self.row.tags else []
        used = _usage(self.usage)
        usage = f"shown in {used['retrieved']} runs, used in {used['used']}, {used['solved']} of them solved"
        helped = str(self.helped) if self.helped is not None else "helped or hurt: not measured"
        return "\n".join([head, *tags, usage, helped, "", self.text])

    def __repr__(self) -> str:
        return f"<{self.row.kind} {self.name!r} {self.id} version {self.version}, {self.state}>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return library_table.row_bundle(str(self))


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows in an order: a list of them, or what a search came to."""

    found: tuple[RowView, ...]
    query: str = ""
    nearest: RowView | None = None
    """Where nothing fits, the row that came nearest."""

    def __iter__(self) -> Iterator[RowView]:
        return iter(self.found)

    def __len__(self) -> int:
        return len(self.found)

    def __getitem__(self, place: int) -> RowView:
        return self.found[place]

    def to_json(self) -> dict[str, Any]:
        nearest = self.nearest.to_json() if self.nearest is not None and not self.found else None
        return {"query": self.query, "rows": [one.to_json() for one in self.found], "nearest": nearest}

    def cells(self) -> list[tuple[str, ...]]:
        """Rows of a table under `library_table.HEADS`, each text on one line."""
        return [library_table.cells(one.to_json() | {"why": one.why}) for one in self.found]

    def __str__(self) -> str:
        if not self.found:
            return self._nothing()
        return library_table.as_text(self.cells())

    __repr__ = __str__

    def _repr_mimebundle_(self, **_: Any) -> Any:
        return library_table.bundle(self.cells(), str(self))

    def _nothing(self) -> str:
        if self.query and self.nearest is not None:
            near = f"{self.nearest.name} ({self.nearest.id}), by {self.nearest.why}"
            return f"Nothing fits. The nearest is {one_line(near, 200)}."
        return "Nothing fits." if self.query else "There is nothing here yet."


@dataclass(frozen=True, slots=True)
class VersionView:
    """One line of a row's history."""

    version: Version
    diff: tuple[str, ...]
    """What it changed against the version before it."""

    def to_json(self) -> dict[str, Any]:
        one = self.version
        return {
            "version": one.number,
            "action": one.action,
            "author": one.author,
            "time": one.time,
            "note": one.note,
            "state": one.snapshot.state,
            "tags": list(one.snapshot.tags),
            "content_hash": one.snapshot.content_hash,
            "entry": one.entry,
            "diff": list(self.diff),
        }

    def __str__(self) -> str:
        one = self.version
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.time))
        note = f": {one.note}" if one.note else ""
        head = f"{one.number}  {when}  {one.author}  {one.action}, {one.snapshot.state}{note}"
        return "\n".join([head, *(f"    {line}" for line in self.diff)])

    __repr__ = __str__


@dataclass(frozen=True, slots=True)
class Done:
    """What was carried out: `undo(done.entry)` takes it back."""

    entry: int | None
    action: str
    rows: tuple[RowView, ...] = ()

    @property
    def row(self) -> RowView:
        """The row, where it was one."""
        return self.rows[0]

    def to_json(self) -> dict[str, Any]:
        return {"entry": self.entry, "action": self.action, "rows": [row.to_json() for row in self.rows]}

    def __str__(self) -> str:
        if self.entry is None:
            return "There was nothing to change."
        names = ", ".join(f"{row.name} ({row.id}) is {row.state}" for row in self.rows[:5])
        more = f" and {len(self.rows) - 5} more" if len(self.rows) > 5 else ""
        return f"{self.action}: {names}{more}. Entry {self.entry} of the journal; undo takes it back."

    __repr__ = __str__


@dataclass(frozen=True, slots=True)
class Proposal:
    """Changes that can be looked at before they are done. `apply` does them, all or none."""

    plan: Plan
    carry_out: Callable[[Proposal], Done] = field(repr=False, compare=False)
    unchanged: tuple[str, ...] = ()
    """Names of rows that were there already."""

    def apply(self) -> Done:
        """Do it; refused where a row was changed since the proposal was made."""
        return self.carry_out(self)

    def to_json(self) -> dict[str, Any]:
        return {
            "action": self.plan.action,
            "changes": [change_json(change) for change in self.plan.changes],
            "unchanged": list(self.unchanged),
        }

    def __str__(self) -> str:
        known = f"\nalready here: {', '.join(self.unchanged)}" if self.unchanged else ""
        return (describe(self.plan) if self.plan.changes else "There is nothing to change.") + known

    __repr__ = __str__

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return library_table.row_bundle(f"{self}\n\n(proposed: .apply() does it)")


def change_json(change: Change) -> dict[str, Any]:
    return {
        "row": change.row_id,
        "kind": change.after.kind,
        "name": change.after.name,
        "expected_version": change.expected_version,
        "before": change.before.state if change.before is not None else None,
        "after": change.after.state,
        "diff": snapshot_diff(change.before, change.after),
    }


def entry_json(entry: Entry) -> dict[str, Any]:
    return {
        "entry": entry.number,
        "action": entry.action,
        "author": entry.author,
        "time": entry.time,
        "note": entry.note,
        "rows": list(entry.row_ids),
        "undone_by": entry.undone_by,
    }


def use_json(use: Use, name: str) -> dict[str, Any]:
    return {
        "run": use.run_id,
        "id": use.row_id,
        "name": name,
        "content_hash": use.content_hash,
        "time": use.time,
        "used": use.used,
        "solved": use.solved,
        "why": use.why,
    }


def summary_of(row: Row) -> str:
    """One line about a row."""
    content = row.content
    if row.kind == "tool":
        try:
            return one_line(tool_facts(content["code"], row.name).first_line, SUMMARY_CHARS)
        except ContentRefused:  # an older writer kept what is refused today
            return ""
    return one_line(
        str(content.get("description") or content.get("suggestion") or "; ".join(content.get("cues", ())[:2])),
        SUMMARY_CHARS,
    )


def _usage(usage: UsageCount | None) -> dict[str, int]:
    if usage is None:
        return {"retrieved": 0, "used": 0, "solved": 0, "unsolved": 0}
    return {
        "retrieved": usage.retrieved,
        "used": usage.used,
        "solved": usage.solved_when_used,
        "unsolved": usage.unsolved_when_used,
    }


def _why(found: Found) -> dict[str, Any]:
    """The strongest evidence first, as the protocol of the panel wants it, and all of it."""
    told = found.why()
    best = found.hit.evidence[0] if found.hit.evidence else None
    return {
        "view": best.view if best else "",
        "exemplar": best.text if best else "",
        "score": round(found.hit.score, 4),
        "fit": round(found.hit.fit, 4),
        "reason": _reason(found),
        "evidence": told["evidence"],
    }


def _reason(found: Found) -> str:
    best = next((one for one in found.hit.evidence if one.text), None)
    if best is None:
        return f"score {found.hit.score:.2f}"
    how = "means like" if best.channel == "dense" else "shares words with"
    return f"{best.view} {best.score:.2f}: {how} {one_line(best.text, 80)!r}"
