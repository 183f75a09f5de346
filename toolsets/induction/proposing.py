"""Composites as proposed rows of a library, with everything that a person needs to judge them.

In: what was induced, a library, the tools. Out: a plan of new rows, applied: name, the little plan and its Python, the
questions that it answered, the recorded calls, and in the provenance the runs, calls and figures. What the library has
in any state, also what a person rejected, is not proposed again. Neighbours: `shelf` loads the rows once they are
approved, `making.behaviour` compares them with others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from memory.planning import plan_new
from memory.store import Library
from memory.values import STATES, Row, Snapshot
from toolsets.composites import Composite, python_of, read_composite, same_composite
from toolsets.errors import ToolsetError
from toolsets.induction.induce import Induced
from toolsets.induction.naming import docstring_of, name_of
from toolsets.tool import Tool

AUTHOR: Final = "runs"
TAG: Final = "composite"


def propose(library: Library, induced: Sequence[Induced], tools: Mapping[str, Tool]) -> list[Row]:
    """New proposed rows, in the order of what was induced; composites that the library knows are left out."""
    rows = library.rows("tool", states=STATES)
    known = [found for row in rows if (found := _composite(row)) is not None]
    taken = {row.name for row in rows} | set(tools)
    fresh = []
    for one in induced:
        if any(same_composite(one.composite, other) for other in known):
            continue
        known.append(one.composite)
        name = name_of(one.composite, taken)
        taken.add(name)
        fresh.append(_snapshot(one, name, tools))
    if not fresh:
        return []
    plan = plan_new(fresh)
    library.apply(plan, author=AUTHOR, note="learnt from runs")
    return [library.row(change.row_id) for change in plan.changes]


def _snapshot(one: Induced, name: str, tools: Mapping[str, Tool]) -> Snapshot:
    examples = [(each.arguments, each.result) for each in one.instances]
    docstring = docstring_of(one.composite, name, tools, examples)
    problems: list[dict[str, str]] = []
    for instance in one.instances:
        if instance.question is not None:
            given = ", ".join(f"{key}={instance.arguments[key]!r}" for key in one.composite.parameters)
            problem = {"text": instance.question, "answer": instance.answer, "call": f"{name}({given})"}
            if instance.question not in [other["text"] for other in problems]:
                problems.append(problem)
    content: dict[str, Any] = {
        "name": name,
        "code": python_of(one.composite, name, docstring, tools),
        "plan": one.composite.as_json(),
        "effect": "read",
        "problems": problems,
        "calls": [{"arguments": dict(instance.arguments), "result": instance.result} for instance in one.instances],
    }
    provenance = {
        "source": "runs",
        "runs": list(dict.fromkeys(instance.run for instance in one.instances)),
        "events": [{"run": instance.run, "calls": list(instance.calls)} for instance in one.instances],
        "evidence": {
            "instances": len(one.instances),
            "rerun_to_the_same_result": len(one.instances),
            "words_saved": one.gain,
        },
    }
    return Snapshot("tool", content, "proposed", (TAG,), provenance)


def _composite(row: Row) -> Composite | None:
    if row.content.get("plan") is None:
        return None
    try:
        return read_composite(row.content["plan"])
    except ToolsetError:
        return None
