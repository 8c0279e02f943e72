"""Rolls behaviour policies out into episodes, and restores the simulator states they pass through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cqlbench.datasets.behaviour import BehaviourPolicy
from cqlbench.seeding import seed_for

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
    """(qpos, qvel) of a MuJoCo task; otherwise the first number of the state and the others, as in the pendulum."""
    inner: Any = env.unwrapped
    if hasattr(inner, "data"):
        return inner.data.qpos.copy(), inner.data.qvel.copy()
    return inner.state[:1].copy(), inner.state[1:].copy()


def restore(env: gymnasium.Env, qpos: np.ndarray, qvel: np.ndarray) -> np.ndarray:
    """Puts the simulator into the state (qpos, qvel), its clock and time limit at zero; returns the observation there.

    What the simulator keeps besides (MuJoCo's warm start) begins anew, so a step from here agrees with the recorded
    one to about 1e-6, not to the last bit. The noise of a task that has one goes on from the last `reset` with a seed.
    """
    inner: Any = env.unwrapped
    noise = inner.np_random
    env.reset(seed=0)
    # Where the dynamics are noisy, states restored in several environments must not meet the same noise.
    inner.np_random = noise
    if hasattr(inner, "data"):
        inner.set_state(qpos, qvel)
    else:
        inner.state = np.concatenate([qpos, qvel])
    return np.asarray(inner._get_obs(), np.float32)


def rollout(
    env: gymnasium.Env, policy: BehaviourPolicy, seed: int, episode: int, max_steps: int | None = None
) -> Episode:
    """One episode of `policy`, its start and its noise drawn from (seed, episode) alone."""
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, episode])))
    observation, _ = env.reset(seed=int(generator.integers(2**31)))
    observations, states = [observation], [simulator_state(env)]
    actions: list[np.ndarray] = []
    rewards: list[float] = []
    terminated = truncated = False
    while not (terminated or truncated) and len(actions) != max_steps:
        # Stepped as it is stored, in float32: a recorded action replayed is the action that was taken.
        action = policy.act(observation.astype(np.float64), generator.standard_normal(policy.action_size))
        action = action.astype(np.float32)
        observation, reward, terminated, truncated, _ = env.step(action)
        observations.append(observation)
        states.append(simulator_state(env))
        actions.append(action)
        rewards.append(float(reward))
    return Episode(
        np.asarray(observations, np.float32),
        np.asarray(actions, np.float32),
        np.asarray(rewards, np.float32),
        bool(terminated),
        np.asarray([qpos for qpos, _ in states], np.float64),
        np.asarray([qvel for _, qvel in states], np.float64),
    )


def collect(env: gymnasium.Env, policies: Sequence[BehaviourPolicy], identity: str, transitions: int) -> list[Episode]:
    """Episodes of exactly `transitions` transitions in all, an equal share from each policy.

    The last episode of each share is cut to make the count; a cut is a truncation. The policies' episodes alternate:
    they are ordered by the fraction of their policy's share that lies before them, so that every prefix of the result
    holds the policies in about equal shares. Episode k starts and acts from (identity, k), k counted in the order of
    collecting, policy after policy.
    """
    seed = seed_for(identity)
    bounds = np.linspace(0, transitions, len(policies) + 1).round().astype(int)
    episodes: list[tuple[float, Episode]] = []
    for policy, share in zip(policies, np.diff(bounds), strict=True):
        done = 0
        while done < share:
            episode = rollout(env, policy, seed, len(episodes), max_steps=int(share) - done)
            episodes.append((done / share, episode))
            done += len(episode.rewards)
    # Sorting is stable: at equal fractions the earlier policy comes first.
    return [episode for _, episode in sorted(episodes, key=lambda entry: entry[0])]
