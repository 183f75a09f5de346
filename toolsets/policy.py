"""How a call may be run: its side effects, and the limits that hold for it. Values only.

In: what a tool declares and what a person or a plan says for one call. Out: `CallPolicy`, read by `executor`. Every
field None means "as the tool says", and in a tool's own policy "as the executor's default says".
"""

from __future__ import annotations

import types
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Literal, TypeAlias, get_args

from toolsets.errors import PolicyError

Effect: TypeAlias = Literal["read", "write"]
"""read: looks only, may run beside anything. write: changes something outside, runs alone, as a barrier."""
OnFailure: TypeAlias = Literal["skip", "pass", "stop"]
"""What a failed call means for those that refer to it: skip them, run them with the error as value, stop the plan."""


@dataclass(frozen=True, slots=True)
class CallPolicy:
    """timeout_s: wall time of one attempt. retries: attempts after a transient error. backoff_s: wait before the
    first retry; doubles. approval: a person must say yes. max_result_chars: what a worker is shown. Raises PolicyError
    for a limit that is none."""

    timeout_s: float | None = None
    retries: int | None = None
    backoff_s: float | None = None
    approval: bool | None = None
    on_failure: OnFailure | None = None
    max_result_chars: int | None = None

    def __post_init__(self) -> None:
        for name in ("timeout_s", "backoff_s"):
            seconds = getattr(self, name)
            if seconds is not None and not (_is_number(seconds, int | float) and seconds >= 0):  # refuses NaN, too
                raise PolicyError(f"{name} of a policy must be a number of seconds, 0 or more; it is {seconds!r:.60}.")
        for name, least in (("retries", 0), ("max_result_chars", 1)):
            count = getattr(self, name)
            if count is not None and not (_is_number(count, int) and count >= least):
                raise PolicyError(f"{name} of a policy must be a whole number, {least} or more; it is {count!r:.60}.")
        if self.approval is not None and not isinstance(self.approval, bool):
            raise PolicyError(f"approval of a policy must be true or false; it is {self.approval!r:.60}.")
        if self.on_failure is not None and self.on_failure not in get_args(OnFailure):
            choices = ", ".join(get_args(OnFailure))
            raise PolicyError(f"on_failure must be one of {choices}; it is {self.on_failure!r:.60}.")

    def over(self, below: CallPolicy) -> CallPolicy:
        """This policy where it says something, `below` elsewhere."""
        return _over(self, below)


def _is_number(value: object, kind: type | types.UnionType) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


@lru_cache(maxsize=256)
def _over(above: CallPolicy, below: CallPolicy) -> CallPolicy:
    """A plan of thousands of calls has a handful of policies."""
    mine = {f.name: getattr(above, f.name) for f in fields(above)}
    return CallPolicy(**{name: getattr(below, name) if value is None else value for name, value in mine.items()})
