"""When two answers are the same: numbers by value, texts by their words, yes by true.

In: a value that a tool returned, and an answer as a table of problems has it. Out: yes or no. Neighbours: `checking`
judges solutions with it, `behaviour` compares two tools by it. Pure.

>>> same_answer(6.0, "6"), same_answer(True, "yes"), same_answer("1,250 dollars", 1250), same_answer([1, 2], "[1, 2.0]")
(True, True, True, True)
>>> same_answer("above", "below"), same_answer(None, "")
(False, False)
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Final

from toolsets.annotations import literal

TOLERANCE: Final = 1e-6
"""Relative: what is left of a difference when both sides were rounded or computed in another order."""
_TRUTH: Final = {"yes": True, "true": True, "no": False, "false": False}
_NUMBER: Final = re.compile(
    r"^\s*[$€£]?\s*(-?[$€£]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?|-?\.\d+)\s*(?:%|percent|[a-z²³]{1,12})?\.?\s*$", re.I
)
_FRACTION: Final = re.compile(r"^\s*(-?\d+)\s*/\s*(\d+)\s*$")


def same_answer(value: Any, expected: Any, *, tolerance: float = TOLERANCE) -> bool:
    """Whether a value is the expected answer; nothing is the same as no answer."""
    if value is None or expected is None:
        return False
    return _same(_read(value), _read(expected), tolerance)


def same_value(one: Any, other: Any, *, tolerance: float = TOLERANCE) -> bool:
    """Whether two tools returned the same; None is a value here, and texts are compared to the letter."""
    if isinstance(one, str) or isinstance(other, str):
        return bool(one == other)
    return _same(one, other, tolerance)


def _same(one: Any, other: Any, tolerance: float) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float | Fraction) and isinstance(other, int | float | Fraction):
        if isinstance(one, int) and isinstance(other, int):
            return one == other
        try:
            return math.isclose(float(one), float(other), rel_tol=tolerance, abs_tol=tolerance * 1e-3)
        except OverflowError:
            return one == other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(one[key], other[key], tolerance) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(_same(a, b, tolerance) for a, b in zip(one, other, strict=True))
    if isinstance(one, str) and isinstance(other, str):
        return _words(one) == _words(other)
    return type(one) is type(other) and bool(one == other)


def _read(value: Any) -> Any:
    """A text as the value that it means: a number with its sign or unit, a truth value, a list."""
    if isinstance(value, list | tuple) and len(value) == 1:
        return _read(value[0])
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.lower() in _TRUTH:
        return _TRUTH[text.lower()]
    if number := _NUMBER.match(text):
        digits = number.group(1).replace(",", "").translate({ord(sign): None for sign in "$€£"})
        return float(digits) if any(mark in digits.lower() for mark in ".e") else int(digits[:4000])
    if (fraction := _FRACTION.match(text)) and int(fraction.group(2)):
        return Fraction(int(fraction.group(1)), int(fraction.group(2)))
    if text[:1] in "[({":
        try:
            value = literal(text)
        except ValueError:
            return text
        return _read(value) if isinstance(value, list | tuple) and len(value) == 1 else value
    return text


def _words(text: str) -> str:
    return " ".join(text.lower().split()).strip(" .")
