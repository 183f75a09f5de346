"""What is set for one worker of a run when it starts: how it samples, which tools it may call, a line of its own.

In: workers as a person, the command line or JSON has them (names, `Worker` values, objects), or how many. Out: the
settings of a run, in which `workers` is a number, the prompting has their names, and `worker_settings` what is set for
whom; UsageError, in one sentence, for what makes no sense. Neighbours: `session` and the command line give, `host`
hands it on to `driver`; the log tells it as `WorkerAdded`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from hogwild.prompting import NAMES, Prompting
from workbench.errors import UsageError
from workbench.steering import SAMPLING, check_sampling

LONGEST_INSTRUCTION: Final = 2_000
_OWN: Final = (*SAMPLING, "tools", "instruction")


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker of a run. What is None is as it is for the whole run.

    temperature, top_k, top_p, min_p, repetition_penalty, seed: how it samples. tools: the names of those that it may
    call, of all that the run offers. instruction: one line that stands at the beginning of what it writes, where
    everybody who sees its block reads it.
    """

    name: str
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    seed: int | None = None
    tools: Sequence[str] | None = None
    instruction: str = ""

    def settings(self) -> dict[str, Any]:
        """What is set, without the name."""
        given = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "name"}
        given = {name: value for name, value in given.items() if value is not None and value != ""}
        if isinstance(given.get("tools"), tuple):
            given["tools"] = list(given["tools"])
        return given


def spread(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a run in which `workers` may be a list, with a number in its place; checked."""
    found = dict(settings)
    workers = found.get("workers")
    if isinstance(workers, Sequence) and not isinstance(workers, str):
        several = [_worker(one) for one in workers]
        found["workers"] = len(several)
        found["worker_settings"] = {one.name: own for one in several if (own := one.settings())} or None
        found["prompting"] = _named(found.get("prompting"), [one.name for one in several])
    check_own(found.get("worker_settings"))
    return found


def check_own(own: Any) -> None:
    """Raises UsageError for settings of workers that make no sense."""
    if own is None:
        return
    if not isinstance(own, Mapping) or not all(isinstance(one, Mapping) for one in own.values()):
        raise UsageError(f"worker_settings is an object of workers and what is set for each; it is {own!r:.60}.")
    for name, one in own.items():
        try:
            _check(one)
        except UsageError as error:
            raise UsageError(f"Worker {name}: {error}") from error


def check_names(own: Mapping[str, Any] | None, workers: Collection[str], tools: Collection[str]) -> None:
    """Raises UsageError for a worker or a tool that the run does not have."""
    for name, one in (own or {}).items():
        if name not in workers:
            raise UsageError(f"There is no worker {name} in this run to set anything for: it has {', '.join(workers)}.")
        for tool in one.get("tools", ()):
            if tool not in tools:
                raise UsageError(f"Worker {name}: there is no tool {tool!r:.60}; this run has {', '.join(tools)}.")


def sampling_of(own: Mapping[str, Any]) -> dict[str, Any]:
    """Of what is set for a worker, how it samples."""
    return {name: own[name] for name in SAMPLING if name in own}


def of_options(given: Iterable[str], count: int | None) -> int | list[Worker]:
    """Workers as `--worker NAME:temperature=0.2,tools=gcd+add,instruction=...` names them; `count` more than these take
    the usual names."""
    several = [_of_option(one) for one in given]
    if not several:
        return 2 if count is None else count
    others = (name for name in NAMES if name not in {one.name for one in several})
    while count is not None and len(several) < count and (name := next(others, None)) is not None:
        several.append(Worker(name))
    if count is not None and len(several) > count:
        raise UsageError(f"There are {len(several)} --worker and --workers {count}: leave --workers out, or raise it.")
    return several


def _of_option(text: str) -> Worker:
    name, colon, rest = text.partition(":")
    if name.strip().isdigit():
        raise UsageError(f"--worker names one worker, such as Alice; --workers {name.strip()} says how many there are.")
    given: dict[str, Any] = {}
    while rest:
        key, equals, rest = rest.partition("=")
        if not equals or key not in _OWN:
            raise UsageError(f"--worker {name}: {key!r:.40} is no setting; there are {', '.join(_OWN)}.")
        value, rest = (rest, "") if key == "instruction" else rest.partition(",")[::2]  # a line may have commas
        given[key] = value if key == "instruction" else _value(name, key, value)
    if not name.strip() or (colon and not given):
        raise UsageError("--worker is a name and what is set for it, such as Alice:temperature=0.2,tools=gcd+add.")
    return Worker(name.strip(), **given)


def _value(name: str, key: str, value: str) -> Any:
    if key == "tools":
        return [tool for tool in value.split("+") if tool]
    try:
        return int(value) if key in ("top_k", "seed") else float(value)
    except ValueError as error:
        raise UsageError(f"--worker {name}: {key} must be a number; it is {value!r:.40}.") from error


def _worker(given: Any) -> Worker:
    if isinstance(given, Worker):
        made = given
    elif isinstance(given, str):
        made = Worker(given)
    elif isinstance(given, Mapping):
        known = [one.name for one in fields(Worker)]
        if unknown := [name for name in given if name not in known]:
            raise UsageError(f"A worker has no {unknown[0]!r:.60}; it has {', '.join(known)}.")
        if "name" not in given:
            raise UsageError('A worker needs a name, such as {"name": "Alice", "temperature": 0.2}.')
        made = Worker(**given)
    else:
        raise UsageError(f'A worker is a name or a Worker("Alice", temperature=0.2); it is {given!r:.60}.')
    if not isinstance(made.name, str):
        raise UsageError(f"A worker's name is a text; it is {made.name!r:.60}.")
    return made


def _named(prompting: Any, names: list[str]) -> dict[str, Any]:
    given = prompting.to_json() if isinstance(prompting, Prompting) else prompting
    if given is not None and not isinstance(given, Mapping):
        raise UsageError(f"prompting must be a hogwild.Prompting or some of its fields; it is {given!r:.60}.")
    return {**(given or {}), "names": names}


def _check(one: Mapping[str, Any]) -> None:
    if unknown := [name for name in one if name not in _OWN]:
        raise UsageError(f"there is no setting {unknown[0]!r:.60}; there are {', '.join(_OWN)}.")
    if sampling := sampling_of(one):
        for name, value in sampling.items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise UsageError(f"{name} must be a number; it is {value!r:.60}.")
        check_sampling(sampling)
    tools = one.get("tools", [])
    if not isinstance(tools, list | tuple) or not all(isinstance(tool, str) for tool in tools):
        raise UsageError(f"tools is a list of names; it is {tools!r:.60}.")
    line = one.get("instruction", "")
    if not isinstance(line, str) or not line.isprintable() or len(line) > LONGEST_INSTRUCTION:
        raise UsageError(f"instruction is one line of up to {LONGEST_INSTRUCTION:,} characters; it is {line!r:.60}.")
