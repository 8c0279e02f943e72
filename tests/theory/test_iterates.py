"""Closed forms to 1e-10, and minimisers against the gradients of the losses that train networks."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cqlbench import losses
from cqlbench.theory.data import draw_data
from cqlbench.theory.iterates import (
    divergence,
    entropy_step,
    excess,
    maximising_backup,
    penalised_policy,
    ratio,
    variance_step,
)
from cqlbench.theory.mdps import garnet, soft_policy
from cqlbench.theory.theorems import penalised_return

SEEDS = st.integers(0, 2**32 - 1)
ALPHAS = st.floats(-3, 2).map(lambda power: 10**power)
STATES, ACTIONS = 6, 4


def policy_of(generator: np.random.Generator) -> np.ndarray:
    return generator.dirichlet(np.ones(ACTIONS), STATES)


def partial_policy(generator: np.random.Generator) -> np.ndarray:
    """A behaviour that leaves out some actions, never all."""
    policy = policy_of(generator) * (generator.random((STATES, ACTIONS)) < 0.7)
    policy[:, 0] += 0.1
    return policy / policy.sum(1, keepdims=True)


def resolvent_of(mdp, policy: np.ndarray) -> np.ndarray:
    """(I - gamma P^pi)^-1 over pairs, entry by entry."""
    pairs = [(state, action) for state in range(STATES) for action in range(ACTIONS)]
    between = np.array([[mdp.transitions[s, a, t] * policy[t, b] for t, b in pairs] for s, a in pairs])
    return np.linalg.inv(np.eye(len(pairs)) - mdp.discount * between)


class TestClosedForms:
    @settings(max_examples=25, deadline=None)
    @given(seed=SEEDS, paper_alpha=ALPHAS)
    def test_equations_1_and_2_are_q_pi_minus_the_discounted_ratio(self, seed, paper_alpha):
        generator = np.random.default_rng(seed)
        mdp = garnet(generator, STATES, ACTIONS)
        policy, mu, behaviour = (policy_of(generator) for _ in range(3))
        inverse = resolvent_of(mdp, policy)
        truth = (inverse @ mdp.rewards.ravel()).reshape(STATES, ACTIONS)
        for penalty, push in ((ratio, mu / behaviour), (excess, (mu - behaviour) / behaviour)):
            expected = truth - paper_alpha * (inverse @ push.ravel()).reshape(STATES, ACTIONS)
            found = mdp.evaluate(policy, paper_alpha * penalty(mu, behaviour))
            assert found == pytest.approx(expected, abs=1e-10, rel=1e-10)

    def test_they_are_the_limit_of_the_iterates(self):
        generator = np.random.default_rng(1)
        mdp = garnet(generator, STATES, ACTIONS)
        policy, mu, behaviour = (policy_of(generator) for _ in range(3))
        push = 0.3 * excess(mu, behaviour)
        values = np.zeros((STATES, ACTIONS))
        for _ in range(1000):
            values = mdp.backup(values, policy) - push
        assert mdp.evaluate(policy, push) == pytest.approx(values, abs=1e-10)

    def test_an_action_without_data_has_no_iterate(self):
        with pytest.raises(ValueError, match="never takes"):
            ratio(np.array([[0.5, 0.5]]), np.array([[1.0, 0.0]]))

    def test_where_neither_goes_nothing_is_pushed(self):
        mu, behaviour = np.array([[1.0, 0.0]]), np.array([[1.0, 0.0]])
        assert (ratio(mu, behaviour) == [[1, 0]]).all()
        assert (excess(mu, behaviour) == 0).all()

    @settings(max_examples=25, deadline=None)
    @given(seed=SEEDS)
    def test_the_divergence_is_chi_squared(self, seed):
        generator = np.random.default_rng(seed)
        policy, behaviour = policy_of(generator), policy_of(generator)
        chi_squared = ((policy - behaviour) ** 2 / behaviour).sum(1)
        assert divergence(policy, behaviour) == pytest.approx(chi_squared, rel=1e-9)


class TestCqlH:
    @settings(max_examples=100, deadline=None)
    @given(seed=SEEDS, paper_alpha=ALPHAS, scale=st.sampled_from([0.01, 1.0, 100.0]), prior=st.booleans())
    def test_it_is_stationary(self, seed, paper_alpha, scale, prior):
        generator = np.random.default_rng(seed)
        behaviour, target = partial_policy(generator), scale * generator.normal(size=(STATES, ACTIONS))
        seen = behaviour > 0
        rho = soft_policy(generator.normal(size=target.shape), seen) if prior else seen.astype(float)
        values = entropy_step(target, behaviour, paper_alpha, rho if prior else None)
        assert (values[~seen] == 0).all()
        weights = soft_policy(values + np.log(np.where(seen, rho, 1)), seen)
        gradient = np.where(seen, paper_alpha * (weights - behaviour) + behaviour * (values - target), 0)
        assert gradient == pytest.approx(0, abs=1e-10 * max(1, paper_alpha, scale))

    def test_without_a_weight_it_is_the_target(self):
        target = np.array([[1.0, 2.0]])
        assert (entropy_step(target, np.array([[0.5, 0.5]]), 0.0) == target).all()

    def test_cql_rho_with_a_uniform_prior_is_cql_h(self):
        generator = np.random.default_rng(3)
        behaviour, target = policy_of(generator), generator.normal(size=(STATES, ACTIONS))
        uniform = np.full(target.shape, 1 / ACTIONS)
        assert entropy_step(target, behaviour, 0.7, uniform) == pytest.approx(entropy_step(target, behaviour, 0.7))


class TestAgainstTheLossesThatTrainNetworks:
    """The gradient of cql_alpha * gap + squared error, at cql_alpha = 2 paper_alpha, is zero at the exact iterate."""

    def gradient(self, values: np.ndarray, behaviour: np.ndarray, target: np.ndarray, cql_alpha: float, soft) -> float:
        q = torch.tensor(values, requires_grad=True)
        shares = torch.tensor(behaviour)
        # Two critics that are the same; a state is a batch entry, its actions the samples.
        pushed_down = soft(q.expand(2, *q.shape))
        penalty = losses.conservative_gap(pushed_down, (shares * q).sum(1).expand(2, STATES))[0] * STATES
        td = (shares * (q - torch.tensor(target)).square()).sum()
        (cql_alpha * penalty + td).backward()
        assert q.grad is not None
        return float(q.grad.abs().max())

    @pytest.mark.parametrize("paper_alpha", [0.05, 1.0, 20.0])
    def test_cql_h_and_rho(self, paper_alpha):
        generator = np.random.default_rng(4)
        behaviour, target = policy_of(generator), generator.normal(size=(STATES, ACTIONS))
        values = entropy_step(target, behaviour, paper_alpha)
        assert self.gradient(
            values, behaviour, target, 2 * paper_alpha, lambda q: losses.soft_maximum(q, None)
        ) == pytest.approx(0, abs=1e-10 * max(1, paper_alpha))
        # Drawn from a uniform rho every action counts alike, as in a table of all actions.
        assert self.gradient(values, behaviour, target, 2 * paper_alpha, losses.softmax_average) == pytest.approx(
            0, abs=1e-10 * max(1, paper_alpha)
        )
        assert self.gradient(values, behaviour, target, paper_alpha, losses.softmax_average) > 1e-3

    @pytest.mark.parametrize("paper_alpha", [0.05, 0.5, 5.0])
    def test_cql_var(self, paper_alpha):
        generator = np.random.default_rng(5)
        behaviour, target = policy_of(generator), 10 * generator.normal(size=(STATES, ACTIONS))
        radius = 1 / generator.integers(5, 100, STATES)
        values = variance_step(target, behaviour, paper_alpha, np.full(target.shape, 1 / ACTIONS), radius)
        moves = self.gradient(
            values, behaviour, target, 2 * paper_alpha, lambda q: losses.robust_average(q, torch.tensor(radius))
        )
        assert moves == pytest.approx(0, abs=1e-9 * max(1, paper_alpha))


class TestCqlVar:
    @settings(max_examples=30, deadline=None)
    @given(seed=SEEDS, paper_alpha=ALPHAS, radius=st.sampled_from([0.0, 0.01, 1.0, 100.0]))
    def test_no_value_nearby_is_better(self, seed, paper_alpha, radius):
        generator = np.random.default_rng(seed)
        behaviour, target = partial_policy(generator), generator.normal(size=(STATES, ACTIONS))
        rho = soft_policy(generator.normal(size=target.shape), behaviour > 0)

        def objective(values: np.ndarray) -> np.ndarray:
            mean = (rho * values).sum(1)
            deviation = np.sqrt((rho * (values - mean[:, None]) ** 2).sum(1))
            pushed = mean + np.sqrt(radius) * deviation - (behaviour * values).sum(1)
            return paper_alpha * pushed + (behaviour * (values - target) ** 2).sum(1) / 2

        values = variance_step(target, behaviour, paper_alpha, rho, np.full(STATES, radius))
        for size in (1e-4, 1e-2, 1.0):
            for _ in range(10):
                other = values + size * generator.normal(size=values.shape)
                assert (objective(other) >= objective(values) - 1e-10 * max(1, paper_alpha)).all()

    def test_a_wide_radius_makes_all_values_the_mean_target(self):
        behaviour, target = np.array([[0.25, 0.75]]), np.array([[1.0, 3.0]])
        values = variance_step(target, behaviour, 10.0, np.array([[0.5, 0.5]]), np.array([4.0]))
        assert values == pytest.approx(np.full((1, 2), 2.5))

    def test_no_radius_is_equation_2(self):
        generator = np.random.default_rng(6)
        behaviour, rho, target = policy_of(generator), policy_of(generator), generator.normal(size=(STATES, ACTIONS))
        expected = target - 0.3 * excess(rho, behaviour)
        assert variance_step(target, behaviour, 0.3, rho, np.zeros(STATES)) == pytest.approx(expected, abs=1e-10)


def test_q_learning_takes_the_best_allowed_action():
    generator = np.random.default_rng(7)
    mdp = garnet(generator, STATES, ACTIONS)
    values = generator.normal(size=(STATES, ACTIONS))
    allowed = np.zeros(values.shape, bool)
    allowed[:, 1] = True
    assert maximising_backup(mdp, values, allowed) == pytest.approx(mdp.backup(values, allowed.astype(float)))


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, paper_alpha=ALPHAS)
def test_no_policy_has_a_higher_penalised_return(seed, paper_alpha):
    generator = np.random.default_rng(seed)
    mdp = garnet(generator, STATES, ACTIONS)
    data = draw_data(mdp, policy_of(generator), np.full(STATES, 20), generator)
    model, seen = data.model(mdp), data.support
    best = penalised_policy(model, data.behaviour, paper_alpha)
    assert best.sum(1) == pytest.approx(1) and (best[~seen] == 0).all()
    highest = penalised_return(model, data.behaviour, best, paper_alpha)
    for share in (0.01, 0.3, 1.0):
        for _ in range(5):
            other = (1 - share) * best + share * soft_policy(generator.normal(size=best.shape), seen, 0.3)
            assert penalised_return(model, data.behaviour, other, paper_alpha) <= highest + 1e-9 * max(1, paper_alpha)
