"""Where a run is to pause by itself: before a call, after a step, at a text, a worker's end, or a function's word.

In: breakpoints as a person gives them, and the events of a run in their order. Out: which are set, and the hits
(`BreakpointHit`) that the events make. Pure but for a person's own functions. The same `Breakpoints` hears a run that
goes on and one that is followed again from its log, so a hit that the log does not show yet is not lost. Neighbours:
`steering` sets and removes, `driver` pauses, `projection` shows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Self

from workbench import events as ev
from workbench.errors import UsageError

Predicate = Callable[[ev.Event], object]

LONGEST_MATCH: Final = 2_000
"""In so many of a worker's last characters a text is looked for."""
LONGEST_TOLD: Final = 200
ANY: Final = "*"
"""The tool of a breakpoint before any call."""
_FLAGS: Final = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "x": re.VERBOSE, "a": re.ASCII}
_FIELDS: Final = ("tool", "step", "text", "pattern", "ended")
_ENDS: Final = {"finished": "has ended its turn", "out_of_budget": "has used up its tokens"}
_HOLDING: Final = ("pause", "resume", "step")


@dataclass(frozen=True, slots=True, repr=False)
class Breakpoint:
    """One condition: `tool`, before a call of it ("*": of any); `step`, once that step is done; `text`, a text or a
    compiled regular expression that a worker has written; `ended`, when a worker has ended its turn; `when`, a function
    of an event. worker: only if it is that one's call, text or end."""

    tool: str | None = None
    step: int | None = None
    text: str | re.Pattern[str] | None = None
    ended: bool = False
    when: Predicate | None = field(default=None, compare=False)
    worker: str | None = None

    def __post_init__(self) -> None:
        given = [self.tool, self.step, self.text, self.ended or None, self.when]
        if sum(one is not None for one in given) != 1:
            raise UsageError("A breakpoint has one condition: tool, step, text, ended or when.")
        if self.tool is not None and (not isinstance(self.tool, str) or not self.tool.strip()):
            raise UsageError(f'A breakpoint before a call needs the name of a tool, or "*"; it is {self.tool!r:.60}.')
        if self.step is not None and (not isinstance(self.step, int) or isinstance(self.step, bool) or self.step < 0):
            raise UsageError(f"A breakpoint's step is a whole number from 0 on; it is {self.step!r:.60}.")
        if self.text is not None:
            self._check_text(self.text)
        if not isinstance(self.ended, bool):
            raise UsageError(f"ended is true or false, and worker says whose end; it is {self.ended!r:.60}.")
        if self.when is not None and not callable(self.when):
            raise UsageError(f"A breakpoint's when is a function of an event; it is {self.when!r:.60}.")
        if self.worker is not None and (not isinstance(self.worker, str) or self.step is not None or self.when):
            raise UsageError("worker is a name, and says whose call, text or end a breakpoint is for.")

    @staticmethod
    def _check_text(text: Any) -> None:
        if isinstance(text, re.Pattern):
            if not isinstance(text.pattern, str) or text.search("") is not None:
                raise UsageError(f"The expression {text.pattern!r:.60} is found in no text at all: ask for more.")
        elif not isinstance(text, str) or not text:
            raise UsageError(f"A breakpoint's text is some text or a compiled expression; it is {text!r:.60}.")

    @classmethod
    def of(cls, given: Any) -> Self:
        """A breakpoint as a person or JSON has it; raises UsageError."""
        if isinstance(given, cls):
            return given
        if callable(given):
            return cls(when=given)
        if not isinstance(given, Mapping):
            raise UsageError(
                f'A breakpoint is given as {{"tool": "gcd"}} or Breakpoint(tool="gcd"), not {given!r:.60}.'
            )
        fields = {name: value for name, value in given.items() if value is not None and name != "breakpoint"}
        if "pattern" in fields:
            fields["text"] = _pattern(fields.pop("pattern"), fields.pop("flags", ""))
        if unknown := [name for name in fields if name not in (*_FIELDS, "when", "worker")]:
            raise UsageError(f"A breakpoint has no {unknown[0]!r}; it has {', '.join(_FIELDS)} and worker.")
        return cls(**fields)

    def to_json(self) -> dict[str, Any]:
        """Its fields for the log; of a function only what it is called."""
        found: dict[str, Any] = {"tool": self.tool, "step": self.step, "ended": self.ended or None}
        if isinstance(self.text, re.Pattern):
            flags = "".join(letter for letter, flag in _FLAGS.items() if self.text.flags & flag)
            found |= {"pattern": self.text.pattern, "flags": flags or None}
        else:
            found["text"] = self.text
        found |= {"when": None if self.when is None else _name_of(self.when), "worker": self.worker}
        return {name: value for name, value in found.items() if value is not None}

    def __str__(self) -> str:
        return in_words(self.to_json())

    def __repr__(self) -> str:
        return f"<Breakpoint {self}>"


def in_words(given: Mapping[str, Any]) -> str:
    """A breakpoint's JSON for people.

    >>> in_words({"tool": "gcd", "worker": "Bob"}), in_words({"step": 20}), in_words({"pattern": "[0-9]+"})
    ('before gcd of Bob', 'after step 20', 'at /[0-9]+/')
    """
    of = f" of {given['worker']}" if given.get("worker") else ""
    if "tool" in given:
        return f"before {'any call' if given['tool'] == ANY else given['tool']}{of}"
    if "step" in given:
        return f"after step {given['step']}"
    if "pattern" in given:
        return f"at /{given['pattern']}/{given.get('flags', '')}{of}"
    if "text" in given:
        return f"at {given['text']!r}{of}"
    if "when" in given:
        return f"when {given['when']}"
    return f"when {given.get('worker') or 'a worker'} has ended"


def breakpoints_of(given: Any) -> list[Breakpoint]:
    """One breakpoint or several, as `break_at` takes them; raises UsageError."""
    if given is None:
        return []
    several = isinstance(given, Iterable) and not isinstance(given, str | Mapping)
    return [Breakpoint.of(one) for one in given] if several else [Breakpoint.of(given)]


def of_options(
    before: Iterable[str] | None, steps: Iterable[int] | None, texts: Iterable[str] | None, ended: bool
) -> list[Breakpoint]:
    """Breakpoints as options of a command have them; a text between two slashes is a regular expression."""
    found = [Breakpoint(tool=tool) for tool in before or ()] + [Breakpoint(step=step) for step in steps or ()]
    for text in texts or ():
        is_pattern = len(text) > 2 and text[0] == text[-1] == "/"
        found.append(Breakpoint.of({"pattern": text[1:-1]} if is_pattern else {"text": text}))
    return found + ([Breakpoint(ended=True)] if ended else [])


def sendable(given: Any) -> dict[str, Any]:
    """`break_at` as JSON, for another process; nothing where nothing is asked for."""
    several = breakpoints_of(given)
    if any(one.when is not None for one in several):
        raise UsageError('A function of events works in the process of its run only: use engine="thread".')
    return {"break_at": [one.to_json() for one in several]} if several else {}


@dataclass(slots=True)
class _Set:
    """A breakpoint that is set. begun: where, in each worker's text, the text that was hit last begins."""

    what: Breakpoint
    begun: dict[str, int] = field(default_factory=dict)


class Breakpoints:
    """Those of one run, as its events set, hit and remove them. due: hits that the log does not show yet."""

    def __init__(self) -> None:
        self.due: list[ev.BreakpointHit] = []
        self.orphans: list[str] = []
        """Set by functions of a process that has ended."""
        self._set: dict[str, _Set] = {}
        self._predicates: dict[str, Predicate] = {}
        self._written: dict[str, str] = {}
        self._step = 0
        self._closing = False
        self._deaf = False

    def lend(self, name: str, predicate: Predicate) -> None:
        """The function of a breakpoint that is about to be set."""
        self._predicates[name] = predicate

    @contextmanager
    def deaf(self) -> Iterator[None]:
        """Functions are not asked about what pausing and going on themselves tell: no run would get past them."""
        before, self._deaf = self._deaf, True
        try:
            yield
        finally:
            self._deaf = before

    def hear(self, payload: ev.Payload, event: ev.Event | None = None) -> None:
        """The next event. event: in its envelope, where functions are to be asked."""
        match payload:
            case ev.Steered(command="break_at"):
                self._take(payload.arguments)
            case ev.Steered(command="remove_breakpoint"):
                self._drop(str(payload.arguments.get("breakpoint")))
            case ev.BreakpointHit():
                self.due = [one for one in self.due if one.breakpoint != payload.breakpoint]
            case ev.TokensAdded():
                self._stepped(payload)
            case ev.CallPlanned():
                for name, one in self._of("tool"):
                    if one.tool in (ANY, payload.tool) and one.worker in (None, payload.worker):
                        self._hit(name, payload.worker, f"{payload.worker} calls {payload.tool}", call=payload.call)
            case ev.WorkerStateChanged(state="finished" | "out_of_budget") if not self._closing:
                for name, one in self._of("ended"):
                    if one.worker in (None, payload.worker):
                        self._hit(name, payload.worker, f"{payload.worker} {_ENDS[payload.state]}")
            case ev.TextInjected(source="closing"):
                self._closing = True
        if event is not None and not self._deaf and not isinstance(payload, ev.BreakpointHit):
            self._ask(payload, event)

    def take(self) -> list[ev.BreakpointHit]:
        """The hits that are due, each breakpoint's first."""
        taken, self.due = self.due, []
        return taken

    def _take(self, arguments: Mapping[str, Any]) -> None:
        name = str(arguments.get("breakpoint"))
        if "when" in arguments:
            known = self._predicates.get(name)
            if known is None:
                self.orphans.append(name)
                return
            self._set[name] = _Set(Breakpoint(when=known))
            return
        try:
            self._set[name] = _Set(Breakpoint.of(arguments))
        except UsageError:  # of a newer version
            return
        what = self._set[name].what
        if what.step is not None and what.step <= self._step:
            self._hit(name, None, f"step {self._step} is done")

    def _drop(self, name: str) -> None:
        self._set.pop(name, None)
        self._predicates.pop(name, None)
        self.due = [one for one in self.due if one.breakpoint != name]
        self.orphans = [one for one in self.orphans if one != name]

    def _of(self, condition: str) -> list[tuple[str, Breakpoint]]:
        return [(name, one.what) for name, one in self._set.items() if getattr(one.what, condition)]

    def _stepped(self, payload: ev.TokensAdded) -> None:
        self._step = payload.step
        for name, one in self._set.items():
            if one.what.step == payload.step:
                self._hit(name, None, f"step {payload.step} is done")
        for added in payload.tokens:
            worker, before = added["worker"], len(self._written.get(added["worker"], ""))
            self._written[worker] = self._written.get(worker, "") + added["text"]
            for name, one in self._set.items():
                if one.what.text is not None and one.what.worker in (None, worker):
                    found = _newly_found(one, worker, self._written[worker], before)
                    if found:
                        self._hit(name, worker, f"{worker} has written {found[:LONGEST_TOLD]!r}", text=found)

    def _ask(self, payload: ev.Payload, event: ev.Event) -> None:
        if isinstance(payload, ev.Steered) and payload.command in _HOLDING:
            return
        for name, one in list(self._set.items()):
            if one.what.when is None:
                continue
            worker = getattr(payload, "worker", None)
            try:
                if one.what.when(event):
                    self._hit(name, worker, f"{_name_of(one.what.when)} says so of event {event.seq} ({event.kind})")
            except Exception as error:  # a person's own function, which is not asked again
                why = f"{_name_of(one.what.when)} failed: {type(error).__name__}: {error}"
                self._hit(name, worker, why[:LONGEST_TOLD])
                del self._set[name]
                self.orphans.append(name)

    def _hit(self, name: str, worker: str | None, why: str, call: str | None = None, text: str = "") -> None:
        """One hit of each breakpoint in a step is enough."""
        if not any(one.breakpoint == name for one in self.due):
            self.due.append(ev.BreakpointHit(name, self._step, why, worker, call, text[:LONGEST_TOLD]))


def _newly_found(one: _Set, worker: str, written: str, before: int) -> str:
    """What of its text the worker has completed with its last characters, from `before` on. A text that only grows
    where it was found (`\\d+`, digit by digit) is not found again."""
    assert one.what.text is not None
    pattern = re.compile(re.escape(one.what.text)) if isinstance(one.what.text, str) else one.what.text
    known, found = one.begun.get(worker, -1), ""
    for match in pattern.finditer(written, max(known, before - LONGEST_MATCH, 0)):
        if match.end() > max(before, match.start()) and match.start() != known:
            found = found or match[0]
            one.begun[worker] = match.start()
    return found


@dataclass(slots=True)
class Seen:
    """The breakpoints of a run as a view shows them. set: their fields, as the log has them, by name; hits: how often
    each was hit; at: the hit that the run is paused at."""

    set: dict[str, dict[str, Any]] = field(default_factory=dict)
    hits: dict[str, int] = field(default_factory=dict)
    paused: bool = False
    at: ev.BreakpointHit | None = None

    def apply(self, payload: ev.Steered | ev.BreakpointHit) -> None:
        match payload:
            case ev.BreakpointHit():
                self.hits[payload.breakpoint] = self.hits.get(payload.breakpoint, 0) + 1
                self.at = self.at or payload
            case ev.Steered(command="break_at"):
                self.set[str(payload.arguments.get("breakpoint"))] = dict(payload.arguments)
            case ev.Steered(command="remove_breakpoint"):
                self.set.pop(str(payload.arguments.get("breakpoint")), None)
            case ev.Steered(command="pause"):
                self.paused = True
            case ev.Steered(command="resume"):
                self.paused, self.at = False, None
            case ev.Steered(command="step"):
                self.at = None


def restored(arguments: Mapping[str, Any]) -> Breakpoint | None:
    """The breakpoint that an event set; None for a function, or one of a newer version."""
    try:
        return None if "when" in arguments else Breakpoint.of(arguments)
    except UsageError:
        return None


def _pattern(pattern: Any, flags: Any) -> re.Pattern[str]:
    if not isinstance(pattern, str) or not isinstance(flags, str) or any(one not in _FLAGS for one in flags):
        raise UsageError(f"A pattern is the text of a regular expression, its flags some of {''.join(_FLAGS)}.")
    try:
        return re.compile(pattern, sum((_FLAGS[one] for one in flags), re.RegexFlag(0)))
    except (re.error, OverflowError, RecursionError) as error:
        raise UsageError(f"{pattern!r:.60} is no regular expression: {error}.") from error


def _name_of(predicate: Predicate) -> str:
    name = getattr(predicate, "__name__", "") or type(predicate).__name__
    return "a function" if name == "<lambda>" else name
