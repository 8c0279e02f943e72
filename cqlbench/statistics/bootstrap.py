"""Stratified-bootstrap intervals over seeds, by rliable and in an order of nobody's choice."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from cqlbench.statistics.intervals import CONFIDENCE

# Bootstrap repetitions behind every interval. With few seeds the interval's error is in the seeds, not in these.
REPETITIONS = 2_000


def bootstrap_interval(
    scores: np.ndarray | list[np.ndarray], function: Callable[..., np.ndarray], *identity: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Estimate, low and high of `function` by rliable's stratified bootstrap over the rows (seeds)."""
    from rliable import library

    samples = scores if isinstance(scores, list) else [scores]
    if min(len(sample) for sample in samples) < 2:
        # rliable would give an interval of no width; no seed at all gives no estimate either.
        known = [sample if sample.size else np.full((1, *sample.shape[1:]), np.nan) for sample in samples]
        estimate = function(*known)
        nothing = np.full_like(estimate, np.nan)
        return estimate, nothing, nothing
    with _seeded(*identity):
        estimates, intervals = library.get_interval_estimates(
            {"": scores}, function, reps=REPETITIONS, confidence_interval_size=CONFIDENCE
        )
    low, high = intervals[""]
    return estimates[""], low, high


@contextmanager
def _seeded(*identity: str) -> Iterator[None]:
    """Seeds the global generator from what is computed, and puts its state back.

    rliable ignores its `random_state` and draws from the global generator, so that without this an interval would
    depend on which methods were computed before it.
    """
    state = np.random.get_state()
    np.random.seed(int.from_bytes(hashlib.sha256("\n".join(identity).encode()).digest()[:4], "big"))
    try:
        yield
    finally:
        np.random.set_state(state)
