"""Every defect that this project has seen in a public codebase, and some that a hand slips into, planted in our code.

`seen` names the codebase. A name that is also one of the lab's (defects.py) is the same defect.
"""

from __future__ import annotations

from cqlbench.conformance.planted.mutation import Mutant

SLIP = "plausible slip"

# Inside the critics' loss as the lab asks it, and known to it by this name.
NAMED = (
    # The batch
    Mutant(
        "shifted observations",
        "algorithms.cql",
        "loss, metrics = super()",
        "batch = forward.batch\n"
        "        forward = self.forward(batch._replace(observations=batch.observations.roll(1, 0)))\n"
        "        loss, metrics = super()",
        "d3rlpy's get_minari",
    ),
    # The TD error
    Mutant("halved TD error", "losses", ".square().mean(1)", ".square().mean(1) / 2", "the paper's own convention"),
    Mutant(
        "TD error broadcast to (B, B)",
        "losses",
        "return (values - targets).square().mean(1)",
        "return (values[:, None] - targets[:, None]).square().mean((1, 2))",
        SLIP,
    ),
    Mutant("terminals ignored", "losses", "discount * (1 - terminals) *", "discount *", SLIP),
    Mutant("terminals inverted", "losses", "(1 - terminals)", "terminals", SLIP),
    Mutant("discount left out", "losses", "discount * (1 - terminals) *", "(1 - terminals) *", SLIP),
    Mutant("larger target critic", "algorithms.sac", "actions).amin(0).max(1)", "actions).amax(0).max(1)", SLIP),
    Mutant("mean of the target critics", "algorithms.sac", "actions).amin(0).max(1)", "actions).mean(0).max(1)", SLIP),
    Mutant(
        "each critic its own target",
        "algorithms.sac",
        "loss = td_loss(values, self.td_targets(forward))",
        "batch = forward.batch\n"
        "        actions = forward.there.sample_many(1, self.noise)[0].detach()\n"
        "        targets = [\n"
        "            td_target(batch.rewards, batch.terminals, next_values, self.config.discount)\n"
        "            for next_values in self.target_critic(batch.next_observations, actions)[..., 0]\n"
        "        ]\n"
        "        loss = torch.cat([td_loss(values[c : c + 1], targets[c]) for c in range(2)])",
        SLIP,
    ),
    Mutant("TD error of one critic only", "algorithms.sac", "return loss.sum(), {", "return loss[0], {", SLIP),
    Mutant(
        "Huber TD loss",
        "losses",
        "return (values - targets).square().mean(1)",
        "return torch.nn.functional.smooth_l1_loss(values, targets.expand_as(values), reduction='none').mean(1)",
        "torchrl's default",
    ),
    # The sampled actions
    Mutant(
        "constant random actions",
        "algorithms.cql",
        "self.penalty_noise.uniform((size, count, action_size), forward.batch.actions)",
        "forward.batch.actions.new_ones((size, count, action_size))",
        "tianshou",
    ),
    Mutant(
        "next actions scored at s'",
        "algorithms.cql",
        'self.config.next_actions != "scored_at_next_s"',
        'self.config.next_actions == "unused"',
        "torchrl",
    ),
    Mutant(
        "all sampled actions scored at s'",
        "algorithms.cql",
        "return self.critic(batch.observations, actions)\n",
        "return self.critic(batch.next_observations, actions)\n",
        SLIP,
    ),
    Mutant("policy actions left out", "algorithms.cql", "in self.config.sources:", 'in ("uniform",):', SLIP),
    Mutant("uniform actions left out", "algorithms.cql", "in self.config.sources:", 'in ("policy", "next"):', SLIP),
    # Their densities
    Mutant(
        "uniform density log sqrt(d)",
        "algorithms.cql",
        "-action_size * math.log(2)",
        "math.log(math.sqrt(action_size))",
        "RLlib",
    ),
    Mutant("uniform density of one dimension", "algorithms.cql", "-action_size * math.log(2)", "-math.log(2)", SLIP),
    Mutant(
        "uniform density with the wrong sign",
        "algorithms.cql",
        "-action_size * math.log(2)",
        "action_size * math.log(2)",
        SLIP,
    ),
    Mutant(
        "uniform density left out",
        "algorithms.cql",
        "torch.full_like(actions[..., 0], -action_size * math.log(2))",
        "torch.zeros_like(actions[..., 0])",
        SLIP,
    ),
    Mutant(
        "importance weights left out",
        "algorithms.cql",
        'densities = log_densities if self.config.importance_weights and self.config.variant == "H" else None',
        "densities = None",
        "unifloral",
    ),
    Mutant(
        "policy densities left out",
        "algorithms.cql",
        "drawn.append(policy.sample_many(count, self.penalty_noise))",
        "actions, densities = policy.sample_many(count, self.penalty_noise)\n"
        "                drawn.append((actions, torch.zeros_like(densities)))",
        SLIP,
    ),
    Mutant(
        "log-densities added",
        "losses",
        "exponents = exponents - log_densities",
        "exponents = exponents + log_densities",
        SLIP,
    ),
    # The soft maximum
    Mutant(
        "logsumexp over 3 values",
        "losses",
        "torch.logsumexp(exponents, dim=2)",
        "torch.logsumexp(exponents.unflatten(2, (3, -1)), dim=2).mean(2)",
        "OfflineRL-Kit, torchrl, tianshou",
    ),
    Mutant(
        "critics mixed in the logsumexp",
        "losses",
        "torch.logsumexp(exponents, dim=2)",
        "torch.logsumexp(exponents, dim=(0, 2)).expand(2, -1)",
        "noted of unifloral, not in it at 223f98d",
    ),
    Mutant(
        "smaller critic pushed down",
        "losses",
        "exponents = sampled_values / temperature",
        "exponents = sampled_values.amin(0).expand_as(sampled_values) / temperature",
        SLIP,
    ),
    Mutant(
        "data's action in the unweighted logsumexp",
        "algorithms.cql",
        "return self._summarised(self.sampled_values(forward.batch, actions), densities)",
        "values = torch.cat([self.sampled_values(forward.batch, actions), forward.data_values[..., None]], 2)\n"
        "        return self._summarised(values, None)",
        "unifloral; an option of the authors, young-geng, CORL",
    ),
    Mutant(
        "data's action in the logsumexp",
        "algorithms.cql",
        "return self._summarised(self.sampled_values(forward.batch, actions), densities)",
        "values = torch.cat([self.sampled_values(forward.batch, actions), forward.data_values[..., None]], 2)\n"
        "        return self._summarised(values, torch.nn.functional.pad(log_densities, (0, 1)))",
        SLIP,
    ),
    Mutant("maximum instead of logsumexp", "losses", "torch.logsumexp(exponents, dim=2)", "exponents.amax(2)", SLIP),
    Mutant("mean instead of logsumexp", "losses", "torch.logsumexp(exponents, dim=2)", "exponents.mean(2)", SLIP),
    Mutant(
        "logsumexp over the batch",
        "losses",
        "torch.logsumexp(exponents, dim=2)",
        "torch.logsumexp(exponents, dim=1).mean(1, keepdim=True).expand(exponents.shape[:2])",
        SLIP,
    ),
    # The data term
    Mutant("data term left out", "algorithms.cql", "if self.config.data_term else None", "if False else None", SLIP),
    Mutant(
        "data term with the wrong sign",
        "losses",
        "(pushed_down - data_values)",
        "(pushed_down + data_values)",
        SLIP,
    ),
    Mutant(
        "data term of policy actions",
        "algorithms.cql",
        "gap = conservative_gap(self.pushed_down(forward), forward.data_values if",
        "drawn = self.critic(forward.batch.observations, forward.here.sample(self.penalty_noise)[0].detach())\n"
        "        gap = conservative_gap(self.pushed_down(forward), drawn if",
        SLIP,
    ),
    Mutant(
        "data term of the first critic only",
        "losses",
        "(pushed_down - data_values)",
        "(pushed_down - data_values[:1])",
        SLIP,
    ),
    # The weight
    Mutant("weight left out", "algorithms.cql", "loss + self.config.cql_alpha * gap.sum()", "loss + gap.sum()", SLIP),
    Mutant(
        "weight on the logsumexp only",
        "algorithms.cql",
        "return loss + self.config.cql_alpha * gap.sum(), metrics",
        "pushed_up = forward.data_values.mean(1) if self.config.data_term else 0\n"
        "            return loss + (self.config.cql_alpha * (gap + pushed_up) - pushed_up).sum(), metrics",
        SLIP,
    ),
    Mutant(
        "penalty left out",
        "algorithms.cql",
        "return loss + self.config.cql_alpha * gap.sum(), metrics",
        "return loss, metrics",
        SLIP,
    ),
    Mutant(
        "penalty with the wrong sign",
        "algorithms.cql",
        "loss + self.config.cql_alpha",
        "loss - self.config.cql_alpha",
        SLIP,
    ),
    Mutant(
        "penalty on one critic only",
        "algorithms.cql",
        "self.config.cql_alpha * gap.sum()",
        "self.config.cql_alpha * gap[0]",
        SLIP,
    ),
    # The Lagrange multiplier
    Mutant(
        "Lagrange loss with the wrong sign",
        "losses",
        "return -(lagrange_multiplier(log_multiplier)",
        "return (lagrange_multiplier(log_multiplier)",
        "noted of torchrl, not in it at 010c84f",
        {"lagrange_threshold": 2.0},
    ),
    Mutant(
        "threshold added",
        "algorithms.cql",
        "weight * (gap - threshold)",
        "weight * (gap + threshold)",
        SLIP,
        {"lagrange_threshold": 2.0},
    ),
    Mutant(
        "threshold left out",
        "algorithms.cql",
        "weight * (gap - threshold)",
        "weight * gap",
        SLIP,
        {"lagrange_threshold": 2.0},
    ),
    # The gradient, under a right value
    Mutant("data term detached", "losses", "(pushed_down - data_values)", "(pushed_down - data_values.detach())", SLIP),
    Mutant(
        "sampled values detached",
        "algorithms.cql",
        "return self.critic(batch.observations, actions)\n",
        "return self.critic(batch.observations, actions).detach()\n",
        SLIP,
    ),
    Mutant(
        "softmax weights not detached",
        "losses",
        "torch.softmax(sampled_values.detach() / temperature",
        "torch.softmax(sampled_values / temperature",
        SLIP,
        {"variant": "rho"},
    ),
    Mutant(
        "densities divided by the temperature",
        "losses",
        "exponents = exponents - log_densities",
        "exponents = exponents - log_densities / temperature",
        "the authors, young-geng, CORL, where the temperature is not 1",
        {"penalty_temperature": 0.5},
    ),
)

# Inside it too, but nothing that the lab has a name for.
UNNAMED = (
    Mutant(
        "variance over N - 1",
        "losses",
        "unbiased=False",
        "unbiased=True",
        SLIP,
        {"variant": "variance", "sampling_distribution": "mixture", "variance_radius": 0.3},
    ),
)

# What the lab cannot ask: the policy, the targets' next values, multipliers, steps and starts.
OUTSIDE = (
    Mutant(
        "seed never applied",
        "algorithms.sac",
        'torch.manual_seed(seed_for("weights", seed))',
        "pass",
        "the authors",
    ),
    Mutant(
        "target critics start apart",
        "algorithms.sac",
        "if independent else deepcopy(self.critic)",
        "",
        "the authors",
    ),
    Mutant(
        "second critic ignores the depth",
        "networks.critic",
        "width, depth, layer_norm, init) for _ in range(count)",
        "width, 2 if second else depth, layer_norm, init) for second in range(count)",
        "CORL",
    ),
    Mutant(
        "density ignores its action",
        "networks.policy",
        "return squashed_log_density(self.mean, self.log_std, actions)",
        "return squashed_log_density(self.mean, self.log_std, torch.tanh(self.mean))",
        "CORL",
    ),
    Mutant(
        "warm start without effect",
        "algorithms.sac",
        "cloning = self.updates <= self.config.bc_warm_start",
        "cloning = False",
        "CORL",
    ),
    Mutant(
        "warm start that never ends",
        "algorithms.sac",
        "cloning = self.updates <= self.config.bc_warm_start",
        "cloning = self.config.bc_warm_start > 0",
        SLIP,
    ),
    Mutant(
        "larger critic for the policy",
        "algorithms.sac",
        "values = self.critic(batch.observations, actions).amin(0)",
        "values = self.critic(batch.observations, actions).amax(0)",
        SLIP,
    ),
    Mutant(
        "entropy with the wrong sign in the policy's loss",
        "losses",
        "(temperature * log_densities - values)",
        "(-temperature * log_densities - values)",
        SLIP,
    ),
    Mutant(
        "policy's values without gradient",
        "losses",
        "log_densities - values)",
        "log_densities - values.detach())",
        SLIP,
    ),
    Mutant(
        "policy's loss trains the critics",
        "algorithms.sac",
        "with self.critic.frozen():",
        "if True:",
        SLIP,
        {"joint_update": True},
    ),
    Mutant("tanh correction left out", "networks.policy", "(gaussian - correction)", "(gaussian)", SLIP),
    Mutant(
        "tanh correction with the wrong sign",
        "networks.policy",
        "(gaussian - correction)",
        "(gaussian + correction)",
        SLIP,
    ),
    Mutant(
        "log standard deviation left out of the density",
        "networks.policy",
        "-0.5 * noise.square() - log_std",
        "-0.5 * noise.square()",
        SLIP,
    ),
    Mutant("temperature loss with the wrong sign", "losses", "return -(factor *", "return (factor *", SLIP),
    Mutant(
        "target entropy with the wrong sign",
        "algorithms.sac",
        "self.target_entropy = -float(spec.action_size)",
        "self.target_entropy = float(spec.action_size)",
        SLIP,
    ),
    Mutant(
        "entropy bonus with the wrong sign",
        "algorithms.sac",
        "bonus = -self.log_temperature.exp() * log_densities.gather",
        "bonus = self.log_temperature.exp() * log_densities.gather",
        SLIP,
        {"entropy_in_target": True},
    ),
    Mutant(
        "critics in place of target critics",
        "algorithms.sac",
        "self.target_critic(batch.next_observations, actions)",
        "self.critic(batch.next_observations, actions)",
        SLIP,
    ),
    Mutant(
        "target critics copied whole",
        "algorithms.sac",
        "_lerp_(self.target_critic.weights, self.critic.weights, self.config.polyak)",
        "_copy_(self.target_critic.weights, self.critic.weights)",
        SLIP,
    ),
    Mutant(
        "multiplier that never moves",
        "algorithms.cql",
        "        self.lagrange_optimiser.step()\n",
        "",
        SLIP,
        {"lagrange_threshold": 2.0},
    ),
)

MUTANTS = NAMED + UNNAMED + OUTSIDE
