"""Values and actions on real simulators and small tables, against sums written out by hand."""

import dataclasses
import math

import gymnasium
import numpy as np
import pytest
import torch
from constant_policy import Constant
from hypothesis import given
from hypothesis import strategies as st

from cqlbench import diagnostics
from cqlbench.algorithms.configs import MethodConfig
from cqlbench.diagnostics import Neighbourhoods, best_return, compare_actions
from cqlbench.normalisation import Normaliser
from cqlbench.simulation import run_together, start_episodes


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


def with_episodes(dataset, rewards, endings):
    """The dataset's first transitions with these rewards; `endings` is one letter each: t(erminal), c(ut) or dot."""
    count = len(rewards)
    ends = [index + 1 for index, ending in enumerate(endings) if ending != "."]
    return dataclasses.replace(
        dataset.draw(np.arange(count)),
        rewards=np.array(rewards, np.float32),
        terminals=np.array([ending == "t" for ending in endings], np.float32),
        truncations=np.array([ending == "c" for ending in endings], np.float32),
        episode_lengths=np.diff([0, *ends]),
    )


def test_the_best_return_is_that_of_the_best_suffix_of_an_ended_episode(pendulum):
    data = with_episodes(pendulum, [1, -5, 2, 4, 3, 1], "..t..t")
    # From the start: -1.5 + ...; the best is 4 + 3 / 2 + 1 / 4, after the first episode's end nothing of it counts.
    assert best_return(data, 0.5) == 4 + 1.5 + 0.25


def test_a_cut_return_counts_only_where_the_cut_is_far_enough(pendulum):
    enough = diagnostics.horizon(0.5)
    rewards = [1.0] * (enough - 1)
    assert math.isnan(best_return(with_episodes(pendulum, rewards, "." * (enough - 2) + "c"), 0.5))
    one_more = with_episodes(pendulum, [1.0, *rewards], "." * (enough - 1) + "c")
    assert best_return(one_more, 0.5) == pytest.approx(2 * (1 - 0.5**enough))
    # An earlier episode's end is no end of the one after it.
    both = with_episodes(pendulum, [7.0, *rewards], "t" + "." * (enough - 2) + "c")
    assert best_return(both, 0.5) == 7


def test_optimism_counts_the_states_promised_more_than_the_best_return(pendulum):
    class ByAngle(Constant):
        """Promises the cosine of the angle, 1 where the pendulum stands."""

        def value(self, observations, actions):
            return observations[:, 0].astype(np.float64)

    raw = Normaliser.for_dataset(pendulum, MethodConfig(normalise_observations=False))
    chosen = diagnostics.generator_for("values", pendulum.id, 0).choice(len(pendulum.rewards), size=20, replace=False)
    cosines = pendulum.observations[chosen, 0]
    best = float(np.sort(cosines)[-5])
    data, initial = diagnostics.compare_values(ByAngle(1), pendulum, raw, 0.9, seed=0, states=20, best=best)
    assert data["impossible_optimism"] == pytest.approx((cosines > best).mean()) == 0.2
    assert data["best_return"] == best and "impossible_optimism" not in initial
    unknown = diagnostics.compare_values(ByAngle(1), pendulum, raw, 0.9, seed=0, states=20)[0]
    assert math.isnan(unknown["impossible_optimism"])


@pytest.fixture(scope="module")
def around(pendulum):
    normaliser = Normaliser.for_dataset(pendulum, MethodConfig())
    return Neighbourhoods.around(pendulum, normaliser, seed=0, states=16)


def test_neighbours_are_those_of_the_nearest_states(pendulum, around):
    scaled = pendulum.observations / (pendulum.observations.std(0) + 1e-3)
    chosen = diagnostics.generator_for("values", pendulum.id, 0).choice(len(pendulum.rewards), size=16, replace=False)
    for index, taken, nearby in zip(chosen, around.taken, around.nearby, strict=True):
        nearest = np.argsort(((scaled - scaled[index]) ** 2).sum(1), kind="stable")[: diagnostics.NEIGHBOURS]
        np.testing.assert_allclose(np.sort(pendulum.actions[nearest] / 2, 0), np.sort(nearby, 0))
        assert index in nearest and taken == pytest.approx(pendulum.actions[index] / 2)


class Copies(Constant):
    """Repeats the data's own action at each state."""

    def act(self, observations):
        return self.action


def test_distances_of_a_policy_that_copies_the_data_are_none(around):
    assert set(compare_actions(Copies(1, around.taken), around).values()) == {0}


@given(st.floats(-1, 1))
def test_distances_of_a_constant_action_are_those_written_out(around, action):
    found = compare_actions(Constant(1, action), around)
    action = np.float32(action)
    assert found["action_distance"] == pytest.approx(np.abs(around.taken - action).mean(), abs=1e-6)
    assert found["mean_action_distance"] == found["action_distance"]
    gaps, off = [], 0
    for nearby, spacing in zip(around.nearby[:, :, 0], around.spacing, strict=True):
        ordered = np.diff(np.sort(nearby))
        # The nearest fellow of each of the sorted actions, on either side.
        loneliest = np.minimum(np.append(ordered, np.inf), np.append(np.inf, ordered)).max()
        assert spacing == pytest.approx(loneliest, abs=1e-6)
        gaps.append(np.abs(nearby - action).min())
        off += gaps[-1] > spacing
    assert found["nearest_action_distance"] == pytest.approx(np.mean(gaps), abs=1e-6)
    assert found["off_data"] == off / len(gaps)


def test_distance_is_a_root_mean_square_over_coordinates():
    corner, middle = np.array([1.0, 1.0, 1.0]), np.zeros(3)
    assert diagnostics._action_distance(corner, -corner) == 2 and diagnostics._action_distance(corner, middle) == 1


def test_a_method_that_cannot_be_sampled_is_taken_at_its_mean_action(around):
    class OnlyActs:
        def act(self, observations):
            return np.full((len(observations), 1), 0.5, np.float32)

    assert compare_actions(OnlyActs(), around) == compare_actions(Constant(1, 0.5), around)


def test_fewer_transitions_than_neighbours_are_enough(pendulum):
    few = pendulum.draw(np.arange(5))
    around = Neighbourhoods.around(few, Normaliser.for_dataset(few, MethodConfig()), seed=0, states=3)
    assert around.nearby.shape == (3, 5, 1)
