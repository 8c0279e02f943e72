"""Fitted Q evaluation: the value of a fixed policy, by regression on logged transitions.

Le, Voloshin and Yue 2019 (Batch Policy Learning under Constraints, arXiv 1903.08738), with a network as the regressor.
Paine et al. 2020 (arXiv 2007.09055) rank policies of offline methods by its value of initial states. d3rlpy has it too
(d3rlpy/ope/fqe.py): one update of ours from the same weights on the same batch is one of theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch

from cqlbench.diagnostics import horizon
from cqlbench.losses import td_loss, td_target
from cqlbench.networks.adam import Adam
from cqlbench.networks.critic import CriticEnsemble
from cqlbench.seeding import seed_for
from cqlbench.suites import FQE_UPDATES
from cqlbench.training import Replay

# Normalised observations (B, O) -> actions (B, A) in [-1, 1]; a sampled policy draws anew at each call.
Policy = Callable[[np.ndarray], np.ndarray]


class Settings(NamedTuple):
    """How long and with what the regression goes on."""

    updates: int = FQE_UPDATES
    batch_size: int = 256
    learning_rate: float = 1e-3
    width: int = 256
    depth: int = 2


def copy_every(updates: int, discount: float) -> int:
    """Updates between two copies of the critic into its target.

    Each copy lets the value look one step farther ahead, so there are as many as steps until the rest of a return is
    below a hundredth (`cqlbench.diagnostics.horizon`): 459 for 0.99. The paper solves each regression to its end;
    d3rlpy copies after every 100 updates whatever their number.
    """
    return max(1, updates // horizon(discount))


def fit(policy: Policy, replay: Replay, discount: float, seed: int, settings: Settings) -> CriticEnsemble:
    """The critic of `policy` under the replay's rewards: Q(s, a) regressed to r + discount * (1 - d) * Q'(s', pi(s')).

    Q' is a copy of Q taken after every `copy_every` updates. One critic, since nothing is maximised over that a smaller
    one of two would hold back. A function of (dataset, policy, seed, settings).
    """
    observation_size, action_size, *_ = replay.widths
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for("fqe weights", seed))
        critic = CriticEnsemble(observation_size, action_size, settings.width, settings.depth, fused=True, count=1)
    return regress(critic, policy, replay, discount, seed, settings)


def regress(
    critic: CriticEnsemble, policy: Policy, replay: Replay, discount: float, seed: int, settings: Settings
) -> CriticEnsemble:
    """`fit` from the weights of `critic`, which it changes and returns."""
    target = deepcopy(critic).requires_grad_(False)
    optimiser = Adam(critic.parameters(), settings.learning_rate)
    every = copy_every(settings.updates, discount)
    batches = replay.batches(seed_for("fqe", seed), settings.batch_size)
    for update, batch in enumerate(islice(batches, settings.updates), start=1):
        with torch.no_grad():
            next_actions = torch.as_tensor(policy(batch.next_observations.numpy()), dtype=torch.float32)
            next_values = target(batch.next_observations, next_actions).squeeze(0)
            targets = td_target(batch.rewards, batch.terminals, next_values, discount)
        loss = td_loss(critic(batch.observations, batch.actions), targets).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if update % every == 0:
            target.load_state_dict(critic.state_dict())
    return critic
