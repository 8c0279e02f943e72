"""Behaviour policies: PPO snapshots kept as small arrays, and the float64 NumPy policy that acts from them.

Linear-quadratic tasks have controllers in closed form in their place (cqlbench/environments/controllers.py).
Training needs stable-baselines3 and minutes; acting needs NumPy only. Our own snapshots are package data, so a fresh
machine only rolls out.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from cqlbench.errors import UserError
from cqlbench.tasks import Task
from cqlbench.writers import aside

# stable-baselines3 PPO: 64x64 tanh networks, normalised observations and rewards.
PPO_SETTINGS: dict[str, Any] = {
    "n_steps": 512,
    "batch_size": 256,
    "n_epochs": 10,
    "gae_lambda": 0.95,
    "learning_rate": 3e-4,
}
PPO_ENVIRONMENTS = 4
# Pendulum pays every step and forgets within a second: a short horizon learns it, the usual 0.99 does not.
PPO_DISCOUNT = {"pendulum": 0.9}
SNAPSHOT_COUNT = 32
# The mixture behind `medium-replay` needs the course of training, not each of its steps.
SNAPSHOTS_KEPT_BEFORE_MEDIUM = 6
SNAPSHOT_EPISODES = 10
# D4RL's recipe: medium is an early-stopped policy at about a third of the expert.
MEDIUM_FRACTION = 1 / 3

_ARRAYS = ("mean", "scale", "w1", "b1", "w2", "b2", "w3", "b3", "log_std")


class BehaviourPolicy(Protocol):
    """What collects a dataset: a name for the recipe, the number of its actions, and how it acts."""

    @property
    def label(self) -> int | str: ...

    @property
    def action_size(self) -> int: ...

    def act(self, observation: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """The action (A,), rounded to 1e-4, in the state `observation` (O,) for standard-normal `noise` (A,)."""
        ...


@dataclass(frozen=True)
class Snapshot:
    """A tanh network with Gaussian noise, in float64 NumPy. Shapes: observation (O,) -> action (A,)."""

    env_steps: int
    mean: np.ndarray
    scale: np.ndarray
    w1: np.ndarray
    b1: np.ndarray
    w2: np.ndarray
    b2: np.ndarray
    w3: np.ndarray
    b3: np.ndarray
    log_std: np.ndarray
    action_limit: float

    @property
    def label(self) -> int:
        return self.env_steps

    @property
    def action_size(self) -> int:
        return len(self.b3)

    def act(self, observation: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """The sampled action for standard-normal `noise` (A,), clipped to the bounds and rounded to 1e-4.

        The rounding is what makes rollouts the same everywhere: the last bits of a matrix product differ between
        CPUs, and a contact-rich simulator turns one bit into another trajectory.
        """
        hidden = np.clip((observation - self.mean) / self.scale, -10.0, 10.0)
        hidden = np.tanh(self.w1 @ hidden + self.b1)
        hidden = np.tanh(self.w2 @ hidden + self.b2)
        action = self.w3 @ hidden + self.b3 + np.exp(self.log_std) * noise
        return np.round(np.clip(action, -self.action_limit, self.action_limit), 4)


@dataclass(frozen=True)
class Behaviour:
    """The policies of one task, worst first and expert last; snapshots are in the order of training."""

    policies: tuple[BehaviourPolicy, ...]
    medium_index: int
    algorithm: str = "PPO snapshots, named by their environment steps"

    @property
    def random(self) -> BehaviourPolicy:
        return self.policies[0]

    @property
    def medium(self) -> BehaviourPolicy:
        return self.policies[self.medium_index]

    @property
    def expert(self) -> BehaviourPolicy:
        return self.policies[-1]

    @property
    def up_to_medium(self) -> tuple[BehaviourPolicy, ...]:
        return self.policies[: self.medium_index + 1]


def load_behaviour(task: Task, folder: Path | None = None) -> Behaviour:
    """Reads `<task>.npz` from `folder`, or from the package where none is given; a linear-quadratic task needs none.

    Raises UserError where there is no such file.
    """
    if task.behaviour_env_steps == 0:
        from cqlbench.environments.controllers import medium_policy, optimal_policy, random_policy
        from cqlbench.environments.linear_quadratic import benchmark_problem

        problem = benchmark_problem(task.observation_size)
        policies = (random_policy(problem), medium_policy(problem), optimal_policy(problem))
        return Behaviour(policies, 1, "controllers in closed form, named by what they do")
    source = (Path(folder) if folder else resources.files("cqlbench.datasets") / "behaviours") / f"{task.name}.npz"
    if not source.is_file():
        raise UserError(
            f"no behaviour policy for {task.name}: {source} does not exist. "
            f"Make it with: cqlbench datasets train-behaviour {task.name}"
        )
    with source.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        snapshots = tuple(
            Snapshot(
                env_steps=int(steps),
                action_limit=task.action_limit,
                **{name: arrays[name][index].astype(np.float64) for name in _ARRAYS},
            )
            for index, steps in enumerate(arrays["env_steps"])
        )
        return Behaviour(snapshots, int(arrays["medium_index"]))


def train_behaviour(task: Task, folder: Path, seed: int = 0, report=print) -> Path:
    """Trains PPO on `task`, keeps snapshots along training, and writes `<task>.npz` and `<task>.csv` to `folder`.

    The CSV is the recipe's log: environment steps, mean sampled return of the snapshot, which ones were kept and as
    what. Returns the path of the arrays. Takes minutes; the same seed on the same machine gives the same policy.
    Raises UserError where the last snapshot is no better than the first, and for a task that has no need of training.
    """
    if task.behaviour_env_steps == 0:
        raise UserError(f"{task.name}: its behaviour policies are known in closed form; make its datasets right away.")
    import gymnasium
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import VecNormalize

    from cqlbench.datasets.collect import rollout

    torch.set_num_threads(1)
    discount = PPO_DISCOUNT.get(task.name, 0.99)
    environments = VecNormalize(make_vec_env(task.env_id, PPO_ENVIRONMENTS, seed=seed), gamma=discount)
    ppo = PPO("MlpPolicy", environments, gamma=discount, seed=seed, device="cpu", **PPO_SETTINGS)
    snapshots: list[Snapshot] = []
    interval = task.behaviour_env_steps // SNAPSHOT_COUNT

    class KeepSnapshots(BaseCallback):
        def _on_step(self) -> bool:
            return True

        def _on_rollout_start(self) -> None:
            if self.num_timesteps >= len(snapshots) * interval:
                snapshots.append(_snapshot(ppo, environments, task))
                report(f"{task.name}: {self.num_timesteps:,} of {task.behaviour_env_steps:,} environment steps")

    ppo.learn(task.behaviour_env_steps, callback=KeepSnapshots())
    snapshots.append(_snapshot(ppo, environments, task))

    env = gymnasium.make(task.env_id)
    returns = [
        float(np.mean([rollout(env, policy, seed, episode).rewards.sum() for episode in range(SNAPSHOT_EPISODES)]))
        for policy in snapshots
    ]
    kept, medium = _choose(returns)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{task.name}.npz"
    with aside(path) as beside:
        np.savez_compressed(
            beside,
            allow_pickle=False,
            env_steps=np.array([snapshots[index].env_steps for index in kept]),
            medium_index=np.array(kept.index(medium)),
            **{name: np.stack([getattr(snapshots[i], name) for i in kept]).astype(np.float32) for name in _ARRAYS},
        )
    with aside(folder / f"{task.name}.csv") as beside, beside.open("w", newline="") as file:
        log = csv.writer(file, lineterminator="\n")
        log.writerow(["env_steps", "return_mean", "episodes", "kept_as"])
        for index, (policy, value) in enumerate(zip(snapshots, returns, strict=True)):
            role = {kept[0]: "random", medium: "medium", kept[-1]: "expert"}.get(index, "replay")
            log.writerow([policy.env_steps, f"{value:.2f}", SNAPSHOT_EPISODES, role if index in kept else ""])
    return path


def _choose(returns: list[float]) -> tuple[list[int], int]:
    """Which snapshots to keep, and which of them is medium: the first a third of the way from random to expert."""
    target = returns[0] + MEDIUM_FRACTION * (returns[-1] - returns[0])
    if returns[-1] <= returns[0]:
        raise UserError(
            f"the behaviour policy did not learn (return {returns[0]:.1f} untrained, {returns[-1]:.1f} at the end); "
            "train it longer or with another seed."
        )
    medium = next(index for index, value in enumerate(returns) if value >= target and index > 0)
    before = np.unique(np.linspace(0, medium, SNAPSHOTS_KEPT_BEFORE_MEDIUM + 2).round().astype(int))
    return [int(index) for index in before] + [len(returns) - 1], medium


def _snapshot(ppo, environments, task: Task) -> Snapshot:
    """Copies the policy and the observation statistics out of stable-baselines3."""
    parameters = {name: value.detach().numpy().astype(np.float64) for name, value in ppo.policy.state_dict().items()}
    layers = sorted(name for name in parameters if re.fullmatch(r"mlp_extractor\.policy_net\.\d+\.weight", name))
    first, second = (name.removesuffix("weight") for name in layers)
    return Snapshot(
        env_steps=ppo.num_timesteps,
        mean=environments.obs_rms.mean.copy(),
        scale=np.sqrt(environments.obs_rms.var + environments.epsilon),
        w1=parameters[first + "weight"],
        b1=parameters[first + "bias"],
        w2=parameters[second + "weight"],
        b2=parameters[second + "bias"],
        w3=parameters["action_net.weight"],
        b3=parameters["action_net.bias"],
        log_std=parameters["log_std"],
        action_limit=task.action_limit,
    )
