"""`workbench tools learn`, `build`, `dedupe`: the command line of making tools and of finding those that do the same.

In: what a person types. Out: what was proposed, as lines or, with `--json`, as one JSON object. Neighbours: `learning`
and `merging` do the work, `build_command` is the build's, `library_commands` has the verbs by which the proposals are
looked at and decided, `cli` registers.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.build_command import build_tools
from workbench.command_options import AsJson, RunIds, Yes
from workbench.libraries import Libraries
from workbench.library_commands import carry_out, opened
from workbench.log import RunLog
from workbench.visible import one_line, visible

if TYPE_CHECKING:
    from workbench.learning import Learnt


def add_making(app: typer.Typer) -> None:
    """Put the verbs of making onto the group of the tools."""
    app.command("learn")(learn)
    app.command("build")(build_tools)
    app.command("dedupe")(dedupe)


def learn(
    runs: RunIds = None,
    min_gain: Annotated[int, typer.Option(help="Words that a tool must save to be proposed.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Propose tools made of what recurs in the plans of solved runs."""
    from workbench.learning import learn_tools  # here, as in `dedupe`: every command imports this file

    log = RunLog()
    with Libraries() as home:
        learnt = learn_tools(log, home.library, [log.find(run) for run in runs] if runs else None, min_gain=min_gain)
    print(json.dumps(_json(learnt), ensure_ascii=False) if as_json else _told(learnt))


def dedupe(
    threshold: Annotated[float, typer.Option(help="How alike two tools must read to be compared.")] = 0.8,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Run tools that read alike on each other's calls, and merge those that do the same. Can be undone."""
    from workbench.merging import like_tools

    with opened("tool") as face:
        found = like_tools(face.home, threshold=threshold)
        if not as_json:
            for comparison in found.comparisons:
                print(visible(comparison.sentence()))
        if found.plan is None:
            print(json.dumps(found.json()) if as_json else "No two tools were seen to do the same: nothing to merge.")
            return
        if as_json and not yes:
            print(json.dumps(found.json(), ensure_ascii=False))
            return
        carry_out(face.proposal(found.plan), yes, as_json)


def _json(learnt: Learnt) -> dict[str, Any]:
    rows = [
        {"id": row.row_id, "name": row.name, "code": row.content["code"], **row.snapshot.provenance["evidence"]}
        for row in learnt.rows
    ]
    return {"runs": learnt.runs, "calls": learnt.calls, "proposed": rows}


def _told(learnt: Learnt) -> str:
    lines = [f"{learnt.runs} solved runs with {learnt.calls} calls were looked at."]
    for row in learnt.rows:
        evidence = row.snapshot.provenance["evidence"]
        lines.append(f"\nproposed {row.name} ({row.row_id})")
        lines.append(
            f"  found {evidence['instances']} times, run again to the same result each time, "
            f"saves {evidence['words_saved']} words of plans"
        )
        lines += [f"  asked: {one_line(problem['text'], 100)}" for problem in row.content["problems"][:3]]
        lines += [f"    {line}" for line in visible(row.content["code"]).splitlines()]
    if learnt.rows:
        lines.append(f"\nLook at one with workbench tools show {learnt.rows[0].name}, then approve or reject it.")
    else:
        lines.append("Nothing recurs in them that would make plans shorter.")
    return "\n".join(lines)
