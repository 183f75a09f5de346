"""A run as it was recorded, to look at without the log: what an exported notebook carries and draws from.

In: events, or the JSON text that a notebook holds. Out: a `Record`, whose parts (`lanes`, `calls`, `timeline`,
`figures`, `items`) show themselves as HTML or as plain text. Without homes and credentials from the start. Neighbours:
`snapshot` and `privacy` above, `static_view` draws, `export` writes records into notebooks.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

from workbench import static_view
from workbench.events import Event
from workbench.privacy import scrub
from workbench.projection import RunView
from workbench.snapshot import plain, snapshot

PASSING = ("decoding", "waiting")
"""States that come and go with every call: the bars show them, the table does not."""


@dataclass(frozen=True, slots=True)
class Picture:
    """Something to look at in a notebook, with a text for where HTML is not shown."""

    html: str
    text: str

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/html": self.html, "text/plain": self.text}


@dataclass(frozen=True, slots=True)
class Record:
    """One finished or interrupted run."""

    data: dict[str, Any]

    @classmethod
    def of(cls, events: Iterable[Event]) -> Self:
        """The record of all events of a run; one that has no end was interrupted."""
        return cls.from_view(RunView.of(events).interrupted())

    @classmethod
    def from_view(cls, view: RunView) -> Self:
        started = view.started
        more = {
            "sources": plain([dict(one) for one in started.sources] if started else []),
            "shown": plain([{"library": library, **row} for library, row in view.shown]),
        }
        return cls(scrub(snapshot(view) | more, os.path.expanduser("~")))

    @classmethod
    def from_json(cls, text: str) -> Self:
        return cls(json.loads(text))

    def to_json(self) -> str:
        """A JSON object, one line for each of its parts and for each lane."""
        parts = (f"{json.dumps(name)}: {_lines(value, name == 'lanes')}" for name, value in self.data.items())
        return "{" + ",\n".join(parts) + "}"

    @property
    def run_id(self) -> str:
        return str(self.data["run_id"])

    @property
    def answer(self) -> str:
        return str(self.data["answer"])

    @property
    def lanes(self) -> Picture:
        """What each worker wrote and called."""
        return Picture(static_view.lanes_html(self.data), static_view.lanes_text(self.data))

    @property
    def items(self) -> Picture:
        """The questions with their answers."""
        return _table(static_view.ITEM_HEADS, static_view.item_rows(self.data))

    @property
    def calls(self) -> Picture:
        """Every tool call with its result."""
        rows = [
            (c["call"], c["worker"], _with_edit(c), c["state"], c["result"], f"{c['at_s']:.2f}", f"{c['wall_s']:.4f}")
            for c in self.data["calls"]
        ]
        return _table(("call", "worker", "what", "state", "result", "at s", "took s"), rows)

    @property
    def timeline(self) -> Picture:
        """Who did what when: a bar per worker, then the moments."""
        moments = [m for m in self.data["timeline"] if not _is_passing(m)]
        shown = moments[: static_view.MOST_ROWS]
        heads = ("at s", "step", "worker", "kind", "what")
        rows = [(f"{m['at_s']:.2f}", m["step"], m["worker"], m["kind"], m["text"]) for m in shown]
        if left_out := len(moments) - len(shown):
            rows.append(("", "", "", "", f"... and {left_out} more"))
        table = _table(heads, rows)
        return Picture(static_view.bars_html(self.data) + table.html, table.text)

    @property
    def views(self) -> Picture:
        """The blocks of the cache, and how much of its attention each worker gave to whose blocks."""
        blocks = _table(
            ("block", "whose", "tokens", "state"),
            [(b["block"], b["worker"] or b["role"], b["tokens"], b["state"]) for b in self.data["blocks"]],
        )
        owners = list(dict.fromkeys(share["of"] for lane in self.data["lanes"] for share in lane["attention"]))
        shares = [
            (lane["worker"], *(f"{found.get(owner, 0.0):.1%}" for owner in owners))
            for lane in self.data["lanes"]
            if (found := {share["of"]: share["share"] for share in lane["attention"]})
        ]
        looked = _table(("mean attention of", *(f"on {owner}" for owner in owners)), shares)
        html = static_view.cache_html(self.data) + blocks.html + (looked.html if shares else "")
        return Picture(html, f"{blocks.text}\n\n{looked.text}" if shares else blocks.text)

    @property
    def figures(self) -> Picture:
        """The counters of the run, and of each worker."""
        rows: list[tuple[str, object]] = [("status", self.data["status"])]
        rows += [(name.replace("_", " "), value) for name, value in self.data["counters"].items()]
        rows += [(f"tokens of {lane['worker']}", lane["tokens"]) for lane in self.data["lanes"]]
        return _table(("figure", "value"), rows)

    @property
    def summary(self) -> str:
        """The run in a few lines."""
        figures = self.data["counters"]
        lines = [
            f"{self.run_id}: {self.data['status']}, {len(self.data['lanes'])} workers, {figures['steps']} steps, "
            f"{figures['wall_s']:.1f} s, {figures['tokens_per_s']:.1f} tokens/s, {figures['calls']} calls"
        ]
        lines += [f"{i['item']}. {i['question']} -> {_or_none(i['answer'])}" for i in self.data["items"]]
        return "\n".join([*lines, f"answer: {self.answer}"] if self.answer else lines)


def _with_edit(call: dict[str, Any]) -> str:
    return f"{call['label']} ({call['edit']})" if call.get("edit") else str(call["label"])


def _is_passing(moment: dict[str, Any]) -> bool:
    if moment["kind"] == "state":
        return str(moment["text"]).startswith(PASSING)
    return bool(moment["kind"] == "started" or (moment["kind"] == "joined" and moment["step"] == 0))


def _lines(value: Any, each: bool) -> str:
    if not each:
        return json.dumps(value, ensure_ascii=False)
    return "[" + ",\n ".join(json.dumps(part, ensure_ascii=False) for part in value) + "]"


def _table(heads: tuple[str, ...], rows: list[Any]) -> Picture:
    if not rows:
        return Picture("<p>none</p>", "none")
    return Picture(static_view.table_html(heads, rows), static_view.table_text(heads, rows))


def _or_none(answer: str | None) -> str:
    return "no answer" if answer is None else " ".join(answer.split())
