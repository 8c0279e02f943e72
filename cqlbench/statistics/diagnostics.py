"""What the critic knows and what the policy does with it, over seeds."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cqlbench.statistics.finals import GROUPS, KEYS
from cqlbench.statistics.intervals import t_quantile

# Columns of values.csv that diagnostics.csv tells over seeds, and the differences it adds.
MEASURES = [
    "predicted_value", "true_discounted_return", "difference_mean", "q_data", "q_policy", "q_uniform",
    "impossible_optimism", "action_distance", "mean_action_distance", "nearest_action_distance", "off_data",
]  # fmt: skip
GAPS = {"q_data_minus_policy": "q_policy", "q_data_minus_uniform": "q_uniform"}


def diagnostics(values: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Every one of MEASURES and GAPS after each evaluation, over the seeds that have it: one row per measure.

    For both kinds of `start`; mean, Student's interval, lowest and highest seed. A gap is the critic's mean value of
    the data's actions minus that of the policy's or of uniform ones, taken per seed. All are on the scale of
    values.csv. A measure that no seed has, has no row.
    """
    gaps = {gap: values["q_data"] - values[other] for gap, other in GAPS.items()}
    seeds = values.assign(**gaps).merge(runs[[*KEYS, "family", "headline"]], on=KEYS)
    places = [*GROUPS, "start", "update"]
    long = seeds.melt([*places, "seed"], [*MEASURES, *GAPS], "measure").dropna(subset="value")
    # In the order of the measures, which is that of reading.
    long["measure"] = pd.Categorical(long["measure"], [*MEASURES, *GAPS])
    table = (
        long.groupby([*places, "measure"], observed=True)["value"]
        .agg(seeds="size", mean="mean", deviation="std", lowest="min", highest="max")
        .reset_index()
    )
    half = t_quantile(table["seeds"]) * table["deviation"] / np.sqrt(table["seeds"])
    table = table.assign(low=table["mean"] - half, high=table["mean"] + half).astype({"measure": str})
    return table[[*places, "measure", "seeds", "mean", "low", "high", "lowest", "highest"]]
