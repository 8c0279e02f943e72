from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from invented_tables import make_tables
from synthetic_runs import make_results, make_suite

from cqlbench import statistics
from cqlbench.scores import collect_episodes, collect_runs, collect_scores, collect_values


def collect(suite, folder):
    """What compute_statistics takes."""
    collectors = (collect_scores, collect_runs, collect_values, collect_episodes)
    return [collector(suite, folder) for collector in collectors]


@pytest.fixture(scope="module")
def collected(tmp_path_factory):
    folder = tmp_path_factory.mktemp("suite")
    suite = make_suite(folder)
    make_results(suite, folder)
    return collect(suite, folder)


@pytest.fixture(scope="module")
def tables(collected):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cqlbench.statistics.bootstrap.REPETITIONS", 100)
        return statistics.compute_statistics(*collected)


def test_holes_are_named_and_leave_the_matrix(tables):
    holes = {(row.dataset, row.method, row.seed): row.because for row in tables["holes"].itertuples()}
    assert "no final evaluation" in holes["hopper/medium-v0", "bc", 2]
    assert "lacks this seed" in holes["hopper/random-expert-v0", "bc", 2]
    assert "no final evaluation" in holes["hopper/random-expert-v0", "sac", 1]
    assert "lacks this seed" in holes["hopper/medium-v0", "sac", 1]
    assert len(holes) == 4
    seeds = tables["aggregates"].groupby("method")["seeds"].first()
    assert seeds["bc"] == 2 and seeds["sac"] == 2 and seeds["d3rlpy-cql cql_alpha=10"] == 3


def test_a_dataset_that_a_method_never_finished_leaves_all_aggregates(collected, few_repetitions):
    scores, *others = collected
    kept = scores[~((scores["family"] == "bc") & (scores["dataset"] == "hopper/medium-v0"))]
    found = statistics.compute_statistics(kept, *others)
    assert (found["aggregates"]["datasets"] == 1).all()
    because = found["holes"].set_index(["dataset", "method", "seed"])["because"]
    assert "another headline method" in because["hopper/medium-v0", "d3rlpy-cql cql_alpha=10", 0]


def test_order_of_rows_does_not_matter(collected, tables, few_repetitions):
    shuffled = [table.sample(frac=1, random_state=1) for table in collected]
    again = statistics.compute_statistics(*shuffled)
    for name, table in tables.items():
        pd.testing.assert_frame_equal(again[name], table, check_exact=True, check_dtype=False)


def test_the_table_counts_what_is_missing_and_shows_best_beside_last(tables):
    table = tables["table"].set_index(["dataset", "method"])
    assert table.loc[("hopper/medium-v0", "bc"), "failed"] == 1
    assert table.loc[("hopper/medium-v0", "bc"), "seeds"] == 2
    finals = tables["finals"]
    own = finals[(finals["dataset"] == "hopper/medium-v0") & (finals["method"] == "bc")]
    assert table.loc[("hopper/medium-v0", "bc"), "score_mean"] == pytest.approx(own["score"].mean())
    assert (table["best_mean"].dropna() >= table["score_mean"].dropna()).all()


def test_the_table_has_predicted_minus_true_value_with_its_interval(tables):
    finals = tables["finals"]
    table = tables["table"].set_index(["dataset", "method"])
    for dataset, method in (("hopper/medium-v0", "sac"), ("hopper/random-expert-v0", "d3rlpy-cql cql_alpha=10")):
        own = finals[(finals["dataset"] == dataset) & (finals["method"] == method)]
        differences = (own["predicted_value"] - own["true_discounted_return"]).to_numpy()
        row = table.loc[(dataset, method)]
        assert row["difference_mean"] == pytest.approx(differences.mean())
        assert (row["difference_low"], row["difference_high"]) == pytest.approx(statistics.t_interval(differences))
    without = table.loc[("hopper/medium-v0", "bc"), ["difference_mean", "difference_low", "difference_high"]]
    assert without.isna().all()


def test_a_runs_own_interval_is_over_its_states(tables):
    row = tables["finals"].query("method == 'sac' and seed == 0 and dataset == 'hopper/medium-v0'").iloc[0]
    # 8 states: t(0.975, 7) = 2.3646 standard errors of 6.
    assert row["difference_high"] - row["difference_mean"] == pytest.approx(6 * 2.3646, abs=1e-3)
    assert row["difference_mean"] - row["difference_low"] == pytest.approx(6 * 2.3646, abs=1e-3)


def measures_of(tables, **at):
    table = tables["diagnostics"]
    for key, value in {"dataset": "hopper/medium-v0", "start": "data", "update": 1000, **at}.items():
        table = table[table[key] == value]
    return table.set_index("measure")


def test_diagnostics_are_means_over_seeds_with_their_interval(collected, tables):
    values = collected[2].query("dataset == 'hopper/medium-v0' and method == 'sac' and update == 500")
    for start, own in values.groupby("start"):
        found = measures_of(tables, method="sac", update=500, start=start)
        for measure in ("true_discounted_return", "difference_mean"):
            sample, row = own[measure].to_numpy(), found.loc[measure]
            assert row["seeds"] == 3 and row["mean"] == pytest.approx(sample.mean())
            assert (row["low"], row["high"]) == pytest.approx(statistics.t_interval(sample))
            assert (row["lowest"], row["highest"]) == (sample.min(), sample.max())
    assert "q_data" in measures_of(tables, method="sac").index
    assert "q_data" not in measures_of(tables, method="sac", start="initial").index


def test_the_gap_is_q_of_the_data_minus_that_of_others(tables):
    found = measures_of(tables, method="cql cql_alpha=10 num_action_samples=10")["mean"]
    assert found["q_data_minus_policy"] == pytest.approx(-3) and found["q_data_minus_uniform"] == pytest.approx(37)


def test_a_method_without_a_value_has_distances_and_an_older_run_none(tables):
    distances = {"action_distance", "mean_action_distance", "nearest_action_distance", "off_data"}
    bc = measures_of(tables, method="bc")
    assert set(bc.index) == distances and set(bc["seeds"]) == {2}
    older = measures_of(tables, method="d3rlpy-cql cql_alpha=10")
    assert not {*distances, "impossible_optimism"} & set(older.index) and "q_data_minus_policy" in older.index


def test_safety_shows_headlines_and_the_values_of_cql_alpha_beside_them(tables):
    safety = tables["safety"]
    assert len(safety) == len(tables["table"])
    shown = safety[safety["shown"] & (safety["dataset"] == "hopper/medium-v0")]
    assert shown["method"].tolist() == [
        "bc", *(f"cql cql_alpha={alpha} num_action_samples=10" for alpha in (0, 1, 10)),
        "d3rlpy-cql cql_alpha=1", "d3rlpy-cql cql_alpha=10", "own-idea num_transitions=null", "sac",
    ]  # fmt: skip
    assert shown["cql_alpha"].tolist()[1:6] == [0, 1, 10, 1, 10]
    # Five episodes: two of them ended early, the worst one is the tail.
    assert shown["terminated"].tolist() == pytest.approx([0.4] * len(shown))
    assert (shown["cvar"] < shown["score_mean"]).all()


def test_a_sweep_keeps_the_other_axes_at_the_headline(tables):
    sweep = tables["sweep"]
    alpha = sweep[(sweep["axis"] == "cql_alpha") & (sweep["family"] == "cql")]
    assert len(alpha) == 6  # three values on two datasets, not also times the two of num_action_samples
    finals = tables["finals"]
    own = finals[finals["method"] == "cql cql_alpha=1 num_action_samples=10"]
    mean = own[own["dataset"] == "hopper/medium-v0"]["score"].mean()
    row = alpha[(alpha["value"] == 1) & (alpha["dataset"] == "hopper/medium-v0")]
    assert row["score_mean"].item() == pytest.approx(mean)
    words = sweep[sweep["axis"] == "num_transitions"]["value"].astype(str).tolist()
    assert words == ["1000", "null"] * 2


def test_improvement_has_every_ordered_pair(tables):
    families = tables["aggregates"]["method"].unique()
    pairs = set(zip(tables["improvement"]["x"], tables["improvement"]["y"], strict=True))
    assert pairs == {(x, y) for x, y in product(families, families) if x != y}


def test_a_suite_without_any_finished_run_has_tables_too(tmp_path):
    suite = make_suite(tmp_path)
    found = statistics.compute_statistics(*collect(suite, tmp_path))
    assert len(found["holes"]) == len(suite.runs())
    assert (found["table"]["seeds"] == 0).all() and (found["safety"]["seeds"] == 0).all()
    assert found["diagnostics"].empty


def test_a_run_that_diverged_counts_with_its_last_evaluation(few_repetitions):
    scores = np.random.default_rng(0).random((2, 1, 3, 4))
    tables = make_tables(scores)
    for number in (0, 1):
        of_run = (tables[number]["method"] == "a") & (tables[number]["seed"] == 2)
        tables[number].loc[of_run, "status"] = "diverged"
    # It came to its second evaluation, and so did one of the other method that then failed.
    tables[0] = tables[0][~((tables[0]["seed"] == 2) & (tables[0]["update"] > 2))]
    tables[1].loc[(tables[1]["method"] == "b") & (tables[1]["seed"] == 2), "status"] = "failed"
    found = statistics.compute_statistics(*tables)
    finals = found["finals"].set_index(["method", "seed"])
    assert (
        finals.loc[("a", 2), ["update", "score"]].tolist() == [2, scores[0, 0, 2, 1]] and ("b", 2) not in finals.index
    )
    because = found["holes"].set_index("method")["because"]
    assert dict(because) == {"a": "it diverged; its last evaluation counts", "b": "the run has no final evaluation"}
    table = found["table"].set_index("method")
    assert table[["seeds", "failed", "diverged"]].to_numpy().tolist() == [[3, 0, 1], [2, 1, 0]]
    assert table.loc["a", "score_mean"] == pytest.approx(np.mean([*scores[0, 0, :2, 3], scores[0, 0, 2, 1]]))
    assert found["sample_efficiency"].query("method == 'a'")["update"].tolist() == [1, 2]


@pytest.mark.parametrize("nothing", [np.nan, np.inf])
def test_a_last_score_that_is_no_number_is_a_hole(nothing, few_repetitions):
    scores = np.random.default_rng(0).random((2, 2, 3, 2))
    scores[0, 1, 2, 1] = nothing
    found = statistics.compute_statistics(*make_tables(scores))
    because = found["holes"].set_index(["dataset", "method", "seed"])["because"]
    assert because["d1", "a", 2] == "its last score is no number"
    assert "lacks this seed" in because["d0", "a", 2] and len(because) == 2
    table = found["table"].set_index(["dataset", "method"])
    assert (table.loc[("d1", "a"), "seeds"], table.loc[("d1", "a"), "failed"]) == (2, 1)
    assert table.loc[("d1", "a"), "score_mean"] == pytest.approx(scores[0, 1, :2, 1].mean())
    pairs = found["comparisons"].set_index("dataset")["seeds"]
    assert (pairs["d0"], pairs["d1"]) == (3, 2)
    assert found["curves"].set_index(["dataset", "method", "update"]).loc[("d1", "a", 2), "seeds"] == 2
    assert found["aggregates"].set_index(["method", "statistic"]).loc[("a", "IQM"), "seeds"] == 2
    assert np.isfinite(found["aggregates"][["estimate", "low", "high"]]).all().all()


def test_seeds_that_no_two_datasets_share_leave_no_matrix(few_repetitions):
    scores, runs, *others = make_tables(np.random.default_rng(0).random((2, 2, 2, 1)))
    gone = (scores["method"] == "a") & ((scores["dataset"] == "d0") == (scores["seed"] == 0))
    found = statistics.compute_statistics(scores[~gone], runs, *others)
    own = found["aggregates"][found["aggregates"]["method"] == "a"]
    assert (own["seeds"] == 0).all() and own["estimate"].isna().all()
    assert len(found["holes"]) == 4 and (found["table"].query("method == 'a'")["seeds"] == 1).all()


def test_every_table_is_an_output_of_the_workflows_rule(tables):
    rule = Path(__file__).parents[2] / "workflow" / "rules" / "statistics.smk"
    assert set(tables) <= set(re.findall(r"\w+", rule.read_text()))
