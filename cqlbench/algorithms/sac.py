"""Soft actor-critic on a fixed dataset: the naive baseline, and all of CQL but its one term."""

from __future__ import annotations

import math
from copy import deepcopy
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from cqlbench.algorithms.algorithm import part_of
from cqlbench.algorithms.configs import SACConfig
from cqlbench.losses import actor_loss, td_loss, td_target, temperature_loss
from cqlbench.networks.adam import Adam
from cqlbench.networks.critic import CriticEnsemble
from cqlbench.networks.noise import Noise
from cqlbench.networks.policy import TanhGaussian, TanhGaussianPolicy
from cqlbench.seeding import seed_for
from cqlbench.tasks import Batch, TaskSpec


class Forward(NamedTuple):
    """A batch and what the networks say of it, each asked once per update."""

    batch: Batch
    data_values: Tensor  # (C, B), Q of the data's actions
    here: TanhGaussian  # the policy at s
    there: TanhGaussian  # the policy at s', without gradient


class SAC:
    """Haarnoja et al. 2018 with a learned temperature, fed from a dataset instead of a replay buffer."""

    Config = SACConfig

    def __init__(self, spec: TaskSpec, config: SACConfig, seed: int, device: torch.device) -> None:
        self.config, self.device, self.updates = config, device, 0
        sizes = (spec.observation_size, spec.action_size, config.width, config.depth)
        log_std = (config.log_std_min, config.log_std_max, config.log_std_scaling)
        fused = config.networks == "fused"
        critic_options = (config.critic_layer_norm, config.critic_init, fused, config.num_critics)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_for("weights", seed))
            self.policy = TanhGaussianPolicy(*sizes, *log_std, config.policy_init, fused).to(device)
            self.critic = CriticEnsemble(*sizes, *critic_options).to(device)
            independent = config.independent_targets
            target_critic = CriticEnsemble(*sizes, *critic_options).to(device) if independent else deepcopy(self.critic)
        self.target_critic = target_critic.requires_grad_(False)
        self.log_temperature = nn.Parameter(torch.tensor(math.log(config.initial_temperature), device=device))
        self.target_entropy = -float(spec.action_size) if config.target_entropy is None else config.target_entropy
        self.noise = Noise(torch.Generator(device).manual_seed(seed_for("noise", seed)))
        self.actor_optimiser = Adam(self.policy.parameters(), config.actor_learning_rate)
        self.critic_optimiser = Adam(self.critic.parameters(), config.critic_learning_rate)
        self.temperature_optimiser = Adam([self.log_temperature], config.temperature_learning_rate)

    def update(self, batch: Batch) -> dict[str, Tensor | float]:
        """Critics, then policy and temperature, then target critics; `joint_update` lets the critics step last."""
        self.updates += 1
        forward = self.forward(batch)
        critic_loss, metrics = self.critic_loss(forward)
        self.critic_optimiser.zero_grad()
        critic_loss.backward()
        if not self.config.joint_update:
            self.critic_optimiser.step()
        metrics |= self._update_actor(forward)
        if self.config.joint_update:
            self.critic_optimiser.step()
        with torch.no_grad():
            torch._foreach_lerp_(self.target_critic.weights, self.critic.weights, self.config.polyak)
        return metrics

    def forward(self, batch: Batch) -> Forward:
        """What every loss of an update starts from."""
        with torch.no_grad():
            there = self.policy(batch.next_observations)
        here = self.policy(batch.observations)
        return Forward(batch, self.critic(batch.observations, batch.actions), here, there)

    def critic_loss(self, forward: Forward) -> tuple[Tensor, dict[str, Tensor | float]]:
        """The loss to minimise, summed over the critics, and what to log of it."""
        values = forward.data_values
        loss = td_loss(values, self.td_targets(forward))
        return loss.sum(), {"td_loss": loss.detach().mean(), "q_data": values.detach().mean()}

    @torch.no_grad()
    def td_targets(self, forward: Forward) -> Tensor:
        """(B,): the smallest target critic at the policy's next action, with or without the entropy bonus.

        Of several sampled actions the one of highest value counts, with its own bonus (young-geng/CQL).
        """
        batch, policy, config = forward.batch, forward.there, self.config
        if config.target_action == "mean":
            next_values = self.target_critic(batch.next_observations, policy.mean_action()).amin(0)
        else:
            actions, log_densities = policy.sample_many(config.target_action_samples, self.noise)
            next_values, best = self.target_critic(batch.next_observations, actions).amin(0).max(1)
            if config.entropy_in_target:
                bonus = -self.log_temperature.exp() * log_densities.gather(1, best[:, None]).squeeze(1)
                next_values = next_values + bonus
        return td_target(batch.rewards, batch.terminals, next_values, config.discount)

    def _update_actor(self, forward: Forward) -> dict[str, Tensor | float]:
        batch, policy = forward.batch, forward.here
        actions, log_densities = policy.sample(self.noise)
        temperature_first = self.config.multipliers_first != "none"
        if temperature_first:
            self._update_temperature(log_densities)
        with self.critic.frozen():
            values = self.critic(batch.observations, actions).amin(0)
        temperature = self.log_temperature.detach().exp()
        cloning = self.updates <= self.config.bc_warm_start
        scores = policy.log_density(batch.actions) if cloning else values
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
        return self.policy(torch.as_tensor(observations, device=self.device)).mean_action().cpu().numpy()

    @torch.inference_mode()
    def sample(self, observations: np.ndarray, generator: torch.Generator) -> tuple[np.ndarray, np.ndarray]:
        states, noise = torch.as_tensor(observations, device=self.device), Noise(generator)
        policy, count = self.policy(states), self.config.target_action_samples
        if count == 1:
            actions, log_densities = policy.sample(noise)
        else:
            # The policy whose value the targets speak of takes the best of so many samples.
            drawn, densities = policy.sample_many(count, noise)
            best = self.target_critic(states, drawn).amin(0).argmax(1, keepdim=True)
            actions = drawn.take_along_dim(best[..., None], 1).squeeze(1)
            log_densities = densities.gather(1, best).squeeze(1)
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
        for name, parameter in self._multipliers().items():
            parameter.data.copy_(state[name])
        for name, module in self._modules().items():
            module.load_state_dict(part_of(state, name))

    def _optimisers(self) -> dict[str, Adam]:
        return {
            "actor_optimiser": self.actor_optimiser,
            "critic_optimiser": self.critic_optimiser,
            "temperature_optimiser": self.temperature_optimiser,
        }

    def _noises(self) -> dict[str, Noise]:
        return {"noise": self.noise}

    def training_state(self) -> dict[str, Tensor]:
        state = self.state_dict() | {"updates": torch.tensor(self.updates)}
        for name, optimiser in self._optimisers().items():
            state |= {f"{name}.{key}": tensor for key, tensor in optimiser.state().items()}
        return state | {name: noise.generator.get_state() for name, noise in self._noises().items()}

    def load_training_state(self, state: dict[str, Tensor]) -> None:
        self.load_state_dict(state)
        self.updates = int(state["updates"])
        for name, optimiser in self._optimisers().items():
            optimiser.load_state(part_of(state, name))
        for name, noise in self._noises().items():
            noise.generator.set_state(state[name])
