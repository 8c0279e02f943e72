"""The theorems in words: what each asks, what it promises, which statement was relied on, how to read its figure."""

from __future__ import annotations

from typing import NamedTuple

PRINTED = (
    "Statement: as printed in the paper, read from a transcription of it in public notes; constants and proof from "
    "memory of appendix C."
)
REMEMBERED = "Statement: from memory of the paper; no transcription was found."


class Statement(NamedTuple):
    """A theorem, or for the two demonstrations what stands in its place; all plain text."""

    title: str
    condition: str
    threshold: str
    conclusion: str
    source: str
    reading: str
    alternative: str


STATEMENTS = {
    "theorem-3.1": Statement(
        "Theorem 3.1: equation 1 lies below the truth at every pair",
        "The policy and mu take only actions that the data hold, and mu pushes at every one of them.",
        "alpha >= max C R_max / ((1 - gamma) sqrt|D(s, a)|) * max behaviour(a|s) / mu(a|s), maxima over the "
        "data's pairs, "
        "C = sqrt(2 log(pairs / delta)); any alpha > 0 where the dynamics are known.",
        "With probability 1 - delta, Q of equation 1 is at most Q^pi at every pair of the data.",
        PRINTED
        + " The printed bound has the true P^pi in its resolvents; what is proved, and tested, has the empirical "
        "one, and the printed form is tested beside it.",
        "Left: the share of draws in which a given fraction of the theorem's alpha would have been enough; a "
        "curve that "
        "is high far left of 1 means that the theorem asks for much more than is needed. Right: how much too low the "
        "estimate is at the theorem's alpha; beyond 2 R_max / (1 - gamma) the estimate is lower than any value can be, "
        "so the bound says nothing.",
        "Distribution of needed over demanded alpha, and the average underestimation against the theorem's alpha.",
    ),
    "theorem-3.2": Statement(
        "Theorem 3.2: equation 2 lies below the truth on average under the policy",
        "mu is the policy, it takes only actions that the data hold, and where sampling errs it differs from the "
        "behaviour in every state.",
        "alpha >= max over states of C R_max / (1 - gamma) * sqrt((D_CQL(s) + 1) / |D(s)|) / D_CQL(s), with "
        "D_CQL = sum "
        "pi (pi / behaviour - 1) and C = sqrt(2 log(states / delta)); any alpha > 0 where the dynamics are known.",
        "With probability 1 - delta, E_pi[Q] of equation 2 is at most V^pi in every state.",
        PRINTED + " The printed threshold lacks the factor sqrt(D_CQL + 1), which Hoeffding's inequality brings in; it "
        "is tested beside ours.",
        "Left: as for theorem 3.1. Right: how far below the truth equation 1 and equation 2 lie at the same "
        "alpha; below "
        "the diagonal equation 2 is the tighter one.",
        "Distribution of needed over demanded alpha, and the underestimation by equation 2 against that by equation 1.",
    ),
    "theorem-3.3": Statement(
        "Theorem 3.3: CQL's own policy is underestimated if it follows its Q closely",
        "With m the softmax of the Q before, E_m[m / behaviour - 1] >= max_a(m / behaviour) * D_TV(policy, m) in every "
        "state, over the data's actions; the total variation is half of the L1 distance.",
        "None printed: any alpha > 0 where the dynamics are known. Where sampling errs, the policy's error over "
        "E_policy[m / behaviour - 1], with constants that hold for all values at once.",
        "V of the next policy under the Q pushed down at m is at most its true value, in every state.",
        PRINTED
        + " The printed condition has one distance for all states; the proof needs each state's own, which asks "
        "for less and is what is tested.",
        "Left: as for theorem 3.1. Right: each dot is a draw with known dynamics: across, the worst state's margin of "
        "the condition, upwards, the worst state's estimate minus truth; the theorem says that no dot lies right of "
        "zero and above zero. Dots on the left show what happens when the policy lags behind.",
        "Distribution of needed over demanded alpha, and estimate minus truth against the condition's margin.",
    ),
    "theorem-3.4": Statement(
        "Theorem 3.4: the gap between the data's actions and mu's expands",
        "mu, the softmax of the Q before, takes only actions that the data hold; states in which it is the "
        "behaviour are "
        "left out, they have no gap.",
        "alpha_k > max over states of (true gap - gap of the true backup of CQL's Q + what sampling may add) / "
        "D_CQL(mu, behaviour), at least 0.",
        "E_behaviour[Q] - E_mu[Q] is larger for CQL's next iterate than for the true one, in every such state.",
        PRINTED
        + " The gap is taken at the iterate that mu pushes on, as in the proof, and over the empirical behaviour.",
        "Left: as for theorem 3.1; with known dynamics the threshold is exact, with sampled ones it is not. Right: the "
        "mean gap of CQL's iterate against the true one, at the theorem's alpha; above the diagonal it has expanded.",
        "Distribution of needed over demanded alpha, and the learnt gap against the true gap.",
    ),
    "theorem-3.5": Statement(
        "Theorem 3.5: CQL maximises a penalised return in the empirical MDP",
        "Policies take only actions that the data hold.",
        "None: for every alpha > 0.",
        "E_start[V] of equation 2 equals J(pi) - alpha / (1 - gamma) E_d^pi[D_CQL(pi, behaviour)] in the "
        "empirical MDP, "
        "so both have the same best policy.",
        REMEMBERED,
        "Left: the estimate of the best policy against its penalised return; the theorem says that all dots lie on the "
        "diagonal. Right: what the best policy truly gains over the behaviour, against alpha: conservatism trades gain "
        "for safety.",
        "Estimate against penalised return, and true gain over the behaviour against alpha.",
    ),
    "theorem-3.6": Statement(
        "Theorem 3.6: the policy of theorem 3.5 is a zeta-safe improvement",
        "The policy takes only actions that the data hold; every state has data.",
        "None: zeta itself is computed, E_d[(C_r / (1 - gamma) + gamma C_T / (1 - gamma)^2) R_max / sqrt|D(s, a)|] for "
        "the policy and for the behaviour, minus the gain in the empirical MDP, with C_r by Hoeffding and C_T by "
        "Weissman, over all pairs.",
        "With probability 1 - delta, J(policy) >= J(behaviour) - zeta in the true MDP.",
        REMEMBERED
        + " The printed zeta has twice the policy's own error in place of the two; it is tested beside ours.",
        "Left: the true loss against zeta; the theorem says that no dot lies above the diagonal. Right: zeta over the "
        "most that any policy could lose, against the data; only below 1 does the theorem say something, and "
        "only below "
        "0 does it promise an improvement.",
        "True loss against zeta, and zeta over the largest possible loss against the number of transitions.",
    ),
    "unseen-action": Statement(
        "An action that the data never take",
        "Broken: mu pushes on an action outside the data, so that mu / behaviour is infinite and the exact iterate of "
        "equations 1 and 2 is minus infinity there.",
        "None.",
        "No theorem applies. The theorems' experiments keep to the data's actions; here gradient steps are "
        "taken instead, "
        "from a Q that is too high for the unseen action.",
        "Our own chain; the jump leads into a pit.",
        "Left: Q of the unseen jump against gradient steps, with its true value dashed. Right: the true return of the "
        "greedy policy. Q-learning keeps whatever it believed; with a penalty Q falls, at a constant rate for a fixed "
        "mu, ever more slowly for CQL(H), and the policy stops jumping once Q has fallen below the data's actions.",
        "Q of the unseen action and return of the greedy policy against gradient steps, per method.",
    ),
    "gridworld": Statement(
        "A gridworld, cell by cell",
        "One dataset of about 600 transitions; some cells are hardly visited, some actions never taken there.",
        "None: paper_alpha is 0.05.",
        "No theorem: the estimate of each method in each cell, and how far it is from the truth.",
        "Our own gridworld: S start, G goal, X pits, # walls.",
        "Top: the value predicted for each cell, and the method's action there. Bottom: predicted minus true value of "
        "that policy; red promises too much, blue is conservative. The first three evaluate one policy, the others "
        "learn their own: a softmax of Q where it says so, else the greedy one. CQL(H) bounds its softmax policy, as "
        "theorem 3.3 says. It need not bound the greedy one: where values differ by less than one the softmax is "
        "nearly uniform, and the action that the data prefer is pushed up more than down.",
        "Maps of predicted values and of predicted minus true values, one column per method.",
    ),
}
