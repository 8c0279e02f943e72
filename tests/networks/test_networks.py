"""The policy's density and the critic's shortcut against what they stand for."""

import math

import numpy as np
import torch

from cqlbench.networks.critic import CriticEnsemble
from cqlbench.networks.fused import worthwhile
from cqlbench.networks.noise import Noise
from cqlbench.networks.policy import TanhGaussianPolicy, squash


def test_log_density_of_the_tanh_gaussian_integrates_to_one():
    mean, log_std = torch.tensor([[0.4]], dtype=torch.float64), torch.tensor([[-0.3]], dtype=torch.float64)
    noise = torch.linspace(-9, 9, 200_001, dtype=torch.float64)[:, None]
    actions, log_densities = squash(mean, log_std, noise)
    assert abs(np.trapezoid(log_densities.exp().numpy(), actions[:, 0].numpy()) - 1) < 1e-6


def test_log_density_agrees_with_torch_distributions():
    generator = torch.Generator().manual_seed(0)
    mean, log_std, noise = (torch.randn(6, 3, generator=generator, dtype=torch.float64) for _ in range(3))
    actions, log_densities = squash(mean, log_std, noise)
    distribution = torch.distributions.TransformedDistribution(
        torch.distributions.Normal(mean, log_std.exp()), torch.distributions.TanhTransform(cache_size=1)
    )
    torch.testing.assert_close(log_densities, distribution.log_prob(actions).sum(-1))


def test_log_density_stays_finite_where_tanh_rounds_to_one():
    _, log_densities = squash(torch.full((1, 2), 40.0), torch.zeros(1, 2), torch.zeros(1, 2))
    assert torch.isfinite(log_densities).all()


def test_sampling_many_matches_sampling_one_in_distribution_and_shape():
    policy = TanhGaussianPolicy(4, 2, 16, 2, -20, 2)
    observations = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))
    actions, log_densities = policy(observations).sample_many(2000, Noise(torch.Generator().manual_seed(2)))
    assert actions.shape == (5, 2000, 2) and log_densities.shape == (5, 2000)
    mean, log_std = policy(observations)
    before = torch.atanh(actions.clamp(-1 + 1e-6, 1 - 1e-6))
    standard_error = log_std.exp() / math.sqrt(2000)
    assert ((before.mean(1) - mean).abs() < 5 * standard_error).all()


def test_critic_scores_many_actions_as_it_scores_each_alone():
    critic = CriticEnsemble(4, 2, 16, 2).double()
    generator = torch.Generator().manual_seed(0)
    observations = torch.randn(5, 4, generator=generator, dtype=torch.float64)
    actions = torch.rand(5, 3, 2, generator=generator, dtype=torch.float64)
    together = critic(observations, actions)
    assert together.shape == (2, 5, 3)
    for n in range(3):
        torch.testing.assert_close(together[:, :, n], critic(observations, actions[:, n]))


def test_critic_is_an_ordinary_network_of_state_and_action_side_by_side():
    ensemble = CriticEnsemble(4, 2, 16, 2, count=3).double()
    observations, actions = torch.randn(5, 4, dtype=torch.float64), torch.rand(5, 2, dtype=torch.float64)
    for critic, values in zip(ensemble.critics, ensemble(observations, actions), strict=True):
        plain = critic.rest(critic.first(torch.cat([observations, actions], 1))).squeeze(-1)
        torch.testing.assert_close(values, plain)


def test_any_number_of_critics_score_alike_fused_and_readable():
    """With rows enough that the fused form is taken."""
    readable, fused = CriticEnsemble(11, 3, 64, 2, count=5), CriticEnsemble(11, 3, 64, 2, fused=True, count=5)
    fused.load_state_dict(readable.state_dict())
    observations, actions = torch.randn(64, 11), torch.rand(5, 64, 30, 3)
    values = readable(observations, actions)
    assert values.shape == (5, 64, 30) and worthwhile(64 * 30, 64)
    torch.testing.assert_close(fused(observations, actions), values)
    torch.testing.assert_close(fused(observations, actions[0])[0], values[0])
