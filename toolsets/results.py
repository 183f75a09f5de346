"""What came of calls: one outcome each, the full values behind them, and what earlier rounds have done.

In: values and errors from `executor`. Out: `CallOutcome`, whose text is short enough for a model; `ResultStore`, where
the full value stays addressable by the outcome's `result_id`; `History`, by which a later round refers to earlier
results and does not repeat a change. Neighbours: `executor` fills them, `rounds` renders them, `rendering` says how a
value becomes text.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any, Final, Literal, TypeAlias, get_args

from toolsets.errors import ToolsetError
from toolsets.policy import CallPolicy, Effect
from toolsets.rendering import render_result
from toolsets.tool import Tool

CallState: TypeAlias = Literal["succeeded", "failed", "timed_out", "cancelled", "skipped", "rejected", "not_executed"]
"""How a call ended. skipped: a call that it refers to did not succeed. rejected: a person said no. not_executed: it
never began and nobody decided against it: approval never came, or the plan was stopped before its turn."""

STATES: Final[tuple[CallState, ...]] = get_args(CallState)

MAX_MEMORY_BYTES: Final = 64 * 2**20
"""What a store keeps in memory; older values go to a temporary file."""
MAX_SLICE_CHARS: Final = 4_000

# Smaller values are not worth a place in the file: the index entry alone takes as much.
_MIN_SPILLED_BYTES: Final = 2_000


class UnknownResultError(ToolsetError):
    """A result id that no call of this store has."""


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """How one call ended; there is exactly one for every call of a plan."""

    plan: str
    call: str
    tool: str
    state: CallState
    text: str
    """What a worker reads: the rendered value, cut to the policy's size, or the state in words and the error."""
    error: str | None = None
    """One sentence; None where the call succeeded."""
    wall_s: float = 0.0
    """From the first attempt's start to the end, waits between attempts included."""
    attempts: int = 0
    """Times that its tool was called for it. 0: never begun, or answered by the execution of another call."""
    isolation: str = ""
    """What stood between the tool and this process, in words; empty where nothing ran."""
    shared_with: tuple[str, ...] = ()
    """Result ids of the calls that this execution answered too, or of the one that answered this call."""
    num_chars: int = 0
    """Of the whole text."""
    cut: bool = False
    """Whether `text` shows only its beginning."""
    effect: Effect = "read"
    trusted: bool = True
    """False: the text comes from outside, and is marked as such where it is shown to a model."""
    edited: Mapping[str, Any] | None = field(default=None, hash=False)
    """The arguments that it ran with, where a person has changed them."""
    store: ResultStore | None = field(default=None, repr=False, compare=False)

    @property
    def result_id(self) -> str:
        """The address of the full value."""
        return result_id(self.plan, self.call)

    @property
    def succeeded(self) -> bool:
        return self.state == "succeeded"

    @property
    def value(self) -> Any:
        """What the tool returned, whole; None where the call did not succeed."""
        return self.store.value(self.result_id) if self.succeeded and self.store is not None else None


def result_id(plan: str, call: str) -> str:
    """
    >>> result_id("round2", "7")
    'round2/7'
    """
    return f"{plan}/{call}"


def cut_text(text: str, max_chars: int | None, address: str) -> str:
    """The text, or its beginning with a note that says where the rest is.

    >>> cut_text("abcdefgh", 5, "p/1")
    'abcde\\n[cut: 3 more characters of result p/1]'
    """
    if max_chars is None or len(text) <= max_chars:
        return text
    return f"{text[:max_chars]}\n[cut: {len(text) - max_chars:,} more characters of result {address}]"


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of a result's text: characters start to end of num_chars."""

    text: str
    start: int
    end: int
    num_chars: int


@dataclass(slots=True)
class _Kept:
    """A value in memory, or its place in the file."""

    value: Any
    size_bytes: int
    place: tuple[int, int] | None = None


class ResultStore:
    """From result id to full value, in bounded memory: beyond it the oldest values that JSON can tell exactly are
    written to a temporary file, which goes away with the store. Any thread may read."""

    def __init__(self, *, max_memory_bytes: int = MAX_MEMORY_BYTES) -> None:
        self._max_memory_bytes = max_memory_bytes
        self._kept: dict[str, _Kept] = {}
        self._spillable: dict[str, None] = {}
        self._memory_bytes = 0
        self._file: IO[bytes] | None = None
        self._lock = threading.Lock()
        self._rendered: tuple[str, str] | None = None
        self._lost: set[str] = set()

    @property
    def memory_bytes(self) -> int:
        """An estimate of what the values in memory take."""
        return self._memory_bytes

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, id: object) -> bool:
        return id in self._kept

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._kept))

    def put(self, id: str, value: Any) -> None:
        """Keep a value under an id that is new."""
        size_bytes, plain = _measure(value)
        with self._lock:
            assert id not in self._kept
            self._kept[id] = _Kept(value, size_bytes)
            self._memory_bytes += size_bytes
            if plain and size_bytes >= _MIN_SPILLED_BYTES:
                self._spillable[id] = None
            while self._memory_bytes > self._max_memory_bytes and self._spillable:
                self._spill(next(iter(self._spillable)))

    def lose(self, id: str) -> None:
        """Of the value under this id only what a model was shown is known, as a log has it."""
        self._lost.add(id)

    def share(self, id: str, other: str) -> None:
        """Let a second id mean the value of the first; nothing is copied."""
        with self._lock:
            self._kept[other] = self._kept[id]

    def value(self, id: str) -> Any:
        """The full value; raises UnknownResultError."""
        with self._lock:
            kept = self._kept.get(id)
            if kept is None and id in self._lost:
                raise UnknownResultError(
                    f"Of result {id[:80]!r} only the part that was shown is left, because the run goes on from its "
                    "log: make the call again for the whole."
                )
            if kept is None:
                raise UnknownResultError(f"There is no result {id[:80]!r}: use an id that a call's outcome names.")
            if kept.place is None:
                return kept.value
            assert self._file is not None
            start, length = kept.place
            self._file.seek(start)
            return json.loads(self._file.read(length))

    def text(self, id: str) -> str:
        """The full value as the text that a model reads; raises UnknownResultError."""
        # Slices of one long result are read one after the other: render it once.
        if self._rendered is not None and self._rendered[0] == id:
            return self._rendered[1]
        text = render_result(self.value(id))
        self._rendered = (id, text)
        return text

    def read(self, id: str, start: int = 0, length: int = MAX_SLICE_CHARS) -> Slice:
        """Characters of a result's text, from `start` on; raises UnknownResultError."""
        text = self.text(id)
        start = min(max(start, 0), len(text))
        end = min(start + max(length, 0), len(text))
        return Slice(text[start:end], start, end, len(text))

    def _spill(self, id: str) -> None:
        del self._spillable[id]
        kept = self._kept[id]
        try:
            data = json.dumps(kept.value).encode()
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="toolsets-results-")  # noqa: SIM115 - closed with the store
            start = self._file.seek(0, os.SEEK_END)
            self._file.write(data)
            self._file.flush()
        except (ValueError, RecursionError, OSError):
            return  # too deep for JSON, or the disk is full: memory is the better place then
        kept.place = (start, len(data))
        self._memory_bytes -= kept.size_bytes
        kept.value, kept.size_bytes = None, 0


def reading_tool(store: ResultStore) -> Tool:
    """The tool by which a worker reads on in a result that was cut."""

    def read_result(result: str, start: int = 0) -> str:
        """A part of a long result, from a character on."""
        part = store.read(result, start)
        if part.end == part.num_chars:
            return part.text
        return f"{part.text}\n[characters {part.start:,} to {part.end:,} of {part.num_chars:,}]"

    # Its own text must never be cut once more, which would send the worker round in circles.
    return Tool.from_function(read_result, policy=CallPolicy(max_result_chars=2 * MAX_SLICE_CHARS))


class History:
    """What earlier plans of one worker have done: results to refer to, and changes that are not to be made again."""

    def __init__(self) -> None:
        self._outcomes: dict[str, CallOutcome] = {}
        self._writes: dict[str, CallOutcome] = {}
        self._listeners: dict[str, Callable[[str], object]] = {}
        self._open: set[str] = set()

    @property
    def outcomes(self) -> Mapping[str, CallOutcome]:
        """By call id, in the order in which the calls ended."""
        return self._outcomes

    @property
    def ids(self) -> Collection[str]:
        return self._outcomes.keys()

    @property
    def open(self) -> Collection[str]:
        """Ids of calls that have arrived, of any plan, and not ended."""
        return self._open

    def arrived(self, id: str) -> None:
        """A call has arrived at one of the plans."""
        self._open.add(id)

    def listen(self, plan: str, ended: Callable[[str], object] | None) -> None:
        """Tell a plan of the ends of other plans' calls, to which its own may refer; None ends it."""
        if ended is None:
            self._listeners.pop(plan, None)
        else:
            self._listeners[plan] = ended

    def record(self, outcome: CallOutcome, write_key: str | None) -> None:
        """Take in how a call ended. write_key: tool and arguments, for a call that changes something."""
        self._outcomes[outcome.call] = outcome
        # A change that timed out or was cancelled may have been made; one that failed says that it was not.
        if write_key is not None and outcome.attempts and outcome.state in ("succeeded", "timed_out", "cancelled"):
            self._writes.setdefault(write_key, outcome)
        self._open.discard(outcome.call)
        for plan, ended in list(self._listeners.items()):
            if plan != outcome.plan:
                ended(outcome.call)

    def answered(self, write_key: str, plan: str) -> CallOutcome | None:
        """The outcome of the same change, made by another plan than this one."""
        outcome = self._writes.get(write_key)
        return None if outcome is None or outcome.plan == plan else outcome


def _measure(value: Any) -> tuple[int, bool]:
    """Bytes in memory, roughly, and whether JSON gives exactly this value back."""
    size_bytes, plain = 0, True
    stack, seen = [value], set[int]()
    while stack:
        item = stack.pop()
        kind = type(item)
        size_bytes += _sized(item)
        if kind is list or kind is dict or kind is tuple:
            if id(item) in seen:
                plain = False
                continue
            seen.add(id(item))
            plain = plain and kind is not tuple
            if kind is dict:
                plain = plain and all(type(key) is str for key in item)
                stack.extend(item.keys())
                stack.extend(item.values())
            else:
                stack.extend(item)
        elif not (kind is str or kind is int or kind is float or kind is bool or item is None):
            plain = False
    return size_bytes, plain


def _sized(item: Any) -> int:
    try:
        return sys.getsizeof(item)
    except Exception:  # somebody else's class
        return sys.getsizeof(object())
