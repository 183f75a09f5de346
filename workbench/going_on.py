"""A run that begins where another one stands: a fork of it, or itself once more after its engine was killed.

In: a workbench, a run of its log, and for a fork the step and the changes. Out: a `Run` that has a past, for `session`
to begin; UsageError where it cannot go on so. Neighbours: `rehearsal` puts its driver into that past, `replay` proves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench import events as ev
from workbench import run_settings
from workbench.errors import UsageError
from workbench.log import new_run_id
from workbench.rehearsal import Changes, Past, past_of
from workbench.steering import check_sampling

if TYPE_CHECKING:
    from workbench.session import Run, Workbench


_LEFT_OUT: dict[str, Any] = {
    "front": None,
    "prompting": None,
    "async_tools": False,
    "policy": None,
    "worker_settings": None,
    "answer": None,
}
"""What a log leaves out where it is as it always was, whatever the workbench that goes on does with new runs."""


def forked(bench: Workbench, parent: str, step: int | None, changes: Changes) -> Run:
    """A new run with the state of `parent` after a step, by default its last, and a change."""
    from workbench.session import Run

    before, after = past_of(bench.log.events(parent), step)
    past = Past(before, after, "It was running when the run was forked.", changes=changes)
    _check(bench.model, past)
    started = past.started
    child = new_run_id()
    settings = _settings(bench.settings, started) | ({} if changes.seed is None else {"seed": changes.seed})
    run = Run(bench, child, bench.log.open_run(child, started.task, started.model), settings, started.task)
    run._looked_until = 1 + len(past.copied())
    run._past, run._parent = past, ev.Origin(run_id=parent, seq=before[-1].seq)
    run._steering.go_on(before)
    return run


def resumed(bench: Workbench, run_id: str) -> Run:
    """The run itself, from the last event of its log, which it writes from now on."""
    from workbench.session import Run

    writer = bench.log.reopen_run(run_id)
    try:
        before, stopping = past_of(bench.log.events(run_id), None)
        if stopping:
            raise UsageError(f"Run {run_id} was being stopped when its engine ended: fork it to go on from a step.")
        past = Past(before, [], "It was running when the engine ended.", resumed=True)
        _check(bench.model, past)
        run = Run(bench, run_id, writer, _settings(bench.settings, past.started), past.started.task)
    except BaseException:
        writer.close()
        raise
    run._past, run._looked_until = past, before[-1].seq
    run._steering.go_on(before)
    return run


def _check(model: str, past: Past) -> None:
    """One sentence for a fork that makes no sense, or a run that is another model's."""
    started, changes = past.started, past.changes
    if started.model != model:
        raise UsageError(f"That run was made with the model {started.model}: use a workbench with that model.")
    names = [one.payload.worker for one in past.before if isinstance(one.payload, ev.WorkerAdded)]
    sampling = {name: value for name, value in changes.sampling.items() if name != "worker"}
    if changes.sampling:
        check_sampling(sampling)
    sampled = changes.sampling.get("worker")
    for name in [*changes.replace, *(one for one in (changes.worker, sampled) if one)]:
        if name not in names:
            raise UsageError(f"There is no worker {name} at that step; there are {', '.join(names)}.")
    for tool in changes.without_tools:
        if tool not in started.tools:
            raise UsageError(f"That run has no tool {tool!r}; it has {', '.join(started.tools)}.")
    if any(not text for text in changes.replace.values()):
        raise UsageError("There is nothing to put there: give some text.")


def _settings(present: dict[str, Any], started: ev.RunStarted) -> dict[str, Any]:
    """The settings of a run that goes on; its prompt is what it is, so the library is not asked again."""
    known = {name: value for name, value in started.settings.items() if name in present}
    if (policy := known.get("policy")) is not None:
        known["policy"] = run_settings.policy(policy)
    known.setdefault("guided_calls", False)  # as runs of older versions went
    return {**present, **_LEFT_OUT, **known, "seed": started.seed, "layout": started.layout, "memory": "none"}
