"""How sure a measured figure is: 95 % intervals of shares, of differences of shares, of ratios of means.

In: counts, or one number per worksheet. Out: (value, low, high). Pure. Above: `evaluate_sets`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from math import sqrt
from typing import Final

Interval = tuple[float, float, float]
"""Value, lower end, upper end."""

_Z: Final = 1.959964
_RESAMPLED: Final = 2000


def share(right: int, total: int) -> Interval:
    """A share with Wilson's interval (1927): p = (k/n + z^2/2n +- z sqrt(k/n (1 - k/n)/n + z^2/4n^2)) / (1 + z^2/n).

    >>> [round(x, 3) for x in share(95, 100)]
    [0.95, 0.888, 0.978]
    """
    if not total:
        return 0.0, 0.0, 1.0
    p, z2 = right / total, _Z * _Z
    middle = (p + z2 / (2 * total)) / (1 + z2 / total)
    half = _Z * sqrt(p * (1 - p) / total + z2 / (4 * total * total)) / (1 + z2 / total)
    return p, min(p, max(0.0, middle - half)), max(p, min(1.0, middle + half))


def difference(one: tuple[int, int], other: tuple[int, int]) -> Interval:
    """One share less another, both as (right, total), with Newcombe's interval (1998, method 10).

    >>> [round(x, 3) for x in difference((95, 100), (90, 100))]
    [0.05, -0.026, 0.13]
    """
    (p, low_p, high_p), (q, low_q, high_q) = share(*one), share(*other)
    gap = p - q
    return gap, gap - sqrt((p - low_p) ** 2 + (high_q - q) ** 2), gap + sqrt((high_p - p) ** 2 + (q - low_q) ** 2)


def ratio(above: Sequence[float], below: Sequence[float]) -> Interval:
    """The mean of one sample over the mean of another, with a bootstrap interval of 2,000 resamples, always the same.

    >>> ratio([2.0, 2.0], [4.0, 4.0])
    (0.5, 0.5, 0.5)
    """
    if not above or not sum(below):
        return 0.0, 0.0, float("inf")
    rng = random.Random(0)
    drawn = sorted(
        (sum(rng.choices(above, k=len(above))) / len(above)) / (sum(rng.choices(below, k=len(below))) / len(below))
        for _ in range(_RESAMPLED)
    )
    value = (sum(above) / len(above)) / (sum(below) / len(below))
    return value, drawn[int(0.025 * _RESAMPLED)], drawn[int(0.975 * _RESAMPLED)]
