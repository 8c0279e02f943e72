from __future__ import annotations

import pytest

from cqlbench.datasets.kinds import dataset_ids
from cqlbench.published.facts import published_scores
from cqlbench.published.names import algorithm_key, find_references, kind_of_data, published_name
from cqlbench.tasks import TASKS


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("cql", "CQL"),
        ("d3rlpy-cql", "CQL"),
        ("cql@authors", "CQL"),
        ("bc", "BC"),
        ("sac", "SAC"),
        ("td3_bc", "TD3+BC"),
        ("TD3PlusBC", "TD3+BC"),
        ("Iql", "IQL"),
    ],
)
def test_spellings_of_one_algorithm(ours, theirs):
    assert algorithm_key(ours) == algorithm_key(theirs)


def test_other_algorithms_stay_apart():
    published = sorted(set(published_scores()["algorithm"]))
    assert len({algorithm_key(name) for name in published}) == len(published)
    known = {algorithm_key(name) for name in published}
    for ours in ("cql-equation-1", "sac-4-critics", "d3rlpy-bear-repaired", "own-idea"):
        assert algorithm_key(ours) not in known


def test_only_d4rls_own_spellings_name_the_published_data():
    assert published_name("d4rl:hopper-medium-v2") == published_name("hopper-medium-v2") == "hopper-medium-v2"
    published = set(published_scores()["dataset"])
    assert not published & {published_name(dataset) for dataset in [*dataset_ids(), "minari:mujoco/hopper/medium-v0"]}


def test_the_same_kind_of_other_data_is_found():
    ours = ("hopper/medium-v0", "minari:hopper/medium-v0", "minari:mujoco/hopper/medium-v0")
    for dataset in ("hopper-medium-v2", "d4rl:hopper-medium-v0", *ours):
        assert kind_of_data(dataset) == "hopper-medium"
    assert kind_of_data("hopper/medium-replay-v0") == kind_of_data("hopper-medium-replay-v2") != "hopper-medium"
    assert kind_of_data("neorl2-DMSD") == "neorl2-DMSD"


def test_references_are_found_by_name():
    assert find_references("d4rl:hopper-medium-v2") == (-20.272305, 3234.3)
    # Not the ant's, whose name it begins with.
    assert find_references("antmaze-umaze-v2") == (0.0, 1.0)
    assert find_references("maze2d-umaze-v1") == (23.85, 161.86)
    for dataset in ("hopper/medium-v0", "hopper", "maze2d-umaze-dense-v1", "neorl2-DMSD", "swimmer-medium-v0"):
        assert find_references(dataset) is None


def test_every_d4rl_dataset_that_scores_are_known_of_has_references():
    names = [name for name in published_scores()["dataset"].unique() if not name.startswith("neorl2-")]
    assert all(find_references(name) for name in names) and len(names) > 50


def test_references_are_those_that_our_tasks_state():
    for name in ("hopper", "halfcheetah", "walker2d"):
        assert find_references(f"{name}-medium-v2") == (TASKS[name].d4rl_random, TASKS[name].d4rl_expert)
