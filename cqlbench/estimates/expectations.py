"""How far estimates were expected to be from the truth, on Hopper where it is known; declared before they were made."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pandas as pd

MEDIUM, MIXTURE = "hopper/medium-v0", "hopper/random-expert-v0"
COLUMNS = ["number", "expectation", "dataset", "family", "holding", "cases", "verdict"]


class Expectation(NamedTuple):
    """What was expected of some methods on some datasets, for every seed (docs/estimates.md)."""

    number: int
    sentence: str
    families: tuple[str, ...]
    datasets: tuple[str, ...]
    holds: Callable[[pd.DataFrame], pd.Series]


def _fqe_error(rows: pd.DataFrame) -> pd.Series:
    return (rows["fqe_value"] - rows["true_value"]).abs()


def _within(share: float) -> Callable[[pd.DataFrame], pd.Series]:
    return lambda rows: _fqe_error(rows) <= share * rows["true_value"].abs()


DECLARED = (
    Expectation(1, "fitted Q evaluation is within 20 % of the truth", ("bc",), (MEDIUM,), _within(0.2)),
    Expectation(
        2,
        "fitted Q evaluation is within 30 % of the truth",
        ("cql", "d3rlpy-cql"),
        (MEDIUM, MIXTURE),
        _within(0.3),
    ),
    Expectation(
        3,
        "fitted Q evaluation is nearer to the truth than the method's own value",
        ("cql", "d3rlpy-cql", "sac"),
        (MEDIUM, MIXTURE),
        lambda rows: _fqe_error(rows) < (rows["predicted_value"] - rows["true_value"]).abs(),
    ),
    Expectation(
        4,
        "fitted Q evaluation is above the truth by more than half of it",
        ("sac",),
        (MEDIUM, MIXTURE),
        lambda rows: rows["fqe_value"] > rows["true_value"] + 0.5 * rows["true_value"].abs(),
    ),
)


def judge(estimates: pd.DataFrame) -> pd.DataFrame:
    """A row of COLUMNS per expectation, dataset and method: in how many of its seeds it holds, and the verdict.

    `estimates` has `family` and the columns of `cqlbench.estimates.measures`. `held` where it holds for every seed,
    `failed` where not, `undecided` where there is none. An estimate that is no number is not near to anything.
    """
    rows = []
    for expected in DECLARED:
        for dataset in expected.datasets:
            for family in expected.families:
                own = estimates[(estimates["dataset"] == dataset) & (estimates["family"] == family)]
                holds = expected.holds(own)
                verdict = "undecided" if own.empty else "held" if holds.all() else "failed"
                rows.append((expected.number, expected.sentence, dataset, family, holds.sum(), len(own), verdict))
    return pd.DataFrame(rows, columns=COLUMNS)
