"""A checker for each of the paper's theorems 3.1 to 3.6: its condition and threshold computed, its conclusion tested.

A checker is given what an algorithm produced and knows the MDP; it does not know how the iterates were made, so wrong
ones fail. `error` is how far the empirical backup may be from the true one (bounds.py), zero where the dynamics are
known. What each theorem says in words is in statements.py.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cqlbench.theory.bounds import any_value_error, reward_constant, transition_constant
from cqlbench.theory.data import Data
from cqlbench.theory.iterates import divergence, excess, ratio
from cqlbench.theory.mdps import Array, Mask, Mdp

# What rounding may add, for values of size one.
TOLERANCE = 1e-9
# What a gap must be wider by, to be wider and not the same but for rounding.
WIDER = 1e-12
HELD, VIOLATED, NOT_MET = "held", "violated", "condition not met"


class Finding(NamedTuple):
    """Whether the theorem's condition is met, and by how much its conclusion is missed: nothing where `miss` <= 0."""

    condition: bool
    miss: float

    @property
    def holds(self) -> bool:
        """Whether the conclusion is true, condition or not."""
        return self.miss <= 0

    @property
    def verdict(self) -> str:
        if not self.condition:
            return NOT_MET
        return HELD if self.holds else VIOLATED


def theorem_1(
    mdp: Mdp, data: Data, policy: Array, mu: Array, values: Array, paper_alpha: float, error: Array
) -> Finding:
    """Equation 1's Q (S, A) is at most Q^pi at every pair of the data, from `threshold_1` on."""
    condition = supported(mu, data) and supported(policy, data) and reaches(paper_alpha, threshold_1(data, mu, error))
    return Finding(condition, _overshoot(values, mdp.evaluate(policy), data.support))


def threshold_1(data: Data, mu: Array, error: Array) -> float:
    """The largest error times the largest behaviour / mu, over the pairs of the data: `error` (S, A)."""
    seen = data.support
    least_push = ratio(np.where(seen, mu, 0), data.behaviour)[seen].min()
    return quotient(error[seen].max(), least_push)


def printed_bound_1(
    mdp: Mdp, data: Data, policy: Array, mu: Array, values: Array, paper_alpha: float, error: Array
) -> Finding:
    """Whether equation 1's Q is at most theorem 3.1's right side as printed, for any alpha.

    That side has the true P^pi in both resolvents. What is proved has the empirical one, because the error of the
    empirical backup is taken at Q^pi; with the true one it would have to hold at the learnt Q, however large that is.
    """
    penalty = paper_alpha * ratio(mu, data.behaviour) - np.where(data.support, error, 0)
    return Finding(supported(mu, data), _overshoot(values, mdp.evaluate(policy, penalty), data.support))


def theorem_2(mdp: Mdp, data: Data, policy: Array, values: Array, paper_alpha: float, error: Array) -> Finding:
    """With mu = pi, the policy's average of equation 2's Q (S, A) is at most V^pi in every state.

    From `threshold_2` on; `error` (S,) is that of the policy's average.
    """
    condition = supported(policy, data) and reaches(paper_alpha, threshold_2(data, policy, error))
    everywhere = np.ones(len(mdp.start), bool)
    truth = mdp.state_values(policy)
    return Finding(condition, _overshoot((policy * values).sum(1), truth, everywhere))


def threshold_2(data: Data, policy: Array, error: Array) -> float:
    """The largest error / D_CQL(pi, behaviour) over states: infinite where pi is the behaviour and sampling errs."""
    return max(map(quotient, error, divergence(policy, data.behaviour)))


def theorem_3(
    mdp: Mdp, data: Data, maximiser: Array, policy: Array, values: Array, paper_alpha: float, error: Array
) -> Finding:
    """The next policy's average of Q, pushed down at the softmax of the Q before (`maximiser`), is at most its V.

    Where `slowness` is not negative in any state, from `threshold_3` on. `error` (S,), as for theorem 3.2.
    """
    condition = (
        supported(maximiser, data)
        and supported(policy, data)
        and bool((slowness(data, maximiser, policy) >= -TOLERANCE).all())
        and reaches(paper_alpha, threshold_3(data, maximiser, policy, error))
    )
    everywhere = np.ones(len(mdp.start), bool)
    truth = mdp.state_values(policy)
    return Finding(condition, _overshoot((policy * values).sum(1), truth, everywhere))


def slowness(data: Data, maximiser: Array, policy: Array, everywhere: bool = False) -> Array:
    """E_m[m / behaviour - 1] - max_a(m / behaviour) D_TV(policy, m), (S,): theorem 3.3 asks that it is not negative.

    With `everywhere` the distance is the largest over states, as printed; the proof needs each state's own.
    """
    distance = np.abs(policy - maximiser).sum(1) / 2
    if everywhere:
        distance = np.full_like(distance, distance.max())
    return divergence(maximiser, data.behaviour) - ratio(maximiser, data.behaviour).max(1) * distance


def threshold_3(data: Data, maximiser: Array, policy: Array, error: Array) -> float:
    """The largest error / E_policy[maximiser / behaviour - 1] over states."""
    return max(map(quotient, error, (policy * excess(maximiser, data.behaviour)).sum(1)))


def theorem_4(
    data: Data, mu: Array, target: Array, true_target: Array, values: Array, paper_alpha: float, error: Array
) -> Finding:
    """The next Q's gap between behaviour and mu is wider than the true one's, wherever the two policies differ.

    `true_target` is the true backup of the true iterate, `target` the true backup of CQL's iterate, `error` (S, A) how
    far CQL's own, empirical backup may be from `target`; from `threshold_4` on.
    """
    differ = differing(data, mu)
    condition = (
        supported(mu, data)
        and bool(differ.any())
        and reaches(paper_alpha, threshold_4(data, mu, target, true_target, error))
    )
    wider = gap(data, mu, values) - gap(data, mu, true_target)
    scale = max(1.0, float(np.abs(values[data.support]).max()))
    return Finding(condition, float(WIDER - wider[differ].min(initial=np.inf) / scale))


def gap(data: Data, mu: Array, values: Array) -> Array:
    """E_behaviour[Q] - E_mu[Q], (S,)."""
    return ((data.behaviour - mu) * np.where(data.support, values, 0)).sum(1)


def differing(data: Data, mu: Array) -> Mask:
    """The states (S,) in which mu is not the behaviour; elsewhere there is no gap to expand."""
    return divergence(mu, data.behaviour) > 1e-6


def threshold_4(data: Data, mu: Array, target: Array, true_target: Array, error: Array) -> float:
    """The largest (true gap - gap of the target + what errors may add) / D_CQL(mu, behaviour), at least 0."""
    differ = differing(data, mu)
    may_add = (np.abs(data.behaviour - mu) * np.where(data.support, error, 0)).sum(1)
    wanted = gap(data, mu, true_target) - gap(data, mu, target) + may_add
    return max(0.0, float((wanted[differ] / divergence(mu, data.behaviour)[differ]).max(initial=0)))


def theorem_5(model: Mdp, behaviour: Array, policies: Array, values: Array, best: int, paper_alpha: float) -> Finding:
    """Equation 2's average value from the start is the penalised return, for each of `policies` (N, S, A), and the
    policy numbered `best` maximises it.

    `model` is the empirical MDP, `values` (N, S, A) the Q of each policy.
    """
    estimates = [float(model.start @ (pi * q).sum(1)) for pi, q in zip(policies, values, strict=True)]
    penalised = [penalised_return(model, behaviour, policy, paper_alpha) for policy in policies]
    scale = max(1.0, max(map(abs, penalised)))
    apart = max(abs(one - other) for one, other in zip(estimates, penalised, strict=True))
    beaten = max(estimates) - estimates[best]
    condition = bool((behaviour[policies.max(0) > 0] > 0).all())
    return Finding(condition, max(apart, beaten) / scale - TOLERANCE)


def penalised_return(model: Mdp, behaviour: Array, policy: Array, paper_alpha: float) -> float:
    """J(pi) - paper_alpha / (1 - gamma) E_d^pi[D_CQL(pi, behaviour)] in the empirical MDP."""
    penalty = model.visitation(policy) @ divergence(policy, behaviour) / (1 - model.discount)
    return model.discounted_return(policy) - paper_alpha * float(penalty)


def theorem_6(mdp: Mdp, data: Data, policy: Array, zeta: float) -> Finding:
    """The policy returns at least the behaviour's return minus `zeta` in the true MDP."""
    loss = mdp.discounted_return(data.behaviour) - mdp.discounted_return(policy)
    return Finding(supported(policy, data), (loss - zeta) / mdp.value_limit - TOLERANCE)


def zeta(mdp: Mdp, data: Data, policy: Array, delta: float) -> float:
    """By how much the policy may be worse than the behaviour, but for delta: their errors minus the gain in the model.

    By the simulation lemma; the policy is chosen with the data, so the error holds for all values at once.
    """
    model = data.model(mdp)
    per_pair = np.where(data.support, any_value_error(mdp, data, delta, 2 * mdp.value_limit), 0)
    errors = [
        model.visitation(each) @ (each * per_pair).sum(1) / (1 - mdp.discount) for each in (policy, data.behaviour)
    ]
    return float(np.sum(errors)) - gain(model, data, policy)


def printed_zeta(mdp: Mdp, data: Data, policy: Array, delta: float) -> float:
    """Zeta as printed: twice the policy's own error, by Cauchy and Schwarz over |A| actions, minus the gain.

    Its factor of two stands for the behaviour's error, which is over other states: that step is not proved.
    """
    model, actions = data.model(mdp), mdp.rewards.shape[1]
    pairs, states = int(data.support.sum()), len(mdp.start)
    discount, limit = mdp.discount, mdp.reward_limit
    rewards = reward_constant(pairs, delta) * limit / (1 - discount)
    successors = discount * limit * transition_constant(pairs, states, delta) / (1 - discount) ** 2
    spread = np.sqrt(actions * (divergence(policy, data.behaviour) + 1) / data.visits)
    return float(2 * (rewards + successors) * (model.visitation(policy) @ spread)) - gain(model, data, policy)


def gain(model: Mdp, data: Data, policy: Array) -> float:
    """J(pi) - J(behaviour) in the empirical MDP."""
    return model.discounted_return(policy) - model.discounted_return(data.behaviour)


def supported(policy: Array, data: Data) -> bool:
    """Whether the policy takes only actions that the data hold."""
    return bool((policy[~data.support] == 0).all())


def reaches(paper_alpha: float, threshold: float) -> bool:
    """Whether alpha is at least the threshold, and positive."""
    return 0 < paper_alpha < np.inf and paper_alpha >= threshold


def quotient(error: float, push: float) -> float:
    """The alpha at which alpha * push makes up for an error: 0 without an error, infinite without a push."""
    if error <= 0:
        return 0.0
    return float(error / push) if push > 0 else float("inf")


def _overshoot(values: Array, truth: Array, where: Mask) -> float:
    """The largest values - truth beyond rounding, in units of the largest value."""
    scale = max(1.0, float(np.abs(values[where]).max()))
    return float((values - truth)[where].max() / scale - TOLERANCE)
