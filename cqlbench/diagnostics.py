"""Predicted beside true value, and policy beside data: is the estimate a lower bound, and is it about known actions?

The paper's bound (theorem 3.2) is about states of the data, in expectation over the policy, without the time limit. So
the critic is asked at actions sampled from the policy, and the truth is the discounted return of that same sampled
policy, rolled out from stored simulator states until the cut tail is under one percent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import torch

from cqlbench.datasets import OfflineDataset
from cqlbench.datasets.collect import restore
from cqlbench.normalisation import Normaliser
from cqlbench.seeding import generator_for, seed_for
from cqlbench.simulation import run_together, start_episodes
from cqlbench.training import TRANSITIONS_PER_PIECE

# The policy's actions per state over which the critic is averaged.
ACTIONS_PER_STATE = 10
# Discounted weight of what lies beyond the horizon.
CUT_TAIL = 0.01
# How many transitions of the data, those of the nearest states, say what it does around a state.
NEIGHBOURS = 32


def has_value(algorithm: Any) -> bool:
    """Whether the method can be asked for its value and for samples of its policy."""
    return hasattr(algorithm, "value") and hasattr(algorithm, "sample")


def horizon(discount: float) -> int:
    """Steps after which discount^t is under CUT_TAIL (459 for 0.99). Raises ValueError for a discount of 1."""
    if not 0 < discount < 1:
        raise ValueError(f"a value over an endless horizon needs a discount between 0 and 1, not {discount}")
    return math.ceil(math.log(CUT_TAIL) / math.log(discount))


def best_return(dataset: OfflineDataset, discount: float) -> float:
    """The largest discounted return that the data shows from any of its transitions to the end, in the task's rewards.

    A return that was cut counts only from where the cut is at least `horizon(discount)` steps away, so that less than
    CUT_TAIL of it is unseen: the rest of a shorter one is anybody's guess. NaN where no return is whole in this sense,
    as where a task that never ends is always cut earlier. Needs the episodes as they were collected.
    """
    enough = horizon(discount)
    best, value, steps = -math.inf, 0.0, 0.0
    # One number at a time: lists of them would take more memory than the dataset.
    columns = (map(float, array[::-1]) for array in (dataset.rewards, dataset.terminals, dataset.truncations))
    for reward, terminal, cut in zip(*columns, strict=True):
        if terminal:
            value, steps = reward, math.inf
        elif cut:
            value, steps = reward, 1
        else:
            value, steps = reward + discount * value, steps + 1
        if steps >= enough:
            best = max(best, value)
    return best if best > -math.inf else math.nan


@dataclass(frozen=True)
class Neighbourhoods:
    """B states of the data, and which actions the data holds at each and around it; the same for every method of a
    seed with the same normalisation."""

    observations: np.ndarray  # (B, O), normalised
    taken: np.ndarray  # (B, A), the data's own action there, in [-1, 1] like all of them
    nearby: np.ndarray  # (B, K, A), actions of the K nearest states, this state among them
    spacing: np.ndarray  # (B,), how far the loneliest of the K actions is from its nearest fellow
    noise_seed: int

    @classmethod
    def around(cls, dataset: OfflineDataset, normaliser: Normaliser, seed: int, states: int) -> Neighbourhoods:
        """Around the states from which `compare_values` starts. Near is Euclidean, each coordinate of the observation
        measured in its standard deviations over the data, also where the method sees raw observations."""
        chosen = _choose_states(dataset, seed, states)
        weights = (dataset.observation_std(np.float32) + 1e-3) ** -2
        nearest = np.stack([_nearest_states(dataset.observations, index, weights) for index in chosen])
        nearby = normaliser.actions_from_simulator(dataset.actions[nearest])
        between = _action_distance(nearby[:, :, None], nearby[:, None])
        between[:, np.eye(nearby.shape[1], dtype=bool)] = np.inf
        return cls(
            normaliser.observations(dataset.observations[chosen]),
            normaliser.actions_from_simulator(dataset.actions[chosen]),
            nearby,
            between.min(2).max(1),
            seed_for("distances", dataset.id, seed),
        )


def compare_actions(algorithm: Any, data: Neighbourhoods) -> dict[str, float]:
    """How far the policy's actions are from the data's, at states of the data, on average over these.

    Distances are root mean squares over the action's coordinates, each in [-1, 1]: 2 between opposite corners, about
    0.8 between two uniform draws. A policy equal to the one that made the data is not at 0, unless that one never
    varied its action.

    - `action_distance`, `mean_action_distance`: from the action that the data took in that very state, of actions
      sampled from the policy and of the one it is evaluated by;
    - `nearest_action_distance`: of sampled actions, from the nearest of the actions taken in the NEIGHBOURS nearest
      states, so that any of the things the data does around there will do;
    - `off_data`: share of the sampled actions farther from these than any of these is from its own nearest fellow. One
      more draw from the actions around a state would be off in one case of NEIGHBOURS + 1 or fewer.

    A method that cannot be sampled is taken at the actions it is evaluated by.
    """
    mean_actions = np.asarray(algorithm.act(data.observations))
    if hasattr(algorithm, "sample"):
        generator = torch.Generator().manual_seed(data.noise_seed)
        sampled = np.stack([algorithm.sample(data.observations, generator)[0] for _ in range(ACTIONS_PER_STATE)])
    else:
        sampled = mean_actions[None]
    nearest = _action_distance(sampled[:, :, None], data.nearby).min(2)
    return {
        "action_distance": _action_distance(sampled, data.taken).mean(),
        "mean_action_distance": _action_distance(mean_actions, data.taken).mean(),
        "nearest_action_distance": nearest.mean(),
        "off_data": (nearest > data.spacing).mean(),
    }


def compare_values(
    algorithm: Any,
    dataset: OfflineDataset,
    normaliser: Normaliser,
    discount: float,
    seed: int,
    states: int,
    best: float = math.nan,
) -> list[dict[str, Any]]:
    """One row for states of the data and one for initial states: what the critic predicts, what the policy gets.

    What a method's targets hold beside the reward (SAC's entropy bonus, a shift of the rewards) is measured along the
    same rollouts and subtracted from its prediction, and a scale of the rewards divided out, so that both sides are
    values of the task's own reward. The `q_` columns are the critic's numbers as they are. Standard errors are over
    states.

    `impossible_optimism` is the share of states of the data where the prediction is larger than `best`, the best
    return that the data shows from anywhere (`best_return`); NaN where that is. A policy may truly beat the data, but
    nothing in the data shows that it can.
    """
    task = dataset.task
    chosen = _choose_states(dataset, seed, states)
    rows = []
    for start in ("data", "initial"):
        environments, observations = start_episodes(task, states, "values", start, task.name, seed)
        if start == "data":
            observations = np.stack(
                [restore(env, dataset.qpos[i], dataset.qvel[i]) for env, i in zip(environments, chosen, strict=True)]
            )
        normalised = normaliser.observations(observations)
        generator = torch.Generator().manual_seed(seed_for("values", start, dataset.id, seed))
        critics = _policy_values(algorithm, normalised, generator)
        truth, bonus = _rollout_values(algorithm, environments, observations, normaliser, discount, generator)
        predicted, predicted_mean = (
            (values.mean(0) - bonus) / normaliser.reward_scale for values in (critics.min(0), critics.mean(0))
        )
        row = {
            "start": start,
            "states": states,
            "predicted_value": predicted.mean(),
            "predicted_value_mean": predicted_mean.mean(),
            "true_discounted_return": truth.mean(),
            "true_standard_error": _standard_error(truth),
            "difference_mean": (predicted - truth).mean(),
            "difference_standard_error": _standard_error(predicted - truth),
            "q_data": math.nan,
            "q_policy": critics.min(0).mean(),
            "q_uniform": math.nan,
        }
        uniform = generator_for("uniform", dataset.id, seed).uniform(-1, 1, (states, task.action_size))
        row["q_uniform"] = _values(algorithm, normalised, uniform.astype(np.float32)).min(0).mean()
        if start == "data":
            taken = normaliser.actions_from_simulator(dataset.actions[chosen])
            row["q_data"] = _values(algorithm, normalised, taken).min(0).mean()
            row["best_return"] = best
            row["impossible_optimism"] = math.nan if math.isnan(best) else (predicted > best).mean()
        rows.append(row)
    return rows


def _choose_states(dataset: OfflineDataset, seed: int, states: int) -> np.ndarray:
    """Indices (states,) of the transitions from whose states everything is asked; the same for every method."""
    return generator_for("values", dataset.id, seed).choice(len(dataset.rewards), size=states, replace=False)


def _nearest_states(observations: np.ndarray, index: int, weights: np.ndarray) -> np.ndarray:
    """Indices of the NEIGHBOURS observations (all, of fewer) nearest to the one at `index`, itself among them."""
    found, distances = np.empty(0, int), np.empty(0, np.float32)
    # Piece by piece, so that it takes no memory that grows with the dataset.
    for start in range(0, len(observations), TRANSITIONS_PER_PIECE):
        offsets = observations[start : start + TRANSITIONS_PER_PIECE] - observations[index]
        distances = np.append(distances, np.einsum("no,no,o->n", offsets, offsets, weights))
        found = np.append(found, np.arange(start, start + len(offsets)))
        nearest = np.argpartition(distances, NEIGHBOURS)[:NEIGHBOURS] if len(found) > NEIGHBOURS else slice(None)
        found, distances = found[nearest], distances[nearest]
    return found


def _action_distance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Root mean square over the coordinates, the last axis."""
    return np.sqrt(np.square(first - second, dtype=np.float64).mean(-1))


def _values(algorithm: Any, observations: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """(C, B) in float64; a method with one critic may answer (B,)."""
    return np.atleast_2d(np.asarray(algorithm.value(observations, actions), np.float64))


def _policy_values(algorithm: Any, observations: np.ndarray, generator: torch.Generator) -> np.ndarray:
    """Each critic at sampled actions: (C, ACTIONS_PER_STATE, B)."""
    samples = [algorithm.sample(observations, generator)[0] for _ in range(ACTIONS_PER_STATE)]
    return np.stack([_values(algorithm, observations, actions) for actions in samples], axis=1)


def _rollout_values(
    algorithm: Any,
    environments: list[gymnasium.Env],
    observations: np.ndarray,
    normaliser: Normaliser,
    discount: float,
    generator: torch.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Discounted return (B,) of the sampled policy, and what the critic's targets add to it (B,), discounted."""
    steps = horizon(discount)
    bonuses = np.zeros((len(environments), steps))
    step = 0

    def act(current: np.ndarray, running: np.ndarray) -> np.ndarray:
        nonlocal step
        actions, bonus = algorithm.sample(current, generator)
        # Q(s, a) holds no bonus for its own action, only for those that follow.
        bonuses[running, step] = normaliser.reward_shift + (bonus if step > 0 else 0)
        step += 1
        return actions

    rewards, _ = run_together(environments, observations, act, normaliser, steps)
    weights = discount ** np.arange(steps)
    return rewards @ weights[: rewards.shape[1]], bonuses @ weights


def _standard_error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.nan
