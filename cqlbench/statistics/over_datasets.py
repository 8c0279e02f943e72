"""Over all datasets of a suite: what rliable tells of complete matrices of scores, seeds x datasets."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import permutations

import numpy as np
import pandas as pd

from cqlbench.statistics.bootstrap import bootstrap_interval

# Thresholds of the performance profiles, as scores.
TAUS = np.round(np.linspace(0.0, 1.2, 121), 2)


def aggregates(matrices: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Median, IQM, Mean and Optimality Gap of each method with their intervals (NaN where there is one seed)."""
    from rliable import metrics

    statistics: dict[str, Callable[[np.ndarray], float]] = {
        "Median": metrics.aggregate_median,
        "IQM": metrics.aggregate_iqm,
        "Mean": metrics.aggregate_mean,
        "Optimality Gap": metrics.aggregate_optimality_gap,
    }
    rows = []
    for method, matrix in sorted(matrices.items()):
        for name, statistic in statistics.items():
            estimate, low, high = bootstrap_interval(matrix.to_numpy(), partial(_as_array, statistic), method, name)
            rows.append((method, name, estimate[0], low[0], high[0], *matrix.shape))
    return pd.DataFrame(rows, columns=["method", "statistic", "estimate", "low", "high", "seeds", "datasets"])


def profiles(matrices: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """For each threshold tau, the fraction of a method's runs that score above it."""
    rows = []
    for method, matrix in sorted(matrices.items()):
        fraction, low, high = bootstrap_interval(matrix.to_numpy(), _fractions_above, method, "profile")
        rows += [(method, *row) for row in zip(TAUS, fraction, low, high, strict=True)]
    return pd.DataFrame(rows, columns=["method", "tau", "fraction", "low", "high"])


def improvement(matrices: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """For each ordered pair of methods, the probability that a run of x beats a run of y, averaged over datasets."""
    rows = []
    for x, y in permutations(sorted(matrices), 2):
        pair = [matrices[x].to_numpy(), matrices[y].to_numpy()]
        estimate, low, high = bootstrap_interval(pair, probability_of_improvement, x, y, "improvement")
        rows.append((x, y, estimate[0], low[0], high[0]))
    return pd.DataFrame(rows, columns=["x", "y", "probability", "low", "high"])


def probability_of_improvement(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Mean over datasets of P(X > Y) + P(X = Y) / 2, for (seeds, datasets) matrices; an array of shape (1,).

    The Mann-Whitney U over the number of pairs, as rliable's metric, without the p-value that it computes and drops
    (which takes all the time of the bootstrap).
    """
    wins = (x[:, None] > y[None]) + 0.5 * (x[:, None] == y[None])
    return np.array([wins.mean()])


def sample_efficiency(scores: pd.DataFrame, matrices: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """IQM over seeds and datasets at each evaluation, of the runs in `matrices`."""
    rows = []
    for method, matrix in sorted(matrices.items()):
        kept = scores[
            (scores["method"] == method) & scores["dataset"].isin(matrix.columns) & scores["seed"].isin(matrix.index)
        ]
        # seeds x datasets x updates; a run that finished has every evaluation.
        by_update = kept.pivot(index=["seed", "dataset"], columns="update", values="score")
        cube = by_update.to_numpy().reshape(*matrix.shape, by_update.shape[1])
        iqm, low, high = bootstrap_interval(cube, _iqm_by_update, method, "sample efficiency")
        rows += [(method, *row) for row in zip(by_update.columns, iqm, low, high, strict=True)]
    return pd.DataFrame(rows, columns=["method", "update", "iqm", "low", "high"])


def _as_array(statistic: Callable[[np.ndarray], float], scores: np.ndarray) -> np.ndarray:
    """rliable's bootstrap takes arrays, its metrics give numbers."""
    return np.array([statistic(scores)])


def _fractions_above(scores: np.ndarray) -> np.ndarray:
    """Of a (seeds, datasets) matrix, the fraction above each of TAUS; an array of shape (len(TAUS),)."""
    return (scores[..., None] > TAUS).mean(axis=(0, 1))


def _iqm_by_update(cube: np.ndarray) -> np.ndarray:
    """IQM at each update of a (seeds, datasets, updates) array; an array of shape (updates,)."""
    from rliable import metrics

    return np.array([metrics.aggregate_iqm(scores) for scores in np.moveaxis(cube, -1, 0)])
