"""Exact arithmetic for the built-in tools.

In: ints and floats. Out: ints and floats. Neighbours: `builtin` computes between `exact` and `plain` or `rounded`, in
fractions of the decimals that were written.
"""

import math
from fractions import Fraction
from typing import Final

from toolsets.tool import Number

MAX_DIGITS: Final = 200
"""Longer whole numbers are refused: no reader, human or model, can use them."""

_PLACES: Final = 4


def exact(number: Number) -> Fraction:
    """The decimal that was written: 0.1 is one tenth, not the nearest binary fraction."""
    return Fraction(number) if isinstance(number, int) else Fraction(repr(number))


def plain(value: Fraction) -> Number:
    """An int where the value is whole, else the nearest float."""
    bounded(math.trunc(value))
    return value.numerator if value.denominator == 1 else float(value)


def rounded(value: Fraction) -> Number:
    """To 4 decimals, halves away from zero; to 4 significant digits where 4 decimals would leave nothing."""
    places = _PLACES
    if value and abs(value) * 10**places < 1:
        # Not the logarithm of the quotient, which a float may not be able to hold.
        places -= math.floor(math.log10(abs(value.numerator)) - math.log10(value.denominator)) + 1
    scaled = abs(value) * 10**places
    whole = (2 * scaled.numerator + scaled.denominator) // (2 * scaled.denominator)
    return plain(Fraction(whole if value > 0 else -whole, 10**places))


def bounded(value: int) -> int:
    """The value itself; raises ValueError where it is too long to be of use."""
    if abs(value) >= 10**MAX_DIGITS:
        raise ValueError(f"The number has more than {MAX_DIGITS} digits: use smaller numbers.")
    return value
