"""Scores of methods that were trained elsewhere: one CSV, a row per run, checked before anything is compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from cqlbench.cells import LARGEST_SCORE, LARGEST_WHOLE, WHOLE, read_cells
from cqlbench.comparison import RUN_COLUMNS, runs_of_suite
from cqlbench.errors import UserError
from cqlbench.scores import RUNS
from cqlbench.suites import Suite

REQUIRED = ["dataset", "method", "seed", "score"]
# What must agree before our runs may stand beside the file's: the data's content, the budget, how it was judged.
PROTOCOL = {"dataset_hash": "dataset content", "updates": "budget", "episodes": "number of evaluation episodes"}


def read_scores(path: Path, suite: Suite | None = None) -> pd.DataFrame:
    """The runs of a CSV as a table of RUN_COLUMNS and, where the file has them, those of PROTOCOL.

    The file has the columns REQUIRED, scores 0-1, and a row for every dataset, method and seed: those of `suite`, or
    without one all that occur. A run that failed has an empty score, and in `reason` why. Other columns are not read.
    Raises UserError, naming the file, the row or the run, where the file is anything else.
    """
    table = read_cells(path)
    if missing := [column for column in REQUIRED if column not in table.columns]:
        raise UserError(
            f"{path}: column {missing[0]!r} is missing; a score file has {', '.join(REQUIRED)}, and a row per run."
        )
    if table.empty:
        raise UserError(f"{path}: no rows; a score file has one row per run.")
    for column in ("dataset", "method"):
        table[column] = _cells(path, table, column, table[column].astype(str), table[column].notna(), "text")
    for column in ("score", "value_gap", "cpu_seconds", "updates", "episodes"):
        if column in table:
            numbers = pd.to_numeric(table[column], errors="coerce")
            valid = table[column].isna() | np.isfinite(numbers)
            table[column] = _cells(path, table, column, numbers, valid, "a number, or empty where the run failed")
    seeds = pd.to_numeric(table["seed"], errors="coerce")
    valid = seeds.between(0, LARGEST_WHOLE) & (seeds % 1 == 0)
    table["seed"] = _cells(path, table, "seed", seeds, valid, WHOLE).astype(int)
    _check_runs(path, table, suite)
    largest = table.loc[table["score"].abs().idxmax()] if table["score"].notna().any() else None
    if largest is not None and abs(largest["score"]) > LARGEST_SCORE:
        raise UserError(
            f"{path}: {largest['method']} on {largest['dataset']}, seed {largest['seed']}, has the score "
            f"{largest['score']:g}; scores are 0 for the random policy and 1 for the expert, so this looks like x100. "
            "Divide the column by 100."
        )
    return table.reindex(columns=[*RUN_COLUMNS, *(column for column in PROTOCOL if column in table)])


def find_baselines(suite: Suite, results: Path) -> pd.DataFrame:
    """The suite's own runs, from its folder under `results` or else from the reference tables there.

    Columns as `runs_of_suite`. Raises UserError where neither is there.
    """
    folders = [results / kind / suite.name for kind in ("suites", "reference")]
    for folder in folders:
        if (folder / RUNS).is_file():
            return runs_of_suite(folder)
    raise UserError(
        f"suite {suite.name}: neither {folders[0]} nor {folders[1]} has its runs; run the suite, or put the method to "
        "compare with into the score file."
    )


def add_baselines(path: Path, table: pd.DataFrame, baselines: pd.DataFrame, references: list[str]) -> pd.DataFrame:
    """`table`, read from `path`, with the runs of those `references` from `baselines` that it does not have itself.

    Raises UserError where the file does not say on what content, budget and episodes its scores rest, or where they are
    others than the baselines'.
    """
    wanted = [name for name in references if name not in set(table["method"])]
    ours = baselines[baselines["method"].isin(wanted)]
    if unknown := sorted(set(wanted) - set(ours["method"])):
        raise UserError(
            f"--against {unknown[0]}: not in {path}, and not in the suite, which has "
            f"{', '.join(sorted(set(baselines['method'])))}."
        )
    if wanted:
        for column, name in PROTOCOL.items():
            for dataset, own in table.groupby("dataset"):
                # A run that never came to an evaluation does not know what it would have been.
                expected = sorted(ours.loc[ours["dataset"] == dataset, column].dropna().unique())
                if column not in table or own[column].isna().any():
                    raise UserError(
                        f"{path}: column {column!r}, the {name}, is missing for {dataset}; without it these scores "
                        f"cannot stand beside ours, which have {', '.join(map(_plain, expected))}."
                    )
                if other := sorted(set(own[column]) - set(expected)):
                    raise UserError(
                        f"{path}: {column} is {_plain(other[0])} on {dataset}, and {', '.join(map(_plain, expected))} "
                        f"for our {', '.join(wanted)}; scores of another {name} are not compared."
                    )
    return pd.concat([table[RUN_COLUMNS], ours[RUN_COLUMNS]], ignore_index=True)


def _cells(path: Path, table: pd.DataFrame, column: str, read: pd.Series, valid: pd.Series, allowed: str) -> pd.Series:
    """`read`, where every cell is valid."""
    if not valid.all():
        row = int(np.argmin(valid.to_numpy()))
        value = table[column].iloc[row]
        said = "empty" if pd.isna(value) else _plain(value)
        raise UserError(f"{path}, line {row + 2}: {column} is {said}, which is not allowed; it must be {allowed}.")
    return read


def _check_runs(path: Path, table: pd.DataFrame, suite: Suite | None) -> None:
    """Every run once, none beside those that are asked for, and none without a row."""
    keys = ["dataset", "method", "seed"]
    twice = table[table.duplicated(keys)]
    if len(twice):
        dataset, method, seed = twice.iloc[0][keys]
        raise UserError(
            f"{path}, line {twice.index[0] + 2}: {method} on {dataset}, seed {seed}, stands there a second time; keep "
            "one row per run, its last evaluation."
        )
    datasets = suite.datasets if suite else sorted(set(table["dataset"]))
    seeds = suite.seeds if suite else sorted(set(table["seed"]))
    whose = f"suite {suite.name}" if suite else "the file"
    for column, allowed in (("dataset", datasets), ("seed", seeds)):
        unknown = table[~table[column].isin(allowed)]
        if len(unknown):
            raise UserError(
                f"{path}, line {unknown.index[0] + 2}: {column} {unknown[column].iloc[0]} is not in {whose}, which has "
                f"{', '.join(map(str, allowed))}."
            )
    present = set(table[keys].itertuples(index=False, name=None))
    for dataset in datasets:
        for method in sorted(set(table["method"])):
            if absent := [str(seed) for seed in seeds if (dataset, method, seed) not in present]:
                raise UserError(
                    f"{path}: {method} on {dataset} lacks seed {', '.join(absent)} of {whose}; a run that failed stays "
                    "in the file with an empty score."
                )


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
