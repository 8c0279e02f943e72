from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cqlbench.published import reproduction
from cqlbench.published.reproduction import COLUMNS, beside_published, welch_interval

# CORL's CQL, last: 47.04 with a printed deviation of 0.22 over 4 seeds, after 1,000,000 updates; best: 47.62.
THEIRS, THEIR_BEST = 0.4704, 0.4762
D4RL_REFERENCES = (-280.178953, 12135.0)


def finals(scores, dataset="halfcheetah-medium-v2", family="cql", updates=1_000_000, headline=True, best=None):
    return pd.DataFrame(
        {
            "dataset": dataset,
            "method": f"{family} cql_alpha=5",
            "family": family,
            "headline": headline,
            "seed": range(len(scores)),
            "update": updates,
            "score": scores,
            "best": scores if best is None else best,
        }
    )


def judge(table, references=D4RL_REFERENCES, source="CORL", statistic="last"):
    """The rows of `source` and `statistic`."""
    low, high = references
    scores = pd.DataFrame({"dataset": table["dataset"].unique(), "ref_min": low, "ref_max": high})
    found = beside_published(table, scores)
    assert list(found.columns) == COLUMNS
    return found[found["source"].str.startswith(source) & (found["statistic"] == statistic)]


def around(mean, deviation, seeds):
    """`seeds` scores of exactly this mean and sample deviation."""
    steps = np.linspace(-1, 1, seeds)
    return mean + deviation * steps / steps.std(ddof=1)


def test_near_enough_for_sure_is_reproduced():
    (row,) = judge(finals(around(THEIRS + 0.005, 0.01, 20))).to_dict("records")
    assert row["verdict"] == "reproduced" and row["because"] == "the 90 % interval lies within the margin of 5 points"
    assert row["difference"] == pytest.approx(0.005) and -0.05 < row["low"] < 0.005 < row["high"] < 0.05
    assert (row["published_mean"], row["published_std"], row["published_seeds"]) == (THEIRS, 0.0022, 4)
    assert (row["score_mean"], row["score_std"]) == (pytest.approx(THEIRS + 0.005), pytest.approx(0.01))


def test_far_for_sure_is_not_reproduced():
    for mean in (THEIRS + 0.3, THEIRS - 0.3):
        (row,) = judge(finals(around(mean, 0.01, 20))).to_dict("records")
        assert row["verdict"] == "not reproduced"


def test_across_the_margin_are_too_few_seeds():
    (row,) = judge(finals(around(THEIRS + 0.05, 0.02, 5))).to_dict("records")
    assert row["verdict"] == "not enough seeds to tell" and row["low"] < 0.05 < row["high"]


def test_one_seed_and_no_spread_have_no_interval():
    (row,) = judge(finals([THEIRS])).to_dict("records")
    assert row["verdict"] == "not enough seeds to tell" and np.isnan(row["low"]) and "one seed" in row["because"]
    # Of the IQL paper's number no spread is known.
    (row,) = judge(finals([THEIRS] * 5), source="IQL").to_dict("records")
    assert row["verdict"] == "not enough seeds to tell" and np.isnan(row["low"]) and "no seed differs" in row["because"]


def test_a_number_without_spread_is_taken_as_exact_and_that_is_said():
    scores = around(0.435, 0.02, 5)
    (row,) = judge(finals(scores), source="IQL").to_dict("records")
    assert "taken as exact" in row["because"] and row["note"] == "secondary source"
    expected = stats.t.interval(0.9, 4, scores.mean() - 0.44, stats.sem(scores))
    assert (row["low"], row["high"]) == pytest.approx(expected)
    assert pd.isna(row["published_seeds"]) and np.isnan(row["published_std"])


@pytest.mark.parametrize(
    "dataset", ["halfcheetah/medium-v0", "minari:mujoco/halfcheetah/medium-v0", "halfcheetah-medium-v1"]
)
def test_other_data_have_no_difference(dataset):
    found = beside_published(
        finals(around(THEIRS, 0.01, 5), dataset), pd.DataFrame(columns=["dataset", "ref_min", "ref_max"])
    )
    assert set(found["published_dataset"]) == {"halfcheetah-medium-v0", "halfcheetah-medium-v2"}
    assert set(found["verdict"]) == {"other data"}
    assert found[["difference", "low", "high"]].isna().all(axis=None)


def test_another_version_is_other_data():
    found = beside_published(
        finals(around(THEIRS, 0.01, 5)), pd.DataFrame(columns=["dataset", "ref_min", "ref_max"])
    ).groupby("published_dataset")["verdict"]
    assert set(found.get_group("halfcheetah-medium-v0")) == {"other data"}
    assert "other data" not in set(found.get_group("halfcheetah-medium-v2"))


def test_another_budget_has_no_difference_and_both_are_named():
    (row,) = judge(finals(around(THEIRS, 0.01, 5), updates=30_000)).to_dict("records")
    assert row["verdict"] == "other budget" and row["because"] == "30,000 updates, theirs 1,000,000"
    assert (row["updates"], row["published_updates"]) == (30_000, 1_000_000)
    assert np.isnan(row["difference"])


def test_other_references_have_no_difference():
    (row,) = judge(finals(around(THEIRS, 0.01, 5)), references=(-360.408074, 1337.546726)).to_dict("records")
    assert row["verdict"] == "other references" and "12135" in row["because"] and np.isnan(row["difference"])


def test_unknown_references_are_taken_for_theirs_and_that_is_said():
    table = finals(around(THEIRS, 0.01, 20))
    known = judge(table)["because"].item()
    unknown = judge(table, references=(np.nan, np.nan))["because"].item()
    assert unknown == f"{known}; ours say not by which returns they were normalised, which are taken for D4RL's"


def test_the_best_stands_beside_our_best_and_gets_no_verdict():
    last, best = around(THEIRS, 0.01, 5), around(0.48, 0.01, 5)
    (row,) = judge(finals(last, best=best), statistic="best").to_dict("records")
    assert row["verdict"] == "oracle selection"
    assert row["score_mean"] == pytest.approx(0.48) and row["published_mean"] == THEIR_BEST
    assert row["difference"] == pytest.approx(0.48 - THEIR_BEST)


def test_only_headline_methods_and_only_their_algorithm():
    assert judge(finals(around(THEIRS, 0.01, 5), headline=False)).empty
    assert judge(finals(around(THEIRS, 0.01, 5), family="own-idea")).empty
    assert judge(finals([np.nan] * 3)).empty
    assert set(judge(finals(around(0.5, 0.01, 5), family="bc"))["algorithm"]) == {"BC"}


def test_the_order_of_rows_has_no_influence():
    both = pd.concat([finals(around(THEIRS, 0.01, 5)), finals(around(0.5, 0.02, 5), family="bc")], ignore_index=True)
    pd.testing.assert_frame_equal(judge(both), judge(both.sample(frac=1, random_state=0)))


points = st.lists(st.integers(-100, 200), min_size=2, max_size=10).map(np.array)


@given(points, points)
def test_the_interval_is_welchs(ours, theirs):
    found = welch_interval(ours.mean(), ours.std(ddof=1), len(ours), theirs.mean(), theirs.std(ddof=1), len(theirs))
    if np.ptp(ours) == np.ptp(theirs) == 0:
        assert np.isnan(found).all()
    elif np.ptp(ours) and np.ptp(theirs):
        expected = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval(reproduction.CONFIDENCE)
        assert found == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("true_difference", [0.05, -0.05])
def test_at_the_margin_either_verdict_is_wrong_in_at_most_one_case_of_twenty(true_difference):
    rng = np.random.default_rng(7)
    counts = {"reproduced": 0, "not reproduced": 0}
    repetitions = 2_000
    for _ in range(repetitions):
        ours, theirs = rng.normal(true_difference, 0.03, 5), rng.normal(0, 0.015, 4)
        low, high = welch_interval(ours.mean(), ours.std(ddof=1), 5, theirs.mean(), theirs.std(ddof=1), 4)
        counts["reproduced"] += low > -reproduction.MARGIN and high < reproduction.MARGIN
        counts["not reproduced"] += low > reproduction.MARGIN or high < -reproduction.MARGIN
    # Two standard errors of such a count above 5 %.
    assert max(counts.values()) / repetitions < 0.06


def test_a_run_that_diverged_counts_among_the_others():
    table = finals([*around(THEIRS, 0.01, 2), 0.0], updates=[1_000_000, 1_000_000, 500])
    (row,) = judge(table).to_dict("records")
    assert row["seeds"] == 3 and row["updates"] == 1_000_000 and row["score_mean"] < THEIRS / 1.4
