"""Which figures a suite has: of each, the rows that it shows and the drawing of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cqlbench import style
from cqlbench.figures.comparisons import comparison_rows, comparisons
from cqlbench.figures.curves import learning_curve_rows, learning_curves, sample_efficiency, sample_efficiency_rows
from cqlbench.figures.pages import PAPER, Page, drawing_style, save_figure
from cqlbench.figures.safety import safety, safety_rows
from cqlbench.figures.score_and_value import score_and_value, score_and_value_rows
from cqlbench.figures.summaries import (
    aggregate_rows,
    aggregates,
    improvement,
    improvement_rows,
    profile,
    profile_rows,
)
from cqlbench.figures.sweeps import sweep, sweep_rows
from cqlbench.figures.tables import Tables
from cqlbench.figures.values import action_gap, action_gap_rows, off_data, off_data_rows, value_curve_rows, value_curves
from cqlbench.scores import read_table, write_table
from cqlbench.statistics import FOLDER as STATISTICS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

FOLDER = "figures"


class Drawing(NamedTuple):
    """A figure's rows, out of the statistics tables, and its drawing, which sees nothing but these."""

    rows: Callable[[Tables], pd.DataFrame]
    draw: Callable[[pd.DataFrame, dict[str, style.Look], Page], Figure]


DRAWINGS = {
    "score-and-value": Drawing(score_and_value_rows, score_and_value),
    "aggregates": Drawing(aggregate_rows, aggregates),
    "profile": Drawing(profile_rows, profile),
    "improvement": Drawing(improvement_rows, improvement),
    "comparisons": Drawing(comparison_rows, comparisons),
    "learning-curves": Drawing(learning_curve_rows, learning_curves),
    "value-curves": Drawing(value_curve_rows, value_curves),
    "action-gap": Drawing(action_gap_rows, action_gap),
    "off-data": Drawing(off_data_rows, off_data),
    "sample-efficiency": Drawing(sample_efficiency_rows, sample_efficiency),
    "safety": Drawing(safety_rows, safety),
}
TABLES = [
    "table", "finals", "holes", "aggregates", "profiles", "improvement", "comparisons", "sample_efficiency", "curves",
    "sweep", "diagnostics", "safety",
]  # fmt: skip


def figure_names(axes: list[str]) -> list[str]:
    """The figures of a suite that sweeps `axes` (`suite.axes`), without suffix, in the report's order."""
    return [*DRAWINGS, *(f"sweep-{axis}" for axis in sorted(axes))]


def draw_figures(folder: Path, page: Page = PAPER, out: Path | None = None) -> None:
    """Draws the tables of `folder`/statistics into `out` (`folder`/figures): of each figure its data, as CSV, and its
    picture in every format. A figure without data says so."""
    from matplotlib import rc_context

    tables = {name: read_table(folder / STATISTICS / f"{name}.csv") for name in TABLES}
    out = out or folder / FOLDER
    looks = style.looks(tables["table"]["family"])
    # A dollar in the name of a method or of a dataset begins no formula.
    with drawing_style(page), rc_context({"text.parse_math": False}):
        for name, drawing in drawings(tables).items():
            data = out / f"{name}.csv"
            write_table(drawing.rows(tables), data)
            # From the file, so that it holds all that the figure shows.
            save_figure(drawing.draw(read_table(data), looks, page), out, name)


def drawings(tables: Tables) -> dict[str, Drawing]:
    """The figures of these tables, by name."""
    axes = sorted(tables["sweep"]["axis"].unique())
    return DRAWINGS | {f"sweep-{axis}": Drawing(partial(sweep_rows, axis=axis), sweep) for axis in axes}
