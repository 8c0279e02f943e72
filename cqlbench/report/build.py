"""From a suite's tables to one page that opens from disk and needs nothing else, and the files for papers beside it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd

from cqlbench.accounting import COSTS, training_share
from cqlbench.claims import CLAIMS, judge_claims
from cqlbench.errors import UserError
from cqlbench.estimates.printed import printed
from cqlbench.estimates.tables import ESTIMATES
from cqlbench.figures import FOLDER as FIGURES
from cqlbench.figures import figure_names
from cqlbench.report import sections
from cqlbench.report.answer import find_answer
from cqlbench.report.figure_texts import ESTIMATES_TEXT, FIGURE_TEXTS, SCORES_TEXT, FigureText, sweep_text
from cqlbench.report.pages import (
    REPORT,
    SCRIPT,
    STYLE,
    embedded,
    environment,
    file_link,
    known,
    number,
    points,
    rows_of,
    seconds,
)  # fmt: skip
from cqlbench.report.papers import REFERENCES, TABLE, bibliography, cited, latex_table
from cqlbench.report.suite_facts import suite_facts
from cqlbench.runs import DIVERGED
from cqlbench.scores import AXIS, EPISODES, RUNS, SCORES, TRAINING, VALUES, read_table, write_table
from cqlbench.statistics import CONFIDENCE, FINER, REPETITIONS, TAIL
from cqlbench.statistics import FOLDER as STATISTICS
from cqlbench.suites import Suite
from cqlbench.writers import write_text

SUMMARY = "summary.md"
# What `cqlbench compare` writes into the folder of a comparison.
COMPARISON = "comparison.csv"
# With more datasets than this, or without values, the first figure is the summary over all of them.
FEW_DATASETS = 3
# Figures are drawn for a printed page, which is read from nearer than a screen.
PIXELS_PER_POINT = 1.33 * 1.4


def write_report(folder: Path, results: Path, suite: Suite | None = None) -> Path:
    """Writes report.html, summary.md, table.tex and references.bib into `folder`; the page's path.

    `folder` holds the tables, statistics and figures; `results` the run folders, read for their packages and hardware
    only. With `suite`, its claims are judged into `folder`/claims.csv, and the page has its title, its note and the
    settings of its methods; without, the title and note are those of `folder`/about.yaml. Raises UserError where a
    table or a figure has not been made yet.
    """
    runs, scores, values = (read_table(folder / name) for name in (RUNS, SCORES, VALUES))
    named = ("table", "finals", "holes", "aggregates", "diagnostics", "safety", "comparisons", "published")
    tables = {name: read_table(folder / STATISTICS / f"{name}.csv") for name in named}
    table, finals, comparisons = tables["table"], tables["finals"], tables["comparisons"]
    facts = suite_facts(folder, suite, runs, scores, values)
    headline = sections.headline(table, comparisons, facts.datasets)
    claims = None
    if suite:
        claims = judge_claims(suite, finals)
        write_table(claims, folder / CLAIMS)
    costs = rows_of(read_table(folder / COSTS)) if (folder / COSTS).is_file() else []

    templates = environment(points=points, number=number, seconds=seconds, known=known)
    content: dict[str, Any] = {
        "facts": facts,
        "claims": [] if claims is None else rows_of(claims),
        "headline": headline,
    }
    write_text(folder / SUMMARY, templates.get_template(SUMMARY).render(content))
    write_text(folder / TABLE, latex_table(facts, headline, tables["aggregates"]))
    write_text(folder / REFERENCES, bibliography(cited(scores, facts)))

    surroundings = sections.surroundings(runs, results)
    valued = bool(table["predicted_value"].notna().any())
    figures = [_figure(folder, name, _text(name, valued)) for name in figure_names(_axes(runs))]
    estimates = folder / STATISTICS / ESTIMATES
    estimate_figure = _figure(folder, "estimates", ESTIMATES_TEXT) if estimates.is_file() else None
    scored = bool((table["seeds"] > 0).any())
    empty = _without_data(tables)
    first = "score-and-value" if valued and len(facts.datasets) <= FEW_DATASETS else "aggregates"
    page = templates.get_template("page.html").render(
        content,
        style=STYLE.read_text(),
        script=SCRIPT.read_text(),
        answer=find_answer(table, finals, runs, tables["aggregates"], comparisons),
        compared=rows_of(read_table(folder / COMPARISON)) if suite and suite.compare else [],
        first_figure=(None if scored else estimate_figure)
        or next(figure for figure in figures if figure["name"] == first),
        figures=[figure for figure in figures if figure["name"] not in (first, *empty)],
        empty_figures=[FIGURE_TEXTS[name].title for name in empty],
        cells=sections.cells(table, facts.datasets, headline=True),
        other_settings=sections.cells(table, facts.datasets, headline=False),
        pairs=sections.pairs(comparisons, table),
        published=rows_of(tables["published"]),
        estimates=printed(read_table(estimates)) if estimates.is_file() else [],
        estimate_figure=estimate_figure,
        scored=scored,
        measures=sections.measures(tables["diagnostics"], runs, facts.datasets),
        valueless=sections.valueless(table),
        without_diverged=", without the runs that diverged before it" if (runs["status"] == DIVERGED).any() else "",
        safety=sections.safety(tables["safety"]),
        unfinished=rows_of(runs[runs["status"] != "done"]),
        taken=sections.taken(runs),
        left_out=sections.left_out(tables["holes"]),
        warnings=rows_of(runs.dropna(subset=["warning"])[["dataset", "warning"]].drop_duplicates()),
        fingerprints=runs.groupby("code_fingerprint")["seed"].size().to_dict(),
        versions=runs.groupby("code_version")["seed"].size().to_dict(),
        hashes=runs.dropna(subset=["dataset_hash"]).groupby("dataset")["dataset_hash"].first().to_dict(),
        costs=costs,
        training_share=training_share(costs) if costs else "",
        costs_of_runs=sections.costs_of_runs(runs),
        surroundings=surroundings,
        machines=[value for what, value, _ in surroundings if what == "cpu"],
        settings=sections.settings(suite) if suite else [],
        confidence=f"{100 * CONFIDENCE:g} %",
        repetitions=REPETITIONS,
        finer_repetitions=FINER * REPETITIONS,
        tail=f"{100 * TAIL:g} %",
        papers=[file_link(folder, name) for name in (SUMMARY, TABLE, REFERENCES)],
        files=[file_link(folder, name) for name in _table_names(folder)],
    )
    path = folder / REPORT
    write_text(path, page)
    return path


def _axes(runs: pd.DataFrame) -> list[str]:
    """The settings that are swept."""
    return [column.removeprefix(AXIS) for column in runs.columns if column.startswith(AXIS)]


def _without_data(tables: dict[str, pd.DataFrame]) -> list[str]:
    """The figures of values or episodes that imported tables have no numbers for."""
    of_values = ["value-curves", "action-gap", "off-data"] if tables["diagnostics"].empty else []
    return of_values + ([] if (tables["safety"]["seeds"] > 0).any() else ["safety"])


def _text(name: str, valued: bool) -> FigureText:
    if name == "score-and-value" and not valued:
        return SCORES_TEXT
    return sweep_text(name.removeprefix("sweep-")) if name.startswith("sweep-") else FIGURE_TEXTS[name]


def _figure(folder: Path, name: str, text: FigureText) -> dict[str, Any]:
    path = folder / FIGURES / f"{name}.svg"
    if not path.is_file():
        raise UserError(f"{path} does not exist. Draw it first with `cqlbench figures {folder}`.")
    data = path.with_suffix(".csv")
    # In points, as matplotlib writes it.
    width = re.search(r'<svg [^>]*width="([0-9.]+)pt"', path.read_text(encoding="utf-8"))
    return {
        "name": name,
        "source": embedded(path, "image/svg+xml"),
        "width": round(float(width[1]) * PIXELS_PER_POINT) if width else None,
        "data": file_link(folder, data.relative_to(folder).as_posix()) if data.is_file() else None,
        "pdf": f"{FIGURES}/{name}.pdf" if path.with_suffix(".pdf").is_file() else None,
        **text._asdict(),
    }


def _table_names(folder: Path) -> list[str]:
    statistics = sorted(path.relative_to(folder).as_posix() for path in (folder / STATISTICS).glob("*.csv"))
    optional = [name for name in (COMPARISON, CLAIMS, COSTS, ESTIMATES) if (folder / name).is_file()]
    return [SCORES, RUNS, VALUES, TRAINING, EPISODES, *optional, *statistics]
