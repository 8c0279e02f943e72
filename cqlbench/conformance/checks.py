"""What a CQL must do to be CQL: each check asks a loaded code, real or mutated, and compares with the oracle.

A check returns the largest difference it found, relative to the oracle's number unless its limit says otherwise; a
code passes where that is within the limit. All checks run in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
import torch

from cqlbench.algorithms.configs import CQLConfig
from cqlbench.algorithms.cql import CQL
from cqlbench.conformance import oracle
from cqlbench.conformance.oracle import Array, Layers
from cqlbench.conformance.planted.mutation import Code, load
from cqlbench.conformance.reference import (
    AT_S,
    TARGETS,
    VARIANTS,
    CriticAnswer,
    Variant,
    actor_answer,
    critic_answer,
    critic_values,
    layers_of,
    pairs,
    td_targets,
    weighted,
)
from cqlbench.tasks import Batch, TaskSpec

SPEC = TaskSpec(observation_size=3, action_size=2)
# With actions that one can integrate over.
LINE = TaskSpec(observation_size=3, action_size=1)
CPU = torch.device("cpu")
REAL = load()
# Relative, in float64.
ROUNDING = 1e-6
# Of 3 x 4,096 samples against an integral.
SAMPLING = 0.03
# Of an integral by 20,000 rectangles against 1.
QUADRATURE = 1e-4


@dataclass(frozen=True)
class Check:
    """A named comparison: `measure` asks a code for its largest difference, `passes` holds it against `limit`."""

    name: str
    compares: str
    measure: Callable[[Code], float]
    limit: float

    def passes(self, code: Code) -> bool:
        """What the code raises is not caught: a mutant should err, not fail."""
        return self.measure(code) <= self.limit


CHECKS: list[Check] = []


def check(name: str, limit: float = ROUNDING) -> Callable[[Callable[[Code], float]], Callable[[Code], float]]:
    """Adds a function to CHECKS, in the order of this file; its docstring says what it compares."""

    def add(measure: Callable[[Code], float]) -> Callable[[Code], float]:
        CHECKS.append(Check(name, " ".join((measure.__doc__ or "").split()), measure, limit))
        return measure

    return add


def killers(code: Code) -> list[str]:
    """The names of the checks that a code does not pass."""
    return [check.name for check in CHECKS if not check.passes(code)]


def difference(actual: Any, expected: Any) -> float:
    """The largest |actual - expected| / (|expected| + 1e-6), entry by entry; infinite for nan or another shape."""
    if isinstance(actual, torch.Tensor):
        actual = actual.detach().numpy()
    if np.shape(actual) != np.shape(expected):
        return math.inf
    largest = float(np.max(np.abs(actual - expected) / (np.abs(expected) + 1e-6)))
    return math.inf if math.isnan(largest) else largest


def batch_of(size: int = 16, spec: TaskSpec = SPEC) -> Batch:
    """A batch in float64, always the same."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    observed = spec.observation_size
    return Batch(
        normal(size, observed),
        torch.tanh(normal(size, spec.action_size)),
        normal(size),
        normal(size, observed),
        (normal(size) > 0.5).double(),
    )


def settings_of(settings: dict[str, Any]) -> CQLConfig:
    """A small CQL's."""
    return CQLConfig(**({"width": 8, "num_action_samples": 3} | settings))


def make(code: Code, config: CQLConfig, spec: TaskSpec = SPEC) -> CQL:
    """The code's CQL in float64, always with the same weights and generators."""
    algorithm = code.cql.CQL(spec, config, 0, CPU)
    for network in (algorithm.policy, algorithm.critic, algorithm.target_critic):
        network.double()
    algorithm.log_temperature.data = algorithm.log_temperature.data.double()
    algorithm.load_state_dict(weights_of(config, spec))
    algorithm.log_multiplier.data = torch.tensor(math.log(config.initial_lagrange_multiplier), dtype=torch.float64)
    return algorithm


@cache
def weights_of(config: CQLConfig, spec: TaskSpec) -> dict[str, torch.Tensor]:
    """The real code's, but with target critics and a temperature that are not the initial ones."""
    algorithm = REAL.cql.CQL(spec, config, 0, CPU)
    weights = {name: tensor.double() for name, tensor in algorithm.state_dict().items()}
    apart = {name: 1.1 * tensor for name, tensor in weights.items() if name.startswith("target_critic")}
    return weights | apart | {"log_temperature": torch.tensor(-0.5, dtype=torch.float64)}


@cache
def expected(variant: Variant) -> CriticAnswer:
    """The oracle's."""
    return critic_answer(make(REAL, settings_of(variant.settings)), batch_of(), variant)


# The critics' loss, term by term


@check("TD target")
def td_target(code: Code) -> float:
    """Targets of one sampled action, of the mean action, of the best of four, with and without the entropy bonus."""
    worst = 0.0
    for variant in (VARIANTS["H"], *TARGETS.values()):
        asked = make(code, settings_of(variant.settings))
        worst = max(worst, difference(asked.td_targets(asked.forward(batch_of())), expected(variant).targets))
    return worst


@check("TD loss")
def td_loss(code: Code) -> float:
    """The loss that CQL shares with SAC."""
    asked = make(code, settings_of({}))
    loss, _ = code.sac.SAC.critic_loss(asked, asked.forward(batch_of()))
    return difference(loss, expected(VARIANTS["H"]).td_loss.sum())


@check("sampled actions")
def sampled_actions(code: Code) -> float:
    """The actions to push down, from the algorithm's own generator."""
    return max(actions for actions, _ in sampled_differences(code))


@check("log-densities")
def log_densities(code: Code) -> float:
    """The log-densities that those actions come with."""
    return max(densities for _, densities in sampled_differences(code))


@lru_cache(maxsize=1)
def sampled_differences(code: Code) -> list[tuple[float, float]]:
    """Of the sampled actions and of their log-densities, for each set of sources."""
    differences = []
    for name in ("H", "H, next state's actions unused", "rho", "uniform"):
        variant = VARIANTS[name]
        asked = make(code, settings_of(variant.settings))
        actions, densities = asked.sampled_actions(asked.forward(batch_of()))
        answer = expected(variant)
        differences.append((difference(actions, answer.sampled_actions), difference(densities, answer.log_densities)))
    return differences


def pushed_down(code: Code, *variants: str) -> float:
    """Of what is pushed down at each state."""
    worst = 0.0
    for variant in map(VARIANTS.__getitem__, variants):
        asked = make(code, settings_of(variant.settings))
        worst = max(worst, difference(asked.pushed_down(asked.forward(batch_of())), expected(variant).pushed_down))
    return worst


@check("CQL(H)")
def cql_h(code: Code) -> float:
    """What is pushed down at each state: with a temperature, without importance weights, with each use of s'."""
    return pushed_down(code, *(name for name in VARIANTS if name.startswith("H")))


@check("CQL(rho)")
def cql_rho(code: Code) -> float:
    """What is pushed down at each state."""
    return pushed_down(code, "rho")


@check("CQL(var)")
def cql_var(code: Code) -> float:
    """What is pushed down at each state."""
    return pushed_down(code, "variance")


@check("E[Q]")
def expectation(code: Code) -> float:
    """What is pushed down at each state: uniform actions, the policy's, and both."""
    return pushed_down(code, "uniform", "policy", "equation 1, mixture")


@check("integral of exp Q", SAMPLING)
def integral(code: Code) -> float:
    """CQL(H) of 3 x 4,096 one-dimensional actions against the integral by 20,000 rectangles, absolute."""
    count = 4096
    asked = steep(code, count)
    estimate = asked.pushed_down(asked.forward(batch_of(8, LINE))).detach().numpy() - math.log(3 * count)
    return float(np.abs(estimate - true_integral()).max())


def steep(code: Code, count: int) -> CQL:
    """A CQL of one-dimensional actions, on which its critics depend eight times as much."""
    algorithm = make(code, settings_of({"num_action_samples": count}), LINE)
    for name, parameter in algorithm.critic.named_parameters():
        if name.endswith("first.weight"):
            parameter.data[:, LINE.observation_size :] *= 8
    return algorithm


@cache
def true_integral() -> Array:
    """The logarithm of the integral of exp Q over all actions, (2, 8)."""
    observations = batch_of(8, LINE).observations.numpy()
    actions = np.broadcast_to(midpoints()[None, :, None], (8, 20_000, 1))
    values = critic_values(layers_of(steep(REAL, 1).critic), pairs(observations, actions))
    return np.log(np.exp(values).mean(axis=2) * 2)


@check("critic loss")
def critic_loss(code: Code) -> float:
    """The critics' whole loss, for every variant of the penalty and every target."""
    return max(value for value, _ in critic_differences(code))


@check("critic gradient")
def critic_gradient(code: Code) -> float:
    """Its gradient by every parameter of both critics."""
    return max(gradient for _, gradient in critic_differences(code))


@lru_cache(maxsize=1)
def critic_differences(code: Code) -> list[tuple[float, float]]:
    """For every variant of the penalty, and for every target."""
    return [critic_difference(code, variant) for variant in (*VARIANTS.values(), *TARGETS.values())]


def critic_difference(code: Code, variant: Variant) -> tuple[float, float]:
    """Of the critics' whole loss, and of its gradient by their parameters."""
    config = settings_of(variant.settings)
    asked = make(code, config)
    loss, _ = asked.critic_loss(asked.forward(batch_of()))
    loss.backward()
    multiplier, _, constant = lagrange_answer(variant)
    total, gradients = expected(variant).whole(multiplier * config.cql_alpha)
    gradient = max(
        difference(parameter.grad, part)
        for parameter, part in zip(asked.critic.parameters(), flat(gradients), strict=True)
    )
    return difference(loss, total - constant), gradient


def flat(critics: list[Layers]) -> list[Array]:
    """Weights and biases in the order of a module's parameters."""
    return [part for layers in critics for layer in layers for part in layer]


# The Lagrange multiplier

LAGRANGE = [
    Variant({"lagrange_threshold": threshold, "initial_lagrange_multiplier": 0.5, **settings}, AT_S, weighted)
    for threshold, settings in (
        (2.0, {}),
        (2.0, {"threshold_of": "weighted_gap"}),
        # The gap is under it.
        (20.0, {"multipliers_first": "all"}),
    )
]


@check("Lagrange penalty")
def lagrange_penalty(code: Code) -> float:
    """The critics' loss and its gradient under a multiplier, above and under the threshold, however that is meant."""
    return max(max(critic_difference(code, variant)) for variant in LAGRANGE)


@check("Lagrange step")
def lagrange_step(code: Code) -> float:
    """The slope of the multiplier's own loss, and where its optimiser's first step goes: against it, by the rate."""
    return max(lagrange_difference(code, variant) for variant in LAGRANGE)


def lagrange_difference(code: Code, variant: Variant) -> float:
    """Of the multiplier's slope and step."""
    asked = make(code, settings_of(variant.settings))
    before = asked.log_multiplier.detach().clone()
    _, slope, _ = lagrange_answer(variant)
    asked.critic_loss(asked.forward(batch_of()))
    moved = (asked.log_multiplier - before) / asked.config.lagrange_learning_rate
    return max(difference(asked.log_multiplier.grad, slope), difference(moved, -np.sign(slope)))


def lagrange_answer(variant: Variant) -> tuple[float, float, float]:
    """The multiplier that weighs the penalty, the slope of its own loss, and what the threshold takes from the loss.

    Without a threshold: 1, 0 and 0. Adam's first step is its learning rate, whatever the slope's size.
    """
    config = settings_of(variant.settings)
    if config.lagrange_threshold is None:
        return 1.0, 0.0, 0.0
    threshold = config.lagrange_threshold * (1.0 if config.threshold_of == "weighted_gap" else config.cql_alpha)
    log_multiplier = np.array(math.log(config.initial_lagrange_multiplier))
    _, by = oracle.lagrange_loss(log_multiplier, config.cql_alpha * expected(variant).gap - threshold)
    slope = float(by["log_multiplier"])
    step = config.lagrange_learning_rate if config.multipliers_first == "all" else 0.0
    multiplier = math.exp(log_multiplier - step * np.sign(slope))
    return multiplier, slope, 2 * multiplier * threshold


# The policy and its temperature

ORDERS: list[dict[str, Any]] = [
    {},
    {"joint_update": True, "temperature_loss_of": "log_temperature"},
    {"multipliers_first": "temperature"},
    {"log_std_scaling": True, "log_std_max": -0.9},
]


def twins(code: Code, settings: dict[str, Any]) -> tuple[CQL, CQL]:
    """The code's CQL, and the real one for the oracle to read."""
    config = settings_of(settings)
    return make(code, config), make(REAL, config)


@check("actor loss")
def actor_loss(code: Code) -> float:
    """The policy's loss, in every order of the update."""
    return max(loss for loss, _, _ in actor_differences(code))


@check("actor gradient")
def actor_gradient(code: Code) -> float:
    """Its gradient by every parameter of the policy, through critics and tanh."""
    return max(gradient for _, gradient, _ in actor_differences(code))


@check("temperature step")
def temperature_step(code: Code) -> float:
    """The slope of the temperature's own loss, and where its optimiser's first step goes: against it, by the rate."""
    return max(step for _, _, step in actor_differences(code))


@check("warm start")
def warm_start(code: Code) -> float:
    """One update of it: the policy's loss is behaviour cloning's in the first update, and no longer in the second."""
    asked, reference = twins(code, {"bc_warm_start": 1})
    first = max(policy_differences(asked, reference, cloning=True)[:2])
    reference.load_state_dict(asked.state_dict())
    return max(first, *policy_differences(asked, reference, cloning=False)[:2])


@lru_cache(maxsize=1)
def actor_differences(code: Code) -> list[tuple[float, float, float]]:
    return [actor_difference(code, settings) for settings in ORDERS]


def actor_difference(code: Code, settings: dict[str, Any]) -> tuple[float, float, float]:
    """Of the first update's loss, its gradient and the temperature's step."""
    asked, reference = twins(code, settings)
    return policy_differences(asked, reference, cloning=asked.config.bc_warm_start > 0)


def policy_differences(asked: CQL, reference: CQL, cloning: bool) -> tuple[float, float, float]:
    """One update of `asked`: how far the policy's loss, its gradient and the temperature's step are from the oracle's.

    The policy's loss sees critics that have stepped already, unless the update is joint.
    """
    batch, config = batch_of(), reference.config
    td_targets(reference, batch)  # which draw first
    before = asked.log_temperature.detach().clone()
    metrics = asked.update(batch)
    critics = layers_of(reference.critic if config.joint_update else asked.critic)
    used = before if config.multipliers_first == "none" else asked.log_temperature.detach()
    answer = actor_answer(reference, batch, critics, math.exp(used.item()), cloning)
    torch.autograd.backward(
        list(reference.policy(batch.observations)), [torch.tensor(answer.by_mean), torch.tensor(answer.by_log_std)]
    )
    both = zip(asked.policy.parameters(), reference.policy.parameters(), strict=True)
    gradient = max(difference(ours.grad, np.asarray(theirs.grad)) for ours, theirs in both)
    reference.policy.zero_grad()
    moved = (asked.log_temperature - before) / config.temperature_learning_rate
    step = max(
        difference(asked.log_temperature.grad, answer.by_log_temperature),
        difference(moved, -np.sign(answer.by_log_temperature)),
    )
    return difference(metrics["actor_loss"], answer.loss), gradient, step


@check("density integrates to 1", QUADRATURE)
def density(code: Code) -> float:
    """The policy's density of one-dimensional actions that it did not draw, by 20,000 rectangles, absolute."""
    policy = make(code, settings_of({}), LINE).policy
    states = batch_of(4).observations
    actions = torch.tensor(midpoints())[None, :, None].expand(4, -1, 1)
    mean, log_std = (part[:, None] for part in policy(states))
    grid = code.policy.squashed_log_density(mean, log_std, actions)
    one = code.policy.TanhGaussianPolicy.forward(policy, states).log_density(actions[:, 1234])
    integral = grid.exp().mean(1) * 2
    return max(difference(integral, np.ones(4)), difference(one, grid[:, 1234].detach().numpy()))


def midpoints() -> Array:
    """Of 20,000 equal parts of [-1, 1]."""
    return (np.arange(20_000) + 0.5) / 10_000 - 1


# What the critics do with their loss, and how everything starts


@check("critic step")
def critic_step(code: Code) -> float:
    """Adam's first step along the gradient of the critics' loss alone, in both orders of update."""
    worst = 0.0
    for settings in ({}, {"joint_update": True}):
        asked = make(code, settings_of(settings))
        before = flat(layers_of(asked.critic))
        _, gradients = expected(VARIANTS["H"]).whole(asked.config.cql_alpha)
        asked.update(batch_of())
        for parameter, start, part in zip(asked.critic.parameters(), before, flat(gradients), strict=True):
            step = asked.config.critic_learning_rate * part / (np.abs(part) + 1e-8)
            worst = max(worst, difference(parameter, start - step))
    return worst


@check("target critics")
def target_critics(code: Code) -> float:
    """Where one update takes them."""
    asked = make(code, settings_of({}))
    before = flat(layers_of(asked.target_critic))
    asked.update(batch_of())
    rate, after = asked.config.polyak, flat(layers_of(asked.target_critic))
    return max(
        difference(moved, (1 - rate) * start + rate * critic)
        for moved, start, critic in zip(after, before, flat(layers_of(asked.critic)), strict=True)
    )


@check("start", 0.0)
def start(code: Code) -> float:
    """Weights follow from the seed alone, target critics are copies, both critics have the layers asked for."""
    config = CQLConfig(width=8, depth=3)
    made = []
    for elsewhere in (1, 2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(elsewhere)
            made.append(code.cql.CQL(SPEC, config, 0, CPU))
    first, second = made
    same = all(torch.equal(tensor, second.state_dict()[name]) for name, tensor in first.state_dict().items())
    copied = all(
        torch.equal(target, critic)
        for target, critic in zip(first.target_critic.parameters(), first.critic.parameters(), strict=True)
    )
    sizes = [[weight.shape for weight, _ in layers] for layers in layers_of(first.critic)]
    return 0.0 if same and copied and sizes == [[(8, 5), (8, 8), (8, 8), (1, 8)]] * 2 else math.inf
