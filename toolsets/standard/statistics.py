"""Statistics of lists of numbers.

In: numbers. Out: numbers and small records. Sums are exact: computed in fractions of the decimals that were written.
Neighbours: `toolsets.standard` makes tools of these functions; `toolsets.builtin` has mean and median.
"""

import math
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

from typing_extensions import TypedDict

from toolsets.exact import exact, plain, rounded
from toolsets.standard.bounds import short_list
from toolsets.tool import Number


class Line(TypedDict):
    """A fitted line, and how much of the variation it explains."""

    slope: Number
    intercept: Number
    r_squared: Number


class Summary(TypedDict):
    """What a list of numbers looks like."""

    count: int
    sum: Number
    mean: Number
    median: Number
    min: Number
    max: Number
    standard_deviation: Number


def sum_numbers(numbers: list[Number]) -> Number:
    """Sum of numbers.

    >>> sum_numbers([0.1, 0.2, 3])
    3.3
    """
    return plain(sum(map(exact, short_list(numbers)), Fraction()))


def smallest(numbers: list[Number]) -> Number:
    """Smallest of several numbers.

    >>> smallest([3, 1, 2])
    1
    """
    return min(_some(numbers))


def largest(numbers: list[Number]) -> Number:
    """Largest of several numbers.

    >>> largest([3, 1, 2])
    3
    """
    return max(_some(numbers))


def variance(numbers: list[Number], population: bool = False) -> Number:
    """Variance of numbers, of a sample or of a whole population.

    >>> variance([2, 4, 9])
    13
    >>> variance([2, 4, 9], population=True)
    8.6667
    """
    return rounded(_variance(numbers, population))


def standard_deviation(numbers: list[Number], population: bool = False) -> Number:
    """Standard deviation of numbers, of a sample or of a whole population.

    >>> standard_deviation([2, 4, 4, 4, 5, 5, 7, 9], population=True)
    2
    """
    return rounded(_root(_variance(numbers, population)))


def most_frequent(numbers: list[Number]) -> list[Number]:
    """Most frequent of several numbers; more than one where they are equally frequent.

    >>> most_frequent([1, 2, 2, 3, 3])
    [2, 3]
    """
    counts = Counter(_some(numbers))
    most = max(counts.values())
    return sorted(number for number, count in counts.items() if count == most)


def percentile(numbers: list[Number], percent: Number) -> Number:
    """Value below which a percentage of the numbers lies, between neighbours in proportion.

    >>> percentile([1, 2, 3, 4, 5], 90)
    4.6
    """
    if not 0 <= percent <= 100:
        raise ValueError("The percentage must be between 0 and 100.")
    ordered = sorted(map(exact, _some(numbers)))
    place = exact(percent) / 100 * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return rounded(ordered[below] + (place - below) * (ordered[above] - ordered[below]))


def weighted_mean(numbers: list[Number], weights: list[Number]) -> Number:
    """Mean of numbers that count with different weights.

    >>> weighted_mean([10, 20], [3, 1])
    12.5
    """
    values, counts = _pairs(numbers, weights, 1)
    if any(weight < 0 for weight in counts) or not sum(counts):
        raise ValueError("The weights must be 0 or more, and not all of them 0.")
    return rounded(
        sum((value * weight for value, weight in zip(values, counts, strict=True)), Fraction()) / sum(counts)
    )


def correlation(x: list[Number], y: list[Number]) -> Number:
    """Pearson's correlation of two lists of numbers, between -1 and 1.

    >>> correlation([1, 2, 3], [2, 4, 6])
    1
    """
    across, both, up = _moments(x, y)
    if not across or not up:
        raise ValueError("The numbers of a list are all the same: a correlation needs numbers that differ.")
    return rounded(_root(both * both / (across * up)) * (1 if both >= 0 else -1))


def fit_line(x: list[Number], y: list[Number]) -> Line:
    """Straight line through points, by least squares.

    >>> fit_line([1, 2, 3], [3, 5, 7])
    {'slope': 2, 'intercept': 1, 'r_squared': 1}
    """
    across, both, up = _moments(x, y)
    if not across:
        raise ValueError("The points stand above each other: a line needs different values of x.")
    slope = both / across
    intercept = _mean(list(map(exact, y))) - slope * _mean(list(map(exact, x)))
    explained = both * both / (across * up) if up else Fraction(1)
    return {"slope": rounded(slope), "intercept": rounded(intercept), "r_squared": rounded(explained)}


def describe_numbers(numbers: list[Number]) -> Summary:
    """Count, sum, mean, median, extremes and standard deviation of numbers.

    >>> describe_numbers([1, 2, 3])["mean"]
    2
    """
    values = [exact(number) for number in _some(numbers)]
    return {
        "count": len(values),
        "sum": plain(sum(values, Fraction())),
        "mean": rounded(_mean(values)),
        "median": percentile(numbers, 50),
        "min": min(numbers),
        "max": max(numbers),
        "standard_deviation": standard_deviation(numbers) if len(values) > 1 else 0,
    }


def running_totals(numbers: list[Number]) -> list[Number]:
    """Sum of the numbers up to each place of a list.

    >>> running_totals([1, 2, 0.5])
    [1, 3, 3.5]
    """
    total, totals = Fraction(), []
    for number in short_list(numbers):
        total += exact(number)
        totals.append(plain(total))
    return totals


def _some(numbers: list[Number]) -> list[Number]:
    if not numbers:
        raise ValueError("The list is empty: give at least one number.")
    return short_list(numbers)


def _mean(values: Sequence[Fraction]) -> Fraction:
    return sum(values, Fraction()) / len(values)


def _variance(numbers: list[Number], population: bool) -> Fraction:
    values = [exact(number) for number in short_list(numbers)]
    if len(values) < (1 if population else 2):
        raise ValueError("The list is too short: give at least two numbers.")
    mean = _mean(values)
    return sum(((value - mean) ** 2 for value in values), Fraction()) / (len(values) - (not population))


def _pairs(x: list[Number], y: list[Number], least: int) -> tuple[list[Fraction], list[Fraction]]:
    if len(x) != len(y) or len(x) < least:
        raise ValueError(f"Give two lists of the same length, at least {least} numbers each.")
    return [exact(value) for value in short_list(x)], [exact(value) for value in y]


def _moments(x: list[Number], y: list[Number]) -> tuple[Fraction, Fraction, Fraction]:
    """Sums of squares and products around the means."""
    left, right = _pairs(x, y, 2)
    middle_x, middle_y = _mean(left), _mean(right)
    across = [value - middle_x for value in left]
    up = [value - middle_y for value in right]
    return (
        sum((value * value for value in across), Fraction()),
        sum((a * b for a, b in zip(across, up, strict=True)), Fraction()),
        sum((value * value for value in up), Fraction()),
    )


def _root(value: Fraction) -> Fraction:
    """The square root, exact where it is a fraction, to 30 digits elsewhere."""
    shift = 10**30
    top, bottom = math.isqrt(value.numerator), math.isqrt(value.denominator)
    if top * top == value.numerator and bottom * bottom == value.denominator:
        return Fraction(top, bottom)
    return Fraction(math.isqrt(value.numerator * shift * shift // value.denominator), shift)
