"""From a suite's tables and figures to one page that opens from disk and needs nothing else."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd

from cqlbench import runs as run_files
from cqlbench import style
from cqlbench.accounting import COSTS, training_share
from cqlbench.claims import CLAIMS, judge_claims
from cqlbench.errors import UserError
from cqlbench.figures import FOLDER as FIGURES
from cqlbench.figures import figure_names
from cqlbench.report.figure_texts import FIGURE_TEXTS, sweep_text
from cqlbench.report.pages import REPORT, STYLE, embedded, environment, file_link, number, rows_of
from cqlbench.runs import readable
from cqlbench.scores import EPISODES, RUNS, SCORES, TRAINING, VALUES, read_table, write_table
from cqlbench.statistics import CONFIDENCE, REPETITIONS, TAIL
from cqlbench.statistics import FOLDER as STATISTICS
from cqlbench.suites import Suite
from cqlbench.writers import write_text

SUMMARY = "summary.md"


def write_report(suite: Suite, folder: Path, results: Path) -> Path:
    """Judges the suite's claims into `folder`/claims.csv, writes report.html and summary.md there; the page's path.

    `folder` holds the suite's tables, statistics and figures; `results` the run folders, read for their packages and
    hardware only. Raises UserError where a table or a figure has not been made yet.
    """
    finals = read_table(folder / STATISTICS / "finals.csv")
    claims = judge_claims(suite, finals)
    write_table(claims, folder / CLAIMS)
    runs = read_table(folder / RUNS)
    holes = read_table(folder / STATISTICS / "holes.csv")
    table = read_table(folder / STATISTICS / "table.csv")
    measures = _measures(suite, read_table(folder / STATISTICS / "diagnostics.csv"))
    costs = rows_of(read_table(folder / COSTS))
    surroundings = _surroundings(runs, results)

    templates = environment(points=_points, number=number, seconds=_seconds)
    answer = {
        "suite": suite,
        "claims": rows_of(claims),
        "datasets": suite.datasets,
        "headline": _headline(suite, table),
        "training_share": training_share(costs),
    }
    write_text(folder / SUMMARY, templates.get_template(SUMMARY).render(answer))
    page = templates.get_template("template.html").render(
        answer,
        style=STYLE.read_text(),
        verdicts=claims["verdict"].value_counts().to_dict(),
        measures=measures,
        valueless=_valueless(table),
        safety=_safety(folder),
        tail=f"{100 * TAIL:g} %",
        settings_shown=rows_of(table[~table["headline"]]),
        label=style.label,
        unfinished=rows_of(runs[runs["status"] != "done"]),
        left_out=rows_of(holes[holes["status"] == "done"]),
        warnings=rows_of(runs.dropna(subset=["warning"])[["dataset", "warning"]].drop_duplicates()),
        fingerprints=runs.groupby("code_fingerprint")["seed"].size().to_dict(),
        versions=runs.groupby("code_version")["seed"].size().to_dict(),
        hashes=runs.groupby("dataset")["dataset_hash"].first().to_dict(),
        costs=costs,
        trained=next(row for row in costs if row["work"] == "training"),
        costs_of_runs=rows_of(_costs_of_runs(runs)),
        run_count=len(runs),
        confidence=f"{100 * CONFIDENCE:g} %",
        repetitions=REPETITIONS,
        figures=[_figure(folder, name) for name in figure_names(suite.axes)],
        surroundings=surroundings,
        machines=[value for what, value, _ in surroundings if what == "cpu"],
        methods=_methods(suite),
        files=[file_link(folder, name) for name in _table_names(folder)],
    )
    path = folder / REPORT
    write_text(path, page)
    return path


def _headline(suite: Suite, table: pd.DataFrame) -> list[dict[str, Any]]:
    """One row per headline method, in the figures' order, with one cell of the table per dataset of the suite."""
    shown = table[table["headline"]].set_index(["family", "dataset"])
    labels = {method.family: style.label(method.label, method.family) for method in suite.methods if method.headline}
    return [
        {
            "name": labels[family],
            "colour": style.colour(family),
            "cells": [shown.loc[(family, dataset)].to_dict() for dataset in suite.datasets],
        }
        for family in style.ordered(labels)
    ]


def _measures(suite: Suite, table: pd.DataFrame) -> list[dict[str, Any]]:
    """One row per dataset and headline method, with its final rows of diagnostics.csv by start and measure."""
    finals = table[table["update"] == suite.protocol.updates]
    headline = {method.family: method for method in suite.methods if method.headline}
    rows = []
    for dataset in suite.datasets:
        for family in style.ordered(headline):
            method = headline[family].label
            own = rows_of(finals[(finals["dataset"] == dataset) & (finals["method"] == method)])
            measures = {(row["start"], row["measure"]): row for row in own}
            rows.append({"dataset": dataset, "name": style.label(method, family), "measures": measures})
    return rows


def _safety(folder: Path) -> list[dict[str, Any]]:
    """The rows of safety.csv to show, in the figures' order."""
    table = read_table(folder / STATISTICS / "safety.csv")
    rows = rows_of(table[table["shown"].astype(bool)])
    families = style.ordered(table["family"])
    return sorted(rows, key=lambda row: (row["dataset"], families.index(row["family"])))


def _valueless(table: pd.DataFrame) -> list[str]:
    """The headline methods with finished runs and no predicted value, in print."""
    counts = table[table["headline"]].groupby(["family", "method"])[["score_mean", "predicted_value"]].count()
    without = counts[(counts["score_mean"] > 0) & (counts["predicted_value"] == 0)].reset_index()
    labels = {row.family: style.label(row.method, row.family) for row in without.itertuples(index=False)}
    return [labels[family] for family in style.ordered(labels)]


def _costs_of_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean time, rate and memory of the runs of each method."""
    return runs.groupby("method", as_index=False, sort=True).agg(
        seconds=("seconds", "mean"),
        updates_per_second=("updates_per_second", "mean"),
        peak_memory_mb=("peak_memory_mb", "max"),
    )


def _surroundings(runs: pd.DataFrame, results: Path) -> list[tuple[str, str, int]]:
    """(what, value, number of runs) of packages and hardware, each value that occurs named."""
    counts: Counter[tuple[str, str]] = Counter()
    for folder in runs["folder"]:
        made_of = _read_if_there(results / folder / run_files.PROVENANCE).get("packages", {})
        # A failed run's timing does not name the machine.
        timing = _read_if_there(results / folder / run_files.TIMING)
        machine = {what: timing[what] for what in ("cpu", "cores", "threads") if what in timing}
        counts.update((what, str(value)) for what, value in (made_of | machine).items())
    return [(what, value, count) for (what, value), count in sorted(counts.items())]


def _read_if_there(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.is_file() else {}


def _methods(suite: Suite) -> list[dict[str, Any]]:
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


def _figure(folder: Path, name: str) -> dict[str, Any]:
    path = folder / FIGURES / f"{name}.svg"
    if not path.is_file():
        raise UserError(f"{path} does not exist. Draw it first with `cqlbench figures {folder}`.")
    text = FIGURE_TEXTS[name] if name in FIGURE_TEXTS else sweep_text(name.removeprefix("sweep-"))
    return {"name": name, "source": embedded(path, "image/svg+xml"), **text._asdict()}


def _table_names(folder: Path) -> list[str]:
    statistics = sorted(path.relative_to(folder).as_posix() for path in (folder / STATISTICS).glob("*.csv"))
    return [SCORES, RUNS, VALUES, TRAINING, EPISODES, CLAIMS, COSTS, *statistics]


def _points(score: float | None) -> str:
    """A 0-1 score as it is printed: x100, one decimal."""
    return "–" if score is None or pd.isna(score) else f"{100 * score:.1f}"


def _seconds(value: float | None) -> str:
    """Seconds in print: tenths where there are few, a dash where they are not known."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
