"""The tanh-Gaussian policy: a Gaussian whose sample goes through tanh, so that actions lie in [-1, 1]."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from cqlbench.networks.mlp import MLP, initialise
from cqlbench.networks.noise import Noise


class TanhGaussianPolicy(nn.Module):
    """Mean and log standard deviation before the tanh, both from one network.

    With `log_std_scaling`, two learned numbers scale and shift the latter (young-geng/CQL, SimpleSAC/model.py).
    """

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        width: int,
        depth: int,
        log_std_min: float = -20.0,
        log_std_max: float = 2.0,
        log_std_scaling: bool = False,
        init: str = "torch",
        fused: bool = False,
    ) -> None:
        super().__init__()
        self.network = MLP(observation_size, width, depth, 2 * action_size, fused=fused)
        initialise(self.network, init, output_bound=1e-3)
        self.log_std_min, self.log_std_max, self.log_std_scaling = log_std_min, log_std_max, log_std_scaling
        if log_std_scaling:
            self.log_std_multiplier = nn.Parameter(torch.tensor(1.0))
            self.log_std_offset = nn.Parameter(torch.tensor(-1.0))

    def forward(self, observations: Tensor) -> TanhGaussian:
        """(B, O) -> the distribution of actions at each."""
        mean, log_std = self.network(observations).chunk(2, dim=-1)
        if self.log_std_scaling:
            log_std = self.log_std_multiplier * log_std + self.log_std_offset
        return TanhGaussian(mean, log_std.clamp(self.log_std_min, self.log_std_max))


class TanhGaussian(NamedTuple):
    """tanh(mean + exp(log_std) * noise) for B states and A action dimensions; both (B, A)."""

    mean: Tensor
    log_std: Tensor

    def mean_action(self) -> Tensor:
        """(B, A): the tanh of the mean, which evaluation acts by."""
        return torch.tanh(self.mean)

    def sample(self, noise: Noise) -> tuple[Tensor, Tensor]:
        """Actions (B, A), differentiable in mean and log_std, and their log-densities (B,)."""
        return squash(self.mean, self.log_std, noise.normal(self.mean.shape, self.mean))

    def sample_many(self, count: int, noise: Noise) -> tuple[Tensor, Tensor]:
        """`count` actions per state (B, count, A) and their log-densities (B, count)."""
        batch, size = self.mean.shape
        drawn = noise.normal((batch, count, size), self.mean)
        return squash(self.mean[:, None], self.log_std[:, None], drawn)

    def log_density(self, actions: Tensor) -> Tensor:
        """(B, A) -> (B,): how likely actions are that the policy did not draw itself."""
        return squashed_log_density(self.mean, self.log_std, actions)


def squash(mean: Tensor, log_std: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """tanh(mean + std * noise) with its log-density, in closed form; all of shape (..., A) -> (..., A), (...).

    log(1 - tanh(u)^2) is written as 2 (log 2 - u - softplus(-2u)), which stays finite where tanh rounds to 1
    (SAC, Haarnoja et al. 2018, appendix C, has the change of variables).
    """
    return _Squash.apply(mean, log_std, noise)


def squashed_log_density(mean: Tensor, log_std: Tensor, actions: Tensor) -> Tensor:
    """The log-density that tanh(mean + std * noise) gives to `actions`; all of shape (..., A) -> (...).

    Actions are held 1e-6 inside the bounds, where the density of a squashed Gaussian is 0 or infinite.
    """
    before = torch.atanh(actions.clamp(-1 + 1e-6, 1 - 1e-6))
    return squash(mean, log_std, (before - mean) * (-log_std).exp())[1]


class _Squash(torch.autograd.Function):
    """Its gradient is in closed form too: with a = tanh(u), da/du = 1 - a^2, and the log-density rises by 2a du."""

    @staticmethod
    def forward(ctx: Any, mean: Tensor, log_std: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        std = log_std.exp()
        before = mean + std * noise
        gaussian = -0.5 * noise.square() - log_std - 0.5 * math.log(2 * math.pi)
        correction = 2 * (math.log(2) - before - F.softplus(-2 * before))
        actions = torch.tanh(before)
        ctx.save_for_backward(std, noise, actions)
        return actions, (gaussian - correction).sum(-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_actions: Tensor, by_densities: Tensor) -> tuple[Tensor | None, ...]:
        std, noise, actions = ctx.saved_tensors
        by_densities = by_densities[..., None]
        by_before = by_actions * (1 - actions.square()) + 2 * by_densities * actions
        by_log_std = by_before * std * noise - by_densities
        by_noise = (
            (by_before * std - by_densities * noise).sum_to_size(noise.shape) if ctx.needs_input_grad[2] else None
        )
        return by_before.sum_to_size(std.shape), by_log_std.sum_to_size(std.shape), by_noise
