"""The limits of one sandboxed call. Values only.

In: what a person or a tool says. Out: `Limits`, told to the fork server as a plain dictionary, and the words in which
a limit that was hit is named. Neighbours: `lockdown` turns them into rlimits, `server` holds the clock,
`exchange` the caps.
"""

import math
from dataclasses import dataclass, fields

from toolsets.sandbox.errors import SandboxError


@dataclass(frozen=True, slots=True)
class Limits:
    """time_s: wall time. memory_mb: address space on top of the bare interpreter's. threads: beside the main one.
    output_kb: what is kept of standard output and error. result_kb: the result as JSON. open_files: descriptors.
    scratch_mb: size of an empty directory in memory that the code may write to and starts in; 0 means none."""

    time_s: float = 5.0
    memory_mb: int = 256
    threads: int = 8
    output_kb: int = 64
    result_kb: int = 1024
    open_files: int = 64
    scratch_mb: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            least = {"threads": 0, "scratch_mb": 0, "open_files": 16, "memory_mb": 16}.get(field.name, 1)
            number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            if field.name == "time_s":
                if not number or not 0 < value <= 86_400:
                    raise SandboxError(f"time_s must be more than 0 and at most a day of seconds, not {value!r}.")
            elif not number or not isinstance(value, int) or not least <= value <= 1_000_000:
                raise SandboxError(f"{field.name} must be a whole number from {least} to 1000000, not {value!r}.")

    @property
    def cpu_s(self) -> int:
        """CPU time of all threads together: a second guard beside the wall clock."""
        return math.ceil(self.time_s) + 1

    def named(self, limit: str) -> str:
        """A limit in words, e.g. `time limit of 5 s`."""
        return {
            "time": f"time limit of {self.time_s:g} s",
            "cpu": f"CPU time limit of {self.cpu_s} s",
            "memory": f"memory limit of {self.memory_mb} MB",
            "threads": f"limit of {self.threads} threads",
            "output": f"output limit of {self.output_kb} KB",
            "result": f"result limit of {self.result_kb} KB",
        }[limit]
