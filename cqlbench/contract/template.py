from dataclasses import dataclass

import torch

from cqlbench.algorithms.configs import MethodConfig
from cqlbench.networks.mlp import MLP


class MyMethod(torch.nn.Module):  # behaviour cloning, to start from; a Module has state_dict and load_state_dict
    @dataclass(frozen=True)
    class Config(MethodConfig):
        width: int = 256

    def __init__(self, spec, config, seed, device):
        super().__init__()
        with torch.random.fork_rng(devices=[]):  # the weights follow from the seed, and nothing else from the weights
            torch.manual_seed(seed)
            self.policy = MLP(spec.observation_size, config.width, 2, spec.action_size).to(device)
        self.device, self.optimiser = device, torch.optim.Adam(self.policy.parameters())

    def update(self, batch):  # tensors: observations, actions in [-1, 1], rewards, next_observations, terminals
        loss = (torch.tanh(self.policy(batch.observations)) - batch.actions).square().mean()
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return {"loss": loss.detach()}

    def act(self, observations):  # an array (B, O) -> an array (B, A) in [-1, 1]
        return torch.tanh(self.policy(torch.as_tensor(observations, device=self.device))).detach().cpu().numpy()
