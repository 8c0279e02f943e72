"""The critics: networks of one shape, started apart, that score the same actions; targets take the smallest value."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cqlbench.networks.fused import fused_networks, worthwhile
from cqlbench.networks.mlp import MLP, activation, initialise


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

    def forward(self, inputs: Tensor, actions: Tensor | None) -> Tensor:
        """States with their actions (B, O + A) -> (B,); or states (B, O) with N actions each (B, N, A) -> (B, N)."""
        if actions is None:
            return self.rest(self.first(inputs)).squeeze(-1)
        state_weight, action_weight = self.first.weight.tensor_split([self.observation_size], 1)
        state_half = F.linear(inputs, state_weight, self.first.bias)
        return self.rest(F.linear(actions, action_weight).add_(state_half[:, None])).squeeze(-1)


class CriticEnsemble(nn.Module):
    """C critics of the same shape, initialised apart. There is no fused form of layer normalisation."""

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        width: int,
        depth: int,
        layer_norm: bool = False,
        init: str = "torch",
        fused: bool = False,
        count: int = 2,
    ) -> None:
        super().__init__()
        self.critics = nn.ModuleList(
            Critic(observation_size, action_size, width, depth, layer_norm, init) for _ in range(count)
        )
        self.fused, self.width = fused and not layer_norm, width
        self.weights: list[Tensor] = list(self.parameters())

    def forward(self, observations: Tensor, actions: Tensor) -> Tensor:
        """(B, O), (B, A) -> (C, B); or (B, O), (B, N, A) -> (C, B, N); actions (C, B, N, A) are each critic's own."""
        one_each = actions.dim() == 2
        inputs, several = (torch.cat([observations, actions], 1), None) if one_each else (observations, actions)
        rows = len(actions) if one_each else actions.shape[-3] * actions.shape[-2]
        if self.fused and worthwhile(rows, self.width):
            return fused_networks(len(self.critics), self.weights, inputs, several).squeeze(-1)
        own = actions if actions.dim() == 4 else [several] * len(self.critics)
        return torch.stack([critic(inputs, scored) for critic, scored in zip(self.critics, own, strict=True)])

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Inside, values are differentiable in the actions alone."""
        for weight in self.weights:
            weight.requires_grad_(False)
        try:
            yield
        finally:
            for weight in self.weights:
                weight.requires_grad_(True)
