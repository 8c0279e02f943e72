"""A suite's estimates in print: a table of values of initial states, and one of errors on data."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from cqlbench import style
from cqlbench.estimates.tables import ON_DATA

SUMMARY = "estimates.md"
VALUES = {
    "predicted_value": "by its own critic",
    "fqe_value": "by fitted Q evaluation",
    "fqe_impossible": "of these impossible",
    "true_value": "in truth",
}
ERRORS = {
    "td_error": "TD error",
    "conservative_gap": "conservative gap",
    "fqe_td_error": "TD error of fitted Q evaluation",
}


class Printed(NamedTuple):
    """A table in print; the first two cells of a row are its dataset and its method."""

    caption: str
    header: list[str]
    rows: list[list[str]]


def printed(summary: pd.DataFrame) -> list[Printed]:
    """Both tables of `cqlbench.estimates.tables.summarise`, each cell from the lowest to the highest seed.

    A column of which no method has anything is left out.
    """
    there = set(summary.loc[summary["seeds"] > 0, "measure"])
    errors = [pair for name in ON_DATA for pair in ((name, ERRORS[name]), (f"held_out_{name}", "held out"))]
    tables = []
    for caption, columns in (
        ("Discounted value of initial states, lowest to highest seed", list(VALUES.items())),
        ("Errors on the training data and on held-out data, lowest to highest seed", errors),
    ):
        measures = {measure: words for measure, words in columns if measure in there}
        rows = [
            [str(dataset), style.label(method, family), *(_cell(name, own.loc[name]) for name in measures)]
            for (dataset, method, family), own in summary.set_index("measure").groupby(["dataset", "method", "family"])
        ]
        tables.append(Printed(caption, ["dataset", "method", *measures.values()], rows))
    return tables


def markdown(summary: pd.DataFrame) -> str:
    """`printed` for a page of Markdown."""
    return "\n\n".join(
        "\n".join([
            f"{table.caption}:\n",
            _line(table.header),
            _line(["---"] * len(table.header)),
            *map(_line, table.rows),
        ])
        for table in printed(summary)
    )  # fmt: skip


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(measure: str, row: pd.Series) -> str:
    if row["seeds"] == 0:
        return "–"
    if measure == "fqe_impossible":
        return f"{row['mean'] * row['seeds']:.0f} of {row['seeds']:.0f}"
    low, high = (_number(row[end]) for end in ("lowest", "highest"))
    return low if low == high else f"{low} to {high}"


def _number(value: float) -> str:
    """Three significant digits; from a hundred thousand by powers of ten."""
    if abs(value) >= 1e5:
        return f"{value:.1e}".replace("e+0", "e").replace("e+", "e")
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
