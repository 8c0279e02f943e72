"""Our final scores beside published ones, and whether they agree, by the test that docs/published.md states."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from cqlbench.published.facts import published_scores
from cqlbench.published.names import algorithm_key, find_references, kind_of_data, published_name

# How near two true means must be to be called the same, as a score.
MARGIN = 0.05
# Two one-sided tests at 5 % each.
CONFIDENCE = 0.90
# Scores that vary less have no spread that a test could use: a seed that is not used looks like this.
NO_SPREAD = 1e-9

REPRODUCED, NOT_REPRODUCED, UNDECIDED = "reproduced", "not reproduced", "not enough seeds to tell"
OTHER_DATA, OTHER_REFERENCES, OTHER_BUDGET = "other data", "other references", "other budget"
ORACLE = "oracle selection"

COLUMNS = [
    "dataset", "method", "family", "score_mean", "score_std", "seeds", "updates", "source", "published_dataset",
    "algorithm", "statistic", "published_mean", "published_std", "published_seeds", "published_updates", "difference",
    "low", "high", "verdict", "because", "note",
]  # fmt: skip


def beside_published(finals: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """COLUMNS: a row for each headline method and each published score of its algorithm on that kind of data.

    From finals.csv, a row per finished run with its last and its best score, and scores.csv, for the references by
    which they were normalised. All scores are 0-1, those of the sources too. `difference` is ours minus theirs, `low`
    and `high` its interval at CONFIDENCE; empty where the two are not comparable. `because` is the verdict's reason.
    """
    published = published_scores()
    # As 0-1 of as many digits as were printed.
    published[["score_mean", "score_std"]] = (published[["score_mean", "score_std"]] / 100).round(6)
    kinds = published["dataset"].map(kind_of_data)
    keys = published["algorithm"].map(algorithm_key)
    rows: list[dict[str, Any]] = []
    # Where there is no simulator a run has no score.
    headline = finals[finals["headline"].astype(bool)].dropna(subset="score")
    for (dataset, method, family), own in headline.groupby(["dataset", "method", "family"]):
        known = scores.loc[scores["dataset"] == dataset, ["ref_min", "ref_max"]].dropna().drop_duplicates()
        theirs = published[(kinds == kind_of_data(dataset)) & (keys == algorithm_key(family))]
        for row in theirs.to_dict("records"):
            sample = own["best" if row["statistic"] == "best" else "score"].to_numpy(float)
            compared = {
                "dataset": dataset,
                "method": method,
                "family": family,
                "score_mean": sample.mean(),
                "score_std": sample.std(ddof=1) if len(sample) > 1 else np.nan,
                "seeds": len(sample),
                # One that diverged ends before the others, and counts among them.
                "updates": int(own["update"].max()),
                "source": row["source"],
                "published_dataset": row["dataset"],
                "algorithm": row["algorithm"],
                "statistic": row["statistic"],
                "published_mean": row["score_mean"],
                "published_std": row["score_std"],
                "published_seeds": row["num_seeds"],
                "published_updates": row["num_updates"],
                "note": row["note"],
            }
            rows.append(compared | _judge(compared, known.to_numpy(float)))
    table = pd.DataFrame(rows, columns=COLUMNS).astype({"published_seeds": "Int64"})
    return table.sort_values(["dataset", "method", "published_dataset", "source", "statistic"], ignore_index=True)


def welch_interval(
    mean: float, deviation: float, seeds: int, other_mean: float, other_deviation: float, other_seeds: float
) -> tuple[float, float]:
    """The interval of a difference of two means at CONFIDENCE, from each side's mean, sample deviation and seeds.

    The other side without deviation or seeds (NaN) is a number without error, and the interval is Student's. NaN where
    our side has one seed, or where neither side has any spread.
    """
    known = np.isfinite(other_deviation) and other_seeds > 1
    variances = np.array([deviation**2 / seeds, other_deviation**2 / other_seeds if known else 0.0])
    freedoms = np.array([seeds - 1, other_seeds - 1 if known else 1])
    if seeds < 2 or np.sqrt(variances.sum()) < NO_SPREAD:
        return float("nan"), float("nan")
    freedom = variances.sum() ** 2 / (variances**2 / freedoms).sum()
    half = stats.t.ppf(0.5 + CONFIDENCE / 2, freedom) * np.sqrt(variances.sum())
    return mean - other_mean - half, mean - other_mean + half


def half_width(printed_deviation: float, published_seeds: float, seeds: int) -> float:
    """Half of the interval of the difference where so many seeds of ours spread as theirs do, as a score.

    Below MARGIN it can be REPRODUCED: where the means differ by no more than the rest. NaN where they print no spread.
    """
    deviation = _of_a_sample(printed_deviation, published_seeds)
    low, high = welch_interval(0.0, deviation, seeds, 0.0, deviation, published_seeds)
    return (high - low) / 2


def _of_a_sample(printed_deviation: float, seeds: float) -> float:
    """Printed deviations divide by n, numpy's default."""
    return printed_deviation * np.sqrt(seeds / (seeds - 1)) if seeds > 1 else np.nan


def _judge(row: dict[str, Any], references: np.ndarray) -> dict[str, Any]:
    """Difference, interval, verdict and its reason of one row; `references` (n, 2) are those of our scores."""
    if published_name(row["dataset"]) != row["published_dataset"]:
        return {"verdict": OTHER_DATA, "because": f"{row['dataset']} is not the data of {row['published_dataset']}"}
    theirs = find_references(row["published_dataset"])
    if theirs is not None and not np.isclose(references, theirs).all():
        low, high = references[0]
        return {
            "verdict": OTHER_REFERENCES,
            "because": f"0 and 1 are returns of {low:g} and {high:g} here, of {theirs[0]:g} and {theirs[1]:g} there",
        }
    if row["updates"] != row["published_updates"]:
        return {
            "verdict": OTHER_BUDGET,
            "because": f"{row['updates']:,} updates, theirs {row['published_updates']:,}",
        }
    seeds = row["published_seeds"]
    deviation = _of_a_sample(row["published_std"], seeds)
    low, high = welch_interval(
        row["score_mean"], row["score_std"], row["seeds"], row["published_mean"], deviation, seeds
    )
    found = {"difference": row["score_mean"] - row["published_mean"], "low": low, "high": high}
    taken = "" if np.isfinite(deviation) else "; the source gives no spread over seeds, so its number is taken as exact"
    if theirs is not None and not len(references):
        taken += "; ours say not by which returns they were normalised, which are taken for D4RL's"
    interval, margin = f"the {100 * CONFIDENCE:g} % interval", f"the margin of {100 * MARGIN:g} points"
    if row["statistic"] == "best":
        verdict, because = ORACLE, "the best evaluation on the way, by test returns: no method may be chosen so"
    elif row["seeds"] < 2:
        verdict, because = UNDECIDED, "one seed of ours has no interval"
    elif np.isnan(low):
        verdict, because = UNDECIDED, "no seed differs from another, so there is no interval"
    elif low > -MARGIN and high < MARGIN:
        verdict, because = REPRODUCED, f"{interval} lies within {margin}{taken}"
    elif low > MARGIN or high < -MARGIN:
        verdict, because = NOT_REPRODUCED, f"{interval} lies wholly beyond {margin}{taken}"
    else:
        verdict, because = UNDECIDED, f"{interval} crosses {margin}{taken}"
    return found | {"verdict": verdict, "because": because}
