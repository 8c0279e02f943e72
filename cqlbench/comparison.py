"""One method against another on the same datasets and seeds: differences, their intervals, and a verdict in words.

A verdict is Student's t test of the seed-wise differences, two-sided at 5 %, with Holm's correction over all
comparisons made at once: the chance that any of them names a difference where there is none is 5 %. docs/comparing.md
says where this was simulated to hold and where not. Scores are 0-1; only words are in points, x100.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cqlbench import style
from cqlbench.errors import UserError
from cqlbench.runs import DIVERGED
from cqlbench.scores import RUNS, SCORES, VALUES, read_table, write_table
from cqlbench.statistics import CONFIDENCE, aggregates, final_scores, improvement, probability_of_improvement
from cqlbench.statistics.paired import (
    BETTER,
    GAIN,
    MAX_SEEDS,
    POWER,
    UNDECIDED,
    UNTESTABLE,
    WORSE,
    holm,
    likely_spreads,
    paired_test,
    power,
    seeds_needed,
)
from cqlbench.writers import write_text

COMPARISON = "comparison.csv"
COMPARISON_TEXT = "comparison.md"
# What `compare` reads: one row per run; `score` is empty where the run came to nothing, and `reason` says why.
# `value_gap` is predicted minus true value, `cpu_seconds` what the training took; both may be empty.
RUN_COLUMNS = ["dataset", "method", "seed", "score", "value_gap", "cpu_seconds", "reason"]
COLUMNS = [
    "dataset", "method", "reference", "seeds", "mean", "reference_mean", "difference", "low", "high", "p", "p_holm",
    "probability_of_improvement", "power", "power_low", "power_high", "more_seeds_for_gain", "more_seeds_for_observed",
    "value_gap", "reference_value_gap", "cpu_seconds", "reference_cpu_seconds", "missing", "verdict", "sentence",
    "outlook",
]  # fmt: skip


def compare(table: pd.DataFrame, method: str, references: list[str]) -> pd.DataFrame:
    """One row of COLUMNS per dataset and reference, from a table of RUN_COLUMNS; Holm's correction is over all rows.

    A run without a score, and the other method's run of the same seed, are left out and named in `missing`. Means,
    value gaps and costs are over the pairs. `power` is that for a true difference of GAIN with the seeds at hand and
    the middle of `likely_spreads`, `power_low` and `power_high` with its ends; `more_seeds_for_gain` and
    `more_seeds_for_observed` are how many seeds are still needed to find GAIN, or the difference seen, with POWER at
    the middle: empty where more than MAX_SEEDS are. Raises UserError for a method that is not there and for one against
    itself.
    """
    known = sorted(table["method"].unique())
    for name in (method, *references):
        if name not in known:
            raise UserError(f"method: {name!r} is not among the methods with runs: {', '.join(known)}.")
    if method in references:
        raise UserError(f"--against {method}: a method cannot be compared with itself; name another.")
    rows = [
        _compare_on(dataset, here, method, reference)
        for dataset, here in table.groupby("dataset")
        for reference in references
    ]
    found = pd.DataFrame(rows)
    testable = found["p"].notna()
    found["p_holm"] = np.nan
    found.loc[testable, "p_holm"] = holm(found.loc[testable, "p"].to_numpy())
    comparisons = int(testable.sum())
    judged = [_judge(row, comparisons) for row in found.to_dict("records")]
    return pd.concat([found, pd.DataFrame(judged)], axis=1)[COLUMNS].astype(
        {"more_seeds_for_gain": "Int64", "more_seeds_for_observed": "Int64"}
    )


def summarise(table: pd.DataFrame, method: str, references: list[str]) -> list[str]:
    """Over all datasets on which every one of these methods has a score: each IQM, and the probability of improvement.

    One sentence each, with stratified-bootstrap intervals; of a method's seeds, those it has on all these datasets.
    """
    scored = table.dropna(subset="score")
    names = [method, *references]
    wide = {
        name: scored[scored["method"] == name].pivot(index="seed", columns="dataset", values="score") for name in names
    }
    shared = sorted(set.intersection(*(set(matrix.columns) for matrix in wide.values())))
    if not shared:
        return ["No dataset has a score of every method: nothing can be said over all of them."]
    matrices = {name: matrix[shared].dropna() for name, matrix in wide.items()}
    over = "1 dataset" if len(shared) == 1 else f"{len(shared)} datasets"
    iqms = aggregates(matrices).query("statistic == 'IQM'").set_index("method")
    sentences = [
        f"IQM over {over}: "
        + ", ".join(f"{_name(name)} {_points(iqms.loc[name, ['estimate', 'low', 'high']], '')}" for name in names)
        + "."
    ]
    chances = improvement(matrices).set_index(["x", "y"])
    for reference in references:
        row = chances.loc[(method, reference)]
        interval = "" if np.isnan(row["low"]) else f" ({row['low']:.2f} to {row['high']:.2f})"
        sentences.append(
            f"Probability that a run of {_name(method)} beats one of {_name(reference)}: "
            f"{_number(row['probability'], 2)}{interval}."
        )
    return sentences


def runs_of_suite(folder: Path) -> pd.DataFrame:
    """The headline methods' runs in a suite's folder as RUN_COLUMNS, `method` being the family; further `dataset_hash`,
    `updates`, `episodes`, `code_fingerprint`, `packages` and `taken_from`.
    """
    planned, scores = read_table(folder / RUNS), read_table(folder / SCORES)
    finals = final_scores(scores, planned, read_table(folder / VALUES)).rename(columns={"difference_mean": "value_gap"})
    keys = ["dataset", "method", "seed"]
    table = planned[planned["headline"].astype(bool)].merge(finals[[*keys, "score", "value_gap"]], on=keys, how="left")
    episodes = scores[[*keys, "episodes"]].drop_duplicates(keys)
    table = table.merge(episodes, on=keys, how="left").assign(
        method=table["family"],
        reason=table["status"].where(table["reason"].isna(), table["status"] + ": " + table["reason"].astype(str)),
    )
    further = ["dataset_hash", "updates", "episodes", "code_fingerprint", "packages", "taken_from"]
    # Tables of earlier code name neither CPU seconds nor packages, nor where a run is from: all were trained for their
    # suite.
    return table.reindex(columns=[*RUN_COLUMNS, *further])


def write_comparison(folder: Path, method: str, references: list[str]) -> str:
    """Compares families of a suite's folder into comparison.csv and comparison.md there; returns what the latter says.

    Raises UserError as `compare`.
    """
    table = runs_of_suite(folder)
    compared = compare(table, method, references)
    write_table(compared, folder / COMPARISON)
    shown = table[table["method"].isin([method, *references])]
    lines = [markdown(compared), *summarise(table, method, references), *remarks(shown)]
    text = "\n".join([*lines, ""])
    write_text(folder / COMPARISON_TEXT, text)
    return text


def remarks(table: pd.DataFrame) -> list[str]:
    """What a reader of a comparison should know of these runs of `runs_of_suite`: taken from elsewhere, other code."""
    sentences = [
        f"The {len(part)} runs of {_name(str(family))} are taken from {folder}; they were not trained here."
        for (family, folder), part in table.groupby(["method", "taken_from"])
    ]
    diverged = table[table["reason"].astype(str).str.startswith(DIVERGED) & table["score"].notna()]
    sentences += [
        f"{len(part)} of the runs of {_name(str(family))} diverged; such a run counts with its last evaluation."
        for family, part in diverged.groupby("method")
    ]
    for what, column in (("training code", "code_fingerprint"), ("packages", "packages")):
        makers = table.groupby(column)["method"].agg(lambda names: ", ".join(map(_name, sorted(set(names)))))
        if len(makers) > 1:
            by_maker = "; ".join(f"{names} by {maker}" for maker, names in makers.items())
            sentences.append(
                f"Different {what} made these runs, so a part of the differences may come from that: {by_maker}."
            )
    return sentences


def markdown(comparison: pd.DataFrame) -> str:
    """The table for people: scores and differences in points, then every verdict as a sentence."""
    head = ["dataset", "method", "mean", "against", "mean", "difference (95 %)", "P(improvement)", "value gap", "CPU s"]
    lines = ["| " + " | ".join([*head, "verdict"]) + " |", "|" + " --- |" * (len(head) + 1)]
    for row in comparison.to_dict("records"):
        cells = [
            row["dataset"],
            _name(row["method"]),
            _number(100 * row["mean"]),
            _name(row["reference"]),
            _number(100 * row["reference_mean"]),
            _points((row["difference"], row["low"], row["high"])),
            _number(row["probability_of_improvement"], 2),
            f"{_number(row['value_gap'])} / {_number(row['reference_value_gap'])}",
            f"{_number(row['cpu_seconds'])} / {_number(row['reference_cpu_seconds'])}",
            f"**{row['verdict']}**",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    words = comparison[["sentence", "outlook"]].fillna("").agg(" ".join, axis=1).str.strip()
    return "\n".join([*lines, "", *(f"- {sentence}" for sentence in words)]) + "\n"


def _compare_on(dataset: str, here: pd.DataFrame, method: str, reference: str) -> dict[str, Any]:
    """What the numbers say, before any correction."""
    own, other = (here[here["method"] == name].set_index("seed") for name in (method, reference))
    seeds = sorted(set(own.index) | set(other.index))
    own, other = own.reindex(seeds), other.reindex(seeds)
    paired = own["score"].notna() & other["score"].notna()
    missing = [
        f"seed {seed} of {_name(name)} ({side.loc[seed, 'reason'] if pd.notna(side.loc[seed, 'reason']) else 'no run'})"
        for name, side in ((method, own), (reference, other))
        for seed in seeds
        if pd.isna(side.loc[seed, "score"])
    ]
    own, other = own[paired], other[paired]
    row = {
        "dataset": dataset,
        "method": method,
        "reference": reference,
        "seeds": len(own),
        "missing": "; ".join(missing),
    }
    for prefix, side in (("", own), ("reference_", other)):
        row |= {f"{prefix}{key}": side[key].mean() for key in ("value_gap", "cpu_seconds")}
        row[f"{prefix}mean"] = side["score"].mean()
    if own.empty:
        nothing = ("difference", "deviation", "low", "high", "p", "probability_of_improvement")
        return row | dict.fromkeys(nothing, np.nan)
    x, y = own["score"].to_numpy(float), other["score"].to_numpy(float)
    test = paired_test(x - y)
    return row | {
        "difference": float(test.mean),
        "deviation": float(test.deviation),
        "low": float(test.low),
        "high": float(test.high),
        "p": float(test.p),
        "probability_of_improvement": probability_of_improvement(x[:, None], y[:, None]),
    }


def _judge(row: dict[str, Any], comparisons: int) -> dict[str, Any]:
    """The verdict and what more seeds would do; both in words, the first as `sentence`, the second as `outlook`."""
    method, reference, seeds = _name(row["method"]), _name(row["reference"]), row["seeds"]
    on = f"on {row['dataset']}"
    nothing = dict.fromkeys(["power", "power_low", "power_high", "more_seeds_for_gain", "more_seeds_for_observed"])
    left_out = [f"Left out, each with its pair: {row['missing']}."] if row["missing"] else []
    if np.isnan(row["p"]):
        why = (
            f"{seeds} seed{'s' * (seeds != 1)} of both; a spread needs two"
            if seeds < 2
            else "the difference is the same in every seed; check that the seeds are used"
        )
        sentence = f"Whether {method} is better than {reference} {on} cannot be judged: {why}."
        return nothing | {"verdict": UNTESTABLE, "sentence": sentence, "outlook": " ".join(left_out)}

    significant = row["p_holm"] < 1 - CONFIDENCE
    verdict = UNDECIDED if not significant else BETTER if row["difference"] > 0 else WORSE
    corrected = f"p = {row['p_holm']:.2g}" + (f" corrected for {comparisons} comparisons" if comparisons > 1 else "")
    seen = (
        f"{_points((row['difference'], row['low'], row['high']))} points over {seeds} seeds "
        f"(in brackets the 95 % interval), {corrected}"
    )
    found = f"{method} is {verdict} than {reference}"
    if not significant:
        found = f"No evidence either way between {method} and {reference}"
    outlook = []
    if not significant and row["p"] < 1 - CONFIDENCE:
        outlook.append("The interval alone excludes zero; the correction takes it back.")
    spread_low, spread, spread_high = likely_spreads(seeds, row["deviation"])
    chances = {
        key: float(power(seeds, GAIN, of, comparisons))
        for key, of in (("power", spread), ("power_low", spread_high), ("power_high", spread_low))
    }
    more = {}
    for key, gain in (("more_seeds_for_gain", GAIN), ("more_seeds_for_observed", row["difference"])):
        needed = seeds_needed(gain, spread, comparisons)
        more[key] = None if needed is None else max(needed - seeds, 0)
    if verdict == UNDECIDED:
        outlook.append(
            f"From the spread seen, {seeds} seeds find a true gain of {100 * GAIN:g} points in "
            f"{100 * chances['power']:.0f} % of cases ({100 * chances['power_low']:.0f} to "
            f"{100 * chances['power_high']:.0f} %); {_more(more['more_seeds_for_gain'], seeds)} needed for "
            f"{100 * POWER:g} %. Should the true difference be the one seen, "
            f"{_more(more['more_seeds_for_observed'], seeds)} needed to show it as often."
        )
    sentences = {"sentence": f"{found} {on}: {seen}.", "outlook": " ".join([*outlook, *left_out])}
    return {**chances, **more, "verdict": verdict, **sentences}


def _more(seeds: int | None, present: int) -> str:
    if seeds is None:
        return f"more than {MAX_SEEDS - present} more seeds are"
    return f"{seeds or 'no'} more {'seed is' if seeds == 1 else 'seeds are'}"


def _name(family: str) -> str:
    return style.label(family, family)


def _number(value: float, digits: int = 1) -> str:
    return "-" if pd.isna(value) else f"{value:,.{digits}f}"


def _points(estimate: Any, sign: str = "+") -> str:
    """Estimate, low and high, as points."""
    middle, low, high = (100 * float(value) for value in estimate)
    if np.isnan(middle):
        return "-"
    interval = "" if np.isnan(low) else f" ({low:{sign}.1f} to {high:{sign}.1f})"
    return f"{middle:{sign}.1f}{interval}"
