"""What the oracle says of an algorithm: its own networks, generators and batch, everything else from the equations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cqlbench.algorithms.cql import CQL
from cqlbench.conformance import oracle
from cqlbench.conformance.oracle import Array, Layers, Term
from cqlbench.networks.critic import CriticEnsemble
from cqlbench.tasks import Batch

# Whose density an action is drawn from ("uniform", or the policy at "s" or "s'"), and the state it is scored at.
Source = tuple[str, str]


@dataclass(frozen=True, eq=False)
class Variant:
    """One form of the penalty: its settings, its sampled actions, and what is pushed down given their log-densities."""

    settings: dict[str, Any]
    sources: tuple[Source, ...]
    push_down: Callable[[Array], Callable[[Array], Term]]


PAPER_SOURCES: tuple[Source, ...] = (("uniform", "s"), ("s", "s"))
AT_S: tuple[Source, ...] = (*PAPER_SOURCES, ("s'", "s"))


def weighted(log_densities: Array) -> Callable[[Array], Term]:
    """CQL(H) with importance weights."""
    return partial(oracle.soft_maximum, log_densities=log_densities)


def average(log_densities: Array) -> Callable[[Array], Term]:
    """The plain average."""
    return oracle.plain_average


VARIANTS = {
    "H": Variant({}, AT_S, weighted),
    "H, temperature": Variant(
        {"penalty_temperature": 0.5},
        AT_S,
        lambda log_densities: partial(oracle.soft_maximum, log_densities=log_densities, temperature=0.5),
    ),
    "H, no importance weights": Variant(
        {"importance_weights": False}, AT_S, lambda log_densities: partial(oracle.soft_maximum, log_densities=None)
    ),
    "H, next state's actions unused": Variant({"next_actions": "unused"}, PAPER_SOURCES, weighted),
    "H, next state's actions scored there": Variant(
        {"next_actions": "scored_at_next_s"}, (*PAPER_SOURCES, ("s'", "s'")), weighted
    ),
    "rho": Variant({"variant": "rho"}, (("s", "s"),), lambda log_densities: oracle.softmax_average),
    "uniform": Variant({"variant": "expectation", "sampling_distribution": "uniform"}, (("uniform", "s"),), average),
    "policy": Variant({"variant": "expectation", "sampling_distribution": "policy"}, (("s", "s"),), average),
    "equation 1, mixture": Variant(
        {"variant": "expectation", "sampling_distribution": "mixture", "data_term": False}, PAPER_SOURCES, average
    ),
    "variance": Variant(
        {"variant": "variance", "sampling_distribution": "mixture", "variance_radius": 0.3},
        PAPER_SOURCES,
        lambda log_densities: partial(oracle.robust_average, radius=0.3),
    ),
}
TARGETS = {
    "mean": Variant({"target_action": "mean"}, AT_S, weighted),
    "best of 4": Variant({"target_action_samples": 4}, AT_S, weighted),
    "with entropy": Variant({"entropy_in_target": True}, AT_S, weighted),
    "best of 4, with entropy": Variant({"target_action_samples": 4, "entropy_in_target": True}, AT_S, weighted),
}


@dataclass(frozen=True)
class CriticAnswer:
    """Of B states and M sampled actions: (B,), (B, M, A), (B, M), (C,), (C, B), (C,).

    `whole` gives the loss under a weight of the gap, summed over the critics, and its gradient by every parameter.
    """

    targets: Array
    sampled_actions: Array
    log_densities: Array
    td_loss: Array
    pushed_down: Array
    gap: Array
    whole: Callable[[float], tuple[float, list[Layers]]]


def critic_answer(algorithm: CQL, batch: Batch, variant: Variant) -> CriticAnswer:
    """The critics' loss of one batch. Draws what the algorithm's own `critic_loss` would, in its order."""
    config = algorithm.config
    targets = td_targets(algorithm, batch)
    states = {"s": batch.observations, "s'": batch.next_observations}
    actions, log_densities, scored = [], [], []
    for drawn_at, scored_at in variant.sources:
        if drawn_at == "uniform":
            shape = (len(batch.actions), config.num_action_samples, batch.actions.shape[1])
            draw = torch.rand(shape, generator=algorithm.penalty_noise.generator, dtype=torch.float64)
            drawn, densities = 2 * draw.numpy() - 1, np.full(shape[:2], shape[2] * np.log(0.5))
        else:
            generator = algorithm.penalty_noise.generator
            drawn, densities = policy_samples(algorithm, states[drawn_at], config.num_action_samples, generator)
        actions.append(drawn)
        log_densities.append(densities)
        scored.append(pairs(states[scored_at].numpy(), drawn))
    critics, data_pairs = layers_of(algorithm.critic), pairs(batch.observations.numpy(), batch.actions.numpy())
    sampled_pairs, push_down = np.concatenate(scored, 1), variant.push_down(np.concatenate(log_densities, 1))
    data_values = critic_values(critics, data_pairs)
    pushed, _ = push_down(critic_values(critics, sampled_pairs))
    return CriticAnswer(
        targets=targets,
        sampled_actions=np.concatenate(actions, 1),
        log_densities=np.concatenate(log_densities, 1),
        td_loss=oracle.td_loss(data_values, targets)[0],
        pushed_down=pushed,
        gap=oracle.conservative_gap(pushed, data_values if config.data_term else None)[0],
        whole=cache(
            lambda weight: oracle.critic_loss(
                critics, data_pairs, targets, sampled_pairs, push_down, weight, config.data_term
            )
        ),
    )


def td_targets(algorithm: CQL, batch: Batch) -> Array:
    """(B,): r + discount * the smallest target critic at the next action; of several, the one it scores highest."""
    config, observations = algorithm.config, batch.next_observations
    if config.target_action == "mean":
        mean = algorithm.policy(observations)[0].detach().numpy()
        actions, log_densities = np.tanh(mean)[:, None], np.zeros((len(mean), 1))
    else:
        actions, log_densities = policy_samples(
            algorithm, observations, config.target_action_samples, algorithm.noise.generator
        )
    values = critic_values(layers_of(algorithm.target_critic), pairs(observations.numpy(), actions)).min(axis=0)
    rows, best = np.arange(len(values)), values.argmax(axis=1)
    entropy = -np.exp(algorithm.log_temperature.item()) * log_densities[rows, best] if config.entropy_in_target else 0.0
    next_values = values[rows, best] + entropy
    return oracle.td_target(batch.rewards.numpy(), batch.terminals.numpy(), next_values, config.discount)[0]


@dataclass(frozen=True)
class ActorAnswer:
    """The policy's loss (), its gradient by mean and log_std before the tanh (B, A), and the temperature's gradient."""

    loss: Array
    by_mean: Array
    by_log_std: Array
    by_log_temperature: Array


def actor_answer(algorithm: CQL, batch: Batch, critics: list[Layers], temperature: float, cloning: bool) -> ActorAnswer:
    """The policy's loss of one batch against the given critics, or in the warm start the data's actions.

    Draws from the algorithm's generator as its own update would.
    """
    config, action_size = algorithm.config, batch.actions.shape[1]
    mean, log_std = (part.detach().numpy() for part in algorithm.policy(batch.observations))
    noise = torch.randn(mean.shape, generator=algorithm.noise.generator, dtype=torch.float64).numpy()
    (actions, action_by), (log_densities, density_by) = oracle.squash(mean, log_std, noise)
    if cloning:
        scores, score_by = oracle.squashed_log_density(mean, log_std, batch.actions.numpy())
        loss, by = oracle.actor_loss(scores, log_densities, np.array(temperature))
        through = {key: by["values"][:, None] * score_by[key] for key in ("mean", "log_std")}
    else:
        valued = [oracle.critic_values(layers, pairs(batch.observations.numpy(), actions)) for layers in critics]
        values = np.stack([value for value, _ in valued])
        loss, by = oracle.actor_loss(values.min(axis=0), log_densities, np.array(temperature))
        by_action = sum(
            oracle.critic_gradients(layers, inputs, by["values"] * (values.argmin(axis=0) == c))[1][:, -action_size:]
            for c, (layers, (_, inputs)) in enumerate(zip(critics, valued, strict=True))
        )
        through = {key: by_action * action_by[key] for key in ("mean", "log_std")}
    by_policy = {key: through[key] + by["log_densities"][:, None] * density_by[key] for key in through}
    target_entropy = -float(action_size) if config.target_entropy is None else config.target_entropy
    log_temperature = algorithm.log_temperature.detach().numpy()
    logarithmic = config.temperature_loss_of == "log_temperature"
    _, temperature_by = oracle.temperature_loss(log_temperature, log_densities, target_entropy, logarithmic)
    return ActorAnswer(loss, by_policy["mean"], by_policy["log_std"], temperature_by["log_temperature"])


def policy_samples(algorithm: CQL, observations: Tensor, count: int, generator: torch.Generator) -> tuple[Array, Array]:
    """(B, O) -> `count` actions of the policy per state (B, count, A), and their log-densities (B, count)."""
    mean, log_std = (part.detach().numpy()[:, None] for part in algorithm.policy(observations))
    shape = (len(observations), count, mean.shape[-1])
    noise = torch.randn(shape, generator=generator, dtype=torch.float64).numpy()
    (actions, _), (log_densities, _) = oracle.squash(mean, log_std, noise)
    return actions, log_densities


def layers_of(critic: CriticEnsemble) -> list[Layers]:
    """Weights and biases of each of the critics, copied."""
    return [
        [
            (layer.weight.detach().double().numpy().copy(), layer.bias.detach().double().numpy().copy())
            for layer in one.modules()
            if isinstance(layer, nn.Linear)
        ]
        for one in critic.critics
    ]


def critic_values(critics: list[Layers], scored: Array) -> Array:
    """(..., O + A) -> (C, ...)."""
    return np.stack([oracle.critic_values(layers, scored)[0] for layers in critics])


def pairs(observations: Array, actions: Array) -> Array:
    """What a critic is fed: (B, O), (B, A) -> (B, O + A); or (B, O), (B, M, A) -> (B, M, O + A)."""
    if actions.ndim == 3:
        observations = np.broadcast_to(observations[:, None], (*actions.shape[:2], observations.shape[1]))
    return np.concatenate([observations, actions], axis=-1)
