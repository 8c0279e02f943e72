from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cqlbench.statistics.bootstrap import FINER, REPETITIONS, bootstrap_interval


def means(scores: np.ndarray) -> np.ndarray:
    return scores.mean(axis=(0, 1))[None]


def test_the_interval_of_a_mean_of_two_is_known():
    # Of two seeds at 0 and 1 the resampled mean is 0 or 1 in a quarter of cases each.
    _, low, high = bootstrap_interval(np.array([[0.0], [1.0]]), means, "mean")
    assert (low[0], high[0]) == (0, 1)


def test_ends_that_are_printed_move_by_less_than_a_percent_of_the_width():
    scores = np.random.default_rng(0).random((5, 6))
    found = np.array([bootstrap_interval(scores, means, f"mean {seed}")[1:] for seed in range(20)])[..., 0]
    width = np.diff(found.mean(axis=0))[0]
    # What docs/metrics.md states of a quantile of so many normal numbers.
    stated = (0.025 * 0.975 / REPETITIONS) ** 0.5 / stats.norm.pdf(1.96) / (2 * 1.96)
    moves = found.std(axis=0, ddof=1).mean() / width
    assert moves == pytest.approx(stated, rel=0.4)
    assert stated > 0.01 > stated / FINER**0.5


def test_the_global_generator_is_left_as_it_was():
    np.random.seed(3)
    expected = np.random.get_state()[1].copy()
    bootstrap_interval(np.array([[0.1, 0.6], [0.2, 0.7]]), means, "mean")
    assert (np.random.get_state()[1] == expected).all()
