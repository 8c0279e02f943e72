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
from cqlbench.networks.noise import Noise
from cqlbench.networks.policy import TanhGaussianPolicy
from cqlbench.seeding import seed_for
from cqlbench.tasks import Batch, TaskSpec


class SAC:
    """Haarnoja et al. 2018 with a learned temperature, fed from a dataset instead of a replay buffer."""

    Config = SACConfig

    def __init__(self, spec: TaskSpec, config: SACConfig, seed: int, device: torch.device) -> None:
        self.config, self.device, self.updates = config, device, 0
        sizes = (spec.observation_size, spec.action_size, config.width, config.depth)
        log_std = (config.log_std_min, config.log_std_max, config.log_std_scaling)
        critic_options = (config.critic_layer_norm, config.critic_init)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_for("weights", seed))
            self.policy = TanhGaussianPolicy(*sizes, *log_std, config.policy_init).to(device)
            self.critic = TwinCritic(*sizes, *critic_options).to(device)
            independent = config.independent_targets
            target_critic = TwinCritic(*sizes, *critic_options).to(device) if independent else deepcopy(self.critic)
        self.target_critic = target_critic.requires_grad_(False)
        self.log_temperature = nn.Parameter(torch.tensor(math.log(config.initial_temperature), device=device))
        self.target_entropy = -float(spec.action_size) if config.target_entropy is None else config.target_entropy
        self.noise = Noise(torch.Generator(device).manual_seed(seed_for("noise", seed)))

        def adam(parameters, learning_rate: float) -> torch.optim.Adam:
            return torch.optim.Adam(parameters, learning_rate, fused=True)

        self.actor_optimiser = adam(self.policy.parameters(), config.actor_learning_rate)
        self.critic_optimiser = adam(self.critic.parameters(), config.critic_learning_rate)
        self.temperature_optimiser = adam([self.log_temperature], config.temperature_learning_rate)

    def update(self, batch: Batch) -> dict[str, Tensor | float]:
        """Critics, then policy and temperature, then target critics; `joint_update` lets the critics step last."""
        self.updates += 1
        critic_loss, metrics = self.critic_loss(batch)
        self.critic_optimiser.zero_grad()
        critic_loss.backward()
        if not self.config.joint_update:
            self.critic_optimiser.step()
        metrics |= self._update_actor(batch)
        if self.config.joint_update:
            self.critic_optimiser.step()
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
        """(B,): the smaller target critic at the policy's next action, with or without the entropy bonus.

        Of several sampled actions the one of highest value counts, with its own bonus (young-geng/CQL).
        """
        next_observations, config = batch.next_observations, self.config
        if config.target_action == "mean":
            next_values = self.target_critic(next_observations, self.policy.mean_action(next_observations)).amin(0)
        else:
            samples = config.target_action_samples
            actions, log_densities = self.policy.sample_many(next_observations, samples, self.noise)
            next_values, best = self.target_critic(next_observations, actions).amin(0).max(1)
            if config.entropy_in_target:
                bonus = -self.log_temperature.exp() * log_densities.gather(1, best[:, None]).squeeze(1)
                next_values = next_values + bonus
        return td_target(batch.rewards, batch.terminals, next_values, config.discount)

    def _update_actor(self, batch: Batch) -> dict[str, Tensor | float]:
        actions, log_densities = self.policy.sample(batch.observations, self.noise)
        temperature_first = self.config.multipliers_first != "none"
        if temperature_first:
            self._update_temperature(log_densities)
        self.critic.requires_grad_(False)
        values = self.critic(batch.observations, actions).amin(0)
        self.critic.requires_grad_(True)
        temperature = self.log_temperature.detach().exp()
        cloning = self.updates <= self.config.bc_warm_start
        scores = self.policy.log_density(batch.observations, batch.actions) if cloning else values
        loss = actor_loss(scores, log_densities, temperature)
        self.actor_optimiser.zero_grad()
        loss.backward()
        self.actor_optimiser.step()
        if not temperature_first:
            self._update_temperature(log_densities)
        return {
            "actor_loss": loss.detach(),
            "q_policy": values.detach().mean(),
            "entropy": -log_densities.detach().mean(),
            "temperature": temperature,
        }

    def _update_temperature(self, log_densities: Tensor) -> None:
        if self.config.temperature_learning_rate == 0:
            return
        logarithmic = self.config.temperature_loss_of == "log_temperature"
        loss = temperature_loss(self.log_temperature, log_densities, self.target_entropy, logarithmic)
        self.temperature_optimiser.zero_grad()
        loss.backward()
        self.temperature_optimiser.step()

    @torch.inference_mode()
    def act(self, observations: np.ndarray) -> np.ndarray:
        return self.policy.mean_action(torch.as_tensor(observations, device=self.device)).cpu().numpy()

    @torch.inference_mode()
    def sample(self, observations: np.ndarray, generator: torch.Generator) -> tuple[np.ndarray, np.ndarray]:
        actions, log_densities = self.policy.sample(torch.as_tensor(observations, device=self.device), Noise(generator))
        bonus = torch.zeros_like(log_densities)
        if self.config.entropy_in_target:
            bonus = -self.log_temperature.exp() * log_densities
        return actions.cpu().numpy(), bonus.cpu().numpy()

    @torch.inference_mode()
    def value(self, observations: np.ndarray, actions: np.ndarray) -> np.ndarray:
        inputs = (torch.as_tensor(array, device=self.device) for array in (observations, actions))
        return self.critic(*inputs).cpu().numpy()

    def _modules(self) -> nn.ModuleDict:
        return nn.ModuleDict({"policy": self.policy, "critic": self.critic, "target_critic": self.target_critic})

    def _multipliers(self) -> dict[str, nn.Parameter]:
        return {"log_temperature": self.log_temperature}

    def state_dict(self) -> dict[str, Tensor]:
        return self._modules().state_dict() | {name: value.detach() for name, value in self._multipliers().items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        networks = dict(state)
        for name, parameter in self._multipliers().items():
            parameter.data.copy_(networks.pop(name))
        self._modules().load_state_dict(networks)
