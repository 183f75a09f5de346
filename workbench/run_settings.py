"""The settings of a run: whether they make sense, and how they travel to the engine's process.

In: settings by name, as `Workbench`, the command line or JSON has them. Out: one sentence for what makes no sense
(UsageError), JSON values, policies. Neighbours: `session` checks every run by these; what they send comes back to them
in the engine's process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from toolsets.errors import PolicyError
from toolsets.fronts import FRONTS
from toolsets.policy import CallPolicy
from workbench.answer_values import form_of
from workbench.errors import UsageError
from workbench.recall import MEMORY
from workbench.steering import LONGEST_NAME, MAX_WORKERS

LAYOUTS = ("contiguous", "interleaved", "combined", "independent")
APPROVALS = ("ask", "all", "none")


def sendable(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as JSON, for the engine's process."""
    sent = {name: value for name, value in settings.items() if value is not None}
    if sent.get("prompting"):
        sent["prompting"] = words(sent["prompting"])
    if "policy" in sent:
        sent["policy"] = {name: value for name, value in asdict(sent["policy"]).items() if value is not None}
    return sent


def words(given: Any) -> dict[str, Any]:
    """The fields of a `hogwild.Prompting`, or of a mapping with some of them, as JSON has them; raises UsageError."""
    from hogwild.errors import PromptingError
    from hogwild.prompting import SHARED_WORKSPACE, Prompting

    if not isinstance(given, Prompting | Mapping):
        raise UsageError(f"prompting must be a hogwild.Prompting or some of its fields; it is {given!r:.60}.")
    fields = given.to_json() if isinstance(given, Prompting) else dict(given)
    try:
        names = SHARED_WORKSPACE.changed(fields).names
    except PromptingError as error:
        raise UsageError(str(error)) from error
    if fields.get("front", "tool_calls") not in FRONTS:
        raise UsageError(f"There is no grammar {fields['front']!r} for calls; choose one of {', '.join(FRONTS)}.")
    for name in names:
        if not name.isprintable() or not name.strip() or len(name) > LONGEST_NAME:
            raise UsageError(f"A worker's name is one line of up to {LONGEST_NAME} characters; it is {name!r:.60}.")
    if len(set(names)) < len(names):
        raise UsageError(f"Each worker needs a name of its own; they are {', '.join(names)}.")
    return {**fields, "names": list(names)} if "names" in fields else fields


_POLICY: dict[str, type | tuple[type, ...]] = {
    "timeout_s": (int, float), "retries": int, "backoff_s": (int, float), "approval": bool, "on_failure": str,
    "max_result_chars": int,
}  # fmt: skip


CHANGES: dict[str, tuple[type | tuple[type, ...], str]] = {
    "say": (str, "text"),
    "worker": (str, "a worker's name"),
    "replace": (Mapping, "an object of workers and texts"),
    "sampling": (Mapping, "an object"),
    "without_tools": ((list, tuple), "a list of names"),
    "seed": (int, "a whole number"),
    "break_at": ((Mapping, list, tuple), "breakpoints"),
}
"""What a fork may change, and of which kind it is."""


def check_fork(step: Any, changes: Mapping[str, Any]) -> None:
    """One sentence for a step or a change that is of another kind than it must be; what is None is left out."""
    if step is not None and (not isinstance(step, int) or isinstance(step, bool)):
        raise UsageError(f"step must be a whole number; it is {step!r:.60}.")
    unknown = sorted(set(changes) - set(CHANGES))
    if unknown:
        raise UsageError(f"A fork has no {unknown[0]!r}; it has step, {', '.join(CHANGES)}.")
    for name, (kind, words) in CHANGES.items():
        given = changes.get(name)
        if given is None:
            continue
        fits = isinstance(given, kind)
        if fits and name in ("replace", "without_tools"):
            fits = all(isinstance(text, str) for text in (given.values() if name == "replace" else given))
        if not fits:
            raise UsageError(f"{name} must be {words}; it is {given!r:.60}.")
    if (seed := changes.get("seed")) is not None:
        _check_seed(seed)


def policy(given: Mapping[str, Any]) -> CallPolicy:
    """A policy from JSON; raises UsageError."""
    for name, value in given.items():
        if name not in _POLICY:
            raise UsageError(f"A policy has no {name!r}; it has {', '.join(_POLICY)}.")
        if not isinstance(value, _POLICY[name]) or (isinstance(value, bool) and name != "approval"):
            raise UsageError(f"The policy's {name} cannot be {value!r}.")
    try:
        return CallPolicy(**given)
    except PolicyError as error:
        raise UsageError(str(error)) from error


def check(settings: dict[str, Any]) -> None:
    """One sentence for a setting that makes no sense."""
    workers = settings["workers"]
    if not isinstance(workers, int) or isinstance(workers, bool) or not 1 <= workers <= MAX_WORKERS:
        raise UsageError(f"The number of workers must be between 1 and {MAX_WORKERS}; it is {workers!r:.60}.")
    if settings.get("prompting") is not None:
        names = words(settings["prompting"]).get("names")
        if names is not None and len(names) < workers:
            raise UsageError(f"The prompting names {len(names)} workers; ask for no more than that, or name more.")
    if settings["layout"] not in LAYOUTS:
        own = "" if isinstance(settings["layout"], str) else ", or use one of your own with hogwild.Collaboration"
        raise UsageError(f"There is no layout {settings['layout']!r:.60}; choose one of {', '.join(LAYOUTS)}{own}.")
    for name in ("max_tokens", "max_run_tokens"):
        budget = settings[name]
        if budget is not None and (not isinstance(budget, int) or budget < 1):
            raise UsageError(f"{name} must be at least 1, or None for no limit; it is {budget!r:.60}.")
    if settings.get("front") is not None and settings["front"] not in FRONTS:
        raise UsageError(f"There is no grammar {settings['front']!r} for calls; choose one of {', '.join(FRONTS)}.")
    if not isinstance(settings.get("guided_calls", True), bool):
        raise UsageError(f"guided_calls must be true or false; it is {settings['guided_calls']!r}.")
    form_of(settings.get("answer"))
    if settings.get("approve", "ask") not in APPROVALS:
        raise UsageError(f"approve must be one of {', '.join(APPROVALS)}; it is {settings['approve']!r}.")
    if not isinstance(settings.get("policy"), CallPolicy | None):
        raise UsageError("policy must be a toolsets.policy.CallPolicy, such as CallPolicy(timeout_s=10).")
    if (limits := settings.get("policy")) is not None and limits.timeout_s is not None and limits.timeout_s <= 0:
        raise UsageError(f"The time for a call must be more than 0 s; it is {limits.timeout_s:g}.")
    if settings.get("memory", "none") not in MEMORY:
        raise UsageError(f"There is no memory '{settings['memory']}'; choose one of {', '.join(MEMORY)}.")
    for name in ("concepts", "concept_tokens", "more_tools"):
        limit = settings.get(name, 0)
        if not isinstance(limit, int) or limit < 0:
            raise UsageError(f"{name} must be 0 or more; it is {limit!r:.60}.")
    temperature, seed = settings["temperature"], settings.get("seed", 0)
    if not isinstance(temperature, int | float) or not 0.0 <= temperature <= 100.0:
        raise UsageError(f"The temperature must be a number between 0 and 100; it is {temperature!r}.")
    _check_seed(seed)


def _check_seed(seed: Any) -> None:
    if not isinstance(seed, int) or not -(1 << 63) <= seed < 1 << 63:
        raise UsageError(f"The seed must be a whole number of at most 64 bits; it is {seed!r}.")
