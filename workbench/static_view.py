"""A run as HTML that needs no script, no style sheet and no trust, and as plain text beside it.

In: a snapshot's plain values. Out: HTML in which every text is escaped, and text for where HTML is not shown.
Neighbours: `snapshot` above; the exported notebook and the widget's fallback show what is made here.

JupyterLab strips style sheets, colours by variable and roles from a notebook that it does not trust, so all style is
inline, of the kind that passes its sanitizer, and readable on light and dark ground: text keeps the page's colour,
everything else is half transparent.
"""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

COLOURS = ("#2a8fbd", "#b0589a", "#b7801f", "#4f74c9", "#3d9a5f", "#c8553d", "#6a8f2f", "#8a63c9")
STATE_COLOURS = {
    "succeeded": "#2e9e5b", "failed": "#d64545", "timed_out": "#d64545", "cancelled": "#b7801f", "skipped": "#b7801f",
    "rejected": "#b7801f", "not_executed": "#b7801f", "asking": "#b7801f",
}  # fmt: skip
UNFINISHED = "#8a8a8a"
MOST_ROWS = 500
ITEM_HEADS = ("item", "question", "answer", "worker")

_MONO = "font-family:monospace;font-size:90%"
_CELL = "text-align:left;vertical-align:top"
# Half a page of text may hold two dollar signs: neither MathJax 2 nor 3 may look inside.
_FRAME = '<div class="mathjax_ignore tex2jax_ignore" style="{style}">{inner}</div>'


def escaped(text: object) -> str:
    """Text for HTML that may stand in a Markdown cell: no tag, no formula, no code mark."""
    safe = escape(str(text), quote=False).replace('"', "&quot;")
    return safe.replace("$", "&#36;").replace("\\", "&#92;").replace("`", "&#96;")


def lanes_html(snap: Mapping[str, Any]) -> str:
    """The lanes side by side, each with its text and its calls."""
    lanes = [_lane(lane, COLOURS[at % len(COLOURS)]) for at, lane in enumerate(snap["lanes"])]
    return framed("".join(lanes), "display:flex;flex-wrap:wrap;gap:8px")


def lanes_text(snap: Mapping[str, Any]) -> str:
    """The lanes one after the other."""
    parts: list[str] = []
    for lane in snap["lanes"]:
        parts.append(f"{lane['worker']} ({_state(lane)})")
        parts += [f"    {line}" for span in lane["spans"] for line in _span_text(span).splitlines() if line.strip()]
        parts.append("")
    return "\n".join(parts).rstrip()


def run_html(snap: Mapping[str, Any]) -> str:
    """The run at a glance: how it stands, the lanes, the answer and the items."""
    parts = [f"<p><strong>{escaped(snap['status'])}</strong> {escaped(_glance(snap))}</p>", lanes_html(snap)]
    if snap["error"]:
        parts.append(preformatted(snap["error"]))
    if snap["answer"]:
        parts.append(preformatted(snap["answer"]))
    if snap["items"]:
        parts.append(table_html(ITEM_HEADS, item_rows(snap)))
    return framed("".join(parts), "max-width:100%")


def run_text(snap: Mapping[str, Any]) -> str:
    """The same as text."""
    parts = [f"{snap['status']} {_glance(snap)}", lanes_text(snap), snap["error"], snap["answer"]]
    if snap["items"]:
        parts.append(table_text(ITEM_HEADS, item_rows(snap)))
    return "\n\n".join(part for part in parts if part)


def item_rows(snap: Mapping[str, Any]) -> list[tuple[object, ...]]:
    """The questions with their answers, for a table under `ITEM_HEADS`."""
    return [
        (i["item"], i["question"], "none" if i["answer"] is None else i["answer"], i["worker"] or "")
        for i in snap["items"]
    ]


def table_html(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; line ends in a cell stay, and no blank line ends it early in a Markdown cell."""
    head = "".join(f'<th scope="col" style="{_CELL}">{escaped(name)}</th>' for name in heads)
    body = "".join(f"<tr>{''.join(_cell(value) for value in row)}</tr>" for row in rows)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return framed(table, "overflow-x:auto")


def table_text(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """The same as lines with aligned columns."""
    lines = [[" ".join(str(value).split()) for value in row] for row in (heads, *rows)]
    widths = [min(60, max(len(line[at]) for line in lines)) for at in range(len(heads))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines)


def preformatted(text: str) -> str:
    """Text as it stands, its lines wrapped where they are too long."""
    # In one line of HTML, because in Markdown a blank line would end the block.
    inner = escaped(text).replace("\n", "&#10;")
    return framed(f'<pre style="white-space:pre-wrap;overflow-wrap:break-word">{inner}</pre>', "margin:0")


def bars_html(snap: Mapping[str, Any]) -> str:
    """A bar per worker over the time of the run: decoding is filled, waiting is pale, after its end it is empty."""
    end = max([moment["at_s"] for moment in snap["timeline"]], default=0.0)
    if end <= 0:
        return ""
    rows = "".join(
        _bar(lane["worker"], _stretches(snap, lane["worker"], end), end, COLOURS[at % len(COLOURS)])
        for at, lane in enumerate(snap["lanes"])
    )
    return framed(rows + f'<div style="opacity:0.75;text-align:right">0 to {end:.2f} s</div>', "max-width:60em")


def cache_html(snap: Mapping[str, Any]) -> str:
    """Every block that stands in the cache as one bar, as long as its tokens, in its worker's colour."""
    there = [b for b in snap["blocks"] if b["state"] not in ("pruned", "merged") and b["tokens"]]
    total = sum(block["tokens"] for block in there)
    if not total:
        return ""
    names = [lane["worker"] for lane in snap["lanes"]]
    bars = "".join(
        f'<div title="{escaped(block["worker"] or block["role"])}, {block["tokens"]} tokens" '
        f'style="width:{100 * block["tokens"] / total:.2f}%;height:20px;'
        f'background-color:{_owner_colour(block["worker"], names)}"></div>'
        for block in there
    )
    told = f'<div style="opacity:0.75">{total} tokens in the cache, each stored once</div>'
    return framed(f'<div style="display:flex">{bars}</div>{told}', "max-width:60em")


def _owner_colour(worker: object, names: Sequence[str]) -> str:
    return COLOURS[names.index(str(worker)) % len(COLOURS)] if worker in names else UNFINISHED


def framed(inner: str, style: str) -> str:
    """Inside, no dollar sign begins a formula."""
    return _FRAME.format(style=style, inner=inner)


def _glance(snap: Mapping[str, Any]) -> str:
    figures = snap["counters"]
    return (
        f"{snap['run_id']} · {figures['steps']} steps · {figures['tokens_per_s']:.1f} tokens/s · "
        f"{figures['cache_tokens']} tokens in cache · {figures['calls']} calls · {figures['wall_s']:.1f} s"
    )


def _lane(lane: Mapping[str, Any], colour: str) -> str:
    spans = "".join(_span(span) for span in lane["spans"])
    if lane["cut"]:
        spans = '<div style="opacity:0.75">(the beginning is left out)</div>' + spans
    shares = ", ".join(f"{share['of']} {share['share']:.0%}" for share in lane["attention"])
    looked = f'<div style="opacity:0.75;font-size:90%">attention: {escaped(shares)}</div>' if shares else ""
    name = escaped(lane["worker"])
    return (
        f'<section role="region" aria-label="Worker {name}" style="flex:1 1 260px;min-width:0;'
        f'box-sizing:border-box;border:1px solid rgba(128,128,128,0.4);border-top:3px solid {colour};padding:6px 10px">'
        f'<div><strong>{name}</strong> <span style="opacity:0.75">{escaped(_state(lane))}</span></div>'
        f'<div style="max-height:40em;overflow-y:auto">{spans}</div>{looked}</section>'
    )


def _span(span: Mapping[str, Any]) -> str:
    if span["kind"] == "call":
        colour = STATE_COLOURS.get(span["state"], UNFINISHED)
        result = f" &rarr; <strong>{escaped(span['result'])}</strong>" if span["result"] else f" ({span['state']})"
        return (
            f'<div style="{_MONO};margin:4px 0;padding:2px 8px;border-left:4px solid {colour};'
            f'background-color:rgba(128,128,128,0.12);white-space:pre-wrap;overflow-wrap:break-word">'
            f"{escaped(span['label'])}{result}{_edit_html(span)}</div>"
        )
    style = "margin:2px 0;white-space:pre-wrap;overflow-wrap:break-word"
    if span["kind"] == "injected":
        style += ";font-style:italic;opacity:0.75"
    return f'<div style="{style}">{escaped(_span_text(span).strip())}</div>'


def _edit_html(span: Mapping[str, Any]) -> str:
    return f'<div style="opacity:0.75">{escaped(span["edit"])}</div>' if span.get("edit") else ""


def _span_text(span: Mapping[str, Any]) -> str:
    if span["kind"] == "call":
        edit = f" [{span['edit']}]" if span.get("edit") else ""
        result = f" -> {span['result']}" if span["result"] else f" ({span['state']})"
        return f"{span['label']}{result}{edit}"
    told = "" if span["kind"] == "text" or span["source"] == "header" else f"[{span['source']}] "
    return f"{told}{span['text']}"


def _state(lane: Mapping[str, Any]) -> str:
    return f"{lane['state'].replace('_', ' ')}, {lane['tokens']} token{'' if lane['tokens'] == 1 else 's'}"


def _cell(value: object) -> str:
    return f'<td style="{_CELL}">{escaped(value).replace(chr(10), "<br>")}</td>'


def _stretches(snap: Mapping[str, Any], worker: str, end: float) -> list[tuple[str, float]]:
    """(state, seconds) of one worker, from the start of the run to its end."""
    told = [moment for moment in snap["timeline"] if moment["worker"] == worker]
    joined = next((moment["at_s"] for moment in told if moment["kind"] == "joined"), 0.0)
    changes = [(0.0, "away"), (joined, "decoding")]
    changes += [(moment["at_s"], moment["text"].split(":")[0]) for moment in told if moment["kind"] == "state"]
    until = [at for at, _ in changes[1:]] + [end]
    return [(state, upto - at) for (at, state), upto in zip(changes, until, strict=True) if upto > at]


def _bar(worker: str, stretches: Sequence[tuple[str, float]], end: float, colour: str) -> str:
    fill = {"decoding": (colour, "1"), "waiting": (colour, "0.35"), "paused": (colour, "0.35")}
    parts = "".join(
        f'<div title="{escaped(state)} {seconds:.2f} s" style="width:{100 * seconds / end:.2f}%;height:12px;'
        f'background-color:{fill.get(state, ("transparent", "1"))[0]};opacity:{fill.get(state, ("", "1"))[1]}"></div>'
        for state, seconds in stretches
    )
    return (
        f'<div style="display:flex;gap:8px;align-items:center"><div style="width:8em;overflow:hidden">{escaped(worker)}'
        f'</div><div style="display:flex;flex:1 1 0;border:1px solid rgba(128,128,128,0.3)">{parts}</div></div>'
    )
