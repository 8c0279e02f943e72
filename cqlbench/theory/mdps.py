"""Small MDPs whose every value is known by a linear solve."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cqlbench.errors import UserError

Array = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]

# Of a gridworld: up, right, down, left, as (row, column).
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))
# Of the chain: back, forward, and the jump that no data ever takes.
BACK, FORWARD, JUMP = range(3)


@dataclass(frozen=True)
class Mdp:
    """A finite MDP, or the one that a dataset suggests.

    `transitions` (S, A, S), rows sum to one; a row of zeros is an end without a further reward. `rewards` (S, A) are
    means, none larger in size than `reward_limit` (the paper's R_max), and so is every single reward. `start` (S,).
    With `coin_rewards` a single reward is plus or minus `reward_limit` with the mean given; otherwise the mean itself.
    """

    transitions: Array
    rewards: Array
    discount: float
    start: Array
    reward_limit: float = 1.0
    coin_rewards: bool = False

    @property
    def value_limit(self) -> float:
        """R_max / (1 - gamma), which no value exceeds in size."""
        return self.reward_limit / (1 - self.discount)

    def backup(self, values: Array, policy: Array) -> Array:
        """One application of the Bellman operator of `policy` (S, A) to action values (S, A)."""
        return self.rewards + self.discount * self.transitions @ (policy * values).sum(1)

    def evaluate(self, policy: Array, penalty: Array | float = 0.0) -> Array:
        """The fixed point (S, A) of Q = backup(Q) - penalty: Q^pi exactly, where there is no penalty.

        Solved over states; the penalty (S, A) is paid at every step like a negative reward.
        """
        values = self.state_values(policy, penalty)
        return self.rewards - penalty + self.discount * self.transitions @ values

    def state_values(self, policy: Array, penalty: Array | float = 0.0) -> Array:
        """The policy's average of `evaluate`: V^pi (S,), where there is no penalty."""
        return np.linalg.solve(self._resolvent(policy), (policy * (self.rewards - penalty)).sum(1))

    def visitation(self, policy: Array) -> Array:
        """Discounted share of time in each state from `start`, which sums to one: (S, A) -> (S,)."""
        return (1 - self.discount) * np.linalg.solve(self._resolvent(policy).T, self.start)

    def discounted_return(self, policy: Array) -> float:
        """J(pi): the discounted return from `start`, not multiplied by 1 - gamma."""
        return float(self.start @ self.state_values(policy))

    def best_policy(self, allowed: Mask) -> Array:
        """The policy (S, A) of the highest value among those that take `allowed` actions only, by policy iteration."""
        policy = one_hot(allowed.argmax(1), allowed.shape[1])
        while True:
            values = np.where(allowed, self.evaluate(policy), -np.inf)
            current = (policy * np.where(allowed, values, 0)).sum(1)
            better = values.max(1) > current + 1e-10 * self.value_limit
            if not better.any():
                return policy
            policy = np.where(better[:, None], one_hot(values.argmax(1), allowed.shape[1]), policy)

    def _resolvent(self, policy: Array) -> Array:
        """I - gamma P^pi over states, (S, S)."""
        between_states = np.einsum("sa,sat->st", policy, self.transitions)
        return np.eye(len(self.start)) - self.discount * between_states


def one_hot(actions: NDArray[np.integer], count: int) -> Array:
    """The policy that takes `actions` (S,) of `count`."""
    return np.eye(count)[actions]


def soft_policy(values: Array, allowed: Mask, temperature: float = 1.0) -> Array:
    """pi(a|s) proportional to exp(Q(s, a) / temperature) over the allowed actions: (S, A) -> (S, A)."""
    exponents = np.where(allowed, values / temperature, -np.inf)
    weights = np.exp(exponents - exponents.max(1, keepdims=True))
    return weights / weights.sum(1, keepdims=True)


def garnet(generator: np.random.Generator, states: int = 10, actions: int = 4, branching: int = 3) -> Mdp:
    """A random MDP: each pair leads to `branching` states with uniform stick-breaking odds; rewards +1 or -1.

    Garnet of Archibald, McKinnon and Thomas (1995), as used throughout the literature.
    """
    transitions = np.zeros((states, actions, states))
    for state in range(states):
        for action in range(actions):
            successors = generator.choice(states, branching, replace=False)
            cuts = np.sort(generator.random(branching - 1))
            transitions[state, action, successors] = np.diff(np.concatenate([[0.0], cuts, [1.0]]))
    rewards = generator.uniform(-1, 1, (states, actions))
    start = generator.dirichlet(np.ones(states))
    return Mdp(transitions, rewards, float(generator.choice([0.5, 0.8, 0.9, 0.95])), start, coin_rewards=True)


# S the start, G the goal (+1 on entering, then the end), X a pit (-1), # a wall.
MAP = ("S...X", ".#.X.", "...#.", ".X...", "...#G")


def cells(layout: tuple[str, ...] = MAP) -> list[tuple[int, int]]:
    """(row, column) of each state of the gridworld; the state after the last of them is the end."""
    return [(row, column) for row, line in enumerate(layout) for column, cell in enumerate(line) if cell != "#"]


def gridworld(layout: tuple[str, ...] = MAP, slip: float = 0.1, discount: float = 0.9) -> Mdp:
    """A drawn gridworld: MOVES, of which a share `slip` goes to either side; leaving G or X pays and ends.

    Its last state is the end. Every step elsewhere costs 0.01, so that idling does not pay.
    """
    places = cells(layout)
    index = {place: number for number, place in enumerate(places)}
    end = len(places)
    transitions = np.zeros((end + 1, len(MOVES), end + 1))
    rewards = np.full((end + 1, len(MOVES)), -0.01)
    transitions[end, :, end] = 1
    rewards[end] = 0
    for place, state in index.items():
        cell = layout[place[0]][place[1]]
        if cell in "GX":
            transitions[state, :, end] = 1
            rewards[state] = 1 if cell == "G" else -1
            continue
        for action in range(len(MOVES)):
            for turn, odds in ((0, 1 - slip), (1, slip / 2), (-1, slip / 2)):
                move = MOVES[(action + turn) % len(MOVES)]
                neighbour = (place[0] + move[0], place[1] + move[1])
                transitions[state, action, index.get(neighbour, state)] += odds
    start = np.zeros(end + 1)
    start[index[next(place for place in places if layout[place[0]][place[1]] == "S")]] = 1
    return Mdp(transitions, rewards, discount, start)


def chain(length: int = 6, discount: float = 0.9) -> Mdp:
    """A corridor with a goal at its end: BACK, FORWARD and a JUMP that looks open and leads into a pit.

    FORWARD from the last place pays 1 and starts anew; BACK pays 0.1 at the first place. The pit, the last state, costs
    0.5 a step for ever. Data of this family never jump.
    """
    pit = length
    transitions = np.zeros((length + 1, 3, length + 1))
    rewards = np.zeros((length + 1, 3))
    for place in range(length):
        transitions[place, BACK, max(place - 1, 0)] = 1
        transitions[place, FORWARD, (place + 1) % length] = 0.9
        transitions[place, FORWARD, place] += 0.1
        transitions[place, JUMP, pit] = 1
    rewards[0, BACK] = 0.1
    rewards[length - 1, FORWARD] = 1
    transitions[pit, :, pit] = 1
    rewards[pit] = -0.5
    return Mdp(transitions, rewards, discount, np.eye(length + 1)[0])


def icu_sepsis(discount: float = 0.99) -> Mdp:
    """Treatment of sepsis in intensive care (Choudhary et al. 2024): 716 states, 25 actions, reward 1 for survival.

    From the package `icu-sepsis`, which is no dependency of ours; its tables are read without importing it. Its own
    discount is 1. Raises UserError where the package is not installed.
    """
    found = importlib.util.find_spec("icu_sepsis")
    if found is None or found.origin is None:
        raise UserError(
            "the family icu-sepsis needs the package icu-sepsis, which is not installed. "
            "Install it with `pip install --no-deps icu-sepsis`, or choose another family."
        )
    with np.load(Path(found.origin).parent / "envs" / "assets" / "dynamics.npz") as tables:
        transitions, start = tables["tx_mat"], tables["d_0"]
        rewards = np.einsum("sat,sat->sa", transitions, tables["r_mat"])
    return Mdp(transitions, rewards, discount, start)


FAMILIES: dict[str, Callable[[np.random.Generator], Mdp]] = {
    "garnet": garnet,
    "gridworld": lambda generator: gridworld(slip=float(generator.uniform(0, 0.3))),
    "chain": lambda generator: chain(length=int(generator.integers(4, 9))),
    "icu-sepsis": lambda generator: icu_sepsis(),
}
