"""What the page's two figures show, as tables: histograms of steps and episodes, and where states and actions lie."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cqlbench.datasets.offline import OfflineDataset
from cqlbench.inspection.coverage import standardised
from cqlbench.inspection.measures import some_rows

BINS = 30
STATES = 3000


def histogram_rows(dataset: OfflineDataset) -> pd.DataFrame:
    """Columns panel, low, high, count: of returns, lengths and rewards."""
    panels = {
        "return of an episode": dataset.episode_returns,
        "length of an episode, steps": dataset.episode_lengths,
        "reward of a step": dataset.rewards.astype(np.float64),
    }
    frames = []
    for name, values in panels.items():
        counts, edges = np.histogram(values, BINS)
        frames.append(pd.DataFrame({"panel": name, "low": edges[:-1], "high": edges[1:], "count": counts}))
    return pd.concat(frames, ignore_index=True)


def action_rows(dataset: OfflineDataset) -> pd.DataFrame:
    """Columns action, low, high, share: how each action column spreads between its bounds; what lies outside counts
    as at the bound."""
    limit = dataset.task.action_limit
    frames = []
    for index, values in enumerate(dataset.actions.T):
        counts, edges = np.histogram(values.clip(-limit, limit), BINS, (-limit, limit))
        shares = counts / len(values)
        frames.append(pd.DataFrame({"action": index, "low": edges[:-1], "high": edges[1:], "share": shares}))
    return pd.concat(frames, ignore_index=True)


def state_rows(dataset: OfflineDataset, seed: int) -> pd.DataFrame:
    """Columns first, second, return: a sample of states on their two principal components, in standard deviations, and
    the return of the episode each is of."""
    rows = some_rows(len(dataset.rewards), seed, STATES)
    states = standardised(dataset.observations[rows])
    columns = states.shape[1]
    # As many zeros as are missing to two columns.
    states = np.pad(states, ((0, 0), (0, max(0, 2 - columns))))
    _, directions = np.linalg.eigh(states.T @ states / len(states))
    places = states @ directions[:, :-3:-1]
    # An eigenvector's sign says nothing: its largest part is positive.
    signs = np.sign(directions[np.abs(directions).argmax(0), np.arange(len(directions.T))])[:-3:-1]
    returns = np.repeat(dataset.episode_returns, dataset.episode_lengths)[rows]
    return pd.DataFrame({"first": places[:, 0] * signs[0], "second": places[:, 1] * signs[1], "return": returns})
