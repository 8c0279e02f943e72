"""What a suite expected before its runs were made, held against what they gave.

A claim is about headline methods, named by family, on one dataset; a verdict is `held`, `failed`, or `undecided` where
runs are missing. Nothing here is tuned: thresholds come from the suite's file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from cqlbench import style
from cqlbench.errors import UserError
from cqlbench.statistics import t_interval
from cqlbench.suites import Suite

CLAIMS = "claims.csv"
COLUMNS = [
    "claim", "kind", "dataset", "method", "reference", "threshold", "observed", "low", "high", "seeds",
    "seeds_holding", "verdict", "sentence",
]  # fmt: skip

Claim = dict[str, Any]


def judge_claims(suite: Suite, finals: pd.DataFrame) -> pd.DataFrame:
    """One row per claim, in the suite's order; `finals` is the statistics table of last evaluations.

    `observed` is, for `overestimates`, the smallest predicted/true ratio of any seed; for `lower-bound`, the largest
    predicted minus true; for score and equivalence claims, the mean seed-wise difference of scores (0-1) or predicted
    values, with `low` and `high` its t interval. Raises UserError for an unknown kind.
    """
    judges: dict[str, Callable[[Suite, Claim, pd.DataFrame], dict[str, Any]]] = {
        "overestimates": _overestimates,
        "lower-bound": _lower_bound,
        "score-within": _score_difference,
        "score-above": _score_difference,
        "score-equivalent": _equivalence,
        "value-equivalent": _equivalence,
    }
    rows = []
    for number, claim in enumerate(suite.claims, start=1):
        if claim["kind"] not in judges:
            raise UserError(f"claims.{number - 1}.kind: {claim['kind']!r} is not one of {', '.join(judges)}.")
        here = finals[(finals["dataset"] == claim["dataset"]) & finals["headline"].astype(bool)].sort_values("seed")
        judged = judges[claim["kind"]](suite, claim, here)
        rows.append({"claim": number, "reference": "", **claim, **judged})
    return pd.DataFrame(rows, columns=COLUMNS)


def _overestimates(suite: Suite, claim: Claim, here: pd.DataFrame) -> dict[str, Any]:
    factor = claim["factor"]
    values = _values(claim, here)
    predicted, true = values["predicted_value"], values["true_discounted_return"]
    declared = f"{_name(claim['method'])} predicts more than {factor:g} times what it truly gets on {claim['dataset']}"
    if (true <= 0).any():
        return _row(
            suite,
            factor,
            np.nan,
            values,
            predicted > factor * true,
            "undecided",
            f"{declared}: a true value is not positive, so a factor says nothing.",
        )
    ratio = predicted / true
    return _for_every_seed(
        suite,
        factor,
        ratio.min(),
        values,
        ratio > factor,
        declared,
        f"its predicted value is {_span(ratio)} times the true one",
    )


def _lower_bound(suite: Suite, claim: Claim, here: pd.DataFrame) -> dict[str, Any]:
    values = _values(claim, here)
    difference = values["predicted_value"] - values["true_discounted_return"]
    paired = ", ".join(
        f"{row.difference_mean:.1f} ± {row.difference_standard_error:.1f}" for row in values.itertuples(index=False)
    )
    seen = f"predicted minus true per seed, with its standard error over states: {paired}"
    noisy = values.loc[values["difference_mean"].abs() < 2 * values["difference_standard_error"], "seed"]
    if len(noisy):
        seen += (
            f"; for seed {', '.join(map(str, noisy))} the difference is within its noise (under two standard errors)"
        )
    return _for_every_seed(
        suite,
        0.0,
        difference.max(),
        values,
        difference < 0,
        f"The predicted value of {_name(claim['method'])} lies below its true value on {claim['dataset']}",
        seen,
    )


def _for_every_seed(
    suite: Suite, threshold: float, observed: float, values: pd.DataFrame, holds: pd.Series, declared: str, seen: str
) -> dict[str, Any]:
    """A claim about every seed fails at the first that contradicts it, and is held only once all are there."""
    complete = len(values) == len(suite.seeds)
    verdict = "failed" if not holds.all() else "held" if complete else "undecided"
    sentence = f"{declared}, for every seed: {seen if len(values) else 'no run to judge'}."
    return _row(suite, threshold, observed, values, holds, verdict, sentence)


def _score_difference(suite: Suite, claim: Claim, here: pd.DataFrame) -> dict[str, Any]:
    above = claim["kind"] == "score-above"
    threshold = claim["margin"] if above else -claim["margin"]
    pairs = _pairs(claim, here)
    difference = pairs["score"] - pairs["score_reference"]
    method, reference = _name(claim["method"]), _name(claim["reference"])
    points = f"{100 * claim['margin']:g} points"
    declared = (
        f"{method} scores at least {points} above {reference} on {claim['dataset']}"
        if above
        else f"{method} scores no more than {points} below {reference} on {claim['dataset']}"
    )
    if pairs.empty:
        return _row(suite, threshold, np.nan, pairs, difference, "undecided", f"{declared}: no pair of runs to judge.")
    observed = difference.mean()
    low, high = t_interval(difference.to_numpy())
    sentence = (
        f"{declared}: the difference per seed is {', '.join(f'{100 * each:+.1f}' for each in difference)}, "
        f"on average {100 * observed:+.1f} points"
    )
    if np.isnan(low):
        sentence += "; one seed gives no interval"
    else:
        sentence += f" (95 % interval {100 * low:+.1f} to {100 * high:+.1f})"
        if low < threshold < high:
            sentence += "; the interval crosses the declared threshold, so more seeds could turn the verdict"
    verdict = "undecided" if len(pairs) < len(suite.seeds) else "held" if observed >= threshold else "failed"
    row = _row(suite, threshold, observed, pairs, difference >= threshold, verdict, f"{sentence}.")
    return {**row, "low": low, "high": high}


def _equivalence(suite: Suite, claim: Claim, here: pd.DataFrame) -> dict[str, Any]:
    """Two one-sided tests at 5 %: held where the 90 % interval of the mean difference lies within the margin on both
    sides (Schuirmann 1987), failed where it lies outside, undecided where it crosses."""
    margin = claim["margin"]
    column, scale, unit = (
        ("score", 100, " points") if claim["kind"] == "score-equivalent" else ("predicted_value", 1, "")
    )
    pairs = _pairs(claim, here)
    difference = (pairs[column] - pairs[f"{column}_reference"]).dropna()
    what = "score" if column == "score" else "predicted value"
    declared = (
        f"The {what} of {_name(claim['method'])} is within {scale * margin:g}{unit} of that of "
        f"{_name(claim['reference'])} on {claim['dataset']}"
    )
    within = difference.abs() <= margin
    pairs = pairs.loc[difference.index]
    if len(difference) < 2:
        return _row(suite, margin, np.nan, pairs, within, "undecided", f"{declared}: fewer than two pairs of runs.")
    observed = difference.mean()
    low, high = t_interval(difference.to_numpy(), level=0.90)
    inside, outside = -margin < low and high < margin, high < -margin or low > margin
    verdict = (
        "undecided" if len(pairs) < len(suite.seeds) else "held" if inside else "failed" if outside else "undecided"
    )
    sentence = (
        f"{declared}: on average it differs by {scale * observed:+.1f}{unit} over {len(difference)} pairs "
        f"(90 % interval {scale * low:+.1f} to {scale * high:+.1f})."
    )
    return {**_row(suite, margin, observed, pairs, within, verdict, sentence), "low": low, "high": high}


def _pairs(claim: Claim, here: pd.DataFrame) -> pd.DataFrame:
    """The method's final rows beside the reference's of the same seed, whose columns end in `_reference`."""
    own, reference = (here[here["family"] == claim[key]] for key in ("method", "reference"))
    return own.merge(reference, on="seed", suffixes=("", "_reference"))


def _values(claim: Claim, here: pd.DataFrame) -> pd.DataFrame:
    """The method's final rows that have both values."""
    own = here[here["family"] == claim["method"]]
    return own.dropna(subset=["predicted_value", "true_discounted_return"])


def _row(
    suite: Suite, threshold: float, observed: float, judged: pd.DataFrame, holds: pd.Series, verdict: str, sentence: str
) -> dict[str, Any]:
    if len(judged) < len(suite.seeds):
        sentence += f" {len(judged)} of {len(suite.seeds)} seeds are there."
    return {
        "threshold": threshold,
        "observed": observed,
        "seeds": len(judged),
        "seeds_holding": int(holds.sum()),
        "verdict": verdict,
        "sentence": sentence,
    }


def _name(family: str) -> str:
    return style.label(family, family)


def _span(values: pd.Series) -> str:
    """The range in words, three digits or whole numbers."""
    low, high = (f"{value:,.0f}" if value >= 100 else f"{value:.3g}" for value in (values.min(), values.max()))
    return low if low == high else f"{low} to {high}"
