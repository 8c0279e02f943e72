"""Every loss that could be meant: the declared variant, each known defect, each two of them, each other variant."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from cqlbench.algorithms.configs import CQLConfig
from cqlbench.conformance.lab.defects import (
    DATA_DETACHED,
    DEFECTS,
    PENALTY_LEFT_OUT,
    SAMPLED_DETACHED,
    WEIGHTS_DIFFERENTIATED,
    Defect,
    Edit,
    Recipe,
    recipe_of,
    softmax_average,
)
from cqlbench.conformance.lab.probes import DIRECTIONS, STEP, Probe, probes
from cqlbench.conformance.oracle import Array

TERMS = ("td", "conservative", "lagrange")
# One number per probe, pair of critics and, where given, critic: a list over probes of (K, C), C 1 or 2.
Numbers = list[Array]

# Variants that are correct but may not have been declared; each is tried with and without its data term.
VARIANTS: tuple[dict[str, str | bool], ...] = (
    {"variant": "H"},
    {"variant": "H", "next_actions": "unused"},
    {"variant": "H", "importance_weights": False},
    {"variant": "H", "next_actions": "unused", "importance_weights": False},
    {"variant": "rho"},
    {"variant": "expectation", "sampling_distribution": "uniform"},
    {"variant": "expectation", "sampling_distribution": "policy"},
    {"variant": "expectation", "sampling_distribution": "mixture"},
)


# What it costs to be another variant than declared: a little more than a defect.
UNDECLARED = 1.05


@dataclass(frozen=True)
class Hypothesis:
    """A recipe, the defects that led to it, and the variant where it is not the declared one."""

    recipe: Recipe
    defects: tuple[Defect, ...] = ()
    undeclared: CQLConfig | None = None
    # The last step that led to the recipe.
    edit: Edit = field(default=lambda recipe: recipe, compare=False)

    @property
    def cost(self) -> float:
        """How much it assumes."""
        return len(self.defects) + (UNDECLARED if self.undeclared else 0.0)

    def predict(self, term: str, probe: Probe, lagrangian: bool) -> Array:
        """(K, 2): each critic's number."""
        problem, q = probe.problem, probe.q
        if term == "td":
            return self.recipe.td(problem, q)
        if term == "conservative":
            return self.recipe.conservative(problem, q, q, q, problem.threshold if lagrangian else 0.0)
        return self.recipe.lagrange(problem, q, problem.threshold)

    def slopes(self, term: str, probe: Probe, without: tuple[Defect, ...] = ()) -> Array:
        """(DIRECTIONS,): how fast the term's sum over critics grows along the probe's directions, what is held held."""
        held, moved = probe.standing, probe.moved
        if term == "td":
            grown = self.recipe.td(probe.problem, moved)
        else:
            sampled_q = held if SAMPLED_DETACHED in without else moved
            data_q = held if DATA_DETACHED in without else moved
            weigh_q = moved if WEIGHTS_DIFFERENTIATED in without else held
            grown = self.recipe.conservative(probe.problem, sampled_q, data_q, weigh_q)
        sums = np.broadcast_to(grown, (2 * DIRECTIONS, 2)).sum(axis=1)
        return (sums[:DIRECTIONS] - sums[DIRECTIONS:]) / (2 * STEP)

    def gradient_defects(self) -> Iterator[tuple[Defect, ...]]:
        """What may be wrong with the gradient although the value is right."""
        yield from ((DATA_DETACHED,), (SAMPLED_DETACHED,), (DATA_DETACHED, SAMPLED_DETACHED))
        if self.recipe.reduction is softmax_average:
            yield from ((WEIGHTS_DIFFERENTIATED,), (DATA_DETACHED, WEIGHTS_DIFFERENTIATED))


@dataclass(frozen=True)
class Match:
    """A hypothesis that explains the numbers, times a factor and plus a constant per probe."""

    hypothesis: Hypothesis
    factors: tuple[float, ...]
    constants: tuple[float, ...]
    cost: float

    @property
    def has_factor(self) -> bool:
        return any(factor != 1.0 for factor in self.factors)

    @property
    def has_constant(self) -> bool:
        return any(constant != 0.0 for constant in self.constants)


# What a free factor or constant adds to a hypothesis's cost: more than one defect that explains everything exactly.
FORMS = {(False, False): 0.0, (False, True): 1.2, (True, False): 1.3, (True, True): 2.4}
# A prediction that moves by less is a rounded constant.
NOTHING = 1e-9
# A factor is between these; one of 0 would explain everything.
SMALLEST_FACTOR, LARGEST_FACTOR = 1e-3, 1e3


class Hypotheses:
    """All of one declared variant, with their predictions."""

    def __init__(self, config: CQLConfig, lagrangian: bool) -> None:
        self.lagrangian = lagrangian
        self.right = Hypothesis(recipe_of(config))
        self._config = config
        self._singles: dict[str, list[Hypothesis]] = {}
        self._all: dict[str, tuple[list[Hypothesis], Array]] = {}

    def singles(self, term: str) -> list[Hypothesis]:
        """The right one, and all with one defect that this term shows."""
        if term not in self._singles:
            with_one = [h for h in _with_one_defect(self.right) if self._differs(h, term) and self._explains(h, term)]
            self._singles[term] = [self.right, *with_one]
        return self._singles[term]

    def _differs(self, hypothesis: Hypothesis, term: str) -> bool:
        return any(
            not np.array_equal(
                hypothesis.predict(term, probe, self.lagrangian), self.right.predict(term, probe, self.lagrangian)
            )
            for probe in probes()
        )

    def _explains(self, hypothesis: Hypothesis, term: str) -> bool:
        """Whether it moves with Q: what is 0 for every critic would explain any 0, and only one defect is that."""
        return hypothesis.defects == (PENALTY_LEFT_OUT,) or any(
            np.ptp(hypothesis.predict(term, probe, self.lagrangian), axis=0).max() > NOTHING for probe in probes()
        )

    def _pairs(self, term: str) -> list[Hypothesis]:
        """All with two defects that this term shows."""
        return [
            Hypothesis(second.edit(first.recipe), (*first.defects, *second.defects))
            for first, second in combinations(self.singles(term)[1:], 2)
            if first.defects != second.defects
        ]

    def all(self, term: str) -> tuple[list[Hypothesis], Array]:
        """All for one term, simplest first, and what they say of the first probe, (H, K, 2), which rules out most."""
        if term not in self._all:
            pairs = self._pairs(term)
            others = list(self._undeclared(pairs)) if term != "td" else []
            bent = (hypothesis for other in others for hypothesis in _with_one_defect(other))
            several = [h for h in (*others, *pairs, *bent) if self._explains(h, term)]
            found = sorted([*self.singles(term), *several], key=lambda hypothesis: hypothesis.cost)
            self._all[term] = found, np.stack([h.predict(term, probes()[0], self.lagrangian) for h in found])
        return self._all[term]

    def match(self, term: str, answers: Numbers, scales: list[float], tolerance: float) -> Match | None:
        """The simplest hypothesis that explains all answers of a term, or None."""
        hypotheses, predictions = self.all(term)
        predicted = shaped(term, predictions, answers[0].shape[1])
        found: list[Match] = []
        for (with_factor, with_constant), extra in FORMS.items():
            _, _, fits = _fit(predicted, answers[0], scales[0] * tolerance, with_factor, with_constant)
            for index in np.flatnonzero(fits):
                cost = hypotheses[index].cost + extra
                if found and cost >= min(match.cost for match in found):
                    break
                if match := self._explain(
                    hypotheses[index], term, answers, scales, tolerance, with_factor, with_constant, cost
                ):
                    found.append(match)
                    break
        return min(found, key=lambda match: match.cost, default=None)

    def match_right(self, term: str, answers: Numbers, scales: list[float], tolerance: float) -> Match | None:
        """The right loss over a factor and beside a constant per probe, or None."""
        for constant in (False, True):
            if match := self._explain(self.right, term, answers, scales, tolerance, True, constant, 0.0):
                return match
        return None

    def _explain(
        self,
        hypothesis: Hypothesis,
        term: str,
        answers: Numbers,
        scales: list[float],
        tolerance: float,
        with_factor: bool,
        with_constant: bool,
        cost: float,
    ) -> Match | None:
        factors, constants = [], []
        for probe, answer, scale in zip(probes(), answers, scales, strict=True):
            predicted = shaped(term, hypothesis.predict(term, probe, self.lagrangian)[None], answer.shape[1])
            factor, constant, fits = _fit(predicted, answer, scale * tolerance, with_factor, with_constant)
            if not fits[0]:
                return None
            factors.append(float(factor[0]))
            constants.append(float(constant[0]))
        return Match(hypothesis, tuple(factors), tuple(constants), cost)

    def _undeclared(self, pairs: list[Hypothesis]) -> Iterator[Hypothesis]:
        # What one or two defects say, settings of the same variant need not say.
        defective = {hypothesis.recipe for hypothesis in (*self.singles("conservative"), *pairs)}
        for data_term in (self._config.data_term, not self._config.data_term):
            for variant in VARIANTS:
                config = CQLConfig.resolve({**variant, "data_term": data_term})
                assert isinstance(config, CQLConfig)
                recipe = recipe_of(config)
                if recipe != self.right.recipe and not (config.variant == self._config.variant and recipe in defective):
                    yield Hypothesis(recipe, undeclared=config)


@cache
def hypotheses_of(config: CQLConfig, lagrangian: bool) -> Hypotheses:
    """Those of one declared variant, made once."""
    return Hypotheses(config, lagrangian)


def _with_one_defect(hypothesis: Hypothesis) -> Iterator[Hypothesis]:
    for defect in DEFECTS:
        for edit in defect.edits:
            yield replace(hypothesis, recipe=edit(hypothesis.recipe), defects=(defect,), edit=edit)


def shaped(term: str, predicted: Array, columns: int) -> Array:
    """(H, K, 2) -> (H, K, C): per critic, or the loss of both, a sum; the multiplier's loss is a mean."""
    if columns == 2:
        return predicted
    return predicted.mean(axis=2, keepdims=True) if term == "lagrange" else predicted.sum(axis=2, keepdims=True)


def _fit(
    predicted: Array, answer: Array, tolerance: float, with_factor: bool, with_constant: bool
) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Best factor (H,) and constant (H,) from predictions (H, K, C) to the answer (K, C), and whether they fit."""
    flat, target = predicted.reshape(len(predicted), -1), answer.reshape(-1)
    middle = flat.mean(axis=1, keepdims=True) if with_constant else np.zeros((len(flat), 1))
    centre = target.mean() if with_constant else 0.0
    factors = np.ones(len(flat))
    if with_factor:
        squares = np.sum((flat - middle) ** 2, axis=1)
        factors = np.sum((flat - middle) * (target - centre), axis=1) / np.where(squares > 0.0, squares, np.inf)
    constants = centre - factors * middle[:, 0]
    missed = np.abs(factors[:, None] * flat + constants[:, None] - target).max(axis=1)
    fits = (missed <= tolerance) & (factors >= SMALLEST_FACTOR) & (factors <= LARGEST_FACTOR)
    return factors, constants, fits
