from __future__ import annotations

import math

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cqlbench.datasets.behaviour import load_behaviour
from cqlbench.environments.controllers import LinearPolicy, medium_policy, optimal_policy
from cqlbench.environments.linear_quadratic import EPISODE_LIMIT, LinearQuadratic, LinearQuadraticEnv, benchmark_problem
from cqlbench.tasks import find_task
from cqlbench.theory.lqr import Grid, action_value, clipping_bound, state_value

DIMENSIONS = (1, 2, 3, 4)


def random_problem(seed: int, states: int, actions: int) -> tuple[LinearQuadratic, np.random.Generator]:
    """Any problem, with more or fewer actions than states and nothing symmetric about its dynamics."""
    generator = np.random.default_rng(seed)

    def positive(size: int) -> np.ndarray:
        root = generator.standard_normal((size, size))
        return root @ root.T + 0.1 * np.eye(size)

    problem = LinearQuadratic(
        generator.standard_normal((states, states)) / math.sqrt(states),
        generator.standard_normal((states, actions)),
        positive(states),
        positive(actions),
        noise_std=generator.uniform(0.05, 0.5),
        discount=generator.uniform(0.5, 0.95),
    )
    return problem, generator


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), states=st.integers(1, 4), actions=st.integers(1, 3))
def test_values_of_linear_policies_solve_the_bellman_equation(seed: int, states: int, actions: int) -> None:
    problem, generator = random_problem(seed, states, actions)
    gain = problem.optimal_gain() + 0.01 * generator.standard_normal((actions, states))
    policy = LinearPolicy("any", gain, 0.2)
    value = state_value(problem, policy)
    s = generator.standard_normal((20, states))
    # V(s) = E_a[Q(s, a)], exactly, by Gauss-Hermite quadrature in each action: Q is quadratic, two nodes are enough.
    corners = np.stack(np.meshgrid(*[[-1.0, 1.0]] * actions), -1).reshape(-1, actions)
    drawn = -(s @ gain.T)[:, None] + policy.std * corners
    expected = action_value(problem, value, s[:, None], drawn).mean(1)
    np.testing.assert_allclose(value(s), expected, rtol=1e-10, atol=1e-10)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), states=st.integers(1, 4), actions=st.integers(1, 3))
def test_no_action_is_better_than_the_optimal_one(seed: int, states: int, actions: int) -> None:
    problem, generator = random_problem(seed, states, actions)
    optimum = optimal_policy(problem)
    value = state_value(problem, optimum)
    s = generator.standard_normal((20, states))
    best = -(s @ optimum.gain.T)
    # Bellman's optimality equation: V*(s) = max_a Q*(s, a), at a = -K s.
    q = action_value(problem, value, s, best)
    np.testing.assert_allclose(value(s), q, rtol=1e-10, atol=1e-10)
    for _ in range(20):
        other = best + generator.standard_normal(best.shape)
        assert (action_value(problem, value, s, other) < q).all()


def test_a_policy_that_lets_the_cost_explode_has_no_value() -> None:
    with pytest.raises(ValueError, match="no finite value"):
        state_value(benchmark_problem(2), LinearPolicy("the wrong way", -np.eye(2), 0.0))


@pytest.mark.parametrize("dimensions", DIMENSIONS)
def test_the_closed_form_is_what_the_environment_pays(dimensions: int) -> None:
    """Q of the medium policy at one (s, a) against discounted returns in the environment itself."""
    problem = benchmark_problem(dimensions)
    policy = medium_policy(problem)
    env = LinearQuadraticEnv(dimensions)
    generator = np.random.default_rng(dimensions)
    start, first = np.full(dimensions, 0.3), np.full(dimensions, 0.7)
    episodes, steps = 400, 100
    returns = np.zeros(episodes)
    for episode in range(episodes):
        env.reset(seed=episode)
        env.state = start
        action = first
        for step in range(steps):
            observation, reward, *_ = env.step(action)
            returns[episode] += problem.discount**step * reward
            action = policy.act(observation.astype(float), generator.standard_normal(dimensions))
    truth = float(action_value(problem, state_value(problem, policy), start, first))
    error = returns.std(ddof=1) / math.sqrt(episodes)
    assert error < 0.05 * abs(truth)
    assert abs(returns.mean() - truth) < 4 * error


@pytest.mark.parametrize("dimensions", DIMENSIONS)
def test_linear_policies_are_all_but_never_clipped(dimensions: int) -> None:
    problem = benchmark_problem(dimensions)
    for policy in (medium_policy(problem), optimal_policy(problem)):
        bound = clipping_bound(problem, policy, LinearQuadraticEnv.START_RADIUS, EPISODE_LIMIT)
        assert 0 <= bound < 1e-9
    # The bound knows a policy that is clipped: twice the gain of the optimum, at the rim.
    greedy = LinearPolicy("greedy", 2 * problem.optimal_gain(), 0.1)
    assert clipping_bound(problem, greedy, LinearQuadraticEnv.START_RADIUS, EPISODE_LIMIT) > 0.5


def test_the_bound_counts_what_happens() -> None:
    """Of a noisier policy whose actions do leave the bounds now and then, the bound lies above the count."""
    problem = benchmark_problem(1)
    policy = LinearPolicy("noisy", 0.5 * problem.optimal_gain(), 0.4)
    generator = np.random.default_rng(0)
    states = np.full((20_000, 1), LinearQuadraticEnv.START_RADIUS)
    clipped = np.zeros(len(states), bool)
    for _ in range(5):
        actions = -(states @ policy.gain.T) + policy.std * generator.standard_normal((len(states), 1))
        clipped |= np.abs(actions[:, 0]) > 1
        noise = problem.noise_std * generator.standard_normal(states.shape)
        states = problem.next_means(states, actions) + noise
    bound = clipping_bound(problem, policy, LinearQuadraticEnv.START_RADIUS, 5)
    # Actions beyond -1 on the far side of the mean are counted twice by the bound and hardly happen.
    assert clipped.mean() < bound < 2.5 * clipped.mean()


def test_the_grid_agrees_with_the_closed_form() -> None:
    problem = benchmark_problem(1)
    policy = medium_policy(problem)
    grid = Grid(problem)
    assert np.abs(grid.states).max() > 4
    # Two-point noise has the mean and variance that a quadratic value asks for, and never leaves the bounds near 0.
    near = np.abs(grid.states[:, 0]) < 1.5
    actions = np.clip(-(grid.states @ policy.gain.T) + policy.std * np.array([-1.0, 1.0]), -1, 1)
    bonuses = np.full_like(actions, 3.0)
    rewards, bonus = grid.value(actions, bonuses, problem.discount)
    exact = state_value(problem, policy)(grid.states)
    np.testing.assert_allclose(rewards[near], exact[near], rtol=1e-8)
    np.testing.assert_allclose(bonus, 3 / (1 - problem.discount), rtol=1e-10)
    # One step ahead at any action, off the grid.
    s, a = np.array([[0.123]]), np.array([[-0.987]])
    q = problem.rewards(s, a) + problem.discount * grid.transitions(s, a) @ rewards
    np.testing.assert_allclose(q, action_value(problem, state_value(problem, policy), s, a), rtol=1e-8)


def test_the_grid_agrees_with_the_environment_for_a_policy_that_is_not_linear() -> None:
    problem = benchmark_problem(1)
    grid = Grid(problem)
    rule = np.vectorize(lambda s: math.tanh(3 * math.sin(5 * s)))
    actions = rule(grid.states)
    rewards, _ = grid.value(actions, np.zeros_like(actions), problem.discount)
    states = np.full((20_000, 1), 0.5)
    generator = np.random.default_rng(1)
    returns = np.zeros(len(states))
    for step in range(100):
        taken = rule(states)
        returns += problem.discount**step * problem.rewards(states, taken)
        noise = problem.noise_std * generator.standard_normal(states.shape)
        states = problem.next_means(states, taken) + noise
    error = returns.std(ddof=1) / math.sqrt(len(returns))
    assert abs(returns.mean() - np.interp(0.5, grid.states[:, 0], rewards)) < 4 * error


def test_the_task_is_the_problem() -> None:
    for dimensions in DIMENSIONS:
        task = find_task(f"lqr{dimensions}")
        env = gymnasium.make(task.env_id)
        assert env.observation_space.shape == (task.observation_size,) and env.spec is not None
        assert env.action_space.shape == (task.action_size,) and env.spec.max_episode_steps == task.episode_limit
        medium = load_behaviour(task).medium
        assert isinstance(medium, LinearPolicy)
        np.testing.assert_array_equal(medium.gain, 0.5 * benchmark_problem(dimensions).optimal_gain())
