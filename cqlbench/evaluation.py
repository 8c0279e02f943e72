"""The one evaluation: seeded episodes, the policy acting by its mean; the same for every method."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cqlbench.algorithms.algorithm import Algorithm
from cqlbench.normalisation import Normaliser
from cqlbench.simulation import run_together, start_episodes
from cqlbench.tasks import Task


class EpisodeResult(NamedTuple):
    """One evaluation episode: its undiscounted return, its steps, and whether the task itself ended it."""

    return_: float
    length: int
    terminated: bool


def evaluate(algorithm: Algorithm, task: Task, normaliser: Normaliser, seed: int, episodes: int) -> list[EpisodeResult]:
    """Runs `episodes` episodes from initial states that depend on (task, seed, episode) only.

    So every method of a seed, and every evaluation of a run, starts from the same states.
    """
    environments, starts = start_episodes(task, episodes, "evaluation", task.name, seed)
    lengths = np.zeros(episodes, int)

    def act(observations: np.ndarray, running: np.ndarray) -> np.ndarray:
        lengths[running] += 1
        return algorithm.act(observations)

    rewards, terminated = run_together(environments, starts, act, normaliser, task.episode_limit)
    return [
        EpisodeResult(float(total), int(length), bool(ended))
        for total, length, ended in zip(rewards.sum(1), lengths, terminated, strict=True)
    ]
