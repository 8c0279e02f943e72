from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cqlbench.datasets.behaviour import SNAPSHOTS_KEPT_BEFORE_MEDIUM, _choose, load_behaviour, train_behaviour
from cqlbench.errors import UserError
from cqlbench.tasks import TASKS, Task, find_task

TRAINED = [task for task in TASKS.values() if task.behaviour_env_steps > 0]


@pytest.mark.parametrize("task", TRAINED, ids=lambda task: task.name)
def test_the_package_has_snapshots_of_every_trained_task(task: Task) -> None:
    behaviour = load_behaviour(task)
    steps = [policy.label for policy in behaviour.policies]
    assert steps[0] == 0 and steps == sorted(set(steps))
    assert behaviour.up_to_medium == behaviour.policies[:-1]
    assert behaviour.medium is behaviour.up_to_medium[-1]


@pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
def test_actions_are_rounded_and_inside_the_bounds(task: Task) -> None:
    generator = np.random.default_rng(0)
    policy = load_behaviour(task).expert
    for _ in range(50):
        action = policy.act(
            10 * generator.standard_normal(task.observation_size), 3 * generator.standard_normal(task.action_size)
        )
        assert action.shape == (task.action_size,)
        assert np.abs(action).max() <= task.action_limit
        np.testing.assert_array_equal(action, np.round(action, 4))


def test_a_task_in_closed_form_has_policies_without_training(tmp_path: Path) -> None:
    behaviour = load_behaviour(find_task("lqr2"))
    assert [policy.action_size for policy in behaviour.policies] == [2, 2, 2]
    assert behaviour.up_to_medium == (behaviour.random, behaviour.medium)
    with pytest.raises(UserError, match="closed form"):
        train_behaviour(find_task("lqr2"), tmp_path)


def test_a_missing_file_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cqlbench datasets train-behaviour hopper"):
        load_behaviour(find_task("hopper"), tmp_path)


@given(st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=40))
def test_chosen_snapshots(returns: list[float]) -> None:
    if returns[-1] <= returns[0]:
        with pytest.raises(UserError, match="did not learn"):
            _choose(returns)
        return
    kept, medium = _choose(returns)
    assert kept[0] == 0 and kept[-1] == len(returns) - 1 and medium in kept
    assert len([index for index in kept if 0 < index < medium]) <= SNAPSHOTS_KEPT_BEFORE_MEDIUM
    third = returns[0] + (returns[-1] - returns[0]) / 3
    assert returns[medium] >= third
    assert all(value < third for value in returns[1:medium])


def test_training_writes_snapshots_that_act(tmp_path: Path) -> None:
    short = dataclasses.replace(find_task("hopper"), behaviour_env_steps=4096)
    lines: list[str] = []
    path = train_behaviour(short, tmp_path, report=lines.append)
    assert path == tmp_path / "hopper.npz" and len(lines) == 2
    behaviour = load_behaviour(short, tmp_path)
    assert behaviour.random.label == 0 and behaviour.expert.label == 4096
    with (tmp_path / "hopper.csv").open() as file:
        log = list(csv.DictReader(file))
    assert [row["env_steps"] for row in log] == ["0", "2048", "4096"]
    assert log[0]["kept_as"] == "random" and log[-1]["kept_as"] == "expert"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hopper.csv", "hopper.npz"]
