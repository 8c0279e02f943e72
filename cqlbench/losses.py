"""Every loss, as a pure function of values: B states, N sampled actions per state, 2 critics.

Equations are those of Kumar et al. 2020 (arXiv 2006.04779).
"""

from __future__ import annotations

import torch
from torch import Tensor


def td_target(rewards: Tensor, terminals: Tensor, next_values: Tensor, discount: float) -> Tensor:
    """r + discount * V(s'), without V(s') where the episode ended by the task's own rule. All (B,)."""
    assert rewards.shape == terminals.shape == next_values.shape, (rewards.shape, terminals.shape, next_values.shape)
    return rewards + discount * (1 - terminals) * next_values


def td_loss(values: Tensor, targets: Tensor) -> Tensor:
    """Squared TD error of each critic, values (2, B) against targets (B,) -> (2,).

    Unhalved, as in every codebase; the paper's equations halve it, so `cql_alpha` here is twice the paper's alpha.
    """
    assert values.shape[1:] == targets.shape, (values.shape, targets.shape)
    return (values - targets).square().mean(1)


def conservative_gap(sampled_values: Tensor, log_densities: Tensor, data_values: Tensor) -> Tensor:
    """The term CQL adds: log of the sum of exp Q over all actions, minus Q of the dataset's action (equation 4).

    sampled_values (2, B, N), log_densities (B, N) or (N,), data_values (2, B) -> (2,).
    The sum over actions is an integral, estimated from samples weighted by one over the density they were drawn from
    (appendix F). Dividing by N would subtract log N from the result; no codebase does, the gradient is the same.
    """
    assert sampled_values.shape[:2] == data_values.shape, (sampled_values.shape, data_values.shape)
    assert sampled_values.shape[-log_densities.dim() :] == log_densities.shape, log_densities.shape
    soft_maximum = torch.logsumexp(sampled_values - log_densities, dim=2)
    return (soft_maximum - data_values).mean(1)


def actor_loss(values: Tensor, log_densities: Tensor, temperature: Tensor) -> Tensor:
    """temperature * log pi - Q, over actions sampled from the policy: (B,), (B,), () -> ()."""
    assert values.shape == log_densities.shape, (values.shape, log_densities.shape)
    return (temperature * log_densities - values).mean()


def temperature_loss(log_temperature: Tensor, log_densities: Tensor, target_entropy: float) -> Tensor:
    """Raises the temperature while the policy's entropy is under its target: (), (B,) -> ()."""
    return -(log_temperature.exp() * (log_densities.detach() + target_entropy)).mean()


def bc_loss(mean_actions: Tensor, actions: Tensor) -> Tensor:
    """Mean squared error between the policy's mean action and the dataset's: (B, A), (B, A) -> ()."""
    assert mean_actions.shape == actions.shape, (mean_actions.shape, actions.shape)
    return (mean_actions - actions).square().mean()
