"""Runs one call at once, in this process: the simplest executor.

In: a `ToolCall` (or a `BrokenCall`) of `parse`, and the tools by name. Out: a `CallResult`; nothing that a model writes
and nothing that a tool raises becomes an exception here. Neighbours: `parse` above, `arguments` for the check against
the schema, the tools' functions below. A planner with an executor of its own can take this file's place: it needs only
the same `CallResult`.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import IOBase
from itertools import islice
from typing import Any, Final, Literal

from toolsets.arguments import fit_arguments
from toolsets.diagnostics import unknown_tool
from toolsets.errors import ToolsetError
from toolsets.parse import AnyCall, BrokenCall
from toolsets.rendering import render_result
from toolsets.tool import Tool

MAX_TEXT: Final = 4_000
"""Characters of a result that a worker is given; a longer one is cut, with a note."""

MAX_ITEMS: Final = 100_000
"""Of a generator; one that gives more is not waited for."""


@dataclass(frozen=True, slots=True)
class CallResult:
    """What came of one call."""

    status: Literal["succeeded", "failed"]
    text: str
    """What the worker reads: the rendered value, or `failed: ` and the error."""
    value: Any
    """What the function returned; None where the call failed."""
    error: str | None
    """One sentence, or None."""
    wall_s: float


def run_direct(
    call: AnyCall, tools: Mapping[str, Tool], *, clock: Callable[[], float] = time.perf_counter
) -> CallResult:
    """Check the arguments, call the function, render what it returns."""
    start = clock()
    if isinstance(call, BrokenCall):
        return _failed(call.reason, clock() - start)
    tool = tools.get(call.name)
    if tool is None:
        return _failed(unknown_tool(call.name, tools), clock() - start)
    try:
        value = whole(tool.function(**fit_arguments(tool, call.arguments)))
        text = _capped(render_result(value))
    # A tool is somebody else's code, and one that calls exit() must not end the run either.
    except (Exception, SystemExit) as error:
        return _failed(error_sentence(tool.name, error), clock() - start)
    return CallResult("succeeded", text, value, None, clock() - start)


def whole(value: Any) -> Any:
    """What a function returned, with a generator's items as a list: a result must be one that can be read twice.

    >>> whole(n * n for n in range(4))
    [0, 1, 4, 9]
    """
    if not isinstance(value, Iterator) or isinstance(value, IOBase):
        return value
    items = list(islice(value, MAX_ITEMS + 1))
    check_number(items)
    return items


def check_number(items: Sequence[Any]) -> None:
    """Raises ValueError where a generator has given more items than are waited for."""
    if len(items) > MAX_ITEMS:
        raise ValueError(f"It gave more than {MAX_ITEMS:,} items: let it end after fewer.")


def error_sentence(tool: str, error: BaseException) -> str:
    """What a tool raised, in words: its own where it refuses, else with the type of its exception.

    >>> error_sentence("gcd", ValueError("Give whole numbers.")), error_sentence("gcd", KeyError())
    ('Give whole numbers.', 'gcd broke with KeyError: it gave no message')
    """
    try:
        message = render_result(str(error)).strip()
    except Exception:  # an exception whose own text cannot be made
        message = ""
    message = message or "it gave no message"
    own_words = isinstance(error, ToolsetError | ValueError)
    return message if own_words else f"{tool} broke with {type(error).__name__}: {message}"


def _capped(text: str) -> str:
    cut = len(text) - MAX_TEXT
    return text if cut <= 0 else f"{text[:MAX_TEXT]}\n[cut: {cut:,} more characters]"


def _failed(error: str, wall_s: float) -> CallResult:
    error = _capped(error)
    return CallResult("failed", f"failed: {error}", None, error, wall_s)
