"""Tables of other people's numbers that lie in the package, each row with its source."""

from __future__ import annotations

from importlib import resources

import pandas as pd


def published_scores() -> pd.DataFrame:
    """Scores that papers and codebases print, x100 as there.

    `source`, `dataset` with its version, `algorithm`, `statistic` (last, or best: the best evaluation on the way),
    `score_mean`, `score_std` (over seeds), `num_seeds`, `num_updates`, `note`; empty where the source does not say.
    """
    return _read("published_scores.csv")


def d4rl_references() -> pd.DataFrame:
    """D4RL's returns of a random and an expert policy: `domain`, `ref_min_score`, `ref_max_score`.

    From Farama-Foundation/D4RL, d4rl/infos.py; the same for v0, v1 and v2.
    """
    return _read("d4rl_reference_scores.csv")


def _read(name: str) -> pd.DataFrame:
    with (resources.files("cqlbench.published") / name).open() as file:
        return pd.read_csv(file, float_precision="round_trip")
