"""What is wrong with a plan, as values that a person reads, a model reads, and a program can switch on.

In: nothing. Out: `Diagnostic` and its kinds. Neighbours: the front ends of `fronts` report what cannot be read,
`check` what cannot be run; `executor` and `direct` name an unknown tool in the same words. Pure.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

MAX_NAMES: Final = 30


class DiagnosticKind(StrEnum):
    """One kind for each thing that can be wrong before anything runs."""

    SYNTAX = "syntax"
    """The text of a call cannot be read."""
    DUPLICATE_ID = "duplicate_id"
    UNKNOWN_TOOL = "unknown_tool"
    UNKNOWN_ARGUMENT = "unknown_argument"
    MISSING_ARGUMENT = "missing_argument"
    ILL_TYPED_ARGUMENT = "ill_typed_argument"
    UNKNOWN_REFERENCE = "unknown_reference"
    """It names a call that the plan does not have."""
    FORWARD_REFERENCE = "forward_reference"
    """It names a call that comes later."""
    CYCLE = "cycle"
    UNKNOWN_FIELD = "unknown_field"
    """The result that is referred to has no such part, by its tool's schema."""
    ILL_TYPED_REFERENCE = "ill_typed_reference"
    """The result that is referred to cannot be what the parameter takes."""
    DEPENDS_ON_UNSOUND = "depends_on_unsound"
    """Nothing is wrong with the call itself, but one that it waits for will not run."""


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """message: one sentence that says what to do. line: 1-based, 0 where there is no text. expected: what would have
    been right, for a program or a table; empty where the message says it all. raw: the text of a call that cannot be
    read, as it was written."""

    kind: DiagnosticKind
    message: str
    call: str | None = None
    line: int = 0
    expected: str = ""
    raw: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}" if self.line else self.message


def unknown_tool(name: str, tools: Collection[str], *, most: int = MAX_NAMES) -> str:
    """A sentence for a model that named a tool that there is not; it tells at most so many of those that there are.

    >>> unknown_tool("gdc", ["lcm", "gcd", "add"], most=2)
    "There is no tool 'gdc': use one of add, gcd and 1 more."
    """
    if not tools:
        return f"There is no tool {name[:80]!r}: no tools are offered here."
    names = sorted(tools)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"There is no tool {name[:80]!r}: use one of {', '.join(names[:most])}{more}."
