"""What came of one sandboxed call. Values only: errors are data.

In: made by `answers` from what the fork server says and what the code wrote. Out: `Outcome`, read by executors, logs
and views.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from toolsets.sandbox.isolation import Isolation


@dataclass(frozen=True, slots=True)
class Fault:
    """Why there is no value. kind: the code raised an error, hit a limit, ended without a result, returned what is no
    JSON value, or the sandbox itself was lost (then, and only then, the same call may well work again)."""

    kind: Literal["error", "limit", "ended", "result", "lost"]
    type: str
    """The exception's type, e.g. ZeroDivisionError; for the other kinds TimeLimit, MemoryLimit, Ended, ..."""
    message: str
    line: int | None = None
    """1-based, in the tool's source."""
    source_line: str | None = None

    @property
    def took_too_long(self) -> bool:
        """By the sandbox's clock; an exception that the code calls so is an error like any other."""
        return self.kind == "limit" and self.type in ("TimeLimit", "CPUTimeLimit")

    def __str__(self) -> str:
        where = f" (line {self.line}: {self.source_line})" if self.source_line else ""
        if self.kind != "error":
            return f"{self.message}{where}"
        return f"{self.type}: {self.message}{where}" if self.message else f"{self.type}{where}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """stdout: what the code printed, standard error included, cut at the limit. wall_s: the whole call, as the caller
    saw it. limits_hit: in words, e.g. `time limit of 5 s`; an output limit does not cost the value."""

    value: Any = field(hash=False)
    error: Fault | None
    stdout: str
    wall_s: float
    isolation: Isolation
    limits_hit: tuple[str, ...] = ()

    @property
    def succeeded(self) -> bool:
        return self.error is None
