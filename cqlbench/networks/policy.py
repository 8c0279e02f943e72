"""The tanh-Gaussian policy: a Gaussian whose sample goes through tanh, so that actions lie in [-1, 1]."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cqlbench.networks.mlp import mlp


class TanhGaussianPolicy(nn.Module):
    """Mean and log standard deviation before the tanh, both from one network."""

    def __init__(
        self, observation_size: int, action_size: int, width: int, depth: int, log_std_min: float, log_std_max: float
    ) -> None:
        super().__init__()
        self.network = mlp(observation_size, width, depth, 2 * action_size)
        self.log_std_min, self.log_std_max = log_std_min, log_std_max

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """(B, O) -> mean (B, A) and log_std (B, A) of the Gaussian before the tanh."""
        mean, log_std = self.network(observations).chunk(2, dim=-1)
        return mean, log_std.clamp(self.log_std_min, self.log_std_max)

    def mean_action(self, observations: Tensor) -> Tensor:
        """(B, O) -> (B, A): the tanh of the mean, which evaluation acts by."""
        return torch.tanh(self(observations)[0])

    def sample(self, observations: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """(B, O) -> actions (B, A), differentiable in the parameters, and their log-densities (B,)."""
        mean, log_std = self(observations)
        return squash(mean, log_std, standard_normal(mean.shape, mean, generator))

    def sample_many(self, observations: Tensor, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """(B, O) -> `count` actions per state (B, count, A) and their log-densities (B, count)."""
        mean, log_std = self(observations)
        batch, size = mean.shape
        noise = standard_normal((batch, count, size), mean, generator)
        return squash(mean[:, None], log_std[:, None], noise)


def standard_normal(shape: tuple[int, ...] | torch.Size, like: Tensor, generator: torch.Generator) -> Tensor:
    """Noise from `generator`, in the type and on the device of `like`, wherever the generator lives."""
    return torch.randn(shape, generator=generator, dtype=like.dtype, device=generator.device).to(like.device)


def squash(mean: Tensor, log_std: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """tanh(mean + std * noise) with its log-density, in closed form; all of shape (..., A) -> (..., A), (...).

    log(1 - tanh(u)^2) is written as 2 (log 2 - u - softplus(-2u)), which stays finite where tanh rounds to 1
    (SAC, Haarnoja et al. 2018, appendix C, has the change of variables).
    """
    before = mean + log_std.exp() * noise
    gaussian = -0.5 * noise.square() - log_std - 0.5 * math.log(2 * math.pi)
    correction = 2 * (math.log(2) - before - F.softplus(-2 * before))
    return torch.tanh(before), (gaussian - correction).sum(-1)
