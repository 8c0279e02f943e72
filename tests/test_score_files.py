from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from synthetic_runs import make_results, make_suite

from cqlbench.comparison import RUN_COLUMNS, write_comparison
from cqlbench.errors import UserError
from cqlbench.published.curves import read_curves, write_curves
from cqlbench.score_files import add_baselines, find_baselines, read_scores
from cqlbench.scores import RUNS, SCORES, VALUES, collect_runs, collect_scores, collect_values, write_table

CURVES = Path(__file__).parents[2] / "shared/published/d3rlpy_benchmarks_curves.csv.gz"
HEAD = "dataset,method,seed,score"
GOOD = [f"d,{method},{seed},0.{seed}{extra}" for method, extra in (("mine", 5), ("cql", 3)) for seed in range(3)]


def write(folder: Path, *rows: str, head: str = HEAD) -> Path:
    path = folder / "mine.csv"
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def test_a_good_file_is_read(tmp_path):
    table = read_scores(write(tmp_path, *GOOD, "d,bc,0,", "d,bc,1,0.2", "d,bc,2,0.3"))
    assert list(table.columns) == RUN_COLUMNS and len(table) == 9
    assert table["score"].isna().sum() == 1


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([*GOOD, GOOD[0]], "line 8: mine on d, seed 0, stands there a second time"),
        (GOOD[1:], "mine on d lacks seed 0"),
        ([*GOOD, "e,mine,0,0.1"], "cql on e lacks seed 0, 1, 2"),
        ([*GOOD[:-1], "d,cql,2,31.5"], "cql on d, seed 2, has the score 31.5; .* looks like x100"),
        ([*GOOD[:-1], "d,cql,2,high"], "line 7: score is high, which is not allowed; it must be a number"),
        ([*GOOD[:-1], "d,cql,2,inf"], "line 7: score is inf"),
        ([*GOOD[:-1], "d,cql,2.5,0.1"], "line 7: seed is 2.5, which is not allowed; it must be a whole number from 0"),
        ([*GOOD[:-1], "d,,2,0.1"], "line 7: method is empty"),
        ([*GOOD[:-1], "d,cql,1e300,0.1"], "line 7: seed is 1e\\+300"),
        ([f"{row},0.9" for row in GOOD], "cannot be read as CSV"),
        ([], "no rows"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, rows, said):
    with pytest.raises(UserError, match=said):
        read_scores(write(tmp_path, *rows))


def test_a_comma_at_the_end_of_every_row_shifts_no_column(tmp_path):
    expected = read_scores(write(tmp_path, *GOOD))
    pd.testing.assert_frame_equal(read_scores(write(tmp_path, *(f"{row}," for row in GOOD))), expected)


def test_a_missing_column_and_a_missing_file(tmp_path):
    with pytest.raises(UserError, match="column 'score' is missing"):
        read_scores(write(tmp_path, "d,mine,0", head="dataset,method,seed"))
    with pytest.raises(UserError, match="cannot be read"):
        read_scores(tmp_path / "none.csv")


def test_a_compressed_file_that_ends_too_soon_is_refused(tmp_path):
    path = tmp_path / "mine.csv.gz"
    path.write_bytes(gzip.compress(write(tmp_path, *GOOD).read_bytes())[:30])
    with pytest.raises(UserError, match="cannot be read as CSV"):
        read_scores(path)


@pytest.fixture(scope="module")
def suite_and_results(tmp_path_factory):
    results = tmp_path_factory.mktemp("results")
    suite = make_suite(results)
    make_results(suite, results)
    for name, collect in ((RUNS, collect_runs), (SCORES, collect_scores), (VALUES, collect_values)):
        write_table(collect(suite, results), results / "suites" / suite.name / name)
    return suite, results


def own_rows(suite, **columns) -> pd.DataFrame:
    rows = [
        {"dataset": dataset, "method": "mine", "seed": seed, "score": 0.4 + 0.01 * seed, "updates": 1000, "episodes": 5}
        for dataset in suite.datasets
        for seed in suite.seeds
    ]
    table = pd.DataFrame(rows)
    return table.assign(dataset_hash="hash-of-" + table["dataset"], **columns)


def test_a_suite_says_which_datasets_and_seeds(tmp_path, suite_and_results):
    suite, _ = suite_and_results
    table = own_rows(suite)
    path = tmp_path / "mine.csv"
    for wrong, said in (
        (table.replace({"hopper/medium-v0": "hopper/medium-v2"}), "line 2: dataset hopper/medium-v2 is not in suite"),
        (table.assign(seed=table["seed"] + 1), "seed 3 is not in suite synthetic, which has 0, 1, 2"),
        (table[table["dataset"] == "hopper/medium-v0"], "mine on hopper/random-expert-v0 lacks seed 0, 1, 2 of suite"),
    ):
        wrong.to_csv(path, index=False)
        with pytest.raises(UserError, match=said):
            read_scores(path, suite)


def test_baselines_come_from_the_suite_where_the_protocol_agrees(tmp_path, suite_and_results):
    suite, results = suite_and_results
    path = tmp_path / "mine.csv"
    baselines = find_baselines(suite, results)
    own_rows(suite).to_csv(path, index=False)
    table = add_baselines(path, read_scores(path, suite), baselines, ["cql", "sac"])
    assert set(table["method"]) == {"mine", "cql", "sac"}
    for columns, said in (
        ({"dataset_hash": "another"}, "another dataset content are not compared"),
        ({"updates": 5000}, "updates is 5000 on hopper/medium-v0, and 1000 for our cql; scores of another budget"),
        ({"episodes": 50}, "another number of evaluation episodes are not compared"),
    ):
        own_rows(suite).assign(**columns).to_csv(path, index=False)
        with pytest.raises(UserError, match=said):
            add_baselines(path, read_scores(path, suite), baselines, ["cql"])
    own_rows(suite).drop(columns="updates").to_csv(path, index=False)
    with pytest.raises(UserError, match="column 'updates', the budget, is missing"):
        add_baselines(path, read_scores(path, suite), baselines, ["cql"])
    with pytest.raises(UserError, match="--against iql: not in .* and not in the suite, which has bc, cql"):
        add_baselines(path, read_scores(path, suite), baselines, ["iql"])
    with pytest.raises(UserError, match="run the suite"):
        find_baselines(suite, tmp_path)


def call(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cqlbench", "compare", *map(str, words)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )


def test_the_command(tmp_path, suite_and_results):
    suite, results = suite_and_results
    done = call("--scores", write(tmp_path, *GOOD), "--out", tmp_path / "comparison.csv")
    assert done.returncode == 0, done.stderr
    assert "| d | mine | 15.0 | CQL | 13.0 |" in done.stdout and "cannot be judged" in done.stdout
    assert len(pd.read_csv(tmp_path / "comparison.csv")) == 1
    own_rows(suite).to_csv(tmp_path / "own.csv", index=False)
    words = ["--suite", results / "synthetic.yaml", "--results", results, "--against", "bc"]
    done = call("--scores", tmp_path / "own.csv", *words)
    assert done.returncode == 0, done.stderr
    assert "mine is better than BC on hopper/random-expert-v0" in done.stdout
    path = write(tmp_path, *GOOD)
    for words, said in (
        (["cql"], "compared with itself"),
        (["mine", "--against", "bc"], "--against bc: not in .*mine.csv, which has cql, mine. With --suite it is taken"),
    ):
        wrong = call(*words, "--scores", path)
        assert wrong.returncode == 2 and re.search(said, wrong.stderr)


def test_of_several_methods_one_against_several(tmp_path):
    datasets, methods = [f"d{number}" for number in range(6)], {"mine": 0.6, "cql": 0.3, "iql": 0.61, "sac": 0.1}
    rows = [
        f"{dataset},{method},{seed},{middle + 0.01 * ((7 * seed + number + len(method)) ** 2 % 5)}"
        for number, dataset in enumerate(datasets)
        for method, middle in methods.items()
        for seed in range(4)
    ]
    done = call("mine", "--scores", write(tmp_path, *rows), "--against", "cql", "--against", "sac")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("mine is better than CQL") == done.stdout.count("mine is better than SAC") == 6
    assert done.stdout.count("corrected for 12 comparisons") == 12 and "iql" not in done.stdout
    unsaid = call("--scores", write(tmp_path, *rows), "--against", "cql")
    assert unsaid.returncode == 2 and "beside cql the file has iql, mine, sac" in unsaid.stderr


def test_imported_curves_are_compared(tmp_path):
    """Other people's runs: 4 methods on 12 datasets, 10 seeds each."""
    if not CURVES.is_file():
        pytest.skip(f"{CURVES.name} is not there")
    write_curves(read_curves(CURVES, references="d4rl"), tmp_path, {"title": "curves", "note": "", "source": ""})
    text = write_comparison(tmp_path, "TD3PlusBC", ["CQL"])
    compared = pd.read_csv(tmp_path / "comparison.csv")
    assert len(compared) == 12 and (compared["seeds"] == 10).all() and "corrected for 12 comparisons" in text
    # Holm's smallest is the smallest p times their number.
    assert compared["p_holm"].min() == pytest.approx(12 * compared["p"].min())
    assert compared["p_holm"].max() <= 1
