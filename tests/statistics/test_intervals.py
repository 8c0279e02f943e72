from __future__ import annotations

import numpy as np
import pytest

from cqlbench.statistics import t_interval


def test_t_interval_agrees_with_the_book():
    # Sample 1, 2, 3: standard error 1/sqrt(3), t(0.975, 2) = 4.3027.
    assert t_interval(np.array([1.0, 2.0, 3.0])) == pytest.approx((2 - 2.4841, 2 + 2.4841), abs=1e-3)
    assert np.isnan(t_interval(np.array([1.0]))).all()
