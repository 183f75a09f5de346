"""How well a call was isolated: a value that the log, the panel and `workbench doctor` show.

In: mechanisms and what `probe` saw them stop. Out: `Isolation`. Neighbours: `probe` makes it, `sandbox` refuses to run
code without it, every `Outcome` carries it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from toolsets.sandbox.mechanisms import PLAIN_PROCESS, Mechanisms

STOPPED: tuple[str, ...] = (
    "reading a file",
    "reading the parent's environment",
    "writing a file",
    "TCP",
    "UDP",
    "unix sockets",
    "starting a process",
    "too many threads",
    "too much memory",
    "signalling the parent",
    "reading the parent's memory",
    "new namespaces",
    "changing a file's mode",
)
"""What has to be stopped before a machine is said to isolate."""


@dataclass(frozen=True, slots=True)
class Isolation:
    """mechanisms: what is in force. stopped, open: which attempts were seen to fail, and which to succeed. reason:
    why there is less than there could be."""

    mechanisms: Mechanisms = PLAIN_PROCESS
    stopped: tuple[str, ...] = ()
    open: tuple[str, ...] = STOPPED
    reason: str = ""

    @property
    def isolated(self) -> bool:
        """Nothing that was tried got out, and everything was tried."""
        return not self.open and set(self.stopped) >= set(STOPPED)

    def __str__(self) -> str:
        return str(self.mechanisms) if self.isolated else f"not isolated ({self.mechanisms})"

    def lines(self) -> Iterator[str]:
        """A short report for people."""
        yield f"sandbox: {self}"
        yield f"stopped: {', '.join(self.stopped) or 'nothing'}"
        if self.open:
            yield f"not stopped: {', '.join(self.open)}"
        yield f"scratch directory: {'possible' if self.mechanisms.scratch else 'not possible'}"
        if self.reason:
            yield f"reason: {self.reason}"


PROCESS_ONLY: Isolation = Isolation()
"""A process of its own with limits, which is no isolation."""
