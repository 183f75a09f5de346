"""How a call may be run: its side effects, and the limits that hold for it. Values only.

In: what a tool declares and what a person or a plan says for one call. Out: `CallPolicy`, read by `executor`. Every
field None means "as the tool says", and in a tool's own policy "as the executor's default says".
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Literal, TypeAlias

Effect: TypeAlias = Literal["read", "write"]
"""read: looks only, may run beside anything. write: changes something outside, runs alone, as a barrier."""
OnFailure: TypeAlias = Literal["skip", "pass", "stop"]
"""What a failed call means for those that refer to it: skip them, run them with the error as value, stop the plan."""


@dataclass(frozen=True, slots=True)
class CallPolicy:
    """timeout_s: wall time of one attempt. retries: attempts after a transient error. backoff_s: wait before the
    first retry; doubles. approval: a person must say yes. max_result_chars: what a worker is shown."""

    timeout_s: float | None = None
    retries: int | None = None
    backoff_s: float | None = None
    approval: bool | None = None
    on_failure: OnFailure | None = None
    max_result_chars: int | None = None

    def over(self, below: CallPolicy | None) -> CallPolicy:
        """This policy where it says something, `below` elsewhere."""
        if below is None:
            return self
        return _over(self, below)


@lru_cache(maxsize=256)
def _over(above: CallPolicy, below: CallPolicy) -> CallPolicy:
    """A plan of thousands of calls has a handful of policies."""
    mine = {f.name: getattr(above, f.name) for f in fields(above)}
    return CallPolicy(**{name: getattr(below, name) if value is None else value for name, value in mine.items()})
