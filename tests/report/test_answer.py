"""The rule of docs/metrics.md, on tables whose answer is plain."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cqlbench.report.answer import Answer, find_answer
from cqlbench.statistics.finals import score_matrices, score_table
from cqlbench.statistics.intervals import t_interval
from cqlbench.statistics.over_datasets import aggregates

DATASETS = ["a/one-v0", "b/two-v0"]
SPREAD = np.array([-0.02, -0.01, 0.0, 0.01, 0.02])
NO_PAIRS = pd.DataFrame(columns=["dataset", "x", "y", "difference", "p_holm"])
# A true value of 100 everywhere; a critic that promises 60, and one that promises 300.
TRUE, MODEST, EXPLODED = 100.0, 60.0, 300.0


def finals_of(
    methods: dict[str, tuple[float, float | None]], spread: np.ndarray = SPREAD, datasets: list[str] = DATASETS
) -> pd.DataFrame:
    """One final per dataset, method and seed; of each method the mean score and what its critic promises."""
    rows = []
    for number, (method, (score, predicted)) in enumerate(methods.items()):
        for dataset in datasets:
            for seed, offset in enumerate(np.roll(spread, number)):
                promised, true = (np.nan, np.nan) if predicted is None else (predicted + seed, TRUE)
                rows.append((dataset, method, method, True, seed, score + offset, score, score, promised, true))
    columns = [
        "dataset", "method", "family", "headline", "seed", "score", "best", "return_mean", "predicted_value",
        "true_discounted_return",
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(difference_mean=table["predicted_value"] - table["true_discounted_return"])


def answer_of(finals: pd.DataFrame, runs: pd.DataFrame | None = None, pairs: pd.DataFrame = NO_PAIRS) -> Answer:
    if runs is None:
        runs = finals.assign(status="done", reason=None, dataset_hash="0")
    matrices, _ = score_matrices(finals, runs)
    return find_answer(score_table(finals, runs), finals, runs, aggregates(matrices), pairs)


@pytest.fixture(autouse=True, scope="module")
def few_repetitions():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cqlbench.statistics.bootstrap.REPETITIONS", 50)
        yield


def test_one_method_above_all_others_is_to_be_trusted():
    answer = answer_of(finals_of({"cql": (0.8, MODEST), "bc": (0.4, None)}))
    assert answer.sentence == "Trust CQL: over these 2 datasets it scores above every other method."
    score, critic, distance = answer.numbers
    assert score.value == "80.0" and "IQM over 2 datasets, 5 seeds" in score.detail
    assert critic.value == "-38 %" and "62 predicted, 100 true" in critic.detail
    assert "A lower bound on 2 of 2 datasets" in critic.detail
    assert distance.title == "CQL above BC" and distance.value == "+40.0" and ": told apart" in distance.detail
    assert answer.limits == []


def test_one_dataset_is_named_and_its_score_is_the_mean_with_students_interval():
    finals = finals_of({"cql": (0.8, MODEST), "bc": (0.4, None)}).query("dataset == 'a/one-v0'")
    answer = answer_of(finals)
    assert answer.sentence == "Trust CQL: on a/one-v0 it scores above every other method."
    low, high = t_interval(finals.query("method == 'cql'")["score"].to_numpy())
    assert answer.numbers[0].detail.startswith(f"mean on a/one-v0, 5 seeds ({100 * low:.1f} to {100 * high:.1f}, 95 %)")


def test_methods_that_the_runs_do_not_tell_apart_are_named_together():
    answer = answer_of(finals_of({"cql": (0.801, MODEST), "bc": (0.8, None), "sac": (0.2, MODEST)}))
    assert answer.sentence == "These runs do not tell CQL and BC apart; CQL scores highest."
    assert "not told apart" in answer.numbers[2].detail and answer.limits[0] == "Told apart from it, below: SAC."


def test_where_no_run_has_a_score_no_method_is_to_be_trusted():
    finals = finals_of({"cql": (0.8, MODEST), "bc": (0.4, None)})
    runs = finals.assign(status="done", reason=None, dataset_hash="0")
    answer = answer_of(finals.iloc[:0], runs)
    assert answer.sentence.startswith("No score of these methods is known") and "simulator" in answer.limits[0]
    assert {row.aside for row in answer.standings} == {"no seed finished on every dataset compared"}


def test_an_exploded_value_sets_aside_whatever_it_scores():
    answer = answer_of(finals_of({"sac": (0.9, EXPLODED), "cql": (0.8, MODEST), "bc": (0.4, None)}))
    assert (
        answer.sentence
        == "Trust CQL: over these 2 datasets it scores above every other method whose value estimate held."
    )
    assert answer.limits == ["Set aside: SAC (promises 302 and truly gets 100 on a/one-v0)."]
    assert [row.family for row in answer.standings] == ["cql", "bc", "sac"]


def test_the_size_of_values_decides_what_exploded_also_where_they_are_negative():
    finals = finals_of({"cql": (0.8, MODEST), "sac": (0.4, MODEST)})
    costs = finals.assign(true_discounted_return=-400.0, predicted_value=-100.0, difference_mean=300.0)
    assert not any(row.aside for row in answer_of(costs).standings)
    assert all(row.aside for row in answer_of(costs.assign(difference_mean=500.0)).standings)


def test_a_diverged_run_sets_its_method_aside():
    finals = finals_of({"sac": (0.9, MODEST), "cql": (0.8, MODEST)})
    runs = finals.assign(status="done", reason=None, dataset_hash="0")
    lost = (finals["method"] == "sac") & (finals["seed"] == 4) & (finals["dataset"] == "a/one-v0")
    runs.loc[lost, "status"] = "diverged"
    answer = answer_of(finals[~lost], runs)
    assert answer.sentence == "Only CQL is left: every other method is set aside."
    assert answer.limits == ["Set aside: SAC (1 of its runs diverged)."]


def test_runs_that_came_to_nothing_otherwise_are_counted():
    finals = finals_of({"cql": (0.8, MODEST), "bc": (0.4, None)})
    lost = (finals["method"] == "cql") & (finals["seed"] == 4) & (finals["dataset"] == "a/one-v0")
    runs = finals.assign(status=np.where(lost, "failed", "done"), reason=None, dataset_hash="0")
    answer = answer_of(finals[~lost], runs)
    assert answer.sentence.startswith("Trust CQL") and "4 seeds" in answer.numbers[0].detail
    assert "1 run of CQL came to nothing and is not in its numbers." in answer.limits


def test_nothing_is_to_be_trusted_where_all_exploded():
    answer = answer_of(finals_of({"sac": (0.9, EXPLODED), "cql": (0.8, EXPLODED)}))
    assert answer.sentence == "None of these methods is to be trusted: each one is set aside."
    assert answer.numbers == [] and len(answer.standings) == 2


def test_one_seed_tells_nothing_apart():
    answer = answer_of(finals_of({"cql": (0.8, MODEST), "bc": (0.1, None)}, spread=np.zeros(1)))
    assert answer.sentence == "One seed tells no methods apart; CQL scores highest."
    assert "cannot be tested" in answer.numbers[2].detail
    assert "1 seed: five are a minimum for a claim, ten for a close one." in answer.limits


def test_a_critic_that_is_not_known_is_called_so():
    answer = answer_of(finals_of({"bc": (0.8, None), "cql": (0.4, MODEST)}))
    assert answer.numbers[1].value == "–" and "not known" in answer.numbers[1].detail


def test_where_the_test_of_means_contradicts_the_iqm_no_method_is_preferred():
    finals = finals_of({"cql": (0.5, None), "bc": (0.49, None)}, datasets=[*DATASETS, "c/three-v0", "d/four-v0"])
    finals.loc[(finals["method"] == "bc") & (finals["dataset"] == "d/four-v0"), "score"] += 0.6
    answer = answer_of(finals)
    assert answer.sentence == "IQM and mean disagree: CQL has the highest IQM, BC the higher mean."
    assert answer.numbers[2].value == "-14.0" and ": told apart" in answer.numbers[2].detail
    assert answer.limits == []


def test_a_dataset_on_which_another_is_above_is_named():
    pairs = pd.DataFrame([{"dataset": "b/two-v0", "x": "bc", "y": "cql", "difference": 0.1, "p_holm": 0.01}])
    finals = finals_of({"cql": (0.8, MODEST), "bc": (0.4, None)})
    assert answer_of(finals, pairs=pairs).limits == ["Not on every dataset. Above CQL: BC on b/two-v0."]
    assert answer_of(finals, pairs=pairs.assign(difference=-0.1)).limits == []
    assert answer_of(finals, pairs=pairs.assign(p_holm=0.2)).limits == []


@settings(max_examples=5)
@given(st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(random):
    finals = finals_of({"cql": (0.8, MODEST), "bc": (0.79, None), "sac": (0.9, EXPLODED)})
    order = list(range(len(finals)))
    random.shuffle(order)
    assert str(answer_of(finals.iloc[order])) == str(answer_of(finals))
