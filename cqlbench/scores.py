"""From run folders to five tables: a row per evaluation, run, comparison of values, training metric, final episode.

Scores are stored 0-1 (0: the reference random policy, 1: the reference expert) and only ever printed x100.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from cqlbench import runs
from cqlbench.algorithms.registry import find_algorithm
from cqlbench.errors import UserError
from cqlbench.records import read_record
from cqlbench.runs import Run
from cqlbench.suites import Method, Suite
from cqlbench.tasks import score_of
from cqlbench.writers import aside

SCORES = "scores.csv"
RUNS = "runs.csv"
VALUES = "values.csv"
TRAINING = "training.csv"
EPISODES = "episodes.csv"

# In runs.csv, a method's value of each axis that it sweeps stands under this prefix; empty where it does not sweep it.
AXIS = "axis_"

SCORE_COLUMNS = [
    "dataset", "method", "algorithm", "implementation", "cql_alpha", "seed", "update", "episodes", "return_mean",
    "return_std", "score", "ref_min", "ref_max", "predicted_value", "true_discounted_return", "status", "code_version",
    "config_hash", "dataset_hash", "family", "headline",
]  # fmt: skip
RUN_COLUMNS = [
    "dataset", "method", "family", "headline", "seed", "status", "reason", "update", "updates", "seconds",
    "cpu_seconds", "updates_per_second", "peak_memory_mb", "code_fingerprint", "code_version", "packages",
    "dataset_hash", "warning", "folder", "taken_from",
]  # fmt: skip
VALUE_COLUMNS = ["dataset", "method", "seed", *runs.VALUE_COLUMNS]
TRAINING_COLUMNS = ["dataset", "method", "seed", "update", "metric", "value"]
EPISODE_COLUMNS = ["dataset", "method", "seed", "update", "episode", "return", "score", "length", "terminated"]
# What tells the rows of a table apart, and what they are sorted by.
KEYS = {
    SCORES: ["dataset", "method", "seed", "update"],
    RUNS: ["dataset", "method", "seed"],
    VALUES: ["dataset", "method", "seed", "start", "update"],
    TRAINING: ["dataset", "method", "seed", "metric"],
    EPISODES: ["dataset", "method", "seed", "episode"],
}


# Columns that each table of a run has.
_NEEDED = {
    runs.TRAIN: ("update",),
    runs.EVALUATION: ("update", "episodes", "return_mean", "return_std"),
    runs.EPISODES: ("update", "episode", "return", "length", "terminated"),
    runs.VALUES: ("update", "start", "states"),
}


def collect_tables(suite: Suite, results: Path) -> dict[str, pd.DataFrame]:
    """All five, by the name of their file. Raises UserError as `collect_scores`."""
    return {
        SCORES: collect_scores(suite, results),
        RUNS: collect_runs(suite, results),
        VALUES: collect_values(suite, results),
        TRAINING: collect_training(suite, results),
        EPISODES: collect_episodes(suite, results),
    }


def collect_scores(suite: Suite, results: Path) -> pd.DataFrame:
    """One row per run and evaluation point: SCORE_COLUMNS, then one column per swept axis other than cql_alpha.

    Value columns are those of states of the data, empty for a method without a value. Runs that came to no result, or
    never wrote an evaluation, have no row here; `collect_runs` names them. Raises UserError where a finished run lacks
    evaluations, or where runs of one dataset were trained on different contents.
    """
    further = [axis for axis in suite.axes if axis != "cql_alpha"]
    rows: list[dict[str, Any]] = []
    for method, run, folder in _results(suite, results):
        evaluations = _read_run_table(folder / runs.EVALUATION)
        status = read_record(folder / runs.STATUS)["status"]
        points = [int(row["update"]) for row in evaluations]
        if status == "done" and points != run.protocol.evaluation_points():
            raise UserError(
                f"{folder / runs.EVALUATION} says it is done but holds the evaluations {points}, "
                f"not {run.protocol.evaluation_points()}. Train the run again."
            )
        provenance = read_record(folder / runs.PROVENANCE)
        if not evaluations:
            continue
        if "dataset" not in provenance:
            raise UserError(f"{folder / runs.PROVENANCE} does not name the run's dataset. Train the run again.")
        dataset = provenance["dataset"]
        values = {int(row["update"]): row for row in _read_run_table(folder / runs.VALUES) if row["start"] == "data"}
        entry = find_algorithm(method.algorithm)
        settings, config_hash = method.config.settings(), run.config_hash
        for row in evaluations:
            value = values.get(int(row["update"]), {})
            rows.append(
                {
                    "dataset": run.dataset,
                    "method": method.label,
                    "algorithm": entry.algorithm,
                    "implementation": entry.implementation,
                    "cql_alpha": settings.get("cql_alpha"),
                    "seed": run.seed,
                    "update": int(row["update"]),
                    "episodes": int(row["episodes"]),
                    "return_mean": row["return_mean"],
                    "return_std": row["return_std"],
                    "score": score_of(row["return_mean"], dataset["ref_min"], dataset["ref_max"]),
                    "ref_min": dataset["ref_min"],
                    "ref_max": dataset["ref_max"],
                    "predicted_value": value.get("predicted_value"),
                    "true_discounted_return": value.get("true_discounted_return"),
                    "status": status,
                    "code_version": provenance.get("code_version"),
                    "config_hash": config_hash,
                    "dataset_hash": dataset["content_hash"],
                    "family": method.family,
                    "headline": method.headline,
                    **{axis: settings.get(axis) for axis in further},
                }
            )
    table = pd.DataFrame(rows, columns=SCORE_COLUMNS + further)
    refuse_mixed_contents(table)
    return table.sort_values(KEYS[SCORES], ignore_index=True)


def refuse_mixed_contents(table: pd.DataFrame) -> None:
    """Raises UserError where runs of one dataset in this table of scores were trained on different contents of it."""
    for name, group in table.groupby("dataset"):
        if group.dataset_hash.nunique() > 1:
            contents = "; ".join(
                f"{content}: {', '.join(sorted(set(part.method)))}" for content, part in group.groupby("dataset_hash")
            )
            raise UserError(
                f"{name}: its runs were trained on different contents of the dataset ({contents}). "
                "Their scores cannot be compared; `cqlbench retry SUITE --retrain-stale` trains those again that were "
                "made from other data than lie there now."
            )


def collect_runs(suite: Suite, results: Path) -> pd.DataFrame:
    """One row per run of the suite: RUN_COLUMNS, then `axis_<key>` per swept axis.

    `status` is `missing` where the folder has no status.json; `update` is how far the run came, `updates` its budget;
    `seconds` and `peak_memory_mb` are those of the whole run, `cpu_seconds` those of its updates; `packages` are those
    that numbers can depend on, with their versions; `folder` is relative to `results`; `taken_from` is empty, since
    these runs are our own.
    """
    axes = suite.axes
    rows: list[dict[str, Any]] = []
    for method, run, folder in _folders(suite, results):
        status = read_record(folder / runs.STATUS)
        timing = read_record(folder / runs.TIMING)
        provenance = read_record(folder / runs.PROVENANCE)
        dataset = provenance.get("dataset", {})
        rows.append(
            {
                "dataset": run.dataset,
                "method": method.label,
                "family": method.family,
                "headline": method.headline,
                "seed": run.seed,
                "status": status.get("status", "missing"),
                "reason": status.get("reason"),
                # Null where the run failed before its first update.
                "update": status.get("update") or 0,
                "updates": run.protocol.updates,
                "seconds": timing.get("seconds_total"),
                "cpu_seconds": timing.get("cpu_seconds_training"),
                "updates_per_second": timing.get("updates_per_second"),
                "peak_memory_mb": timing.get("peak_memory_mb"),
                "code_fingerprint": provenance.get("code_fingerprint"),
                "code_version": provenance.get("code_version"),
                "packages": ", ".join(" ".join(package) for package in provenance.get("packages", {}).items()) or None,
                "dataset_hash": dataset.get("content_hash"),
                "warning": dataset.get("warning"),
                "folder": folder.relative_to(results).as_posix(),
                # None is a value here (null: the default of num_transitions), not the absence of the axis.
                **{AXIS + axis: "null" if value is None else value for axis, value in method.axes.items()},
            }
        )
    table = pd.DataFrame(rows, columns=RUN_COLUMNS + [AXIS + axis for axis in axes])
    return table.sort_values(KEYS[RUNS], ignore_index=True)


def collect_values(suite: Suite, results: Path) -> pd.DataFrame:
    """Every comparison of predicted and true value of the suite's runs: VALUE_COLUMNS, for both kinds of start.

    What a run of earlier code did not measure is empty.
    """
    rows = [
        {"dataset": run.dataset, "method": method.label, "seed": run.seed, **row}
        for method, run, folder in _results(suite, results)
        for row in _read_run_table(folder / runs.VALUES)
    ]
    table = pd.DataFrame(rows, columns=VALUE_COLUMNS)
    return table.sort_values(KEYS[VALUES], ignore_index=True)


def collect_training(suite: Suite, results: Path) -> pd.DataFrame:
    """What each run logged last of its training (losses, entropy, multipliers): TRAINING_COLUMNS, a row per metric."""
    rows = [
        {
            "dataset": run.dataset,
            "method": method.label,
            "seed": run.seed,
            "update": int(last["update"]),
            "metric": metric,
            "value": value,
        }
        for method, run, folder in _results(suite, results)
        for last in _read_run_table(folder / runs.TRAIN)[-1:]
        for metric, value in last.items()
        if metric != "update"
    ]
    table = pd.DataFrame(rows, columns=TRAINING_COLUMNS)
    return table.sort_values(KEYS[TRAINING], ignore_index=True)


def collect_episodes(suite: Suite, results: Path) -> pd.DataFrame:
    """The episodes of the last evaluation of each run that came to a result: EPISODE_COLUMNS.

    `terminated` is 1 where the task's own rule ended the episode and 0 where the time limit did.
    """
    rows = []
    for method, run, folder in _results(suite, results):
        episodes = _read_run_table(folder / runs.EPISODES)
        references = read_record(folder / runs.PROVENANCE)["dataset"]
        rows += [
            {
                "dataset": run.dataset,
                "method": method.label,
                "seed": run.seed,
                "score": score_of(row["return"], references["ref_min"], references["ref_max"]),
                **row,
            }
            for row in episodes
            if row["update"] == episodes[-1]["update"]
        ]
    table = pd.DataFrame(rows, columns=EPISODE_COLUMNS)
    return table.sort_values(KEYS[EPISODES], ignore_index=True)


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Writes a CSV whole or not at all; floats in the shortest form that reads back as the same number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with aside(path) as beside:
        table.to_csv(beside, index=False, lineterminator="\n")


def read_table(path: Path, made_by: str = "`cqlbench scores` or `cqlbench statistics`") -> pd.DataFrame:
    """The table that `write_table` wrote. Raises UserError where it is not there, naming what makes it."""
    if not path.is_file():
        raise UserError(f"{path} does not exist. Make it first with {made_by}.")
    text = {
        "reason": object,
        "warning": object,
        "code_version": object,
        "code_fingerprint": object,
        "packages": object,
        "dataset_hash": object,
        "config_hash": object,
        "folder": object,
        "taken_from": object,
    }
    # Only an empty cell is a missing value: `null` is a setting.
    return pd.read_csv(path, float_precision="round_trip", dtype=text, keep_default_na=False, na_values=[""])


def _folders(suite: Suite, results: Path) -> Iterator[tuple[Method, Run, Path]]:
    for method, run in suite.runs():
        yield method, run, run.folder(results)


def _results(suite: Suite, results: Path) -> Iterator[tuple[Method, Run, Path]]:
    """Those that came to a result. Of others a folder may still hold what an earlier attempt has left."""
    for method, run, folder in _folders(suite, results):
        if read_record(folder / runs.STATUS).get("status") in runs.RESULTS_OF_TRAINING:
            yield method, run, folder


def _read_run_table(path: Path) -> list[dict[str, Any]]:
    """The rows of a run's CSV; none where the run did not come so far as to write it.

    One that diverged before its first log has written an empty file. Not by pandas, which takes a millisecond to begin.
    Raises UserError where it is no CSV, lacks a column, or has a row that is not as long as the header.
    """
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            columns, *rows = [*csv.reader(file)] or [[]]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is no CSV ({error}). Train the run again.") from error
    if rows and (lacking := [name for name in _NEEDED[path.name] if name not in columns]):
        raise UserError(f"{path} has no column {lacking[0]}. Train the run again.")
    if any(len(row) != len(columns) for row in rows):
        raise UserError(f"{path} is cut short. Train the run again.")
    return [dict(zip(columns, map(_cell, row), strict=True)) for row in rows]


def _cell(text: str) -> int | float | str:
    """A whole number, any other number or a word; an empty cell is no number."""
    if text.isdecimal():
        return int(text)
    try:
        return float(text or "nan")
    except ValueError:
        return text
