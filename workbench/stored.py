"""A recorded run as a page shows it: all its events, for the view core, with a picture for where no script runs.

In: a run's events, or the text that a notebook holds of them. Out: what a notebook displays (JupyterLab with the
extension shows the whole panel, anything else the picture), and an HTML file that needs nothing but itself. Without
homes and credentials, like `record`. Neighbours: `record` draws the picture, `front_end` knows the view core's bundle,
`export` writes what is made here.
"""

import base64
import hashlib
import json
import os
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

from workbench import front_end, static_view
from workbench.errors import UsageError
from workbench.event_json import from_json, to_json
from workbench.events import Event
from workbench.privacy import HIDDEN, scrub
from workbench.record import Record
from workbench.snapshot import plain
from workbench.static_view import escaped

RUN_TYPE = "application/vnd.agent-workbench.run+json"
"""What the JupyterLab extension shows as a run panel."""

MOST_STORED = 4_000_000
"""Characters of events that an export carries; of a longer run it carries the picture only."""

_WIDTH = 120
_PAGE_STYLE = ":root { color-scheme: light dark; font-family: system-ui, sans-serif; } body { margin: 12px; }"


@dataclass(frozen=True, slots=True)
class StoredRun:
    """The events of one run, as JSON values with every text made safe to look at; none where there were too many."""

    events: list[dict[str, Any]]

    @classmethod
    def of(cls, events: Iterable[Event]) -> Self:
        """Of all events of a run."""
        kept: list[dict[str, Any]] = scrub(plain([to_json(event) for event in events]), os.path.expanduser("~"))
        for event in kept:
            if HIDDEN in str(event.get("text", "")):  # its tokens would still say it; the run cannot be proved then
                event |= {name: [] for name in ("ids", "tokens") if name in event}
        return cls(kept if sum(len(json.dumps(event)) for event in kept) <= MOST_STORED else [])

    @classmethod
    def from_text(cls, text: str) -> Self:
        """What `to_text` wrote."""
        return cls(json.loads(zlib.decompress(base64.b64decode(text))))

    def to_text(self) -> str:
        """A few lines of letters and digits; attention makes events long, and they pack well."""
        packed = zlib.compress(json.dumps(self.events, separators=(",", ":")).encode("utf-8", "surrogatepass"), 9)
        letters = base64.b64encode(packed).decode()
        return "\n".join(letters[at : at + _WIDTH] for at in range(0, len(letters), _WIDTH))

    @property
    def record(self) -> Record:
        """The same run as a record."""
        return Record.of(from_json(event) for event in self.events)

    def __repr__(self) -> str:
        return self.record.views.text

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        views = self.record.views
        return {RUN_TYPE: {"events": self.events}, "text/html": views.html, "text/plain": views.text}


def page(record: Record, stored: StoredRun) -> str:
    """The run as one HTML file: the panel with its scrubber, and the pictures where scripts are switched off."""
    if not front_end.VIEW.is_file():
        raise UsageError("The front end is not built, so no page can show a run: run `make ui` first.")
    pictures = "".join(
        f"<h2>{title}</h2>{inner}"
        for title, inner in (
            ("Task", static_view.preformatted(record.data["task"])),
            ("The run", static_view.run_html(record.data)),
            ("Who saw and attended to what", record.views.html),
            ("Calls", record.calls.html),
        )
    )
    title = escaped(f"Run {record.run_id}")
    scripts = [front_end.VIEW.read_text(encoding="utf-8"), "AgentWorkbench.showAll(document)"]
    scripts = [script.replace("</script", "<\\/script") for script in scripts]
    hashes = " ".join(f"'sha256-{_sha256(script)}'" for script in scripts)
    # Nothing is fetched, and no script runs but these two, whatever a model wrote.
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src {hashes}"
    data = json.dumps(stored.events).replace("<", "\\u003c")
    shown = f'<div data-workbench-run="run">{pictures}</div>' if stored.events else pictures
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{title}</title>",
            f"<style>{_PAGE_STYLE}</style>",
            f"<style>{front_end.STYLE.read_text(encoding='utf-8')}</style>",
            f"<main>{shown}</main>",
            f'<script type="application/json" id="run">{data}</script>',
            *(f"<script>{script}</script>" for script in scripts),
            "</html>\n",
        ]
    )


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
