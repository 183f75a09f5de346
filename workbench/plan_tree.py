"""A plan drawn as a tree: every call with its state, its time and what stood around its code; and the critical path.

In: calls as plain values, from a plan that runs (`workbench plan`, the live view) or from a log (`runs show`). Out: a
rich renderable, or lines of plain text. Pure. A call stands beneath the last of those that it waits for; the others
are named behind it. One that only a change keeps from beginning says which. Every text is data: it passes `visible`
and is never read as markup.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.text import Text

from toolsets.executor.critical import CriticalPath, critical_path
from toolsets.fronts.references import reference_text
from toolsets.plan import Plan, PlannedCall, Ref
from workbench.visible import one_line

MAX_DEPTH: Final = 12
"""Levels that are set in; what waits for deeper calls stands beside them."""
MAX_ARGUMENTS: Final = 60
MAX_NOTE: Final = 60

SIGNS: Final[Mapping[str, tuple[str, str]]] = {
    "planned": ("○", "dim"),
    "unsound": ("✗", "red"),
    "asking": ("?", "yellow"),
    "running": ("●", "cyan"),
    "succeeded": ("✓", "green"),
    "failed": ("✗", "red"),
    "timed_out": ("✗", "red"),
    "cancelled": ("■", "yellow"),
    "skipped": ("–", "yellow"),
    "rejected": ("■", "yellow"),
    "not_executed": ("■", "yellow"),
}
"""By state: its sign, and its colour."""

_OPEN: Final = ("planned", "asking", "running")

# Where not all calls have room, these are the ones that a person looks for.
_FIRST: Final = (
    "unsound",
    "running",
    "asking",
    "failed",
    "timed_out",
    "rejected",
    "cancelled",
    "skipped",
    "not_executed",
)


@dataclass(frozen=True, slots=True)
class TreeCall:
    """One call to be drawn. arguments: as text, without brackets. state: planned, unsound (cannot run),
    asking, running, or how it ended.
    wall_s: None where nothing was measured. note: its result or error in a few words. by: who asked for it. edited: who
    has changed its arguments."""

    id: str
    tool: str
    arguments: str = ""
    needs: tuple[str, ...] = ()
    state: str = "planned"
    wall_s: float | None = None
    isolation: str = ""
    write: bool = False
    note: str = ""
    by: str = ""
    edited: str = ""


@dataclass(frozen=True, slots=True)
class _Line:
    """A call in its place. before: the branches; also: what it waits for beside the call above; held: which calls it
    waits for although it refers to none of them, in words."""

    before: str
    call: TreeCall
    also: tuple[str, ...]
    held: str = ""


def draw_plan(calls: Sequence[TreeCall], *, max_lines: int | None = None, title: str = "plan") -> RenderableType:
    """The tree in colours, each call on one line that is cut at the edge; `max_lines` bounds its height."""
    path = path_of(calls)
    lines, num_hidden = _placed(calls, None if max_lines is None else max(max_lines - 3, 1))
    head = Text(f"{one_line(title)}: {counts_text(calls)}", style="bold", no_wrap=True, overflow="ellipsis")
    parts: list[RenderableType] = [head, *(_coloured(line, path) for line in lines)]
    if num_hidden:
        parts.append(Text(_hidden_text(num_hidden), style="dim"))
    if path is not None:
        parts.append(Text(_path_text(path, calls), style="dim", no_wrap=True, overflow="ellipsis"))
    return Group(*parts)


def plan_lines(calls: Sequence[TreeCall], *, max_lines: int | None = None, title: str = "plan") -> Iterator[str]:
    """The same as plain text.

    >>> print("\\n".join(plan_lines([TreeCall("1", "gcd", "a=12, b=18"), TreeCall("2", "add", "a=$1, b=3", ("1",))])))
    plan: 2 calls, 2 planned
    └─ ○ $1 gcd(a=12, b=18)
       └─ ○ $2 add(a=$1, b=3)
    """
    path = path_of(calls)
    lines, num_hidden = _placed(calls, None if max_lines is None else max(max_lines - 3, 1))
    yield f"{one_line(title)}: {counts_text(calls)}"
    for line in lines:
        yield line.before + "".join(text for text, _ in _pieces(line, path))
    if num_hidden:
        yield _hidden_text(num_hidden)
    if path is not None:
        yield _path_text(path, calls)


def path_of(calls: Sequence[TreeCall]) -> CriticalPath | None:
    """The longest chain of measured calls, barriers of changes included; None where fewer than two were measured."""
    measured = {call.id: call.wall_s for call in calls if call.wall_s}
    if len(measured) < 2:
        return None
    known: set[str] = set()
    planned = []
    for call in calls:
        if call.id not in known:
            known.add(call.id)
            planned.append(PlannedCall(call.id, call.tool, {}, after=call.needs))
    missing = {need for call in calls for need in call.needs} - known
    earlier = [PlannedCall(id, "", {}) for id in missing]
    writes = {call.id for call in calls if call.write and call.id in measured}
    path = critical_path(Plan((*earlier, *planned)), measured, writes)
    return CriticalPath(path.duration_s, tuple(id for id in path.calls if id in measured))


def arguments_text(arguments: Mapping[str, Any]) -> str:
    """Arguments as a person writes them, references included.

    >>> arguments_text({"a": Ref("1", ("rows", 0)), "b": [1, Ref("2")], "text": "x"})
    "a=$1.rows[0], b=[1, $2], text='x'"
    """
    # What was given by place has its number for a name.
    return ", ".join(f"{'' if n.isdigit() else f'{n}='}{_value_text(value)}" for n, value in arguments.items())


def seconds_text(seconds: float) -> str:
    """
    >>> [seconds_text(seconds) for seconds in (0.0004, 0.0123, 1.5, 75.2)]
    ['0.4 ms', '12 ms', '1.50 s', '75.2 s']
    """
    if seconds < 1.0:
        return f"{seconds * 1000:.1f} ms" if seconds < 0.01 else f"{seconds * 1000:.0f} ms"
    return f"{seconds:.2f} s" if seconds < 60.0 else f"{seconds:.1f} s"


def counts_text(calls: Sequence[TreeCall]) -> str:
    """`3 calls, 2 succeeded, 1 failed`"""
    found = Counter(call.state for call in calls)
    number = f"{len(calls):,} call{'' if len(calls) == 1 else 's'}"
    order = [*SIGNS, *(state for state in found if state not in SIGNS)]
    return ", ".join([number, *(f"{found[s]:,} {one_line(s).replace('_', ' ')}" for s in order if found[s])])


# ------------------------------------------------------------------------------------------------------- the tree


def _placed(calls: Sequence[TreeCall], room: int | None) -> tuple[list[_Line], int]:
    """The calls in the order of the tree with their branches, and how many had no room."""
    shown = _shown(calls, room)
    above, held = _above(calls, shown), _held(calls)
    children: dict[int | None, list[int]] = {}
    for index in sorted(shown):
        children.setdefault(above[index], []).append(index)
    lines: list[_Line] = []
    # Depth first, on a stack of its own: a chain may be longer than Python's.
    stack = [(index, "", index == children[None][-1], 0) for index in reversed(children.get(None, []))]
    while stack:
        index, indent, last, depth = stack.pop()
        call, parent = calls[index], above[index]
        also = tuple(need for need in call.needs if parent is None or need != calls[parent].id)
        lines.append(_Line(f"{indent}{'└─ ' if last else '├─ '}", call, also, held.get(index, "")))
        below = children.get(index, [])
        inner = f"{indent}{'   ' if last else '│  '}" if depth < MAX_DEPTH else indent
        stack += [(child, inner, child == below[-1], depth + 1) for child in reversed(below)]
    return lines, len(calls) - len(shown)


def _shown(calls: Sequence[TreeCall], room: int | None) -> Collection[int]:
    if room is None or len(calls) <= room:
        return range(len(calls))
    rank = {state: place for place, state in enumerate((*_FIRST, "planned", "succeeded"))}
    by_rank = sorted(range(len(calls)), key=lambda index: rank.get(calls[index].state, len(rank)))
    return set(by_rank[:room])


def _above(calls: Sequence[TreeCall], shown: Collection[int]) -> dict[int, int | None]:
    """For each call the nearest shown one that it waits for, the last of them where there are several."""
    places: dict[str, int] = {}
    nearest: dict[int, int | None] = {}
    kept = shown if isinstance(shown, range) else set(shown)
    for index, call in enumerate(calls):
        # Only those before it: so there are no cycles, whatever a damaged plan says.
        needed = max((places[need] for need in call.needs if need in places), default=None)
        nearest[index] = needed if needed is None or needed in kept else nearest[needed]
        places.setdefault(call.id, index)
    return nearest


def _held(calls: Sequence[TreeCall]) -> dict[int, str]:
    """By place: what keeps a call waiting that has all it refers to. A change waits for everything before it, and what
    only reads for the change before it."""
    found: dict[int, str] = {}
    before: dict[str, None] = {}
    changes: list[str] = []
    for index, call in enumerate(calls):
        if call.state not in _OPEN:
            continue
        if call.state == "planned" and not any(need in before for need in call.needs):
            if call.write and before:
                found[index] = f"changes something, waits for {_names(before)}"
            elif changes:
                found[index] = f"waits for {_name(changes[-1])}, which changes something"
        before[call.id] = None
        if call.write:
            changes.append(call.id)
    return found


# ------------------------------------------------------------------------------------------------------- one line


def _pieces(line: _Line, path: CriticalPath | None) -> Iterator[tuple[str, str]]:
    """The text of one line in pieces, each with its style."""
    call = line.call
    sign, colour = SIGNS.get(call.state, ("?", ""))
    critical = path is not None and call.id in path.calls
    yield f"{sign} ", colour
    yield f"{_name(call.id)} ", "bold"
    yield f"{one_line(call.tool, 60)}({one_line(call.arguments, MAX_ARGUMENTS)})", "bold" if critical else ""
    if note := call.note or line.held:
        yield f" {'=' if call.state == 'succeeded' else '·'} {one_line(note, MAX_NOTE)}", colour
    facts = [] if call.state in ("planned", "succeeded", "running") else [one_line(call.state).replace("_", " ")]
    if call.wall_s is not None:
        facts.append(seconds_text(call.wall_s))
    if critical:
        facts.append("critical")
    if call.write:
        facts.append("change")
    if call.isolation:
        facts.append(one_line(call.isolation, 60))
    if call.edited:
        facts.append(f"changed by {one_line(call.edited, 30)}")
    if call.by:
        facts.append(f"by {one_line(call.by, 30)}")
    if line.also:
        facts.append(f"after {_names(line.also)}")
    if facts:
        yield f"  [{' · '.join(facts)}]", "dim"


def _coloured(line: _Line, path: CriticalPath | None) -> Text:
    text = Text(line.before, style="", no_wrap=True, overflow="ellipsis")
    for piece, style in _pieces(line, path):
        text.append(piece, style)
    return text


def _name(id: str) -> str:
    return one_line(reference_text(Ref(id)), 24)


def _names(ids: Collection[str]) -> str:
    more = f" and {len(ids) - 6} more" if len(ids) > 6 else ""
    return f"{', '.join(map(_name, islice(ids, 6)))}{more}"


def _hidden_text(number: int) -> str:
    return f"   … {number:,} more call{'' if number == 1 else 's'}"


def _path_text(path: CriticalPath, calls: Sequence[TreeCall]) -> str:
    names = [_name(id) for id in path.calls]
    if len(names) > 12:
        names = [*names[:6], f"… {len(names) - 11} more …", *names[-5:]]
    whole_s = sum(call.wall_s or 0.0 for call in calls)
    one_after_the_other = f", one after the other {seconds_text(whole_s)}"
    return f"critical path {seconds_text(path.duration_s)}{one_after_the_other}: {' → '.join(names)}"


def _value_text(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {_value_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value_text, value))}]"
    return str(value) if isinstance(value, Ref) else repr(str(value)) if not _plain(value) else repr(value)


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool)
