"""True values of the linear-quadratic tasks: in closed form for linear policies, on a grid for any other.

For a = -K s + std * e the value is quadratic, V(s) = -(s' P s + c), where P solves the discounted Lyapunov equation and
c holds all the noise (Bertsekas, Dynamic Programming and Optimal Control). The optimum is the value of the optimal
gain. All of it is about actions that are not clipped; `clipping_bound` says how seldom one is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_discrete_lyapunov
from scipy.special import ndtr

from cqlbench.environments.controllers import LinearPolicy
from cqlbench.environments.linear_quadratic import LinearQuadratic


@dataclass(frozen=True)
class QuadraticValue:
    """V(s) = -(s' P s + c)."""

    matrix: np.ndarray  # P (n, n)
    constant: float  # c

    def __call__(self, states: np.ndarray) -> np.ndarray:
        """(..., n) -> (...,)."""
        return -(((states @ self.matrix) * states).sum(-1) + self.constant)


def state_value(problem: LinearQuadratic, policy: LinearPolicy) -> QuadraticValue:
    """The value of a linear-Gaussian policy under the problem's discount.

    P = Q + K' R K + discount * M' P M with M = A - B K, and
    (1 - discount) c = std^2 tr R + discount * (noise_std^2 tr P + std^2 tr B' P B).
    Raises ValueError where the discounted cost is infinite: sqrt(discount) * M is not stable.
    """
    closed = math.sqrt(problem.discount) * (problem.dynamics - problem.control @ policy.gain)
    if np.abs(np.linalg.eigvals(closed)).max() >= 1:
        raise ValueError("this policy has no finite value: its closed loop grows faster than the discount shrinks")
    cost = problem.state_cost + policy.gain.T @ problem.action_cost @ policy.gain
    matrix = solve_discrete_lyapunov(closed.T, cost)
    through_actions = problem.control.T @ matrix @ problem.control
    per_step = policy.std**2 * np.trace(problem.action_cost) + problem.discount * (
        problem.noise_std**2 * np.trace(matrix) + policy.std**2 * np.trace(through_actions)
    )
    return QuadraticValue(matrix, float(per_step / (1 - problem.discount)))


def action_value(
    problem: LinearQuadratic, value: QuadraticValue, states: np.ndarray, actions: np.ndarray
) -> np.ndarray:
    """Q(s, a) = r(s, a) + discount * E[V(s')] of states (..., n) and actions (..., m) -> (...,)."""
    noise = problem.noise_std**2 * np.trace(value.matrix)
    following = value(problem.next_means(states, actions)) - noise
    return problem.rewards(states, actions) + problem.discount * following


def clipping_bound(problem: LinearQuadratic, policy: LinearPolicy, radius: float, steps: int) -> float:
    """An upper bound of the probability that, in `steps` steps from any state within `radius` of 0, an action of
    `policy` leaves [-1, 1]: the sum over steps and coordinates of what each Gaussian has outside, at the worst start.
    """
    closed = problem.dynamics - problem.control @ policy.gain
    per_step = problem.noise_std**2 * np.eye(len(closed)) + policy.std**2 * problem.control @ problem.control.T
    covariance = np.zeros_like(closed)
    carried = np.eye(len(closed))
    bound = 0.0
    for _ in range(steps):
        means = radius * np.linalg.norm(policy.gain @ carried, axis=1)
        variances = np.diag(policy.gain @ covariance @ policy.gain.T) + policy.std**2
        with np.errstate(divide="ignore"):
            bound += float((2 * ndtr((means - 1) / np.sqrt(variances))).sum())
        covariance = closed @ covariance @ closed.T + per_step
        carried = closed @ carried
    return bound


class Grid:
    """The states of a one-dimensional problem as a grid that no policy leaves, for policies that are not linear.

    Nystrom's method: the integral of V against the Gaussian density of s' is the trapezoidal sum over a grid of half
    the noise's standard deviation, exact to far beyond 1e-10 where V is smooth. Actions lie in [-1, 1], so a state
    beyond |B| / (1 - |A|) is drawn back; the grid reaches nine standard deviations of the noise farther.
    """

    def __init__(self, problem: LinearQuadratic) -> None:
        pull = 1 - abs(problem.dynamics.item())
        if pull <= 0:
            raise ValueError("the grid is for a problem whose state shrinks when left alone")
        reach = abs(problem.control.item()) / pull + 9 * problem.noise_std / math.sqrt(pull)
        half = math.ceil(reach / (problem.noise_std / 2))
        self.problem = problem
        self.states = np.arange(-half, half + 1)[:, None] * problem.noise_std / 2

    def transitions(self, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """P(s' | s, a) over the G grid states: states (..., 1), actions (..., 1) -> (..., G), each row's sum 1."""
        means = self.problem.next_means(states, actions)
        weights = np.exp(-0.5 * ((self.states[:, 0] - means) / self.problem.noise_std) ** 2)
        return weights / weights.sum(-1, keepdims=True)

    def value(self, actions: np.ndarray, bonuses: np.ndarray, discount: float) -> np.ndarray:
        """The value at the grid's states of the policy that takes each of `actions` (G, N) alike, (2, G).

        First of the task's rewards, then of `bonuses` (G, N), paid for an action beside its reward. A policy known by N
        samples is evaluated exactly as the policy of these samples.
        """
        states = self.states[:, None, :]
        mean_transitions = np.stack(
            [self.transitions(state, own[:, None]).mean(0) for state, own in zip(self.states, actions, strict=True)]
        )
        rewards = self.problem.rewards(states, actions[..., None]).mean(1)
        per_step = np.stack([rewards, bonuses.mean(1)], axis=1)
        return np.linalg.solve(np.eye(len(self.states)) - discount * mean_transitions, per_step).T
