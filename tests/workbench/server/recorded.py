"""Runs put into the log without an engine."""

from workbench import events as ev
from workbench.log import RunLog


def record(log: RunLog, events: list[ev.Event], run_id: str = "") -> str:
    """Write a finished run, made of the payloads of these events."""
    run_id = run_id or events[0].run_id
    with log.open_run(run_id, events[0].payload.task, "embedded") as writer:
        for event in events:
            writer.append(event.payload)
    return run_id
