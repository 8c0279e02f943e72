"""The tables of a suite around given scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cqlbench.scores import EPISODE_COLUMNS, RUN_COLUMNS, SCORE_COLUMNS, VALUE_COLUMNS


def matrix(rows: list[list[float]]) -> pd.DataFrame:
    """Seeds x datasets, as the statistics over datasets take them."""
    return pd.DataFrame(rows, columns=[f"dataset-{index}" for index in range(len(rows[0]))])


def make_tables(
    scores: np.ndarray,
    methods: Sequence[str] = "abcdefgh",
    datasets: Sequence[str] = ("d0", "d1", "d2", "d3"),
    seeds: Sequence[int] = range(1000),
    content: str | None = "hash",
) -> list[pd.DataFrame]:
    """What compute_statistics takes, of (methods, datasets, seeds, updates); a NaN is an evaluation without a score."""
    index = pd.MultiIndex.from_product(
        [list(names[:size]) for names, size in zip((methods, datasets, seeds), scores.shape[:3], strict=True)]
        + [range(1, scores.shape[3] + 1)],
        names=["method", "dataset", "seed", "update"],
    )
    table = pd.DataFrame({"score": scores.ravel()}, index=index).reset_index()
    table = table.assign(family=table["method"], headline=True, status="done", dataset_hash=content)
    runs = table[table["update"] == scores.shape[3]].assign(updates=scores.shape[3])
    values, episodes = (pd.DataFrame(columns=columns) for columns in (VALUE_COLUMNS, EPISODE_COLUMNS))
    return [table.reindex(columns=SCORE_COLUMNS), runs.reindex(columns=RUN_COLUMNS), values, episodes]
