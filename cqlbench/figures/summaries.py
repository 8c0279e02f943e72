"""Methods beside each other over all datasets: aggregates, profiles, probability of improvement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cqlbench.figures.pages import Page
from cqlbench.figures.panels import (
    FEW,
    band,
    few_ticks,
    legend,
    line,
    name_axes,
    panel_grid,
    row_names,
    rows_height,
    set_rows,
    without_data,
)
from cqlbench.figures.tables import Tables, in_print
from cqlbench.figures.texts import PIECES, text_width, wrapped
from cqlbench.style import Look

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

STATISTICS = ["IQM", "Median", "Mean", "Optimality Gap"]
NOTHING = "no dataset with a finished run"
# Markers along a profile, thresholds between two of them.
MARKERS = 15


def aggregate_rows(tables: Tables) -> pd.DataFrame:
    """Each summary over all datasets with its interval."""
    rows = in_print(tables["aggregates"], tables)
    return rows[["method", "family", "label", "statistic", "estimate", "low", "high"]]


def aggregates(rows: pd.DataFrame, looks: dict[str, Look], page: Page) -> Figure:
    """Four summaries over all datasets, a point and an interval per method."""
    if rows.empty:
        return without_data(page, NOTHING)
    families = list(rows["family"].unique())
    names = row_names(page, rows["label"].unique(), page.width)
    width = page.width / len(STATISTICS)
    figure, panels = panel_grid(
        page,
        STATISTICS,
        columns=len(STATISTICS),
        sharey=True,
        ratio=(rows_height(page, names) + page.lines(3.5)) / width,
    )
    for statistic, panel in panels.items():
        for row in rows[rows["statistic"] == statistic].itertuples(index=False):
            place, look = families.index(row.family), looks[row.family]
            panel.hlines(place, 100 * row.low, 100 * row.high, color=look.colour, linewidth=4 * page.line, alpha=0.35)
            panel.plot(100 * row.estimate, place, marker=look.marker, color=look.colour)
        few_ticks(panel, "x")
        better = "lower is better" if statistic == "Optimality Gap" else "higher is better"
        panel.set_xlabel(f"score\n({better})")
    set_rows(panels[STATISTICS[0]], names)
    return figure


def profile_rows(tables: Tables) -> pd.DataFrame:
    """The fraction of runs above each score, with its interval."""
    return in_print(tables["profiles"], tables)[["method", "family", "label", "tau", "fraction", "low", "high"]]


def profile(rows: pd.DataFrame, looks: dict[str, Look], page: Page) -> Figure:
    """Fraction of runs above each score."""
    if rows.empty:
        return without_data(page, NOTHING)
    figure, panels = panel_grid(page, [""])
    panel = panels[""]
    for place, ((family, name), own) in enumerate(rows.groupby(["family", "label"], sort=False)):
        # Side by side where the lines run together.
        line(panel, 100 * own["tau"], own["fraction"], looks[family], name, (4 * place % MARKERS, MARKERS))
        band(panel, 100 * own["tau"], own["low"], own["high"], looks[family])
    panel.set(ylim=(-0.02, 1.02), xlim=(0, 120))
    name_axes(page, figure, [panel], "score τ", "fraction of runs with score above τ")
    legend(page, figure, [panel])
    return figure


def improvement_rows(tables: Tables) -> pd.DataFrame:
    """For each ordered pair of methods, the probability that a run of x scores above a run of y."""
    table = tables["improvement"]
    if table.empty:
        return table.assign(x_family="", x_label="", y_family="", y_label="")
    rows = in_print(table.rename(columns={"y": "method"}), tables)
    rows = rows.rename(columns={"method": "y", "family": "y_family", "label": "y_label"})
    rows = in_print(rows.rename(columns={"x": "method"}), tables)
    rows = rows.rename(columns={"method": "x", "family": "x_family", "label": "x_label"})
    return rows[["x", "x_label", "y", "y_label", "probability", "low", "high"]]


def improvement(rows: pd.DataFrame, looks: dict[str, Look], page: Page) -> Figure:
    """Probability in percent that a run of the row's method scores above one of the column's."""
    if rows.empty:
        return without_data(page, "one method: nothing to compare")
    methods = list(rows["x"].unique())
    labels = rows["x_label"].unique()
    short = len(methods) <= FEW and all("\n" not in name for name in row_names(page, labels, page.column))
    width = page.column if short else page.width
    names = row_names(page, labels, width)
    beside = max(text_width(name, page.ticks) for name in names)
    cell = (width - beside - page.lines(2)) / len(methods)
    # Names of columns are broken between words, or else stand upright.
    across = [wrapped(label, 0.9 * cell, page.ticks, PIECES[:-1]) for label in labels]
    upright = any(name.count("\n") > 1 or text_width(name, page.ticks) > 0.9 * cell for name in across)
    above = beside if upright else page.lines(max(name.count("\n") for name in across) + 1)
    height = len(methods) * max(rows_height(page, names) / len(methods), page.lines(2.4)) + above + page.lines(3)
    figure, panels = panel_grid(page, [""], ratio=height / width)
    figure.set_size_inches(width, height)
    panel = panels[""]
    panel.set_facecolor("0.93")
    grid = rows.pivot(index="x", columns="y", values="probability").reindex(index=methods, columns=methods)
    panel.imshow(grid, cmap="PuOr", vmin=0, vmax=1, aspect="auto")
    for row in rows.itertuples(index=False):
        x, y = methods.index(row.y), methods.index(row.x)
        known = row.probability == row.probability
        colour = "white" if abs(row.probability - 0.5) > 0.35 else "black"
        interval = f"{100 * row.low:.0f}–{100 * row.high:.0f}" if row.low == row.low else ""
        text = f"{100 * row.probability:.0f}" if known else "no runs"
        centred: dict[str, Any] = {"ha": "center", "color": colour}
        panel.text(x, y, text, va="bottom" if interval else "center", **centred)
        panel.text(x, y + 0.08, interval, va="top", fontsize=page.remarks, **centred)
    panel.set(xticks=range(len(methods)), yticks=range(len(methods)), yticklabels=names, ylabel="a run of …")
    panel.set_xticklabels(names if upright else across, rotation=90 if upright else 0)
    panel.xaxis.tick_top()
    panel.set_xlabel("… scores above a run of … (%)")
    panel.xaxis.set_label_position("top")
    panel.grid(False)
    return figure
