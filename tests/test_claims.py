from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats
from synthetic_runs import make_suite

from cqlbench.claims import judge_claims
from cqlbench.errors import UserError
from cqlbench.statistics import t_interval

DATASET = "hopper/medium-v0"


def finals(**families: dict[str, list[float]]) -> pd.DataFrame:
    """Last evaluations of the given families' headline methods: score, predicted and true value per seed."""
    rows = [
        {
            "dataset": DATASET, "family": family, "method": family, "headline": True, "seed": seed,
            "score": columns["score"][seed],
            "predicted_value": columns.get("predicted", [np.nan] * 3)[seed],
            "true_discounted_return": columns.get("true", [np.nan] * 3)[seed],
            "difference_mean": columns.get("predicted", [np.nan] * 3)[seed] - columns.get("true", [np.nan] * 3)[seed],
            "difference_standard_error": 2.0,
        }
        for family, columns in families.items()
        for seed in range(len(columns["score"]))
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture
def judge(tmp_path):
    suite = make_suite(tmp_path)

    def judged(table: pd.DataFrame, **claim: object) -> pd.Series:
        return judge_claims(replace(suite, claims=({"dataset": DATASET, **claim},)), table).iloc[0]

    return judged


THREE = [0.1, 0.2, 0.3]


def test_overestimates_needs_every_seed(judge):
    claim = {"kind": "overestimates", "method": "sac", "factor": 10}
    table = finals(sac={"score": THREE, "predicted": [50.0, 60.0, 70.0], "true": [2.0, 3.0, 4.0]})
    held = judge(table, **claim)
    assert held["verdict"] == "held" and held["seeds_holding"] == 3 and held["observed"] == pytest.approx(17.5)
    table.loc[1, "predicted_value"] = 29.0
    failed = judge(table, **claim)
    assert failed["verdict"] == "failed" and failed["seeds_holding"] == 2


def test_a_factor_of_a_negative_truth_says_nothing(judge):
    table = finals(sac={"score": THREE, "predicted": [-10.0] * 3, "true": [-100.0] * 3})
    row = judge(table, kind="overestimates", method="sac", factor=10)
    assert row["verdict"] == "undecided" and "not positive" in row["sentence"]


def test_lower_bound_both_ways_and_undecided(judge):
    claim = {"kind": "lower-bound", "method": "cql"}
    table = finals(cql={"score": THREE, "predicted": [50.0, 60.0, 70.0], "true": [100.0, 100.0, 100.0]})
    held = judge(table, **claim)
    assert held["verdict"] == "held" and held["observed"] == -30
    assert "-50.0 ± 2.0" in held["sentence"]
    missing = judge(table[table["seed"] < 2], **claim)
    assert missing["verdict"] == "undecided" and "2 of 3 seeds" in missing["sentence"]
    table.loc[0, "predicted_value"] = 101.0
    # One seed against it is enough, however many are missing.
    assert judge(table[table["seed"] < 2], **claim)["verdict"] == "failed"


def test_a_difference_within_its_noise_is_said_and_turns_no_verdict(judge):
    table = finals(cql={"score": THREE, "predicted": [50.0, 97.0, 104.5], "true": [100.0, 100.0, 100.0]})
    row = judge(table, kind="lower-bound", method="cql")
    assert row["verdict"] == "failed" and row["seeds_holding"] == 2
    assert "; for seed 1 the difference is within its noise (under two standard errors)." in row["sentence"]
    table.loc[1, "predicted_value"] = 50.0
    table.loc[1, "difference_mean"] = -50.0
    assert "noise" not in judge(table, kind="lower-bound", method="cql")["sentence"]


@pytest.mark.parametrize(
    ("kind", "margin", "cql", "verdict"),
    [
        ("score-within", 0.1, [0.30, 0.35, 0.32], "held"),
        ("score-within", 0.1, [0.20, 0.25, 0.22], "failed"),
        ("score-above", 0.2, [0.70, 0.65, 0.72], "held"),
        ("score-above", 0.2, [0.50, 0.45, 0.52], "failed"),
    ],
)
def test_score_claims_both_ways(judge, kind, margin, cql, verdict):
    table = finals(cql={"score": cql}, bc={"score": [0.4, 0.4, 0.4]})
    row = judge(table, kind=kind, method="cql", reference="bc", margin=margin)
    assert row["verdict"] == verdict
    assert row["observed"] == pytest.approx(np.mean(cql) - 0.4)
    assert row["low"] < row["observed"] < row["high"]
    assert f"{100 * row['observed']:+.1f} points" in row["sentence"]  # x100 in words, 0-1 in the table


def test_score_differences_are_paired_by_seed(judge):
    table = finals(cql={"score": [0.1, 0.5, 0.9]}, bc={"score": [0.05, 0.45, 0.85]})
    row = judge(table.sample(frac=1, random_state=0), kind="score-above", method="cql", reference="bc", margin=0.02)
    assert row["verdict"] == "held" and row["high"] - row["low"] == pytest.approx(0, abs=1e-9)


def test_an_interval_across_the_threshold_is_said(judge):
    table = finals(cql={"score": [0.1, 0.9, 0.8]}, bc={"score": [0.3, 0.3, 0.3]})
    row = judge(table, kind="score-above", method="cql", reference="bc", margin=0.2)
    assert row["verdict"] == "held" and "crosses the declared threshold" in row["sentence"]


def test_missing_pairs_leave_it_undecided(judge):
    table = finals(cql={"score": [0.9, 0.9]}, bc={"score": [0.1, 0.1, 0.1]})
    row = judge(table, kind="score-above", method="cql", reference="bc", margin=0.2)
    assert row["verdict"] == "undecided" and row["seeds"] == 2
    row = judge(finals(bc={"score": THREE}), kind="score-above", method="cql", reference="bc", margin=0.2)
    assert row["verdict"] == "undecided" and "no pair" in row["sentence"]


def test_only_the_headline_is_judged(judge):
    table = finals(cql={"score": THREE, "predicted": [50.0] * 3, "true": [100.0] * 3})
    other = table.assign(headline=False, predicted_value=1e6)
    assert judge(pd.concat([table, other]), kind="lower-bound", method="cql")["verdict"] == "held"


@pytest.mark.parametrize(
    ("cql", "verdict"),
    [
        ([0.41, 0.39, 0.40], "held"),
        ([0.55, 0.56, 0.54], "failed"),
        ([0.25, 0.24, 0.26], "failed"),
        ([0.40, 0.30, 0.50], "undecided"),
        ([0.50, 0.51, 0.52], "undecided"),  # outside on average, but the interval crosses
    ],
)
def test_equivalence_is_held_inside_failed_outside_and_undecided_across(judge, cql, verdict):
    table = finals(cql={"score": cql}, bc={"score": [0.4, 0.4, 0.4]})
    row = judge(table, kind="score-equivalent", method="cql", reference="bc", margin=0.1)
    assert row["verdict"] == verdict
    low, high = t_interval(np.array(cql) - 0.4, level=0.90)
    assert (row["low"], row["high"]) == pytest.approx((low, high))
    assert f"90 % interval {100 * low:+.1f} to {100 * high:+.1f}" in row["sentence"]
    # Both one-sided tests at 5 %: the interval decides as they do.
    if verdict == "held":
        differences = np.array(cql) - 0.4
        assert scipy_stats.ttest_1samp(differences, -0.1, alternative="greater").pvalue < 0.05
        assert scipy_stats.ttest_1samp(differences, 0.1, alternative="less").pvalue < 0.05


def test_equivalence_of_values_is_in_their_own_unit(judge):
    methods = {"cql": [50.0, 52.0, 51.0], "bc": [50.0, 50.0, 50.0]}
    table = finals(
        **{name: {"score": THREE, "predicted": values, "true": [9.0] * 3} for name, values in methods.items()}
    )
    row = judge(table, kind="value-equivalent", method="cql", reference="bc", margin=5)
    assert row["verdict"] == "held" and row["observed"] == pytest.approx(1.0)
    assert "differs by +1.0 over 3 pairs" in row["sentence"]
    row = judge(table[table["seed"] < 2], kind="value-equivalent", method="cql", reference="bc", margin=50)
    assert row["verdict"] == "undecided" and "2 of 3 seeds" in row["sentence"]
    assert judge(table[table["seed"] < 1], kind="value-equivalent", method="cql", reference="bc", margin=50)[
        "sentence"
    ].startswith("The predicted value of CQL is within 50 of that of BC")


def test_an_unknown_kind_is_refused(judge):
    with pytest.raises(UserError, match="'wins' is not one of overestimates"):
        judge(finals(cql={"score": THREE}), kind="wins", method="cql")
