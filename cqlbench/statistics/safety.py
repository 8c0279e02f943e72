"""The worst episodes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cqlbench.statistics.finals import GROUPS
from cqlbench.statistics.intervals import t_interval

# The worst share of the episodes whose mean score is the conditional value at risk.
TAIL = 0.1


def safety(episodes: pd.DataFrame, runs: pd.DataFrame, scores: pd.DataFrame, swept: pd.DataFrame) -> pd.DataFrame:
    """How bad it gets: the worst of the last evaluation's episodes per dataset and method, as scores.

    Within a seed first, then over seeds: `cvar` is the mean over seeds of each seed's conditional value at risk, the
    mean of its worst TAIL of episodes (with ten episodes or fewer, its worst), with Student's interval;
    `terminated` that of its share of episodes which the task's own rule ended, with the lowest and highest seed.
    `cvar_pooled` takes the worst TAIL of all seeds' episodes together: what may be met by one who does not know which
    seed they got. `worst` is the worst episode of all seeds. `cql_alpha` is empty for a method that has none.
    `shown` are the headline methods and, with every other setting as there, the other values of a swept cql_alpha.
    """
    alphas = scores[["dataset", "method", "cql_alpha"]].drop_duplicates()
    places = runs[GROUPS].drop_duplicates().merge(alphas, on=["dataset", "method"], how="left")
    along_alpha = places["method"].isin(swept.loc[swept["axis"] == "cql_alpha", "method"])
    places = places.assign(shown=places["headline"].astype(bool) | along_alpha)
    rows = []
    for (dataset, method), own in episodes.groupby(["dataset", "method"]):
        seeds = [seed for _, seed in own.groupby("seed")]
        risks = np.array([tail_mean(seed["score"].to_numpy()) for seed in seeds])
        terminated = [seed["terminated"].mean() for seed in seeds]
        rows.append(
            {
                "dataset": dataset,
                "method": method,
                "seeds": len(seeds),
                "episodes": len(own),
                "score_mean": np.mean([seed["score"].mean() for seed in seeds]),
                "cvar": risks.mean(),
                **dict(zip(("cvar_low", "cvar_high"), t_interval(risks), strict=True)),
                "cvar_pooled": tail_mean(own["score"].to_numpy()),
                "worst": own["score"].min(),
                "terminated": np.mean(terminated),
                "terminated_lowest": min(terminated),
                "terminated_highest": max(terminated),
            }
        )
    columns = [
        "dataset", "method", "seeds", "episodes", "score_mean", "cvar", "cvar_low", "cvar_high", "cvar_pooled", "worst",
        "terminated", "terminated_lowest", "terminated_highest",
    ]  # fmt: skip
    found = places.merge(pd.DataFrame(rows, columns=columns), on=["dataset", "method"], how="left")
    counts = {count: pd.to_numeric(found[count]).fillna(0).astype(int) for count in ("seeds", "episodes")}
    return found.assign(**counts).sort_values(["dataset", "family", "cql_alpha", "method"], ignore_index=True)


def tail_mean(scores: np.ndarray, share: float = TAIL) -> float:
    """The conditional value at risk: the mean of the worst `share` of the scores (E,).

    Where that is no whole number of them, the next worst counts with what is left over (Rockafellar and Uryasev 2002);
    where it is less than one, it is the worst.
    """
    count = max(share * len(scores), 1)
    weights = np.clip(count - np.arange(len(scores)), 0, 1)
    return float(np.sort(scores) @ weights / weights.sum())
