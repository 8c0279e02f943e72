"""Conservative Q-Learning: SAC plus one term in the critic's loss."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from cqlbench.algorithms.configs import CQLConfig
from cqlbench.algorithms.sac import SAC
from cqlbench.losses import conservative_gap
from cqlbench.seeding import seed_for
from cqlbench.tasks import Batch, TaskSpec


class CQL(SAC):
    """CQL(H) of Kumar et al. 2020, equation 4, with a fixed `cql_alpha`."""

    Config = CQLConfig

    def __init__(self, spec: TaskSpec, config: CQLConfig, seed: int, device: torch.device) -> None:
        super().__init__(spec, config, seed, device)
        self.config: CQLConfig = config
        # Its own generator: with cql_alpha 0 all of SAC's draws stay as they are, and the run is SAC's, bit for bit.
        self.penalty_noise = torch.Generator(device).manual_seed(seed_for("penalty", seed))

    def critic_loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor | float]]:
        loss, metrics = super().critic_loss(batch)
        actions, log_densities = self.sampled_actions(batch)
        gap = conservative_gap(
            self.critic(batch.observations, actions),
            log_densities,
            self.critic(batch.observations, batch.actions),
        )
        return loss + self.config.cql_alpha * gap.sum(), metrics | {"conservative_gap": gap.detach().mean()}

    @torch.no_grad()
    def sampled_actions(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Actions (B, 3N, A) to push down and their log-densities (B, 3N): uniform, policy at s, policy at s'.

        The paper samples from the uniform density and the policy at s (appendix F); the authors' code
        (aviralkumar2907/CQL, d4rl/rlkit/torch/sac/cql.py) adds the policy at s', scored at s, and so does everyone.
        """
        count = self.config.num_action_samples
        now, log_now = self.policy.sample_many(batch.observations, count, self.penalty_noise)
        later, log_later = self.policy.sample_many(batch.next_observations, count, self.penalty_noise)
        uniform = 2 * torch.rand(now.shape, generator=self.penalty_noise, device=now.device) - 1
        log_uniform = torch.full_like(log_now, -now.shape[-1] * math.log(2))
        return torch.cat([uniform, now, later], 1), torch.cat([log_uniform, log_now, log_later], 1)
