"""Other people's final scores, through every table, give what they printed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cqlbench.published.curves import read_curves, write_curves
from cqlbench.published.facts import published_scores
from cqlbench.published.names import algorithm_key
from cqlbench.scores import read_table
from cqlbench.statistics import write_statistics

CURVES = Path(__file__).parents[3] / "shared/published/d3rlpy_benchmarks_curves.csv.gz"


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    if not CURVES.is_file():
        pytest.skip(f"{CURVES.name} is other people's data and not here")
    folder = tmp_path_factory.mktemp("d3rlpy-benchmarks")
    write_curves(read_curves(CURVES, references="d4rl"), folder, {"title": "Curves", "note": "", "source": CURVES.name})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cqlbench.statistics.bootstrap.REPETITIONS", 50)
        write_statistics(folder)
    return {path.stem: read_table(path) for path in (folder / "statistics").iterdir()}


@pytest.fixture(scope="module")
def printed():
    table = published_scores()
    table = table[table["source"].str.startswith("d3rlpy-benchmarks")]
    return table.assign(key=table["algorithm"].map(algorithm_key)).set_index(["statistic", "key", "dataset"])


def test_the_table_is_the_printed_one(tables, printed):
    ours = tables["table"].assign(key=tables["table"]["family"].map(algorithm_key)).set_index(["key", "dataset"])
    theirs = printed.loc["last"].loc[ours.index]
    assert len(ours) == 48 and (ours["seeds"] == 10).all() and (theirs["num_seeds"] == 10).all()
    # Every row, to half of the last printed digit; the spread is theirs, which divides by n and not by n - 1.
    assert (100 * ours["score_mean"] - theirs["score_mean"]).abs().max() < 0.0501
    assert (100 * np.sqrt(9 / 10) * ours["score_std"] - theirs["score_std"]).abs().max() < 0.0501


def test_no_printed_best_is_reached_by_the_evaluations_in_the_file(tables, printed):
    # The file has every tenth evaluation, and the best of fewer is lower: no row of `best` agrees.
    ours = tables["table"].assign(key=tables["table"]["family"].map(algorithm_key)).set_index(["key", "dataset"])
    short = printed.loc["best"].loc[ours.index, "score_mean"] - 100 * ours["best_mean"]
    assert (short > 0.05).all()


def test_all_runs_are_used_and_their_seeds_are_not_paired(tables):
    assert tables["holes"].empty
    assert (tables["aggregates"]["seeds"] == 10).all() and (tables["aggregates"]["datasets"] == 12).all()
    comparisons = tables["comparisons"]
    assert len(comparisons) == 12 * 6 == comparisons["comparisons"].iloc[0]
    assert (comparisons["pairing"] == "unpaired").all()
    assert (tables["improvement_by_update"].groupby(["x", "y"]).size() == 50).all()
