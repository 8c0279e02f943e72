"""Whether the environment that judges policies is the one the data come from: steps from stored states."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cqlbench.datasets.collect import restore
from cqlbench.datasets.offline import OfflineDataset
from cqlbench.inspection.numbers import Section

if TYPE_CHECKING:
    import gymnasium

STEPS = 25
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

    env = gymnasium.make(dataset.task.env_id)
    change = _size(dataset.next_observations - dataset.observations)
    spread = max(float(dataset.rewards.std()), 1e-12)
    errors: list[float] = []
    noises: list[float] = []
    of_rewards: list[float] = []
    for row in np.random.default_rng(seed).permutation(len(dataset.rewards))[: 4 * STEPS]:
        state = _state(env, dataset, int(row))
        if state is None:
            continue
        outcomes = []
        for _ in range(2):
            found = restore(env, *state)
            observation, reward, *_ = env.step(dataset.actions[row])
            outcomes.append(np.asarray(observation, np.float64))
        if np.abs(found - dataset.observations[row]).max() > FOUND * max(1, np.abs(found).max()):
            errors.append(np.inf)
            break
        errors.append((np.abs(outcomes[0] - dataset.next_observations[row]) / change).max())
        noises.append((np.abs(outcomes[0] - outcomes[1]) / change).max())
        of_rewards.append(abs(float(reward) - float(dataset.rewards[row])) / spread)
        if len(errors) == STEPS:
            break
    env.close()
    meaning = f"The simulator is {dataset.task.env_id}. "
    numbers: dict[str, float] = {"simulators": 1, "steps tried": len(errors)}
    if not errors:
        return Section("Environment", numbers, meaning + "No state of it is stored, and observations do not give one.")
    stored = dataset.qpos.shape[1] > 0
    meaning += (
        f"Of {len(errors)} steps drawn by chance, taken again from the "
        f"{'stored states' if stored else 'states that the observations give away'}: the median over steps of the "
        "largest error of any column, over the root mean square of its change in one step."
    )
    noise = float(np.median(noises)) if noises else 0.0
    if noise > 0:
        numbers["error of a step, over the simulator's own noise"] = float(np.median(errors)) / noise
    else:
        numbers["error of a step, as a share of a usual change"] = float(np.median(errors))
    if of_rewards:
        numbers["error of a reward, as a share of their standard deviation"] = float(np.median(of_rewards))
    return Section("Environment", numbers, meaning)


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
    if dataset.task.name == "pendulum":
        return np.arctan2(observation[1:2], observation[:1]), observation[2:]
    if not hasattr(inner, "data"):
        return observation[:1], observation[1:]
    places, speeds = inner.model.nq, inner.model.nv
    if len(observation) != places - 1 + speeds or np.abs(observation[places - 1 :]).max() >= CLIPPED:
        return None
    # The one that is not observed is where the body is along its way, on which nothing depends.
    return np.concatenate([[0.0], observation[: places - 1]]), observation[places - 1 :]
