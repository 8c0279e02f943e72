"""Which true difference between two methods so many seeds of them can see."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy import special, stats
from scipy.optimize import brentq

from cqlbench.statistics.intervals import CONFIDENCE
from cqlbench.statistics.paired import POWER

# Points of the integral over each of two sample variances: the power is right to a thousandth, to six with two seeds.
POINTS = 64


def detectable_difference(deviations: tuple[float, float], seeds: tuple[int, int], comparisons: int = 1) -> float:
    """The smallest true difference of two normal means that Welch's test finds, in its direction, with POWER.

    Of two methods with these true `deviations` over so many `seeds`, two or more each; with several comparisons, at the
    level of Holm's first step. A paired test is that of one sample, the differences: its deviation, and 0.
    """
    of_x, of_y = deviations
    total = np.hypot(of_x, of_y)
    return float(total) * _of_unit_deviation(float((of_x / total) ** 2), *seeds, comparisons)


@cache
def _of_unit_deviation(share: float, x_seeds: int, y_seeds: int, comparisons: int) -> float:
    """Where the two variances sum to 1, `share` of it being that of x.

    The error that the test sees, its degrees of freedom and so its threshold come from the sample variances, and the
    difference of the means is independent of these.
    """
    points, weights = np.polynomial.legendre.leggauss(POINTS)
    chances, weights = (points + 1) / 2, weights / 2
    seen_x, seen_y = (
        part * special.chdtri(seeds - 1, 1 - chances) / (seeds - 1) / seeds
        for part, seeds in ((share, x_seeds), (1 - share, y_seeds))
    )
    seen = seen_x[:, None] + seen_y
    degrees = seen**2 / (seen_x[:, None] ** 2 / (x_seeds - 1) + seen_y**2 / (y_seeds - 1))
    # Quantiles are slow, and smooth in the degrees of freedom.
    known = np.geomspace(degrees.min(), degrees.max(), 200)
    critical = np.interp(degrees, known, stats.t.ppf(1 - (1 - CONFIDENCE) / comparisons / 2, known))
    error = np.sqrt(share / x_seeds + (1 - share) / y_seeds)
    thresholds = critical * np.sqrt(seen) / error

    def lacking(errors: float) -> float:
        return float(weights @ special.ndtr(errors - thresholds) @ weights) - POWER

    return float(error) * brentq(lacking, 0, thresholds.max() + 10)
