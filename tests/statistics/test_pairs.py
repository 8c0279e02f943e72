from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from invented_tables import make_tables
from scipy import stats
from statsmodels.stats.multitest import multipletests

from cqlbench.statistics.finals import final_scores
from cqlbench.statistics.pairs import COMPARISONS, PAIR, SEEDS, detectable_by_seeds, pair_tests

GENERATOR = np.random.default_rng(0)
# Four methods on three datasets with five seeds, one evaluation: the second is better, the others level.
FINALS = 0.4 + 0.05 * GENERATOR.standard_normal((4, 3, 5, 1))
FINALS[1] += 0.3


def pairs_of(scores, **names) -> pd.DataFrame:
    evaluations, runs, values, _ = make_tables(scores, **names)
    return pair_tests(final_scores(evaluations, runs, values), runs)


def test_paired_seeds_are_tested_as_scipy_does():
    found = pairs_of(FINALS).set_index(["dataset", "x", "y"])
    assert len(found) == 3 * 6 and (found["pairing"] == "paired").all() and (found["seeds"] == 5).all()
    expected = stats.ttest_rel(FINALS[1, 2, :, 0], FINALS[3, 2, :, 0])
    row, interval = found.loc[("d2", "b", "d")], expected.confidence_interval()
    assert row["difference"] == pytest.approx((FINALS[1, 2] - FINALS[3, 2]).mean())
    assert (row["low"], row["high"], row["p"]) == pytest.approx((interval.low, interval.high, expected.pvalue))


@pytest.mark.parametrize("unlike", ["content", "seeds"])
def test_other_seeds_or_unknown_contents_are_tested_by_welch(unlike):
    if unlike == "content":
        # As imported: that two seeds have the same number says nothing.
        evaluations, runs, values, _ = make_tables(FINALS, content=None)
    else:
        evaluations, runs, values, _ = make_tables(FINALS)
        for table in (evaluations, runs):
            table.loc[table["method"] == "b", "seed"] += 1
    found = pair_tests(final_scores(evaluations, runs, values), runs).set_index(["dataset", "x", "y"])
    row = found.loc[("d2", "b", "d")]
    expected = stats.ttest_ind(FINALS[1, 2, :, 0], FINALS[3, 2, :, 0], equal_var=False)
    interval = expected.confidence_interval()
    assert row["pairing"] == "unpaired" and row["seeds"] == row["x_seeds"] == row["y_seeds"] == 5
    assert (row["low"], row["high"], row["p"]) == pytest.approx((interval.low, interval.high, expected.pvalue))
    assert found.loc[("d2", "a", "c"), "pairing"] == ("unpaired" if unlike == "content" else "paired")


def test_unequal_numbers_of_seeds_are_all_used():
    evaluations, runs, values, _ = make_tables(FINALS[:2])
    kept = (runs["method"] == "a") | (runs["seed"] < 3)
    runs = runs[kept]
    row = pair_tests(final_scores(evaluations, runs, values), runs).iloc[0]
    expected = stats.ttest_ind(FINALS[0, 0, :, 0], FINALS[1, 0, :3, 0], equal_var=False)
    assert (row["pairing"], row["seeds"], row["x_seeds"], row["y_seeds"]) == ("unpaired", 3, 5, 3)
    assert (row["p"], row["degrees"]) == pytest.approx((expected.pvalue, expected.df))


def test_a_missing_run_leaves_with_its_pair_and_nothing_else():
    evaluations, runs, values, _ = make_tables(FINALS)
    gone = (evaluations["method"] == "a") & (evaluations["dataset"] == "d0") & (evaluations["seed"] == 1)
    runs.loc[gone, ["status", "dataset_hash"]] = ["missing", None]
    found = pair_tests(final_scores(evaluations[~gone], runs, values), runs).set_index(["dataset", "x", "y"])
    row = found.loc[("d0", "a", "b")]
    assert (row["pairing"], row["seeds"], row["x_seeds"], row["y_seeds"]) == ("paired", 4, 4, 5)
    kept = [0, 2, 3, 4]
    assert row["p"] == pytest.approx(stats.ttest_rel(FINALS[0, 0, kept, 0], FINALS[1, 0, kept, 0]).pvalue)
    assert (found.drop([("d0", "a", other) for other in "bcd"])["seeds"] == 5).all()


def test_the_correction_is_over_the_whole_table():
    found = pairs_of(FINALS)
    assert (found["comparisons"] == 18).all()
    corrected = multipletests(found["p"], method="holm")[1]
    assert found["p_holm"].tolist() == pytest.approx(corrected.tolist())
    verdicts = found.set_index(["dataset", "x", "y"])["verdict"]
    assert (verdicts[:, "a", "b"] == "worse").all() and (verdicts[:, "b", "c"] == "better").all()
    assert (verdicts[:, "a", "c"] == "no evidence either way").all()


@settings(max_examples=10)
@given(
    hnp.arrays(float, (3, 2, 4, 1), elements=st.floats(0, 1), unique=True),
    st.permutations("abc"),
    st.permutations(["d0", "d1"]),
    st.permutations(range(4)),
)
def test_names_and_order_change_nothing_but_the_direction(scores, methods, datasets, seeds):
    plain, named = pairs_of(scores), pairs_of(scores, methods=methods, datasets=datasets, seeds=seeds)
    back = dict(zip((*methods, *datasets), (*"abc", "d0", "d1"), strict=True))
    named[["dataset", "x", "y"]] = named[["dataset", "x", "y"]].replace(back)
    turned = named["x"] > named["y"]
    opposite = {"better": "worse", "worse": "better"}
    as_before = named.assign(
        x=named["x"].where(~turned, named["y"]),
        y=named["y"].where(~turned, named["x"]),
        difference=named["difference"].where(~turned, -named["difference"]),
        low=named["low"].where(~turned, -named["high"]),
        high=named["high"].where(~turned, -named["low"]),
        verdict=named["verdict"].where(~turned, named["verdict"].replace(opposite)),
    ).sort_values(["dataset", "x", "y"], ignore_index=True)
    pd.testing.assert_frame_equal(as_before[COMPARISONS], plain[COMPARISONS], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("scores", "difference"),
    [
        (np.full((2, 1, 5, 1), 0.3), 0.0),  # nothing varies
        (np.stack([FINALS[0, :1], FINALS[0, :1] + 0.1]), -0.1),  # the difference does not
        (FINALS[:2, :1, :1], FINALS[0, 0, 0, 0] - FINALS[1, 0, 0, 0]),  # one seed
        (FINALS[:2, :1] * [[[[1]]], [[[np.nan]]]], np.nan),  # one method has no score
    ],
)
def test_what_cannot_be_judged_has_no_p_and_costs_the_others_nothing(scores, difference):
    row = pairs_of(scores).iloc[0]
    assert row["verdict"] == "cannot be judged" and row["comparisons"] == 0
    assert row["difference"] == pytest.approx(difference, nan_ok=True)
    assert row[["p", "p_holm", "detectable"]].isna().all() and detectable_by_seeds(pairs_of(scores)).empty


def test_unpaired_scores_of_which_none_vary_cannot_be_judged():
    row = pairs_of(np.array([[[[0.3]] * 3], [[[0.4]] * 3]]), content=None).iloc[0]
    assert (row["pairing"], row["verdict"]) == ("unpaired", "cannot be judged") and np.isnan(row["p"])
    assert pairs_of(np.full((2, 1, 1, 1), 0.3), content=None).iloc[0]["verdict"] == "cannot be judged"


def test_a_suite_of_one_method_has_no_pairs():
    tests = pairs_of(FINALS[:1])
    assert tests.empty and list(tests[COMPARISONS]) == COMPARISONS and detectable_by_seeds(tests).empty


def test_more_seeds_see_smaller_differences():
    tests = pairs_of(FINALS)
    power = detectable_by_seeds(tests)
    assert power["seeds"].tolist() == list(SEEDS) * len(tests)
    assert (power["detectable_low"] < power["detectable"]).all()
    assert (power["detectable"] < power["detectable_high"]).all()
    wide = power.pivot(index=PAIR, columns="seeds", values="detectable")
    assert (wide.diff(axis=1).iloc[:, 1:] < 0).all().all()
    # With the seeds at hand it is what comparisons.csv says.
    assert wide[5].tolist() == pytest.approx(tests.set_index(PAIR)["detectable"].sort_index().tolist())
