"""What a finished run knows of a question that it answered: the calls it made, and what it said.

In: plain values, from whoever reads a run's log. Out: `Experience`s, from which concepts are abstracted. The answer is
the run's own; whether it is right, nobody here knows, and nothing else is used. Pure. Neighbours: `phrases` abstracts
without a model, `abstraction` with one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class MadeCall:
    """A call that succeeded. needs: places, among the experience's calls, of those whose results it used."""

    tool: str
    arguments: Mapping[str, Any]
    result: str
    needs: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Experience:
    """One question of a run, what was called for it, and the answer that the run gave."""

    run_id: str
    question: str
    answer: str
    calls: tuple[MadeCall, ...] = ()
    said: str = ""
    """What the worker wrote while it was at it."""
    item: int | None = None
    """The number of the question, where the task was a list."""
    model: str = ""

    @property
    def source(self) -> str:
        return self.run_id if self.item is None else f"{self.run_id}#{self.item}"

    @property
    def shape(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """The plan without its values: which tools, and which needs which."""
        return tuple((call.tool, call.needs) for call in self.calls)

    def trace(self) -> str:
        """The experience as text, for a model to read."""
        lines = [f"Question: {self.question}"]
        for number, call in enumerate(self.calls, start=1):
            given = ", ".join(f"{name}={value!r}" for name, value in call.arguments.items())
            used = f"   (uses the result of {', '.join(str(place + 1) for place in call.needs)})" if call.needs else ""
            lines.append(f"{number}. {call.tool}({given}) -> {call.result}{used}")
        return "\n".join([*lines, *([f"Said: {self.said}"] if self.said else []), f"Answer: {self.answer}"])
