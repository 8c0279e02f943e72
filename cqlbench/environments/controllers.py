"""Policies of the linear-quadratic tasks: linear with Gaussian noise, and uniform."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cqlbench.environments.linear_quadratic import LinearQuadratic

# Of the gain of the optimal policy; too weak a hand on the state.
MEDIUM_FRACTION = 0.5
# Narrow beside the actions' range from -1 to 1: most actions are never taken.
MEDIUM_STD = 0.1


@dataclass(frozen=True)
class LinearPolicy:
    """a = -gain s + std * noise. Shapes: state (n,) -> action (m,)."""

    label: str
    gain: np.ndarray  # (m, n)
    std: float

    @property
    def action_size(self) -> int:
        return len(self.gain)

    def act(self, observation: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """The action for standard-normal `noise` (m,), clipped to [-1, 1] and rounded to 1e-4 as every behaviour's."""
        return np.round(np.clip(self.std * noise - self.gain @ observation, -1, 1), 4)


@dataclass(frozen=True)
class UniformPolicy:
    """Uniform in [-1, 1], whatever the state."""

    label: str
    action_size: int

    def act(self, observation: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """The action (m,) for standard-normal `noise` (m,), rounded to 1e-4 as every behaviour's."""
        # Twice the normal's distribution function less 1.
        return np.round([math.erf(each / math.sqrt(2)) for each in noise], 4)


def optimal_policy(problem: LinearQuadratic) -> LinearPolicy:
    """The best policy there is, as long as its actions stay inside their bounds; it needs no noise."""
    return LinearPolicy("the optimal gain without noise", problem.optimal_gain(), 0.0)


def medium_policy(problem: LinearQuadratic) -> LinearPolicy:
    """Half of the optimal gain, with a little noise."""
    label = f"{MEDIUM_FRACTION:g} of the optimal gain, noise {MEDIUM_STD:g}"
    return LinearPolicy(label, MEDIUM_FRACTION * problem.optimal_gain(), MEDIUM_STD)


def random_policy(problem: LinearQuadratic) -> UniformPolicy:
    """Every action alike."""
    return UniformPolicy("uniform actions", problem.control.shape[1])
