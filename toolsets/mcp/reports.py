"""What happens to servers, as values for whoever wants to show it.

In: made by `client`. Out: `Report`, told in the servers' own thread. Neighbours: `servers` passes them on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["started", "failed", "crashed", "restarted", "listed", "left_out"]
"""failed: it did not start; it is tried again. crashed: it went away. listed: its tools have changed. left_out: one of
its tools is not offered."""


@dataclass(frozen=True, slots=True)
class Report:
    """text: one sentence; what the server itself said in it is cut short."""

    server: str
    kind: Kind
    text: str

    def __str__(self) -> str:
        return f"MCP server {self.server}: {self.text}"
