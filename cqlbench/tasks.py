"""The vocabulary everything else imports: tasks, their shapes, and a batch of transitions.

Imports neither torch nor gymnasium, so that reading a table never pays for them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from cqlbench.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Task:
    """One control task.

    `d4rl_random` and `d4rl_expert` are the undiscounted returns D4RL normalises with
    (Farama-Foundation/D4RL, d4rl/infos.py); None where D4RL does not have the task. They were measured in another
    simulator version and stand beside our own references, never in their place.
    `behaviour_env_steps` is how long the behaviour policy is trained; 0 where it is known without training.
    `env_id` is empty where there is no simulator, as for logs of one's own: such a task has data and estimates, no
    returns.
    """

    name: str
    env_id: str
    observation_size: int
    action_size: int
    action_limit: float
    episode_limit: int
    behaviour_env_steps: int
    d4rl_random: float | None = None
    d4rl_expert: float | None = None


TASKS = {
    task.name: task
    for task in (
        Task("pendulum", "Pendulum-v1", 3, 1, 2.0, 200, 131_072),
        Task("hopper", "Hopper-v5", 11, 3, 1.0, 1000, 999_424, -20.272305, 3234.3),
        Task("halfcheetah", "HalfCheetah-v5", 17, 6, 1.0, 1000, 507_904, -280.178953, 12135.0),
        Task("walker2d", "Walker2d-v5", 17, 6, 1.0, 1000, 557_056, 1.629008, 4592.3),
        # Linear-quadratic control, whose values are known: cqlbench/environments.
        *(Task(f"lqr{n}", f"cqlbench.environments:cqlbench/LQR{n}-v0", n, n, 1.0, 50, 0) for n in (1, 2, 3, 4)),
    )
}


def find_task(name: str) -> Task:
    """The task called `name` (`hopper`). Raises UserError for a name that is not a task."""
    if name not in TASKS:
        raise UserError(f"no task is called {name!r}; the tasks are {', '.join(TASKS)}.")
    return TASKS[name]


def score_of(return_: float, random_return: float | None, expert_return: float | None) -> float:
    """The normalised score: 0 for the random policy, 1 for the expert; NaN where nobody knows what these get."""
    if random_return is None or expert_return is None:
        return math.nan
    return (return_ - random_return) / (expert_return - random_return)


@dataclass(frozen=True)
class TaskSpec:
    """What an algorithm may know of its task: the sizes of its observations and actions.

    Algorithms see actions scaled to [-1, 1] and, where the run says so, normalised observations; `training.py` does
    both on the way in and `evaluation.py` undoes the first on the way out.
    """

    observation_size: int
    action_size: int


class Batch(NamedTuple):
    """Transitions as float32 tensors; B is the batch size.

    `terminals` is 1 where the episode ended by the task's own rule and 0 elsewhere, also where it was cut by the time
    limit: a cut is not an end, so its target still bootstraps.
    """

    observations: Tensor  # (B, observation_size)
    actions: Tensor  # (B, action_size), in [-1, 1]
    rewards: Tensor  # (B,)
    next_observations: Tensor  # (B, observation_size)
    terminals: Tensor  # (B,)
