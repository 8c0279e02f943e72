"""Rollouts and value comparison on real simulators, against sums written out by hand."""

import gymnasium
import numpy as np
import pytest
import torch

from cqlbench import diagnostics, simulation
from cqlbench.algorithms.configs import MethodConfig
from cqlbench.evaluation import evaluate
from cqlbench.normalisation import Normaliser
from cqlbench.seeding import seed_for
from cqlbench.simulation import run_together, start_episodes
from cqlbench.tasks import find_task


class Constant:
    """Always the same action; its value is a number of our choosing, its bonus too."""

    def __init__(self, size: int, action: float = 0.3, values=(7.0, 9.0), bonus: float = 0.0) -> None:
        self.size, self.action, self.values, self.bonus = size, action, values, bonus

    def act(self, observations):
        return np.full((len(observations), self.size), self.action, np.float32)

    def sample(self, observations, generator):
        return self.act(observations), np.full(len(observations), self.bonus)

    def value(self, observations, actions):
        return np.repeat(np.array(self.values)[:, None], len(observations), 1)


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


def test_horizon_leaves_less_than_one_percent():
    assert 0.99 ** diagnostics.horizon(0.99) <= 0.01 < 0.99 ** (diagnostics.horizon(0.99) - 1)
    with pytest.raises(ValueError):
        diagnostics.horizon(1.0)


def test_value_comparison_is_the_discounted_sum_from_the_stored_state(pendulum):
    normaliser = Normaliser.for_dataset(pendulum, MethodConfig())
    rows = {
        row["start"]: row
        for row in diagnostics.compare_values(Constant(1), pendulum, normaliser, discount=0.9, seed=0, states=4)
    }
    chosen = diagnostics.generator_for("values", pendulum.id, 0).choice(len(pendulum.rewards), size=4, replace=False)
    truths = []
    for index in chosen:
        env = gymnasium.make("Pendulum-v1").unwrapped
        env.reset(seed=0)
        env.state = np.array([pendulum.qpos[index, 0], pendulum.qvel[index, 0]])
        action = np.array([0.6], np.float32)
        truths.append(sum(0.9**t * float(env.step(action)[1]) for t in range(diagnostics.horizon(0.9))))
    data = rows["data"]
    assert data["true_discounted_return"] == pytest.approx(np.mean(truths), rel=1e-5)
    assert data["predicted_value"] == 7.0 and data["predicted_value_mean"] == 8.0  # min and mean of the pair
    assert data["difference_mean"] == pytest.approx(7.0 - np.mean(truths), rel=1e-5)
    assert data["difference_standard_error"] == pytest.approx(np.std(truths, ddof=1) / 2, rel=1e-4)
    assert rows["initial"]["true_discounted_return"] != data["true_discounted_return"]


def test_entropy_bonus_after_the_first_action_is_taken_off_the_prediction(pendulum):
    normaliser = Normaliser.for_dataset(pendulum, MethodConfig())
    bonus = 0.5
    row = diagnostics.compare_values(Constant(1, bonus=bonus), pendulum, normaliser, 0.9, seed=0, states=3)[0]
    later = sum(0.9**t * bonus for t in range(1, diagnostics.horizon(0.9)))
    assert row["predicted_value"] == pytest.approx(7.0 - later)


def test_the_true_value_has_no_time_limit(pendulum):
    """A pendulum episode is cut after 200 steps; with discount 0.99 the value runs on to step 459."""
    normaliser = Normaliser.for_dataset(pendulum, MethodConfig())
    environments, starts = start_episodes(pendulum.task, 1, "test")
    rewards, _ = run_together(
        environments,
        starts,
        lambda observations, running: np.zeros((1, 1)),
        normaliser,
        diagnostics.horizon(0.99),
    )
    assert rewards.shape == (1, 459)


def test_sampling_for_the_comparison_is_reproducible(pendulum):
    from cqlbench.algorithms.configs import SACConfig
    from cqlbench.algorithms.sac import SAC
    from cqlbench.tasks import TaskSpec

    sac = SAC(TaskSpec(3, 1), SACConfig(width=8), 0, torch.device("cpu"))
    normaliser = Normaliser.for_dataset(pendulum, MethodConfig())
    first, second = (diagnostics.compare_values(sac, pendulum, normaliser, 0.9, 0, 3) for _ in range(2))
    assert str(first) == str(second)
