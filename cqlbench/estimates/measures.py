"""A row of estimates for one finished run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from cqlbench import runs
from cqlbench.algorithms.configs import discount_of
from cqlbench.datasets import OfflineDataset, load
from cqlbench.diagnostics import ACTIONS_PER_STATE, has_value, horizon
from cqlbench.errors import UserError
from cqlbench.estimates.fqe import Policy, Settings, fit
from cqlbench.estimates.tables import COLUMNS
from cqlbench.losses import soft_maximum
from cqlbench.networks.critic import CriticEnsemble
from cqlbench.records import read_record
from cqlbench.seeding import generator_for, seed_for
from cqlbench.simulation import run_together, start_episodes
from cqlbench.trained import Trained, load_trained
from cqlbench.training import make_replay

# Transitions on which errors and gaps are measured; all of them, where there are fewer.
TRANSITIONS = 10_000
# Initial states of the simulator from which the truth is measured.
TRUE_STATES = 32


class HeldOut(NamedTuple):
    """Episodes that no run was trained on, beside the dataset they belong to."""

    name: str
    dataset: OfflineDataset


def estimate_run(folder: Path, datasets: Path, held_out: HeldOut | None, settings: Settings) -> dict[str, Any]:
    """The finished run's estimates by COLUMNS; what a method or its data do not have is NaN, and so is everything of a
    run that did not end well, whose `status` says so.

    - `policy`: which of the method's policies all of it is about, `sampled` (the one its value speaks of) or, of a
      method without a value, `mean`, the one it acts by;
    - `predicted_value`: the smallest critic's value of that policy at the first states of all episodes of the data, on
      average, as the method has it: a reward scale is divided out, but an entropy bonus or a reward shift is in it;
    - `fqe_value`: the value of the same states by fitted Q evaluation on the training data, in the task's own rewards;
    - `lowest_possible`, `highest_possible`: between which every value lies of a policy whose rewards are none but such
      as the data hold; `fqe_impossible` is 1 where `fqe_value` lies outside, or is no number, else 0;
    - `td_error`: root mean square of r + discount * (1 - d) * Q(s', pi(s')) - Q(s, a), of the smallest critic, with
      what else the method's targets hold; `fqe_td_error`: of the fitted critic, in the task's rewards;
    - `conservative_gap`: logarithm of the mean of exp Q over ACTIONS_PER_STATE uniform and as many of the policy's
      actions, minus Q of the data's action: what CQL lowers, up to a constant; 0 for a critic that knows no actions;
    - `true_value`: where there is a simulator, the discounted return of the policy from TRUE_STATES initial states.

    Raises UserError where the run has not finished, its data are not there or are not those it was trained on, or
    held-out data are of another shape or mostly among the training data.
    """
    row: dict[str, Any] = {"status": _status(folder)}
    if row["status"] != runs.DONE and not (folder / runs.CONFIG).is_file():
        return _complete(row)  # it failed before it had said what it is
    run = runs.read_run(folder)
    config = run.config
    row |= {"dataset": run.dataset, "algorithm": run.algorithm, "config_hash": run.config_hash, "seed": run.seed}
    if row["status"] != runs.DONE:
        return _complete(row)
    trained = load_trained(folder)
    # As the run was trained: a dataset that stays on the disk stays there.
    dataset = load(run.dataset, datasets, mapped=config.buffer_transitions is not None)
    content = read_record(folder / runs.PROVENANCE).get("dataset", {}).get("content_hash") or "not known"
    if dataset.content_hash != content:
        raise UserError(
            f"{folder}: was trained on another content of {run.dataset} ({content[:12]}) than is there now "
            f"({dataset.content_hash[:12]}); train the run again."
        )
    if held_out:
        _refuse_strangers(dataset, held_out)
    discount = discount_of(config)
    # The normaliser that `load_trained` gives leaves rewards as they are.
    replay = make_replay(dataset, trained.normaliser, torch.device("cpu"), config.buffer_transitions)
    sizes = {key: getattr(config, key) for key in ("width", "depth") if hasattr(config, key)}
    critic = fit(policy_of(trained, "fqe"), replay, discount, run.seed, settings._replace(**sizes))
    starts = trained.normaliser.observations(dataset.observations[dataset.episode_starts])
    value = _fitted_value(critic, policy_of(trained, "fqe value"), starts)
    low, high = possible_values(dataset.rewards, discount)
    row |= {
        "dataset_hash": dataset.content_hash,
        "policy": "sampled" if has_value(trained.algorithm) else "mean",
        "discount": discount,
        "initial_states": len(starts),
        "predicted_value": _predicted_value(trained, starts),
        "fqe_value": value,
        "lowest_possible": low,
        "highest_possible": high,
        "fqe_impossible": int(not low <= value <= high),
        "fqe_updates": settings.updates,
        **_measure(trained, critic, dataset),
    }
    if held_out:
        row |= {"held_out": held_out.name, "held_out_hash": held_out.dataset.content_hash}
        row |= {f"held_out_{name}": value for name, value in _measure(trained, critic, held_out.dataset).items()}
    if trained.task.env_id:
        row |= _truth(trained, discount)
    return _complete(row)


def _status(folder: Path) -> str:
    path = folder / runs.STATUS
    if not path.is_file():
        raise UserError(f"{folder} has no {runs.STATUS}: the run has not finished. Train it first.")
    return read_record(path)["status"]


def _complete(row: dict[str, Any]) -> dict[str, Any]:
    return {column: row.get(column, math.nan) for column in COLUMNS}


def possible_values(rewards: np.ndarray, discount: float) -> tuple[float, float]:
    """The smallest and the largest discounted sum of any number of rewards, from one to endlessly many, each between
    the smallest and the largest of `rewards`."""
    endless = 1 / (1 - discount)
    low, high = float(rewards.min()), float(rewards.max())
    return min(low, low * endless), max(high, high * endless)


def policy_of(trained: Trained, purpose: str) -> Policy:
    """The policy that the method's value speaks of, drawing from (purpose, seed); without one, that it acts by."""
    algorithm: Any = trained.algorithm
    if not has_value(algorithm):
        return algorithm.act
    generator = torch.Generator().manual_seed(seed_for(purpose, trained.run.dataset, trained.run.seed))
    return lambda observations: algorithm.sample(observations, generator)[0]


def _refuse_strangers(dataset: OfflineDataset, held_out: HeldOut) -> None:
    sizes = [(one.task.observation_size, one.task.action_size) for one in (dataset, held_out.dataset)]
    if sizes[0] != sizes[1]:
        raise UserError(
            f"held-out: {held_out.name} has {sizes[1][0]} observations and {sizes[1][1]} actions, {dataset.id} "
            f"{sizes[0][0]} and {sizes[0][1]}; they must be the same ones."
        )
    if dataset.content_hash == held_out.dataset.content_hash:
        raise UserError(f"held-out: {held_out.name} is what the run was trained on; name other episodes.")
    apart, known = _episodes(held_out.dataset), _episodes(dataset)
    shared = sum(episode in known for episode in apart)
    if 2 * shared > len(apart):
        raise UserError(
            f"held-out: {shared} of the {len(apart)} episodes of {held_out.name} are in {dataset.id} too, on which the "
            "run was trained; train on what was kept of it."
        )


def _episodes(dataset: OfflineDataset) -> set[int]:
    """A number for each episode, the same for the same states and rewards."""
    places = zip(dataset.episode_starts, dataset.episode_starts + dataset.episode_lengths, strict=True)
    return {
        hash((dataset.observations[start:end].tobytes(), dataset.rewards[start:end].tobytes())) for start, end in places
    }


def _predicted_value(trained: Trained, states: np.ndarray) -> float:
    """Mean of the smallest critic over states (B, O) and ACTIONS_PER_STATE of the policy's actions at each."""
    if not has_value(trained.algorithm):
        return math.nan
    policy = policy_of(trained, "predicted value")
    values = [_smallest(trained, states, policy(states)).mean() for _ in range(ACTIONS_PER_STATE)]
    return float(np.mean(values)) / trained.run.config.reward_scale


def _smallest(trained: Trained, observations: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """The smallest critic's value (B,) in float64."""
    algorithm: Any = trained.algorithm  # one that `has_value`
    return np.atleast_2d(np.asarray(algorithm.value(observations, actions), np.float64)).min(0)


@torch.inference_mode()
def _fitted(critic: CriticEnsemble, observations: np.ndarray, actions: np.ndarray) -> np.ndarray:
    values = critic(torch.from_numpy(observations), torch.as_tensor(actions, dtype=torch.float32))
    return values.squeeze(0).numpy().astype(np.float64)


def _fitted_value(critic: CriticEnsemble, policy: Policy, states: np.ndarray) -> float:
    return float(np.mean([_fitted(critic, states, policy(states)).mean() for _ in range(ACTIONS_PER_STATE)]))


def _measure(trained: Trained, critic: CriticEnsemble, dataset: OfflineDataset) -> dict[str, float]:
    """ON_DATA, on transitions of `dataset` that depend on it and the run's seed alone."""
    algorithm: Any = trained.algorithm
    config, normaliser, discount = trained.run.config, trained.normaliser, discount_of(trained.run.config)
    size, identity = len(dataset.rewards), (dataset.id, trained.run.seed)
    chosen = np.sort(generator_for("estimates", *identity).permutation(size)[:TRANSITIONS])
    here, there = (
        normaliser.observations(states[chosen]) for states in (dataset.observations, dataset.next_observations)
    )
    taken = normaliser.actions_from_simulator(dataset.actions[chosen])
    rewards, going_on = dataset.rewards[chosen].astype(np.float64), discount * (1 - dataset.terminals[chosen])
    following = policy_of(trained, "fqe error")(there)
    errors = rewards + going_on * _fitted(critic, there, following) - _fitted(critic, here, taken)
    measured = {"fqe_td_error": _root_mean_square(errors)}
    if not has_value(algorithm):
        return measured
    generator = torch.Generator().manual_seed(seed_for("estimates", *identity))
    values = _smallest(trained, here, taken)
    next_actions, bonus = algorithm.sample(there, generator)
    paid = config.reward_scale * rewards + config.reward_shift
    errors = paid + going_on * (_smallest(trained, there, next_actions) + bonus) - values
    shape = (ACTIONS_PER_STATE, *taken.shape)
    uniform = generator_for("estimates uniform", *identity).uniform(-1, 1, shape).astype(np.float32)
    actions = [*uniform, *(algorithm.sample(here, generator)[0] for _ in range(ACTIONS_PER_STATE))]
    sampled = np.stack([_smallest(trained, here, one) for one in actions], axis=1)
    soft = soft_maximum(torch.from_numpy(sampled)[None], None)[0].numpy() - math.log(len(actions))
    return measured | {
        "td_error": _root_mean_square(errors) / config.reward_scale,
        "conservative_gap": float((soft - values).mean()) / config.reward_scale,
    }


def _root_mean_square(errors: np.ndarray) -> float:
    return float(np.sqrt(np.square(errors).mean()))


def _truth(trained: Trained, discount: float) -> dict[str, float]:
    """Discounted returns without the time limit, from the initial states that values.csv starts from too."""
    task, seed = trained.task, trained.run.seed
    environments, starts = start_episodes(task, TRUE_STATES, "values", "initial", task.name, seed)
    policy, steps = policy_of(trained, "true value"), horizon(discount)
    rewards, _ = run_together(environments, starts, lambda states, _: policy(states), trained.normaliser, steps)
    returns = rewards @ discount ** np.arange(rewards.shape[1])
    return {
        "true_states": TRUE_STATES,
        "true_value": float(returns.mean()),
        "true_standard_error": float(returns.std(ddof=1) / math.sqrt(TRUE_STATES)),
    }
