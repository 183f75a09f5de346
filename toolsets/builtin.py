"""The built-in tools: twenty small pure functions, typed, each with examples that are tested.

In: plain values (a day is an ISO text or a `datetime.date`). Out: plain values; what cannot be answered raises
ValueError with one sentence. Neighbours: `tool` turns each function into a `Tool`, `direct` calls it; `exact` does the
arithmetic, so that 0.1 + 0.2 is 0.3 and whole results are ints.
"""

import math
import unicodedata
from collections.abc import Callable
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any, Final

from toolsets.exact import MAX_DIGITS, bounded, exact, plain, rounded
from toolsets.tool import Day, Number, Tool

_WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

# Miller-Rabin with these bases decides every number below the limit (Sorenson and Webster 2015, arXiv 1509.00864).
_PRIME_BASES: Final = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41)
_PRIME_LIMIT: Final = 3_317_044_064_679_887_385_961_981

# unit -> (dimension, its size in the dimension's first unit)
_UNITS: Final[dict[str, tuple[str, Fraction]]] = {
    "m": ("length", Fraction(1)),
    "km": ("length", Fraction(1000)),
    "cm": ("length", Fraction(1, 100)),
    "mi": ("length", Fraction("1609.344")),
    "ft": ("length", Fraction("0.3048")),
    "in": ("length", Fraction("0.0254")),
    "kg": ("mass", Fraction(1)),
    "g": ("mass", Fraction(1, 1000)),
    "lb": ("mass", Fraction("0.45359237")),
    "oz": ("mass", Fraction("0.45359237") / 16),
    "l": ("volume", Fraction(1)),
    "gal": ("volume", Fraction("3.785411784")),
    "s": ("time", Fraction(1)),
    "min": ("time", Fraction(60)),
    "h": ("time", Fraction(3600)),
    "c": ("temperature", Fraction(1)),
    "f": ("temperature", Fraction(5, 9)),
}
_LONG_NAMES: Final[dict[str, str]] = {
    "meter": "m", "kilometer": "km", "centimeter": "cm", "mile": "mi", "foot": "ft", "feet": "ft", "inch": "in",
    "inches": "in", "kilogram": "kg", "gram": "g", "pound": "lb", "ounce": "oz", "liter": "l", "gallon": "gal",
    "second": "s", "minute": "min", "hour": "h", "celsius": "c", "fahrenheit": "f", "kilometre": "km", "metre": "m",
    "centimetre": "cm", "litre": "l",
}  # fmt: skip


def add(a: Number, b: Number) -> Number:
    """Sum of two numbers.

    >>> add(2, 3)
    5
    >>> add(0.1, 0.2)
    0.3
    """
    return plain(exact(a) + exact(b))


def subtract(a: Number, b: Number) -> Number:
    """Difference of two numbers.

    >>> subtract(10, 4)
    6
    >>> subtract(1.5, 2.25)
    -0.75
    """
    return plain(exact(a) - exact(b))


def multiply(a: Number, b: Number) -> Number:
    """Product of two numbers.

    >>> multiply(6, 7)
    42
    >>> multiply(0.1, 1.1)
    0.11
    """
    return plain(exact(a) * exact(b))


def divide(a: Number, b: Number) -> Number:
    """Quotient of two numbers.

    >>> divide(84, 2)
    42
    >>> divide(2, 3)
    0.6667
    """
    if b == 0:
        raise ValueError("Division by zero has no result: give another divisor.")
    return rounded(exact(a) / exact(b))


def power(base: int, exponent: int) -> int:
    """Power of a number.

    >>> power(2, 10)
    1024
    >>> power(-3, 3)
    -27
    """
    if exponent < 0:
        raise ValueError("The exponent must be 0 or more.")
    # Judged before it is computed: 9 ** 9 ** 9 would fill the memory.
    if abs(base) > 1 and exponent * math.log10(abs(base)) > MAX_DIGITS:
        raise ValueError(f"The power has more than {MAX_DIGITS} digits: use a smaller base or exponent.")
    return bounded(base**exponent if abs(base) > 1 else _tiny_power(base, exponent))


def percent_of(percent: Number, value: Number) -> Number:
    """Percentage of a value.

    >>> percent_of(15, 80)
    12
    >>> percent_of(12.5, 30)
    3.75
    """
    return plain(exact(percent) * exact(value) / 100)


def gcd(a: int, b: int) -> int:
    """Greatest common divisor.

    >>> gcd(12, 18)
    6
    >>> gcd(17, 5)
    1
    """
    return bounded(math.gcd(a, b))


def lcm(a: int, b: int) -> int:
    """Least common multiple.

    >>> lcm(4, 6)
    12
    >>> lcm(7, 3)
    21
    """
    return bounded(math.lcm(a, b))


def remainder(a: int, b: int) -> int:
    """Remainder of a division.

    >>> remainder(17, 5)
    2
    >>> remainder(-1, 7)
    6
    """
    if b == 0:
        raise ValueError("Division by zero has no remainder: give another divisor.")
    return bounded(a % b)


def is_prime(n: int) -> bool:
    """Primality of a number.

    >>> is_prime(97)
    True
    >>> is_prime(91)
    False
    """
    if n >= _PRIME_LIMIT:
        raise ValueError("Primality is decided only for numbers of up to 24 digits.")
    if n < 2:
        return False
    for base in _PRIME_BASES:
        if n % base == 0:
            return n == base
    return all(_passes_miller_rabin(n, base) for base in _PRIME_BASES)


def digit_sum(n: int) -> int:
    """Digit sum of an integer.

    >>> digit_sum(1234)
    10
    >>> digit_sum(-56)
    11
    """
    return sum(int(digit) for digit in str(abs(bounded(n))))


def days_between(start: Day, end: Day) -> int:
    """Days between two dates.

    Negative where the end is before the start.

    >>> days_between("2024-02-28", "2024-03-01")
    2
    >>> days_between("2025-01-10", "2025-01-01")
    -9
    """
    return (_day(end) - _day(start)).days


def add_days(day: Day, days: int) -> date:
    """Date some days later.

    >>> add_days("2024-02-28", 2)
    datetime.date(2024, 3, 1)
    >>> add_days("2025-01-01", -1).isoformat()
    '2024-12-31'
    """
    try:
        return _day(day) + timedelta(days=days)
    except OverflowError:
        raise ValueError("The day is outside the calendar's years 1 to 9999: use fewer days.") from None


def weekday(day: Day) -> str:
    """Weekday of a date.

    >>> weekday("2024-02-29")
    'Thursday'
    >>> weekday("2000-01-01")
    'Saturday'
    """
    return _WEEKDAYS[_day(day).weekday()]


def reverse_text(text: str) -> str:
    """Reversed text.

    >>> reverse_text("planet")
    'tenalp'
    >>> reverse_text("a b c")
    'c b a'
    """
    return _composed(text)[::-1]


def count_letter(text: str, letter: str) -> int:
    """Occurrences of a letter.

    Upper and lower case count alike.

    >>> count_letter("Mississippi", "s")
    4
    >>> count_letter("Anna", "a")
    2
    """
    wanted = _composed(letter)
    if len(wanted) != 1:
        raise ValueError("The letter must be exactly one character.")
    return sum(character.lower() == wanted.lower() for character in _composed(text))


def text_length(text: str) -> int:
    """Length of a text.

    >>> text_length("planet")
    6
    >>> text_length("two words")
    9
    """
    return len(_composed(text))


def convert_units(value: Number, unit: str, to: str) -> Number:
    """Conversion between two units.

    Units: km mi m ft cm in, kg lb g oz, l gal (US), C F, h min s.

    >>> convert_units(5, "km", "m")
    5000
    >>> convert_units(10, "mi", "km")
    16.0934
    >>> convert_units(100, "C", "F")
    212
    >>> convert_units(3, "hours", "minutes")
    180
    """
    dimension, size = _unit(unit)
    to_dimension, to_size = _unit(to)
    if dimension != to_dimension:
        raise ValueError(f"{unit} is a unit of {dimension} and {to} of {to_dimension}: give two units of one kind.")
    return rounded((exact(value) - _zero(unit)) * size / to_size + _zero(to))


def mean(numbers: list[Number]) -> Number:
    """Arithmetic mean of numbers.

    >>> mean([2, 4, 9])
    5
    >>> mean([1, 2, 2])
    1.6667
    """
    if not numbers:
        raise ValueError("An empty list has no mean: give at least one number.")
    return rounded(sum(map(exact, numbers), Fraction()) / len(numbers))


def median(numbers: list[Number]) -> Number:
    """Median of numbers.

    >>> median([9, 1, 5])
    5
    >>> median([1, 2, 3, 4])
    2.5
    """
    if not numbers:
        raise ValueError("An empty list has no median: give at least one number.")
    ordered = sorted(map(exact, numbers))
    middle = len(ordered) // 2
    return plain((ordered[middle] + ordered[-middle - 1]) / 2)


def _tiny_power(base: int, exponent: int) -> int:
    """The power of -1, 0 or 1, for an exponent of any length."""
    if base == 0:
        return 0 if exponent else 1
    return base if exponent % 2 else 1


def _passes_miller_rabin(n: int, base: int) -> bool:
    twos = ((n - 1) & (1 - n)).bit_length() - 1
    x = pow(base, (n - 1) >> twos, n)
    if x in (1, n - 1):
        return True
    for _ in range(twos - 1):
        x = x * x % n
        if x == n - 1:
            return True
    return False


def _day(day: Day) -> date:
    if isinstance(day, datetime):
        return day.date()
    if isinstance(day, date):
        return day
    try:
        return date.fromisoformat(day)
    except ValueError:
        raise ValueError(f"{day!r} is not a day of the calendar: write it as YYYY-MM-DD.") from None


def _composed(text: str) -> str:
    """Accents joined to their letters, so that a letter with an accent is one character however it was typed."""
    return unicodedata.normalize("NFC", text)


def _unit(unit: str) -> tuple[str, Fraction]:
    try:
        return _UNITS[_short_unit(unit)]
    except KeyError:
        raise ValueError(
            f"{unit!r} is not a known unit: use one of km mi m ft cm in kg lb g oz l gal C F h min s."
        ) from None


def _short_unit(unit: str) -> str:
    """'Miles' and 'mile' -> 'mi'; a short name stays as it is."""
    name = unit.strip().lower()
    return _LONG_NAMES.get(name) or _LONG_NAMES.get(name.removesuffix("s")) or name


def _zero(unit: str) -> int:
    """Where the unit's scale has the freezing point of water, the zero of Celsius; 0 for every other dimension."""
    return 32 if _short_unit(unit) == "f" else 0


_FUNCTIONS: Final[tuple[Callable[..., Any], ...]] = (
    add,
    subtract,
    multiply,
    divide,
    power,
    percent_of,
    gcd,
    lcm,
    remainder,
    is_prime,
    digit_sum,
    days_between,
    add_days,
    weekday,
    reverse_text,
    count_letter,
    text_length,
    convert_units,
    mean,
    median,
)

BUILTINS: Final[dict[str, Tool]] = {
    function.__name__: Tool.from_function(function, idempotent=True) for function in _FUNCTIONS
}
