"""Whether the environment that judges policies is the one the data come from: steps from stored states."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from cqlbench.datasets.collect import restore
from cqlbench.datasets.offline import OfflineDataset
from cqlbench.inspection.numbers import Section

if TYPE_CHECKING:
    import gymnasium

STEPS = 50
# A step comes out otherwise where it misses by more than this share of a usual change, or of the rewards' standard
# deviation, and by more than so many times what two steps from one state differ by.
MISSED = 0.01
NOISE = 3
# Beyond this the velocity in a MuJoCo observation may be clipped, and is not the simulator's.
CLIPPED = 10.0
# As close as an observation in 32 bits says it.
FOUND = 1e-4


def simulator(dataset: OfflineDataset, seed: int) -> Section:
    """Takes the stored action from a handful of stored states and compares what comes with what is stored.

    Where no states are stored, those that the observation gives away are used.
    """
    if not dataset.task.env_id:
        return Section("Environment", {"simulators": 0}, "No simulator for these data is known here.")
    import gymnasium

    with warnings.catch_warnings():
        # D4RL's tasks have newer versions, which are others.
        warnings.simplefilter("ignore", DeprecationWarning)
        env = gymnasium.make(dataset.task.env_id)
    change = _size(dataset.next_observations - dataset.observations)
    spread = float(dataset.rewards.std()) or 1.0
    # Of each step: how far it misses, and how far a second one from the same state is from it; its reward likewise.
    errors: list[tuple[float, float, float, float]] = []
    for row in np.random.default_rng(seed).permutation(len(dataset.rewards))[: 4 * STEPS]:
        state = _state(env, dataset, int(row))
        if state is None:
            continue
        found, (first, reward), (second, again) = _two_steps(env, state, dataset.actions[row])
        if np.abs(found - dataset.observations[row]).max() > FOUND * max(1, np.abs(found).max()):
            errors.append((np.inf, 0, np.inf, 0))
        else:
            missed = (np.abs(first - dataset.next_observations[row]) / change).max()
            apart = (np.abs(first - second) / change).max()
            wrong = abs(reward - float(dataset.rewards[row])) / spread
            errors.append((missed, apart, wrong, abs(reward - again) / spread))
        if len(errors) == STEPS:
            break
    env.close()
    meaning = f"The simulator is {dataset.task.env_id}. "
    numbers: dict[str, float] = {"simulators": 1, "steps tried": len(errors)}
    if not errors:
        return Section("Environment", numbers, meaning + "No state of it is stored, and observations do not give one.")
    missed, apart, wrong, uncertain = np.array(errors).T
    numbers |= {
        "share of tried steps that come out otherwise": _otherwise(missed, apart),
        "share of tried rewards that come out otherwise": _otherwise(wrong, uncertain),
        "median error of a step, over a usual change": np.median(missed),
        "the simulator's own noise, over a usual change": np.median(apart),
        "median error of a reward, in standard deviations": np.median(wrong),
    }
    meaning += (
        f"Of steps drawn by chance, taken again from the "
        f"{'stored states' if dataset.qpos.shape[1] else 'states that the observations give away'}: the largest error "
        "of any column over the root mean square of its change in one step. Otherwise is by more than "
        f"{100 * MISSED:g} % of that, and {NOISE} times the simulator's own noise."
    )
    return Section("Environment", numbers, meaning)


def _otherwise(errors: np.ndarray, noise: np.ndarray) -> float:
    # What is not a number is no hit.
    return 1 - float(np.mean(errors <= max(MISSED, NOISE * float(np.median(noise)))))


def _two_steps(
    env: gymnasium.Env, state: tuple[np.ndarray, np.ndarray], action: np.ndarray
) -> tuple[np.ndarray, tuple[np.ndarray, float], tuple[np.ndarray, float]]:
    """The observation at a state, and what one step and another one from there lead to and earn."""
    outcomes = []
    for _ in range(2):
        found = restore(env, *state)
        observation, reward, *_ = env.step(action)
        outcomes.append((np.asarray(observation, np.float64), float(reward)))
    return found, outcomes[0], outcomes[1]


def _size(changes: np.ndarray) -> np.ndarray:
    """(columns,) root mean squares; 1 where nothing changes."""
    size = np.sqrt((changes.astype(np.float64) ** 2).mean(0))
    return np.where(size > 0, size, 1.0)


def _state(env: gymnasium.Env, dataset: OfflineDataset, row: int) -> tuple[np.ndarray, np.ndarray] | None:
    """(qpos, qvel): as stored, or as the observation gives it; None where it does not."""
    if dataset.qpos.shape[1]:
        return dataset.qpos[row], dataset.qvel[row]
    observation = dataset.observations[row].astype(np.float64)
    inner: Any = env.unwrapped
    if dataset.task.env_id == "Pendulum-v1":
        return np.arctan2(observation[1:2], observation[:1]), observation[2:]
    if not hasattr(inner, "data"):
        return observation[:1], observation[1:]
    places, speeds = inner.model.nq, inner.model.nv
    if len(observation) != places - 1 + speeds or np.abs(observation[places - 1 :]).max() >= CLIPPED:
        return None
    # The one that is not observed is where the body is along its way, on which nothing depends.
    return np.concatenate([[0.0], observation[: places - 1]]), observation[places - 1 :]
