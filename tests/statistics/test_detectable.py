from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from cqlbench.statistics.detectable import detectable_difference
from cqlbench.statistics.paired import POWER, power


@pytest.mark.parametrize(("seeds", "comparisons"), [(3, 1), (3, 72), (5, 12), (20, 6)])
def test_of_paired_seeds_it_is_that_of_the_stated_power(seeds, comparisons):
    found = detectable_difference((0.07, 0), (seeds, seeds), comparisons)
    assert power(seeds, found, 0.07, comparisons) == pytest.approx(POWER, abs=0.001)


def test_of_paired_seeds_it_is_statsmodels():
    # Two-sided there; the wrong side is next to nothing.
    expected = TTestPower().solve_power(nobs=10, alpha=0.05, power=POWER)
    assert detectable_difference((1, 0), (10, 10)) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("deviations", [(0.05, 0.05), (0.02, 0.08)])
@pytest.mark.parametrize(("seeds", "comparisons"), [((3, 3), 1), ((3, 3), 20), ((5, 3), 6), ((10, 10), 20)])
def test_welch_finds_it_as_often_as_stated(deviations, seeds, comparisons):
    generator = np.random.default_rng(0)
    x, y = (
        deviation * generator.standard_normal((20_000, count))
        for deviation, count in zip(deviations, seeds, strict=True)
    )
    x += detectable_difference(deviations, seeds, comparisons)
    test = stats.ttest_ind(x, y, axis=1, equal_var=False)
    found = (test.pvalue < 0.05 / comparisons) & (test.statistic > 0)
    # Three standard errors of such a share are 0.0085.
    assert found.mean() == pytest.approx(POWER, abs=0.0085)
