"""TD3+BC (Fujimoto & Gu 2021, arXiv 2106.06860): TD3 whose policy also clones the data's actions.

- Policy: maximise weight * Q(s, pi(s)) - (pi(s) - a)^2, where weight = q_weight / mean |Q(s, a)| over the batch's own
  actions, as in the paper's equation.
- Critics: TD3's (Fujimoto et al. 2018, arXiv 1802.09477), the smaller target critic at a smoothed target action.
"""

from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import nn

from cqlbench.algorithms.configs import MethodConfig
from cqlbench.losses import bc_loss, td_loss, td_target
from cqlbench.networks.critic import CriticEnsemble
from cqlbench.networks.mlp import MLP


@dataclass(frozen=True)
class TD3BCConfig(MethodConfig):
    width: int = 256
    learning_rate: float = 3e-4
    discount: float = 0.99
    polyak: float = 0.005
    q_weight: float = 2.5  # the paper's alpha
    smoothing: float = 0.2  # standard deviation of the noise on target actions
    smoothing_bound: float = 0.5
    policy_delay: int = 2  # policy and targets move at every so many updates


class TD3BC(nn.Module):
    Config = TD3BCConfig

    def __init__(self, spec, config, seed, device):
        super().__init__()
        self.config, self.device, self.updates = config, device, 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.policy = nn.Sequential(MLP(spec.observation_size, config.width, 2, spec.action_size), nn.Tanh())
            self.critic = CriticEnsemble(spec.observation_size, spec.action_size, config.width, 2)
        self.target_policy, self.target_critic = deepcopy(self.policy), deepcopy(self.critic)
        self.to(device)
        self.generator = torch.Generator().manual_seed(seed)
        self.policy_optimiser = torch.optim.Adam(self.policy.parameters(), config.learning_rate)
        self.critic_optimiser = torch.optim.Adam(self.critic.parameters(), config.learning_rate)

    def update(self, batch):
        self.updates += 1
        with torch.no_grad():
            next_actions = self.smooth(self.target_policy(batch.next_observations), self.generator)
            next_values = self.target_critic(batch.next_observations, next_actions).amin(0)
        values = self.critic(batch.observations, batch.actions)
        critic_loss = td_loss(
            values, td_target(batch.rewards, batch.terminals, next_values, self.config.discount)
        ).sum()
        step(self.critic_optimiser, critic_loss)
        actions = self.policy(batch.observations)
        cloning = bc_loss(actions, batch.actions)
        if self.updates % self.config.policy_delay == 0:
            weight = self.config.q_weight / values[0].detach().abs().mean()
            step(self.policy_optimiser, cloning - weight * self.critic(batch.observations, actions)[0].mean())
            for target, network in ((self.target_policy, self.policy), (self.target_critic, self.critic)):
                for slow, fast in zip(target.parameters(), network.parameters(), strict=True):
                    slow.data.lerp_(fast.data, self.config.polyak)
        return {"td_loss": critic_loss.detach(), "bc_loss": cloning.detach(), "q_data": values.detach().mean()}

    def smooth(self, actions, generator):
        noise = self.config.smoothing * torch.randn(actions.shape, generator=generator).to(self.device)
        bound = self.config.smoothing_bound
        return (actions + noise.clamp(-bound, bound)).clamp(-1, 1)

    @torch.no_grad()
    def act(self, observations):
        return self.policy(torch.as_tensor(observations, device=self.device)).cpu().numpy()

    @torch.no_grad()
    def sample(self, observations, generator):  # the targets value the smoothed policy, and add no bonus
        actions = self.smooth(self.policy(torch.as_tensor(observations, device=self.device)), generator)
        return actions.cpu().numpy(), torch.zeros(len(actions)).numpy()

    @torch.no_grad()
    def value(self, observations, actions):
        inputs = (torch.as_tensor(array, device=self.device) for array in (observations, actions))
        return self.critic(*inputs).cpu().numpy()


def step(optimiser, loss):
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
