"""Each checker passes the exact iterates, and fails iterates that violate its theorem."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cqlbench.theory import theorems
from cqlbench.theory.bounds import any_value_error, fixed_policy_error, fixed_value_error
from cqlbench.theory.data import Data, draw_data
from cqlbench.theory.iterates import divergence, excess, penalised_policy, ratio
from cqlbench.theory.mdps import Mdp, garnet, soft_policy
from cqlbench.theory.theorems import HELD, NOT_MET, VIOLATED

DELTA = 0.1


class Problem:
    """A Garnet of six states with 200 visits each, a policy to evaluate, and equation 1's and 2's exact values."""

    def __init__(self) -> None:
        generator = np.random.default_rng(0)
        self.mdp: Mdp = replace(garnet(generator, 6, 3), discount=0.5)
        self.behaviour = 0.5 * generator.dirichlet(np.ones(3), 6) + 0.5 / 3
        self.data: Data = draw_data(self.mdp, self.behaviour, np.full(6, 200), generator)
        self.model = self.data.model(self.mdp)
        self.policy = generator.dirichlet(np.ones(3), 6)
        self.nothing = np.zeros((6, 3))

    def without_an_action(self) -> Data:
        """The same data, without the first action of the first state."""
        counts = self.data.counts.copy()
        counts[0, 0] = 0
        return replace(self.data, counts=counts)


@pytest.fixture(scope="module")
def problem() -> Problem:
    return Problem()


class TestTheorem1:
    def verdict(self, problem: Problem, values, paper_alpha: float, error, data: Data | None = None) -> str:
        data = data or problem.data
        return theorems.theorem_1(problem.mdp, data, problem.policy, problem.policy, values, paper_alpha, error).verdict

    def test_the_exact_iterate_holds(self, problem):
        error = fixed_value_error(problem.mdp, problem.data, DELTA)
        threshold = theorems.threshold_1(problem.data, problem.policy, error)
        push = ratio(problem.policy, problem.data.behaviour)
        values = problem.model.evaluate(problem.policy, threshold * push)
        assert self.verdict(problem, values, threshold, error) == HELD
        assert self.verdict(problem, values, 0.99 * threshold, error) == NOT_MET

    def test_values_above_the_truth_violate_it(self, problem):
        values = problem.mdp.evaluate(problem.policy)
        assert self.verdict(problem, values, 1.0, problem.nothing) == HELD
        values[2, 1] += 1e-6
        assert self.verdict(problem, values, 1.0, problem.nothing) == VIOLATED

    def test_an_iterate_with_the_wrong_sign_violates_it(self, problem):
        wrong = problem.mdp.evaluate(problem.policy, -0.1 * ratio(problem.policy, problem.data.behaviour))
        assert self.verdict(problem, wrong, 0.1, problem.nothing) == VIOLATED

    def test_an_action_without_data_is_outside_the_condition(self, problem):
        values = problem.mdp.evaluate(problem.policy)
        assert self.verdict(problem, values, 1.0, problem.nothing, problem.without_an_action()) == NOT_MET

    def test_no_alpha_at_all_is_outside_the_condition(self, problem):
        assert self.verdict(problem, problem.mdp.evaluate(problem.policy), 0.0, problem.nothing) == NOT_MET

    def test_the_threshold_is_the_products_of_the_two_maxima(self):
        data = Data(np.array([[4, 16]]), np.zeros((1, 2)), np.zeros((1, 2, 1), int))
        threshold = theorems.threshold_1(data, np.array([[0.5, 0.5]]), np.array([[0.3, 0.2]]))
        assert threshold == pytest.approx(0.3 * 0.8 / 0.5)

    def test_the_printed_bound_fails_values_above_it(self, problem):
        error = fixed_value_error(problem.mdp, problem.data, DELTA)
        push = 2.0 * ratio(problem.policy, problem.data.behaviour) - error
        bound = problem.mdp.evaluate(problem.policy, push)
        arguments = (problem.mdp, problem.data, problem.policy, problem.policy)
        assert theorems.printed_bound_1(*arguments, bound, 2.0, error).verdict == HELD
        assert theorems.printed_bound_1(*arguments, bound + 1e-5, 2.0, error).verdict == VIOLATED


class TestTheorem2:
    def verdict(self, problem: Problem, values, paper_alpha: float, error) -> str:
        return theorems.theorem_2(problem.mdp, problem.data, problem.policy, values, paper_alpha, error).verdict

    def test_the_exact_iterate_holds(self, problem):
        error = fixed_policy_error(problem.mdp, problem.data, problem.policy, DELTA)
        threshold = theorems.threshold_2(problem.data, problem.policy, error)
        values = problem.model.evaluate(problem.policy, threshold * excess(problem.policy, problem.data.behaviour))
        assert self.verdict(problem, values, threshold, error) == HELD
        assert self.verdict(problem, values, 0.99 * threshold, error) == NOT_MET

    def test_it_bounds_the_average_not_each_action(self, problem):
        values = problem.mdp.evaluate(problem.policy, excess(problem.policy, problem.data.behaviour))
        assert (values > problem.mdp.evaluate(problem.policy)).any()
        assert self.verdict(problem, values, 1.0, np.zeros(6)) == HELD

    def test_an_average_above_the_truth_violates_it(self, problem):
        wrong = problem.mdp.evaluate(problem.policy, -0.1 * excess(problem.policy, problem.data.behaviour))
        assert self.verdict(problem, wrong, 0.1, np.zeros(6)) == VIOLATED

    def test_at_the_behaviour_no_alpha_makes_up_for_an_error(self, problem):
        behaviour = problem.data.behaviour
        error = np.full(6, 0.1)
        assert theorems.threshold_2(problem.data, behaviour, error) > 1e12
        values = problem.model.evaluate(behaviour)
        assert theorems.theorem_2(problem.mdp, problem.data, behaviour, values, 10.0, error).verdict == NOT_MET
        assert theorems.theorem_2(problem.mdp, problem.data, behaviour, values, 10.0, np.zeros(6)).condition


class TestTheorem3:
    def test_it_holds_where_the_policy_is_the_maximiser(self, problem):
        maximiser = soft_policy(3 * problem.mdp.rewards, problem.data.support)
        assert theorems.slowness(problem.data, maximiser, maximiser) == pytest.approx(
            divergence(maximiser, problem.data.behaviour)
        )
        values = problem.mdp.evaluate(maximiser, excess(maximiser, problem.data.behaviour))
        assert self.verdict(problem, maximiser, maximiser, values) == HELD

    def test_an_average_above_the_truth_violates_it(self, problem):
        maximiser = soft_policy(3 * problem.mdp.rewards, problem.data.support)
        wrong = problem.mdp.evaluate(maximiser, -0.1 * excess(maximiser, problem.data.behaviour))
        assert self.verdict(problem, maximiser, maximiser, wrong) == VIOLATED

    def test_a_policy_that_lags_far_behind_is_outside_the_condition(self, problem):
        maximiser = soft_policy(3 * problem.mdp.rewards, problem.data.support)
        lagging = soft_policy(-3 * problem.mdp.rewards, problem.data.support)
        values = problem.mdp.evaluate(lagging, excess(maximiser, problem.data.behaviour))
        assert self.verdict(problem, maximiser, lagging, values) == NOT_MET
        assert (values * lagging).sum(1).max() > problem.mdp.state_values(lagging).max()

    def test_the_printed_condition_asks_for_more(self, problem):
        maximiser = soft_policy(3 * problem.mdp.rewards, problem.data.support)
        policy = 0.9 * maximiser + 0.1 * problem.data.behaviour
        own = theorems.slowness(problem.data, maximiser, policy)
        assert (theorems.slowness(problem.data, maximiser, policy, everywhere=True) <= own + 1e-12).all()

    def verdict(self, problem: Problem, maximiser, policy, values) -> str:
        return theorems.theorem_3(problem.mdp, problem.data, maximiser, policy, values, 1.0, np.zeros(6)).verdict


class TestTheorem4:
    def arguments(self, problem: Problem) -> tuple:
        q = 2 * np.sin(np.arange(18.0)).reshape(6, 3)
        mu = soft_policy(q, problem.data.support)
        return problem.data, mu, problem.model.backup(q, mu), problem.mdp.backup(np.cos(q), mu)

    def test_it_holds_above_its_threshold(self, problem):
        data, mu, target, true_target = self.arguments(problem)
        threshold = theorems.threshold_4(data, mu, target, true_target, problem.nothing)
        assert threshold > 0
        for factor, expected in ((1.001, HELD), (0.999, NOT_MET)):
            alpha = factor * threshold
            values = target - alpha * excess(mu, data.behaviour)
            finding = theorems.theorem_4(data, mu, target, true_target, values, alpha, problem.nothing)
            assert finding.verdict == expected
            # With known dynamics the threshold is exact: below it, some gap does not expand.
            assert finding.holds == (expected == HELD)

    def test_what_sampling_may_add_raises_the_threshold(self, problem):
        data, mu, target, true_target = self.arguments(problem)
        error = any_value_error(problem.mdp, data, DELTA, 1.0)
        without = theorems.threshold_4(data, mu, target, true_target, problem.nothing)
        assert theorems.threshold_4(data, mu, target, true_target, error) > without

    def test_a_backup_that_errs_more_than_it_may_violates_it(self, problem):
        data, mu, _, true_target = self.arguments(problem)
        q = 2 * np.sin(np.arange(18.0)).reshape(6, 3)
        target = problem.mdp.backup(q, mu)
        span = float(np.ptp((mu * q).sum(1)))
        for error, expected in (
            (problem.nothing, VIOLATED),
            (any_value_error(problem.mdp, data, DELTA, span), HELD),
        ):
            alpha = 1.001 * theorems.threshold_4(data, mu, target, true_target, error)
            values = problem.model.backup(q, mu) - alpha * excess(mu, data.behaviour)
            assert theorems.theorem_4(data, mu, target, true_target, values, alpha, error).verdict == expected

    def test_a_gap_that_stays_violates_it(self, problem):
        data, mu, target, true_target = self.arguments(problem)
        for values in (true_target, target + 5 * excess(mu, data.behaviour)):
            finding = theorems.theorem_4(data, mu, target, true_target, values, 1e9, problem.nothing)
            assert finding.verdict == VIOLATED

    def test_without_a_difference_there_is_nothing_to_expand(self, problem):
        data, _, target, true_target = self.arguments(problem)
        finding = theorems.theorem_4(data, data.behaviour, target, true_target, target, 1.0, problem.nothing)
        assert finding.verdict == NOT_MET


class TestTheorem5:
    def verdict(self, problem: Problem, policies, values, best: int = 0) -> str:
        behaviour = problem.data.behaviour
        return theorems.theorem_5(problem.model, behaviour, np.array(policies), np.array(values), best, 0.2).verdict

    def made(self, problem: Problem) -> tuple[list, list]:
        behaviour = problem.data.behaviour
        policies = [penalised_policy(problem.model, behaviour, 0.2), behaviour, problem.policy]
        return policies, [problem.model.evaluate(policy, 0.2 * excess(policy, behaviour)) for policy in policies]

    def test_the_exact_iterates_hold(self, problem):
        assert self.verdict(problem, *self.made(problem)) == HELD

    def test_another_value_violates_it(self, problem):
        policies, values = self.made(problem)
        assert self.verdict(problem, policies, [values[0], values[1] + 1e-6, values[2]]) == VIOLATED
        full = [problem.model.evaluate(p, 0.2 * ratio(p, problem.data.behaviour)) for p in policies]
        assert self.verdict(problem, policies, full) == VIOLATED

    def test_another_best_policy_violates_it(self, problem):
        assert self.verdict(problem, *self.made(problem), best=1) == VIOLATED


class TestTheorem6:
    def test_a_promise_kept_and_one_broken(self, problem):
        worst = Mdp(problem.mdp.transitions, -problem.mdp.rewards, problem.mdp.discount, problem.mdp.start)
        bad = worst.best_policy(problem.data.support)
        loss = problem.mdp.discounted_return(problem.data.behaviour) - problem.mdp.discounted_return(bad)
        assert loss > 0
        assert theorems.theorem_6(problem.mdp, problem.data, bad, loss + 1e-6).verdict == HELD
        assert theorems.theorem_6(problem.mdp, problem.data, bad, loss - 1e-6).verdict == VIOLATED
        assert theorems.theorem_6(problem.mdp, problem.without_an_action(), problem.policy, 1e9).verdict == NOT_MET

    def test_zeta_is_the_two_errors_minus_the_gain(self, problem):
        behaviour = problem.data.behaviour
        mdp, data = problem.mdp, problem.data
        error_of_behaviour = theorems.zeta(mdp, data, behaviour, DELTA) / 2
        better = penalised_policy(problem.model, behaviour, 0.01)
        per_pair = any_value_error(mdp, data, DELTA, 2 * mdp.value_limit)
        own = problem.model.visitation(better) @ (better * per_pair).sum(1) / (1 - mdp.discount)
        gain = problem.model.discounted_return(better) - problem.model.discounted_return(behaviour)
        assert gain > 0
        assert theorems.zeta(mdp, data, better, DELTA) == pytest.approx(own + error_of_behaviour - gain)

    def test_ours_is_never_above_the_printed_one_at_the_behaviour(self, problem):
        arguments = (problem.mdp, problem.data, problem.data.behaviour, DELTA)
        assert 0 < theorems.zeta(*arguments) <= theorems.printed_zeta(*arguments)


class TestBounds:
    """The constants are true ones: over many datasets they fail no more often than they may."""

    def test_they_cover(self):
        generator = np.random.default_rng(1)
        mdp = replace(garnet(generator, 5, 2), discount=0.5)
        behaviour, delta, draws = np.full((5, 2), 0.5), 0.5, 300
        policy = generator.dirichlet(np.ones(2), 5)
        truth = mdp.evaluate(policy)
        misses = np.zeros(3)
        closest = np.zeros(3)
        for _ in range(draws):
            data = draw_data(mdp, behaviour, np.full(5, 40), generator)
            difference = data.model(mdp).backup(truth, policy) - truth
            span = float(np.ptp((policy * truth).sum(1)))
            bounds = (
                (difference, fixed_value_error(mdp, data, delta)),
                ((policy * difference).sum(1), fixed_policy_error(mdp, data, policy, delta)),
                (np.abs(difference), any_value_error(mdp, data, delta, span)),
            )
            for number, (found, bound) in enumerate(bounds):
                misses[number] += (found > bound).any()
                closest[number] = max(closest[number], (found / bound).max())
        assert (misses <= delta * draws).all()
        # Nor are they empty: some draw comes a good part of the way.
        assert (closest > 0.2).all(), closest

    def test_four_times_the_data_halve_them(self):
        problem = Problem()
        more = Data(4 * problem.data.counts, problem.data.reward_sums, problem.data.successors)
        for bound in (fixed_value_error, lambda *arguments: any_value_error(*arguments, span=1.0)):
            assert bound(problem.mdp, problem.data, DELTA) == pytest.approx(2 * bound(problem.mdp, more, DELTA))
