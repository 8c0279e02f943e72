"""Several copies of one task, stepped side by side, so that the policy is asked once per step for all of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import gymnasium
import numpy as np

from cqlbench.normalisation import Normaliser
from cqlbench.seeding import seed_for
from cqlbench.tasks import Task


@cache
def _environment(env_id: str, index: int) -> gymnasium.Env:
    """One of the process's environments: to make one costs as much as twenty steps, and a reset leaves no trace."""
    return gymnasium.make(env_id).unwrapped


def start_episodes(task: Task, count: int, *identity: str | int) -> tuple[list[gymnasium.Env], np.ndarray]:
    """`count` environments at initial states drawn from (identity, episode), and their observations (count, O).

    They stand outside their wrappers, so they have no time limit, and are the same ones at every call: episodes
    started before are over.
    """
    environments = [_environment(task.env_id, index) for index in range(count)]
    starts = [env.reset(seed=seed_for(*identity, episode) % 2**31)[0] for episode, env in enumerate(environments)]
    return environments, np.stack(starts)


def run_together(
    environments: list[gymnasium.Env],
    observations: np.ndarray,
    act: Callable[[np.ndarray, np.ndarray], np.ndarray],
    normaliser: Normaliser,
    max_steps: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Steps every environment until its episode ends or `max_steps` have passed.

    `act` gets the normalised observations (K, O) of the K that still run and their indices (K,), and returns actions
    (K, A) in [-1, 1]. Returns rewards (N, T) in float64, zero after the end, and whether each one terminated (N,).
    """
    count = len(environments)
    rewards: list[np.ndarray] = []
    terminated = np.zeros(count, bool)
    running = np.arange(count)
    current = np.array(observations, np.float64)
    while len(running) and len(rewards) < max_steps:
        actions = normaliser.actions_to_simulator(act(normaliser.observations(current[running]), running))
        row = np.zeros(count)
        ended = np.zeros(len(running), bool)
        for position, (index, action) in enumerate(zip(running, actions, strict=True)):
            observation, reward, terminal, truncated, _ = environments[index].step(action)
            current[index], row[index] = observation, reward
            terminated[index] = terminal
            ended[position] = terminal or truncated
        rewards.append(row)
        running = running[~ended]
    return np.stack(rewards, axis=1), terminated
