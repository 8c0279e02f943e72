"""The contract between a method and the harness: native, d3rlpy's and a user's own alike."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor

from cqlbench.algorithms.configs import MethodConfig
from cqlbench.tasks import Batch, TaskSpec


class Algorithm(Protocol):
    """What the harness calls. Observations come normalised where the config says so; actions are in [-1, 1].

    A method may also have the two below; one that has not is left out of value figures, by name:

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
