"""What the sections of the page show, out of the suite's tables: rows in the figures' order, names in print."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd

from cqlbench import runs as run_files
from cqlbench import style
from cqlbench.records import read_record
from cqlbench.report.pages import rows_of
from cqlbench.runs import readable
from cqlbench.statistics import CONFIDENCE
from cqlbench.suites import Suite

Row = dict[str, Any]


def headline(table: pd.DataFrame, comparisons: pd.DataFrame, datasets: list[str]) -> list[Row]:
    """One row per headline method, in the figures' order, with one cell of the table per dataset; None where the method
    has none. `best` in a cell: the corrected tests do not tell it apart from the highest mean of its dataset.
    """
    shown = table[table["headline"].astype(bool)]
    best = _best(shown, comparisons)
    cells = {
        (row["family"], row["dataset"]): row | {"best": (row["method"], row["dataset"]) in best}
        for row in rows_of(shown)
    }
    names = shown.groupby("family")["method"].first()
    # As in the figures, whose families are all of the suite's.
    looks = style.looks(table["family"])
    return [
        {
            "name": style.label(names[family], family),
            "method": names[family],
            "colour": looks[family].colour,
            "cells": [cells.get((family, dataset)) for dataset in datasets],
        }
        for family in looks
        if family in names.index
    ]


def _best(shown: pd.DataFrame, comparisons: pd.DataFrame) -> set[tuple[str, str]]:
    """(method, dataset) of the highest mean of each dataset and of all that are not told apart from it.

    None on a dataset where the highest has one seed: nothing could be told apart.
    """
    apart = {
        (row["dataset"], frozenset((row["x"], row["y"])))
        for row in comparisons.to_dict("records")
        if row["p_holm"] < 1 - CONFIDENCE
    }
    best = set()
    for dataset, here in shown[shown["seeds"] > 0].groupby("dataset"):
        first = here.loc[here["score_mean"].idxmax()]
        if first["seeds"] > 1:
            best |= {
                (method, dataset)
                for method in here["method"]
                if (dataset, frozenset((first["method"], method))) not in apart
            }
    return best


def cells(table: pd.DataFrame, datasets: list[str], *, headline: bool) -> list[Row]:
    """The rows of the table, of the headline methods or of all others, with `name` in print, by dataset."""
    rows = [row | {"name": style.label(row["method"], row["family"])} for row in rows_of(table)]
    families = style.ordered(table["family"])
    return sorted(
        (row for row in rows if bool(row["headline"]) == headline),
        key=lambda row: (datasets.index(row["dataset"]), families.index(row["family"]), row["method"]),
    )


def pairs(comparisons: pd.DataFrame, table: pd.DataFrame) -> list[Row]:
    """The rows of comparisons.csv with the methods' names in print."""
    families = dict(zip(table["method"], table["family"], strict=True))
    names = {method: style.label(method, family) for method, family in families.items()}
    return [row | {"x": names[row["x"]], "y": names[row["y"]]} for row in rows_of(comparisons)]


def measures(diagnostics: pd.DataFrame, runs: pd.DataFrame, datasets: list[str]) -> list[Row]:
    """One row per dataset and headline method, with its final rows of diagnostics.csv by start and measure."""
    budgets = runs.groupby(["dataset", "method"], as_index=False)["updates"].max()
    finals = diagnostics[diagnostics["headline"].astype(bool)].merge(budgets, on=["dataset", "method"])
    finals = finals[finals["update"] == finals["updates"]]
    families = style.ordered(finals["family"])
    found: dict[tuple[str, str], Row] = {}
    for row in rows_of(finals):
        place = found.setdefault(
            (row["dataset"], row["family"]),
            {"dataset": row["dataset"], "name": style.label(row["method"], row["family"]), "measures": {}},
        )
        place["measures"][row["start"], row["measure"]] = row
    return [found[dataset, family] for dataset in datasets for family in families if (dataset, family) in found]


def safety(table: pd.DataFrame) -> list[Row]:
    """The rows of safety.csv to show, in the figures' order."""
    shown = rows_of(table[table["shown"].astype(bool)])
    rows = [row | {"name": style.label(row["method"], row["family"])} for row in shown]
    families = style.ordered(table["family"])
    return sorted(rows, key=lambda row: (row["dataset"], families.index(row["family"])))


def valueless(table: pd.DataFrame) -> list[str]:
    """The headline methods with finished runs and no predicted value, in print."""
    shown = table[table["headline"].astype(bool)]
    counts = shown.groupby(["family", "method"])[["score_mean", "predicted_value"]].count()
    without = counts[(counts["score_mean"] > 0) & (counts["predicted_value"] == 0)].reset_index()
    labels = {row.family: style.label(row.method, row.family) for row in without.itertuples(index=False)}
    return [labels[family] for family in style.ordered(labels)]


def taken(runs: pd.DataFrame) -> list[Row]:
    """By method, how many runs were taken from which tables, and the code that made them."""
    # Tables written before runs could be taken lack the column.
    known = runs.reindex(columns=["method", "taken_from", "code_version", "seed"]).dropna(subset=["taken_from"])
    groups = known.groupby(["method", "taken_from", "code_version"], dropna=False)
    return rows_of(groups["seed"].size().rename("runs").reset_index())


def left_out(holes: pd.DataFrame) -> list[Row]:
    """The runs of holes.csv that came to a result and are in no aggregate, a row for those of one method with the same
    seeds and reason: `method`, `seeds`, `because` and `datasets`.
    """
    apart = holes["because"].str.endswith("leaves the aggregates")
    finished = holes[(holes["status"] == run_files.DONE) | (apart & (holes["status"] == run_files.DIVERGED))]
    found: dict[tuple[str, str, tuple[int, ...]], list[str]] = {}
    for (method, because, dataset), group in finished.groupby(["method", "because", "dataset"]):
        found.setdefault((method, because, tuple(sorted(group["seed"]))), []).append(dataset)
    return [
        {"method": method, "because": because, "seeds": seeds, "datasets": datasets}
        for (method, because, seeds), datasets in found.items()
    ]


def costs_of_runs(runs: pd.DataFrame) -> list[Row]:
    """Mean time, rate and memory of the runs of each method of which any is known."""
    columns = {"seconds": "mean", "updates_per_second": "mean", "peak_memory_mb": "max"}
    return rows_of(runs.groupby("method", sort=True)[[*columns]].agg(columns).dropna(how="all").reset_index())


def surroundings(runs: pd.DataFrame, results: Path) -> list[tuple[str, str, int]]:
    """(what, value, number of runs) of packages and hardware, each value that occurs named."""
    counts: Counter[tuple[str, str]] = Counter()
    for folder in runs["folder"].dropna():
        made_of = read_record(results / folder / run_files.PROVENANCE).get("packages", {})
        # A failed run's timing does not name the machine.
        timing = read_record(results / folder / run_files.TIMING)
        machine = {what: timing[what] for what in ("cpu", "cores", "threads") if what in timing}
        counts.update((what, str(value)) for what, value in (made_of | machine).items())
    return [(what, value, count) for (what, value), count in sorted(counts.items())]


def settings(suite: Suite) -> list[Row]:
    """Each family's algorithm, its swept settings and every setting of its headline method."""
    families = {method.family: method for method in suite.methods if method.headline}
    return [
        {
            "name": style.label(families[family].label, family),
            "algorithm": families[family].algorithm,
            "settings": {key: readable(value) for key, value in families[family].config.settings().items()},
            "swept": {
                axis: ", ".join(dict.fromkeys(readable(m.axes[axis]) for m in suite.methods if m.family == family))
                for axis in families[family].axes
            },
        }
        for family in style.ordered(families)
    ]
