"""Scores that other people print, each with its source: a table in the package."""

from __future__ import annotations

from importlib import resources

import pandas as pd


def published_scores() -> pd.DataFrame:
    """Scores of papers and codebases, x100 as printed there.

    `source`, `dataset` with its version, `algorithm`, `statistic` (last, or best: the best evaluation on the way),
    `score_mean`, `score_std` (over seeds), `num_seeds`, `num_updates`, `note`; empty where the source does not say.
    """
    with (resources.files("cqlbench.published") / "published_scores.csv").open() as file:
        return pd.read_csv(file, float_precision="round_trip")
