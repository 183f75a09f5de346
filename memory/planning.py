"""Plans: changes of rows, made before they are done, so that a person can look at them first.

In: rows as they were read. Out: a `Plan` of before and after, and its description. Pure: nothing is written here.
Neighbours: store carries a plan out (`Library.apply`), and refuses it where a row was changed meanwhile.
"""

import difflib
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from memory.concepts import form_of, merged_programs, unique_problems
from memory.content import checked
from memory.errors import ChangeRefused
from memory.values import Change, Content, Kind, Plan, Row, Snapshot, State, Version, checked_content

MOVES: Final[dict[str, tuple[tuple[State, ...], State]]] = {
    "approve": (("proposed",), "active"),
    "reject": (("proposed",), "retired"),
    "retire": (("proposed", "active"), "retired"),
    "restore": (("retired",), "proposed"),
}
"""By verb: from which states, and to which one."""


def new_row_id(kind: Kind) -> str:
    """An id that no other library gives to another row, so that rows can travel between libraries."""
    return f"{kind}-{uuid.uuid4().hex[:16]}"


def plan_new(items: Iterable[Snapshot], action: str = "create") -> Plan:
    """Rows to come; their content is checked."""
    changes = []
    for item in items:
        after = item.with_(
            content=checked(item.kind, item.content),
            tags=clean_tags(item.tags),
            provenance=checked_content(item.provenance),
        )
        changes.append(Change(new_row_id(item.kind), 0, None, after))
    return Plan(action, tuple(changes))


def plan_edit(row: Row, content: Content, provenance: Content | None = None, action: str = "edit") -> Plan:
    """New content for a row; its state stays. Who lets a model edit should propose a new row instead."""
    after = row.snapshot.with_(content=checked(row.kind, content))
    if provenance is not None:
        after = after.with_(provenance=checked_content(provenance))
    return Plan(action, (_change(row, after),))


def plan_move(rows: Iterable[Row], verb: str) -> Plan:
    """Approve, reject, retire or restore rows."""
    sources, target = MOVES[verb]
    changes = []
    for row in rows:
        if row.state not in sources:
            raise ChangeRefused(
                f"{row.kind.capitalize()} {row.name!r} ({row.row_id}) is {row.state}, and only "
                f"{' or '.join(sources)} ones can be told to {verb}: take it out of the selection."
            )
        changes.append(_change(row, row.snapshot.with_(state=target)))
    return Plan(verb, tuple(changes))


def plan_revert(row: Row, old: Version) -> Plan:
    """The content, the tags and the provenance of an older version; the state stays."""
    before = old.snapshot
    after = row.snapshot.with_(content=before.content, tags=before.tags, provenance=before.provenance)
    return Plan("revert", (_change(row, after),))


def plan_tags(rows: Iterable[Row], add: Iterable[str] = (), remove: Iterable[str] = ()) -> Plan:
    """Tags put on and taken off; rows that this would not change are left out."""
    added, removed = clean_tags(add), set(clean_tags(remove))
    changes = []
    for row in rows:
        tags = clean_tags(tag for tag in (*row.tags, *added) if tag not in removed)
        if tags != row.tags:
            changes.append(_change(row, row.snapshot.with_(tags=tags)))
    return Plan("tag", tuple(changes))


def plan_merge(keep: Row, others: Sequence[Row]) -> Plan:
    """One row of several: `keep` stays and gets the others' problems, cues and tags; the others are retired.

    Whether they do the same is not decided here: that takes running them.
    """
    if not others or len({keep.row_id, *(other.row_id for other in others)}) <= len(others):
        raise ChangeRefused("A merge needs a row to keep and at least one other row: name each row once.")
    content = dict(keep.content)
    tags = keep.tags
    for other in others:
        if other.kind != keep.kind:
            raise ChangeRefused(
                f"{keep.name!r} is a {keep.kind} and {other.name!r} a {other.kind}: merge rows of one kind."
            )
        if keep.kind == "concept" and form_of(content) == form_of(other.content) == "program-synthesis":
            content = merged_programs(content, other.content)
        content["problems"] = unique_problems([*content.get("problems", ()), *other.content.get("problems", ())])
        tags = clean_tags((*tags, *other.tags))
    changes = [_change(keep, keep.snapshot.with_(content=checked(keep.kind, content), tags=tags))]
    for other in others:
        provenance = {**other.snapshot.provenance, "merged_into": keep.row_id}
        changes.append(_change(other, other.snapshot.with_(state="retired", provenance=provenance)))
    return Plan("merge", tuple(changes))


def plan_split(row: Row, parts: Sequence[Content]) -> Plan:
    """Several rows of one: each part becomes a proposed row of its own, the old one is retired."""
    if len(parts) < 2:
        raise ChangeRefused(f"A split of {row.name!r} needs at least two parts: give the content of each.")
    provenance = {**row.snapshot.provenance, "split_from": row.row_id}
    new = plan_new(Snapshot(row.kind, part, "proposed", row.tags, provenance) for part in parts)
    return Plan("split", (_change(row, row.snapshot.with_(state="retired")), *new.changes))


def joined(action: str, plans: Iterable[Plan]) -> Plan:
    """Several plans as one, to be done and undone together."""
    changes = tuple(change for plan in plans for change in plan.changes)
    twice = [row_id for row_id in {c.row_id for c in changes} if sum(c.row_id == row_id for c in changes) > 1]
    if twice:
        raise ChangeRefused(f"The row {min(twice)} is changed twice in one plan: make two plans of it.")
    return Plan(action, changes)


def describe(plan: Plan) -> str:
    """What a plan will do, row by row, for a person to read before it is done."""
    lines = [f"{plan.action}: {len(plan.changes)} row{'' if len(plan.changes) == 1 else 's'}"]
    for change in plan.changes:
        lines.append(f"  {change.row_id} {change.after.name!r} ({change.after.kind})")
        lines.extend(f"    {line}" for line in snapshot_diff(change.before, change.after))
    return "\n".join(lines)


def snapshot_diff(before: Snapshot | None, after: Snapshot) -> list[str]:
    """The lines that differ between two snapshots, as a unified diff without its head."""
    old = _lines_of(before) if before is not None else []
    return list(difflib.unified_diff(old, _lines_of(after), lineterm="", n=2))[2:]


def clean_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Tags in one order, each once, without blanks around."""
    return tuple(sorted({tag.strip() for tag in tags} - {""}))


def _change(row: Row, after: Snapshot) -> Change:
    return Change(row.row_id, row.version, row.snapshot, after)


def _lines_of(snapshot: Snapshot) -> list[str]:
    fields: dict[str, Any] = {"state": snapshot.state, "tags": list(snapshot.tags), **snapshot.content}
    if snapshot.provenance:
        fields["provenance"] = snapshot.provenance
    return [line for field in sorted(fields) for line in _field_lines(field, fields[field])]


def _field_lines(field: str, value: Any) -> list[str]:
    """Code and long texts line by line, so that a diff of them reads like a diff of a file."""
    if isinstance(value, str):
        return [f"{field}: {line}" for line in value.splitlines()] or [f"{field}:"]
    if isinstance(value, list):
        return [line for item in value for line in _field_lines(f"{field}[]", item)]
    if isinstance(value, Mapping):
        return [f"{field}: {json.dumps(value, ensure_ascii=False, sort_keys=True)}"]
    return [f"{field}: {json.dumps(value, ensure_ascii=False)}"]
