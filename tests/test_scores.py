from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from synthetic_runs import REF_MAX, REF_MIN, make_results, make_suite

from cqlbench import runs
from cqlbench.errors import UserError
from cqlbench.scores import (
    EPISODE_COLUMNS,
    SCORE_COLUMNS,
    VALUE_COLUMNS,
    collect_episodes,
    collect_runs,
    collect_scores,
    collect_training,
    collect_values,
    read_table,
    write_table,
)


def test_one_row_per_evaluation_with_the_contract_columns(tmp_path):
    suite = make_suite(tmp_path)
    make_results(suite, tmp_path)
    scores = collect_scores(suite, tmp_path)
    assert list(scores.columns) == [*SCORE_COLUMNS, "num_action_samples", "num_transitions"]
    # All runs evaluate 4 times, but one is missing and one failed, whose two evaluations are no result.
    assert len(scores) == (len(suite.runs()) - 2) * 4
    expected = (scores["return_mean"] - REF_MIN) / (REF_MAX - REF_MIN)
    assert scores["score"].tolist() == pytest.approx(expected.tolist())
    assert scores["score"].abs().max() < 2  # 0-1, not x100
    cql = scores[scores["family"] == "d3rlpy-cql"]
    assert set(cql["algorithm"]) == {"cql"} and set(cql["implementation"]) == {"d3rlpy"}
    assert scores.loc[scores["family"] == "sac", "cql_alpha"].isna().all()


def test_values_are_those_of_states_of_the_data(tmp_path):
    suite = make_suite(tmp_path)
    make_results(suite, tmp_path)
    values = collect_values(suite, tmp_path)
    data = values[values["start"] == "data"].set_index(["dataset", "method", "seed", "update"])
    for row in collect_scores(suite, tmp_path).dropna(subset=["predicted_value"]).itertuples():
        there = data.loc[(row.dataset, row.method, row.seed, row.update)]
        assert row.predicted_value == there["predicted_value"]
        assert row.true_discounted_return == there["true_discounted_return"]


def test_what_older_runs_did_not_measure_is_empty(tmp_path):
    suite = make_suite(tmp_path)
    make_results(suite, tmp_path)
    values = collect_values(suite, tmp_path)
    assert list(values.columns) == VALUE_COLUMNS
    older = values["method"].str.startswith("d3rlpy-cql")
    added = ["best_return", "impossible_optimism", "action_distance", "off_data"]
    assert older.any() and values.loc[older, added].isna().all().all()
    assert values.loc[~older & (values["start"] == "data"), ["action_distance", "off_data"]].notna().all().all()


def test_episodes_are_those_of_the_last_evaluation_of_finished_runs(tmp_path):
    suite = make_suite(tmp_path)
    make_results(suite, tmp_path)
    episodes = collect_episodes(suite, tmp_path)
    assert list(episodes.columns) == EPISODE_COLUMNS and set(episodes["update"]) == {1000}
    # One run is missing and one failed.
    assert len(episodes) == (len(suite.runs()) - 2) * 5
    own = episodes[["dataset", "method", "seed", "score", "return"]].groupby(["dataset", "method", "seed"]).mean()
    finals = collect_scores(suite, tmp_path).query("update == 1000 and status == 'done'")
    finals = finals.set_index(["dataset", "method", "seed"]).loc[own.index]
    assert own["score"].tolist() == pytest.approx(finals["score"].tolist())
    assert own["return"].tolist() == pytest.approx(finals["return_mean"].tolist())


def test_training_is_what_each_run_logged_last(tmp_path):
    suite = make_suite(tmp_path)
    make_results(suite, tmp_path)
    training = collect_training(suite, tmp_path)
    assert set(training["metric"]) == {"td_loss", "temperature"}
    losses = training[training["metric"] == "td_loss"]
    assert (losses["value"] == 0.5 * losses["update"]).all()
    assert not losses.duplicated(["dataset", "method", "seed"]).any()
    assert len(losses) == len(collect_runs(suite, tmp_path).query("status == 'done'"))


def test_missing_and_failed_runs_are_named(tmp_path):
    suite = make_suite(tmp_path)
    make_results(suite, tmp_path)
    table = collect_runs(suite, tmp_path)
    assert len(table) == len(suite.runs())
    broken = table[table["status"] != "done"].set_index("method")
    assert broken.loc["bc", "status"] == "missing"
    assert broken.loc["sac", "status"] == "failed" and "ValueError" in broken.loc["sac", "reason"]
    assert broken.loc["sac", "update"] == 500 and broken.loc["sac", "updates"] == 1000
    assert not Path(table["folder"][0]).is_absolute()


def test_a_run_that_failed_before_it_began_is_named(tmp_path):
    suite = make_suite(tmp_path)
    folder = suite.runs()[0][1].folder(tmp_path)
    folder.mkdir(parents=True)
    (folder / runs.STATUS).write_text(json.dumps({"status": "failed", "reason": "ImportError: no", "update": None}))
    table = collect_runs(suite, tmp_path)
    assert table.loc[table["status"] == "failed", "reason"].tolist() == ["ImportError: no"]
    assert (table["update"] == 0).all()
    assert collect_scores(suite, tmp_path).empty


def test_different_contents_of_a_dataset_are_never_pooled(tmp_path):
    suite = make_suite(tmp_path)
    make_results(suite, tmp_path)
    path = suite.runs()[0][1].folder(tmp_path) / runs.PROVENANCE
    provenance = json.loads(path.read_text())
    provenance["dataset"]["content_hash"] = "another"
    path.write_text(json.dumps(provenance))
    with pytest.raises(UserError, match="hopper/medium-v0.*another.*hash-of-hopper/medium-v0"):
        collect_scores(suite, tmp_path)


def test_a_finished_run_without_its_last_evaluation_is_an_error(tmp_path):
    suite = make_suite(tmp_path)
    make_results(suite, tmp_path)
    path = suite.runs()[0][1].folder(tmp_path) / runs.EVALUATION
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(UserError, match="evaluation.csv says it is done"):
        collect_scores(suite, tmp_path)


def test_no_run_at_all_still_gives_tables(tmp_path):
    suite = make_suite(tmp_path)
    assert collect_scores(suite, tmp_path).empty
    assert collect_values(suite, tmp_path).empty and collect_episodes(suite, tmp_path).empty
    assert set(collect_runs(suite, tmp_path)["status"]) == {"missing"}


def test_a_table_reads_back_as_it_was_and_has_the_same_bytes_twice(tmp_path):
    suite = make_suite(tmp_path)
    make_results(suite, tmp_path)
    scores = collect_scores(suite, tmp_path)
    write_table(scores, tmp_path / "one.csv")
    back = read_table(tmp_path / "one.csv")
    for column in ("score", "return_mean", "predicted_value"):
        pd.testing.assert_series_equal(back[column], scores[column], check_exact=True, check_dtype=False)
    write_table(back, tmp_path / "two.csv")
    text = (tmp_path / "one.csv").read_bytes()
    assert b"\r" not in text
    assert (tmp_path / "two.csv").read_bytes() == text
    assert "null" in collect_runs(suite, tmp_path)["axis_num_transitions"].tolist()


def test_a_table_whose_last_row_is_cut_short_is_an_error(tmp_path):
    suite = make_suite(tmp_path)
    make_results(suite, tmp_path)
    _, run = suite.runs()[0]
    path = run.folder(tmp_path) / runs.VALUES
    path.write_text(path.read_text()[:-20].rpartition(",")[0])
    with pytest.raises(UserError, match=r"values\.csv is cut short"):
        collect_values(suite, tmp_path)


def test_what_a_failed_run_found_of_an_earlier_one_is_no_result(tmp_path):
    suite = make_suite(tmp_path)
    make_results(suite, tmp_path)
    _, run = suite.runs()[0]
    status = run.folder(tmp_path) / runs.STATUS
    status.write_text(json.dumps({"status": "failed", "reason": "no memory", "update": None}))
    table = collect_runs(suite, tmp_path)
    of_run = (table["folder"] == run.folder(tmp_path).relative_to(tmp_path).as_posix()).to_numpy()
    (method,) = table["method"][of_run]
    for collect in (collect_scores, collect_values, collect_training, collect_episodes):
        found = collect(suite, tmp_path).query("dataset == @run.dataset and method == @method and seed == @run.seed")
        assert found.empty, collect


@pytest.mark.parametrize(
    ("content", "reason"), [(b"update,\xff\n1,2\n", "is no CSV"), (b"a,b\n1,2\n", "has no column")]
)
def test_a_table_that_no_run_writes_is_one_sentence(tmp_path, content, reason):
    suite = make_suite(tmp_path)
    make_results(suite, tmp_path)
    (suite.runs()[0][1].folder(tmp_path) / runs.EVALUATION).write_bytes(content)
    with pytest.raises(UserError, match=reason):
        collect_scores(suite, tmp_path)
