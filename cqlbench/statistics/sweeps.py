"""Final scores against each setting that a suite sweeps."""

from __future__ import annotations

import pandas as pd

from cqlbench.scores import AXIS
from cqlbench.statistics.intervals import over_seeds


def sweep(finals: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Per swept axis of a family: final score and values against the axis, other axes at the headline's values."""
    axes = [column for column in runs.columns if column.startswith(AXIS)]
    parts = []
    for family, own in runs.groupby("family"):
        swept = [axis for axis in axes if own[axis].notna().any()]
        for axis in swept:
            slice_ = own
            for other in swept:
                if other != axis:
                    slice_ = slice_[slice_[other].isin(own.loc[own["headline"], other])]
            places = slice_[["dataset", "method", "headline", axis]].drop_duplicates().rename(columns={axis: "value"})
            found = over_seeds(
                finals,
                ["dataset", "method"],
                predicted_value="predicted_value",
                true_discounted_return="true_discounted_return",
            )
            part = places.merge(found, on=["dataset", "method"], how="left").fillna({"seeds": 0})
            parts.append(part.assign(family=family, axis=axis.removeprefix(AXIS)))
    columns = [
        "family", "axis", "value", "dataset", "method", "headline", "seeds", "score_mean", "low", "high", "lowest",
        "highest", "predicted_value", "true_discounted_return",
    ]  # fmt: skip
    if not parts:
        return pd.DataFrame(columns=columns)
    table = pd.concat(parts, ignore_index=True)[columns].astype({"seeds": int})
    # A setting's values may be words (null, sample) beside numbers: numbers first, by size.
    table["size"] = pd.to_numeric(table["value"], errors="coerce")
    table["word"] = table["value"].astype(str)
    return table.sort_values(["axis", "family", "dataset", "size", "word"], ignore_index=True)[columns]
