from __future__ import annotations

import warnings
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from cqlbench.datasets import load, make_dataset
from cqlbench.datasets.collect import restore, simulator_state
from cqlbench.environments.controllers import UniformPolicy, medium_policy
from cqlbench.environments.linear_quadratic import LinearQuadraticEnv, benchmark_problem
from cqlbench.simulation import start_episodes
from cqlbench.tasks import find_task

DIMENSIONS = (1, 2, 3, 4)


@pytest.fixture(params=DIMENSIONS)
def env(request: pytest.FixtureRequest) -> gymnasium.Env:
    return gymnasium.make(find_task(f"lqr{request.param}").env_id)


def test_gymnasium_finds_nothing_wrong(env: gymnasium.Env) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # States are Gaussian, so the space has no bounds, and there is nothing to render.
        warnings.filterwarnings("ignore", message=".*observation space m(in|ax)imum value is -?infinity.*")
        warnings.filterwarnings("ignore", message=".*environment's render mode.*")
        check_env(env.unwrapped, skip_render_check=True)


def test_a_state_can_be_restored(env: gymnasium.Env) -> None:
    env.reset(seed=1)
    env.step(env.action_space.sample())
    qpos, qvel = simulator_state(env)
    there = env.unwrapped.state.copy()
    np.testing.assert_array_equal(restore(env, qpos, qvel), there.astype(np.float32))
    np.testing.assert_array_equal(env.unwrapped.state, there)


def test_restored_environments_meet_noise_of_their_own_and_always_the_same() -> None:
    task = find_task("lqr1")

    def follow() -> np.ndarray:
        environments, _ = start_episodes(task, 50, "a name")
        for each in environments:
            restore(each, np.array([0.5]), np.array([]))
        return np.array([each.step(np.array([0.0]))[0][0] for each in environments])

    steps = follow()
    assert len(set(steps)) == 50
    assert abs(steps.mean() - 0.45) < 0.06 and 0.07 < steps.std() < 0.13
    np.testing.assert_array_equal(steps, follow())


def test_actions_outside_are_clipped_and_pay_as_such(env: gymnasium.Env) -> None:
    size = env.action_space.shape[0]
    outcomes = []
    for action in (3.0, 1.0):
        restored = LinearQuadraticEnv(size)
        restored.reset(seed=5)
        outcomes.append(restored.step(np.full(size, action)))
    np.testing.assert_array_equal(outcomes[0][0], outcomes[1][0])
    assert outcomes[0][1] == outcomes[1][1]


@pytest.mark.parametrize("dimensions", DIMENSIONS)
def test_episodes_start_inside_and_states_stay_bounded_under_the_worst_actions(dimensions: int) -> None:
    env = LinearQuadraticEnv(dimensions)
    starts = np.array([env.reset(seed=seed)[0] for seed in range(200)])
    assert np.linalg.norm(starts, axis=1).max() <= env.START_RADIUS
    problem = benchmark_problem(dimensions)
    assert np.linalg.norm(problem.dynamics, 2) == pytest.approx(0.9)
    # |s'| <= 0.9 |s| + 0.4 sqrt(n) without the noise, so states end up within ten times the last.
    for _ in range(200):
        env.step(problem.control.T @ env.state * 1e6)
    assert np.linalg.norm(env.state) < 4 * np.sqrt(dimensions) + 2


@pytest.mark.parametrize("dimensions", (1, 4))
def test_the_data_are_narrow_and_never_clipped(dimensions: int, tmp_path: Path) -> None:
    data = make_dataset(f"lqr{dimensions}/medium-v0", tmp_path, 5000)
    assert load(data.id, tmp_path).content_hash == data.content_hash
    policy = medium_policy(benchmark_problem(dimensions))
    noise = data.actions + data.observations @ policy.gain.T
    assert noise.std() == pytest.approx(policy.std, rel=0.05)
    assert np.abs(data.actions).max() < 0.8
    assert data.terminals.sum() == 0 and (data.episode_lengths == 50).all()


def test_uniform_actions_are_uniform() -> None:
    policy = UniformPolicy("uniform", 2)
    noise = np.random.default_rng(0).standard_normal((2000, 2))
    actions = np.stack([policy.act(np.zeros(2), each) for each in noise])
    shares = np.histogram(actions, bins=4, range=(-1, 1))[0] / actions.size
    np.testing.assert_allclose(shares, 0.25, atol=0.03)
