"""A suite's estimates as two Markdown tables: values of initial states, and errors on data."""

from __future__ import annotations

import pandas as pd

from cqlbench import style
from cqlbench.estimates.measures import ON_DATA

SUMMARY = "estimates.md"
VALUES = {
    "predicted_value": "by its own critic",
    "fqe_value": "by fitted Q evaluation",
    "fqe_impossible": "of these impossible",
    "true_value": "in truth",
}
ERRORS = {
    "td_error": "TD error",
    "fqe_td_error": "TD error of fitted Q evaluation",
    "conservative_gap": "conservative gap",
}


def render(summary: pd.DataFrame) -> str:
    """Both tables of `cqlbench.estimates.tables.summarise`, each cell from the lowest to the highest seed."""
    shown = {
        "Discounted value of initial states, lowest to highest seed.": VALUES,
        "Errors on data, lowest to highest seed: training data, held-out data.": {
            name: words
            for measure in ON_DATA
            for name, words in ((measure, ERRORS[measure]), (f"held_out_{measure}", "held out"))
        },
    }
    there = set(summary.loc[summary["seeds"] > 0, "measure"])
    return "\n\n".join(
        f"{title}\n\n{_table(summary, {key: words for key, words in columns.items() if key in there})}"
        for title, columns in shown.items()
    )


def _table(summary: pd.DataFrame, columns: dict[str, str]) -> str:
    lines = [f"| dataset | method | {' | '.join(columns.values())} |", f"| --- | --- |{' --- |' * len(columns)}"]
    for (dataset, method, family), own in summary.groupby(["dataset", "method", "family"]):
        measures = own.set_index("measure")
        cells = [_cell(key, measures.loc[key]) for key in columns]
        lines.append(f"| {dataset} | {style.label(method, family)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(measure: str, row: pd.Series) -> str:
    if row["seeds"] == 0:
        return "–"
    if measure == "fqe_impossible":
        return f"{row['mean'] * row['seeds']:.0f} of {row['seeds']:.0f}"
    low, high = (_number(row[end]) for end in ("lowest", "highest"))
    return low if low == high else f"{low} to {high}"


def _number(value: float) -> str:
    """Three significant digits; millions and more by their power of ten."""
    if abs(value) >= 1e6:
        return f"{value:.1e}".replace("e+0", "e").replace("e+", "e")
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
