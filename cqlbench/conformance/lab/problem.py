"""What a critic's loss is asked: small problems with everything given, and the signature that answers them.

A critic's loss is a function

    my_critic_loss(q, batch, sampled_actions, log_densities, alpha) -> {"td": ..., "conservative": ...}

of torch tensors or NumPy arrays, all float64:

- `q(observations, actions)`: both critics at once, (B, O), (B, A) -> (2, B) or (B, O), (B, M, A) -> (2, B, M), where
  the observations may also come as (B, M, O); any B, so (B * M, O), (B * M, A) is as good; any float type;
- `batch`: `observations` (B, O), `actions` (B, A), `rewards` (B,), `next_observations` (B, O), `terminals` (B,) of
  zeros and ones, `next_values` (2, B), each target critic at the policy's action in s', and `discount`;
- `sampled_actions` (B, 3N, A): N uniform ones, then N of the policy at s, then N of the policy at s';
- `log_densities` (B, 3N): of each under the density it was drawn from;
- `alpha`: the weight of the penalty beside an unhalved squared TD error.

The two terms add up to the loss that is minimised, alpha included; each is a number, or one per critic. A function
may also return that loss alone. One that takes a sixth argument, `threshold`, is Lagrangian: `alpha` is then the
multiplier, the conservative term is alpha * (gap - threshold), and the answer may also hold `lagrange`, the
multiplier's own loss: -alpha * (gap - threshold), a mean over the critics. A positive multiple of that, or log alpha in
place of alpha, moves the multiplier the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from cqlbench.conformance import oracle
from cqlbench.conformance.oracle import Array, Layers
from cqlbench.seeding import generator_for

Answer = Any  # a number, one per critic, or a mapping of terms
CriticLoss = Callable[..., Answer]


@dataclass(frozen=True)
class Problem:
    """Everything a critic's loss depends on, in float64. Shapes as in this file's docstring."""

    observations: Array
    actions: Array
    rewards: Array
    next_observations: Array
    terminals: Array
    next_values: Array
    discount: float
    sampled_actions: Array
    log_densities: Array
    alpha: float
    threshold: float
    critics: list[Layers]

    @property
    def num_action_samples(self) -> int:
        """N, actions per source."""
        return self.sampled_actions.shape[1] // 3

    def q(self, observations: Array, actions: Array) -> Array:
        """Both critics in NumPy: (B, O), (B, A) -> (2, B); or (B, O), (B, M, A) -> (2, B, M)."""
        if actions.ndim == 3 and observations.ndim == 2:
            observations = np.broadcast_to(observations[:, None], (*actions.shape[:2], observations.shape[1]))
        pairs = np.concatenate([observations, actions], axis=-1)
        return np.stack([oracle.critic_values(layers, pairs)[0] for layers in self.critics])

    def ask(self, critic_loss: CriticLoss, **extra: Any) -> Answer:
        """The function's answer to this problem in NumPy arrays; `extra` is the threshold where it takes one."""
        batch = SimpleNamespace(**{name: getattr(self, name).copy() for name in BATCH}, discount=self.discount)
        return critic_loss(self.q, batch, self.sampled_actions.copy(), self.log_densities.copy(), self.alpha, **extra)

    def ask_torch(self, critic_loss: CriticLoss, **extra: Any) -> tuple[Answer, list[torch.Tensor]]:
        """The same in torch tensors, and the critics' parameters, through which the answer can be differentiated."""
        parameters = [[[torch.tensor(part, requires_grad=True) for part in layer] for layer in c] for c in self.critics]

        def q(observations: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
            if actions.dim() == 3 and observations.dim() == 2:
                observations = observations[:, None].expand(-1, actions.shape[1], -1)
            pairs = torch.cat([observations, actions], -1).double()
            values = []
            for *hidden, (weight, bias) in parameters:
                inputs = pairs
                for hidden_weight, hidden_bias in hidden:
                    inputs = torch.relu(inputs @ hidden_weight.T + hidden_bias)
                values.append((inputs @ weight.T + bias)[..., 0])
            return torch.stack(values)

        batch = SimpleNamespace(**{name: torch.tensor(getattr(self, name)) for name in BATCH}, discount=self.discount)
        actions, log_densities = torch.tensor(self.sampled_actions), torch.tensor(self.log_densities)
        answer = critic_loss(q, batch, actions, log_densities, self.alpha, **extra)
        return answer, [part for critic in parameters for layer in critic for part in layer]


BATCH = ("observations", "actions", "rewards", "next_observations", "terminals", "next_values")


def make_problem(name: str, batch: int, count: int, observed: int = 5, acted: int = 3, scale: float = 1.0) -> Problem:
    """A problem of `batch` states, `count` actions per source, and critics of about `scale`; `name` seeds it."""
    generator = generator_for("conformance", name)
    normal = generator.standard_normal
    sizes = [observed + acted, 16, 16, 1]
    observations, next_observations = normal((batch, observed)), normal((batch, observed))
    # A policy whose mean and spread depend on the state, so that the sources differ in density.
    weights = normal((2, observed, acted)) / np.sqrt(observed)
    sampled, densities = (
        [generator.uniform(-1, 1, (batch, count, acted))],
        [np.full((batch, count), -acted * np.log(2))],
    )
    for states in (observations, next_observations):
        mean, log_std = (states @ weights[0])[:, None], (0.3 * states @ weights[1] - 0.5)[:, None]
        (actions, _), (log_densities, _) = oracle.squash(mean, log_std, normal((batch, count, acted)))
        sampled.append(actions)
        densities.append(log_densities)
    terminals = np.zeros(batch)
    terminals[:: max(2, batch // 2)] = 1.0
    return Problem(
        observations=observations,
        actions=np.tanh(normal((batch, acted))),
        rewards=normal(batch),
        next_observations=next_observations,
        terminals=terminals,
        next_values=scale * normal((2, batch)),
        discount=0.9,
        sampled_actions=np.concatenate(sampled, axis=1),
        log_densities=np.concatenate(densities, axis=1),
        alpha=3.0,
        threshold=1.7,
        critics=[
            [
                (scale ** (1 / 3) * normal((outputs, inputs)) * np.sqrt(2 / inputs), 0.1 * normal(outputs))
                for inputs, outputs in zip(sizes, sizes[1:], strict=False)
            ]
            for _ in range(2)
        ],
    )
