"""Fitted Q evaluation beside d3rlpy's, update by update, and beside values known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cqlbench.algorithms.configs import BCConfig
from cqlbench.algorithms.d3rlpy import D3rlpySAC, d3rlpy
from cqlbench.algorithms.registry import find_algorithm
from cqlbench.datasets import OfflineDataset, load, make_dataset
from cqlbench.environments.controllers import LinearPolicy, medium_policy, optimal_policy
from cqlbench.environments.linear_quadratic import benchmark_problem
from cqlbench.estimates.fqe import Settings, copy_every, fit, regress
from cqlbench.networks.critic import CriticEnsemble
from cqlbench.normalisation import Normaliser
from cqlbench.seeding import seed_for
from cqlbench.suites import FQE_UPDATES
from cqlbench.tasks import TaskSpec
from cqlbench.theory.lqr import state_value
from cqlbench.training import Replay

# As on Hopper, but for a fifth of the updates: its discount of 0.9 looks a tenth as far ahead.
SHORT = Settings(updates=2_000, width=64)


def replay_of(dataset: OfflineDataset) -> tuple[Normaliser, Replay]:
    normaliser = Normaliser.for_dataset(dataset, BCConfig())
    return normaliser, Replay(dataset, normaliser, torch.device("cpu"))


@pytest.fixture(scope="module")
def lqr(tmp_path_factory: pytest.TempPathFactory) -> OfflineDataset:
    root = tmp_path_factory.mktemp("lqr")
    make_dataset("lqr1/medium-v0", root, transitions=20_000)
    return load("lqr1/medium-v0", root)


def test_the_target_is_copied_as_often_as_a_return_has_steps():
    assert copy_every(FQE_UPDATES, 0.99) == 21 and FQE_UPDATES // 21 >= 459
    assert copy_every(2_000, 0.9) == 2_000 // 44
    assert copy_every(10, 0.99) == 1
    assert Settings().updates == FQE_UPDATES


@pytest.mark.parametrize("name", ["behaviour", "optimal"])
def test_the_value_of_a_linear_controller_is_the_one_in_closed_form(lqr, name):
    problem = benchmark_problem(1)
    controller = {"behaviour": medium_policy(problem), "optimal": optimal_policy(problem)}[name]
    value = estimated(lqr, controller)
    truth = state_value(problem, controller)(lqr.observations[lqr.episode_starts]).mean()
    assert abs(value - truth) < 0.1 * abs(truth), (value, truth)


def estimated(lqr: OfflineDataset, controller: LinearPolicy) -> float:
    normaliser, replay = replay_of(lqr)
    rng = np.random.default_rng(0)

    def policy(observations: np.ndarray) -> np.ndarray:
        states = observations * normaliser.scale + normaliser.mean
        noise = controller.std * rng.standard_normal((len(states), 1))
        return (noise - states @ controller.gain.T).astype(np.float32)

    critic = fit(policy, replay, benchmark_problem(1).discount, 0, SHORT)
    starts = normaliser.observations(lqr.observations[lqr.episode_starts])
    with torch.no_grad():
        return float(critic(torch.from_numpy(starts), torch.from_numpy(policy(starts))).mean())


def test_where_every_step_ends_the_episode_a_value_is_a_reward(pendulum):
    dataset = pendulum.draw(np.arange(200))
    dataset.terminals[:] = 1
    dataset.rewards[:] = 3.0
    _, replay = replay_of(dataset)
    critic = fit(lambda states: np.zeros((len(states), 1)), replay, 0.99, 0, Settings(600, width=16))
    batch = replay.tensors
    assert critic(batch.observations, batch.actions).mean().item() == pytest.approx(3.0, abs=0.1)


def test_the_same_seed_gives_the_same_critic_and_no_other_generator_moves(pendulum):
    _, replay = replay_of(pendulum)
    short = Settings(20, width=8)
    before = torch.random.get_rng_state()
    first, again, other = (
        fit(lambda states: np.zeros((len(states), 1)), replay, 0.99, seed, short).weights for seed in (3, 3, 4)
    )
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])


def test_each_update_is_that_of_d3rlpy(pendulum):
    """From the same weights on the same batches, target copies included."""
    settings, discount = Settings(120, 32, 1e-3, 16, 2), 0.9
    normaliser, replay = replay_of(pendulum)
    config = find_algorithm("d3rlpy-sac").config.resolve({"width": 16})
    sac = D3rlpySAC(TaskSpec(3, 1), config, 0, torch.device("cpu"))

    class Evaluated:
        impl = sac.impl

    every = copy_every(settings.updates, discount)
    assert 1 < every < settings.updates
    encoder = d3rlpy.models.VectorEncoderFactory(hidden_units=[settings.width] * settings.depth)
    theirs = d3rlpy.ope.FQE(
        algo=Evaluated(),
        config=d3rlpy.ope.FQEConfig(
            learning_rate=settings.learning_rate,
            encoder_factory=encoder,
            gamma=discount,
            target_update_interval=every,
        ),
    )
    theirs.create_impl((3,), 1)
    critic = CriticEnsemble(3, 1, settings.width, settings.depth, count=1)
    with torch.no_grad():
        for own, other in zip(critic.weights, theirs.impl.modules.q_funcs.parameters(), strict=True):
            own.copy_(other)
    batches = replay.batches(seed_for("fqe", 5), settings.batch_size)
    for update in range(1, settings.updates + 1):
        batch = next(batches)
        theirs.impl.inner_update(mini_batch(batch), update)
    regress(critic, sac.act, replay, discount, 5, settings)
    for own, other in zip(critic.weights, theirs.impl.modules.q_funcs.parameters(), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-5)


def mini_batch(batch):
    rewards = batch.rewards[:, None]
    return d3rlpy.torch_utility.TorchMiniBatch(
        observations=batch.observations,
        actions=batch.actions,
        rewards=rewards,
        next_observations=batch.next_observations,
        next_actions=batch.actions,
        returns_to_go=rewards,
        terminals=batch.terminals[:, None],
        intervals=torch.ones_like(rewards),
        device="cpu",
    )
