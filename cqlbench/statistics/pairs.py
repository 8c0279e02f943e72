"""Every headline method against every other, dataset by dataset: which differ, and what could have been seen."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from cqlbench.statistics.detectable import detectable_difference
from cqlbench.statistics.finals import KEYS
from cqlbench.statistics.intervals import CONFIDENCE
from cqlbench.statistics.paired import (
    BETTER,
    NO_SPREAD,
    UNDECIDED,
    UNTESTABLE,
    WORSE,
    holm,
    likely_spreads,
    paired_test,
)

PAIRED, UNPAIRED = "paired", "unpaired"
# Numbers of seeds for which power.csv says what could be seen.
SEEDS = (3, 5, 10, 20)
PAIR = ["dataset", "x", "y", "pairing"]
COMPARISONS = [
    *PAIR, "seeds", "x_seeds", "y_seeds", "difference", "low", "high", "p", "p_holm", "comparisons", "detectable",
    "verdict",
]  # fmt: skip
# The deviations over seeds that were seen, where the test is paired that of the differences and 0; and with how many
# degrees of freedom.
SPREAD = ["x_deviation", "y_deviation", "degrees"]


def pair_tests(finals: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """COMPARISONS and SPREAD: a row for each two headline methods that were planned on a dataset, in one order.

    `difference` is the mean score of x minus that of y, `low` and `high` its interval at 95 %, uncorrected. Where both
    methods were planned with the same seeds, and their runs read the same content of the dataset, a seed gave both the
    same batches: `paired`, and the test is of the differences of the `seeds` that both finished. Else it is Welch's, of
    `x_seeds` and `y_seeds` scores, and `seeds` is the fewer. `p_holm` is corrected over the `comparisons` that can be
    judged, all those of the table; `verdict` is on x. `detectable` is the smallest true difference that these seeds
    find in POWER of cases, at the first step of the correction and at the middle of the likely spreads.
    """
    headline = runs[runs["headline"].astype(bool)].merge(finals[[*KEYS, "score"]], on=KEYS, how="left")
    rows = []
    for dataset, here in headline.groupby("dataset"):
        methods = {method: own.set_index("seed") for method, own in here.groupby("method")}
        rows += [
            {"dataset": dataset, "x": x, "y": y, **_test(methods[x], methods[y])} for x, y in combinations(methods, 2)
        ]
    found = pd.DataFrame(rows, columns=[*COMPARISONS, *SPREAD])
    measured = [column for column in found if column not in (*PAIR, "seeds", "x_seeds", "y_seeds", "verdict")]
    found = found.astype(dict.fromkeys(measured, float))
    testable = found["p"].notna()
    found["comparisons"] = int(testable.sum())
    found.loc[testable, "p_holm"] = holm(found.loc[testable, "p"].to_numpy())
    found.loc[testable, "detectable"] = [
        _detectable(test, (test.seeds,) * 2 if test.pairing == PAIRED else (test.x_seeds, test.y_seeds))[1]
        for test in found[testable].itertuples()
    ]
    found["verdict"] = np.select(
        [~testable, found["p_holm"] >= 1 - CONFIDENCE, found["difference"] > 0],
        [UNTESTABLE, UNDECIDED, BETTER],
        WORSE,
    )
    return found


def detectable_by_seeds(tests: pd.DataFrame) -> pd.DataFrame:
    """PAIR of every test that could be judged, `seeds`, each of SEEDS, and what so many of both methods could see.

    `detectable` is as in `pair_tests`; `detectable_low` and `detectable_high` are at the ends of the likely spreads.
    """
    rows = []
    for test in tests[tests["p"].notna()].itertuples():
        for seeds in SEEDS:
            low, middle, high = _detectable(test, (seeds, seeds))
            rows.append((test.dataset, test.x, test.y, test.pairing, seeds, middle, low, high))
    return pd.DataFrame(rows, columns=[*PAIR, "seeds", "detectable", "detectable_low", "detectable_high"])


def _detectable(test: Any, seeds: tuple[int, int]) -> list[float]:
    """With these seeds of x and y, at the low, middle and high of the likely spreads."""
    as_seen = detectable_difference((test.x_deviation, test.y_deviation), seeds, test.comparisons)
    return [factor * as_seen for factor in likely_spreads(test.degrees + 1, 1.0)]


def _test(x: pd.DataFrame, y: pd.DataFrame) -> dict[str, Any]:
    """Of two methods' runs by seed, with their `score`, empty where there is none, and `dataset_hash`."""
    own, other = x["score"].dropna(), y["score"].dropna()
    contents = pd.concat([x.loc[own.index, "dataset_hash"], y.loc[other.index, "dataset_hash"]])
    found: dict[str, Any] = {"x_seeds": len(own), "y_seeds": len(other)}
    if set(x.index) == set(y.index) and contents.notna().all() and contents.nunique() <= 1:
        differences = (own - other).dropna().to_numpy(float)
        count = len(differences)
        found |= {"pairing": PAIRED, "seeds": count}
        if count:
            test = paired_test(differences)
            found |= {"difference": test.mean, "low": test.low, "high": test.high, "p": test.p}
            found |= {"x_deviation": test.deviation, "y_deviation": 0.0, "degrees": count - 1}
        return found
    count = min(len(own), len(other))
    found |= {"pairing": UNPAIRED, "seeds": count}
    if count:
        found["difference"] = own.mean() - other.mean()
    if count > 1 and own.var() + other.var() >= NO_SPREAD**2:
        welch = stats.ttest_ind(own, other, equal_var=False)
        low, high = welch.confidence_interval(CONFIDENCE)
        found |= {"low": low, "high": high, "p": welch.pvalue}
        found |= {"x_deviation": own.std(), "y_deviation": other.std(), "degrees": welch.df}
    return found
