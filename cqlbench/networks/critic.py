"""The twin critic: two networks that score the same actions; targets take the smaller of the two."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cqlbench.networks.mlp import activation, initialise, mlp


class Critic(nn.Module):
    """Q(s, a). Several actions of one state share the state's half of the first layer."""

    def __init__(
        self, observation_size: int, action_size: int, width: int, depth: int, layer_norm: bool, init: str
    ) -> None:
        super().__init__()
        self.observation_size = observation_size
        self.first = nn.Linear(observation_size + action_size, width)
        self.rest = nn.Sequential(*activation(width, layer_norm), *mlp(width, width, depth - 1, 1, layer_norm))
        initialise(self, init, output_bound=3e-3)

    def forward(self, observations: Tensor, actions: Tensor) -> Tensor:
        """(B, O), (B, A) -> (B,); or (B, O), (B, N, A) -> (B, N), each action scored at its own state."""
        state_weight = self.first.weight[:, : self.observation_size]
        action_weight = self.first.weight[:, self.observation_size :]
        state_half = F.linear(observations, state_weight, self.first.bias)
        if actions.dim() == 3:
            state_half = state_half[:, None]
        return self.rest(F.linear(actions, action_weight).add_(state_half)).squeeze(-1)


class TwinCritic(nn.Module):
    """Two critics of the same shape, initialised apart."""

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        width: int,
        depth: int,
        layer_norm: bool = False,
        init: str = "torch",
    ) -> None:
        super().__init__()
        self.critics = nn.ModuleList(
            Critic(observation_size, action_size, width, depth, layer_norm, init) for _ in range(2)
        )

    def forward(self, observations: Tensor, actions: Tensor) -> Tensor:
        """(B, O), (B, A) -> (2, B); or (B, O), (B, N, A) -> (2, B, N)."""
        return torch.stack([critic(observations, actions) for critic in self.critics])
