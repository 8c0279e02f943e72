"""Runs taken from tables are the runs that would be trained, or are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml
from synthetic_runs import SUITE, make_results, make_suite

from cqlbench.datasets import dataset_file
from cqlbench.errors import UserError
from cqlbench.scores import EPISODES, KEYS, RUNS, SCORES, collect_tables, read_table, write_table
from cqlbench.suites import Suite, load_suite
from cqlbench.taken import add_taken, refuse_other_runs, taken_tables, why_not_taken

ROOT = Path(__file__).parents[1]
CQL = {"cql_alpha": [1, 10], "num_action_samples": 10}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, Path]:
    """A results folder with the synthetic runs and what their datasets say, and the folder of their tables."""
    results = tmp_path_factory.mktemp("results")
    suite = make_suite(results)
    make_results(suite, results)
    for dataset in suite.datasets:
        store(results, dataset, f"hash-of-{dataset}")
    tables = results / "reference" / suite.name
    for name, table in collect_tables(suite, results).items():
        write_table(table, tables / name)
    return results, tables


def store(results: Path, dataset: str, content: str) -> None:
    file = dataset_file(results / "datasets", dataset)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    (file.parent / "metadata.json").write_text(json.dumps({"content_hash": content}))


def suite_of(folder: Path, tables: Path | None, **changes: object) -> Suite:
    """The synthetic datasets and budget with CQL at two weights, and BC; CQL from `tables`, where given."""
    content = {key: value for key, value in yaml.safe_load(SUITE).items() if key != "claims"}
    taken = {"taken_from": str(tables)} if tables else {}
    content |= {"methods": {"mine": {"algorithm": "cql", **CQL, **taken}, "bc": {}}, "headline": {"cql_alpha": 10}}
    path = folder / "suite.yaml"
    path.write_text(yaml.safe_dump({**content, **changes}))
    return load_suite(path)


def test_a_taken_run_has_the_rows_of_a_trained_one(made, tmp_path):
    results, tables = made
    trained = collect_tables(suite_of(tmp_path, None), results)
    suite = suite_of(tmp_path, tables)
    assert taken_tables(suite) == [tables / SCORES]
    assert {method.family for method, _ in suite.runs()} == {"bc"}
    assert {method.family for method, _ in suite.taken_runs()} == {"mine"}
    taken = add_taken(collect_tables(suite, results), suite, results / "datasets")
    mine = taken[RUNS]["family"] == "mine"
    assert taken[RUNS][mine]["folder"].isna().all() and set(taken[RUNS][mine]["taken_from"]) == {tables.as_posix()}
    assert taken[RUNS][~mine]["folder"].notna().all() and taken[RUNS][~mine]["taken_from"].isna().all()
    assert set(taken) == set(trained) == set(KEYS)
    for name, table in taken.items():
        write_table(table.drop(columns=["folder", "taken_from"], errors="ignore"), tmp_path / "taken.csv")
        write_table(trained[name].drop(columns=["folder", "taken_from"], errors="ignore"), tmp_path / "trained.csv")
        pd.testing.assert_frame_equal(read_table(tmp_path / "taken.csv"), read_table(tmp_path / "trained.csv"))


def test_of_a_table_that_is_not_there_nothing_is_taken(made, tmp_path):
    results, tables = made
    older = tmp_path / "older"
    older.mkdir()
    for name in (SCORES, RUNS):
        # Earlier code did not write these columns.
        write_table(
            read_table(tables / name).drop(columns=["cpu_seconds", "taken_from"], errors="ignore"), older / name
        )
    suite = suite_of(tmp_path, older)
    taken = add_taken(collect_tables(suite, results), suite, results / "datasets")
    assert set(taken[EPISODES]["method"]) == {"bc"}
    of_cql = taken[RUNS][taken[RUNS]["family"] == "mine"]
    assert of_cql["cpu_seconds"].isna().all() and (of_cql["seconds"] == 61.5).all()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seeds": [0, 7]}, "lacks seed 7 of cql on hopper/medium-v0"),
        ({"datasets": ["walker2d/medium-v0"]}, "has no run of cql on walker2d/medium-v0"),
        ({"protocol": {"updates": 2000}}, "has cql on hopper/medium-v0 after 1000 updates, not 2000"),
        ({"protocol": {"updates": 1000, "episodes": 7}}, "has cql on hopper/medium-v0 evaluated by 5 episodes, not 7"),
        (
            {"protocol": {"updates": 1000, "episodes": 5, "value_states": 9}},
            "has cql on hopper/medium-v0 with other settings or another protocol",
        ),
        ({"common": {"width": 32}}, "has cql on hopper/medium-v0 with other settings or another protocol"),
    ],
)
def test_what_is_another_run_is_refused(made, tmp_path, changes, said):
    results, tables = made
    with pytest.raises(UserError, match=f"methods.mine.taken_from: {tables} {said}"):
        refuse_other_runs(suite_of(tmp_path, tables, **changes), results / "datasets")


def test_other_data_and_failed_runs_are_refused(made, tmp_path):
    results, tables = made
    suite = suite_of(tmp_path, tables)
    for dataset in suite.datasets:
        store(tmp_path, dataset, "another content")
    with pytest.raises(UserError, match=r"has hopper/medium-v0 with another content \(hash-of-hopp, here another cont"):
        refuse_other_runs(suite, tmp_path / "datasets")
    # Where the dataset has not been made, the package's table says what it will be.
    with pytest.raises(UserError, match=r"with another content \(hash-of-hopp, here 6c95afce503c\)"):
        refuse_other_runs(suite, tmp_path / "nothing")
    methods = {"sac": {"taken_from": str(tables)}}
    suite = suite_of(tmp_path, None, methods=methods, headline={})
    with pytest.raises(UserError, match=f"{tables} lacks seed 1 of sac on hopper/random-expert-v0"):
        refuse_other_runs(suite, results / "datasets")
    suite = suite_of(tmp_path, tmp_path / "nowhere")
    with pytest.raises(UserError, match="nowhere has no scores.csv and runs.csv"):
        refuse_other_runs(suite, results / "datasets")


def test_a_fresh_clone_need_not_train_the_methods_of_quick(tmp_path):
    suite = load_suite(ROOT / "workflow/config/quick.yaml")
    assert why_not_taken(suite.runs(), ROOT / "results/reference/quick", tmp_path / "no datasets yet") is None
