"""Which method to trust here, and by how much: the report's first lines, by the one rule of docs/metrics.md."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from cqlbench import style
from cqlbench.report.pages import number, points
from cqlbench.statistics import CONFIDENCE
from cqlbench.statistics.finals import score_matrices
from cqlbench.statistics.pairs import pair_tests

# A critic is not believed where it promises too much by more than this part of the largest true value on the dataset.
EXPLODED = 1.0
FEW_SEEDS = 5
# The name of all datasets together, where they are tested like one.
ALL = "all"


class Promise(NamedTuple):
    """Predicted minus true value on one dataset; `off` and its interval in parts of the largest true value there."""

    dataset: str
    off: float
    low: float
    high: float
    predicted: float
    true: float


class Standing(NamedTuple):
    """A headline method by the rule; `name` is its family's, of which it is the only one here.

    `score` is its summary with low and high, `promise` the one where it promises most, `bounds` on how many datasets
    the whole interval of predicted minus true is below 0, of `valued`. `aside` says why the method is set aside; it is
    empty for one that is in. `difference`, with low, high and the corrected p, is the first's mean score minus its own.
    """

    method: str
    family: str
    name: str
    score: tuple[float, float, float]
    seeds: int
    failed: int
    promise: Promise | None
    bounds: int
    valued: int
    aside: str
    difference: tuple[float, float, float, float] = (np.nan,) * 4

    @property
    def label(self) -> str:
        """Its name with its settings."""
        return style.label(self.method, self.family)

    @property
    def apart(self) -> bool:
        """Whether the first scores above it by the corrected test."""
        return self.difference[0] > 0 and self.difference[3] < 1 - CONFIDENCE

    @property
    def above(self) -> bool:
        """Whether it scores above the first by that test, whose means then disagree with the IQM."""
        return self.difference[0] < 0 and self.difference[3] < 1 - CONFIDENCE


class Number(NamedTuple):
    """One of the three: what it is of, the number in print, its interval and what else there is to say."""

    title: str
    value: str
    detail: str


class Answer(NamedTuple):
    """The first screen: a sentence, what limits it, three numbers, and every method's standing, the first on top."""

    sentence: str
    limits: list[str]
    numbers: list[Number]
    standings: list[Standing]
    pairs: int


def find_answer(
    table: pd.DataFrame, finals: pd.DataFrame, runs: pd.DataFrame, aggregates: pd.DataFrame, comparisons: pd.DataFrame
) -> Answer:
    """The rule applied to the tables of a suite (table, finals, aggregates and comparisons of its statistics)."""
    matrices, _ = score_matrices(finals, runs)
    standings = _standings(table, runs, aggregates, matrices)
    inside = sorted((row for row in standings if not row.aside), key=lambda row: -row.score[0])
    outside = [row for row in standings if row.aside]
    if not table["seeds"].any() and (runs["status"] == "done").any():
        sentence = "No score of these methods is known, so nothing here says which one to trust."
        limit = "A run has none without a simulator, or where nobody knows the returns that 0 and 100 stand for."
        return Answer(sentence, [limit], [], outside, 0)
    if not inside:
        return Answer("None of these methods is to be trusted: each one is set aside.", [], [], outside, 0)
    first, *others = inside
    others = _differences(first, others, runs, matrices)
    pairs = len(inside) * (len(inside) - 1) // 2
    return Answer(
        sentence=_sentence(first, others, outside, list(matrices[first.method])),
        limits=_limits(first, others, outside, comparisons),
        numbers=_numbers(first, others, matrices, pairs),
        standings=[first, *others, *outside],
        pairs=pairs,
    )


def _standings(
    table: pd.DataFrame, runs: pd.DataFrame, aggregates: pd.DataFrame, matrices: dict[str, pd.DataFrame]
) -> list[Standing]:
    """Every headline method in the figures' order, before any comparison."""
    headline = table[table["headline"].astype(bool)]
    sizes = headline.groupby("dataset")["true_discounted_return"].agg(lambda values: values.abs().max())
    iqm = aggregates[aggregates["statistic"] == "IQM"].set_index("method")[["estimate", "low", "high"]]
    diverged = runs[runs["status"] == "diverged"].groupby("method").size()
    methods = headline.groupby("family")["method"].first()
    standings = []
    for family in style.ordered(methods.index):
        method = methods[family]
        own = headline[headline["method"] == method]
        matrix = matrices.get(method, pd.DataFrame())
        if matrix.shape[1] == 1 and len(matrix):
            row = own.set_index("dataset").loc[matrix.columns[0]]
            score = (row["score_mean"], row["low"], row["high"])
        else:
            score = tuple(iqm.loc[method]) if method in iqm.index else (np.nan,) * 3
        promises = [
            Promise(
                row["dataset"],
                row["difference_mean"] / sizes[row["dataset"]],
                row["difference_low"] / sizes[row["dataset"]],
                row["difference_high"] / sizes[row["dataset"]],
                row["predicted_value"],
                row["true_discounted_return"],
            )
            for row in own.dropna(subset=["difference_mean"]).to_dict("records")
        ]
        most = max(promises, key=lambda promise: promise.off, default=None)
        aside = ""
        if method in diverged.index:
            aside = f"{diverged[method]} of its runs diverged"
        elif most and most.off > EXPLODED:
            aside = f"promises {number(most.predicted)} and truly gets {number(most.true)} on {most.dataset}"
        elif not len(matrix):
            aside = "no seed finished on every dataset compared"
        standings.append(
            Standing(
                method,
                family,
                style.label(family, family),
                score,
                len(matrix),
                int(own["failed"].sum()),
                most,
                sum(promise.high < 0 for promise in promises),
                len(promises),
                aside,
            )
        )
    return standings


def _differences(
    first: Standing, others: list[Standing], runs: pd.DataFrame, matrices: dict[str, pd.DataFrame]
) -> list[Standing]:
    """The others with the first's distance to each, tested as on one dataset: the mean over all, seed by seed."""
    names = [row.method for row in (first, *others)]
    datasets = matrices[first.method].columns
    planned = (
        runs[runs["method"].isin(names) & runs["dataset"].isin(datasets)]
        .sort_values("dataset")
        .groupby(["method", "seed"], as_index=False)
        .agg(dataset_hash=("dataset_hash", lambda hashes: " ".join(hashes) if hashes.notna().all() else None))
        .assign(dataset=ALL, headline=True)
    )
    means = [matrices[name].mean(axis=1).rename("score").reset_index().assign(method=name) for name in names]
    found = []
    tests = pair_tests(pd.concat(means).assign(dataset=ALL), planned).set_index(["x", "y"])
    for row in others:
        if (first.method, row.method) in tests.index:
            test = tests.loc[(first.method, row.method)]
            difference = (test["difference"], test["low"], test["high"], test["p_holm"])
        else:
            test = tests.loc[(row.method, first.method)]
            difference = (-test["difference"], -test["high"], -test["low"], test["p_holm"])
        found.append(row._replace(difference=difference))
    return found


def _numbers(first: Standing, others: list[Standing], matrices: dict[str, pd.DataFrame], pairs: int) -> list[Number]:
    datasets = matrices[first.method].shape[1]
    of = f"IQM over {datasets} datasets" if datasets > 1 else f"mean on {matrices[first.method].columns[0]}"
    estimate, low, high = first.score
    score = Number(
        f"What {first.name} scores",
        points(estimate),
        f"{of}, {_count(first.seeds, 'seed')}{_interval(low, high)}. 0 is random, 100 the expert.",
    )
    if first.promise is None:
        promise = Number(
            f"How far the critic of {first.name} is off",
            "–",
            "not known: no predicted value beside a true one. Nothing of its own warns where it fails.",
        )
    else:
        where = first.promise
        promise = Number(
            f"How far the critic of {first.name} is off",
            f"{100 * where.off:+.0f} %",
            f"of the largest true value on {where.dataset}, where it promises most: {number(where.predicted)} "
            f"predicted, {number(where.true)} true{_interval(where.low, where.high, '+.0f', ' %')}. "
            f"A lower bound on {first.bounds} of {_count(first.valued, 'dataset')}.",
        )
    if not others:
        return [score, promise, Number("Distance to the next", "–", "no other method is left to compare with.")]
    mean, low, high, p = others[0].difference
    tested = (
        "cannot be tested with these seeds" if np.isnan(p) else f"p = {p:.2g} corrected for {_count(pairs, 'pair')}"
    )
    verdict = "told apart" if others[0].apart or others[0].above else "not told apart"
    distance = Number(
        f"{first.name} above {others[0].name}",
        points(mean, "+"),
        f"points, the next one{_interval(low, high, '+.1f')}: {verdict}, {tested}.",
    )
    return [score, promise, distance]


def _sentence(first: Standing, others: list[Standing], outside: list[Standing], datasets: list[str]) -> str:
    above = [row.name for row in others if row.above]
    close = [row.name for row in others if not row.apart]
    if first.seeds < 2 and others:
        return f"One seed tells no methods apart; {first.name} scores highest."
    if above:
        return f"IQM and mean disagree: {first.name} has the highest IQM, {_list(above)} the higher mean."
    if close:
        return f"These runs do not tell {_list([first.name, *close])} apart; {first.name} scores highest."
    if others:
        but = " whose value estimate held" if outside else ""
        over = f"over these {len(datasets)} datasets" if len(datasets) > 1 else f"on {datasets[0]}"
        return f"Trust {first.name}: {over} it scores above every other method{but}."
    return f"Only {first.name} is left: " + (
        "every other method is set aside." if outside else "there is nothing to compare it with."
    )


def _limits(first: Standing, others: list[Standing], outside: list[Standing], comparisons: pd.DataFrame) -> list[str]:
    """What a reader of the sentence must know beside it."""
    below = [row.name for row in others if row.apart]
    limits = [f"Told apart from it, below: {_list(below)}."] if below and len(below) < len(others) else []
    limits += [f"Set aside: {row.name} ({row.aside})." for row in outside]
    above = _above(first, others, comparisons)
    if above:
        limits.append(f"Not on every dataset. Above {first.name}: {'; '.join(above)}.")
    if first.failed:
        limits.append(f"{_count(first.failed, 'run')} of {first.name} came to nothing and is not in its numbers.")
    if first.seeds < FEW_SEEDS:
        limits.append(
            f"{_count(first.seeds, 'seed').capitalize()}: five are a minimum for a claim, ten for a close one."
        )
    return limits


def _above(first: Standing, others: list[Standing], comparisons: pd.DataFrame) -> list[str]:
    """For each dataset on which the corrected tests put others above the first, which one and who."""
    names = {row.method: row.name for row in others}
    found: dict[str, list[str]] = {}
    for row in comparisons.to_dict("records"):
        sign = -1 if row["x"] == first.method else 1
        pair = {row["x"], row["y"]} - {first.method}
        other = pair.pop()
        if not pair and other in names and row["p_holm"] < 1 - CONFIDENCE and sign * row["difference"] > 0:
            found.setdefault(row["dataset"], []).append(names[other])
    return [f"{_list(above)} on {dataset}" for dataset, above in found.items()]


def _interval(low: float, high: float, form: str = ".1f", unit: str = "") -> str:
    if np.isnan(low):
        return ""
    return f" ({100 * low:{form}} to {100 * high:{form}}{unit}, 95 %)"


def _count(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _list(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
