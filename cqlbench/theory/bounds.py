"""How far an empirical Bellman backup can be from the true one: constants that are proved, not fitted.

The paper assumes |backup_hat Q - backup Q| <= C R_max / ((1 - gamma) sqrt |D(s, a)|) with probability 1 - delta and
leaves C open. Here m is the number of pairs that the data hold.
"""

from __future__ import annotations

from math import log, log1p, sqrt

import numpy as np

from cqlbench.theory.data import Data
from cqlbench.theory.iterates import divergence
from cqlbench.theory.mdps import Array, Mdp


def fixed_value_constant(events: int, delta: float) -> float:
    """C_{r,T,delta} for one Q that does not depend on the rewards and successors drawn, as Q^pi does not.

    Then r + gamma V(s') lies within a range of 2 R_max / (1 - gamma), so by Hoeffding's inequality, one-sided, and a
    union over `events`, C = sqrt(2 log(events / delta)).
    """
    return sqrt(2 * log(events / delta))


def reward_constant(pairs: int, delta: float) -> float:
    """C_{r,delta}: all mean rewards are within C R_max / sqrt |D(s, a)| of the truth, but for half of delta.

    Hoeffding, two-sided, over all pairs: sqrt(2 log(4 pairs / delta)).
    """
    return sqrt(2 * log(4 * pairs / delta))


def transition_constant(pairs: int, states: int, delta: float) -> float:
    """C_{T,delta}: the L1 distance of all successor shares is within C / sqrt |D(s, a)|, but for half of delta.

    Weissman et al. (2003): P(distance >= e) <= (2^S - 2) exp(-n e^2 / 2), over all pairs.
    """
    log_sets = states * log(2) + log1p(-(2.0 ** (1 - states)))
    return sqrt(2 * (log_sets + log(2 * pairs / delta)))


def fixed_value_error(mdp: Mdp, data: Data, delta: float) -> Array:
    """The bound of `fixed_value_constant` for every pair, (S, A); infinite where a pair was never seen."""
    return fixed_value_constant(int(data.support.sum()), delta) * mdp.value_limit * one_over_root(data)


def any_value_error(mdp: Mdp, data: Data, delta: float, span: float) -> Array:
    """The same for every Q at once whose state values lie within `span` of each other, (S, A).

    Needed for a Q, or a policy, that was computed from the data.
    """
    pairs, states = int(data.support.sum()), len(mdp.start)
    rewards = reward_constant(pairs, delta) * mdp.reward_limit
    # |(P_hat - P) V| <= half the L1 distance times the span of V.
    successors = mdp.discount * transition_constant(pairs, states, delta) * span / 2
    return (rewards + successors) * one_over_root(data)


def one_over_root(data: Data) -> Array:
    """1 / sqrt |D(s, a)|, (S, A)."""
    with np.errstate(divide="ignore"):
        return 1 / np.sqrt(data.counts)


def fixed_policy_error(mdp: Mdp, data: Data, policy: Array, delta: float) -> Array:
    """The bound for the policy's average of one fixed Q's backup, (S,): E_pi[(backup_hat - backup) Q^pi].

    The average weighs each of the |D(s, a)| draws by pi / |D(s, a)|, so Hoeffding's sum of squares is
    (D_CQL(s) + 1) / |D(s)|: the factor sqrt(D_CQL + 1) that a constant which knows nothing of pi cannot hold.
    """
    constant = fixed_value_constant(len(mdp.start), delta)
    return constant * mdp.value_limit * np.sqrt((divergence(policy, data.behaviour) + 1) / data.visits)
