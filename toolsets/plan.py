"""Plans as values: a DAG of tool calls whose arguments may refer to other calls' results.

In: calls from a front end (`fronts`), or written in Python. Out: a `Plan`, checked by `check`, run by `executor`. A
reference is typed from the moment it is parsed, so a result that happens to contain "$15" stays text. Pure.
Rounds of parallel calls: DTA-Llama (arXiv 2501.12432, section 3); `$1`: LLMCompiler (arXiv 2312.04511, section 3).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from toolsets.policy import CallPolicy

Step: TypeAlias = str | int
"""A step into a result: a field's name or a list index."""


@dataclass(frozen=True, slots=True)
class Ref:
    """The result of another call, or a part of it: `$1`, `$1.field`, `$1[0].name`.

    >>> str(Ref("1", ("rows", 0, "name")))
    '$1.rows[0].name'
    """

    call: str
    path: tuple[Step, ...] = ()

    def __str__(self) -> str:
        steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.path)
        return f"${self.call}{steps}"


@dataclass(frozen=True, slots=True)
class Template:
    """A text with references inside; each becomes the rendered result, once, and what it brings is not read again.

    >>> str(Template(("The sum is ", Ref("1"), ".")))
    'The sum is $1.'
    """

    parts: tuple[str | Ref, ...]

    def __str__(self) -> str:
        return "".join(map(str, self.parts))


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """One node. arguments: JSON values in which `Ref` and `Template` may stand anywhere. line: 1-based, where it began
    in the text; 0 where there is none. after: calls that must have ended before it, beside those it refers to."""

    id: str
    tool: str
    arguments: Mapping[str, Any] = field(hash=False)
    line: int = 0
    raw: str = ""
    after: tuple[str, ...] = ()
    policy: CallPolicy | None = None

    def refs(self) -> list[Ref]:
        """The references in the arguments, in order, repeats included."""
        return list(_refs(self.arguments))

    def needs(self) -> tuple[str, ...]:
        """Ids of the calls that come before this one, each once."""
        return tuple(dict.fromkeys([*(ref.call for ref in self.refs()), *self.after]))


@dataclass(frozen=True, slots=True)
class Plan:
    """Calls in the order of their text. joins: the text ended with `join()` or its like, so the model asks for the
    results before it goes on."""

    calls: tuple[PlannedCall, ...] = ()
    joins: bool = False

    def call(self, id: str) -> PlannedCall:
        """The call of that id; KeyError without one."""
        found = next((call for call in self.calls if call.id == id), None)
        if found is None:
            raise KeyError(id)
        return found

    def __iter__(self) -> Iterator[PlannedCall]:
        return iter(self.calls)

    def __len__(self) -> int:
        return len(self.calls)


def _refs(value: Any) -> Iterator[Ref]:
    if isinstance(value, Ref):
        yield value
    elif isinstance(value, Template):
        yield from (part for part in value.parts if isinstance(part, Ref))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _refs(item)
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for item in value:
            yield from _refs(item)
