"""Rolls behaviour policies out into episodes; the kinds of local dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cqlbench.datasets.behaviour import BehaviourPolicy

if TYPE_CHECKING:
    import gymnasium


class Episode(NamedTuple):
    """One episode of T steps, as it happened: float32 as stored, states in float64 so that they can be restored."""

    observations: np.ndarray  # (T + 1, O) float32
    actions: np.ndarray  # (T, A) float32
    rewards: np.ndarray  # (T,) float32
    terminated: bool  # ended by the task's own rule; otherwise cut by the time limit or by the end of collecting
    qpos: np.ndarray  # (T + 1, ...) float64
    qvel: np.ndarray  # (T + 1, ...) float64


def simulator_state(env: gymnasium.Env) -> tuple[np.ndarray, np.ndarray]:
    """(qpos, qvel) of a MuJoCo task; (angle,), (angular velocity,) of the pendulum."""
    inner = env.unwrapped
    if hasattr(inner, "data"):
        return inner.data.qpos.copy(), inner.data.qvel.copy()
    return inner.state[:1].copy(), inner.state[1:].copy()


def rollout(
    env: gymnasium.Env, policy: BehaviourPolicy, seed: int, episode: int, max_steps: int | None = None
) -> Episode:
    """One episode of `policy`, its start and its noise drawn from (seed, episode) alone."""
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, episode])))
    observation, _ = env.reset(seed=int(generator.integers(2**31)))
    observations, states, actions, rewards = [observation], [simulator_state(env)], [], []
    terminated = truncated = False
    while not (terminated or truncated) and len(actions) != max_steps:
        action = policy.act(observation.astype(np.float64), generator.standard_normal(len(policy.b3)))
        observation, reward, terminated, truncated, _ = env.step(action)
        observations.append(observation)
        states.append(simulator_state(env))
        actions.append(action)
        rewards.append(reward)
    return Episode(
        np.asarray(observations, np.float32),
        np.asarray(actions, np.float32),
        np.asarray(rewards, np.float32),
        bool(terminated),
        np.asarray([qpos for qpos, _ in states], np.float64),
        np.asarray([qvel for _, qvel in states], np.float64),
    )
