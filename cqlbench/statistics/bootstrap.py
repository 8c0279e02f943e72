"""Stratified-bootstrap intervals over seeds, by rliable: the same for the same numbers, whatever they are called."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from cqlbench.statistics.intervals import CONFIDENCE

# Bootstrap repetitions behind every interval: with another seed of the bootstrap an end moves by 1 to 2 % of the width.
REPETITIONS = 2_000
# So many times as many behind those that are read as numbers and not off a band: an end moves by less than 1 %.
FINER = 5


def bootstrap_interval(
    scores: np.ndarray | list[np.ndarray], function: Callable[..., np.ndarray], statistic: str, finer: int = 1
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Estimate, low and high of `function` by rliable's stratified bootstrap over the rows, which are seeds.

    `scores` is one array (seeds, datasets, ...), or several that are resampled independently of each other; `function`
    takes them and gives a vector, and must treat the rows of every column alike, and the datasets. The ends are NaN
    where an array has one row, and the estimate too where it has none. `finer` times REPETITIONS are drawn, from a
    generator seeded by the name of the statistic.
    """
    from rliable import library

    samples = scores if isinstance(scores, list) else [scores]
    if not all(sample.size for sample in samples):
        of_one = [np.zeros([max(size, 1) for size in (1, *sample.shape[1:])]) for sample in samples]
        nothing = np.full_like(function(*of_one), np.nan)
        return nothing, nothing, nothing
    if min(len(sample) for sample in samples) < 2:
        # rliable would give an interval of no width.
        estimate = function(*samples)
        nothing = np.full_like(estimate, np.nan)
        return estimate, nothing, nothing
    samples = in_order(samples)
    with _seeded(statistic):
        estimates, intervals = library.get_interval_estimates(
            {"": samples if isinstance(scores, list) else samples[0]},
            function,
            reps=finer * REPETITIONS,
            confidence_interval_size=CONFIDENCE,
        )
    low, high = intervals[""]
    return estimates[""], low, high


def in_order(samples: list[np.ndarray]) -> list[np.ndarray]:
    """On each dataset the rows by their scores, and the datasets by theirs.

    Datasets are resampled independently, so that this changes no distribution; but what is drawn then no longer
    depends on what the seeds and datasets are called.
    """
    ordered = [np.stack([_by_scores(column) for column in np.moveaxis(sample, 1, 0)], axis=1) for sample in samples]
    columns = np.concatenate([np.moveaxis(sample, 1, -1).reshape(-1, sample.shape[1]) for sample in ordered])
    by_scores = np.lexsort(columns)
    return [sample[:, by_scores] for sample in ordered]


def _by_scores(runs: np.ndarray) -> np.ndarray:
    return runs[np.lexsort(runs.reshape(len(runs), -1).T)]


@contextmanager
def _seeded(statistic: str) -> Iterator[None]:
    """Seeds the global generator from what is computed, and puts its state back.

    rliable ignores its `random_state` and draws from the global generator, so that without this an interval would
    depend on which methods were computed before it. The method's name is no part of the seed: two methods of the same
    scores have the same interval.
    """
    state = np.random.get_state()
    np.random.seed(int.from_bytes(hashlib.sha256(statistic.encode()).digest()[:4], "big"))
    try:
        yield
    finally:
        np.random.set_state(state)
