"""Behaviour cloning: the policy that copies the data."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from cqlbench.algorithms.algorithm import part_of
from cqlbench.algorithms.configs import BCConfig
from cqlbench.losses import bc_loss
from cqlbench.networks.adam import Adam
from cqlbench.networks.mlp import MLP
from cqlbench.seeding import seed_for
from cqlbench.tasks import Batch, TaskSpec


class BC:
    """A deterministic tanh policy fitted to the dataset's actions. Has no value."""

    Config = BCConfig

    def __init__(self, spec: TaskSpec, config: BCConfig, seed: int, device: torch.device) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_for("weights", seed))
            sizes = (spec.observation_size, config.width, config.depth, spec.action_size)
            self.policy = MLP(*sizes, fused=config.networks == "fused").to(device)
        self.device = device
        self.optimiser = Adam(self.policy.parameters(), config.learning_rate)

    def update(self, batch: Batch) -> dict[str, Tensor | float]:
        loss = bc_loss(torch.tanh(self.policy(batch.observations)), batch.actions)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return {"bc_loss": loss.detach()}

    @torch.inference_mode()
    def act(self, observations: np.ndarray) -> np.ndarray:
        return torch.tanh(self.policy(torch.as_tensor(observations, device=self.device))).cpu().numpy()

    def state_dict(self) -> dict[str, Tensor]:
        return self.policy.state_dict()

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.policy.load_state_dict(state)

    def training_state(self) -> dict[str, Tensor]:
        groups = {"policy": self.policy.state_dict(), "optimiser": self.optimiser.state()}
        return {f"{name}.{key}": tensor for name, group in groups.items() for key, tensor in group.items()}

    def load_training_state(self, state: dict[str, Tensor]) -> None:
        self.policy.load_state_dict(part_of(state, "policy"))
        self.optimiser.load_state(part_of(state, "optimiser"))
