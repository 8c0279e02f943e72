"""A critic's loss as a recipe of steps, and every known defect as an edit of that recipe. NumPy only.

What is right is the oracle's: its reductions are called, not written again.

Two defects together are two edits, so nothing has to be written for a pair. Shapes: K pairs of critics, B states, N
actions per source, M actions in all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cqlbench.algorithms.configs import CQLConfig
from cqlbench.conformance import oracle
from cqlbench.conformance.lab.probes import Q
from cqlbench.conformance.lab.problem import Problem
from cqlbench.conformance.oracle import Array

SOURCES = ("uniform", "policy", "next")
# Which critic stands where each critic's number should: (0, 1) is right, None leaves a critic out.
Critics = tuple[int | None, int | None]
OWN: Critics = (0, 1)


@dataclass(frozen=True)
class Sampled:
    """What a reduction is given: values (K, 2, B, M), their log-densities (B, M), T, N, values to weigh by.

    And the values of the data's actions, (K, 2, B).
    """

    values: Array
    log_densities: Array
    temperature: float
    count: int
    weigh_by: Array
    at_data: Array

    @property
    def exponents(self) -> Array:
        """Q / T - log density."""
        return self.values / self.temperature - self.log_densities


# To (K, 2, anything), of which the mean is taken.
Reduction = Callable[[Sampled], Array]


def soft_maximum(sampled: Sampled) -> Array:
    value, _ = oracle.soft_maximum(_flat(sampled.values), sampled.log_densities, sampled.temperature)
    return value.reshape(sampled.values.shape[:3])


def soft_maximum_of_cold_densities(sampled: Sampled) -> Array:
    return soft_maximum(replace(sampled, log_densities=sampled.log_densities / sampled.temperature))


def soft_maximum_with_data(sampled: Sampled) -> Array:
    exponents = np.concatenate([sampled.exponents, sampled.at_data[..., None] / sampled.temperature], axis=3)
    return sampled.temperature * _logsumexp(exponents, 3)


def softmax_average(sampled: Sampled) -> Array:
    _, by = oracle.softmax_average(_flat(sampled.weigh_by), sampled.temperature)
    return np.sum(by["sampled_values"].reshape(sampled.weigh_by.shape) * sampled.values, axis=3)


def average(sampled: Sampled) -> Array:
    value, _ = oracle.plain_average(_flat(sampled.values))
    return value.reshape(sampled.values.shape[:3])


def average_of_exponents(sampled: Sampled) -> Array:
    return sampled.temperature * sampled.exponents


def largest(sampled: Sampled) -> Array:
    return sampled.values.max(axis=3)


def largest_exponent(sampled: Sampled) -> Array:
    return sampled.temperature * sampled.exponents.max(axis=3)


def soft_maximum_over_sources(sampled: Sampled) -> Array:
    exponents = sampled.exponents
    by_source = exponents.reshape(*exponents.shape[:3], -1, sampled.count)
    return sampled.temperature * _logsumexp(by_source, 3)


def soft_maximum_over_triples(sampled: Sampled) -> Array:
    exponents = sampled.exponents
    neighbours = exponents.reshape(*exponents.shape[:3], sampled.count, -1)
    return sampled.temperature * _logsumexp(neighbours, 4)


def soft_maximum_over_critics(sampled: Sampled) -> Array:
    exponents = np.concatenate(list(np.moveaxis(sampled.exponents, 1, 0)), axis=2)[:, None]
    return sampled.temperature * np.repeat(_logsumexp(exponents, 3), 2, axis=1)


def soft_maximum_over_batch(sampled: Sampled) -> Array:
    return sampled.temperature * _logsumexp(sampled.exponents, 2)


def soft_maximum_over_everything(sampled: Sampled) -> Array:
    exponents = sampled.exponents
    return sampled.temperature * _logsumexp(exponents.reshape(*exponents.shape[:2], -1), 2)


def smaller(next_values: Array) -> Array:
    return next_values.min(axis=0)


def larger(next_values: Array) -> Array:
    return next_values.max(axis=0)


def mean_of_both(next_values: Array) -> Array:
    return next_values.mean(axis=0)


def each_its_own(next_values: Array) -> Array:
    return next_values


def squared(values: Array, targets: Array) -> Array:
    return np.mean((values - targets) ** 2, axis=2)


def squared_of_all_pairs(values: Array, targets: Array) -> Array:
    return np.mean((values[..., None] - targets[..., None, :]) ** 2, axis=(2, 3))


def smooth_l1(values: Array, targets: Array) -> Array:
    error = np.abs(values - targets)
    return np.mean(np.where(error < 1.0, 0.5 * error**2, error - 0.5), axis=2)


def at_data(problem: Problem, q: Q) -> Array:
    return q(problem.observations, problem.actions)


def at_policy(problem: Problem, q: Q) -> Array:
    count = problem.num_action_samples
    return q(problem.observations, problem.sampled_actions[:, count : 2 * count]).mean(axis=3)


def at_next_policy(problem: Problem, q: Q) -> Array:
    count = problem.num_action_samples
    return q(problem.observations, problem.sampled_actions[:, 2 * count :]).mean(axis=3)


def at_one_policy_action(problem: Problem, q: Q) -> Array:
    return q(problem.observations, problem.sampled_actions[:, problem.num_action_samples])


@dataclass(frozen=True)
class Recipe:
    """The steps from a problem to its loss; the defaults are CQL(H)."""

    # What is done to the inputs before anything else.
    inputs: tuple[Callable[[Problem], Problem], ...] = ()
    # TD: what the target takes of the two target critics, (2, B) -> (B,), or (2, B) for one target each.
    next_values: Callable[[Array], Array] = smaller
    td_error: Callable[[Array, Array], Array] = squared
    td_weight: float = 1.0
    td_critics: Critics = OWN
    # Sampled actions: which, scored where, weighed how, reduced how.
    sources: tuple[str, ...] = SOURCES
    scored_at_next: tuple[str, ...] = ()
    smaller_critic: bool = False
    smaller_reduced: bool = False
    importance_weights: bool = True
    density_sign: float = 1.0
    temperature: float = 1.0
    reduction: Reduction = soft_maximum
    share: float = 1.0
    # The data's actions.
    data_values: Callable[[Problem, Q], Array] = at_data
    data_sign: float = 1.0
    data_critics: Critics = OWN
    smaller_data_critic: bool = False
    # Together.
    weight_on_sampled: bool = True
    weight_on_data: bool = True
    sign: float = 1.0
    critics: Critics = OWN
    threshold_sign: float = 1.0
    lagrange_sign: float = 1.0

    def td(self, problem: Problem, q: Q) -> Array:
        """The TD term per critic, (K, 2)."""
        problem = self._prepared(problem)
        continues = problem.discount * (1.0 - problem.terminals)
        targets = problem.rewards + continues * self.next_values(problem.next_values)
        error = self.td_error(q(problem.observations, problem.actions), targets)
        return self.td_weight * _of(error, self.td_critics)

    def conservative(self, problem: Problem, sampled_q: Q, data_q: Q, weigh_q: Q, threshold: float = 0.0) -> Array:
        """The conservative term per critic, (K, 2), weight included.

        The three are one Q, except for gradients: what is held there is not differentiated.
        """
        pushed_down, data_values = self._parts(problem, sampled_q, data_q, weigh_q)
        on_sampled = problem.alpha if self.weight_on_sampled else 1.0
        on_data = problem.alpha if self.weight_on_data else 1.0
        penalty = on_sampled * (pushed_down - self.threshold_sign * threshold) - on_data * data_values
        return self.sign * _of(penalty, self.critics)

    def lagrange(self, problem: Problem, q: Q, threshold: float) -> Array:
        """The multiplier's own loss per critic, (K, 2)."""
        pushed_down, data_values = self._parts(problem, q, q, q)
        excess = pushed_down - data_values - self.threshold_sign * threshold
        return -self.lagrange_sign * problem.alpha * excess

    def _prepared(self, problem: Problem) -> Problem:
        for step in self.inputs:
            problem = step(problem)
        return problem

    def _parts(self, problem: Problem, sampled_q: Q, data_q: Q, weigh_q: Q) -> tuple[Array, Array]:
        """What is pushed down and what is pushed up, each (K, 2)."""
        problem = self._prepared(problem)
        values, log_densities = self._score(problem, sampled_q)
        weigh_by, _ = self._score(problem, weigh_q)
        log_densities = self.density_sign * log_densities if self.importance_weights else np.zeros(log_densities.shape)
        at_data = sampled_q(problem.observations, problem.actions)
        sampled = Sampled(values, log_densities, self.temperature, problem.num_action_samples, weigh_by, at_data)
        reduced = self.reduction(sampled)
        if self.smaller_reduced:
            reduced = np.repeat(reduced.min(axis=1, keepdims=True), 2, axis=1)
        pushed_down = self.share * reduced.reshape(*reduced.shape[:2], -1).mean(axis=2)
        data_values = self.data_values(problem, data_q)
        if self.smaller_data_critic:
            data_values = np.repeat(data_values.min(axis=1, keepdims=True), 2, axis=1)
        return pushed_down, self.data_sign * _of(data_values.mean(axis=2), self.data_critics)

    def _score(self, problem: Problem, q: Q) -> tuple[Array, Array]:
        """Values (K, 2, B, M) and log-densities (B, M) of the actions in use."""
        count = problem.num_action_samples
        at_s = q(problem.observations, problem.sampled_actions)
        at_next_s = q(problem.next_observations, problem.sampled_actions) if self.scored_at_next else at_s
        places = [slice(SOURCES.index(name) * count, (SOURCES.index(name) + 1) * count) for name in self.sources]
        values = np.concatenate(
            [
                (at_next_s if name in self.scored_at_next else at_s)[..., place]
                for name, place in zip(self.sources, places, strict=True)
            ],
            axis=3,
        )
        if self.smaller_critic:
            values = np.repeat(values.min(axis=1, keepdims=True), 2, axis=1)
        return values, np.concatenate([problem.log_densities[:, place] for place in places], axis=1)


def recipe_of(config: CQLConfig) -> Recipe:
    """The right recipe for a config. Its numbers of actions, weights and thresholds are the problem's own."""
    common = Recipe(sources=config.sources, data_sign=float(config.data_term), temperature=config.penalty_temperature)
    if config.variant == "rho":
        return replace(common, reduction=softmax_average)
    if config.variant == "expectation":
        return replace(common, reduction=average)
    if config.variant == "variance":
        assert config.variance_radius is not None  # the config has seen to it
        return replace(common, reduction=_robust_averages(config.variance_radius))
    elsewhere = ("next",) if config.next_actions == "scored_at_next_s" else ()
    return replace(common, scored_at_next=elsewhere, importance_weights=config.importance_weights)


Edit = Callable[[Recipe], Recipe]


@dataclass(frozen=True)
class Defect:
    """A known defect: what it does, in words that follow "your loss:", and each way it may be spelled.

    `switch` is the setting that makes it right, where some correct variant does it on purpose.
    """

    name: str
    sentence: str
    edits: tuple[Edit, ...]
    switch: str = ""


def _set(**fields: Any) -> Edit:
    return lambda recipe: replace(recipe, **fields)


def _given(change: Callable[[Problem], dict[str, Any]]) -> Edit:
    """Other inputs, from before any other change of them."""

    def step(problem: Problem) -> Problem:
        return replace(problem, **change(problem))

    return lambda recipe: replace(recipe, inputs=(*recipe.inputs, step))


def _rolled(by: int, *names: str) -> Edit:
    return _given(lambda problem: {name: np.roll(getattr(problem, name), by, axis=-1 if name == "next_values" else 0)
                                   for name in names})  # fmt: skip


def _uniform_density(density: Callable[[int], float]) -> Edit:
    def change(problem: Problem) -> dict[str, Array]:
        changed = problem.log_densities.copy()
        changed[:, : problem.num_action_samples] = density(problem.actions.shape[1])
        return {"log_densities": changed}

    return _given(change)


def _policy_densities(factor: float, *sources: str) -> Edit:
    def change(problem: Problem) -> dict[str, Array]:
        changed, count = problem.log_densities.copy(), problem.num_action_samples
        for source in sources:
            changed[:, SOURCES.index(source) * count : (SOURCES.index(source) + 1) * count] *= factor
        return {"log_densities": changed}

    return _given(change)


def _uniform_actions(value: float) -> Edit:
    def change(problem: Problem) -> dict[str, Array]:
        changed = problem.sampled_actions.copy()
        changed[:, : problem.num_action_samples] = value
        return {"sampled_actions": changed}

    return _given(change)


PENALTY_LEFT_OUT = Defect("penalty left out", "it is 0 everywhere: there is no penalty", (_set(critics=(None, None)),))

# In the order in which two of them are applied.
DEFECTS = (
    Defect(
        "shifted observations",
        "the observations are shifted against the actions and rewards (as d3rlpy.datasets.get_minari shifts them)",
        tuple(
            _rolled(by, *names)
            for names in (
                ("observations",),
                ("observations", "next_observations"),
                ("observations", "next_observations", "next_values"),
                ("actions", "rewards"),
                ("actions", "rewards", "terminals"),
            )
            for by in (1, -1)
        ),
    ),
    Defect("halved TD error", "the TD error is halved, so that alpha counts twice", (_set(td_weight=0.5),)),
    Defect(
        "TD error broadcast to (B, B)",
        "values and targets are broadcast to (B, B): every value is compared with every target",
        (_set(td_error=squared_of_all_pairs),),
    ),
    Defect(
        "terminals ignored",
        "the target goes on after a terminal state",
        (_given(lambda problem: {"terminals": np.zeros_like(problem.terminals)}),),
    ),
    Defect(
        "terminals inverted",
        "the target goes on after terminal states only",
        (_given(lambda problem: {"terminals": 1.0 - problem.terminals}),),
    ),
    Defect("discount left out", "the target is not discounted", (_given(lambda _: {"discount": 1.0}),)),
    Defect(
        "larger target critic",
        "the target takes the larger of the two target critics, not the smaller",
        (_set(next_values=larger),),
    ),
    Defect(
        "mean of the target critics",
        "the target takes the mean of the two target critics, not the smaller",
        (_set(next_values=mean_of_both),),
    ),
    Defect(
        "each critic its own target",
        "each critic's target takes its own target critic, not the smaller",
        (_set(next_values=each_its_own),),
    ),
    Defect(
        "TD error of one critic only",
        "only one critic has a TD error",
        tuple(_set(td_critics=critics) for critics in ((0, None), (None, 1), (0, 0), (1, 1))),
    ),
    Defect(
        "Huber TD loss",
        "the TD error is not squared beyond 1: a Huber (smooth L1) loss",
        (_set(td_error=smooth_l1), _set(td_error=lambda values, targets: 2.0 * smooth_l1(values, targets))),
    ),
    Defect(
        "constant random actions",
        "the random actions are all the same, not uniform",
        (_uniform_actions(1.0), _uniform_actions(-1.0), _uniform_actions(0.0)),
    ),
    Defect(
        "next actions scored at s'",
        "the policy's actions at s' are scored at s', not at s",
        (_set(scored_at_next=("next",)),),
        "--next-actions scored_at_next_s",
    ),
    Defect(
        "all sampled actions scored at s'",
        "all sampled actions are scored at s', not at s",
        (_set(scored_at_next=SOURCES),),
    ),
    Defect(
        "policy actions left out",
        "only the uniform actions are used, none of the policy's",
        (_set(sources=("uniform",)),),
    ),
    Defect(
        "uniform actions left out",
        "only the policy's actions are used, none of the uniform ones",
        (_set(sources=("policy", "next")),),
    ),
    Defect(
        "uniform density log sqrt(d)",
        "the uniform actions' log-density is log sqrt(d), not d log 0.5",
        (_uniform_density(lambda size: 0.5 * np.log(size)), _uniform_density(lambda size: -0.5 * np.log(size))),
    ),
    Defect(
        "uniform density of one dimension",
        "the uniform actions' log-density is log 0.5, not d log 0.5",
        (_uniform_density(lambda _: -np.log(2.0)),),
    ),
    Defect(
        "uniform density with the wrong sign",
        "the uniform actions' log-density is -d log 0.5, not d log 0.5",
        (_uniform_density(lambda size: size * np.log(2.0)),),
    ),
    Defect(
        "policy densities left out",
        "the policy actions' values are not divided by their density",
        (
            _policy_densities(0.0, "policy", "next"),
            _policy_densities(0.0, "policy"),
            _policy_densities(0.0, "next"),
        ),
    ),
    Defect(
        "importance weights left out",
        "no value is divided by the density of its action",
        (_set(importance_weights=False),),
        "--no-importance-weights",
    ),
    Defect(
        "log-densities added",
        "log-densities are added, not subtracted: values are multiplied by their density",
        (
            _set(density_sign=-1.0),
            _policy_densities(-1.0, "policy", "next"),
            _policy_densities(-1.0, "policy"),
            _policy_densities(-1.0, "next"),
        ),
    ),
    Defect(
        "smaller critic pushed down",
        "only the smaller of the two critics' values is pushed down",
        (
            _set(smaller_critic=True),
            _set(smaller_critic=True, share=0.5),
            _set(smaller_critic=True, smaller_data_critic=True),
            _set(smaller_reduced=True),
            _set(smaller_reduced=True, share=0.5),
            _set(smaller_reduced=True, smaller_data_critic=True),
        ),
    ),
    Defect(
        "logsumexp over 3 values",
        "the logsumexp runs over {sources} values, not over all {all} (N = {count})",
        (_set(reduction=soft_maximum_over_sources), _set(reduction=soft_maximum_over_triples)),
    ),
    Defect(
        "critics mixed in the logsumexp",
        "one logsumexp runs over the values of both critics",
        (_set(reduction=soft_maximum_over_critics), _set(reduction=soft_maximum_over_critics, share=0.5)),
    ),
    Defect(
        "maximum instead of logsumexp",
        "the largest value is taken, not the logsumexp",
        (_set(reduction=largest_exponent), _set(reduction=largest)),
    ),
    Defect(
        "mean instead of logsumexp",
        "the mean of the values is taken, not the logsumexp",
        (_set(reduction=average), _set(reduction=average_of_exponents)),
    ),
    Defect(
        "densities divided by the temperature",
        "the temperature divides Q minus the log-density, not Q alone",
        (_set(reduction=soft_maximum_of_cold_densities),),
    ),
    Defect(
        "data's action in the unweighted logsumexp",
        "the data's action is in the logsumexp, and no value is divided by the density of its action "
        "(the authors' min_q_version=2; cql_importance_sample=False in young-geng and CORL)",
        (_set(reduction=soft_maximum_with_data, importance_weights=False),),
    ),
    Defect(
        "data's action in the logsumexp",
        "the data's action is in the logsumexp (as in the authors' min_q_version=2, but beside values divided by "
        "their density)",
        (_set(reduction=soft_maximum_with_data),),
    ),
    Defect(
        "logsumexp over the batch",
        "the logsumexp runs over the states of the batch",
        (_set(reduction=soft_maximum_over_batch), _set(reduction=soft_maximum_over_everything)),
    ),
    Defect(
        "data term of policy actions",
        "the policy's actions are pushed up, not the data's",
        tuple(_set(data_values=values) for values in (at_policy, at_one_policy_action, at_next_policy)),
    ),
    Defect(
        "data term of the first critic only",
        "one critic's values of the data's actions serve for both",
        (_set(data_critics=(0, 0)), _set(data_critics=(1, 1)), _set(data_critics=(0, None))),
    ),
    Defect("data term left out", "nothing is pushed up", (_set(data_sign=0.0),), "--no-data-term"),
    Defect("data term with the wrong sign", "the data's actions are pushed down too", (_set(data_sign=-1.0),)),
    Defect(
        "weight left out", "alpha is not used: it counts as 1", (_set(weight_on_sampled=False, weight_on_data=False),)
    ),
    Defect(
        "weight on the logsumexp only",
        "alpha weighs the sampled actions but not the data's: (alpha * lse) - data",
        (_set(weight_on_data=False),),
    ),
    PENALTY_LEFT_OUT,
    Defect("penalty with the wrong sign", "the penalty is subtracted", (_set(sign=-1.0),)),
    Defect(
        "penalty on one critic only",
        "only one critic has a penalty",
        tuple(_set(critics=critics) for critics in ((0, None), (None, 1), (0, 0), (1, 1))),
    ),
    Defect("threshold added", "the threshold is added to the gap, not subtracted", (_set(threshold_sign=-1.0),)),
    Defect("threshold left out", "the threshold is not used", (_set(threshold_sign=0.0),)),
    Defect(
        "Lagrange loss with the wrong sign",
        "the multiplier falls where the gap is above its threshold",
        (_set(lagrange_sign=-1.0),),
    ),
    Defect(
        "uniform density left out",
        "the uniform actions' values are not divided by their density",
        (_uniform_density(lambda _: 0.0),),
    ),
)

DATA_DETACHED = Defect("data term detached", "no gradient flows through the data's actions", ())
SAMPLED_DETACHED = Defect("sampled values detached", "no gradient flows through the sampled actions' values", ())
WEIGHTS_DIFFERENTIATED = Defect(
    "softmax weights not detached", "the gradient also flows through the softmax weights, which are given", ()
)


def _logsumexp(exponents: Array, axis: int) -> Array:
    top = exponents.max(axis=axis, keepdims=True)
    return np.squeeze(top, axis) + np.log(np.exp(exponents - top).sum(axis=axis))


def _flat(values: Array) -> Array:
    """(K, 2, B, M) -> (2K, B, M), as the oracle has it: it counts critics, not pairs of them."""
    return values.reshape(-1, *values.shape[2:])


def _robust_averages(radius: float) -> Reduction:
    def robust_average(sampled: Sampled) -> Array:
        value, _ = oracle.robust_average(_flat(sampled.values), radius)
        return value.reshape(sampled.values.shape[:3])

    return robust_average


def _of(numbers: Array, critics: Critics) -> Array:
    """(K, 2) with each critic's number replaced by that of the critic named."""
    if critics == OWN:
        return numbers
    return np.stack([np.zeros(len(numbers)) if c is None else numbers[:, c] for c in critics], axis=1)
