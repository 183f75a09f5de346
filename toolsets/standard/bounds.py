"""Bounds on what the standard tools do, so that no argument makes one run for ever or fill the memory.

In: what a model asked for. Out: the same, or a ValueError of one sentence. Neighbours: every file of this folder.
"""

import importlib
import sys
from collections.abc import Callable, Iterator, Sized
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, TypeVar

MAX_TEXT: Final = 100_000
MAX_ITEMS: Final = 10_000
MAX_STEPS: Final = 6_000_000
"""Function calls that a computation of unforeseeable length may make: a few seconds."""

S = TypeVar("S", bound=Sized)


def library(name: str) -> Any:
    """A library that only some tools need, loaded on the first use; raises ValueError where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ValueError(f"{name} is not installed here: run pip install 'agent-workbench[tools]'.") from None


def limited(value: S, limit: int, what: str) -> S:
    """The value itself; raises ValueError where it is longer than the limit."""
    if len(value) > limit:
        raise ValueError(f"The {what} is longer than {limit:,}: give a shorter one.")
    return value


def short_text(text: str) -> str:
    """A text that is not too long to work on."""
    return limited(text, MAX_TEXT, "text (in characters)")


def short_list(items: list[Any]) -> list[Any]:
    """A list that is not too long to work on."""
    return limited(items, MAX_ITEMS, "list")


class _Spent(BaseException):
    """Not an Exception: a library that tries one method after the other must not take it for a failed attempt."""


@contextmanager
def bounded_work(steps: int | None = None) -> Iterator[None]:
    """Break off after so many function calls, by default MAX_STEPS, with a ValueError.

    Counted, not timed: the same question is broken off at the same place on every machine.
    """
    left = MAX_STEPS if steps is None else steps

    def count(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise _Spent

    before: Callable[..., Any] | None = sys.getprofile()
    sys.setprofile(count)
    try:
        yield
    except _Spent:
        raise ValueError("This takes too long to work out: ask for something simpler.") from None
    except (RecursionError, MemoryError):
        raise ValueError("This is too deeply nested or too large: ask for something simpler.") from None
    finally:
        sys.setprofile(before)
