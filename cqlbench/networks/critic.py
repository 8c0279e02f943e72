"""The twin critic: two networks that score the same actions; targets take the smaller of the two."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cqlbench.networks.fused import fused_networks, worthwhile
from cqlbench.networks.mlp import MLP, activation, initialise, linear_layers


class Critic(nn.Module):
    """Q(s, a). Several actions of one state share the state's half of the first layer."""

    def __init__(
        self, observation_size: int, action_size: int, width: int, depth: int, layer_norm: bool, init: str
    ) -> None:
        super().__init__()
        self.observation_size = observation_size
        self.first = nn.Linear(observation_size + action_size, width)
        self.rest = nn.Sequential(*activation(width, layer_norm), *MLP(width, width, depth - 1, 1, layer_norm))
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
    """Two critics of the same shape, initialised apart. There is no fused form of layer normalisation."""

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        width: int,
        depth: int,
        layer_norm: bool = False,
        init: str = "torch",
        fused: bool = False,
    ) -> None:
        super().__init__()
        self.critics = nn.ModuleList(
            Critic(observation_size, action_size, width, depth, layer_norm, init) for _ in range(2)
        )
        self.fused, self.width = fused and not layer_norm, width
        self.layers = [linear_layers(critic) for critic in self.critics]
        self.weights: list[Tensor] = list(self.parameters())

    def forward(self, observations: Tensor, actions: Tensor) -> Tensor:
        """(B, O), (B, A) -> (2, B); or (B, O), (B, N, A) -> (2, B, N); actions (2, B, N, A) are each critic's own."""
        if self.fused and worthwhile(actions[..., 0].numel(), self.width):
            return fused_networks(self.layers, observations, actions).squeeze(-1)
        own = actions if actions.dim() == 4 else [actions] * 2
        return torch.stack([critic(observations, scored) for critic, scored in zip(self.critics, own, strict=True)])

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Inside, values are differentiable in the actions alone."""
        for weight in self.weights:
            weight.requires_grad_(False)
        yield
        for weight in self.weights:
            weight.requires_grad_(True)
