"""The tanh-Gaussian policy: a Gaussian whose sample goes through tanh, so that actions lie in [-1, 1]."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cqlbench.networks.mlp import initialise, mlp
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
    ) -> None:
        super().__init__()
        self.network = mlp(observation_size, width, depth, 2 * action_size)
        initialise(self.network, init, output_bound=1e-3)
        self.log_std_min, self.log_std_max, self.log_std_scaling = log_std_min, log_std_max, log_std_scaling
        if log_std_scaling:
            self.log_std_multiplier = nn.Parameter(torch.tensor(1.0))
            self.log_std_offset = nn.Parameter(torch.tensor(-1.0))

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """(B, O) -> mean (B, A) and log_std (B, A) of the Gaussian before the tanh."""
        mean, log_std = self.network(observations).chunk(2, dim=-1)
        if self.log_std_scaling:
            log_std = self.log_std_multiplier * log_std + self.log_std_offset
        return mean, log_std.clamp(self.log_std_min, self.log_std_max)

    def mean_action(self, observations: Tensor) -> Tensor:
        """(B, O) -> (B, A): the tanh of the mean, which evaluation acts by."""
        return torch.tanh(self(observations)[0])

    def sample(self, observations: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        """(B, O) -> actions (B, A), differentiable in the parameters, and their log-densities (B,)."""
        mean, log_std = self(observations)
        return squash(mean, log_std, noise.normal(mean.shape, mean))

    def sample_many(self, observations: Tensor, count: int, noise: Noise) -> tuple[Tensor, Tensor]:
        """(B, O) -> `count` actions per state (B, count, A) and their log-densities (B, count)."""
        mean, log_std = self(observations)
        batch, size = mean.shape
        return squash(mean[:, None], log_std[:, None], noise.normal((batch, count, size), mean))

    def log_density(self, observations: Tensor, actions: Tensor) -> Tensor:
        """(B, O), (B, A) -> (B,): how likely the policy takes actions that it did not draw itself."""
        mean, log_std = self(observations)
        return squashed_log_density(mean, log_std, actions)


def squash(mean: Tensor, log_std: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """tanh(mean + std * noise) with its log-density, in closed form; all of shape (..., A) -> (..., A), (...).

    log(1 - tanh(u)^2) is written as 2 (log 2 - u - softplus(-2u)), which stays finite where tanh rounds to 1
    (SAC, Haarnoja et al. 2018, appendix C, has the change of variables).
    """
    before = mean + log_std.exp() * noise
    gaussian = -0.5 * noise.square() - log_std - 0.5 * math.log(2 * math.pi)
    correction = 2 * (math.log(2) - before - F.softplus(-2 * before))
    return torch.tanh(before), (gaussian - correction).sum(-1)


def squashed_log_density(mean: Tensor, log_std: Tensor, actions: Tensor) -> Tensor:
    """The log-density that tanh(mean + std * noise) gives to `actions`; all of shape (..., A) -> (...).

    Actions are held 1e-6 inside the bounds, where the density of a squashed Gaussian is 0 or infinite.
    """
    before = torch.atanh(actions.clamp(-1 + 1e-6, 1 - 1e-6))
    return squash(mean, log_std, (before - mean) * (-log_std).exp())[1]
