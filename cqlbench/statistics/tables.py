"""From a suite's tables to its statistics: every table by name."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cqlbench.published.reproduction import beside_published
from cqlbench.scores import EPISODES, RUNS, SCORES, VALUES, read_table, write_table
from cqlbench.statistics.diagnostics import diagnostics
from cqlbench.statistics.finals import KEYS, curves, final_scores, score_matrices, score_table
from cqlbench.statistics.over_datasets import (
    aggregates,
    improvement,
    improvement_by_update,
    mean_profiles,
    profiles,
    sample_efficiency,
)
from cqlbench.statistics.pairs import COMPARISONS, detectable_by_seeds, pair_tests
from cqlbench.statistics.safety import safety
from cqlbench.statistics.sweeps import sweep

FOLDER = "statistics"


def write_statistics(folder: Path) -> None:
    """Reads scores.csv, runs.csv, values.csv and episodes.csv in `folder`; writes every table to its statistics/."""
    tables = compute_statistics(*(read_table(folder / name) for name in (SCORES, RUNS, VALUES, EPISODES)))
    for name, table in tables.items():
        write_table(table, folder / FOLDER / f"{name}.csv")


def compute_statistics(
    scores: pd.DataFrame, runs: pd.DataFrame, values: pd.DataFrame, episodes: pd.DataFrame
) -> dict[str, pd.DataFrame]:
    """Every table of the suite by name; the order of the rows given has no influence."""
    scores = scores.sort_values([*KEYS, "update"], ignore_index=True)
    runs = runs.sort_values(KEYS, ignore_index=True)
    values = values.sort_values([*KEYS, "start", "update"], ignore_index=True)
    episodes = episodes.sort_values([*KEYS, "episode"], ignore_index=True)
    finals = final_scores(scores, runs, values)
    swept = sweep(finals, runs)
    matrices, holes = score_matrices(finals, runs)
    tests = pair_tests(finals, runs)
    return {
        "finals": finals,
        "holes": holes,
        "aggregates": aggregates(matrices),
        "profiles": profiles(matrices),
        "mean_profiles": mean_profiles(matrices),
        "improvement": improvement(matrices),
        "improvement_by_update": improvement_by_update(scores, matrices),
        "comparisons": tests[COMPARISONS],
        "power": detectable_by_seeds(tests),
        "sample_efficiency": sample_efficiency(scores, matrices),
        "table": score_table(finals, runs),
        "curves": curves(scores),
        "sweep": swept,
        "diagnostics": diagnostics(values, runs),
        "safety": safety(episodes, runs, scores, swept),
        "published": beside_published(finals, scores),
    }
