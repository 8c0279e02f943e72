from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from invented_tables import make_tables, matrix
from rliable import library, metrics

from cqlbench.statistics.finals import final_scores, score_matrices
from cqlbench.statistics.over_datasets import (
    TAUS,
    aggregates,
    improvement,
    improvement_by_update,
    mean_profiles,
    probability_of_improvement,
    profiles,
    sample_efficiency,
)

SCORES = st.floats(-0.2, 1.3)
COARSE = st.sampled_from([0.0, 0.25, 0.5, 1.0])


def estimates(table: pd.DataFrame) -> list[float]:
    return table[next(name for name in ("estimate", "fraction", "probability", "iqm") if name in table)].tolist()


def test_aggregates_agree_with_numbers_by_hand(few_repetitions):
    # Means per dataset 0.2 and 0.7; the middle half of the six sorted scores is 0.2 to 0.7.
    scores = matrix([[0.1, 0.6], [0.2, 0.7], [0.3, 0.8]])
    found = aggregates({"m": scores}).set_index("statistic")
    assert found.loc["Mean", "estimate"] == pytest.approx(0.45)
    assert found.loc["Median", "estimate"] == pytest.approx(0.45)
    assert found.loc["IQM", "estimate"] == pytest.approx((0.2 + 0.3 + 0.6 + 0.7) / 4)
    assert found.loc["Optimality Gap", "estimate"] == pytest.approx(0.55)
    assert (found["low"] <= found["estimate"]).all() and (found["estimate"] <= found["high"]).all()
    assert (found["seeds"] == 3).all() and (found["datasets"] == 2).all()


def test_what_is_above_the_expert_leaves_no_optimality_gap_but_counts_in_the_mean(few_repetitions):
    found = aggregates({"m": matrix([[1.2, 0.5, 0.1], [1.4, 0.7, 0.3]])}).set_index("statistic")["estimate"]
    # Means per dataset 1.3, 0.6 and 0.2; gaps 0 and 0, 0.5 and 0.3, 0.9 and 0.7.
    assert found["Mean"] == pytest.approx(0.7) and found["Median"] == pytest.approx(0.6)
    assert found["Optimality Gap"] == pytest.approx(2.4 / 6)


@given(hnp.arrays(float, st.tuples(st.integers(1, 6), st.integers(1, 5)), elements=SCORES))
def test_estimates_are_rliables(scores):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cqlbench.statistics.bootstrap.REPETITIONS", 1)
        table = pd.DataFrame(scores)
        expected = [
            metrics.aggregate_median(scores), metrics.aggregate_iqm(scores), metrics.aggregate_mean(scores),
            metrics.aggregate_optimality_gap(scores),
        ]  # fmt: skip
        assert estimates(aggregates({"m": table})) == pytest.approx(expected, abs=1e-12)
        assert estimates(profiles({"m": table})) == pytest.approx(library.score_distributions(scores, TAUS))
        # A mean that is a threshold to the last digit may fall on either side of it.
        steps = np.abs(estimates(mean_profiles({"m": table})) - library.average_score_distributions(scores, TAUS))
        near = (np.abs(scores.mean(axis=0)[:, None] - TAUS) < 1e-12).any(axis=0)
        assert (steps[~near] < 1e-12).all()


@given(hnp.arrays(float, (3, 2), elements=COARSE), hnp.arrays(float, (4, 2), elements=COARSE))
def test_probability_of_improvement_is_rliables(x, y):
    ours = probability_of_improvement(x, y)
    assert ours == pytest.approx(metrics.probability_of_improvement(x, y))
    assert ours + probability_of_improvement(y, x) == pytest.approx(1)


def test_probability_of_improvement_by_hand(few_repetitions):
    # On the first dataset 0.5 beats 0.3 and ties with 0.5, 0.1 beats neither: 1.5 of 4; on the second 4 of 4.
    x, y = matrix([[0.1, 0.8], [0.5, 0.9]]), matrix([[0.3, 0.2], [0.5, 0.1]])
    found = improvement({"x": x, "y": y}).set_index(["x", "y"])
    assert found.loc[("x", "y"), "probability"] == pytest.approx((1.5 / 4 + 1) / 2)
    assert found.loc[("x", "y"), "low"] == 1 - found.loc[("y", "x"), "high"]
    assert found.loc[("x", "y"), "low"] < found.loc[("x", "y"), "probability"] < found.loc[("x", "y"), "high"]


def test_profiles_by_hand(few_repetitions):
    scores = {"m": matrix([[0.1, 0.6], [0.2, 0.7]])}
    runs, means = (table(scores).set_index("tau")["fraction"] for table in (profiles, mean_profiles))
    assert (runs[0.0], runs[0.15], runs[0.6], runs[1.0]) == (1, 0.75, 0.25, 0)
    # Means of 0.15 and 0.65.
    assert (means[0.1], means[0.2], means[0.6], means[0.7]) == (1, 0.5, 0.5, 0)


def interval(scores, function) -> np.ndarray:
    """rliable's own ends, (2, ...), with another seed."""
    np.random.seed(1)
    return library.get_interval_estimates({"": scores}, function, reps=5_000)[1][""]


def test_intervals_are_rliables_to_monte_carlo_error():
    generator = np.random.default_rng(0)
    x, y = (generator.normal(mean, 0.15, (5, 4)) for mean in (0.55, 0.5))
    tables = {"x": pd.DataFrame(x), "y": pd.DataFrame(y)}
    statistics = [
        metrics.aggregate_median, metrics.aggregate_iqm, metrics.aggregate_mean, metrics.aggregate_optimality_gap,
    ]  # fmt: skip
    expected = interval(x, lambda scores: np.array([statistic(scores) for statistic in statistics]))
    found = aggregates(tables).query("method == 'x'")[["low", "high"]].to_numpy().T
    # From one seed of the bootstrap to the next, ends move by 1 % of the width.
    assert (np.abs(found - expected) < 0.05 * np.ptp(expected, axis=0)).all()
    expected = interval([x, y], lambda a, b: np.array([probability_of_improvement(a, b)]))
    found = improvement(tables).set_index(["x", "y"]).loc[("x", "y"), ["low", "high"]].to_numpy(float)
    assert np.abs(found - expected[:, 0]).max() < 0.1 * np.ptp(expected)
    thresholds = TAUS[::10]
    for table, whole_runs, step in ((profiles, True, 1 / 20), (mean_profiles, False, 1 / 4)):
        _, expected = library.create_performance_profile({"": x}, thresholds, whole_runs, reps=1_000)
        found = table(tables).query("method == 'x'")[["low", "high"]].to_numpy().T[:, ::10]
        assert np.abs(found - expected[""]).max() <= step + 1e-9 and (found == expected[""]).mean() > 0.8


def named(table: pd.DataFrame, names: dict[str, str]) -> pd.DataFrame:
    """With methods by other names, in the order of the first ones."""
    keys = [key for key in ("method", "x", "y") if key in table]
    return table.replace({key: names for key in keys}).sort_values(keys, kind="stable", ignore_index=True)


@settings(max_examples=30)
@given(
    hnp.arrays(float, (2, 3, 2, 2), elements=SCORES, unique=True),
    st.randoms(use_true_random=False),
    st.permutations("ab"),
)
def test_nothing_depends_on_names_or_order(scores, random, methods):
    datasets, seeds = random.sample(["d0", "d1", "d2"], 3), random.sample(range(9), 2)
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cqlbench.statistics.bootstrap.REPETITIONS", 20)
        for names in ({}, {"methods": methods, "datasets": datasets, "seeds": seeds}):
            evaluations, runs, values, _ = make_tables(scores, **names)
            matrices, _ = score_matrices(final_scores(evaluations, runs, values), runs)
            back = dict(zip(names.get("methods", "ab"), "ab", strict=True))
            tables = [table(matrices) for table in (aggregates, profiles, mean_profiles, improvement)]
            tables += [table(evaluations, matrices) for table in (sample_efficiency, improvement_by_update)]
            found.append([named(table, back) for table in tables])
    for before, after in zip(*found, strict=True):
        pd.testing.assert_frame_equal(before, after, rtol=1e-9, atol=1e-12)


def test_a_method_alone_does_not_change_the_others(few_repetitions):
    a, b = matrix([[0.1, 0.6], [0.2, 0.7], [0.3, 0.9]]), matrix([[0.3, 0.1], [0.4, 0.2], [0.5, 0.6]])
    together = aggregates({"b": b, "a": a})
    alone = aggregates({"a": a})
    pd.testing.assert_frame_equal(together[together["method"] == "a"].reset_index(drop=True), alone, check_exact=True)


def test_one_seed_gets_no_interval():
    matrices = {"a": matrix([[0.1, 0.6]]), "b": matrix([[0.2, 0.7]])}
    for table in (aggregates(matrices), profiles(matrices), mean_profiles(matrices), improvement(matrices)):
        assert table[["low", "high"]].isna().all().all()
        assert not np.isnan(estimates(table)).any()
    # One of several is enough to have none of the pair.
    several = {"a": matrix([[0.1, 0.6]]), "b": matrix([[0.2, 0.7], [0.3, 0.8]])}
    assert improvement(several)["low"].isna().all() and (improvement(several)["probability"] == [0, 1]).all()


def test_no_seed_gets_no_estimate_either(few_repetitions):
    matrices = {"a": matrix([[0.1, 0.6]]).iloc[:0], "b": matrix([[0.2, 0.7], [0.3, 0.8]])}
    for table in (aggregates(matrices), profiles(matrices), mean_profiles(matrices)):
        assert table[table["method"] == "a"].iloc[:, 2:5].isna().all().all()
        assert not table[table["method"] == "b"].iloc[:, 2:5].isna().any().any()
    assert improvement(matrices)[["probability", "low", "high"]].isna().all().all()


def test_a_method_without_a_seed_costs_the_other_pairs_nothing(few_repetitions):
    evaluations, runs, values, _ = make_tables(np.random.default_rng(0).random((3, 2, 2, 2)))
    gone = (evaluations["method"] == "a") & ((evaluations["dataset"] == "d0") == (evaluations["seed"] == 0))
    matrices, _ = score_matrices(final_scores(evaluations[~gone], runs, values), runs)
    found = improvement_by_update(evaluations[~gone], matrices)
    assert sorted(set(found["x"])) == ["b", "c"] and found["update"].tolist() == [1, 2] * 2
    assert not found.isna().any().any()


def test_methods_without_a_common_dataset_have_no_aggregates():
    scores = np.full((2, 2, 3, 2), 0.5)
    evaluations, runs, values, _ = make_tables(scores)
    runs = runs[(runs["method"] == "a") == (runs["dataset"] == "d0")]
    matrices, holes = score_matrices(final_scores(evaluations, runs, values), runs)
    assert len(holes) == len(runs)
    for table in (aggregates(matrices), improvement(matrices)):
        assert np.isnan(estimates(table)).all()
    assert sample_efficiency(evaluations, matrices).empty and improvement_by_update(evaluations, matrices).empty


def test_one_dataset_has_its_mean_for_median(few_repetitions):
    found = aggregates({"m": matrix([[0.1], [0.2], [0.6]])}).set_index("statistic")
    assert found.loc["Median", "estimate"] == found.loc["Mean", "estimate"] == pytest.approx(0.3)
    assert (found["low"] < found["high"]).all() and (found["datasets"] == 1).all()


def test_scores_that_do_not_vary_have_an_interval_without_width(few_repetitions):
    matrices = {name: matrix([[0.3, 0.3]] * 4) for name in "ab"}
    for table in (aggregates(matrices), profiles(matrices), mean_profiles(matrices), improvement(matrices)):
        assert table["low"].tolist() == pytest.approx(estimates(table)) == table["high"].tolist()
    assert estimates(improvement(matrices)) == [0.5, 0.5]


def test_an_evaluation_without_a_score_leaves_its_update_and_the_others_stay(few_repetitions):
    scores = np.random.default_rng(0).random((2, 2, 3, 4))
    scores[0, 1, 2, 1] = np.nan
    evaluations, runs, values, _ = make_tables(scores)
    matrices, holes = score_matrices(final_scores(evaluations, runs, values), runs)
    assert holes.empty
    efficiency = sample_efficiency(evaluations, matrices)
    assert efficiency[efficiency["method"] == "a"]["update"].tolist() == [1, 3, 4]
    assert efficiency[efficiency["method"] == "b"]["update"].tolist() == [1, 2, 3, 4]
    assert improvement_by_update(evaluations, matrices)["update"].tolist() == [1, 3, 4] * 2
    assert not efficiency.isna().any().any()


def test_the_last_update_of_the_curves_is_the_final_one(few_repetitions):
    evaluations, runs, values, _ = make_tables(np.random.default_rng(0).random((2, 3, 4, 2)))
    matrices, _ = score_matrices(final_scores(evaluations, runs, values), runs)
    last = improvement_by_update(evaluations, matrices).query("update == 2").drop(columns="update")
    # The last of several vectors is multiplied in another order.
    pd.testing.assert_frame_equal(
        last[["x", "y", "probability"]].reset_index(drop=True), improvement(matrices)[["x", "y", "probability"]]
    )
    iqm = aggregates(matrices).query("statistic == 'IQM'")["estimate"].tolist()
    assert sample_efficiency(evaluations, matrices).query("update == 2")["iqm"].tolist() == pytest.approx(iqm)
