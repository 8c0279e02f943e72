from __future__ import annotations

import gzip
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from cqlbench.cli import app
from cqlbench.errors import UserError
from cqlbench.published.curves import HEADER, read_curves
from cqlbench.published.facts import published_scores
from cqlbench.published.names import algorithm_key
from cqlbench.scores import EPISODES, RUNS, SCORES, TRAINING, VALUES, read_table

HEAD = "algorithm,dataset,seed,step,return"
METHODS = ("CQL", "SAC")
DATASETS = ("hopper-medium-v0", "walker2d-medium-v0")
ROWS = [
    f"{method},{dataset},{seed},{step},{(100 + seed) * step * (2 if method == 'CQL' else 1)}"
    for method in METHODS
    for dataset in DATASETS
    for seed in (1, 2, 3)
    for step in (5, 10)
]
CURVES = Path(__file__).parents[3] / "shared/published/d3rlpy_benchmarks_curves.csv.gz"
TABLES = (SCORES, RUNS, VALUES, TRAINING, EPISODES, "about.yaml")

# Where the heavy packages cannot be imported.
REFUSE = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "d3rlpy", "gymnasium", "minari", "mujoco"):
            raise AssertionError(f"{name} is imported")

sys.meta_path.insert(0, Refuse())
"""
COMMAND = REFUSE + "from cqlbench.cli import main; main()"


def write(folder: Path, rows=ROWS, head: str = HEAD) -> Path:
    path = folder / "curves.csv"
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def scored(rows=ROWS, factor=1.0):
    """`rows` with a score of a hundredth of a thousandth of the return."""
    cells = [row.rpartition(",") for row in rows]
    return [f"{rest},{factor * float(value) / 10_000:g}" for rest, _, value in cells]


def command(*words: object) -> str:
    result = CliRunner().invoke(app, ["import-scores", *map(str, words)])
    if result.exception:
        raise result.exception
    return result.output


def test_returns_become_d4rls_scores(tmp_path):
    table = read_curves(write(tmp_path), references="d4rl")
    first = table.iloc[0]
    assert (first["dataset"], first["algorithm"], first["seed"], first["update"]) == ("hopper-medium-v0", "CQL", 1, 5)
    assert first["score"] == pytest.approx((1010 + 20.272305) / (3234.3 + 20.272305))
    assert (first["ref_min"], first["ref_max"]) == (-20.272305, 3234.3)
    assert len(table) == len(ROWS)


def test_scores_are_taken_as_they_are_and_need_no_references(tmp_path):
    rows = [row.replace("hopper-medium-v0", "my/data") for row in scored()]
    table = read_curves(write(tmp_path, rows, HEAD.replace("return", "score")))
    assert set(table["dataset"]) == {"my/data", "walker2d-medium-v0"}
    assert table["score"].max() == pytest.approx(0.206) and table["ref_min"].isna().all()


def test_columns_may_be_called_otherwise(tmp_path):
    names = {"algorithm": "algo", "dataset": "env", "seed": "run", "update": "iteration", "return": "reward"}
    path = write(tmp_path, head=",".join(names.values()))
    pd.testing.assert_frame_equal(
        read_curves(path, HEADER | names, "d4rl"), read_curves(write(tmp_path), references="d4rl")
    )
    options = [f"--{key}-column={name}" for key, name in names.items()]
    command(write(tmp_path, head=",".join(names.values())), "--out", tmp_path / "out", "--references", "d4rl", *options)
    assert len(read_table(tmp_path / "out" / SCORES)) == len(ROWS)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([*ROWS, ROWS[0]], "line 26: CQL on hopper-medium-v0, seed 1, update 5, stands there a second time"),
        ([*ROWS[:-1], "SAC,walker2d-medium-v0,3,10,"], "line 25: return is empty or NaN, which is not allowed"),
        ([*ROWS[:-1], "SAC,walker2d-medium-v0,3,10,nan"], "line 25: return is nan, which is not allowed"),
        ([*ROWS[:-1], "SAC,walker2d-medium-v0,3,10,inf"], "line 25: return is .*inf.*must be a number"),
        ([*ROWS[:-1], "SAC,walker2d-medium-v0,3,high,1"], "line 25: update is high.*whole number from 0"),
        ([*ROWS[:-1], "SAC,walker2d-medium-v0,-3,10,1"], "line 25: seed is -3.*whole number from 0"),
        ([*ROWS[:-1], "SAC,,3,10,1"], "line 25: dataset is empty or NaN.*must be text"),
        ([*ROWS[:-1], '"SAC, small",walker2d-medium-v0,3,10,1'], "line 25: algorithm is SAC, small.*without commas"),
        (ROWS[:-1], "line 24: SAC on walker2d-medium-v0, seed 3, ends here without update 10.*1 of 2 evaluations"),
        ([*ROWS, "SAC,walker2d-medium-v0,3,15,1"], "line 3: CQL on hopper-medium-v0, seed 1.*without update 15"),
        ([row.replace("hopper-", "hoper-") for row in ROWS], "line 2: dataset 'hoper-medium-v0'.*halfcheetah, hopper,"),
        ([row.replace("hopper-medium", "hopper/medium") for row in ROWS], "line 2: dataset 'hopper/medium-v0' is not"),
        ([], "no rows"),
    ],
)
def test_what_is_wrong_is_said_by_its_line(tmp_path, rows, said):
    with pytest.raises(UserError, match=said):
        read_curves(write(tmp_path, rows), references="d4rl")


def test_scores_x100_are_refused(tmp_path):
    path = write(tmp_path, scored(factor=100), HEAD.replace("return", "score"))
    with pytest.raises(
        UserError, match="line 7: CQL on hopper-medium-v0, seed 3, has the score 20.6; .* looks like x100"
    ):
        read_curves(path)


def test_missing_columns_references_and_files(tmp_path):
    path = write(tmp_path, head="algorithm,dataset,seed,update,return")
    with pytest.raises(UserError, match="column 'step' is missing; the file has 'algorithm', .* with --update-column"):
        read_curves(path, references="d4rl")
    path = write(tmp_path, head="algorithm,dataset,seed,step,reward")
    with pytest.raises(UserError, match="column 'return' or 'score' is missing"):
        read_curves(path, references="d4rl")
    with pytest.raises(UserError, match="returns and no scores; say by which references"):
        read_curves(write(tmp_path))
    with pytest.raises(UserError, match="--references minari: not known; it must be d4rl"):
        read_curves(write(tmp_path), references="minari")
    with pytest.raises(UserError, match="cannot be read"):
        read_curves(tmp_path / "none.csv")
    broken = tmp_path / "broken.csv.gz"
    broken.write_bytes(gzip.compress(write(tmp_path).read_bytes())[:-20])
    with pytest.raises(UserError, match="cannot be read"):
        read_curves(broken, references="d4rl")


def test_the_folder_has_every_table_and_says_what_it_is(tmp_path):
    path = write(tmp_path)
    output = command(path, "--out", tmp_path / "out", "--references", "d4rl", "--title", "Curves", "--note", "Of 1999.")
    assert "12 runs of 2 methods on 2 datasets, 2 evaluations each, up to 10 updates" in output
    about = yaml.safe_load((tmp_path / "out/about.yaml").read_text())
    assert list(about) == ["title", "note", "source"] and (about["title"], about["note"]) == ("Curves", "Of 1999.")
    assert re.fullmatch(r"curves.csv, sha256 [0-9a-f]{16}; returns normalised with D4RL's references", about["source"])
    scores, runs = (read_table(tmp_path / "out" / name) for name in (SCORES, RUNS))
    assert set(scores["method"]) == set(scores["family"]) == set(scores["algorithm"]) == set(METHODS)
    assert set(runs["status"]) == {"done"} and set(runs["updates"]) == {10} and runs["headline"].all()
    assert all(read_table(tmp_path / "out" / name).empty for name in (VALUES, TRAINING, EPISODES))


def test_the_same_rows_in_any_order_give_the_same_bytes(tmp_path):
    for name, rows in (("one", ROWS), ("two", ROWS[::-1])):
        (tmp_path / name).mkdir()
        command(write(tmp_path / name, rows), "--out", tmp_path / name / "out", "--references", "d4rl", "--title", "T")
    for name in set(TABLES) - {"about.yaml"}:
        assert (tmp_path / "one/out" / name).read_bytes() == (tmp_path / "two/out" / name).read_bytes()


def test_a_missing_seed_is_named_and_no_error(tmp_path):
    rows = [row for row in ROWS if not row.startswith("SAC,hopper-medium-v0,2,")]
    # CQL's seeds need not be SAC's.
    rows = [row.replace(",3,", ",7,") if row.startswith("CQL") else row for row in rows]
    output = command(write(tmp_path, rows), "--out", tmp_path / "out", "--references", "d4rl")
    assert output.startswith("missing: SAC on hopper-medium-v0, seed 2\n") and output.count("missing:") == 1
    runs = read_table(tmp_path / "out" / RUNS)
    (hole,) = runs[runs["status"] != "done"].to_dict("records")
    assert (hole["status"], hole["reason"], hole["seed"]) == ("missing", "not in the table", 2)
    assert set(runs.loc[runs["method"] == "CQL", "seed"]) == {1, 2, 7}


def test_a_suites_folder_is_not_overwritten(tmp_path):
    (tmp_path / RUNS).write_text("dataset\n")
    with pytest.raises(UserError, match="holds the tables of a suite"):
        command(write(tmp_path), "--out", tmp_path, "--references", "d4rl")
    assert (tmp_path / RUNS).read_text() == "dataset\n"


def test_statistics_and_figures_need_none_of_the_heavy_packages(tmp_path):
    rows = [row for row in ROWS if not row.startswith("SAC,hopper-medium-v0,2,")]
    path = write(tmp_path, rows)
    for words in (
        ["import-scores", path, "--out", tmp_path / "out", "--references", "d4rl"],
        ["statistics", tmp_path / "out"],
        ["figures", tmp_path / "out"],
    ):
        done = subprocess.run([sys.executable, "-c", COMMAND, *map(str, words)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "Warning" not in done.stderr
    statistics = tmp_path / "out/statistics"
    assert len(read_table(statistics / "finals.csv")) == 11 and len(read_table(statistics / "holes.csv")) >= 1
    assert set(read_table(statistics / "published.csv")["verdict"]) == {"other budget", "other data"}
    assert (tmp_path / "out/figures/learning-curves.svg").is_file()


def test_the_blocker_blocks():
    done = subprocess.run([sys.executable, "-c", REFUSE + "import torch"], capture_output=True, text=True)
    assert "torch is imported" in done.stderr


@pytest.mark.skipif(not CURVES.is_file(), reason=f"{CURVES.name} is other people's data and not here")
def test_their_own_curves_give_the_scores_that_they_printed():
    table = read_curves(CURVES, references="d4rl")
    assert len(table) == 24_000
    last = table[table["update"] == table["update"].max()]
    ours = last.groupby([last["algorithm"].map(algorithm_key), "dataset"])["score"].agg(
        ["mean", lambda scores: np.std(scores), "size"]
    )
    printed = published_scores()
    printed = printed[printed["source"].str.startswith("d3rlpy-benchmarks")]
    printed = printed.set_index([printed["algorithm"].map(algorithm_key), "dataset"]).loc[ours.index]
    theirs, best = (printed[printed["statistic"] == statistic] for statistic in ("last", "best"))
    assert len(theirs) == 48
    # To the printed digit; the spread too, which divides by n.
    assert (100 * ours["mean"] - theirs["score_mean"]).abs().max() < 0.051
    assert (100 * ours.iloc[:, 1] - theirs["score_std"]).abs().max() < 0.051
    assert (ours["size"] == theirs["num_seeds"]).all()
    # More evaluations than the file has make a higher best.
    in_file = table.groupby([table["algorithm"].map(algorithm_key), "dataset", "seed"])["score"].max()
    above = best["score_mean"] - 100 * in_file.groupby(level=[0, 1]).mean()
    assert (above > 0).all() and above.max() > 30
