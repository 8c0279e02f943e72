"""Ratios are paired within a round, and a wide spread gets no verdict."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cqlbench.bench.ratios import MET, MISSED, UNDECIDED, WIDEST, Spread, Verdict, paired_ratio

times = st.lists(st.floats(1e-4, 10), min_size=2, max_size=30).map(np.array)


@given(times, st.floats(0.1, 10))
def test_what_slows_a_whole_round_leaves_the_ratio_alone(slowness, ratio):
    """Both sides twice as slow in some rounds: the ratio is the same in each, without any spread."""
    assert paired_ratio(ratio * slowness, slowness) == pytest.approx((ratio, ratio, ratio))


@given(times)
def test_a_ratio_turned_over_is_its_inverse(values):
    """The median of an odd number of rounds, and the ends change places where they are rounds themselves."""
    values = np.resize(values, 11)
    there, back = paired_ratio(values, values[::-1]), paired_ratio(values[::-1], values)
    assert back.median == pytest.approx(1 / there.median)
    assert (back.low, back.high) == pytest.approx((1 / there.high, 1 / there.low))


@given(times)
def test_the_interval_holds_the_median(values):
    spread = Spread.of(values)
    assert min(values) <= spread.low <= spread.median <= spread.high <= max(values)


@pytest.mark.parametrize(
    ("spread", "outcome"),
    [
        (Spread(2.0, 1.9, 2.1), MET),
        (Spread(1.5, 1.4, 1.6), MET),
        (Spread(1.4, 1.3, 1.5), MISSED),
        (Spread(3.0, 2.0, 2.0 * WIDEST + 0.01), UNDECIDED),
        (Spread(1.0, 0.5, 1.1), UNDECIDED),
    ],
)
def test_a_verdict_is_by_the_median_unless_the_spread_is_too_wide(spread, outcome):
    verdict = Verdict("one thing beside another", spread, 1.5)
    assert verdict.outcome == outcome
    assert str(verdict).endswith(outcome)


def test_a_ceiling_is_met_from_below():
    assert Verdict("time over limit", Spread(1.3, 1.25, 1.35), 1.4, ceiling=True).outcome == MET
    assert Verdict("time over limit", Spread(1.5, 1.45, 1.55), 1.4, ceiling=True).outcome == MISSED
