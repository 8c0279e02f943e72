"""Known MDPs and their exact values."""

import importlib.util

import numpy as np
import pytest

from cqlbench.errors import UserError
from cqlbench.theory.data import draw_data, visits_of
from cqlbench.theory.mdps import FAMILIES, JUMP, Mdp, chain, gridworld, one_hot, soft_policy

OWN = ["garnet", "gridworld", "chain"]


def made(family: str, seed: int = 0) -> tuple[Mdp, np.random.Generator]:
    generator = np.random.default_rng(seed)
    return FAMILIES[family](generator), generator


def random_policy(mdp: Mdp, generator: np.random.Generator) -> np.ndarray:
    return generator.dirichlet(np.ones(mdp.rewards.shape[1]), len(mdp.start))


@pytest.mark.parametrize("family", OWN)
def test_a_family_makes_mdps(family):
    mdp, _ = made(family)
    assert mdp.transitions.sum(2) == pytest.approx(1, abs=1e-12)
    assert (mdp.transitions >= 0).all()
    assert mdp.start.sum() == pytest.approx(1)
    assert np.abs(mdp.rewards).max() <= mdp.reward_limit


@pytest.mark.parametrize("family", OWN)
def test_values_are_the_limit_of_backups(family):
    mdp, generator = made(family)
    policy = random_policy(mdp, generator)
    values = np.zeros_like(mdp.rewards)
    for _ in range(1000):
        values = mdp.backup(values, policy)
    exact = mdp.evaluate(policy)
    assert exact == pytest.approx(values, abs=1e-10)
    assert mdp.state_values(policy) == pytest.approx((policy * exact).sum(1), abs=1e-10)


@pytest.mark.parametrize("family", OWN)
def test_the_return_is_the_reward_where_the_time_is_spent(family):
    mdp, generator = made(family)
    policy = random_policy(mdp, generator)
    time = mdp.visitation(policy)
    assert time.sum() == pytest.approx(1)
    earned = time @ (policy * mdp.rewards).sum(1) / (1 - mdp.discount)
    assert mdp.discounted_return(policy) == pytest.approx(earned)


@pytest.mark.parametrize("family", OWN)
def test_the_best_policy_is_the_limit_of_value_iteration(family):
    mdp, generator = made(family)
    allowed = generator.random(mdp.rewards.shape) < 0.7
    allowed[:, 0] = True
    values = np.zeros_like(mdp.rewards)
    for _ in range(1000):
        values = mdp.rewards + mdp.discount * mdp.transitions @ np.where(allowed, values, -np.inf).max(1)
    best = mdp.best_policy(allowed)
    assert (best[~allowed] == 0).all()
    assert mdp.state_values(best) == pytest.approx(np.where(allowed, values, -np.inf).max(1), abs=1e-8)


def test_the_tempting_jump_is_a_mistake():
    mdp = chain()
    everything = np.ones(mdp.rewards.shape, bool)
    best = mdp.best_policy(everything)
    assert (best[:-1, JUMP] == 0).all()
    assert mdp.discounted_return(one_hot(np.full(len(mdp.start), JUMP), 3)) == pytest.approx(0.9 * -0.5 / 0.1)


def test_a_gridworld_without_slip_is_its_shortest_way():
    mdp = gridworld(("S.", ".G"), slip=0)
    best = mdp.best_policy(np.ones(mdp.rewards.shape, bool))
    assert mdp.discounted_return(best) == pytest.approx(-0.01 - 0.9 * 0.01 + 0.81)


def test_a_softmax_keeps_to_what_is_allowed():
    policy = soft_policy(np.array([[1000.0, 0.0, 2000.0]]), np.array([[True, True, False]]))
    assert policy == pytest.approx(np.array([[1.0, 0.0, 0.0]]))


def test_the_optional_family_loads_or_says_what_to_install():
    if importlib.util.find_spec("icu_sepsis") is None:
        with pytest.raises(UserError, match="pip install"):
            FAMILIES["icu-sepsis"](np.random.default_rng(0))
    else:
        mdp = FAMILIES["icu-sepsis"](np.random.default_rng(0))
        assert mdp.rewards.shape == (716, 25)
        assert mdp.transitions.sum(2) == pytest.approx(1)


class TestData:
    @pytest.mark.parametrize("family", OWN)
    def test_counts_add_up(self, family):
        mdp, generator = made(family)
        behaviour = random_policy(mdp, generator)
        visits = visits_of(mdp, behaviour, 300)
        data = draw_data(mdp, behaviour, visits, generator)
        assert (data.visits == visits).all() and (visits >= 1).all()
        assert (data.successors.sum(2) == data.counts).all()
        assert data.behaviour.sum(1) == pytest.approx(1)
        model = data.model(mdp)
        assert model.transitions.sum(2)[data.support] == pytest.approx(1)
        assert (model.transitions[~data.support] == 0).all() and (model.rewards[~data.support] == 0).all()

    def test_much_data_are_the_mdp(self):
        mdp, generator = made("garnet")
        behaviour = random_policy(mdp, generator) / 2 + 1 / 8
        data = draw_data(mdp, behaviour, np.full(len(mdp.start), 10**8), generator)
        model = data.model(mdp)
        assert model.transitions == pytest.approx(mdp.transitions, abs=2e-3)
        assert model.rewards == pytest.approx(mdp.rewards, abs=2e-3)
        assert data.behaviour == pytest.approx(behaviour, abs=2e-3)
