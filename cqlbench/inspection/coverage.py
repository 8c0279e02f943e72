"""How much of the states and actions the data cover, by a sample of them."""

from __future__ import annotations

import numpy as np

from cqlbench.datasets.offline import OfflineDataset
from cqlbench.inspection.measures import some_rows
from cqlbench.inspection.numbers import Section

# Among so many states neighbours are looked for, of the first so many.
SAMPLE = 4000
ASKED = 1000
NEIGHBOURS = 10

MEANING = (
    "Effective dimensions: the participation ratio of the observations' correlation matrix, (sum of eigenvalues)^2 "
    "over the sum of their squares; as many as columns where they are independent, 1 where they move as one. Like "
    f"states are a state's {NEIGHBOURS} nearest among {SAMPLE:,} of other episodes, in standard deviations; what they "
    "leave open is the error of their mean action over the actions' variance: near 0 the behaviour is one action per "
    "state, near 1 it does not look at the state. In many dimensions neighbours are far, and what is left open is an "
    "upper bound."
)


def standardised(values: np.ndarray) -> np.ndarray:
    """(N, columns that move) float64, mean 0 and standard deviation 1."""
    values = values.astype(np.float64)
    spread = values.std(0)
    moving = spread > 1e-12 * np.abs(values).max(0, initial=0)
    return (values[:, moving] - values[:, moving].mean(0)) / spread[moving]


def coverage(dataset: OfflineDataset, seed: int) -> Section:
    """Effective dimensions, distance to the nearest state, and how far actions follow from states."""
    from scipy.spatial.distance import cdist

    rows = some_rows(len(dataset.rewards), seed, SAMPLE)
    states = standardised(dataset.observations[rows])
    numbers: dict[str, float] = {}
    if states.shape[1] and len(rows) > 1:
        spectrum = np.linalg.eigvalsh(states.T @ states / len(states))
        numbers["effective dimensions of the observations"] = spectrum.sum() ** 2 / (spectrum**2).sum()
    if not states.shape[1] or len(dataset.episode_lengths) < 2:
        return Section("Coverage", numbers, MEANING)
    episodes = np.repeat(np.arange(len(dataset.episode_lengths)), dataset.episode_lengths)[rows]
    asked = np.random.default_rng(seed).permutation(len(rows))[:ASKED]
    distances = cdist(states[asked], states)
    usual = np.median(distances)
    # A state's own episode is near for its being a path, not for the data's density.
    distances[episodes[asked, None] == episodes] = np.inf
    nearest = distances.min(1)
    known = np.isfinite(nearest)
    if usual > 0 and known.any():
        numbers["distance to the nearest state of another episode, over a usual distance"] = (
            np.median(nearest[known]) / usual
        )
    actions = dataset.actions[rows].astype(np.float64)
    variance = actions.var(0).sum()
    enough = np.isfinite(distances).sum(1) >= NEIGHBOURS
    if variance > 0 and enough.any():
        like = np.argpartition(distances[enough], NEIGHBOURS - 1, axis=1)[:, :NEIGHBOURS]
        misses = ((actions[asked[enough]] - actions[like].mean(1)) ** 2).sum(1).mean()
        # The mean of the neighbours has an error of its own.
        numbers["share of the actions' variance that like states leave open"] = misses / (1 + 1 / NEIGHBOURS) / variance
    return Section("Coverage", numbers, MEANING)
