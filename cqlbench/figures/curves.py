"""Scores over training: per dataset, and over all datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cqlbench.figures.pages import Page
from cqlbench.figures.panels import band, few_ticks, line, name_axes, name_lines, panel_grid, update_axis, without_data
from cqlbench.figures.tables import Tables, headline, in_print, per_dataset, whole
from cqlbench.style import Look

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def learning_curve_rows(tables: Tables) -> pd.DataFrame:
    """Mean score and the lowest and highest seed's after each evaluation."""
    rows = per_dataset(headline(tables["curves"]), tables)
    rows["update"] = whole(rows["update"])
    return rows[["dataset", "method", "family", "label", "update", "score_mean", "lowest", "highest"]]


def learning_curves(rows: pd.DataFrame, looks: dict[str, Look], page: Page) -> Figure:
    """Mean score against updates, per dataset; the band runs from the lowest seed to the highest.

    Not an interval: with three seeds Student's would be wider than all there is to see.
    """
    figure, panels = panel_grid(page, rows["dataset"].unique(), sharex=True)
    for dataset, panel in panels.items():
        for (family, name), own in rows[rows["dataset"] == dataset].groupby(["family", "label"], sort=False):
            line(panel, own["update"], 100 * own["score_mean"], looks[family], name)
            band(panel, own["update"], 100 * own["lowest"], 100 * own["highest"], looks[family])
        few_ticks(panel, "y")
    update_axis(panels.values())
    name_axes(page, figure, panels.values(), "update", "score")
    name_lines(page, figure, list(panels.values()))
    return figure


def sample_efficiency_rows(tables: Tables) -> pd.DataFrame:
    """The IQM of all datasets with its interval after each evaluation."""
    rows = in_print(tables["sample_efficiency"], tables)
    return rows[["method", "family", "label", "update", "iqm", "low", "high"]]


def sample_efficiency(rows: pd.DataFrame, looks: dict[str, Look], page: Page) -> Figure:
    """IQM of all datasets against updates."""
    if rows.empty:
        return without_data(page, "no dataset with a finished run")
    figure, panels = panel_grid(page, [""])
    panel = panels[""]
    for (family, name), own in rows.groupby(["family", "label"], sort=False):
        line(panel, own["update"], 100 * own["iqm"], looks[family], name)
        band(panel, own["update"], 100 * own["low"], 100 * own["high"], looks[family])
    update_axis([panel])
    few_ticks(panel, "y")
    name_axes(page, figure, [panel], "update", "IQM score")
    name_lines(page, figure, [panel])
    return figure
