"""Between the simulator's numbers and the algorithm's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cqlbench.algorithms.configs import MethodConfig
from cqlbench.datasets import OfflineDataset


@dataclass(frozen=True)
class Normaliser:
    """What turns the simulator's numbers into the algorithm's: observations shifted and scaled, actions in [-1, 1]."""

    mean: np.ndarray  # (O,) float32
    scale: np.ndarray  # (O,) float32
    action_limit: float
    action_clip: float = 1.0
    reward_scale: float = 1.0
    reward_shift: float = 0.0

    @classmethod
    def for_dataset(cls, dataset: OfflineDataset, config: MethodConfig) -> Normaliser:
        """From all of the dataset's observations, or the identity where the config says not to normalise."""
        size = dataset.task.observation_size
        mean, scale = np.zeros(size), np.ones(size)
        if config.normalise_observations:
            mean = dataset.observations.mean(0, dtype=np.float64)
            # A coordinate that never moves has no scale of its own.
            scale = dataset.observation_std(np.float64) + 1e-3
        rewards = (config.reward_scale, config.reward_shift)
        limits = (dataset.task.action_limit, config.action_clip)
        return cls(mean.astype(np.float32), scale.astype(np.float32), *limits, *rewards)

    def state_dict(self) -> dict[str, Tensor]:
        """What `from_state_dict` restores it from, to lie beside a policy's tensors."""
        return {"normaliser.mean": torch.from_numpy(self.mean), "normaliser.scale": torch.from_numpy(self.scale)}

    @classmethod
    def from_state_dict(cls, state: dict[str, Tensor], action_limit: float) -> Normaliser:
        """Takes its tensors out of `state`, which keeps the policy's."""
        return cls(state.pop("normaliser.mean").numpy(), state.pop("normaliser.scale").numpy(), action_limit)

    def observations(self, observations: np.ndarray) -> np.ndarray:
        """(..., O) from the simulator -> (..., O) float32 for the algorithm."""
        return ((observations - self.mean) / self.scale).astype(np.float32)

    def actions_to_simulator(self, actions: np.ndarray) -> np.ndarray:
        """(..., A) in [-1, 1] -> the task's own units."""
        return actions * self.action_limit

    def actions_from_simulator(self, actions: np.ndarray) -> np.ndarray:
        """(..., A) in the task's units -> (..., A) float32 in [-1, 1], clipped where the config says so."""
        scaled = (actions / self.action_limit).astype(np.float32)
        return scaled if self.action_clip == 1 else scaled.clip(-self.action_clip, self.action_clip)

    def rewards(self, rewards: np.ndarray) -> np.ndarray:
        """The task's rewards (B,) -> what the algorithm is rewarded with (B,) float32."""
        return (self.reward_scale * rewards + self.reward_shift).astype(np.float32)
