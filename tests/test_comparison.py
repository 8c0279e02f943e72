from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from synthetic_runs import make_results, make_suite

from cqlbench import comparison
from cqlbench.comparison import RUN_COLUMNS, compare
from cqlbench.errors import UserError
from cqlbench.scores import (
    RUNS,
    SCORES,
    VALUES,
    collect_runs,
    collect_scores,
    collect_values,
    read_table,
    write_table,
)

ROOT = Path(__file__).parents[1]
FINITE = st.floats(-1, 2, allow_nan=False)


def runs_table(**methods: dict[str, list[float]]) -> pd.DataFrame:
    """RUN_COLUMNS of seeds 0, 1, ...: runs_table(mine={"d": [0.1, 0.2]})."""
    rows = [
        (dataset, method, seed, score, 10.0, 5.0, "failed: no memory" if np.isnan(score) else "done")
        for method, datasets in methods.items()
        for dataset, scores in datasets.items()
        for seed, score in enumerate(scores)
    ]
    return pd.DataFrame(rows, columns=RUN_COLUMNS)


def test_verdicts():
    table = runs_table(
        mine={"up": [0.6, 0.61, 0.62], "down": [0.1, 0.11, 0.1], "level": [0.5, 0.3, 0.45]},
        cql={"up": [0.3, 0.32, 0.31], "down": [0.4, 0.42, 0.43], "level": [0.35, 0.46, 0.41]},
    )
    found = compare(table, "mine", ["cql"]).set_index("dataset")
    assert dict(found["verdict"]) == {"up": "better", "down": "worse", "level": "no evidence either way"}
    assert found.loc["up", "difference"] == pytest.approx(0.3)
    assert found.loc["up", "probability_of_improvement"] == 1
    assert found.loc["up", "sentence"].startswith("mine is better than CQL on up: +30.0 (")
    level = found.loc["level"]
    assert level["low"] < 0 < level["high"]
    assert level["power_low"] < level["power"] < level["power_high"]
    assert f"{level['more_seeds_for_gain']} more seeds are needed for 80 %" in level["outlook"]


def test_correction_is_over_everything_compared_at_once():
    # Alone p is 0.02; beside two others that show nothing it is three times that.
    mine = {"a": [0.5, 0.58, 0.55]}
    cql = {"a": [0.40, 0.42, 0.41]}
    alone = compare(runs_table(mine=mine, cql=cql), "mine", ["cql"])
    others = {"b": [0.5, 0.3, 0.45], "c": [0.4, 0.3, 0.2]}
    others_of_cql = {"b": [0.35, 0.46, 0.41], "c": [0.2, 0.3, 0.41]}
    together = compare(runs_table(mine=mine | others, cql=cql | others_of_cql), "mine", ["cql"])
    assert alone["p"][0] == together["p"][0] < 0.05
    assert together["p_holm"][0] == pytest.approx(3 * alone["p_holm"][0])
    assert (alone["verdict"][0], together["verdict"][0]) == ("better", "no evidence either way")
    assert "the correction takes it back" in together["outlook"][0]


def test_a_failed_run_is_named_and_leaves_with_its_pair():
    table = runs_table(mine={"d": [0.6, np.nan, 0.62, 0.6]}, cql={"d": [0.3, 0.9, 0.31, 0.33]})
    row = compare(table, "mine", ["cql"]).iloc[0]
    assert row["seeds"] == 3 and row["reference_mean"] == pytest.approx((0.3 + 0.31 + 0.33) / 3)
    assert row["missing"] == "seed 1 of mine (failed: no memory)"
    assert row["missing"] in row["outlook"] and row["verdict"] == "better"


@pytest.mark.parametrize(
    ("scores", "why"),
    [
        ([0.5], "1 seed of both"),
        ([np.nan, np.nan], "0 seeds of both"),
        ([0.4, 0.5, 0.6], "the same in every seed"),
    ],
)
def test_what_cannot_be_judged_says_why(scores, why):
    table = runs_table(mine={"d": scores}, cql={"d": [0.3, 0.4, 0.5]})
    row = compare(table, "mine", ["cql"]).iloc[0]
    assert row["verdict"] == "cannot be judged" and why in row["sentence"]
    assert np.isnan(row["p_holm"])
    assert "cannot be judged" in comparison.markdown(compare(table, "mine", ["cql"]))


def test_what_cannot_be_judged_costs_the_others_no_correction():
    scores = {"mine": {"a": [0.5, 0.58, 0.55], "b": [0.1]}, "cql": {"a": [0.40, 0.42, 0.41], "b": [0.2]}}
    found = compare(runs_table(**scores), "mine", ["cql"])
    assert found["p_holm"][0] == found["p"][0]


@given(hnp.arrays(float, (2, 2, 4), elements=FINITE), st.randoms(use_true_random=False))
def test_order_of_rows_has_no_influence_and_exchange_turns_the_sign(scores, random):
    table = runs_table(
        **{name: {f"d{d}": list(scores[m, d]) for d in range(2)} for m, name in enumerate(("mine", "cql"))}
    )
    order = list(range(len(table)))
    random.shuffle(order)
    found = compare(table, "mine", ["cql"])
    pd.testing.assert_frame_equal(found, compare(table.iloc[order], "mine", ["cql"]))
    turned = compare(table, "cql", ["mine"])
    np.testing.assert_array_equal(found["difference"], -turned["difference"])
    np.testing.assert_array_equal(found["p_holm"], turned["p_holm"])


def test_several_references():
    scores = dict(product(["mine", "cql", "bc"], [{"d": [0.1, 0.2, 0.25]}]))
    scores["mine"] = {"d": [0.15, 0.2, 0.35]}
    found = compare(runs_table(**scores), "mine", ["cql", "bc"])
    assert list(found["reference"]) == ["cql", "bc"]
    np.testing.assert_allclose(found["p_holm"], np.minimum(1, 2 * found["p"]))


def test_an_unknown_method_is_refused():
    with pytest.raises(UserError, match="'sac' is not among the methods with runs: cql, mine"):
        compare(runs_table(mine={"d": [0.1]}, cql={"d": [0.2]}), "mine", ["sac"])


def test_a_method_against_itself_is_refused():
    with pytest.raises(UserError, match="--against mine: a method cannot be compared with itself"):
        compare(runs_table(mine={"d": [0.1]}, cql={"d": [0.2]}), "mine", ["cql", "mine"])


def test_summary_over_datasets(monkeypatch):
    monkeypatch.setattr("cqlbench.statistics.bootstrap.REPETITIONS", 100)
    table = runs_table(
        mine={"a": [0.6, 0.7, 0.65], "b": [0.5, 0.4, 0.6], "c": [0.9, 0.9, 0.9]},
        cql={"a": [0.3, 0.2, 0.25], "b": [0.1, 0.2, np.nan]},
    )
    iqm, chance = comparison.summarise(table, "mine", ["cql"])
    # The mean of 0.5, 0.6, 0.6 and 0.65.
    assert iqm.startswith("IQM over 2 datasets: mine 58.8 (")
    assert chance.startswith("Probability that a run of mine beats one of CQL: 1.00 (")
    nothing = comparison.summarise(runs_table(mine={"a": [0.1]}, cql={"b": [0.2]}), "mine", ["cql"])
    assert nothing == ["No dataset has a score of every method: nothing can be said over all of them."]
    # Each method has a score on both datasets, but "mine" no seed that has both.
    crossed = runs_table(mine={"a": [0.1, np.nan], "b": [np.nan, 0.1]}, cql={"a": [0.2, 0.2], "b": [0.2, 0.2]})
    assert "nan" not in " ".join(comparison.summarise(crossed, "mine", ["cql"]))


def test_a_suites_runs_are_read_with_their_failures(tmp_path):
    suite = make_suite(tmp_path)
    make_results(suite, tmp_path)
    folder = tmp_path / "suites" / suite.name
    collected = ((RUNS, collect_runs), (SCORES, collect_scores), (VALUES, collect_values))
    for name, collector in collected:
        write_table(collector(suite, tmp_path), folder / name)
    table = comparison.runs_of_suite(folder)
    # Of a sweep, the headline setting alone.
    assert len(table) == len({(method.family) for method in suite.methods}) * len(suite.datasets) * len(suite.seeds)
    found = compare(table, "own-idea", ["cql", "sac", "bc"]).set_index(["dataset", "reference"])
    broken = found.loc[("hopper/random-expert-v0", "sac")]
    assert broken["seeds"] == 2 and "seed 1 of SAC (failed: ValueError" in broken["missing"]
    assert "seed 2 of BC (missing)" in found.loc[("hopper/medium-v0", "bc"), "missing"]
    assert found.loc[("hopper/medium-v0", "sac"), "reference_value_gap"] > 1e4
    assert (found["cpu_seconds"] == 50).all()


def test_what_was_not_trained_here_and_what_other_code_made_is_said():
    made = {"mine": ("new", "torch 2.13.1", np.nan), "cql": ("old", "torch 2.13.0", "results/reference/quick")}
    table = runs_table(mine={"d": [0.1, 0.2]}, cql={"d": [0.1, 0.3]})
    origin = ["code_fingerprint", "packages", "taken_from"]
    table[origin] = [made[method] for method in table["method"]]
    so = "made these runs, so a part of the differences may come from that"
    assert comparison.remarks(table) == [
        "The 2 runs of CQL are taken from results/reference/quick; they were not trained here.",
        f"Different training code {so}: mine by new; CQL by old.",
        f"Different packages {so}: CQL by torch 2.13.0; mine by torch 2.13.1.",
    ]
    # A run that never began names nothing.
    table[origin] = [("new", "torch 2.13.0", np.nan)] * 3 + [(np.nan, np.nan, np.nan)]
    assert comparison.remarks(table) == []


def test_the_page_shows_what_the_committed_scores_give(tmp_path):
    finals = read_table(ROOT / "results/reference/quick/statistics/finals.csv")
    write_table(compare(finals.reindex(columns=RUN_COLUMNS), "d3rlpy-cql", ["cql"]), tmp_path / "found.csv")
    committed = read_table(ROOT / "results/reference/compare/quick.csv")
    pd.testing.assert_frame_equal(read_table(tmp_path / "found.csv"), committed, rtol=1e-9)
    assert comparison.markdown(committed) in (ROOT / "docs/comparing.md").read_text()


def test_the_walk_through_is_the_one_that_was_measured():
    page = (ROOT / "docs/own-method.md").read_text()
    folder = ROOT / "results/reference/compare"
    assert comparison.markdown(read_table(folder / "walk-through.csv")) in page
    for row in pd.read_csv(folder / "walk-through-times.csv").itertuples():
        command, _, further = str(row.command).partition(", ")
        assert f"| `{command}`{', ' * bool(further)}{further} | {row.seconds} | {row.cpu_seconds} |" in page
