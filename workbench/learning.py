"""Tools learnt from the run log: solved runs read as traces, what recurs in them proposed to the person.

In: the run log, and the library. Out: proposed rows. The log keeps a result as the text that a worker read; its value
is found by calling the tool again with the same arguments, and counts only where that gives the same text. So nothing
is learnt of tools that change something, of random ones, and of results that were cut. Neighbours:
`toolsets.induction` does the learning, `making_commands` is its command line.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from memory.store import Library
from memory.values import Row
from toolsets.direct import run_direct
from toolsets.fronts.references import read_references, renamed
from toolsets.induction import Trace, TracedCall, induce, propose
from toolsets.induction.traces import Question
from toolsets.parse import ToolCall
from toolsets.plan import Ref
from toolsets.shelf import as_json, tools_of
from toolsets.tool import Tool
from workbench import events as ev
from workbench.edits import changed_names
from workbench.log import RunLog

MAX_RUNS = 500


@dataclass(frozen=True, slots=True)
class Learnt:
    """What came of looking through the log: how many runs and calls could be used, and the rows that are new."""

    runs: int
    calls: int
    rows: tuple[Row, ...]


def learn_tools(log: RunLog, library: Library, run_ids: Sequence[str] | None = None, *, min_gain: int = 0) -> Learnt:
    """Propose composite tools from these runs, by default from the last solved ones."""
    chosen = run_ids if run_ids is not None else solved_runs(log)
    tools = tools_of(library, [row.name for row in library.rows("tool", states=("active",))], refused=_left_out)
    traces = [trace for run_id in chosen if (trace := trace_of(log.events(run_id), tools)) is not None]
    induced = induce(traces, tools, min_gain=min_gain)
    rows = propose(library, induced, tools)
    return Learnt(len(traces), sum(len(trace.calls) for trace in traces), tuple(rows))


def solved_runs(log: RunLog, limit: int = MAX_RUNS) -> list[str]:
    """The last runs that were solved, the oldest first."""
    return [one.run_id for one in log.runs() if one.status == "solved"][:limit][::-1]


def trace_of(events: Iterable[ev.Event], tools: Mapping[str, Tool]) -> Trace | None:
    """The trace of one run; None where it was not solved, or has no call that can be used."""
    run_id, task = "", ""
    ended: ev.RunFinished | None = None
    planned: dict[str, ev.CallPlanned] = {}
    arguments: dict[str, dict[str, Any]] = {}
    finished: list[tuple[ev.CallPlanned, ev.CallFinished]] = []
    asked: dict[str, dict[str, Any]] = {}
    for event in events:
        match event.payload:
            case ev.RunStarted() as started:
                run_id, task = event.run_id, started.task
            case ev.CallPlanned() as call:
                planned[call.call] = call
            case ev.ApprovalAsked() as asking:
                asked[asking.call] = asking.arguments
            case ev.ApprovalGiven(arguments=dict(edit)) as given if given.call in planned:
                planned[given.call] = _edited(planned[given.call], asked.get(given.call, {}), edit, given.needs)
                arguments[given.call] = edit
            case ev.CallStarted() as begun if begun.arguments is not None:
                arguments[begun.call] = begun.arguments
            case ev.CallFinished() as end if end.call in planned:
                finished.append((planned[end.call], end))
            case ev.RunFinished() as last:
                ended = last
    if ended is None or ended.status != "solved":
        return None
    calls = tuple(_traced(finished, arguments, planned, tools))
    questions = tuple(Question(item["question"], item["answer"]) for item in ended.items)
    return Trace(run_id, task, calls, questions or (Question(task, ended.answer),)) if calls else None


def _traced(
    finished: Sequence[tuple[ev.CallPlanned, ev.CallFinished]],
    arguments: Mapping[str, dict[str, Any]],
    planned: Mapping[str, ev.CallPlanned],
    tools: Mapping[str, Tool],
) -> Iterator[TracedCall]:
    """The calls that succeeded and do the same again, in the order in which they ended."""
    for call, end in finished:
        tool = tools.get(call.tool)
        given = arguments.get(call.call, call.arguments)
        if end.status != "succeeded" or end.cut or tool is None or tool.effect != "read":
            continue
        again = run_direct(ToolCall(call.tool, given, ""), tools)
        if again.status == "succeeded" and again.text == end.text:
            yield TracedCall(call.call, call.tool, given, as_json(again.value), end.text, _written(call, planned))


def _written(call: ev.CallPlanned, planned: Mapping[str, ev.CallPlanned]) -> dict[str, Any]:
    """The arguments that were references, with the names of the log in the place of the worker's labels."""
    names = {planned[need].label or need: need for need in call.needs if need in planned}
    return {
        name: renamed(value, names)
        for name, one in call.arguments.items()
        if _all_known(value := read_references(one, names), names)
    }


def _edited(
    call: ev.CallPlanned, asked: Mapping[str, Any], edit: Mapping[str, Any], needs: Sequence[str]
) -> ev.CallPlanned:
    """The call as a person has changed it: what they have left as it was is as the worker wrote it."""
    changed = changed_names(edit, asked)
    written = {name: value if name in changed else call.arguments.get(name, value) for name, value in edit.items()}
    return replace(call, arguments=written, needs=list(dict.fromkeys([*call.needs, *needs])))


def _all_known(value: Any, names: Collection[str]) -> bool:
    """Whether a value is a reference to a known call, or a list with such references in it."""
    if isinstance(value, list):
        return any(_all_known(item, names) for item in value)
    return isinstance(value, Ref) and value.call in names


def _left_out(name: str, reason: str) -> None:
    """A tool that cannot be loaded teaches nothing; it is told where the library is looked at."""
