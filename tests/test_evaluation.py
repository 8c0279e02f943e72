"""Rollouts on real simulators, against sums written out by hand."""

import gymnasium
import numpy as np
import pytest
from constant_policy import Constant

from cqlbench import simulation
from cqlbench.algorithms.configs import MethodConfig
from cqlbench.evaluation import evaluate
from cqlbench.normalisation import Normaliser
from cqlbench.seeding import seed_for
from cqlbench.simulation import run_together, start_episodes
from cqlbench.tasks import find_task


def test_episodes_are_what_the_environment_alone_would_give(pendulum):
    normaliser = Normaliser.for_dataset(pendulum, MethodConfig())
    results = evaluate(Constant(1), pendulum.task, normaliser, seed=3, episodes=2)
    for number, result in enumerate(results):
        env = gymnasium.make("Pendulum-v1")
        env.reset(seed=seed_for("evaluation", "pendulum", 3, number) % 2**31)
        total = sum(float(env.step(np.array([0.3 * 2.0], np.float32))[1]) for _ in range(200))
        assert result.return_ == pytest.approx(total, rel=1e-6)
        assert result.length == 200 and not result.terminated


@pytest.mark.parametrize("name", ["hopper", "pendulum"])
def test_environments_used_again_give_what_new_ones_would(name):
    """Whatever was done with them in between; a MuJoCo state holds more than positions and velocities."""
    task = find_task(name)
    identity = Normaliser(np.zeros(task.observation_size, np.float32), np.ones(task.observation_size, np.float32), 1.0)
    policy = Constant(task.action_size)
    first = evaluate(policy, task, identity, seed=1, episodes=3)
    evaluate(Constant(task.action_size, -1.0), task, identity, seed=2, episodes=4)
    assert evaluate(policy, task, identity, seed=1, episodes=3) == first
    simulation._environment.cache_clear()
    assert evaluate(policy, task, identity, seed=1, episodes=3) == first


def test_terminated_episodes_stop_counting_while_others_go_on():
    task = find_task("hopper")
    environments, starts = start_episodes(task, 3, "test")
    identity = Normaliser(np.zeros(11, np.float32), np.ones(11, np.float32), 1.0)
    asked = []

    def act(observations, running):
        asked.append(running.copy())
        # The first one kicks, the others stand still.
        return np.where((running == 0)[:, None], 1.0, 0.0) * np.ones((1, 3))

    rewards, terminated = run_together(environments, starts, act, identity, 1000)
    lengths = [sum(index in running for running in asked) for index in range(3)]
    assert terminated.all() and len(set(lengths)) > 1
    for index, length in enumerate(lengths):
        assert np.all(rewards[index, length:] == 0) and rewards[index, length - 1] != 0
