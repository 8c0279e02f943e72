"""Predicted value beside true value: is the estimate a lower bound?

The paper's bound (theorem 3.2) is about states of the data, in expectation over the policy, without the time limit. So
the critic is asked at actions sampled from the policy, and the truth is the discounted return of that same sampled
policy, rolled out from stored simulator states until the cut tail is under one percent.
"""

from __future__ import annotations

import math
from typing import Any

import gymnasium
import numpy as np
import torch

from cqlbench.datasets import OfflineDataset
from cqlbench.datasets.collect import restore
from cqlbench.normalisation import Normaliser
from cqlbench.seeding import generator_for, seed_for
from cqlbench.simulation import run_together, start_episodes

# The policy's actions per state over which the critic is averaged.
ACTIONS_PER_STATE = 10
# Discounted weight of what lies beyond the horizon.
CUT_TAIL = 0.01


def has_value(algorithm: Any) -> bool:
    """Whether the method can be asked for its value and for samples of its policy."""
    return hasattr(algorithm, "value") and hasattr(algorithm, "sample")


def horizon(discount: float) -> int:
    """Steps after which discount^t is under CUT_TAIL (459 for 0.99). Raises ValueError for a discount of 1."""
    if not 0 < discount < 1:
        raise ValueError(f"a value over an endless horizon needs a discount between 0 and 1, not {discount}")
    return math.ceil(math.log(CUT_TAIL) / math.log(discount))


def compare_values(
    algorithm: Any, dataset: OfflineDataset, normaliser: Normaliser, discount: float, seed: int, states: int
) -> list[dict[str, Any]]:
    """One row for states of the data and one for initial states: what the critic predicts, what the policy gets.

    What a method's targets hold beside the reward (SAC's entropy bonus, a shift of the rewards) is measured along the
    same rollouts and subtracted from its prediction, and a scale of the rewards divided out, so that both sides are
    values of the task's own reward. The `q_` columns are the critic's numbers as they are. Standard errors are over
    states.
    """
    task = dataset.task
    chosen = generator_for("values", dataset.id, seed).choice(len(dataset.rewards), size=states, replace=False)
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
        rows.append(row)
    return rows


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
