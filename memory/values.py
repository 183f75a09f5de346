"""What the library keeps, as plain values.

In: nothing. Out: snapshots, versions, rows, changes, uses. A row is a stable id with numbered versions; a version is a
whole snapshot (content, state, tags, provenance) and who made it, so history, diff, revert and undo are all the same
thing: choosing a snapshot. Content is addressed by its hash, which stays the same when only state or tags change.
Neighbours: store reads and writes them, planning makes changes of them, content and concepts say what content holds.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, TypeAlias, get_args

from memory.errors import ContentRefused

Kind: TypeAlias = Literal["tool", "concept"]
State: TypeAlias = Literal["proposed", "active", "retired"]
Content: TypeAlias = Mapping[str, Any]

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
STATES: Final[tuple[State, ...]] = get_args(State)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A row as it was at one moment."""

    kind: Kind
    content: Content
    state: State = "proposed"
    tags: tuple[str, ...] = ()
    provenance: Content = field(default_factory=dict)
    """Where the content came from: run, events, source, model, and whatever else its maker says."""

    @property
    def name(self) -> str:
        """A tool's function name, a concept's title; of an untitled concept its situation."""
        return title_of(self.kind, self.content)

    @property
    def content_hash(self) -> str:
        return content_hash(self.content)

    def with_(self, **changes: Any) -> "Snapshot":
        return replace(self, **changes)


@dataclass(frozen=True, slots=True)
class Version:
    """One snapshot of a row, with who made it, when and why."""

    number: int
    """1, 2, 3...: every change of a row, also of its state or tags, is the next number."""
    snapshot: Snapshot
    author: str
    time: float
    action: str
    """create, edit, approve, reject, retire, restore, tag, revert, merge, split, import or undo."""
    note: str
    entry: int
    """The journal entry that made it; the rows of one bulk change share theirs."""


@dataclass(frozen=True, slots=True)
class Row:
    """A tool or a concept as it is now."""

    row_id: str
    version: int
    snapshot: Snapshot
    changed: int
    """The library's change counter at the row's last change; grows through the whole library."""

    @property
    def kind(self) -> Kind:
        return self.snapshot.kind

    @property
    def name(self) -> str:
        return self.snapshot.name

    @property
    def content(self) -> Content:
        return self.snapshot.content

    @property
    def state(self) -> State:
        return self.snapshot.state

    @property
    def tags(self) -> tuple[str, ...]:
        return self.snapshot.tags


@dataclass(frozen=True, slots=True)
class Change:
    """One row's part of a plan: from a version that was read (0 for a row to come) to a snapshot."""

    row_id: str
    expected_version: int
    before: Snapshot | None
    after: Snapshot


@dataclass(frozen=True, slots=True)
class Plan:
    """Changes that happen together or not at all; shown before they are done (`planning.describe`)."""

    action: str
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the journal: one plan that was carried out."""

    number: int
    action: str
    author: str
    time: float
    note: str
    row_ids: tuple[str, ...]
    undone_by: int | None


@dataclass(frozen=True, slots=True)
class Use:
    """What happened to one row in one run."""

    run_id: str
    row_id: str
    content_hash: str
    time: float
    used: bool
    solved: bool | None
    """None until the run said whether it was solved."""
    why: Any
    """The hit that brought the row in, as JSON: views, exemplars, scores."""


@dataclass(frozen=True, slots=True)
class UsageCount:
    """How one content of a row did, over all runs."""

    content_hash: str
    retrieved: int
    used: int
    solved_when_used: int
    unsolved_when_used: int


def canonical_json(value: Any) -> str:
    """The one text of a JSON value: sorted keys, no spaces; NaN and what is not JSON are refused."""
    try:
        return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ContentRefused(
            f"The content cannot be kept as JSON ({error}): use plain texts, numbers, lists and objects."
        ) from error


def content_hash(content: Content) -> str:
    return text_hash(canonical_json(_plain(content)))


def text_hash(text: str) -> str:
    # A lone surrogate can stand in a JSON text, but not in UTF-8.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def checked_content(content: Content) -> dict[str, Any]:
    """The content as it will be read back: a plain JSON object of its own."""
    try:
        plain = _plain(content)
    except RecursionError as error:
        raise ContentRefused("The content is nested too deeply, or holds itself: make it flatter.") from error
    canonical_json(plain)
    if not isinstance(plain, dict):
        raise ContentRefused("The content of a row must be an object with named fields.")
    return plain


def title_of(kind: Kind, content: Content) -> str:
    if kind == "tool":
        return str(content.get("name", ""))
    return str(content.get("title") or content.get("situation") or "")


def _plain(value: Any) -> Any:
    """Mappings to dicts and tuples to lists, as JSON would bring them back."""
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise ContentRefused(
                    f"The field names of a row's content must be texts, not {key!r}: rename the field."
                )
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise ContentRefused(f"The content holds {value}, which JSON cannot say: replace it with a number or a text.")
    if isinstance(value, str):
        return _encodable(value)
    return value


def _encodable(text: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ContentRefused(f"A text of the content cannot be written as UTF-8 ({error}): repair it.") from error
    return text
