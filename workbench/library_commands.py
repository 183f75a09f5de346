"""`workbench tools ...` and `workbench concepts ...`: curating a library on the command line.

In: a verb and the rows that are meant (an id, how one begins, or a name). Out: lines or, with `--json`, one JSON value.
What changes several rows is shown first and done after a yes, or with `--yes`; without a terminal and without `--yes`
nothing is done and the exit code is 1. Neighbours: `libraries` does the work, `cli` registers the two groups.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import click
import typer
from rich.console import Console

from memory.values import Kind
from workbench.command_options import AsJson, Yes
from workbench.errors import UsageError
from workbench.libraries import SHOWN, Libraries
from workbench.library_values import Proposal
from workbench.texts import read_text
from workbench.visible import visible

Ref = Annotated[str, typer.Argument(metavar="ROW", help="An id, how one begins, or a name.")]
Refs = Annotated[list[str], typer.Argument(metavar="ROW", help="Ids, how they begin, or names.")]
Content = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help='A JSON object, {"code": "..."} or {"situation": "...", "suggestion": "..."}; - for input.',
    ),
]
States = Annotated[list[str] | None, typer.Option("--state", help="proposed, active or retired; may be repeated.")]
Tag = Annotated[str | None, typer.Option(help="Only rows with this tag.")]
Version = Annotated[int | None, typer.Option("--expect", help="Refuse if the row is not at this version any more.")]
Note = Annotated[str, typer.Option(help="Why, for the history.")]


def commands(kind: Kind) -> typer.Typer:
    """All verbs for one kind of row."""
    what = "Tools that runs may call" if kind == "tool" else "Concepts that runs may be told"
    app = typer.Typer(no_args_is_help=True, help=f"{what}: search, look, change.")
    _looking(app, kind)
    _moving(app, kind)
    _changing(app, kind)
    _several(app, kind)
    _files(app, kind)
    return app


def _looking(app: typer.Typer, kind: Kind) -> None:
    @app.command("list")
    def list_(states: States = None, tag: Tag = None, as_json: AsJson = False) -> None:
        """All rows."""
        with opened(kind) as face:
            _show(face.rows(states=states or SHOWN, tag=tag), as_json)

    @app.command()
    def search(
        query: Annotated[str, typer.Argument(metavar="QUERY", help="What the row should be for, in words.")],
        limit: Annotated[int, typer.Option("--limit", "-k", min=1, help="How many, at most.")] = 10,
        states: States = None,
        tag: Tag = None,
        as_json: AsJson = False,
    ) -> None:
        """Rows that fit, each with the reason."""
        with opened(kind) as face:
            _show(face.search(query, limit=limit, states=states or SHOWN, tag=tag), as_json)

    @app.command()
    def show(ref: Ref, as_json: AsJson = False) -> None:
        """One row, whole."""
        with opened(kind) as face:
            row = face.show(ref)
            _show(row.to_json(full=True) if as_json else row, as_json)

    @app.command()
    def history(ref: Ref, as_json: AsJson = False) -> None:
        """All versions of a row: who, when, why, what changed."""
        with opened(kind) as face:
            versions = face.history(ref)
            _show([one.to_json() for one in versions] if as_json else "\n".join(map(str, versions)), as_json)

    @app.command()
    def diff(
        ref: Ref,
        older: Annotated[
            int | None, typer.Argument(metavar="OLDER", help="A version; by default the last approved one.")
        ] = None,
        newer: Annotated[
            int | None, typer.Argument(metavar="NEWER", help="A version; by default the present one.")
        ] = None,
        as_json: AsJson = False,
    ) -> None:
        """What changed between two versions."""
        with opened(kind) as face:
            lines = face.diff(ref, older, newer)
            _show(lines if as_json else "\n".join(lines) or "Nothing differs.", as_json)

    @app.command()
    def why(
        run: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or how it begins.")],
        ref: Annotated[str | None, typer.Argument(metavar="ROW", help="This row only.")] = None,
        as_json: AsJson = False,
    ) -> None:
        """Why rows were shown in a run, and what came of it."""
        with opened(kind) as face:
            uses = face.why(run, ref)
            _show(uses if as_json else "\n".join(map(_use_line, uses)) or "No row was shown in that run.", as_json)

    @app.command()
    def journal(limit: Annotated[int, typer.Option(help="How many, at most.")] = 20, as_json: AsJson = False) -> None:
        """The last changes, with the numbers that undo takes."""
        with opened(kind) as face:
            entries = face.journal(limit)
            _show(entries if as_json else "\n".join(map(_entry_line, entries)), as_json)

    @app.command()
    def duplicates(
        threshold: Annotated[float, typer.Option(help="How alike, at least; 1 is the same.")] = 0.9,
        as_json: AsJson = False,
    ) -> None:
        """Pairs that read alike, the nearest first."""
        with opened(kind) as face:
            pairs = face.duplicates(threshold=threshold)
            lines = [
                f"{pair['similarity']:.3f}  {pair['first']['name']} ({pair['first']['id']})  "
                f"{pair['second']['name']} ({pair['second']['id']})"
                for pair in pairs
            ]
            _show(pairs if as_json else "\n".join(lines) or "No two rows read alike.", as_json)

    if kind == "tool":

        @app.command("try")
        def try_tool(
            ref: Ref,
            arguments: Annotated[list[str] | None, typer.Argument(metavar="JSON", help="Arguments.")] = None,
            unsafe: Annotated[bool, typer.Option(help="Run its code even where nothing isolates it.")] = False,
            as_json: AsJson = False,
        ) -> None:
            """Run a tool on its examples, or on arguments such as '{"a": 1}'."""
            calls = [_object(text) for text in arguments or ()]
            with opened(kind) as face:
                tried = face.try_(ref, *calls, unsafe=unsafe)
                _show(tried, as_json)
            if not tried.passed:
                raise typer.Exit(1)

    else:

        @app.command("try")
        def try_concept(ref: Ref, as_json: AsJson = False) -> None:
            """The concept as a prompt shows it."""
            with opened(kind) as face:
                _show(face.try_(ref), as_json)


def _moving(app: typer.Typer, kind: Kind) -> None:
    def verb(name: str, told: str) -> None:
        @app.command(name, help=told)
        def move(
            refs: Annotated[
                list[str] | None, typer.Argument(metavar="ROW", help="Ids or names; without, say --state or --tag.")
            ] = None,
            states: States = None,
            tag: Tag = None,
            expect: Version = None,
            note: Note = "",
            yes: Yes = False,
            as_json: AsJson = False,
        ) -> None:
            with opened(kind) as face:
                if refs and len(refs) == 1:
                    _show(getattr(face, name)(refs[0], expected_version=expect, note=note), as_json)
                else:
                    carry_out(face.bulk(name, refs or (), tag=tag, states=states or None), yes, as_json)

    verb("approve", "Make proposed rows active.")
    verb("reject", "Retire proposed rows; an import does not propose them again.")
    verb("retire", "Take rows out of use; they stay, and can be restored.")
    verb("restore", "Bring retired rows back as proposed.")


def _changing(app: typer.Typer, kind: Kind) -> None:
    @app.command()
    def add(file: Content, as_json: AsJson = False) -> None:
        """A row of your own, proposed until it is approved."""
        content = _object(read_text(file, "a row"))
        with opened(kind) as face:
            _show(face.add(content), as_json)

    @app.command()
    def edit(
        ref: Ref,
        file: Annotated[Path | None, typer.Option("--file", "-f", help="The whole content, as JSON.")] = None,
        fields: Annotated[
            list[str] | None, typer.Option("--set", help="name=value, a JSON value or plain text; may be repeated.")
        ] = None,
        code: Annotated[Path | None, typer.Option(help="A Python file with the tool's code.")] = None,
        expect: Version = None,
        note: Note = "",
        as_json: AsJson = False,
    ) -> None:
        """Change the content; without options in your editor."""
        with opened(kind) as face:
            content = _object(read_text(file, "a row")) if file is not None else None
            changed = dict(map(_field, fields or ()))
            if code is not None:
                changed["code"] = read_text(code, "a tool")
            row = face.show(ref)
            if content is None and not changed:
                content = _in_editor(dict(row.row.content))
            version = expect if expect is not None else row.version
            _show(face.edit(row.id, content, expected_version=version, note=note, **changed), as_json)

    @app.command()
    def revert(
        ref: Ref,
        version: Annotated[int, typer.Argument(metavar="VERSION", help="Whose content comes back.")],
        expect: Version = None,
        note: Note = "",
        as_json: AsJson = False,
    ) -> None:
        """Back to an older version, as a new one."""
        with opened(kind) as face:
            _show(face.revert(ref, version, expected_version=expect, note=note), as_json)


def _several(app: typer.Typer, kind: Kind) -> None:
    @app.command()
    def merge(keep: Ref, others: Refs, yes: Yes = False, as_json: AsJson = False) -> None:
        """One row of several: the first stays and gets the others' problems, recorded calls, cues and tags."""
        with opened(kind) as face:
            carry_out(face.merge(keep, *others), yes, as_json)

    @app.command()
    def split(
        ref: Ref,
        file: Annotated[Path, typer.Option("--file", "-f", help="A JSON list with the content of each part.")],
        yes: Yes = False,
        as_json: AsJson = False,
    ) -> None:
        """Several rows of one, which is retired."""
        parts = _json(read_text(file, "the parts"))
        if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
            raise UsageError(f"{file} must hold a JSON list of objects, one for each part.")
        with opened(kind) as face:
            carry_out(face.split(ref, parts), yes, as_json)

    @app.command()
    def tag(
        refs: Refs,
        add: Annotated[list[str] | None, typer.Option(help="A tag to put on; may be repeated.")] = None,
        remove: Annotated[list[str] | None, typer.Option(help="A tag to take off; may be repeated.")] = None,
        yes: Yes = False,
        as_json: AsJson = False,
    ) -> None:
        """Put tags on rows, take tags off."""
        with opened(kind) as face:
            carry_out(face.tag(refs, add=add or (), remove=remove or ()), yes or len(refs) == 1, as_json)

    @app.command("not-duplicates")
    def not_duplicates(first: Ref, second: Ref) -> None:
        """Remember that two rows are two."""
        with opened(kind) as face:
            face.not_duplicates(first, second)
            print(f"{first} and {second} are remembered as two.")

    @app.command()
    def undo(
        entry: Annotated[
            int | None, typer.Argument(metavar="ENTRY", help="A number of the journal; by default the last.")
        ] = None,
        yes: Yes = False,
        as_json: AsJson = False,
    ) -> None:
        """Take back a change."""
        with opened(kind) as face:
            carry_out(face.undo(entry), yes, as_json)

    @app.command()
    def purge(refs: Refs, yes: Yes = False, as_json: AsJson = False) -> None:
        """Remove retired rows for good. This alone cannot be undone."""
        with opened(kind) as face:
            if not yes:
                _ask(f"Remove {', '.join(refs)} for good, with all versions and uses?")
            gone = face.purge(*refs, sure=True)
            _show(gone if as_json else f"Removed {', '.join(gone)}.", as_json)


def _files(app: typer.Typer, kind: Kind) -> None:
    @app.command("import")
    def import_(
        path: Annotated[
            Path,
            typer.Argument(
                metavar="PATH", help="A .csv, .yaml, .jsonl or .py, a folder of .py files or with SKILL.md."
            ),
        ],
        trusted: Annotated[bool, typer.Option(help="Your own export: what was active stays active.")] = False,
        yes: Yes = False,
        as_json: AsJson = False,
    ) -> None:
        """Take in a file or folder, as proposed rows."""
        with opened(kind) as face:
            carry_out(face.import_from(path, trusted=trusted), yes, as_json)

    @app.command()
    def export(path: Annotated[Path, typer.Argument(metavar="FILE", help="A .jsonl to write.")]) -> None:
        """Write the whole library, tools and concepts, as JSON lines."""
        with opened(kind) as face:
            print(f"The library is in {face.export_to(path)}.")


@contextmanager
def opened(kind: Kind) -> Iterator[Any]:
    """The face of one kind, with a progress bar where texts must be embedded first."""
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar, Libraries() as home:
        task = bar.add_task("embedding the library", visible=False)
        bar.stop()  # it would fight with questions for the line; it is started when there is something to show

        def told(done: int, total: int) -> None:
            if done < total:
                bar.start()
            bar.update(task, completed=done, total=total, visible=True)
            if done >= total:
                bar.stop()

        home.progress = told
        yield home.tools if kind == "tool" else home.concepts


def carry_out(proposal: Proposal, yes: bool, as_json: bool) -> None:
    """Show what would change, ask, do it; raises typer.Exit where nobody said yes."""
    if not proposal.plan.changes:
        _show({"entry": None, "rows": []} if as_json else str(proposal), as_json)
        return
    if not yes:
        if as_json or not sys.stdin.isatty():
            _show(proposal, as_json)
            if not as_json:
                print("Nothing was done: say --yes to do it.", file=sys.stderr)
            raise typer.Exit(1)
        _show(proposal, False)
        _ask("Do it?")
    _show(proposal.apply(), as_json)


def _ask(question: str) -> None:
    if not sys.stdin.isatty():
        raise UsageError(f"{question} Say --yes, there is nobody to ask.")
    typer.confirm(question, abort=True)


def _show(value: Any, as_json: bool) -> None:
    if as_json:
        print(json.dumps(value.to_json() if hasattr(value, "to_json") else value, ensure_ascii=False))
    else:
        print(visible(str(value)))


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"That is no JSON ({error}): {text[:60]!r}") from error


def _object(text: str) -> dict[str, Any]:
    value = _json(text)
    if not isinstance(value, dict):
        raise UsageError(f"A JSON object with named fields is needed, not {text[:60]!r}.")
    return value


def _field(text: str) -> tuple[str, Any]:
    name, mark, value = text.partition("=")
    if not mark or not name:
        raise UsageError(f"--set takes name=value; it is {text!r}.")
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError):
        return name, value


def _in_editor(content: dict[str, Any]) -> dict[str, Any]:
    written = click.edit(json.dumps(content, indent=2, ensure_ascii=False), extension=".json")
    if written is None:
        raise UsageError("Nothing was changed.")
    return _object(written)


def _use_line(use: dict[str, Any]) -> str:
    evidence: Sequence[dict[str, Any]] = use["why"].get("evidence", ()) if isinstance(use["why"], dict) else ()
    reasons = [f"{one['view']} {one['score']:.2f} {one['text'][:60]!r}" for one in evidence[:3] if one.get("text")]
    ended = {True: "solved", False: "not solved", None: "not ended"}[use["solved"]]
    return f"{use['run']}  {use['name']} ({use['id']})  {'used' if use['used'] else 'shown'}, {ended}: " + "; ".join(
        reasons
    )


def _entry_line(entry: dict[str, Any]) -> str:
    undone = f", undone by {entry['undone_by']}" if entry["undone_by"] else ""
    note = f": {entry['note']}" if entry["note"] else ""
    return f"{entry['entry']:>5}  {entry['author']}  {entry['action']} of {len(entry['rows'])}{undone}{note}"
