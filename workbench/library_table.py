"""A library in a notebook: a table with a search field, or the same as plain HTML and as text.

In: rows of texts. Out: mime bundles. The search field filters what is shown, in the browser's reach of a kernel; where
widgets are not shown, the HTML table stands alone, with every text escaped. Neighbours: `library_values` above,
`static_view` for the table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from workbench import static_view
from workbench.visible import one_line, visible

HEADS: Final = ("id", "name", "state", "v", "what it is", "used", "helped", "why")
MOST_ROWS: Final = 200
_HTML: Final = "text/html"
_TEXT: Final = "text/plain"
_ID, _NAME, _SUMMARY = 24, 40, 90


def cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """One row of the table, each text on one line."""
    usage, helped = row["usage"], row["helped"]
    return (
        one_line(row["id"], _ID),
        one_line(row["name"], _NAME),
        row["state"],
        str(row["version"]),
        one_line(row["summary"], _SUMMARY),
        f"{usage['used']}/{usage['retrieved']}",
        f"{helped['verdict']} {helped['difference']:+.2f}" if helped else "",
        one_line(row["why"] or "", _SUMMARY),
    )


def as_text(rows: Sequence[Sequence[str]]) -> str:
    return static_view.table_text(*_filled(rows))


def as_html(rows: Sequence[Sequence[str]]) -> str:
    more = f"<p>{len(rows) - MOST_ROWS} more rows: search for them.</p>" if len(rows) > MOST_ROWS else ""
    heads, kept = _filled(rows[:MOST_ROWS])
    return static_view.table_html(heads, kept) + more


def bundle(rows: Sequence[Sequence[str]], text: str) -> Any:
    """What a notebook displays: the searchable table where there are widgets, and HTML and text beside it."""
    html = as_html(rows) if rows else static_view.preformatted(visible(text))
    plain = {_TEXT: text, _HTML: html}
    try:
        import ipywidgets
    except ImportError:
        return plain
    shown = _searchable(ipywidgets, rows) if rows else None
    if shown is None:
        return plain
    made = shown._repr_mimebundle_()
    data = made[0] if isinstance(made, tuple) else made
    return {**data, **plain} if isinstance(data, dict) else plain


def row_bundle(text: str) -> dict[str, Any]:
    """One row, or a proposal: text that keeps its lines."""
    return {_TEXT: text, _HTML: static_view.preformatted(visible(text))}


def matching(rows: Sequence[Sequence[str]], wanted: str) -> list[Sequence[str]]:
    """The rows that have every word of `wanted` somewhere, capitals aside."""
    words = wanted.casefold().split()
    return [row for row in rows if all(word in " ".join(row).casefold() for word in words)]


def _searchable(ipywidgets: Any, rows: Sequence[Sequence[str]]) -> Any:
    field = ipywidgets.Text(placeholder="filter", description="", continuous_update=True)
    table = ipywidgets.HTML(as_html(rows))

    def filtered(change: Mapping[str, Any]) -> None:
        kept = matching(rows, str(change["new"]))
        table.value = as_html(kept) if kept else static_view.preformatted("Nothing has these words.")

    field.observe(filtered, names="value")
    return ipywidgets.VBox([field, table])


def _filled(rows: Sequence[Sequence[str]]) -> tuple[Sequence[str], list[Sequence[str]]]:
    """Heads and rows without the columns in which nobody has anything."""
    kept = [place for place in range(len(HEADS)) if place < 5 or any(row[place] for row in rows)]
    return [HEADS[place] for place in kept], [[row[place] for place in kept] for row in rows]
