"""Conservative Q-Learning: SAC plus one term in the critic's loss."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from cqlbench.algorithms.configs import CQLConfig
from cqlbench.algorithms.sac import SAC, Forward
from cqlbench.losses import (
    conservative_gap,
    lagrange_loss,
    lagrange_multiplier,
    robust_average,
    soft_maximum,
    softmax_average,
)
from cqlbench.networks.adam import Adam
from cqlbench.networks.noise import Noise
from cqlbench.seeding import seed_for
from cqlbench.tasks import Batch, TaskSpec


class CQL(SAC):
    """Every variant of Kumar et al. 2020 that a network can learn; `CQLConfig` says which, with its equation."""

    Config = CQLConfig

    def __init__(self, spec: TaskSpec, config: CQLConfig, seed: int, device: torch.device) -> None:
        super().__init__(spec, config, seed, device)
        self.config: CQLConfig = config
        # Its own generator: with cql_alpha 0 all of SAC's draws stay as they are, and the run is SAC's, bit for bit.
        self.penalty_noise = Noise(torch.Generator(device).manual_seed(seed_for("penalty", seed)))
        # Of its own too: the drawn backward meets the same actions as the exact one.
        self.draws = Noise(torch.Generator(device).manual_seed(seed_for("drawn backward", seed)))
        self.log_multiplier = nn.Parameter(torch.tensor(math.log(config.initial_lagrange_multiplier), device=device))
        self.lagrange_optimiser = Adam([self.log_multiplier], config.lagrange_learning_rate)

    def critic_loss(self, forward: Forward) -> tuple[Tensor, dict[str, Tensor | float]]:
        """SAC's loss plus cql_alpha times the gap: equations 1 to 4, by the config.

        With a Lagrange multiplier the penalty is that of appendix F, and the multiplier takes its own step here.
        """
        loss, metrics = super().critic_loss(forward)
        gap = conservative_gap(self.pushed_down(forward), forward.data_values if self.config.data_term else None)
        metrics["conservative_gap"] = gap.detach().mean()
        if self.config.lagrange_threshold is None:
            return loss + self.config.cql_alpha * gap.sum(), metrics
        penalty, metrics["lagrange_multiplier"] = self._lagrange_penalty(gap, self.config.lagrange_threshold)
        return loss + penalty, metrics

    def pushed_down(self, forward: Forward) -> Tensor:
        """(C, B): what the penalty lowers at each state, by the config's `variant`."""
        actions, log_densities = self.sampled_actions(forward)
        densities = log_densities if self.config.importance_weights and self.config.variant == "H" else None
        if self.config.backward_actions is not None:
            return self._through_drawn(forward.batch, actions, densities, self.config.backward_actions)
        return self._summarised(self.sampled_values(forward.batch, actions), densities)

    def _summarised(self, values: Tensor, densities: Tensor | None) -> Tensor:
        """Q of the sampled actions (C, B, M) and their log-densities (B, M) -> (C, B)."""
        match self.config.variant:
            case "H":
                return soft_maximum(values, densities, self.config.penalty_temperature)
            case "rho":
                return softmax_average(values, self.config.penalty_temperature)
            case "variance":
                assert self.config.variance_radius is not None  # the config has seen to it
                return robust_average(values, self.config.variance_radius)
            case _:
                return values.mean(2)

    def _through_drawn(self, batch: Batch, actions: Tensor, densities: Tensor | None, count: int) -> Tensor:
        """The same value, with an unbiased estimate of its gradient through `count` actions only.

        The gradient of T log sum exp (Q / T - log density) is the average of Q's gradient under the softmax of what
        is exponentiated, as that of CQL(rho) is under softmax Q / T; so actions are drawn from these weights, for each
        critic its own, and averaged over.
        """
        with torch.no_grad():
            values = self.critic(batch.observations, actions)
            exponents = values / self.config.penalty_temperature
            weights = torch.softmax(exponents if densities is None else exponents - densities, 2)
            drawn = self.draws.choices(weights, count)  # (C, B, count)
            each_its_own = drawn[..., None].expand(-1, -1, -1, actions.shape[2])
            chosen = actions.expand(len(values), -1, -1, -1).gather(2, each_its_own)
        through = self.critic(batch.observations, chosen).mean(2)
        return self._summarised(values, densities) + (through - through.detach())

    def sampled_values(self, batch: Batch, actions: Tensor) -> Tensor:
        """Q of each critic at the sampled actions (B, M, A) -> (C, B, M)."""
        if self.config.next_actions != "scored_at_next_s":
            return self.critic(batch.observations, actions)
        count = self.config.num_action_samples
        here, there = actions.split([actions.shape[1] - count, count], 1)
        values = [self.critic(batch.observations, here), self.critic(batch.next_observations, there)]
        return torch.cat(values, 2)

    @torch.no_grad()
    def sampled_actions(self, forward: Forward) -> tuple[Tensor, Tensor]:
        """Actions to push down (B, M, A) and their log-densities (B, M), N from each of the config's sources.

        The paper samples from the uniform density and the policy at s (appendix F); the authors' code
        (aviralkumar2907/CQL, d4rl/rlkit/torch/sac/cql.py) adds the policy at s', scored at s, and so does everyone.
        """
        count = self.config.num_action_samples
        drawn = []
        for source in self.config.sources:
            if source == "uniform":
                size, action_size = forward.batch.actions.shape
                actions = self.penalty_noise.uniform((size, count, action_size), forward.batch.actions)
                drawn.append((actions, torch.full_like(actions[..., 0], -action_size * math.log(2))))
            else:
                policy = forward.here if source == "policy" else forward.there
                drawn.append(policy.sample_many(count, self.penalty_noise))
        actions, log_densities = (torch.cat(parts, 1) for parts in zip(*drawn, strict=True))
        return actions, log_densities

    def _lagrange_penalty(self, gap: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
        """The penalty () under the multiplier, which takes its own step, and the multiplier it used."""
        weight = self.config.cql_alpha
        weighted = self.config.threshold_of == "weighted_gap"
        excess = weight * gap - threshold if weighted else weight * (gap - threshold)
        before = lagrange_multiplier(self.log_multiplier).detach()
        self.lagrange_optimiser.zero_grad()
        lagrange_loss(self.log_multiplier, excess).backward()
        self.lagrange_optimiser.step()
        after = lagrange_multiplier(self.log_multiplier).detach()
        multiplier = after if self.config.multipliers_first == "all" else before
        return multiplier * excess.sum(), multiplier

    def _multipliers(self) -> dict[str, nn.Parameter]:
        fixed = self.config.lagrange_threshold is None
        return super()._multipliers() | ({} if fixed else {"log_multiplier": self.log_multiplier})

    def _optimisers(self) -> dict[str, Adam]:
        return super()._optimisers() | {"lagrange_optimiser": self.lagrange_optimiser}

    def _noises(self) -> dict[str, Noise]:
        return super()._noises() | {"penalty_noise": self.penalty_noise, "draws": self.draws}
