"""Soft actor-critic on a fixed dataset: the naive baseline, and all of CQL but its one term."""

from __future__ import annotations

import math
from copy import deepcopy

import numpy as np
import torch
from torch import Tensor, nn

from cqlbench.algorithms.configs import SACConfig
from cqlbench.losses import actor_loss, td_loss, td_target, temperature_loss
from cqlbench.networks.critic import TwinCritic
from cqlbench.networks.policy import TanhGaussianPolicy
from cqlbench.seeding import seed_for
from cqlbench.tasks import Batch, TaskSpec


class SAC:
    """Haarnoja et al. 2018 with a learned temperature, fed from a dataset instead of a replay buffer."""

    Config = SACConfig

    def __init__(self, spec: TaskSpec, config: SACConfig, seed: int, device: torch.device) -> None:
        self.config, self.device = config, device
        sizes = (spec.observation_size, spec.action_size, config.width, config.depth)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_for("weights", seed))
            self.policy = TanhGaussianPolicy(*sizes, config.log_std_min, config.log_std_max).to(device)
            self.critic = TwinCritic(*sizes).to(device)
        self.target_critic = deepcopy(self.critic).requires_grad_(False)
        self.log_temperature = nn.Parameter(torch.tensor(math.log(config.initial_temperature), device=device))
        self.target_entropy = -float(spec.action_size) if config.target_entropy is None else config.target_entropy
        self.noise = torch.Generator(device).manual_seed(seed_for("noise", seed))

        def adam(parameters, learning_rate: float) -> torch.optim.Adam:
            return torch.optim.Adam(parameters, learning_rate, fused=True)

        self.actor_optimiser = adam(self.policy.parameters(), config.actor_learning_rate)
        self.critic_optimiser = adam(self.critic.parameters(), config.critic_learning_rate)
        self.temperature_optimiser = adam([self.log_temperature], config.temperature_learning_rate)

    def update(self, batch: Batch) -> dict[str, Tensor | float]:
        """Critics, then policy and temperature, then target critics."""
        critic_loss, metrics = self.critic_loss(batch)
        self.critic_optimiser.zero_grad()
        critic_loss.backward()
        self.critic_optimiser.step()
        metrics |= self._update_actor(batch)
        with torch.no_grad():
            for target, parameter in zip(self.target_critic.parameters(), self.critic.parameters(), strict=True):
                target.lerp_(parameter, self.config.polyak)
        return metrics

    def critic_loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor | float]]:
        """The loss to minimise, summed over the critics, and what to log of it."""
        values = self.critic(batch.observations, batch.actions)
        loss = td_loss(values, self.td_targets(batch))
        return loss.sum(), {"td_loss": loss.detach().mean(), "q_data": values.detach().mean()}

    @torch.no_grad()
    def td_targets(self, batch: Batch) -> Tensor:
        """(B,): the smaller target critic at the policy's next action, with or without the entropy bonus."""
        if self.config.target_action == "sample":
            actions, log_densities = self.policy.sample(batch.next_observations, self.noise)
        else:
            actions, log_densities = self.policy.mean_action(batch.next_observations), None
        next_values = self.target_critic(batch.next_observations, actions).amin(0)
        if self.config.entropy_in_target and log_densities is not None:
            next_values = next_values - self.log_temperature.exp() * log_densities
        return td_target(batch.rewards, batch.terminals, next_values, self.config.discount)

    def _update_actor(self, batch: Batch) -> dict[str, Tensor | float]:
        actions, log_densities = self.policy.sample(batch.observations, self.noise)
        self.critic.requires_grad_(False)
        values = self.critic(batch.observations, actions).amin(0)
        self.critic.requires_grad_(True)
        temperature = self.log_temperature.detach().exp()
        loss = actor_loss(values, log_densities, temperature)
        self.actor_optimiser.zero_grad()
        loss.backward()
        self.actor_optimiser.step()
        if self.config.temperature_learning_rate > 0:
            self.temperature_optimiser.zero_grad()
            temperature_loss(self.log_temperature, log_densities, self.target_entropy).backward()
            self.temperature_optimiser.step()
        return {
            "actor_loss": loss.detach(),
            "q_policy": values.detach().mean(),
            "entropy": -log_densities.detach().mean(),
            "temperature": temperature,
        }

    @torch.inference_mode()
    def act(self, observations: np.ndarray) -> np.ndarray:
        return self.policy.mean_action(torch.as_tensor(observations, device=self.device)).cpu().numpy()

    @torch.inference_mode()
    def sample(self, observations: np.ndarray, generator: torch.Generator) -> tuple[np.ndarray, np.ndarray]:
        actions, log_densities = self.policy.sample(torch.as_tensor(observations, device=self.device), generator)
        in_target = self.config.entropy_in_target and self.config.target_action == "sample"
        bonus = -self.log_temperature.exp() * log_densities if in_target else torch.zeros_like(log_densities)
        return actions.cpu().numpy(), bonus.cpu().numpy()

    @torch.inference_mode()
    def value(self, observations: np.ndarray, actions: np.ndarray) -> np.ndarray:
        inputs = (torch.as_tensor(array, device=self.device) for array in (observations, actions))
        return self.critic(*inputs).cpu().numpy()

    def _modules(self) -> nn.ModuleDict:
        return nn.ModuleDict({"policy": self.policy, "critic": self.critic, "target_critic": self.target_critic})

    def state_dict(self) -> dict[str, Tensor]:
        return self._modules().state_dict() | {"log_temperature": self.log_temperature.detach()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        networks = dict(state)
        self.log_temperature.data.copy_(networks.pop("log_temperature"))
        self._modules().load_state_dict(networks)
