"""Runs one call at once, in this process: the simplest executor.

In: a `ToolCall` (or a `BrokenCall`) of `parse`, and the tools by name. Out: a `CallResult`; nothing that a model writes
and nothing that a tool raises becomes an exception here. Neighbours: `parse` above, `arguments` for the check against
the schema, the tools' functions below. A planner with an executor of its own can take this file's place: it needs only
the same `CallResult`.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from io import IOBase
from itertools import islice
from typing import Any, Final, Literal

from toolsets.arguments import fit_arguments
from toolsets.damaged import well_formed
from toolsets.errors import ToolsetError
from toolsets.parse import AnyCall, BrokenCall
from toolsets.tool import Tool

MAX_TEXT: Final = 4_000
"""Characters of a result that a worker is given; a longer one is cut, with a note."""

MAX_ITEMS: Final = 100_000
"""Of a generator; one that gives more is not waited for."""

_DECIMALS: Final = 6
_MAX_NAMES: Final = 30


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
        return _failed(_unknown_tool(call.name, tools), clock() - start)
    try:
        value = whole(tool.function(**fit_arguments(tool, call.arguments)))
        text = _capped(render_result(value))
    except (ToolsetError, ValueError) as error:
        return _failed(_message(error), clock() - start)
    # A tool is somebody else's code, and one that calls exit() must not end the run either.
    except (Exception, SystemExit) as error:
        return _failed(f"{tool.name} broke with {type(error).__name__}: {_message(error)}", clock() - start)
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


def render_result(value: Any) -> str:
    """A value as the short text that a model reads; raises ValueError for one that holds itself.

    >>> [render_result(value) for value in (42, 2.50, 1 / 3, True, [1, 2.0], date(2024, 2, 29))]
    ['42', '2.5', '0.333333', 'yes', '[1, 2]', '2024-02-29']
    """
    try:
        return _render(value)
    except RecursionError:
        raise ValueError("The result holds itself or is nested too deeply: return a flat list or record.") from None


def _render(value: Any) -> str:
    if isinstance(value, str):
        return well_formed(value)
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float | Decimal):
        return _render_decimal(value)
    if isinstance(value, int):
        return _render_integer(value)
    if isinstance(value, date):
        return value.isoformat(sep=" ") if isinstance(value, datetime) else value.isoformat()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_render_item(key)}: {_render_item(item)}" for key, item in value.items()) + "}"
    if isinstance(value, set | frozenset):  # their order is drawn anew by every process
        return "[" + ", ".join(sorted(map(_render_item, value), key=_by_size)) + "]"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_render_item, value)) + "]"
    plain = _told_as(value)
    return str(value) if plain is value else _render(plain)


def _by_size(text: str) -> tuple[float, str]:
    try:
        return float(text), text
    except ValueError:
        return float("inf"), text


def _told_as(value: Any) -> Any:
    """A record for what has fields, a table's rows, an array's items, a choice's value; anything else as it is."""
    kind = type(value)
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: getattr(value, one.name) for one in fields(value)}
    if isinstance(names := getattr(kind, "model_fields", None), dict):  # pydantic's
        return {name: getattr(value, name) for name in names}
    if hasattr(kind, "to_dict") and hasattr(value, "columns"):  # a data frame's
        return value.to_dict("records")
    return value.tolist() if hasattr(kind, "tolist") and hasattr(kind, "dtype") else value


def _render_integer(value: int) -> str:
    try:
        return str(value)
    except ValueError:  # Python's own limit
        return f"a whole number of about {int(value.bit_length() * 0.30103):,} digits"


def _render_item(value: Any) -> str:
    value = value.value if isinstance(value, Enum) else value
    text = _render(value)
    return json.dumps(text, ensure_ascii=False) if isinstance(value, str) else text


def _render_decimal(value: float | Decimal) -> str:
    """Six decimals; six significant digits below 1; a power of ten only where the plain form would be long."""
    number = Decimal(repr(value)) if isinstance(value, float) else value
    if not number.is_finite():
        return str(number).lower()
    if number == 0:
        return "0"
    magnitude = number.adjusted()
    if not -12 <= magnitude <= 20:
        digits, exponent = f"{number:.{_DECIMALS - 1}e}".split("e")
        return f"{_trimmed(digits)}e{exponent}"
    return _trimmed(f"{number:.{_DECIMALS - min(magnitude + 1, 0)}f}")


def _trimmed(digits: str) -> str:
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def _capped(text: str) -> str:
    cut = len(text) - MAX_TEXT
    return text if cut <= 0 else f"{text[:MAX_TEXT]}\n[cut: {cut:,} more characters]"


def _unknown_tool(name: str, tools: Mapping[str, Tool]) -> str:
    if not tools:
        return f"There is no tool {name[:80]!r}: no tools are offered here."
    names = sorted(tools)
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return f"There is no tool {name[:80]!r}: use one of {', '.join(names[:_MAX_NAMES])}{more}."


def _message(error: BaseException) -> str:
    try:
        message = render_result(str(error)).strip()
    except Exception:  # an exception whose own text cannot be made
        message = ""
    return message or "it gave no message"


def _failed(error: str, wall_s: float) -> CallResult:
    error = _capped(error)
    return CallResult("failed", f"failed: {error}", None, error, wall_s)
