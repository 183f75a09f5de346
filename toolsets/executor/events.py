"""What happens to calls, as immutable facts in the order in which they happen.

In: made by `executor`. Out: for logs and views, and for whoever injects results. plan and call: which call it is
about. Every call has one `Planned` first and one `Finished` last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from toolsets.results import CallOutcome


@dataclass(frozen=True, slots=True)
class Planned:
    """The call has arrived. arguments: as they were written, references included."""

    plan: str
    call: str
    tool: str
    arguments: Mapping[str, Any] = field(hash=False)
    needs: tuple[str, ...] = ()
    line: int = 0
    raw: str = ""


@dataclass(frozen=True, slots=True)
class ApprovalAsked:
    """A person has to say yes before it begins. arguments: as the tool will get them. problem: why the arguments of the
    person's last answer cannot be, where it is asked once more."""

    plan: str
    call: str
    tool: str
    arguments: Mapping[str, Any] = field(hash=False)
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Approved:
    """arguments: as the tool will get them, where the person has changed them."""

    plan: str
    call: str
    reason: str = ""
    arguments: Mapping[str, Any] | None = field(default=None, hash=False)


@dataclass(frozen=True, slots=True)
class Rejected:
    plan: str
    call: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Started:
    """An attempt begins. shared_with: the call whose execution answers this one too, by its result id."""

    plan: str
    call: str
    attempt: int
    arguments: Mapping[str, Any] = field(hash=False)
    shared_with: str | None = None


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """An attempt failed in a way that may pass; the next one begins after `retry_in_s`."""

    plan: str
    call: str
    attempt: int
    error: str
    retry_in_s: float


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the tool is, by its own word: `done` of `total`."""

    plan: str
    call: str
    done: float
    total: float | None
    message: str


@dataclass(frozen=True, slots=True)
class Output:
    """A part of the tool's output, before it is done. Data from outside, like a result."""

    plan: str
    call: str
    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The call has ended; nothing follows."""

    plan: str
    call: str
    outcome: CallOutcome


Event: TypeAlias = (
    Planned | ApprovalAsked | Approved | Rejected | Started | AttemptFailed | Progress | Output | Finished
)
