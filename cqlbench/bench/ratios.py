"""A measured ratio with its spread, and what may be said of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

# The interval is that of the rounds between these quantiles.
LOW, HIGH = 0.1, 0.9
# An interval whose ends are further apart than this factor carries no verdict.
WIDEST = 1.25
MET, MISSED, UNDECIDED = "met", "missed", "no verdict: spread too wide"


class Spread(NamedTuple):
    """A quantity over the rounds: its median, its 10th and its 90th percentile."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: np.ndarray) -> Spread:
        """From one value per round, (rounds,)."""
        median, low, high = np.quantile(values, [0.5, LOW, HIGH])
        return cls(float(median), float(low), float(high))

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


def paired_ratio(reference: np.ndarray, contender: np.ndarray) -> Spread:
    """How often the contender's time goes into the reference's, round by round: (rounds,), (rounds,)."""
    assert reference.shape == contender.shape, (reference.shape, contender.shape)
    return Spread.of(reference / contender)


@dataclass(frozen=True)
class Verdict:
    """A claim about a measured quantity: at least `bound`, or at most where `ceiling`."""

    claim: str
    measured: Spread
    bound: float
    ceiling: bool = False

    @property
    def outcome(self) -> str:
        """MET or MISSED by the median, UNDECIDED where the interval is too wide for either."""
        if self.measured.high > WIDEST * self.measured.low:
            return UNDECIDED
        median = self.measured.median
        return MET if (median <= self.bound if self.ceiling else median >= self.bound) else MISSED

    def __str__(self) -> str:
        limit = "at most" if self.ceiling else "at least"
        return f"{self.claim}: {self.measured}, {limit} {self.bound:g}: {self.outcome}"
