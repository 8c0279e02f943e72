"""A loaded code's critic loss in the lab's signature: a real CQL object whose parts answer what the problem gives."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from cqlbench.algorithms.configs import CQLConfig
from cqlbench.conformance.lab.problem import CriticLoss
from cqlbench.conformance.planted.mutation import Code
from cqlbench.tasks import Batch, TaskSpec


@dataclass(frozen=True)
class Given:
    """In the place of a policy at a state: hands out the actions it was given (B, N, A), with their log-densities."""

    actions: Tensor
    log_densities: Tensor

    def sample_many(self, count: int, noise: object) -> tuple[Tensor, Tensor]:
        """The first `count` actions (B, count, A) and their log-densities (B, count)."""
        return self.actions[:, :count], self.log_densities[:, :count]

    def sample(self, noise: object) -> tuple[Tensor, Tensor]:
        """The first action (B, A) and its log-density (B,)."""
        return self.actions[:, 0], self.log_densities[:, 0]

    def mean_action(self) -> Tensor:
        """Any action: the target critics' answer is given too."""
        return self.actions[:, 0]


def adapter(code: Code, config: CQLConfig) -> CriticLoss:
    """The critics' loss of the code's CQL under `config`, as problem.py has it; Lagrangian where the config is.

    Weight, threshold, discount and number of actions are the problem's.
    """

    # Loaded at run time, so no type checker knows them.
    sac: Any = code.sac.SAC
    cql: Any = code.cql.CQL

    class Recording(sac):
        """Between SAC and CQL: keeps the TD loss that CQL adds its term to."""

        def critic_loss(self, forward: Any) -> Any:
            self.td_loss, metrics = super().critic_loss(forward)
            return self.td_loss, metrics

    class Asked(cql, Recording):
        pass

    def terms(
        q: Any, batch: Any, sampled_actions: Tensor, log_densities: Tensor, weight: dict[str, Any]
    ) -> dict[str, Tensor]:
        """The two terms, and under a multiplier the slope of its loss, which for an exponential is that loss."""
        count = sampled_actions.shape[1] // 3
        settings = {"width": 1, "depth": 1, "num_action_samples": count, "discount": batch.discount} | weight
        spec = TaskSpec(batch.observations.shape[1], batch.actions.shape[1])
        asked = Asked(spec, dataclasses.replace(config, **settings), 0, torch.device("cpu"))
        uniform, here, there = zip(sampled_actions.split(count, 1), log_densities.split(count, 1), strict=True)
        asked.critic = q
        asked.policy = lambda states: Given(*(there if torch.equal(states, batch.next_observations) else here))
        asked.target_critic = lambda _, actions: (
            batch.next_values if actions.dim() == 2 else batch.next_values[..., None].expand(-1, -1, actions.shape[1])
        )
        asked.penalty_noise = SimpleNamespace(uniform=lambda shape, like: uniform[0])
        # A multiplier that answers and stays.
        log_multiplier = math.log(asked.config.initial_lagrange_multiplier)
        asked.log_multiplier = torch.tensor(log_multiplier, dtype=torch.float64, requires_grad=True)
        asked.lagrange_optimiser = torch.optim.SGD([asked.log_multiplier], 0.0)
        given = (batch.observations, batch.actions, batch.rewards, batch.next_observations, batch.terminals)
        whole, _ = asked.critic_loss(asked.forward(Batch(*given)))
        answer = {"td": asked.td_loss, "conservative": whole - asked.td_loss}
        if asked.log_multiplier.grad is not None:
            answer["lagrange"] = asked.log_multiplier.grad
        return answer

    def fixed(q: Any, batch: Any, sampled_actions: Tensor, log_densities: Tensor, alpha: float) -> dict[str, Tensor]:
        return terms(q, batch, sampled_actions, log_densities, {"cql_alpha": alpha})

    def lagrangian(
        q: Any, batch: Any, sampled_actions: Tensor, log_densities: Tensor, alpha: float, threshold: float
    ) -> dict[str, Tensor]:
        weight = {"cql_alpha": 1.0, "lagrange_threshold": threshold, "initial_lagrange_multiplier": alpha}
        return terms(q, batch, sampled_actions, log_densities, weight)

    return fixed if config.lagrange_threshold is None else lagrangian
