"""One frame of the live view: a pane per worker, a line above and a line below.

In: a `RunView`, the size of the terminal, the time (for the spinners). Out: a rich renderable that fits. Pure: no
terminal is touched here. Every text of the run becomes a `Text`, never a markup string, and passes `visible` first.
Neighbours: `projection` above; `live` shows the frames.
"""

from collections.abc import Sequence
from itertools import islice
from textwrap import wrap
from typing import Any

from rich.box import ROUNDED, SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from toolsets.fronts.references import read_references
from workbench.approving import CallEdit
from workbench.lanes import Lane, Span, shown
from workbench.plan_tree import SIGNS, TreeCall, arguments_text, draw_plan
from workbench.projection import CallView, RunView
from workbench.visible import one_line, visible

SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
COLOURS = ("cyan", "magenta", "yellow", "blue", "green", "bright_red", "bright_cyan", "bright_magenta")
NARROWEST, COMFORTABLE = 24, 38
SHORTEST = 4
"""The least height of a pane, with its frame; where there is less room, a worker is one line."""

STATES = {
    "decoding": ("●", "green"), "waiting": ("◌", "yellow"), "paused": ("‖", "yellow"), "finished": ("✓", "green"),
    "stopped": ("■", "red"), "out_of_budget": ("■", "yellow"),
}  # fmt: skip
STATUSES = {"solved": ("✓", "green"), "running": ("●", "cyan"), "failed": ("✗", "red")}


def frame(view: RunView, console: Console, now_s: float, edit: CallEdit | None = None) -> RenderableType:
    """The whole picture, at most as wide and one line less high than the terminal. edit: what a person edits."""
    width, height = console.width, max(3, console.height - 1)
    below = [*_plan(view, (height - 2) // 3), *_questions(view, width, height // 6, edit)]
    room = max(1, height - 2 - sum(_height(part) for part in below))
    rows, limit = arrange(len(view.lanes), width, room)
    body = _grid(view, rows, limit, console, now_s) if limit >= SHORTEST else _lines(view, room, width, now_s)
    return Group(_head(view, width, now_s), body, *below, _foot(view, width))


def arrange(workers: int, width: int, height: int) -> tuple[list[int], int]:
    """How many panes stand in each row, and the greatest height of one.

    Side by side while that is comfortable, closer if the rows would get too low; no row has a gap.
    """
    workers = max(1, workers)
    columns = min(workers, max(1, width // COMFORTABLE))
    while columns < workers and height // -(-workers // columns) <= SHORTEST and width // (columns + 1) >= NARROWEST:
        columns += 1
    rows = -(-workers // columns)
    return [workers // rows + (row < workers % rows) for row in range(rows)], height // rows


def tree_of(view: RunView, plan: str) -> list[TreeCall]:
    """The calls of one plan as they are drawn; a call of another plan goes by its name in the run."""
    calls = view.plans[plan]
    numbers = [call.number for call in calls]
    ids = {call.call: n if (n := call.number) and numbers.count(n) == 1 else call.call for call in calls}
    return [
        TreeCall(
            id=ids[call.call],
            tool=call.tool,
            arguments=arguments_text(_with_references(call, view)),
            needs=tuple(ids.get(need, need) for need in call.needs),
            state=call.state,
            wall_s=call.wall_s if call.finished_at is not None and (call.attempts or call.shared_with) else None,
            isolation="" if call.isolation == "in process" else call.isolation,
            write=call.effect == "write",
            note=_note(call),
            edited=(call.decided_by or "a person") if call.edited else "",
        )
        for call in calls
    ]


def _with_references(call: CallView, view: RunView) -> dict[str, Any]:
    """The arguments, in which a text that is a reference to another call shows as one."""
    known = {view.calls[need].number for need in call.needs if need in view.calls}
    return {name: read_references(value, known) if known else value for name, value in call.arguments.items()}


def _note(call: CallView) -> str:
    if call.is_open:
        return call.progress
    shared = f" (shared with {', '.join(call.shared_with)})" if call.shared_with else ""
    return f"{'' if call.trusted else '(from outside) '}{call.outcome}{shared}"


def _plan(view: RunView, room: int) -> list[RenderableType]:
    """The newest plan of several calls that still runs, if there is room for a tree."""
    running = [name for name, calls in view.plans.items() if len(calls) > 1 and any(call.is_open for call in calls)]
    return [draw_plan(tree_of(view, running[-1]), max_lines=room, title=running[-1])] if running and room >= 5 else []


def _questions(view: RunView, width: int, most: int, edit: CallEdit | None) -> list[RenderableType]:
    """What waits for a person's word, and what they edit."""
    if edit is not None:
        return _editing(edit, width)
    lines: list[RenderableType] = []
    if view.breaks.paused and view.finished is None:
        hit = view.breaks.at
        why = "held" if hit is None else f"{hit.breakpoint}: {hit.why}"
        keys = "  c: go on  s: one step"
        line = Text("‖ ", style="bold yellow", no_wrap=True)
        line.append(one_line(why, max(20, width - len(keys) - 3)), "bold").append(keys, "dim")
        line.truncate(width)
        lines.append(line)
    for call in view.asking[:most]:
        keys = "  y: yes  n: no  e: edit" if not lines else ""
        line = Text("? ", style="bold yellow", no_wrap=True)
        line.append(one_line(f"{call.worker}: {call.asked_label}", max(20, width - len(keys) - 3)), "bold").append(
            keys, "dim"
        )
        line.truncate(width)
        lines.append(line)
    return lines


def _editing(edit: CallEdit, width: int) -> list[RenderableType]:
    keys, head = "  Enter: run  Esc: back", f"e {one_line(edit.tool, 30)} "
    line = Text(head, style="bold yellow", no_wrap=True)
    before, under, after = edit.line.window(width - len(head) - len(keys) - 1)
    line.append(_in_line(before)).append(_in_line(under), "reverse").append(_in_line(after)).append(keys, "dim")
    line.truncate(width)
    if not edit.problem:
        return [line]
    return [line, *(Text(part, style="red", no_wrap=True) for part in wrap(one_line(edit.problem), width)[:3])]


def _in_line(text: str) -> str:
    """As it is typed: with all of its blanks."""
    return visible(text).replace("\n", " ")


def _height(part: RenderableType) -> int:
    return len(part.renderables) if isinstance(part, Group) else 1


def result(view: RunView, *, errors: bool = True) -> RenderableType:
    """The items and the answer of a finished run, and its plans of several calls; why it failed, if errors."""
    parts: list[RenderableType] = [
        draw_plan(tree_of(view, name), max_lines=40, title=name) for name, calls in view.plans.items() if len(calls) > 1
    ]
    if view.items:
        table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="dim")
        table.add_column("item", justify="right")
        table.add_column("question")
        table.add_column("answer", style="bold")
        table.add_column("by")
        for item in view.items:
            answer = item["answer"]
            table.add_row(
                str(item["item"]),
                Text(one_line(item["question"])),
                Text(one_line(answer)) if answer is not None else Text("none", style="dim"),
                Text(one_line(item["worker"] or "")),
            )
        parts.append(table)
    if view.finished and view.finished.answer.strip():
        parts += [Text("answer", style="dim"), Text(visible(view.finished.answer.strip()), style="bold")]
    if view.finished and (complaint := view.finished.complaint if errors else view.finished.misfit):
        parts.append(Text(one_line(complaint), style="red"))
    return Group(*parts)


def headline(view: RunView) -> list[str]:
    """What is running, most important first."""
    started = view.started
    if started is None:
        return [one_line(view.run_id) or "waiting for the run to start"]
    return [
        one_line(started.model),
        counted(len(view.lanes), "worker"),
        one_line(started.layout),
        one_line(view.run_id),
    ]


def figures(view: RunView) -> list[str]:
    """The counters, most important first."""
    running = sum(call.is_open for call in view.calls.values())
    return [
        f"{view.tokens_per_s:.1f} tokens/s",
        counted(view.steps, "step"),
        f"cache {counted(view.cache_tokens, 'token')}",
        counted(len(view.calls), "call") + (f", {running} running" if running else ""),
        f"{view.wall_s:.1f} s",
    ]


def counted(number: int, thing: str) -> str:
    """`1 call`, `2 calls`"""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _head(view: RunView, width: int, now_s: float) -> Text:
    sign, colour = STATUSES.get(view.status, ("■", "yellow"))
    if view.status == "running":
        sign = _spin(now_s)
    line = Text(f"{sign} {view.status}", style=f"bold {colour}")
    line.append("  " + _fitting(headline(view), width - line.cell_len - 2), style="default not bold")
    line.truncate(width, overflow="ellipsis")
    return line


def _foot(view: RunView, width: int) -> Text:
    line = Text(_fitting(figures(view), width), style="dim")
    line.truncate(width, overflow="ellipsis")
    return line


def _fitting(fields: Sequence[str], width: int) -> str:
    """As many fields as fit into the width; the first stays in any case."""
    kept = list(fields)
    while len(kept) > 1 and Text(" · ".join(kept)).cell_len > width:
        kept.pop()
    return " · ".join(kept)


def _grid(view: RunView, rows: Sequence[int], limit: int, console: Console, now_s: float) -> RenderableType:
    lanes = list(view.lanes.values())
    widths = [console.width // number - 4 for number in rows for _ in range(number)]
    inner = [
        _pane_lines(view, lane, width, limit - 2, console, now_s) for lane, width in zip(lanes, widths, strict=False)
    ]
    height = min(limit, max(SHORTEST, 2 + max(map(len, inner), default=0)))
    panes = iter(
        [
            _pane(lane, lines, height, COLOURS[at % len(COLOURS)])
            for at, (lane, lines) in enumerate(zip(lanes, inner, strict=True))
        ]
    )
    grids: list[RenderableType] = []
    for number in rows:
        table = Table.grid(expand=True)
        for _ in range(number):
            table.add_column(ratio=1)
        table.add_row(*islice(panes, number))
        grids.append(table)
    return Group(*grids)


def _pane(lane: Lane, lines: list[Text], height: int, colour: str) -> Panel:
    sign, state_colour = STATES.get(lane.state, ("■", "yellow"))
    title = Text(one_line(lane.worker, 20), style=f"not dim bold {colour}")
    foot = Text(f"{sign} {lane.state.replace('_', ' ')} · {lane.tokens}", style=f"not dim {state_colour}")
    body = Text("\n").join(lines)
    body.no_wrap = True
    return Panel(
        body, box=ROUNDED, title=title, title_align="left", subtitle=foot, subtitle_align="right", height=height,
        border_style=colour if lane.state in ("decoding", "waiting") else "dim",
    )  # fmt: skip


def _pane_lines(view: RunView, lane: Lane, width: int, limit: int, console: Console, now_s: float) -> list[Text]:
    """The last `limit` lines of the lane, wrapped; empty lines are left out."""
    width = max(8, width)
    lines: list[Text] = []
    for span in shown(lane):
        if len(lines) >= limit:
            break
        text = _span(view, span, width * limit, now_s)
        if text is None:
            continue
        if not lines and span.kind == "text" and lane.state == "decoding":
            text.append("▌", style="blink dim")
        folded = fold(text, width) if span.kind == "call" else text.wrap(console, width, overflow="fold")
        wrapped = [line for line in folded if line.plain.strip()]
        lines = wrapped[-limit:] + lines
    return lines[-limit:]


def fold(text: Text, width: int) -> list[Text]:
    """`text` in lines that are filled to the last cell, for code, which wrapping at blanks would tear apart."""
    cuts: list[int] = []
    used = 0
    for at, character in enumerate(text.plain):
        cells = cell_len(character)
        if used + cells > width:
            cuts.append(at)
            used = 0
        used += cells
    return list(text.divide(cuts))


def _span(view: RunView, span: Span, chars: int, now_s: float) -> Text | None:
    if span.kind == "call":
        return _call(view.calls.get(span.call), span, chars, now_s)
    text = visible(span.tail(chars)[-chars:]).strip("\n").expandtabs(4)
    if span.kind == "text":
        return Text(text)
    return None if span.source == "header" else Text(f"[{span.source}] {text.strip()}", style="italic dim")


def _call(call: CallView | None, span: Span, chars: int, now_s: float) -> Text:
    """`⠋ gcd(a=48, b=36)`, then `✓ gcd(a=48, b=36) → 12`"""
    if call is None:
        if not span.unread:
            return Text(f"{_spin(now_s)} {one_line(span.written_tool) or '…'}(…)", style="dim")
        if span.cut_short and not span.reply:
            line = Text("■ ", style="yellow").append(f"{one_line(span.written_tool) or '…'}(…)", style="default")
            return line.append(" → cut short: it was not written to its end", style="bold yellow")
        line = Text("✗ ", style="red").append(one_line(span.text, 80), style="default")
        return line.append(f" → {one_line(span.reply, 200) or 'this call was not run'}", style="red")
    label, outcome = one_line(call.label, chars // 2), one_line(call.outcome, chars // 2)
    if call.is_open:
        sign = {"running": _spin(now_s), "asking": "?"}.get(call.state, "◌")
        line = Text(f"{sign} ", style="yellow").append(label, "default")
        return line.append(f" {one_line(call.progress, 60)}", "dim") if call.progress else line
    sign, colour = SIGNS.get(call.state, ("■", "yellow"))
    said = outcome if call.state in ("succeeded", "failed") else f"{one_line(call.state).replace('_', ' ')}: {outcome}"
    return Text(f"{sign} ", style=colour).append(label, style="default").append(f" → {said}", style=f"bold {colour}")


def _lines(view: RunView, most: int, width: int, now_s: float) -> Text:
    """A worker a line, where there is no room for panes: its name, its state and its last words."""
    lines: list[Text] = []
    longest = max((cell_len(one_line(worker, 12)) for worker in view.lanes), default=0)
    for at, lane in enumerate(islice(view.lanes.values(), most)):
        sign, colour = STATES.get(lane.state, ("■", "yellow"))
        line = Text(one_line(lane.worker, 12), style=f"bold {COLOURS[at % len(COLOURS)]}")
        line.pad_right(longest - line.cell_len)
        line.append(f" {sign} ", style=f"not bold {colour}")
        last = next((text for span in shown(lane) if (text := _span(view, span, width, now_s))), Text())
        line.append(Text(one_line(last.plain)[-max(0, width - line.cell_len) :], style="default not bold"))
        line.truncate(width)
        lines.append(line)
    return Text("\n").join(lines)


def _spin(now_s: float) -> str:
    return SPINNER[int(now_s * 10) % len(SPINNER)]
