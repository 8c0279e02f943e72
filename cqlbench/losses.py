"""Every loss, as a pure function of values: B states, N sampled actions per state, C critics.

Equations are those of Kumar et al. 2020 (arXiv 2006.04779).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def td_target(rewards: Tensor, terminals: Tensor, next_values: Tensor, discount: float) -> Tensor:
    """r + discount * V(s'), without V(s') where the episode ended by the task's own rule. All (B,)."""
    assert rewards.shape == terminals.shape == next_values.shape, (rewards.shape, terminals.shape, next_values.shape)
    return rewards + discount * (1 - terminals) * next_values


def td_loss(values: Tensor, targets: Tensor) -> Tensor:
    """Squared TD error of each critic, values (C, B) against targets (B,) -> (C,).

    Unhalved, as in every codebase; the paper's equations halve it, so `cql_alpha` here is twice the paper's alpha.
    """
    assert values.shape[1:] == targets.shape, (values.shape, targets.shape)
    return (values - targets).square().mean(1)


def soft_maximum(sampled_values: Tensor, log_densities: Tensor | None, temperature: float = 1.0) -> Tensor:
    """CQL(H): log of the sum of exp Q over all actions (equation 4). (C, B, N), (B, N) -> (C, B).

    The sum over actions is an integral, estimated from samples weighted by one over the density they were drawn from
    (appendix F). Dividing by N would subtract log N from the result; no codebase does, the gradient is the same.
    Without densities the samples count alike. A temperature divides Q and multiplies the result.
    """
    exponents = sampled_values / temperature
    if log_densities is not None:
        assert log_densities.shape == sampled_values.shape[1:], (log_densities.shape, sampled_values.shape)
        exponents = exponents - log_densities
    return temperature * torch.logsumexp(exponents, dim=2)


def softmax_average(sampled_values: Tensor, temperature: float = 1.0) -> Tensor:
    """CQL(rho): Q averaged under mu proportional to rho exp Q, over actions drawn from rho. (C, B, N) -> (C, B).

    That mu maximises E_mu[Q] minus its KL divergence to rho (equation 3 and appendix A); it is given when Q is
    differentiated, so its weights are detached.
    """
    weights = torch.softmax(sampled_values.detach() / temperature, dim=2)
    return (weights * sampled_values).sum(2)


def robust_average(sampled_values: Tensor, radius: Tensor | float) -> Tensor:
    """CQL(var): mean plus sqrt(radius * variance) of Q over actions drawn from rho. (C, B, N), (B,) or () -> (C, B).

    The largest E_mu[Q] over all mu within this chi-squared divergence of rho, as long as that mu stays positive
    (appendix A). Exact in a table, where the N actions are all there are and the radius comes from the state's count;
    with one radius for all states, a proxy. No gradient through the root where all values are equal.
    """
    variance = sampled_values.var(2, unbiased=False)
    equal = variance == 0
    return sampled_values.mean(2) + (radius * variance).masked_fill(equal, 1).sqrt().masked_fill(equal, 0)


def conservative_gap(pushed_down: Tensor, data_values: Tensor | None) -> Tensor:
    """The term CQL adds: Q where it is pushed down minus Q of the data's action, where it is pushed up.

    pushed_down (C, B), data_values (C, B) -> (C,): equations 2 to 4. Without data_values, equation 1.
    """
    if data_values is None:
        return pushed_down.mean(1)
    assert pushed_down.shape == data_values.shape, (pushed_down.shape, data_values.shape)
    return (pushed_down - data_values).mean(1)


def lagrange_loss(log_multiplier: Tensor, excess: Tensor) -> Tensor:
    """Raises the multiplier while the gap is above its threshold, by `excess`: (), (C,) -> () (appendix F)."""
    return -(lagrange_multiplier(log_multiplier) * excess.detach()).mean()


def lagrange_multiplier(log_multiplier: Tensor) -> Tensor:
    """exp, held in [0, 1e6] as in every codebase: () -> ()."""
    return log_multiplier.exp().clamp(0, 1e6)


def actor_loss(values: Tensor, log_densities: Tensor, temperature: Tensor) -> Tensor:
    """temperature * log pi - Q, over actions sampled from the policy: (B,), (B,), () -> ().

    With the log-density of the data's actions in place of Q: the authors' behaviour-cloning warm start.
    """
    assert values.shape == log_densities.shape, (values.shape, log_densities.shape)
    return (temperature * log_densities - values).mean()


def temperature_loss(
    log_temperature: Tensor, log_densities: Tensor, target_entropy: float, logarithmic: bool = False
) -> Tensor:
    """Raises the temperature while the policy's entropy is under its target: (), (B,) -> ().

    With `logarithmic` the temperature itself is left out of the slope, as in rlkit and what descends from it.
    """
    factor = log_temperature if logarithmic else log_temperature.exp()
    return -(factor * (log_densities.detach().mean() + target_entropy))


def bc_loss(mean_actions: Tensor, actions: Tensor) -> Tensor:
    """Mean squared error between the policy's mean action and the dataset's: (B, A), (B, A) -> ()."""
    assert mean_actions.shape == actions.shape, (mean_actions.shape, actions.shape)
    return F.mse_loss(mean_actions, actions)
