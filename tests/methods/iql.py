"""IQL (Kostrikov, Nair & Levine 2021, arXiv 2110.06169): no action outside the data is ever asked for its value.

- V: an expectile of Q over the data's actions, which minimises |expectile - 1(Q < V)| (Q(s, a) - V(s))^2.
- Q: towards r + discount * V(s').
- Policy: maximise the log-density of the data's actions, weighted by exp(inverse_temperature * (Q - V)). It is normal,
  with a tanh mean and one standard deviation for all states.
"""

from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import nn

from cqlbench.algorithms.algorithm import load_optimiser_state, optimiser_state, part_of
from cqlbench.algorithms.configs import MethodConfig
from cqlbench.losses import td_loss, td_target
from cqlbench.networks.critic import CriticEnsemble
from cqlbench.networks.mlp import MLP

# So that a few large advantages do not decide an update.
LARGEST_WEIGHT = 100.0


@dataclass(frozen=True)
class IQLConfig(MethodConfig):
    width: int = 256
    learning_rate: float = 3e-4
    discount: float = 0.99
    polyak: float = 0.005
    expectile: float = 0.7
    inverse_temperature: float = 3.0


class IQL(nn.Module):
    Config = IQLConfig

    def __init__(self, spec, config, seed, device):
        super().__init__()
        self.config, self.device = config, device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.policy = nn.Sequential(MLP(spec.observation_size, config.width, 2, spec.action_size), nn.Tanh())
            self.critic = CriticEnsemble(spec.observation_size, spec.action_size, config.width, 2)
            self.state_value = MLP(spec.observation_size, config.width, 2, 1)
        self.log_std = nn.Parameter(torch.zeros(spec.action_size))
        self.target_critic = deepcopy(self.critic).requires_grad_(False)
        self.to(device)
        learned = [parameter for parameter in self.parameters() if parameter.requires_grad]
        self.optimiser = torch.optim.Adam(learned, config.learning_rate)

    def update(self, batch):
        config = self.config
        with torch.no_grad():
            known_values = self.target_critic(batch.observations, batch.actions).amin(0)
            next_values = self.state_value(batch.next_observations).squeeze(1)
            targets = td_target(batch.rewards, batch.terminals, next_values, config.discount)
        advantages = known_values - self.state_value(batch.observations).squeeze(1)
        value_loss = (torch.where(advantages < 0, 1 - config.expectile, config.expectile) * advantages.square()).mean()
        critic_loss = td_loss(self.critic(batch.observations, batch.actions), targets).sum()
        weights = (config.inverse_temperature * advantages.detach()).exp().clamp(max=LARGEST_WEIGHT)
        policy_loss = -(weights * self.distribution(batch.observations).log_prob(batch.actions).sum(1)).mean()
        # No two of the three share a parameter: one step along their sum is a step along each.
        self.optimiser.zero_grad()
        (value_loss + critic_loss + policy_loss).backward()
        self.optimiser.step()
        for slow, fast in zip(self.target_critic.parameters(), self.critic.parameters(), strict=True):
            slow.data.lerp_(fast.data, config.polyak)
        losses = {"value_loss": value_loss, "td_loss": critic_loss, "policy_loss": policy_loss}
        return {name: loss.detach() for name, loss in losses.items()}

    def distribution(self, observations):
        means = self.policy(torch.as_tensor(observations, device=self.device))
        return torch.distributions.Normal(means, self.log_std.clamp(-5, 2).exp())

    @torch.no_grad()
    def act(self, observations):
        return self.distribution(observations).mean.cpu().numpy()

    # The two with which a run that was killed goes on.
    def training_state(self):
        moments = {f"optimiser.{key}": tensor for key, tensor in optimiser_state(self.optimiser).items()}
        return {f"networks.{key}": tensor for key, tensor in self.state_dict().items()} | moments

    def load_training_state(self, state):
        self.load_state_dict(part_of(state, "networks"))
        load_optimiser_state(self.optimiser, part_of(state, "optimiser"))

    # Q speaks of an expectile over the data's actions, of no policy; the one drawn from it is the nearest to that.
    @torch.no_grad()
    def sample(self, observations, generator):
        normal = self.distribution(observations)
        noise = torch.randn(normal.mean.shape, generator=generator).to(self.device)
        return (normal.mean + normal.stddev * noise).clamp(-1, 1).cpu().numpy(), torch.zeros(len(noise)).numpy()

    @torch.no_grad()
    def value(self, observations, actions):
        inputs = (torch.as_tensor(array, device=self.device) for array in (observations, actions))
        return self.critic(*inputs).cpu().numpy()
