"""Every fault that is planted is found, by the number it was planted with, and nothing else is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from small_logs import WRITERS, Arrays, describe_beside, steps, write, write_minari

from cqlbench.datasets import OfflineDataset
from cqlbench.inspection import measures
from cqlbench.inspection.coverage import coverage
from cqlbench.inspection.health import Health, inspect
from cqlbench.inspection.rules import DOUBTFUL, FATAL, GOOD_TO_KNOW, RULES, judge
from cqlbench.inspection.simulator import simulator
from cqlbench.inspection.text import text

pytestmark = pytest.mark.filterwarnings("ignore")  # of Minari and d3rlpy, about what these data have no use for

# Of so small a set of logs of one's own.
ALWAYS = {"transitions", "simulators", "references"}


def found(health: Health) -> dict[str, tuple[str, float]]:
    """What was found beside ALWAYS: severity and number."""
    return {
        finding.rule.number: (finding.severity, finding.value)
        for finding in health.findings
        if finding.rule.number not in ALWAYS
    }


def numbers(health: Health) -> dict[str, float]:
    return {words: value for section in health.sections for words, value in section.numbers.items()}


@pytest.mark.parametrize("name", [*WRITERS, "minari"])
def test_the_same_steps_are_as_healthy_in_every_format(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "minari":
        write_minari(tmp_path / "root", "test/walk-v0", steps(), monkeypatch)
        health = inspect("minari:test/walk-v0", tmp_path / "root")
    else:
        health = inspect(str(write(tmp_path, name, steps())))
    assert found(health) == {} and not health.fatal
    seen = numbers(health)
    # d3rlpy's files lack the last step of a cut episode.
    left_out = 30 if name == "log.h5" else 0
    assert (seen["transitions"], seen["episodes"], seen["terminations"]) == (540 - left_out, 60, 30)
    assert seen["steps without a next observation, left out"] == left_out
    assert seen["longest episode, steps"] == 10


def changed(**arrays: Callable[[np.ndarray], np.ndarray]) -> Callable[[Arrays], Arrays]:
    return lambda all_of_them: all_of_them | {name: change(all_of_them[name]) for name, change in arrays.items()}


def put(array: np.ndarray, places: object, value: object) -> np.ndarray:
    array = array.copy()
    array[places] = value
    return array


def joined_twice(arrays: Arrays) -> Arrays:
    """The first two episodes again."""
    return {name: np.concatenate([array, array[:18]]) for name, array in arrays.items()}


def with_column(make: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Callable[[Arrays], Arrays]:
    """Adds a column to the observations, made of their first and of the time."""

    def change(arrays: Arrays) -> Arrays:
        now = np.arange(540)
        both = {
            name: np.column_stack([arrays[name].astype(np.float64), make(arrays[name][:, 0], time)])
            for name, time in (("observations", now), ("next_observations", now + 1))
        }
        return arrays | both

    return change


PLANTED: dict[str, tuple[Callable[[Arrays], Arrays], dict[str, tuple[str, float]]]] = {
    "not finite": (
        changed(rewards=lambda array: put(array, [3, 50], np.nan), actions=lambda array: put(array, (7, 1), np.inf)),
        {"steps with a number that is not finite": (FATAL, 3)},
    ),
    "seconds since 1970": (
        with_column(lambda first, time: 1.7e9 + time / 100),
        {
            "share of a column's distinct values that 32 bits lose": (DOUBTFUL, 539 / 540),
            "share of observation columns that are constant": (GOOD_TO_KNOW, 1 / 3),
        },
    ),
    "time limits as terminations": (
        lambda arrays: arrays | {"terminals": arrays["terminals"] | arrays["timeouts"]},
        {"share of episodes at the time limit that terminate": (DOUBTFUL, 1)},
    ),
    "failures as cuts": (
        lambda arrays: (
            arrays | {"terminals": 0 * arrays["rewards"], "timeouts": arrays["terminals"] | arrays["timeouts"]}
        ),
        # The last episode may be cut by the end of recording, and is not counted.
        {"share of episodes shorter than the longest, without any termination": (DOUBTFUL, 30 / 59)},
    ),
    "cuts without a mark": (
        changed(timeouts=lambda array: put(array, slice(0, 270), False)),
        {
            "share of steps whose next observation is not the one that follows": (DOUBTFUL, 15 / 495),
            # Two episodes are then one, and the longest there is.
            "share of episodes at the time limit that terminate": (DOUBTFUL, 1),
        },
    ),
    "a termination in the middle": (
        changed(terminals=lambda array: put(array, [20, 56], True)),
        {"share of terminations after which the episode goes on": (DOUBTFUL, 2 / 32)},
    ),
    "next observations are the observations": (
        lambda arrays: arrays | {"next_observations": arrays["observations"]},
        {
            "share of steps whose next observation is their own": (FATAL, 1),
            "share of steps whose next observation is not the one that follows": (DOUBTFUL, 1),
        },
    ),
    "shuffled rows": (
        lambda arrays: {name: array[np.random.default_rng(0).permutation(540)] for name, array in arrays.items()},
        {"share of steps whose next observation is not the one that follows": (DOUBTFUL, pytest.approx(1, abs=0.01))},
    ),
    "a constant column": (
        with_column(lambda first, time: 0 * time + 7),
        {"share of observation columns that are constant": (GOOD_TO_KNOW, 1 / 3)},
    ),
    "a column twice": (
        with_column(lambda first, time: 1 - 3 * first),
        {"observation columns that repeat another": (GOOD_TO_KNOW, 1)},
    ),
    "a column of another scale": (
        with_column(lambda first, time: 1e5 * first**2),
        {"widest observation column over the narrowest": (GOOD_TO_KNOW, pytest.approx(2e5, rel=0.9))},
    ),
    "no action": (
        changed(actions=lambda array: 0 * array + 0.5),
        {
            "share of action columns that are constant": (FATAL, 1),
            "distinct actions": (DOUBTFUL, 1),
        },
    ),
    "two actions": (
        changed(actions=np.sign),
        {
            "distinct actions": (DOUBTFUL, 4),
            "share of action coordinates at a bound": (DOUBTFUL, 1),
        },
    ),
    "the same reward": (
        lambda arrays: (
            arrays
            | {"rewards": np.ones(540), "terminals": np.zeros(540, bool)}
            | {"timeouts": arrays["terminals"] | arrays["timeouts"]}
        ),
        {
            "standard deviation of rewards, without any termination": (FATAL, 0),
            "share of episodes shorter than the longest, without any termination": (DOUBTFUL, 30 / 59),
        },
    ),
    "sparse rewards": (
        changed(rewards=lambda array: put(0 * array, -1, 100)),
        {
            "share of rewards that are 0": (DOUBTFUL, 539 / 540),
            "share of episodes that earn anything but 0": (DOUBTFUL, 1 / 60),
        },
    ),
    "large rewards": (
        changed(rewards=lambda array: 1e6 * array),
        {"usual size of a value": (DOUBTFUL, pytest.approx(1e7, rel=0.9))},
    ),
    "two episodes twice": (
        joined_twice,
        {
            "share of transitions that repeat another": (DOUBTFUL, 18 / 558),
            "episodes that repeat another": (DOUBTFUL, 2),
        },
    ),
    "few episodes": (
        lambda arrays: {name: array[90:162] for name, array in arrays.items()},
        {"episodes": (DOUBTFUL, 8)},
    ),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_what_is_planted_is_found(tmp_path: Path, fault: str) -> None:
    plant, expected = PLANTED[fault]
    health = inspect(str(write(tmp_path, "log.npz", plant(steps()))))
    assert found(health) == {
        words: (severity, pytest.approx(value) if isinstance(value, float) else value)
        for words, (severity, value) in expected.items()
    }
    assert health.fatal == any(severity == FATAL for severity, _ in expected.values())


@pytest.mark.parametrize("stored", [True, False])
def test_no_pair_reaches_across_a_step_that_is_left_out(tmp_path: Path, stored: bool) -> None:
    arrays = steps(2)
    if not stored:
        del arrays["next_observations"]
    whole = inspect(str(write(tmp_path, "log.npz", arrays))).dataset
    gap = arrays | {"observations": put(arrays["observations"], (4, 0), np.nan)}
    left = inspect(str(write(tmp_path, "log.npz", gap))).dataset
    # Where a step's next observation is that of the next row, the step before the gap goes too.
    kept = np.delete(np.arange(len(whole.rewards)), [4] if stored else [3, 4])
    for name in ("observations", "actions", "rewards", "next_observations", "terminals"):
        np.testing.assert_array_equal(getattr(left, name), getattr(whole, name)[kept], err_msg=name)
    before = 3 if stored else 2
    assert left.truncations[before] == 1 and list(left.episode_lengths[:2]) == [before + 1, 3]


def test_bounds_that_are_said_beside_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "log.npz", steps())
    largest = np.abs(steps()["actions"]).max(1)
    for limit, severity in ((0.4, DOUBTFUL), (0.05, FATAL)):
        describe_beside(path, action_limit=limit, reference_random=-20, reference_expert=0)
        health = inspect(str(path))
        outside = np.mean(largest > limit)
        assert found(health)["share of actions outside the bounds"] == (severity, pytest.approx(outside))
        assert health.fatal == (severity == FATAL)
    describe_beside(path, action_limit=50)
    assert found(inspect(str(path)))["99.9 % of action sizes, over the bound"][0] == DOUBTFUL


def test_choices(tmp_path: Path) -> None:
    arrays = steps()
    path = write(tmp_path, "log.npz", arrays | {"actions": (arrays["actions"][:, 0] > 0).astype(int)})
    health = inspect(str(path))
    assert found(health) == {"choices": (GOOD_TO_KNOW, 2)}
    table = next(section.table for section in health.sections if section.title == "Actions")
    assert table["share"].sum() == pytest.approx(1)


def test_one_step_after_the_other(tmp_path: Path) -> None:
    """Episodes of one step, one episode, and one step in all."""
    arrays = steps()
    alone = arrays | {"terminals": np.zeros(540, bool), "timeouts": np.ones(540, bool)}
    assert found(inspect(str(write(tmp_path, "log.npz", alone))))["share of episodes of one step"] == (DOUBTFUL, 1)
    for count in (1, 2, 5):
        health = inspect(str(write(tmp_path, "log.npz", {name: array[:count] for name, array in arrays.items()})))
        assert numbers(health)["transitions"] == count and "nan" not in text(health)


def test_a_copy_is_not_needed_to_see_that_rows_repeat() -> None:
    generator = np.random.default_rng(0)
    rows = generator.integers(0, 3, (5_000, 4)).astype(np.float32)
    assert measures.row_hashes(rows).nunique() == len(np.unique(rows, axis=0))
    assert measures.row_hashes(rows[:, :2], rows[:, 2:]).equals(measures.row_hashes(rows))


@pytest.mark.parametrize(("copied", "open_share"), [(0.0, 1.0), (0.7, 0.3), (1.0, 0.0)])
def test_what_like_states_leave_open_is_the_noise_of_the_behaviour(copied: float, open_share: float) -> None:
    """Of actions whose variance is to the share `copied` a smooth function of the state."""
    generator = np.random.default_rng(1)
    states = generator.uniform(-1, 1, (20_000, 2))
    signal = np.sin(2 * states[:, :1])
    actions = np.sqrt(copied) * signal / signal.std() + np.sqrt(1 - copied) * generator.normal(size=signal.shape)
    section = coverage(flat(states, actions), seed=0)
    assert section.numbers["share of the actions' variance that like states leave open"] == pytest.approx(
        open_share, abs=0.05
    )
    assert section.numbers["effective dimensions of the observations"] == pytest.approx(2, abs=0.05)


def flat(states: np.ndarray, actions: np.ndarray) -> OfflineDataset:
    """Episodes of ten steps that are nothing but these."""
    from cqlbench.datasets.foreign import Origin, build
    from cqlbench.datasets.offline import Recording

    count = len(states)
    ends = np.arange(count) % 10 == 9
    recording = Recording(states, actions, np.zeros(count), np.zeros(count, bool), ends, states)
    return build("flat", recording, Origin("flat"))


def test_our_own_data_come_from_the_simulator_that_judges_them(pendulum: OfflineDataset) -> None:
    measured = simulator(pendulum, seed=0).numbers
    assert measured["steps tried"] == 50
    assert measured["median error of a step, over a usual change"] < 1e-5
    assert measured["median error of a reward, in standard deviations"] < 1e-5


def test_other_physics_and_other_rewards_are_noticed(pendulum: OfflineDataset) -> None:
    changes = pendulum.next_observations - pendulum.observations
    other = dataclasses.replace(
        pendulum, next_observations=pendulum.observations + 0.9 * changes, rewards=1.1 * pendulum.rewards
    )
    said = {finding.rule.number for finding in judge([simulator(other, seed=0)])[0]}
    assert said == {
        "share of tried steps that come out otherwise",
        "share of tried rewards that come out otherwise",
    }
    # The same actions, one step too late.
    late = dataclasses.replace(pendulum, actions=np.roll(pendulum.actions, 1, axis=0))
    assert judge([simulator(late, seed=0)])[0]


@pytest.mark.parametrize("task", ["pendulum", "hopper", "lqr2"])
def test_observations_give_the_state_away(results: Path, task: str) -> None:
    from cqlbench.datasets import make_dataset

    dataset = make_dataset(f"{task}/medium-v0", results / "other", transitions=300)
    bare = dataclasses.replace(dataset, qpos=np.empty((300, 0)), qvel=np.empty((300, 0)))
    assert simulator(bare, seed=0).numbers["steps tried"] == 50
    assert judge([simulator(bare, seed=0)])[0] == judge([simulator(dataset, seed=0)])[0] == []
    # Noise is not taken for an error, and an error beyond it is seen.
    far = dataclasses.replace(dataset, next_observations=dataset.next_observations + 1)
    assert judge([simulator(far, seed=0)])[0]


def test_states_that_are_not_the_simulators(pendulum: OfflineDataset) -> None:
    other = dataclasses.replace(pendulum, qpos=pendulum.qpos + 0.1)
    assert [finding.value for finding in judge([simulator(other, seed=0)])[0]] == [1, 1]


def test_the_same_data_give_the_same_words(tmp_path: Path) -> None:
    path = write(tmp_path, "log.npz", steps())
    assert text(inspect(str(path))) == text(inspect(str(path)))


def test_every_rule_has_a_number_that_something_measures(
    tmp_path: Path, results: Path, pendulum: OfflineDataset
) -> None:
    from cqlbench.datasets import make_dataset

    make_dataset("lqr1/medium-v0", results / "datasets", transitions=100)
    lonely = {name: array for name, array in steps().items() if name != "next_observations"}
    choices = steps() | {"actions": np.arange(540) % 3, "terminals": np.zeros(540, bool)}
    seen = (
        numbers(inspect(str(write(tmp_path, "log.npz", steps()))))
        | numbers(inspect(str(write(tmp_path, "log.npz", lonely))))
        | numbers(inspect(str(write(tmp_path, "log.npz", choices))))
        | numbers(inspect("pendulum/medium-v0", results / "datasets"))
        | numbers(inspect("lqr1/medium-v0", results / "datasets"))
    )
    assert {rule.number for rule in RULES} <= seen.keys()


NEORL2 = Path(__file__).parents[3] / "shared/data/neorl2"


@pytest.mark.parametrize("name", ["DMSD-high-20000-val.npz", "DMSD-high-100000-train.npz"])
def test_a_mechanical_benchmark_of_other_people(name: str) -> None:
    """Third-party data, looked for beside the repository."""
    if not (NEORL2 / name).is_file():
        pytest.skip(f"{name} is not there")
    health = inspect(str(NEORL2 / name))
    seen = numbers(health)
    assert (seen["observation columns"], seen["action columns"], seen["longest episode, steps"]) == (6, 2, 100)
    assert seen["terminations"] == 0 and not health.fatal
    assert {"simulators", "references"} <= {finding.rule.number for finding in health.findings}
    if "train" in name:
        # As its paper has it.
        assert health.dataset.episode_returns.mean() == pytest.approx(494.45, abs=0.005)
