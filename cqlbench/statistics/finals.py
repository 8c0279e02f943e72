"""What runs came to at their last update: per run, as matrices of seeds x datasets, per dataset, and on the way."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cqlbench.runs import DIVERGED, DONE
from cqlbench.statistics.intervals import over_seeds, t_interval, t_quantile

KEYS = ["dataset", "method", "seed"]
GROUPS = ["dataset", "method", "family", "headline"]


def with_scores(evaluations: pd.DataFrame) -> pd.DataFrame:
    """The rows of scores.csv that have a score: neither empty nor infinite."""
    return evaluations[np.isfinite(evaluations["score"].astype(float))]


def final_scores(scores: pd.DataFrame, runs: pd.DataFrame, values: pd.DataFrame) -> pd.DataFrame:
    """One row per run that came to a result: its last evaluation, and `best`, its highest score on the way.

    That is the one after its last update; of a run that diverged it is the last one before, which its policy did reach.
    `difference_mean` is predicted minus true value, paired over the states of the data; `difference_low` and
    `difference_high` are its Student's interval over these states, which is about this one run and no other seed.
    """
    last = scores.groupby(KEYS)["update"].transform("max")
    scores = with_scores(scores.assign(last=scores["update"] == last))
    finals = scores.merge(runs[[*KEYS, "updates"]], on=KEYS)
    done = (finals["status"] == DONE) & (finals["update"] == finals["updates"])
    finals = finals[done | (finals["last"] & (finals["status"] == DIVERGED))]
    best = scores.groupby(KEYS, as_index=False).agg(best=("score", "max"))
    differences = ["difference_mean", "difference_standard_error", "states"]
    paired = values.loc[values["start"] == "data", [*KEYS, "update", *differences]]
    # An empty table does not know that these are numbers.
    paired = paired.astype(dict.fromkeys(differences, float))
    finals = finals.merge(best, on=KEYS).merge(paired, on=[*KEYS, "update"], how="left")
    half = t_quantile(finals["states"]) * finals["difference_standard_error"]
    finals = finals.assign(
        difference_low=finals["difference_mean"] - half, difference_high=finals["difference_mean"] + half
    )
    columns = [
        "dataset", "method", "family", "headline", "seed", "update", "score", "best", "return_mean", "predicted_value",
        "true_discounted_return", "difference_mean", "difference_standard_error", "difference_low", "difference_high",
    ]  # fmt: skip
    return finals[columns].sort_values(KEYS, ignore_index=True)


def score_matrices(finals: pd.DataFrame, runs: pd.DataFrame) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Complete matrices (seeds x datasets) of the final scores of each headline method, and the runs that they had to
    leave out or that came to no end.

    All methods are compared on the same datasets: those on which every method that finished anything finished a run.
    Of these, a method keeps the seeds it finished on all.
    """
    # An empty table does not know that this column is a truth value.
    headline = finals[finals["headline"].astype(bool)]
    methods = sorted(headline["method"].unique())
    per_dataset = headline.groupby("dataset")["method"].nunique()
    datasets = sorted(per_dataset[per_dataset == len(methods)].index)
    matrices = {
        method: headline[(headline["method"] == method) & headline["dataset"].isin(datasets)]
        .pivot(index="seed", columns="dataset", values="score")
        .dropna()
        for method in methods
    }
    finished = set(finals[KEYS].itertuples(index=False, name=None))
    holes = []
    for run in runs.itertuples(index=False):
        key = (run.dataset, run.method, run.seed)
        if key not in finished:
            because = "its last score is no number" if run.status == "done" else "the run has no final evaluation"
        elif run.headline and run.dataset not in datasets:
            because = "another headline method has no finished run on this dataset, so it leaves the aggregates"
        elif run.headline and run.seed not in matrices[run.method].index:
            because = "the method lacks this seed on another dataset, so the seed leaves the aggregates"
        elif run.status == DIVERGED:
            because = "it diverged; its last evaluation counts"
        else:
            continue
        holes.append((*key, run.headline, run.status, run.reason, because))
    columns = [*KEYS, "headline", "status", "reason", "because"]
    return matrices, pd.DataFrame(holes, columns=columns)


def score_table(finals: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """One row per dataset and method of the suite; `best_mean` is the mean of each run's best evaluation on the way.

    `difference_mean` is that of predicted minus true value, with its t interval; `failed` counts the runs without a
    final evaluation, `diverged` those among `seeds` that count with the last one before they diverged.
    """
    planned = runs.groupby(GROUPS, as_index=False).agg(planned=("seed", "size"))
    diverged = finals.merge(runs.loc[runs["status"] == DIVERGED, KEYS], on=KEYS)
    counts = diverged.groupby(GROUPS, as_index=False).agg(diverged=("seed", "size"))
    found = over_seeds(
        finals,
        GROUPS,
        best_mean="best",
        return_mean="return_mean",
        predicted_value="predicted_value",
        true_discounted_return="true_discounted_return",
    )
    differences = finals.dropna(subset="difference_mean").groupby(GROUPS, as_index=False)["difference_mean"]
    found = found.merge(
        differences.agg(
            difference_mean="mean",
            difference_low=lambda sample: t_interval(sample.to_numpy())[0],
            difference_high=lambda sample: t_interval(sample.to_numpy())[1],
        ),
        on=GROUPS,
        how="left",
    )
    table = planned.merge(found, on=GROUPS, how="left").merge(counts, on=GROUPS, how="left")
    table = table.fillna({"seeds": 0, "diverged": 0}).astype({"seeds": int, "diverged": int})
    table.insert(table.columns.get_loc("diverged"), "failed", table["planned"] - table["seeds"])
    return table.drop(columns="planned")


def curves(scores: pd.DataFrame) -> pd.DataFrame:
    """Score and values over training, per dataset and method, over the seeds that were evaluated there."""
    return over_seeds(
        with_scores(scores),
        [*GROUPS, "update"],
        predicted_value="predicted_value",
        true_discounted_return="true_discounted_return",
    )
