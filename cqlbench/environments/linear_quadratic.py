"""Linear-quadratic control: linear dynamics, Gaussian noise, quadratic cost. The values of linear policies are known.

    s' = A s + B a + w,  w ~ N(0, noise_std^2 I),  reward = -(s' Q s + a' R a) at the state the action is taken in,

with a in [-1, 1]; an action outside is clipped, as the environments of gymnasium do. Nothing ends an episode but its
time limit. The task is made so that the linear policies of `controllers.py` stay inside their bounds:
`cqlbench.theory.lqr.clipping_bound` bounds the probability that one leaves them, and the tests count.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

MAX_DIMENSIONS = 4
EPISODE_LIMIT = 50


@dataclass(frozen=True)
class LinearQuadratic:
    """The matrices of one problem, n states and m actions, and the discount its optimum is meant for."""

    dynamics: np.ndarray  # A (n, n)
    control: np.ndarray  # B (n, m)
    state_cost: np.ndarray  # Q (n, n), symmetric
    action_cost: np.ndarray  # R (m, m), symmetric, positive definite
    noise_std: float
    discount: float

    def next_means(self, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """E[s'] (..., n) of states (..., n) and actions (..., m), which must not be clipped any more."""
        return states @ self.dynamics.T + actions @ self.control.T

    def rewards(self, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """(...,) of states (..., n) and actions (..., m)."""
        return -(((states @ self.state_cost) * states).sum(-1) + ((actions @ self.action_cost) * actions).sum(-1))

    def optimal_gain(self) -> np.ndarray:
        """K (m, n) of the optimal policy a = -K s, by iterating the discounted Riccati equation to its fixed point.

        Bertsekas, Dynamic Programming and Optimal Control, volume 2, section on linear systems and quadratic cost:
        scaling A and B by the square root of the discount gives the undiscounted equation. The noise has no part in it.
        """
        a, b = math.sqrt(self.discount) * self.dynamics, math.sqrt(self.discount) * self.control
        values, change = self.state_cost, np.inf
        while change > 1e-13 * np.abs(values).max():
            gain = np.linalg.solve(self.action_cost + b.T @ values @ b, b.T @ values @ a)
            updated = self.state_cost + a.T @ values @ (a - b @ gain)
            values, change = updated, np.abs(updated - values).max()
        return np.linalg.solve(self.action_cost + b.T @ values @ b, b.T @ values @ a)


def benchmark_problem(dimensions: int) -> LinearQuadratic:
    """The problem behind the task `lqr<dimensions>`: as many actions as states.

    Each step shrinks the state to 0.9 and turns it by 0.3 radians in every plane of two neighbouring coordinates, one
    after the other; with one dimension there is nothing to turn. So the state stays bounded whatever a policy does.
    """
    turn = np.eye(dimensions)
    for first in range(dimensions - 1):
        plane = np.eye(dimensions)
        plane[first : first + 2, first : first + 2] = [
            [math.cos(0.3), -math.sin(0.3)],
            [math.sin(0.3), math.cos(0.3)],
        ]
        turn = plane @ turn
    identity = np.eye(dimensions)
    return LinearQuadratic(0.9 * turn, 0.4 * identity, 10 * identity, 5 * identity, noise_std=0.1, discount=0.9)


class LinearQuadraticEnv(gymnasium.Env):
    """`benchmark_problem` as a gymnasium environment; the observation is the state, in float32.

    Episodes start in the cube around 0 whose corners lie at distance START_RADIUS. `state` (n,) float64 can be set.
    """

    metadata: dict[str, Any] = {"render_modes": []}
    START_RADIUS = 0.8

    def __init__(self, dimensions: int) -> None:
        self.problem = benchmark_problem(dimensions)
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (dimensions,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (dimensions,), np.float32)
        self.state = np.zeros(dimensions)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        half = self.START_RADIUS / math.sqrt(len(self.state))
        self.state = self.np_random.uniform(-half, half, len(self.state))
        return self._get_obs(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        action = np.clip(np.asarray(action, np.float64), -1, 1)
        reward = float(self.problem.rewards(self.state, action))
        noise = self.np_random.standard_normal(len(self.state))
        self.state = self.problem.next_means(self.state, action) + self.problem.noise_std * noise
        return self._get_obs(), reward, False, False, {}

    def _get_obs(self) -> np.ndarray:
        return self.state.astype(np.float32)
