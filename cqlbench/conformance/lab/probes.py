"""The problems on which a critic's loss is told from every other: same inputs under several critics, in five shapes.

Between the critics of one probe nothing but Q changes, so a difference that stays the same is a constant in Q, which
has no gradient. The shapes, scales and weights differ so that no two known defects give the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache, cached_property

import numpy as np

from cqlbench.conformance.lab.problem import Problem, make_problem
from cqlbench.conformance.oracle import Array, Layers
from cqlbench.seeding import generator_for

Q = Callable[[Array, Array], Array]

CRITIC_PAIRS = 4
DIRECTIONS = 3
STEP = 1e-6


class Scorer:
    """Q of K pairs of critics at once, (B, O), (B, A) -> (K, 2, B) or (B, O), (B, M, A) -> (K, 2, B, M), remembered."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        self.known: dict[tuple[bytes, bytes, int], Array] = {}

    def __call__(self, observations: Array, actions: Array) -> Array:
        key = (observations.tobytes(), actions.tobytes(), actions.ndim)
        if key not in self.known:
            self.known[key] = np.stack([problem.q(observations, actions) for problem in self.problems])
        return self.known[key]


@dataclass(frozen=True)
class Probe:
    """One set of inputs under K pairs of critics."""

    problems: list[Problem]
    q: Scorer = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "q", Scorer(self.problems))

    @property
    def problem(self) -> Problem:
        """The inputs; its critics are the first pair."""
        return self.problems[0]

    @cached_property
    def directions(self) -> list[list[Layers]]:
        """Random directions in the parameters of the first pair of critics."""
        normal = generator_for("conformance", "directions").standard_normal
        return [
            [[(normal(w.shape), normal(b.shape)) for w, b in layers] for layers in self.problem.critics]
            for _ in range(DIRECTIONS)
        ]

    @cached_property
    def standing(self) -> Scorer:
        """Q of the first pair."""
        return Scorer([self.problem])

    @cached_property
    def moved(self) -> Scorer:
        """Q of the first pair, a step along each direction, then a step back."""
        return Scorer(
            [
                replace(self.problem, critics=_move(self.problem.critics, direction, step))
                for step in (STEP, -STEP)
                for direction in self.directions
            ]
        )


@cache
def probes() -> list[Probe]:
    """Always the same five."""
    made = []
    for number, (batch, count, acted, scale, alpha, threshold, discount) in enumerate(
        [
            (6, 4, 3, 1.0, 3.0, 1.7, 0.9),
            (5, 10, 2, 2.0, 0.7, -0.6, 0.8),
            (7, 5, 4, 4.0, 1.9, 3.1, 0.95),
            (4, 7, 1, 0.5, 5.0, 0.4, 0.7),
            # One action per source and large Q: here the gap is negative at some states.
            (8, 1, 2, 8.0, 2.3, 0.9, 0.85),
        ]
    ):

        def drawn(name: str, batch=batch, count=count, acted=acted, scale=scale) -> Problem:
            return make_problem(name, batch, count, observed=3 + acted, acted=acted, scale=scale)

        inputs = replace(drawn(f"probe {number}"), alpha=alpha, threshold=threshold, discount=discount)
        made.append(
            Probe([replace(inputs, critics=drawn(f"probe {number}, {k}").critics) for k in range(CRITIC_PAIRS)])
        )
    return made


def _move(critics: list[Layers], direction: list[Layers], step: float) -> list[Layers]:
    return [
        [(w + step * dw, b + step * db) for (w, b), (dw, db) in zip(layers, moves, strict=True)]
        for layers, moves in zip(critics, direction, strict=True)
    ]
