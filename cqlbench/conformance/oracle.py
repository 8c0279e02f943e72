"""Every loss term of continuous CQL and its gradient, in float64 NumPy, from the equations alone.

Equations are those of Kumar et al. 2020 (arXiv 2006.04779). Nothing here is shared with the losses that train: no code,
no library but NumPy, and each gradient is a formula, not automatic differentiation. C critics, B states, N sampled
actions per state, A action dimensions.

Each term returns its value and its gradients by argument. A gradient is the derivative of each output with respect to
the entries it depends on: the output's axes first, then the axes of the argument which the output summed over.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Term = tuple[Array, dict[str, Array]]
# One network: (weight (outputs, inputs), bias (outputs,)) per layer.
Layers = list[tuple[Array, Array]]

# The Lagrange multiplier is kept from 0 to this (the authors' code: d4rl/rlkit/torch/sac/cql.py).
LARGEST_MULTIPLIER = 1e6
# A given action is kept this far inside (-1, 1), where the density of a tanh-Gaussian ends.
ACTION_MARGIN = 1e-6


def td_target(rewards: Array, terminals: Array, next_values: Array, discount: float) -> Term:
    """y = r + discount * V(s'), and y = r where s' is terminal: the sample of B^pi Q in equations 1 to 4. All (B,)."""
    continues = discount * (1.0 - terminals)
    return rewards + continues * next_values, {"next_values": continues}


def td_loss(values: Array, targets: Array) -> Term:
    """E_D[(Q - y)^2] per critic: (C, B), (B,) -> (C,). Equations 1 to 4 halve it: twice their alpha here."""
    error = values - targets
    slope = 2.0 * error / len(targets)
    return np.mean(error**2, axis=1), {"values": slope, "targets": -slope}


def soft_maximum(sampled_values: Array, log_densities: Array | None, temperature: float = 1.0) -> Term:
    """max_mu E_mu[Q] + T H(mu) = T log of the integral of exp(Q / T): CQL(H), equation 4, at T = 1.

    (C, B, N), (B, N) -> (C, B). The integral is a sum over samples, each divided by the density it was drawn from
    (appendix F). The sum is not divided by N: it lies T log N above the integral. Without densities it is the plain sum
    over the samples. The gradient in Q is the maximising mu, which sums to 1 (envelope theorem).
    """
    exponents = sampled_values / temperature - (0.0 if log_densities is None else log_densities)
    largest = exponents.max(axis=2, keepdims=True)
    terms = np.exp(exponents - largest)
    total = terms.sum(axis=2, keepdims=True)
    mu = terms / total
    value = temperature * (largest + np.log(total))[:, :, 0]
    return value, {"sampled_values": mu} | ({} if log_densities is None else {"log_densities": -temperature * mu})


def softmax_average(sampled_values: Array, temperature: float = 1.0) -> Term:
    """E_mu[Q] for the mu that maximises E_mu[Q] - T KL(mu, rho), mu = rho exp(Q / T) / Z: CQL(rho).

    Equation 3 with R = -KL(mu, rho), at T = 1; rho is the previous policy. (C, B, N), samples of rho, -> (C, B).
    mu is found first and then held: it is the gradient.
    """
    mu = np.exp((sampled_values - sampled_values.max(axis=2, keepdims=True)) / temperature)
    mu /= mu.sum(axis=2, keepdims=True)
    return np.sum(mu * sampled_values, axis=2), {"sampled_values": mu}


def robust_average(sampled_values: Array, radius: float | Array) -> Term:
    """E_rho[Q] + sqrt(radius Var_rho[Q]): (C, B, N), samples of rho, and a radius for all states or (B,) -> (C, B).

    The largest E_mu[Q] over chi^2(mu, rho) = E_rho[(mu / rho - 1)^2] <= radius, as long as that mu is nowhere negative:
    mu / rho = 1 + sqrt(radius / Var) (Q - E[Q]). Our proxy of CQL(var), whose paper form needs counts per state.
    The gradient is mu / N; where all values are equal every mu is a maximiser, and rho itself is taken.
    """
    count = sampled_values.shape[2]
    # Differences from the first sample are exactly 0 for equal values, differences from a rounded mean need not be.
    above_first = sampled_values - sampled_values[:, :, :1]
    centred = above_first - above_first.mean(axis=2, keepdims=True)
    deviation = np.sqrt(np.mean(centred**2, axis=2))
    varies = deviation > 0.0
    slope = np.where(varies, np.sqrt(radius) / np.where(varies, deviation, 1.0), 0.0)
    value = sampled_values.mean(axis=2) + np.sqrt(radius) * deviation
    return value, {"sampled_values": (1.0 + slope[:, :, None] * centred) / count}


def plain_average(sampled_values: Array) -> Term:
    """E_mu[Q] for samples of a fixed mu, the term of equations 1 and 2: (C, B, N) -> (C, B)."""
    return sampled_values.mean(axis=2), {"sampled_values": np.full_like(sampled_values, 1.0 / sampled_values.shape[2])}


def conservative_gap(pushed_down: Array, data_values: Array | None) -> Term:
    """What the weight multiplies, per critic: the term pushed down less E_D[Q] (equations 2 to 4), (C, B) -> (C,).

    Without `data_values` nothing is pushed up: equation 1.
    """
    share = np.full_like(pushed_down, 1.0 / pushed_down.shape[1])
    if data_values is None:
        return pushed_down.mean(axis=1), {"pushed_down": share}
    return np.mean(pushed_down - data_values, axis=1), {"pushed_down": share, "data_values": -share}


def lagrange_loss(log_multiplier: Array, excess: Array) -> Term:
    """The dual ascent on the weight, as a loss: -multiplier * excess, a mean over critics, (), (C,) -> ().

    The excess of the gap over its threshold is constant here. A multiplier at its limit no longer moves.
    """
    largest = np.log(LARGEST_MULTIPLIER)
    value = -np.exp(np.minimum(log_multiplier, largest)) * excess.mean()
    return value, {"log_multiplier": np.where(log_multiplier < largest, value, 0.0)}


def actor_loss(values: Array, log_densities: Array, temperature: Array) -> Term:
    """E[T log pi - Q], the loss of soft actor-critic: (B,), (B,), () -> (). The temperature is constant here.

    With the policy's log-density of the dataset's action as `values` it is the behaviour-cloning warm start.
    """
    share = np.full_like(values, 1.0 / len(values))
    return (temperature * log_densities - values).mean(), {"values": -share, "log_densities": temperature * share}


def temperature_loss(
    log_temperature: Array, log_densities: Array, target_entropy: float, logarithmic: bool = False
) -> Term:
    """T * (entropy - target), with E[-log pi] as the entropy, a constant here: (), (B,) -> (). Logarithmic: log T."""
    excess = -log_densities.mean() - target_entropy
    if logarithmic:
        return log_temperature * excess, {"log_temperature": excess}
    value = np.exp(log_temperature) * excess
    return value, {"log_temperature": value}


def squash(mean: Array, log_std: Array, noise: Array) -> tuple[Term, Term]:
    """a = tanh(u), u = mean + std * noise, and its log-density: (..., A) -> a (..., A), log pi (...).

    log pi(a) = sum over dimensions of log N(u; mean, std) - log(da/du), da/du = 1 - tanh(u)^2 = 1 / cosh(u)^2. Both
    gradients are by `mean` and `log_std` with the noise held, all (..., A).
    """
    std = np.exp(log_std)
    before = mean + std * noise
    actions = np.tanh(before)
    log_cosh = np.abs(before) + np.log1p(np.exp(-2.0 * np.abs(before))) - np.log(2.0)
    log_densities = _log_normal(noise, log_std) + 2.0 * log_cosh
    slope = np.exp(-2.0 * log_cosh)
    return (
        (actions, {"mean": slope, "log_std": slope * std * noise}),
        (log_densities.sum(axis=-1), {"mean": 2.0 * actions, "log_std": 2.0 * actions * std * noise - 1.0}),
    )


def squashed_log_density(mean: Array, log_std: Array, actions: Array) -> Term:
    """log pi(a) of given actions, by the inverse u = atanh(a): (..., A) -> (...), gradients (..., A)."""
    inside = np.clip(actions, -1.0 + ACTION_MARGIN, 1.0 - ACTION_MARGIN)
    noise = (np.arctanh(inside) - mean) / np.exp(log_std)
    log_densities = _log_normal(noise, log_std) - np.log1p(-(inside**2))
    return log_densities.sum(axis=-1), {"mean": noise / np.exp(log_std), "log_std": noise**2 - 1.0}


def _log_normal(noise: Array, log_std: Array) -> Array:
    """log N(mean + std * noise; mean, std), per dimension."""
    return -0.5 * noise**2 - log_std - 0.5 * np.log(2.0 * np.pi)


def critic_values(layers: Layers, pairs: Array) -> tuple[Array, list[Array]]:
    """Q of (state, action) side by side, (..., O + A) -> (...), and the input of each layer. ReLU between layers."""
    inputs = [pairs]
    for weight, bias in layers[:-1]:
        inputs.append(np.maximum(inputs[-1] @ weight.T + bias, 0.0))
    weight, bias = layers[-1]
    return (inputs[-1] @ weight.T + bias)[..., 0], inputs


def critic_gradients(layers: Layers, inputs: list[Array], upstream: Array) -> tuple[Layers, Array]:
    """Chain rule through `critic_values`: from dL/dQ (...) to dL/dweight, dL/dbias per layer and dL/dpairs."""
    gradients: Layers = []
    flow = upstream[..., None]
    for depth in reversed(range(len(layers))):
        rows = flow.reshape(-1, flow.shape[-1])
        gradients.insert(0, (rows.T @ inputs[depth].reshape(len(rows), -1), rows.sum(axis=0)))
        flow = flow @ layers[depth][0]
        if depth > 0:
            flow = flow * (inputs[depth] > 0.0)
    return gradients, flow


def critic_loss(
    critics: list[Layers],
    pairs: Array,
    targets: Array,
    sampled_pairs: Array,
    push_down: Callable[[Array], Term],
    cql_alpha: float,
    maximise_data: bool = True,
) -> tuple[float, list[Layers]]:
    """Equations 1 to 4 whole, summed over the critics: TD loss + cql_alpha * gap, and its gradient by every parameter.

    pairs (B, O + A) are the dataset's (s, a); sampled_pairs (B, N, O + A) the states with the actions to push down;
    targets (B,) are constant, from `td_target`. `push_down` is the variant's term, such as
    `lambda values: soft_maximum(values, log_densities)` for equation 4. Equation 1 is `maximise_data=False`.
    """
    data_values, data_inputs = zip(*(critic_values(layers, pairs) for layers in critics), strict=True)
    sampled_values, sampled_inputs = zip(*(critic_values(layers, sampled_pairs) for layers in critics), strict=True)
    values = np.stack(data_values)
    error, by_error = td_loss(values, targets)
    pushed, by_pushed = push_down(np.stack(sampled_values))
    gap, by_gap = conservative_gap(pushed, values if maximise_data else None)
    to_data = by_error["values"] + cql_alpha * by_gap.get("data_values", 0.0)
    to_sampled = cql_alpha * by_gap["pushed_down"][:, :, None] * by_pushed["sampled_values"]
    gradients: list[Layers] = []
    for c, layers in enumerate(critics):
        from_data, _ = critic_gradients(layers, data_inputs[c], to_data[c])
        from_sampled, _ = critic_gradients(layers, sampled_inputs[c], to_sampled[c])
        summed = zip(from_data, from_sampled, strict=True)
        gradients.append([(dw + dv, db + dc) for (dw, db), (dv, dc) in summed])
    return float(np.sum(error + cql_alpha * gap)), gradients
