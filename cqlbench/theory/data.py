"""Datasets of a known MDP as counts, and the MDP that they suggest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cqlbench.theory.mdps import Array, Mask, Mdp

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Data:
    """What a dataset says of each pair: `counts` (S, A), sums of rewards (S, A), counts of successors (S, A, S)."""

    counts: Counts
    reward_sums: Array
    successors: Counts

    @property
    def visits(self) -> Counts:
        """|D(s)|: how often the data visit each state, (S,)."""
        return self.counts.sum(1)

    @property
    def support(self) -> Mask:
        """Which pairs the data hold, (S, A)."""
        return self.counts > 0

    @property
    def behaviour(self) -> Array:
        """The empirical behaviour policy, (S, A): shares of the actions, zero where an action was never taken."""
        return self.counts / self.visits[:, None]

    def model(self, mdp: Mdp) -> Mdp:
        """The empirical MDP, with discount, start and limit of `mdp`. A pair never seen has a row of zeros in it."""
        seen = np.maximum(self.counts, 1)
        return Mdp(
            self.successors / seen[:, :, None], self.reward_sums / seen, mdp.discount, mdp.start, mdp.reward_limit
        )


def draw_data(mdp: Mdp, behaviour: Array, visits: Counts, generator: np.random.Generator) -> Data:
    """A dataset that visits each state as often as `visits` (S,) says, at least once, and acts by `behaviour` (S, A).

    Given the visits and the actions, rewards and successors are independent draws of the MDP: the setting in which the
    concentration bounds are exact.
    """
    assert (visits > 0).all(), visits
    counts = generator.multinomial(visits, behaviour)
    successors = generator.multinomial(counts, mdp.transitions)
    if mdp.coin_rewards:
        heads = generator.binomial(counts, (1 + mdp.rewards / mdp.reward_limit) / 2)
        reward_sums = mdp.reward_limit * (2.0 * heads - counts)
    else:
        reward_sums = counts * mdp.rewards
    return Data(counts, reward_sums, successors)


def visits_of(mdp: Mdp, behaviour: Array, total: float) -> Counts:
    """About `total` visits, shared out as the behaviour policy's time is, with at least one for every state: (S,)."""
    return np.maximum(1, np.rint(total * mdp.visitation(behaviour))).astype(np.int64)
