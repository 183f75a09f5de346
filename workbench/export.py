"""A run as a notebook that anybody can open, and that does the run again when it is executed.

In: the events of a finished or interrupted run, and a path. Out: an .ipynb file, or a page where the path ends in
.html, written whole or not at all. The same events give the same bytes. Everything is shown without executing anything;
executed, the notebook draws itself from the record that it carries, replays the run and proves it, looks for it in the
log, and runs the task again. Neighbours: the log above, `record` and `stored` for what is carried and drawn, `replay`,
the command line and `Run.export` beside.
"""

# mypy: disable-error-code="no-untyped-call"
# (nbformat is typed in part only)
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from workbench.events import Event
from workbench.export_again import again_source, concept_rows, tool_cells
from workbench.export_place import checked, write_whole
from workbench.export_trace import trace_json
from workbench.record import Picture, Record
from workbench.static_view import escaped, preformatted, table_html
from workbench.stored import StoredRun, page

_PANEL_TITLE = """\
## The run, step by step

JupyterLab with the agent workbench shows the panel with its scrubber here, without a kernel; elsewhere stand the cache
and the attention as tables."""

_FROM_LOG = """\
# The run as the log of this machine holds it, or, where it does not, as it is stored above.
from workbench.errors import WorkbenchError

try:
    from workbench import Workbench

    with Workbench() as workbench:
        found = Record.of(workbench.log.events(record.run_id))
    print("The log holds this run" + (", with the same record as above." if found == record else "; it has changed."))
except (ImportError, WorkbenchError):
    found = record
    print("The log of this machine does not hold this run; this is what the notebook stores.")
print(found.summary)"""

_PROVE_TITLE = """\
## The proof

All that this run's workers saw and chose stands in this notebook. The cell replays it, in one forward, without the log,
and asks the model for every token again. Another model, or a token that differs, is told in a sentence."""

_PROVE = """\
from workbench.errors import WorkbenchError
from workbench.replay import prove

try:
    print(prove(stored))
except WorkbenchError as error:
    print(f"Not proved: {error}")"""

_COMPARE = """\
print(again.answer)
print("The same answer as recorded." if again.answer == record.answer else "Another answer than recorded.")"""


def export_run(events: Iterable[Event], path: str | Path) -> Path:
    """Write the run to `path`: as a notebook, where it ends in .html as a page, in .json as an OpenTelemetry trace.
    Replaces what is there.

    Returns the path. Raises UsageError when that is no place for any of these, WorkbenchError when the disk is full.
    """
    target = checked(Path(path), (".json",))
    every = list(events)
    if target.suffix == ".json":
        write_whole(target, trace_json(every))
        return Path(path)
    record, stored = Record.of(every), StoredRun.of(every)
    if target.suffix == ".html":
        write_whole(target, page(record, stored))
    else:
        write_whole(target, nbformat.writes(notebook(record, stored)) + "\n")
    return Path(path)


def notebook(record: Record, stored: StoredRun | None = None) -> NotebookNode:
    """The notebook of a run; with `stored`, it also shows the run step by step."""
    data = record.data
    workers = len(data["lanes"])
    whole = bool(stored and stored.events)
    panel = [("panel-title", _PANEL_TITLE), ("panel", _panel(stored))] if stored and whole else []
    proof = [("proof-title", _PROVE_TITLE), ("proof", new_code_cell(_PROVE))] if whole else []
    cells = [
        ("title", f"# Run {escaped(record.run_id)}\n\n{_in_words(record)}"),
        ("task", f"## Task\n\n{preformatted(data['task'])}"),
        ("settings", f"## Settings\n\n{table_html(('setting', 'value'), _settings(data))}"),
        ("answer", f"## Answer\n\n{_answer(record)}"),
        *panel,
        ("lanes-title", f"## What the worker{'' if workers == 1 else 's'} wrote and called"),
        ("record", new_code_cell(_record_source(record), metadata={"jupyter": {"source_hidden": True}})),
        ("lanes", _drawn("record.lanes", record.lanes)),
        ("calls-title", "## Calls"),
        ("calls", _drawn("record.calls", record.calls)),
        *_tools(data),
        *_shown(data),
        ("timeline-title", "## Timeline"),
        ("timeline", _drawn("record.timeline", record.timeline)),
        ("figures-title", "## Figures"),
        ("figures", _drawn("record.figures", record.figures)),
        *proof,
        ("log-title", "## The run in the log"),
        ("log", new_code_cell(_FROM_LOG)),
        ("again-title", "## Once more\n\nThe same task with the same settings; on the same machine, the same tokens."),
        ("again", new_code_cell(again_source(data))),
        ("compare", new_code_cell(_COMPARE)),
    ]
    made: NotebookNode = new_notebook(
        cells=[_named(name, new_markdown_cell(cell) if isinstance(cell, str) else cell) for name, cell in cells],
        metadata={
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
            "workbench": {"run_id": record.run_id, "record_version": data["version"]},
        },
    )
    nbformat.validate(made)
    return made


def _panel(stored: StoredRun) -> NotebookNode:
    source = (
        "# Everything that happened, in short form.\nfrom workbench.stored import StoredRun\n\n"
        f'stored = StoredRun.from_text("""\\\n{stored.to_text()}\n""")\nstored'
    )
    output = new_output("display_data", stored._repr_mimebundle_())
    cell: NotebookNode = new_code_cell(source, outputs=[output], metadata={"jupyter": {"source_hidden": True}})
    return cell


def _tools(data: dict[str, Any]) -> list[tuple[str, str | NotebookNode]]:
    made: list[tuple[str, str | NotebookNode]] = []
    for number, (source, result) in enumerate(tool_cells(data)):
        shown = {"text/html": preformatted(result), "text/plain": result}
        outputs = [new_output("display_data", shown)] if result else []
        made.append((f"tool-{number}", new_code_cell(source, outputs=outputs)))
    title = ("tools-title", "## The tools\n\nThose that were called, and those that were handed over.")
    return [title, *made] if made else []


def _shown(data: dict[str, Any]) -> list[tuple[str, str]]:
    rows = concept_rows(data)
    table = table_html(("kind", "name", "version", "why"), rows)
    title = "## From the library\n\nWhat stood in the prompt, and why it was found."
    return [("shown", f"{title}\n\n{table}")] if rows else []


def _named(name: str, cell: NotebookNode) -> NotebookNode:
    cell["id"] = name  # by default it is drawn by lot
    return cell


def _drawn(source: str, picture: Picture) -> NotebookNode:
    output = new_output("display_data", {"text/html": picture.html, "text/plain": picture.text})
    cell: NotebookNode = new_code_cell(source, outputs=[output])
    return cell


def _in_words(record: Record) -> str:
    figures, lanes = record.data["counters"], record.data["lanes"]
    workers = f"{len(lanes)} worker{'' if len(lanes) == 1 else 's'}"
    steps = f"{figures['steps']} step{'' if figures['steps'] == 1 else 's'}"
    ends = {
        "solved": f"Solved by {workers}", "unanswered": f"Ended without an answer, {workers}",
        "stopped": f"Stopped by a person, {workers}", "failed": f"Failed, {workers}",
    }  # fmt: skip
    if record.data["status"] == "unanswered" and record.data["error"]:
        ends["unanswered"] = f"Ended without an answer of the form that was asked for, {workers}"
    begin = ends.get(record.data["status"], f"Interrupted, {workers}")
    return f"{begin}, in {steps} and {figures['wall_s']:.1f} s, with {figures['calls']} tool calls."


def _settings(data: dict[str, Any]) -> list[tuple[str, object]]:
    named = {name: data[name] for name in ("model", "model_fingerprint", "layout", "seed")}
    workers = {"workers": [lane["worker"] for lane in data["lanes"]]}
    versions = {f"version of {name}": value for name, value in data["versions"].items()}
    rows = {**named, **workers, **data["settings"], "tools": data["tools"], **versions}
    return [(name.replace("_", " "), _readable(value)) for name, value in rows.items()]


def _readable(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return ", ".join(value)
    return json.dumps(value, ensure_ascii=False)


def _answer(record: Record) -> str:
    parts = [preformatted(record.answer) if record.answer else "The run has no answer."]
    if record.data["error"]:
        parts.append(preformatted(record.data["error"]))
    if record.data["items"]:
        parts.append(record.items.html)
    return "\n\n".join(parts)


def _record_source(record: Record) -> str:
    # Without a single quote in it, and as a raw string, JSON is a Python literal as it stands.
    stored = record.to_json().replace("'", "\\u0027")
    return (
        "# What was recorded. Everything below draws from it, so no log and no model is needed.\n"
        f"from workbench.record import Record\n\nrecord = Record.from_json(r'''{stored}''')"
    )
