"""Over all datasets of a suite: what rliable tells of complete matrices of scores, seeds x datasets."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pandas as pd

from cqlbench.statistics.bootstrap import FINER, bootstrap_interval, in_order
from cqlbench.statistics.finals import with_scores

AGGREGATES = ["Median", "IQM", "Mean", "Optimality Gap"]
# Thresholds of the performance profiles, as scores.
TAUS = np.round(np.linspace(0.0, 1.2, 121), 2)

Matrices = dict[str, pd.DataFrame]


def aggregates(matrices: Matrices) -> pd.DataFrame:
    """Median, IQM, Mean and Optimality Gap of each method with their intervals (NaN where there is one seed)."""
    rows = []
    for method, matrix in sorted(matrices.items()):
        found = bootstrap_interval(matrix.to_numpy(), _aggregates_of, "aggregates", FINER)
        rows += [(method, *row, *matrix.shape) for row in zip(AGGREGATES, *found, strict=True)]
    return pd.DataFrame(rows, columns=["method", "statistic", "estimate", "low", "high", "seeds", "datasets"])


def profiles(matrices: Matrices) -> pd.DataFrame:
    """For each threshold tau, the fraction of a method's runs that score above it."""
    return _profiles(matrices, lambda scores: (scores[..., None] > TAUS).mean(axis=(0, 1)))


def mean_profiles(matrices: Matrices) -> pd.DataFrame:
    """For each threshold tau, the fraction of the datasets on which a method's mean score is above it.

    rliable's average-score distribution. It names no runs, and is the less certain and the biased one of the two: a
    dataset counts whole or not at all, by a mean of few seeds.
    """
    return _profiles(matrices, lambda scores: (scores.mean(axis=0)[:, None] > TAUS).mean(axis=0))


def improvement(matrices: Matrices) -> pd.DataFrame:
    """For each ordered pair of methods, the probability that a run of x beats a run of y, averaged over datasets."""
    final = {method: (np.zeros(1), matrix.to_numpy()[..., None]) for method, matrix in matrices.items()}
    return _improvements(final).drop(columns="update")


def improvement_by_update(scores: pd.DataFrame, matrices: Matrices) -> pd.DataFrame:
    """The same at each evaluation that all runs of both methods in `matrices` have."""
    return _improvements(_scores_by_update(scores, matrices))


def probability_of_improvement(x: np.ndarray, y: np.ndarray) -> float:
    """Mean over datasets of P(X > Y) + P(X = Y) / 2, for (seeds, datasets) matrices.

    The Mann-Whitney U over the number of pairs, as rliable's metric, without the p-value that it computes and drops
    (which takes all the time of the bootstrap).
    """
    return float(_wins(x, y).mean())


def sample_efficiency(scores: pd.DataFrame, matrices: Matrices) -> pd.DataFrame:
    """IQM over seeds and datasets at each evaluation that all runs of the method in `matrices` have."""
    rows = []
    for method, (updates, cube) in _scores_by_update(scores, matrices).items():
        if cube.size:
            found = bootstrap_interval(cube, _iqm, "sample efficiency")
            rows += [(method, *row) for row in zip(updates, *found, strict=True)]
    return pd.DataFrame(rows, columns=["method", "update", "iqm", "low", "high"])


def _aggregates_of(scores: np.ndarray) -> np.ndarray:
    """AGGREGATES of a (seeds, datasets) matrix."""
    from rliable import metrics

    mean, median, gap = metrics.aggregate_mean, metrics.aggregate_median, metrics.aggregate_optimality_gap
    return np.array([median(scores), _iqm(scores[..., None])[0], mean(scores), gap(scores)])


def _iqm(cube: np.ndarray) -> np.ndarray:
    """IQM at each update of (seeds, datasets, updates): rliable's, for all updates at once and forty times as fast."""
    runs = cube.reshape(-1, cube.shape[-1])
    cut = len(runs) // 4
    return np.partition(runs, (cut, len(runs) - cut - 1), axis=0)[cut : len(runs) - cut].mean(axis=0)


def _profiles(matrices: Matrices, fractions: Callable[[np.ndarray], np.ndarray]) -> pd.DataFrame:
    rows = []
    for method, matrix in sorted(matrices.items()):
        found = bootstrap_interval(matrix.to_numpy(), fractions, "profile")
        rows += [(method, *row) for row in zip(TAUS, *found, strict=True)]
    return pd.DataFrame(rows, columns=["method", "tau", "fraction", "low", "high"])


def _scores_by_update(scores: pd.DataFrame, matrices: Matrices) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By method, the updates at which every run of its matrix has a score, and these: (seeds, datasets, updates)."""
    found = {}
    for method, matrix in sorted(matrices.items()):
        own = scores[scores["method"] == method]
        kept = own[own["dataset"].isin(matrix.columns) & own["seed"].isin(matrix.index)]
        wide = (
            with_scores(kept).pivot(index=["seed", "dataset"], columns="update", values="score").dropna(axis="columns")
        )
        found[method] = wide.columns.to_numpy(), wide.to_numpy().reshape(*matrix.shape, wide.shape[1])
    return found


def _improvements(by_method: dict[str, tuple[np.ndarray, np.ndarray]]) -> pd.DataFrame:
    """For each ordered pair, the probability of improvement at each common update, of what `_scores_by_update` gives.

    The two directions of a pair are one number: the interval of the second is that of the first, mirrored. Which of
    them is drawn is up to the scores, so that it does not depend on names.
    """
    rows = []
    for pair in combinations(sorted(by_method), 2):
        x, y = sorted(pair, key=lambda method: np.sort(by_method[method][1], axis=None).tolist())
        updates = np.intersect1d(by_method[x][0], by_method[y][0])
        cubes = (cube[..., np.isin(own, updates)] for own, cube in (by_method[x], by_method[y]))
        for update, estimate, low, high in zip(updates, *_improvement(*cubes), strict=True):
            rows += [(x, y, update, estimate, low, high), (y, x, update, 1 - estimate, 1 - high, 1 - low)]
    table = pd.DataFrame(rows, columns=["x", "y", "update", "probability", "low", "high"])
    return table.sort_values(["x", "y", "update"], ignore_index=True)


def _improvement(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Runs are resampled whole, by their number: which run beats which is worked out once and not per repetition."""
    if not x.size or not y.size:
        nothing = np.full(x.shape[-1], np.nan)
        return nothing, nothing, nothing
    x, y = in_order([x, y])
    wins = _wins(x, y)

    def probability(drawn_x: np.ndarray, drawn_y: np.ndarray) -> np.ndarray:
        times_x, times_y = (
            (drawn[:, None] == np.arange(len(runs))[None, :, None]).sum(axis=0)
            for drawn, runs in ((drawn_x, x), (drawn_y, y))
        )
        weights = times_x[:, None] * times_y[None]
        return weights.reshape(-1) @ wins.reshape(weights.size, -1) / weights.sum()

    numbers = [np.repeat(np.arange(len(runs))[:, None], runs.shape[1], axis=1) for runs in (x, y)]
    return bootstrap_interval(numbers, probability, "improvement")


def _wins(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """1 where a run of x beats one of y, 1/2 where they tie: (seeds of x, seeds of y, datasets, ...)."""
    return (x[:, None] > y[None]) + 0.5 * (x[:, None] == y[None])
