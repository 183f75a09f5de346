"""Helped or hurt: the same cases with a row in the prompt and without it, compared pair by pair.

In: `Trial`s, each one case tried both ways. Out: an `Effect`: both solve rates, their difference and its interval.
The interval is the adjusted one of Agresti and Min (Statistics in Medicine 2005) for paired proportions: two pairs are
added to those that were seen, one of them without a difference and half of one in each direction, so that ten cases
without any difference do not read as certainty. With scores between 0 and 1 the same pairs are added. Pure.
Neighbours: `store` keeps the trials, an ablation makes them, whoever curates is shown the effect.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

Z_95: Final = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Trial:
    """One case tried with one content of a row in the prompt, and without it, everything else the same."""

    row_id: str
    content_hash: str
    case_id: str
    """What was tried, and with which model and settings: the same id is the same case."""
    time: float
    score_with: float
    """The share of the case that was solved, 0 to 1."""
    score_without: float


@dataclass(frozen=True, slots=True)
class Effect:
    """What a row did to the solve rate; `difference` is with minus without."""

    cases: int
    rate_with: float
    rate_without: float
    difference: float
    low: float
    high: float
    better: int
    """Cases that were solved better with it."""
    worse: int

    @property
    def verdict(self) -> str:
        """helped or hurt where the interval leaves no doubt, else unclear."""
        return "helped" if self.low > 0 else "hurt" if self.high < 0 else "unclear"

    def to_json(self) -> dict[str, Any]:
        return {
            "cases": self.cases,
            "rate_with": round(self.rate_with, 4),
            "rate_without": round(self.rate_without, 4),
            "difference": round(self.difference, 4),
            "interval": [round(self.low, 4), round(self.high, 4)],
            "better": self.better,
            "worse": self.worse,
            "verdict": self.verdict,
        }

    def __str__(self) -> str:
        return (
            f"{self.verdict}: {self.rate_with:.3f} with, {self.rate_without:.3f} without, difference "
            f"{self.difference:+.3f} ({self.low:+.3f} to {self.high:+.3f}, {self.cases} cases)"
        )


def effect_of(trials: Iterable[Trial]) -> Effect | None:
    """The effect that trials of one content show; None where there are none.

    >>> pairs = [Trial("r", "c", str(n), 0.0, 1.0, float(n < 6)) for n in range(10)]
    >>> print(effect_of(pairs))
    helped: 1.000 with, 0.600 without, difference +0.400 (+0.021 to +0.646, 10 cases)
    """
    pairs = list(trials)
    if not pairs:
        return None
    differences = [pair.score_with - pair.score_without for pair in pairs]
    count = len(pairs)
    mean = sum(differences) / (count + 2)
    spread = math.sqrt(max(0.0, ((sum(d * d for d in differences) + 1) / (count + 2) - mean * mean) / (count + 2)))
    return Effect(
        cases=count,
        rate_with=sum(pair.score_with for pair in pairs) / count,
        rate_without=sum(pair.score_without for pair in pairs) / count,
        difference=sum(differences) / count,
        low=max(-1.0, mean - Z_95 * spread),
        high=min(1.0, mean + Z_95 * spread),
        better=sum(d > 0 for d in differences),
        worse=sum(d < 0 for d in differences),
    )
