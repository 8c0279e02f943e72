"""A suite's estimates: a row per run, and over the seeds of each method."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cqlbench.errors import UserError
from cqlbench.runs import Run
from cqlbench.scores import read_table
from cqlbench.suites import Suite

ESTIMATES = "estimates.csv"
# Below a suite's folder: one table per run.
FOLDER = "estimates"
# What is measured on the training data and, once more, on held-out ones.
ON_DATA = ("td_error", "conservative_gap", "fqe_td_error")
COLUMNS = [
    "dataset", "algorithm", "config_hash", "seed", "status", "dataset_hash", "policy", "discount", "initial_states",
    "predicted_value", "fqe_value", "lowest_possible", "highest_possible", "fqe_impossible", "fqe_updates", *ON_DATA,
    "held_out", "held_out_hash",
    *(f"held_out_{measure}" for measure in ON_DATA), "true_states", "true_value", "true_standard_error",
]  # fmt: skip
METHOD_COLUMNS = ["method", "family", "headline"]
MEASURES = [
    "predicted_value", "fqe_value", "fqe_impossible", "true_value", *ON_DATA,
    *(f"held_out_{measure}" for measure in ON_DATA),
]  # fmt: skip
SUMMARY_COLUMNS = ["dataset", *METHOD_COLUMNS, "measure", "seeds", "mean", "lowest", "highest"]


def run_table(folder: Path, run: Run) -> Path:
    """Where a suite whose results lie in `folder` keeps the estimates of one of its runs."""
    place = run.folder(Path()).relative_to("runs")
    return folder / FOLDER / place.with_name(f"{place.name}.csv")


def collect(suite: Suite, folder: Path) -> pd.DataFrame:
    """The tables of all runs of the suite as one, each row with its method.

    Raises UserError where one is missing, or where held-out data of one dataset differ between runs.
    """
    rows = []
    for method, run in suite.runs():
        table = read_table(run_table(folder, run), "`cqlbench estimate`")
        # A run that failed at once has not said what it is.
        known = {"dataset": run.dataset, "algorithm": run.algorithm, "config_hash": run.config_hash, "seed": run.seed}
        rows.append(table.assign(**known, method=method.label, family=method.family, headline=method.headline))
    estimates = pd.concat(rows, ignore_index=True)
    for dataset, group in estimates[estimates["status"] == "done"].groupby("dataset"):
        if len(group[["held_out_hash", "fqe_updates"]].drop_duplicates()) > 1:
            raise UserError(
                f"{dataset}: its runs were estimated on different held-out data or with different updates; "
                f"remove {folder / FOLDER} and estimate them again."
            )
    columns = ["dataset", *METHOD_COLUMNS, *COLUMNS[1:]]
    return estimates[columns].sort_values(["dataset", "method", "seed"], ignore_index=True)


def summarise(estimates: pd.DataFrame) -> pd.DataFrame:
    """Each measure over the seeds of a method on a dataset: SUMMARY_COLUMNS. A seed without the measure does not count,
    and a measure that no seed has stands with 0 seeds."""
    keys = ["dataset", *METHOD_COLUMNS]
    long = estimates.melt(id_vars=keys, value_vars=MEASURES, var_name="measure")
    summary = long.groupby([*keys, "measure"], sort=False)["value"].agg(
        seeds="count", mean="mean", lowest="min", highest="max"
    )
    order = {measure: place for place, measure in enumerate(MEASURES)}
    summary = summary.reset_index()
    summary["order"] = summary["measure"].map(order)
    return summary.sort_values(["dataset", "method", "order"], ignore_index=True)[SUMMARY_COLUMNS]
