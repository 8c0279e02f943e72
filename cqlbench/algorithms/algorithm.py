"""The contract between a method and the harness: native, d3rlpy's and a user's own alike."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from cqlbench.algorithms.configs import MethodConfig
from cqlbench.tasks import Batch, TaskSpec


class Algorithm(Protocol):
    """What the harness calls. Observations come normalised where the config says so; actions are in [-1, 1].

    A method may also have the two below, together; one that has not is left out of value figures, by name:

    - `value(observations, actions)`: (B, O), (B, A) float32 arrays -> Q of each critic (C, B), or (B,) for one;
    - `sample(observations, generator)`: (B, O) -> actions (B, A) drawn from the policy the value speaks of, and the
      bonus (B,) which the TD targets add for each beside the reward (SAC: -temperature * log pi; else zeros).
    """

    Config: ClassVar[type[MethodConfig]]

    def __init__(self, spec: TaskSpec, config: Any, seed: int, device: torch.device) -> None: ...

    def update(self, batch: Batch) -> dict[str, Tensor | float]:
        """One gradient step. Returns losses and whatever else is worth a column in train.csv."""
        ...

    def act(self, observations: np.ndarray) -> np.ndarray:
        """(B, O) float32 -> (B, A): the evaluation policy, without noise."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """Tensors from which `load_state_dict` restores what acts and values."""
        ...

    def load_state_dict(self, state: dict[str, Tensor]) -> None: ...


@runtime_checkable
class Resumable(Protocol):
    """What else a method may have, so that a run that was killed goes on; one without starts from its beginning."""

    def training_state(self) -> dict[str, Tensor]:
        """All that later updates depend on: beside what `state_dict` holds its optimisers, generators and counters."""
        ...

    def load_training_state(self, state: dict[str, Tensor]) -> None:
        """After it the method, freshly built, goes on as the one that gave `state` would have, bit for bit."""
        ...


def part_of(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """The tensors of `state` whose names begin with `name` and a dot, by what follows it."""
    return {key.removeprefix(f"{name}."): tensor for key, tensor in state.items() if key.startswith(f"{name}.")}


def optimiser_state(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What the next step of one of torch's optimisers depends on, beside the parameters, for a `training_state`."""
    return {
        f"{index}.{key}": tensor
        for index, tensors in optimiser.state_dict()["state"].items()
        for key, tensor in tensors.items()
    }


def load_optimiser_state(optimiser: torch.optim.Optimizer, state: dict[str, Tensor]) -> None:
    """Lets a fresh optimiser of the same parameters go on from the `optimiser_state` of another."""
    moments: dict[int, dict[str, Tensor]] = {}
    for place, tensor in state.items():
        index, _, key = place.partition(".")
        moments.setdefault(int(index), {})[key] = tensor
    optimiser.load_state_dict(optimiser.state_dict() | {"state": moments})
