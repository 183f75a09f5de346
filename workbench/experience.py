"""A run's log, read for what it teaches: each question with the calls that were made for it and the answer given.

In: the events of a finished run. Out: `memory.experience` values. Only what the run itself knew is read: its task, its
text, its calls, its answers; an evaluation's hidden answers are not in a log. Pure. Neighbours: `libraries` and
`run_memory` hand the experiences to `memory`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from memory.experience import Experience, MadeCall
from workbench import events as ev

_ANSWERED: Final = re.compile(r"\bAnswer (\d{1,3}):")
_CALL: Final = re.compile(r"<tool_call>.*?</tool_call>", re.DOTALL)
_MOST_SAID: Final = 600


@dataclass(slots=True)
class _Read:
    """What was read so far. offsets: where in its worker's text a call stood."""

    started: ev.RunStarted | None = None
    finished: ev.RunFinished | None = None
    lanes: dict[str, str] = field(default_factory=dict)
    calls: dict[str, ev.CallPlanned] = field(default_factory=dict)
    offsets: dict[str, int] = field(default_factory=dict)
    arguments: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    results: dict[str, str] = field(default_factory=dict)


def experiences_of(events: Iterable[ev.Event]) -> list[Experience]:
    """One for each question that was answered; none where the run did not end by itself."""
    run_id, read = "", _Read()
    for event in events:
        run_id = event.run_id
        _take(read, event.payload)
    if read.started is None or read.finished is None or read.finished.status not in ("solved", "unanswered"):
        return []
    model = read.started.model
    if not read.finished.items:
        if not read.finished.answer:
            return []
        calls = _made(read, list(read.results), read.started.task)
        return [Experience(run_id, read.started.task, read.finished.answer, calls, model=model)]
    by_item: dict[int, list[str]] = {}
    for name in read.results:
        item = _item_of(read, name)
        if item is not None:
            by_item.setdefault(item, []).append(name)
    return [
        Experience(
            run_id,
            item["question"],
            item["answer"],
            _made(read, by_item.get(item["item"], []), item["question"]),
            _said(read, item),
            item["item"],
            model,
        )
        for item in read.finished.items
        if item["answer"]
    ]


def called_in(events: Iterable[ev.Event]) -> tuple[set[str], str]:
    """The tools that were called in a run, and all that its workers wrote."""
    tools: set[str] = set()
    said: list[str] = []
    for event in events:
        if isinstance(event.payload, ev.CallPlanned):
            tools.add(event.payload.tool)
        elif isinstance(event.payload, ev.TokensAdded):
            said.extend(added["text"] for added in event.payload.tokens)
    return tools, "".join(said)


def _take(read: _Read, payload: ev.Payload) -> None:
    match payload:
        case ev.RunStarted():
            read.started = payload
        case ev.RunFinished():
            read.finished = payload
        case ev.TokensAdded():
            for added in payload.tokens:
                read.lanes[added["worker"]] = read.lanes.get(added["worker"], "") + added["text"]
        case ev.CallPlanned():
            read.calls[payload.call] = payload
            read.offsets[payload.call] = len(read.lanes.get(payload.worker, ""))
        case ev.ApprovalGiven(call=call, arguments=dict(arguments)):  # what ran, where the tool is not called for it
            read.arguments[call] = arguments
        case ev.CallStarted(call=call, arguments=arguments) if arguments is not None:
            read.arguments[call] = arguments
        case ev.CallFinished(call=call, status="succeeded", text=text):
            read.results[call] = text


def _item_of(read: _Read, name: str) -> int | None:
    """The question that a call was made for: the next one that its worker answers after it."""
    lane = read.lanes.get(read.calls[name].worker, "") if name in read.calls else ""
    found = _ANSWERED.search(lane, read.offsets.get(name, 0))
    return int(found[1]) if found else None


def _made(read: _Read, names: list[str], question: str) -> tuple[MadeCall, ...]:
    """Calls in the order of the text. A result that an argument repeats, and the question does not have, was used."""
    ordered = sorted((name for name in names if name in read.calls), key=lambda name: (int(name[1:] or 0), name))
    places = {name: place for place, name in enumerate(ordered)}
    made: list[MadeCall] = []
    for name in ordered:
        planned = read.calls[name]
        arguments = dict(read.arguments.get(name) or planned.arguments)
        needs = {places[one] for one in planned.needs if one in places}
        for place, before in enumerate(made):
            if any(_same(value, before.result) for value in arguments.values()) and before.result not in question:
                needs.add(place)
        made.append(MadeCall(planned.tool, arguments, read.results[name], tuple(sorted(needs))))
    return tuple(made)


def _same(value: Any, result: str) -> bool:
    if isinstance(value, list):
        return any(_same(one, result) for one in value)
    return not isinstance(value, bool) and str(value) == result


def _said(read: _Read, item: ev.AnsweredItem) -> str:
    """What the worker wrote before it answered, without calls."""
    lane = read.lanes.get(item["worker"] or "", "")
    end = lane.find(f"Answer {item['item']}:")
    begin = max((found.end() for found in _ANSWERED.finditer(lane, 0, max(end, 0))), default=0)
    text = " ".join(_CALL.sub(" ", lane[begin:end]).split()) if end > begin else ""
    return text[-_MOST_SAID:]
