"""CQL's iterates, exactly: what each objective's minimiser is, state by state, given the Bellman target.

Every objective weighs a state by how often the data visit it, so that its minimiser does not depend on that. For an
action that the data never take there is no TD error, and where the penalty pushes it down its minimiser is minus
infinity: all functions here are over the actions that the data took, and return 0 elsewhere.
"""

from __future__ import annotations

import numpy as np
from scipy.special import wrightomega

from cqlbench.theory.mdps import Array, Mask, Mdp


def ratio(mu: Array, behaviour: Array) -> Array:
    """mu / behaviour, (S, A): what equation 1 takes from the target, times paper_alpha.

    Raises ValueError where mu takes an action that the behaviour never does: there the ratio is infinite.
    """
    if ((mu > 0) & (behaviour == 0)).any():
        raise ValueError("mu takes an action that the behaviour policy never takes: the exact iterate is -infinity")
    return np.divide(mu, behaviour, out=np.zeros_like(mu), where=behaviour > 0)


def excess(mu: Array, behaviour: Array) -> Array:
    """(mu - behaviour) / behaviour, (S, A): what equation 2 takes from the target, times paper_alpha."""
    return np.where(behaviour > 0, ratio(mu, behaviour) - 1, 0)


def divergence(policy: Array, behaviour: Array) -> Array:
    """D_CQL, (S,): the sum over actions of pi (pi / behaviour - 1), a chi-squared divergence."""
    return (policy * excess(policy, behaviour)).sum(1)


def entropy_step(target: Array, behaviour: Array, paper_alpha: float, prior: Array | None = None) -> Array:
    """The minimiser (S, A) of CQL(H) (equation 4), or with a `prior` (S, A) that of CQL(rho).

    Minimises paper_alpha (log sum prior exp Q - E_behaviour[Q]) + E_behaviour[(Q - target)^2] / 2 in every state. With
    p the softmax, stationarity is paper_alpha (p - behaviour) + behaviour (Q - target) = 0. For a given log sum that is
    z exp z = const with z = paper_alpha p / behaviour, so z is Wright's omega function, and what is left is one unknown
    per state: the log sum at which p sums to one. The sum is convex and falls with it, so Newton's method from below
    rises to the solution and never past it.
    """
    if paper_alpha == 0:
        return np.where(behaviour > 0, target, 0)
    seen = behaviour > 0
    odds = np.divide(
        np.ones_like(behaviour) if prior is None else prior, behaviour, out=np.zeros_like(target), where=seen
    )
    with np.errstate(divide="ignore"):
        exponents = np.where(seen, target, 0) + np.log(odds)
    weights = np.where(seen, behaviour, 0)
    # Here each softmax share reaches the behaviour's, hence their sum at least one.
    log_sum = np.where(exponents > -np.inf, exponents, np.inf).min(1)
    for _ in range(200):
        z = wrightomega(np.log(paper_alpha) + paper_alpha + exponents - log_sum[:, None])
        excess_share = (weights * z).sum(1) - paper_alpha
        move = excess_share / (weights * z / (1 + z)).sum(1)
        log_sum = log_sum + move
        if (np.abs(move) <= 1e-14 * np.maximum(1, np.abs(log_sum))).all():
            break
    z = wrightomega(np.log(paper_alpha) + paper_alpha + exponents - log_sum[:, None])
    return np.where(seen, target + paper_alpha - z, 0)


def variance_step(target: Array, behaviour: Array, paper_alpha: float, rho: Array, radius: Array) -> Array:
    """The minimiser (S, A) of CQL(var): E_rho[Q] + sqrt(radius Var_rho[Q]) is pushed down, radius (S,) per state.

    The paper's radius falls with the state's count (appendix A). For a given weight c = paper_alpha sqrt(radius) / std
    the minimiser is linear in the target; c is found by bisection. Where the radius is so large that equal values are
    best, all of a state's values are the behaviour's mean target, by the root's subgradient.
    """
    seen = behaviour > 0
    rho, target = np.where(seen, rho, 0), np.where(seen, target, 0)
    pull = paper_alpha * np.sqrt(radius)

    def minimiser(weight: Array) -> tuple[Array, Array]:
        """The values at `weight` (S,) and weight * std, which rises with it."""
        share = np.divide(rho, behaviour + weight[:, None] * rho, out=np.zeros_like(rho), where=seen)
        pushed = behaviour * target + paper_alpha * (behaviour - rho)
        # mean = sum rho (pushed + weight rho mean) / (behaviour + weight rho)
        mean = (share * pushed).sum(1) / (1 - weight * (share * rho).sum(1))
        values = np.divide(
            pushed + (weight * mean)[:, None] * rho,
            behaviour + weight[:, None] * rho,
            out=np.zeros_like(rho),
            where=seen,
        )
        return values, weight * np.sqrt((rho * (values - mean[:, None]) ** 2).sum(1))

    level = (behaviour * target).sum(1)
    force = behaviour * (level[:, None] - target) + paper_alpha * (rho - behaviour)
    reaches = np.divide(force**2, rho, out=np.where(force**2 > 0, np.inf, 0.0), where=rho > 0).sum(1)
    low, high = np.full(len(level), -30.0), np.full(len(level), 15.0)
    for _ in range(100):
        middle = (low + high) / 2
        above = minimiser(np.exp(middle))[1] > pull
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    values = minimiser(np.where(pull > 0, np.exp((low + high) / 2), 0))[0]
    return np.where(seen, np.where((reaches <= pull**2)[:, None], level[:, None], values), 0)


def maximising_backup(model: Mdp, values: Array, allowed: Mask) -> Array:
    """One application of the Bellman optimality operator, whose maximum is over the allowed actions: (S, A)."""
    best = np.where(allowed, values, -np.inf).max(1)
    return model.rewards + model.discount * model.transitions @ best


def penalised_policy(model: Mdp, behaviour: Array, paper_alpha: float) -> Array:
    """argmax over pi of J(pi) - paper_alpha / (1 - gamma) E_d^pi[D_CQL(pi, behaviour)] (theorem 3.5), (S, A).

    Policy iteration: given values, the best pi(a|s) is behaviour (Q - level)_+ / (2 paper_alpha), the projection of a
    chi-squared penalty, whose level is found by sorting.
    """
    policy = behaviour
    for _ in range(1000):
        values = model.evaluate(policy, paper_alpha * excess(policy, behaviour))
        # The backup leaves out the penalty at this state, which the next policy pays anew.
        better = _project(model.backup(values, policy), behaviour, paper_alpha)
        if np.abs(better - policy).max() < 1e-13:
            break
        policy = better
    return policy


def _project(values: Array, behaviour: Array, paper_alpha: float) -> Array:
    """argmax over pi of sum pi Q - paper_alpha sum pi^2 / behaviour, in every state: (S, A)."""
    seen = behaviour > 0
    order = np.argsort(np.where(seen, -values, np.inf), axis=1, kind="stable")
    shares = np.take_along_axis(behaviour, order, 1)
    sorted_values = np.take_along_axis(np.where(seen, values, 0), order, 1)
    levels = ((shares * sorted_values).cumsum(1) - 2 * paper_alpha) / shares.cumsum(1)
    # The level with the first n actions is right for the largest n whose last action still lies above it.
    used = (sorted_values > levels) & np.take_along_axis(seen, order, 1)
    last = used.shape[1] - 1 - used[:, ::-1].argmax(1)
    level = np.take_along_axis(levels, last[:, None], 1)
    policy = np.where(seen, behaviour * np.maximum(values - level, 0), 0)
    return policy / policy.sum(1, keepdims=True)
