"""Runs plans: every call as early as possible, every call to exactly one end.

In: a plan's calls as they arrive, and tools. Out: outcomes in the plan's order, events, full values in a store.
Neighbours: `plan` and `policy` are the values, `results` what comes out, `rounds` the loop with a model around it.

    async with Executor(tools, on_event=print) as executor:
        async with executor.plan() as running:
            running.add(call)           # at any time, while the model still writes
        running.outcomes                # one for each call

From a program without an event loop: `ExecutorThread`. From inside a tool: `report_progress`, `report_output`,
`report_isolation`, `report_stop`, and `TransientError` for what may work in a moment.
"""

from toolsets.executor.approvals import Approvals, Approver, Decision
from toolsets.executor.core import DEFAULTS, Executor
from toolsets.executor.critical import CriticalPath, critical_path
from toolsets.executor.errors import ExecutorError, OvertimeError, TransientError
from toolsets.executor.events import (
    ApprovalAsked,
    Approved,
    AttemptFailed,
    Event,
    Finished,
    Output,
    Planned,
    Progress,
    Rejected,
    Started,
)
from toolsets.executor.plans import EventStream, RunningPlan
from toolsets.executor.reports import report_isolation, report_output, report_progress, report_stop
from toolsets.executor.thread import ExecutorThread

__all__ = [
    "DEFAULTS",
    "ApprovalAsked",
    "Approvals",
    "Approved",
    "Approver",
    "AttemptFailed",
    "CriticalPath",
    "Decision",
    "Event",
    "EventStream",
    "Executor",
    "ExecutorError",
    "ExecutorThread",
    "Finished",
    "Output",
    "OvertimeError",
    "Planned",
    "Progress",
    "Rejected",
    "RunningPlan",
    "Started",
    "TransientError",
    "critical_path",
    "report_isolation",
    "report_output",
    "report_progress",
    "report_stop",
]
