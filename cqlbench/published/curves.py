"""Runs made elsewhere, from one long table of evaluations to the tables that a suite's folder has."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from cqlbench.cells import LARGEST_SCORE, LARGEST_WHOLE, WHOLE, read_cells
from cqlbench.datasets.from_d4rl import read_domains
from cqlbench.errors import UserError
from cqlbench.published.names import find_references
from cqlbench.scores import (
    EPISODE_COLUMNS,
    EPISODES,
    RUN_COLUMNS,
    RUNS,
    SCORE_COLUMNS,
    SCORES,
    TRAINING,
    TRAINING_COLUMNS,
    VALUE_COLUMNS,
    VALUES,
    write_table,
)
from cqlbench.tasks import score_of
from cqlbench.writers import write_text

# What a folder made of tables alone says of itself: `title`, `note`, `source`.
ABOUT = "about.yaml"
# What is read, and what its column is called unless the caller says otherwise.
HEADER = {
    "algorithm": "algorithm", "dataset": "dataset", "seed": "seed", "update": "step", "return": "return",
    "score": "score",
}  # fmt: skip
KEYS = ["dataset", "algorithm", "seed"]
D4RL = "d4rl"


def read_curves(path: Path, header: Mapping[str, str] = HEADER, references: str | None = None) -> pd.DataFrame:
    """The evaluations of a CSV, one row each: KEYS, `update`, `return`, `score`, `ref_min`, `ref_max`, sorted.

    `header` says what the columns of HEADER are called in the file. A score (0-1) is taken as it is; where the file has
    none, it is made of the return by `references`, which is `d4rl` (D4RL's, by the dataset's name) or None. What the
    file does not have is NaN. Every run has the same evaluations; a seed that a method has on one dataset and not on
    another is no error here. Raises UserError, naming the file and the line, where the file is anything else.
    """
    if references not in (None, D4RL):
        raise UserError(f"--references {references}: not known; it must be {D4RL}.")
    table = read_cells(path, {header[key]: str for key in ("algorithm", "dataset")})
    found = set(table.columns)
    has_score = header["score"] in found
    for key in (*KEYS, "update", "score" if has_score else "return"):
        if header[key] not in found:
            wanted = repr(header[key]) + (f" or {header['score']!r}" if key == "return" else "")
            raise UserError(
                f"{path}: column {wanted} is missing; the file has {', '.join(map(repr, table.columns))}. "
                f"Say what it is called with --{key}-column."
            )
    if table.empty:
        raise UserError(f"{path}: no rows; a table of curves has one row per run and evaluation.")
    table = pd.DataFrame({key: table.get(header[key]) for key in (*KEYS, "update", "return", "score")})
    _check_cells(path, table, [key for key in ("return", "score") if header[key] in found])
    table = table.astype({"seed": int, "update": int, "return": float, "score": float})
    _check_runs(path, table)
    if has_score:
        _check_scale(path, table)
        table[["ref_min", "ref_max"]] = np.nan
    else:
        _normalise(path, table, references)
    return table.sort_values([*KEYS, "update"], ignore_index=True)


def write_curves(table: pd.DataFrame, folder: Path, about: Mapping[str, str]) -> pd.DataFrame:
    """Writes what `read_curves` gave as the tables of an analysed folder, with `about` as its ABOUT; returns runs.csv.

    Every method is a family of its own and is shown. A method's seed that it has on one dataset and not on another is
    a run with the status `missing`. Raises UserError where the folder holds the tables of a suite.
    """
    if (folder / RUNS).exists() and not (folder / ABOUT).exists():
        raise UserError(f"--out {folder}: holds the tables of a suite, which would be lost; choose another folder.")
    named = table.rename(columns={"return": "return_mean"}).assign(
        method=table["algorithm"], family=table["algorithm"], headline=True, status="done"
    )
    runs = _runs(table)
    folder.mkdir(parents=True, exist_ok=True)
    tables = {
        SCORES: named.reindex(columns=SCORE_COLUMNS),
        RUNS: runs,
        VALUES: pd.DataFrame(columns=VALUE_COLUMNS),
        TRAINING: pd.DataFrame(columns=TRAINING_COLUMNS),
        EPISODES: pd.DataFrame(columns=EPISODE_COLUMNS),
    }
    write_text(folder / ABOUT, yaml.safe_dump(dict(about), sort_keys=False, allow_unicode=True, width=100))
    for name, content in tables.items():
        write_table(content, folder / name)
    return runs


def describe_source(path: Path, references: str | None) -> str:
    """The file's name and content hash, and how its returns became scores."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    scale = "returns normalised with D4RL's references" if references == D4RL else "scores as given"
    return f"{path.name}, sha256 {digest[:16]}; {scale}"


def _runs(table: pd.DataFrame) -> pd.DataFrame:
    """RUN_COLUMNS: a row for every dataset of the file and every seed that a method has anywhere."""
    budget = int(table["update"].max())
    present = set(table[KEYS].itertuples(index=False, name=None))
    rows: list[dict[str, Any]] = []
    for method, own in table.groupby("algorithm"):
        for dataset in sorted(table["dataset"].unique()):
            for seed in sorted(own["seed"].unique()):
                found = (dataset, method, seed) in present
                rows.append(
                    {
                        "dataset": dataset,
                        "method": method,
                        "family": method,
                        "headline": True,
                        "seed": seed,
                        "status": "done" if found else "missing",
                        "reason": None if found else "not in the table",
                        "update": budget if found else 0,
                        "updates": budget,
                    }
                )
    return pd.DataFrame(rows, columns=RUN_COLUMNS).sort_values(["dataset", "method", "seed"], ignore_index=True)


def _check_cells(path: Path, table: pd.DataFrame, measures: list[str]) -> None:
    """Every cell that is read holds what it should; numbers become numbers in place."""
    for column in ("algorithm", "dataset"):
        _require(path, table, column, table[column].notna(), "text")
    _require(path, table, "algorithm", ~table["algorithm"].str.contains(","), "a name without commas")
    for column in ("seed", "update"):
        numbers = pd.to_numeric(table[column], errors="coerce")
        _require(path, table, column, numbers.between(0, LARGEST_WHOLE) & (numbers % 1 == 0), WHOLE)
    for column in measures:
        numbers = pd.to_numeric(table[column], errors="coerce")
        _require(path, table, column, np.isfinite(numbers), "a number")


def _require(path: Path, table: pd.DataFrame, column: str, valid: pd.Series, allowed: str) -> None:
    if not valid.all():
        row = int(np.argmin(valid.to_numpy()))
        value = table[column].iloc[row]
        said = "empty or NaN" if pd.isna(value) else value
        raise UserError(f"{path}, line {row + 2}: {column} is {said}, which is not allowed; it must be {allowed}.")


def _check_runs(path: Path, table: pd.DataFrame) -> None:
    """Every evaluation once, and the same evaluations of every run."""
    twice = table[table.duplicated([*KEYS, "update"])]
    if len(twice):
        dataset, algorithm, seed, update = twice.iloc[0][[*KEYS, "update"]]
        raise UserError(
            f"{path}, line {twice.index[0] + 2}: {algorithm} on {dataset}, seed {seed}, update {update:,}, stands "
            "there a second time; keep one row per run and evaluation."
        )
    points = set(table["update"])
    for (dataset, algorithm, seed), own in table.groupby(KEYS):
        if absent := sorted(points - set(own["update"])):
            raise UserError(
                f"{path}, line {own.index[-1] + 2}: {algorithm} on {dataset}, seed {seed}, ends here without update "
                f"{absent[0]:,}, at which other runs are evaluated ({len(own)} of {len(points)} evaluations). Runs are "
                "compared at the same updates only: leave this run out, or the evaluations that not all runs have."
            )


def _check_scale(path: Path, table: pd.DataFrame) -> None:
    largest = table.loc[table["score"].abs().idxmax()]
    if abs(largest["score"]) > LARGEST_SCORE:
        raise UserError(
            f"{path}, line {largest.name + 2}: {largest['algorithm']} on {largest['dataset']}, seed {largest['seed']}, "
            f"has the score {largest['score']:g}; scores are 0 for the random policy and 1 for the expert, so this "
            "looks like x100. Divide the column by 100; returns go into a column of their own, see --return-column."
        )


def _normalise(path: Path, table: pd.DataFrame, references: str | None) -> None:
    """Makes `score` of `return`, dataset by dataset."""
    if references is None:
        raise UserError(
            f"{path}: it has returns and no scores; say by which references to normalise them, as in "
            "--references d4rl, or give scores (0 for random, 1 for the expert) in a column of their own."
        )
    for dataset, own in table.groupby("dataset"):
        found = find_references(str(dataset))
        if found is None:
            raise UserError(
                f"{path}, line {own.index[0] + 2}: dataset {dataset!r} is not one of D4RL's. Those are called "
                f"{', '.join(domain.name for domain in read_domains())}, followed by kind and version: "
                "hopper-medium-v2."
            )
        table.loc[own.index, "score"] = score_of(own["return"], *found)
        table.loc[own.index, ["ref_min", "ref_max"]] = found
