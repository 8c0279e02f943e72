from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from statsmodels.stats.multitest import multipletests

from cqlbench.statistics import paired
from cqlbench.statistics.paired import paired_test


def test_the_test_agrees_with_scipy():
    x, y = np.random.default_rng(0).normal(size=(2, 6))
    found, expected = paired_test(x - y), stats.ttest_rel(x, y)
    assert found.p == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval()
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_holm_by_hand():
    # 0.01 x 3; 0.02 x 2; 0.04 x 1 is no less than the one before it.
    assert paired.holm(np.array([0.04, 0.01, 0.02])) == pytest.approx([0.04, 0.03, 0.04])
    assert paired.holm(np.array([0.6, 0.9])) == pytest.approx([1, 1])


@given(hnp.arrays(float, st.integers(1, 8), elements=st.floats(1e-6, 1)))
def test_holm_lies_between_no_correction_and_bonferroni(p):
    corrected = paired.holm(p)
    assert (corrected >= p).all() and (corrected <= np.minimum(1, len(p) * p) + 1e-12).all()
    assert (np.diff(corrected[np.argsort(p)]) >= 0).all()


def test_holm_is_statsmodels():
    p = np.random.default_rng(0).random((5, 6)) ** 3
    expected = [multipletests(row, method="holm")[1] for row in p]
    np.testing.assert_allclose(paired.holm(p), expected)


def test_power_agrees_with_simulated_tests():
    generator = np.random.default_rng(1)
    tests = paired_test(0.1 + 0.07 * generator.standard_normal((20_000, 5)))
    assert np.mean((tests.p < 0.05) & (tests.mean > 0)) == pytest.approx(paired.power(5, 0.1, 0.07), abs=0.01)


def test_seeds_needed_is_the_first_that_is_enough():
    needed = paired.seeds_needed(0.1, 0.07)
    assert paired.power(needed, 0.1, 0.07) >= paired.POWER > paired.power(needed - 1, 0.1, 0.07)
    assert paired.seeds_needed(-0.1, 0.07) == needed
    assert paired.seeds_needed(0.1, 0.07, comparisons=4) > needed
    assert paired.seeds_needed(0.001, 0.07) is None
