"""Student's interval of a mean over seeds: what one dataset alone is shown with."""

from __future__ import annotations

import numpy as np
import pandas as pd

CONFIDENCE = 0.95


def t_interval(sample: np.ndarray, level: float = CONFIDENCE) -> tuple[float, float]:
    """Student's interval of a mean at `level`; NaN for one value.

    Used where one dataset stands alone: the percentile bootstrap of a mean of 3 or 5 runs covers 74 or 84 %, not 95.
    """
    if len(sample) < 2:
        return float("nan"), float("nan")
    half = t_quantile(len(sample), level) * np.std(sample, ddof=1) / np.sqrt(len(sample))
    return float(np.mean(sample) - half), float(np.mean(sample) + half)


def t_quantile(counts: pd.Series | int, level: float = CONFIDENCE) -> np.ndarray | float:
    """How many standard errors of a mean of so many values its Student's interval reaches to either side."""
    from scipy import stats

    return stats.t.ppf(0.5 + level / 2, counts - 1)


def over_seeds(table: pd.DataFrame, groups: list[str], **means: str) -> pd.DataFrame:
    """Of the score per group: seeds, mean, standard deviation, t interval, range; and the means of further columns."""
    found = table.groupby(groups)["score"].agg(
        seeds="size", score_mean="mean", score_std="std", lowest="min", highest="max"
    )
    half = t_quantile(found["seeds"]) * found["score_std"] / np.sqrt(found["seeds"])
    found = found.assign(low=found["score_mean"] - half, high=found["score_mean"] + half)
    further = table.groupby(groups).agg(**{name: (column, "mean") for name, column in means.items()})
    columns = ["seeds", "score_mean", "score_std", "low", "high", "lowest", "highest"]
    return pd.concat([found[columns], further], axis=1).reset_index()
