"""Stepping into a run: the commands that a person has, each carried out once and answered by an event.

In: a command's name, its arguments and, from those who may have to ask twice, an idempotency key. Out: the command as
the driver's thread carries it out, and `Steered` or `SayQueued` in the log before what follows from it. A command that
makes no sense is refused at once, with a sentence. Above: `session.Run`, whose face is `Steerable`, and the engine's
process. Below: `driver`, which does it.
"""

from __future__ import annotations

import itertools
import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from re import Pattern
from typing import TYPE_CHECKING, Any, Final

from hogwild.prompting import NAMES
from workbench import events as ev
from workbench.approving import read_arguments
from workbench.breakpoints import ANY, Breakpoint, restored
from workbench.errors import UsageError

if TYPE_CHECKING:
    from workbench.call_values import Pending
    from workbench.driver import Driver
    from workbench.edits import Edit

MAX_WORKERS: Final = len(NAMES)
WHEN: Final = ("now", "queued")
KEPT_KEYS: Final = 10_000
LONGEST_NAME: Final = 60

Wish = Callable[["Driver"], None]


class Steerable(ABC):
    """A person's commands to a run. `key`: the same key again gives the same answer, and does nothing twice. `by`: who
    says so, for the log."""

    @abstractmethod
    def command(self, name: str, arguments: Mapping[str, Any], *, key: str = "", by: str = "") -> dict[str, Any]:
        """Carry out a command by its name, as REST and buttons send it; raises UsageError."""

    def stop(self, *, key: str = "", by: str = "") -> None:
        """End the run after the step it is in."""
        self.command("stop", {}, key=key, by=by)

    def pause(self, *, key: str = "", by: str = "") -> None:
        """Hold all workers after the step they are in."""
        self.command("pause", {}, key=key, by=by)

    def resume(self, *, key: str = "", by: str = "") -> None:
        """Let paused workers go on."""
        self.command("resume", {}, key=key, by=by)

    def step(self, *, key: str = "", by: str = "") -> None:
        """Let all workers do one step, and hold them after it."""
        self.command("step", {}, key=key, by=by)

    def break_at(
        self,
        *,
        tool: str | None = None,
        step: int | None = None,
        text: str | Pattern[str] | None = None,
        ended: bool = False,
        worker: str | None = None,
        key: str = "",
        by: str = "",
    ) -> str:
        """Let the run pause by itself, as by `pause`: before a call of a tool ("*": of any), once a step is done, when
        a worker has written a text (or what a compiled regular expression finds), or when a worker has ended its turn.

        worker: only for that one. Returns the breakpoint's name, for `remove_breakpoint`; it stays until then.
        """
        what = Breakpoint(tool, step, text, ended, worker=worker)
        return str(self.command("break_at", what.to_json(), key=key, by=by)["breakpoint"])

    def remove_breakpoint(self, name: str, *, key: str = "", by: str = "") -> None:
        """The run no longer pauses there."""
        self.command("remove_breakpoint", {"breakpoint": name}, key=key, by=by)

    def say(
        self, text: str, worker: str | None = None, *, when: str = "now", line: str = "", key: str = "", by: str = ""
    ) -> str:
        """Put your words where a worker writes, by default the first; everybody who sees that block reads them.

        when: "now" is between two steps (paragraphs) of the worker, so that no word is cut in two, or at once while it
        waits for a call, or is held and does no worksheet, whose item would be lost; "queued" waits until the worker
        waits for a call or has ended its turn; until then `edit_say` and `cancel_say` reach it, by the name of the line
        that is returned.
        """
        given = {"text": text, "worker": worker, "when": when, "line": line}
        return str(self.command("say", given, key=key, by=by)["line"])

    def edit_say(self, line: str, text: str, *, key: str = "", by: str = "") -> None:
        """Other words for a line that waits to be said."""
        self.command("edit_say", {"line": line, "text": text}, key=key, by=by)

    def cancel_say(self, line: str, *, key: str = "", by: str = "") -> None:
        """Take back a line that waits to be said."""
        self.command("cancel_say", {"line": line}, key=key, by=by)

    def approve(
        self,
        call: str | Pending,
        reason: str = "",
        by: str = "",
        *,
        arguments: Mapping[str, Any] | None = None,
        key: str = "",
    ) -> None:
        """Let a call that asks for a person's word begin: one of `pending`, or its name.

        arguments: what it runs with, all of it, in the place of what the worker wrote: `{**call.arguments, "b": 30}`.
        They are checked as the worker's are; where they do not fit, UsageError says so, and the call waits on. A text
        `$1` is the result of call 1 of its plan. The worker is told what ran.
        """
        given: dict[str, Any] = {"call": _name_of(call), "reason": reason}
        if arguments is not None:
            from workbench.told import logged

            given["arguments"] = logged(arguments, whole=True)  # as it goes to an engine's process and into the log
        self.command("approve", given, key=key, by=by)

    def reject(self, call: str | Pending, reason: str = "", by: str = "", *, key: str = "") -> None:
        """Say no to a call; the worker is told so, with the reason."""
        self.command("reject", {"call": _name_of(call), "reason": reason}, key=key, by=by)

    def add_worker(self, name: str | None = None, *, key: str = "", by: str = "") -> str:
        """Let another worker join; returns its name."""
        return str(self.command("add_worker", {"name": name}, key=key, by=by)["worker"])

    def retire_worker(self, worker: str, *, key: str = "", by: str = "") -> None:
        """End one worker's turn; what it has written stays, and the others go on."""
        self.command("retire_worker", {"worker": worker}, key=key, by=by)

    def set_sampling(self, worker: str | None = None, *, key: str = "", by: str = "", **sampling: Any) -> None:
        """Let a worker, by default every one, sample otherwise from here on: temperature, top_k, top_p, min_p,
        repetition_penalty, seed."""
        self.command("set_sampling", {"worker": worker, **sampling}, key=key, by=by)


def _name_of(call: str | Pending) -> str:
    return call if isinstance(call, str) else getattr(call, "call", str(call))


class Steering:
    """One run's commands, made ready for its driver's thread. wish: hands a `Wish` to that thread. check_pending:
    raises UsageError unless a call waits for a person's word. read_edit: see `Calls.read_edit`. tools: their names,
    once they are known."""

    def __init__(
        self,
        names: list[str],
        wish: Callable[[Wish], None],
        check_pending: Callable[[str], None],
        read_edit: Callable[[str, Any], Edit | None],
        tools: Callable[[], Collection[str] | None] = lambda: None,
    ) -> None:
        self.names = names
        self.breakpoints: dict[str, Breakpoint] = {}
        self._tools = tools
        self._breaks = (name for at in itertools.count(1) if (name := f"b{at}") not in self._taken)
        self._wish, self._check_pending, self._read_edit = wish, check_pending, read_edit
        self._lines = (line for at in itertools.count(1) if (line := f"line-{at}") not in self._taken)
        self._taken: set[str] = set()
        self._queued: set[str] = set()
        self._answers: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._lock = threading.RLock()

    def go_on(self, past: Iterable[ev.Event]) -> None:
        """Know who works, and which lines were named and still wait, in a run that begins with these events."""
        self.names[:] = []
        for payload in (one.payload for one in past):
            match payload:
                case ev.WorkerAdded():
                    self.names.append(payload.worker)
                case ev.SayQueued():
                    self._taken.add(payload.line)
                    waits = bool(payload.text) and payload.when == "queued"
                    (self._queued.add if waits else self._queued.discard)(payload.line)
                case ev.TextInjected(line=str(line)):
                    self._queued.discard(line)
                case ev.Steered(command="break_at"):
                    name = str(payload.arguments.get("breakpoint"))
                    self._taken.add(name)
                    if (known := restored(payload.arguments)) is not None:
                        self.breakpoints[name] = known
                case ev.Steered(command="remove_breakpoint"):
                    self.breakpoints.pop(str(payload.arguments.get("breakpoint")), None)
                case _:
                    pass

    def command(self, name: str, arguments: Mapping[str, Any], key: str, by: str) -> dict[str, Any]:
        """Check a command and hand it on; raises UsageError. A key that was seen gives the answer that it gave."""
        with self._lock:
            if key and key in self._answers:
                return self._answers[key]
            ready = getattr(self, f"_{name}", None) if name in COMMANDS else None
            if ready is None:
                raise UsageError(f"There is no command {name!r}; there are {', '.join(COMMANDS)}.")
            try:
                answer = ready(key, by, **arguments)
            except TypeError as error:
                raise UsageError(f"The command {name} does not take these arguments: {error}.") from error
            if key:
                self._answers[key] = answer
                while len(self._answers) > KEPT_KEYS:
                    self._answers.popitem(last=False)
            return dict(answer)

    def answered(self, key: str) -> bool:
        """Whether a command with this key has had its answer."""
        return bool(key) and key in self._answers

    def said(self, line: str) -> None:
        """The line has been put into its block: it can no longer be changed."""
        self._queued.discard(line)

    # One method for each command: checks, hands on, answers.

    def _steered(self, command: str, arguments: dict[str, Any], key: str, by: str, wish: Wish) -> dict[str, Any]:
        event = ev.Steered(command, arguments, key, by)

        def carry_out(driver: Driver) -> None:
            driver.emit(event)
            wish(driver)

        self._wish(carry_out)
        return {}

    def _stop(self, key: str, by: str) -> dict[str, Any]:
        return self._steered("stop", {}, key, by, lambda driver: driver.stop())

    def _pause(self, key: str, by: str) -> dict[str, Any]:
        return self._steered("pause", {}, key, by, lambda driver: driver.pause())

    def _resume(self, key: str, by: str) -> dict[str, Any]:
        return self._steered("resume", {}, key, by, lambda driver: driver.resume())

    def _step(self, key: str, by: str) -> dict[str, Any]:
        return self._steered("step", {}, key, by, lambda driver: driver.single_step())

    def _break_at(self, key: str, by: str, **given: Any) -> dict[str, Any]:
        if "when" in given:
            raise UsageError("A function of events works in the process of its run only: use break_when there.")
        return self.break_at(Breakpoint.of(given), key, by)

    def break_at(self, what: Breakpoint, key: str = "", by: str = "") -> dict[str, Any]:
        """Set a breakpoint; for functions this is the only way."""
        self.check_breakpoint(what)
        name, wish = self.named(what, key, by)
        self._wish(wish)
        return {"breakpoint": name}

    def named(self, what: Breakpoint, key: str = "", by: str = "") -> tuple[str, Wish]:
        """A breakpoint's name, and how its driver gets to know it."""
        with self._lock:
            name = next(self._breaks)
            self._taken.add(name)
            self.breakpoints[name] = what
        event = ev.Steered("break_at", {"breakpoint": name, **what.to_json()}, key, by)

        def carry_out(driver: Driver) -> None:
            if what.when is not None:
                driver.breaks.lend(name, what.when)
            driver.emit(event)

        return name, carry_out

    def check_breakpoint(self, what: Breakpoint) -> None:
        """Raises UsageError for a tool or a worker that the run does not have, as far as these are known."""
        tools = self._tools()
        if tools is None:
            return
        if what.tool is not None and what.tool not in (ANY, *tools):
            raise UsageError(f"There is no tool {what.tool!r} to pause before; this run has {', '.join(tools)}.")
        if what.worker is not None:
            self._check_worker(what.worker)

    def _remove_breakpoint(self, key: str, by: str, breakpoint: str) -> dict[str, Any]:
        if breakpoint not in self.breakpoints:
            there = f"there are {', '.join(self.breakpoints)}." if self.breakpoints else "there is none."
            raise UsageError(f"There is no breakpoint {breakpoint!r:.60} in this run; {there}")
        del self.breakpoints[breakpoint]
        arguments = {"breakpoint": breakpoint}
        return self._steered("remove_breakpoint", arguments, key, by, lambda driver: None)

    def _say(
        self, key: str, by: str, text: str, worker: str | None = None, when: str = "now", line: str = ""
    ) -> dict[str, Any]:
        if worker is not None:
            self._check_worker(worker)
        if not isinstance(text, str) or not text.strip():
            raise UsageError("There is nothing to say: give some text.")
        if when not in WHEN:
            raise UsageError(f"A line is said {' or '.join(WHEN)}; it is {when!r}.")
        line = line or next(self._lines)
        self._taken.add(line)
        event = ev.SayQueued(line, worker, text, when)
        if when == "queued":
            self._queued.add(line)

        def carry_out(driver: Driver) -> None:
            driver.emit(event)
            # The first worker's name is known for certain only when the model has been loaded.
            driver.queue(line, worker, text, when)

        self._wish(carry_out)
        return {"line": line}

    def _edit_say(self, key: str, by: str, line: str, text: str) -> dict[str, Any]:
        self._check_queued(line)
        if not isinstance(text, str) or not text.strip():
            raise UsageError("There is nothing to say: give some text, or take the line back.")
        self._wish(lambda driver: driver.requeue(line, text))
        return {"line": line}

    def _cancel_say(self, key: str, by: str, line: str) -> dict[str, Any]:
        self._check_queued(line)
        self._queued.discard(line)
        self._wish(lambda driver: driver.requeue(line, ""))
        return {"line": line}

    def _approve(self, key: str, by: str, call: str, reason: str = "", arguments: Any = None) -> dict[str, Any]:
        self._check_pending(call)
        if isinstance(arguments, str):  # the text of a box: a browser's own numbers have few digits
            arguments = read_arguments(arguments)
        edit = None if arguments is None else self._read_edit(call, arguments)
        self._wish(lambda driver: driver.calls.decide(call, True, reason, by, edit))
        return {"call": call}

    def _reject(self, key: str, by: str, call: str, reason: str = "") -> dict[str, Any]:
        self._check_pending(call)
        self._wish(lambda driver: driver.calls.decide(call, False, reason, by))
        return {"call": call}

    def _add_worker(self, key: str, by: str, name: str | None = None) -> dict[str, Any]:
        if len(self.names) >= MAX_WORKERS:
            raise UsageError(f"A run has at most {MAX_WORKERS} workers, and this one has them all.")
        given = name or next(one for one in NAMES if one not in self.names)
        if not isinstance(given, str) or not given.isprintable() or not given.strip() or len(given) > LONGEST_NAME:
            raise UsageError(f"A worker's name is one line of up to {LONGEST_NAME} characters; it is {given!r:.60}.")
        if given in self.names:
            raise UsageError(f"There is a worker named {given} already; give the new one another name.")
        self.names.append(given)
        self._steered("add_worker", {"worker": given}, key, by, lambda driver: driver.add_worker(given))
        return {"worker": given}

    def _retire_worker(self, key: str, by: str, worker: str) -> dict[str, Any]:
        self._check_worker(worker)
        self._steered("retire_worker", {"worker": worker}, key, by, lambda driver: driver.retire(worker))
        return {"worker": worker}

    def _set_sampling(self, key: str, by: str, worker: str | None = None, **sampling: Any) -> dict[str, Any]:
        if worker is not None:
            self._check_worker(worker)
        check_sampling(sampling)
        arguments = {"worker": worker, **sampling}
        return self._steered("set_sampling", arguments, key, by, lambda driver: driver.set_sampling(worker, sampling))

    def _check_worker(self, worker: str) -> None:
        if worker not in self.names:
            raise UsageError(f"There is no worker {worker} in this run; there are {', '.join(self.names)}.")

    def _check_queued(self, line: str) -> None:
        if line not in self._queued:
            raise UsageError(f"No line {line!r} waits to be said: it has been said, or taken back.")


def check_sampling(sampling: Mapping[str, Any]) -> None:
    """One sentence for what no worker can sample by; raises UsageError."""
    from hogwild.errors import SamplingError
    from hogwild.sampling import Sampling

    unknown = [name for name in sampling if name not in SAMPLING]
    if unknown or not sampling:
        what = f"is no {unknown[0]!r}" if unknown else "is nothing to change"
        raise UsageError(f"There {what} in a worker's sampling; it has {', '.join(SAMPLING)}.")
    try:
        Sampling(**sampling)
    except SamplingError as error:
        raise UsageError(str(error)) from error


COMMANDS: Final = (
    "stop", "pause", "resume", "step", "break_at", "remove_breakpoint", "say", "edit_say", "cancel_say", "approve",
    "reject", "add_worker", "retire_worker", "set_sampling",
)  # fmt: skip
HOLDING: Final = ("stop", "pause", "resume", "step")
"""Commands that say nothing and change nothing where a run has ended."""
SAMPLING: Final = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed")
