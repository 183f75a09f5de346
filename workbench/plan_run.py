"""A plan from a text to its end: read, checked, run by the executor, and told call by call.

In: a text in one of the five grammars, tools by name. Out: `ReadPlan` before anything runs; a `PlanBoard`, which turns
the executor's events into the calls of `plan_tree`; outcomes. Above: `plan_command`. Below: `toolsets.fronts`,
`toolsets.check`, `toolsets.executor`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from toolsets.check import Checked, check
from toolsets.diagnostics import Diagnostic
from toolsets.errors import PlanError
from toolsets.executor import (
    ApprovalAsked,
    Approved,
    Approver,
    AttemptFailed,
    Event,
    Executor,
    Finished,
    Planned,
    Progress,
    Started,
)
from toolsets.fronts import FRONTS, detect, parse
from toolsets.plan import Plan, PlannedCall
from toolsets.policy import CallPolicy, OnFailure
from toolsets.results import CallOutcome, ResultStore, reading_tool
from toolsets.tool import Tool
from workbench.errors import UsageError
from workbench.plan_tree import TreeCall, arguments_text

_XML: Final = re.compile(r"<(?:\w+:)?invoke\s+name\s*=")


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """front: the grammar that it was read in. unsound: ids of calls that cannot run."""

    front: str
    plan: Plan
    checked: Checked
    diagnostics: tuple[Diagnostic, ...]
    """Of the grammar and of the check, in the order of the text."""

    @property
    def calls(self) -> list[PlannedCall]:
        """All of them; the sound ones with their arguments by name."""
        sound = {call.id: call for call in self.checked.calls}
        return [sound.get(call.id, call) for call in self.plan]

    @property
    def unsound(self) -> frozenset[str]:
        return frozenset(call.id for call in self.plan) - {call.id for call in self.checked.calls}


def read_plan(text: str, tools: Mapping[str, Tool], front: str = "auto") -> ReadPlan:
    """Read and judge a plan; nothing runs. Raises UsageError where the text holds no call, or there is no such
    grammar."""
    if front != "auto" and front not in FRONTS:
        raise UsageError(f"There is no grammar {front!r}: use auto or one of {', '.join(FRONTS)}.")
    asked, front = front, detect(text) if front == "auto" else front
    try:
        plan, unread = parse(text, front)
    except PlanError as error:
        raise UsageError(str(error)) from error
    if not plan.calls and not unread:
        raise UsageError(_nothing_found(text, asked))
    checked = check(plan, tools, unread=[one.call for one in unread if one.call is not None])
    found = sorted([*unread, *checked.diagnostics], key=lambda one: one.line)
    return ReadPlan(front, plan, checked, tuple(found))


def _nothing_found(text: str, front: str) -> str:
    """Why a text is no plan, with the grammar that it can be read in, if there is one."""
    if front != "auto":
        other = detect(text)
        plan, _ = parse(text, other)
        if plan.calls:
            count = len(plan.calls)
            return (
                f"No call was found in the grammar {front}, but {count} in {other}: read it with --front {other}, or "
                "with --front auto."
            )
    if _XML.search(text):
        return (
            "No call was found: <invoke> is how Anthropic's models write inside, and is not read. Give the tool_use "
            "blocks that their interface makes of it."
        )
    return f"No call was found: write a plan in one of these grammars: {', '.join(FRONTS)}."


class PlanBoard:
    """What is known of each call of one plan, in the plan's order; fed with the executor's events."""

    def __init__(self, calls: Sequence[PlannedCall], tools: Mapping[str, Tool], unsound: Collection[str] = ()) -> None:
        self._calls = {call.id: _planned(call, tools.get(call.tool), call.id in unsound) for call in calls}
        self._began_s: dict[str, float] = {}
        self.outcomes: dict[str, CallOutcome] = {}

    def apply(self, event: Event) -> None:
        """Take in one more event."""
        call = self._calls.get(event.call)
        if call is None:
            return
        match event:
            case Started():
                self._began_s.setdefault(event.call, time.monotonic())
                call = replace(call, state="running", note="")
            case ApprovalAsked():
                call = replace(call, state="asking", note=event.problem or "waits for your yes")
            case Approved():
                call = replace(call, state="planned", note="")
                if event.arguments is not None:
                    call = replace(call, arguments=arguments_text(event.arguments), edited="you")
            case AttemptFailed():
                call = replace(call, note=f"{event.error} Again in {event.retry_in_s:.1f} s.")
            case Progress():
                of = "" if event.total is None else f" of {event.total:g}"
                call = replace(call, note=f"{event.done:g}{of} {event.message}".strip())
            case Finished():
                self.outcomes[event.call] = event.outcome
                call = ended(call, event.outcome)
            case Planned() | _:
                return
        self._calls[event.call] = call

    def calls(self) -> list[TreeCall]:
        """The calls as they stand now; those that run with the time since they began."""
        now_s = time.monotonic()
        return [
            replace(call, wall_s=now_s - self._began_s[call.id])
            if call.state == "running" and call.id in self._began_s
            else call
            for call in list(self._calls.values())
        ]


def _planned(call: PlannedCall, tool: Tool | None, unsound: bool) -> TreeCall:
    write = tool is not None and tool.effect == "write"
    state = "unsound" if unsound else "planned"
    return TreeCall(call.id, call.tool, arguments_text(call.arguments), call.needs(), state, write=write)


def ended(call: TreeCall, outcome: CallOutcome) -> TreeCall:
    """A call as its outcome says."""
    note = outcome.text if outcome.succeeded else outcome.error or ""
    shared = f" (shared with {', '.join(outcome.shared_with)})" if outcome.shared_with else ""
    wall_s = outcome.wall_s if outcome.attempts or outcome.shared_with else None
    return replace(call, state=outcome.state, wall_s=wall_s, isolation=outcome.isolation, note=note + shared)


async def run_plan(
    plan: Plan,
    tools: Mapping[str, Tool],
    on_event: Callable[[Event], object],
    *,
    approver: Approver | None = None,
    timeout_s: float | None = None,
    on_failure: OnFailure | None = None,
    max_concurrent: int | None = None,
) -> tuple[CallOutcome, ...]:
    """Run it; cancelled, every call that has not ended is told as cancelled before this returns."""
    store = ResultStore()
    options: dict[str, Any] = {} if max_concurrent is None else {"max_concurrent": max_concurrent}
    offered = BothTools(tools, {"read_result": reading_tool(store)})
    executor = Executor(
        offered,
        defaults=CallPolicy(timeout_s=timeout_s, on_failure=on_failure),
        on_event=on_event,
        approver=approver,
        store=store,
        **options,
    )
    async with executor:
        return await executor.run(plan)


class BothTools(Mapping[str, Tool]):
    """Tools that come and go, and some that stay."""

    def __init__(self, tools: Mapping[str, Tool], more: Mapping[str, Tool]) -> None:
        self._tools, self._more = tools, more

    def __getitem__(self, name: str) -> Tool:
        return self._tools[name] if name in self._tools else self._more[name]

    def __iter__(self) -> Iterator[str]:
        yield from self._tools
        yield from (name for name in self._more if name not in self._tools)

    def __len__(self) -> int:
        return len(self._tools) + sum(name not in self._tools for name in self._more)
