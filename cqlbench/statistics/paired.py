"""One method against another: the test of a mean difference, the correction over several, and its power."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from cqlbench.statistics.intervals import CONFIDENCE

# The true difference that a power is stated for, and the power that more seeds are counted for.
GAIN = 0.10
POWER = 0.80
MAX_SEEDS = 100
# Few seeds do not say how far seeds spread, so a power comes with the range that holds it in so many cases.
SPREAD_CONFIDENCE = 0.80
# Differences that vary less have no spread that a test could use: a seed that is not used looks like this.
NO_SPREAD = 1e-9

BETTER, WORSE, UNDECIDED, UNTESTABLE = "better", "worse", "no evidence either way", "cannot be judged"


class PairedTest(NamedTuple):
    """Student's t test and interval of a mean difference; NaN where there are fewer than two pairs or no spread."""

    mean: np.ndarray
    deviation: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray


def paired_test(differences: np.ndarray) -> PairedTest:
    """The test over the last axis, the seeds, of (..., seeds); `low` and `high` are at 95 %, uncorrected."""
    seeds = differences.shape[-1]
    mean = differences.mean(-1)
    if seeds < 2:
        nothing = np.full_like(mean, np.nan)
        return PairedTest(mean, nothing, nothing, nothing, nothing)
    deviation = differences.std(-1, ddof=1)
    deviation = np.where(deviation < NO_SPREAD, np.nan, deviation)
    error = deviation / np.sqrt(seeds)
    half = stats.t.ppf(0.5 + CONFIDENCE / 2, seeds - 1) * error
    return PairedTest(mean, deviation, mean - half, mean + half, 2 * stats.t.sf(np.abs(mean) / error, seeds - 1))


def holm(p: np.ndarray) -> np.ndarray:
    """p values corrected over the last axis, (..., comparisons) (Holm 1979).

    Any is below 5 % while all differences are zero in at most 5 % of cases, however the comparisons depend on each
    other.
    """
    order = np.argsort(p, axis=-1)
    count = p.shape[-1]
    stepped = np.take_along_axis(p, order, -1) * (count - np.arange(count))
    corrected = np.minimum(np.maximum.accumulate(stepped, -1), 1)
    return np.take_along_axis(corrected, np.argsort(order, -1), -1)


def power(seeds: Any, gain: Any, deviation: Any, comparisons: int = 1) -> Any:
    """The chance of the verdict `better` where the true difference is `gain` and differences spread by `deviation`.

    Of normal differences, by the noncentral t distribution. With several comparisons, at the level of Holm's first
    step: the others can only help. Arguments broadcast.
    """
    critical = stats.t.ppf(1 - (1 - CONFIDENCE) / comparisons / 2, np.asarray(seeds) - 1)
    return stats.nct.sf(critical, np.asarray(seeds) - 1, gain * np.sqrt(seeds) / deviation)


def likely_spreads(seeds: float, deviation: Any) -> tuple[Any, Any, Any]:
    """The true spread of normal differences, from the one seen: the low, middle and high of SPREAD_CONFIDENCE.

    The middle is as often too small as too large; the spread seen is too small more often, by far with three seeds.
    Where a spread is known with other degrees of freedom than seeds - 1, `seeds` is one more than these.
    """
    tail = (1 - SPREAD_CONFIDENCE) / 2
    low, middle, high = (
        deviation * np.sqrt((seeds - 1) / stats.chi2.ppf(part, seeds - 1)) for part in (1 - tail, 0.5, tail)
    )
    return low, middle, high


def seeds_needed(gain: float, deviation: float, comparisons: int = 1) -> int | None:
    """The fewest seeds with which `power` reaches POWER; None where MAX_SEEDS do not."""
    seeds = np.arange(2, MAX_SEEDS + 1)
    enough = seeds[power(seeds, abs(gain), deviation, comparisons) >= POWER]
    return int(enough[0]) if len(enough) else None
