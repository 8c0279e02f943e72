"""A run's identity: what changes it, what does not, and the command line that makes it again."""

from pathlib import Path

import pytest

from cqlbench.errors import UserError
from cqlbench.runs import Protocol, Run, make_run, read_run
from cqlbench.writers import write_json


def run(seed: int = 0, **settings) -> Run:
    return make_run("hopper/medium-v0", "cql", settings, Protocol(), seed)


def test_identity_ignores_how_a_number_is_written_and_the_seed():
    assert run(cql_alpha=5) == run(cql_alpha="5.0") == run()
    assert run(seed=1).config_hash == run().config_hash
    assert run(seed=1).folder(Path("r")).parent == run().folder(Path("r")).parent


def test_identity_sees_every_setting_the_budget_and_the_dataset():
    others = [
        run(cql_alpha=1),
        run(width=64),
        run(normalise_observations=False),
        make_run("hopper/medium-v0", "cql", {}, Protocol(updates=5), 0),
        make_run("hopper/expert-v0", "cql", {}, Protocol(), 0),
        make_run("hopper/medium-v0", "d3rlpy-cql", {}, Protocol(), 0),
    ]
    assert len({other.config_hash for other in [run(), *others]}) == len(others) + 1


def test_folder_says_what_is_not_default():
    assert (
        run(cql_alpha=10, width=64)
        .folder(Path("results"))
        .as_posix()
        .startswith("results/runs/hopper/medium-v0/cql/width=64,cql_alpha=10,updates=10000-")
    )


def test_description_round_trip(tmp_path):
    original = run(seed=3, cql_alpha=0.5, num_transitions=100)
    write_json(tmp_path / "config.json", original.description())
    assert read_run(tmp_path) == original


def test_unreadable_folders_are_named(tmp_path):
    with pytest.raises(UserError, match="not a run folder"):
        read_run(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="not a run's config"):
        read_run(tmp_path)


@pytest.mark.parametrize("dataset", ["../elsewhere", "hopper/../../etc", "Hopper medium", "/hopper"])
def test_ids_that_could_leave_the_results_folder_are_refused(dataset):
    with pytest.raises(UserError, match="not an id"):
        make_run(dataset, "cql", {}, Protocol(), 0)


def test_the_last_update_is_always_evaluated():
    assert Protocol(updates=10, evaluate_every=4).evaluation_points() == [4, 8, 10]
    assert Protocol(updates=8, evaluate_every=4).evaluation_points() == [4, 8]
    assert Protocol(updates=3, evaluate_every=4).evaluation_points() == [3]
    with pytest.raises(UserError, match="updates"):
        Protocol(updates=0)


def test_texts_of_settings_stay_one_word_of_a_folder(tmp_path):
    method = tmp_path / "own.py"
    method.write_text(
        "from dataclasses import dataclass\nfrom cqlbench.algorithms.configs import MethodConfig\n"
        "@dataclass(frozen=True)\nclass Config(MethodConfig):\n    layers: str = 'none'\n"
        "class Own:\n    pass\nOwn.Config = Config\n"
    )
    names = set()
    for text in ("../../../../../up", "64,64", "/etc", "a'b\"c", "64 64"):
        run = make_run("hopper/medium-v0", f"{method}:Own", {"layers": text}, Protocol(), 0)
        folder = run.folder(tmp_path)
        assert (tmp_path / "runs").resolve() in folder.resolve().parents and len(
            folder.relative_to(tmp_path).parts
        ) == 6
        assert folder.parent.name.count(",") == 1 and not set(folder.name) & set("'\" ")
        names.add(folder.parent.name)
    assert len(names) == 5
