"""What the critics say over training: of the policy beside the truth, of the data's actions beside others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cqlbench.figures.pages import Page
from cqlbench.figures.panels import (
    VALUES,
    band,
    line,
    name_axes,
    name_lines,
    panel_grid,
    say,
    update_axis,
    value_axis,
    without_data,
)
from cqlbench.figures.tables import Tables, headline, per_dataset, whole
from cqlbench.style import Look

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GAPS = ("q_data_minus_policy", "q_data_minus_uniform")
NO_VALUES = "no finished run of a method with a value"
LEAVING = ("off_data", "impossible_optimism")


def value_curve_rows(tables: Tables) -> pd.DataFrame:
    """Predicted and true value after each evaluation."""
    rows = per_dataset(headline(tables["curves"]).dropna(subset=["predicted_value"]), tables)
    rows["update"] = whole(rows["update"])
    return rows[["dataset", "method", "family", "label", "update", "predicted_value", "true_discounted_return"]]


def value_curves(rows: pd.DataFrame, looks: dict[str, Look], page: Page) -> Figure:
    """Predicted (solid) and true (dashed) value against updates, per dataset."""
    if rows["update"].isna().all():
        return without_data(page, NO_VALUES)
    figure, panels = panel_grid(page, rows["dataset"].unique(), sharex=True)
    for dataset, panel in panels.items():
        here = rows[(rows["dataset"] == dataset) & rows["update"].notna()]
        for (family, name), own in here.groupby(["family", "label"], sort=False):
            line(panel, own["update"], own["predicted_value"], looks[family], name)
            panel.plot(own["update"], own["true_discounted_return"], "--", color=looks[family].colour)
        _value_axis(panel, here, "no values")
    update_axis(panels.values())
    name_axes(page, figure, panels.values(), "update", "value")
    name_lines(page, figure, list(panels.values()), VALUES)
    return figure


def action_gap_rows(tables: Tables) -> pd.DataFrame:
    """The critic's value of the data's actions minus that of others after each evaluation."""
    return _measured(tables, GAPS)


def action_gap(rows: pd.DataFrame, looks: dict[str, Look], page: Page) -> Figure:
    """How much more the critic gives the data's actions than the policy's (solid) and uniform ones (dashed)."""
    if rows["update"].isna().all():
        return without_data(page, NO_VALUES)
    figure, panels = _draw(rows, looks, page, GAPS)
    for dataset, panel in panels.items():
        panel.axhline(0, color="0.2", linewidth=page.line / 2, zorder=1)
        _value_axis(panel, _there(rows, dataset), "no values")
    name_axes(page, figure, panels.values(), "update", "Q of the data minus Q of others")
    name_lines(page, figure, list(panels.values()), ("minus the policy's actions", "minus uniform actions"))
    return figure


def off_data_rows(tables: Tables) -> pd.DataFrame:
    """Shares, 0-1, of actions off the data and of states with impossible optimism after each evaluation."""
    return _measured(tables, LEAVING)


def off_data(rows: pd.DataFrame, looks: dict[str, Look], page: Page) -> Figure:
    """Share of the policy's actions off the data (solid), and of states promised more than the data's best (dashed)."""
    if rows["update"].isna().all():
        return without_data(page, "no run has measured whether its policy leaves the data")
    figure, panels = _draw(rows, looks, page, LEAVING, scale=100)
    for dataset, panel in panels.items():
        panel.set(ylim=(-4, 104), yticks=[0, 50, 100])
        if _there(rows, dataset).empty:
            say(panel, "not measured")
    name_axes(page, figure, panels.values(), "update", "share (%)")
    name_lines(page, figure, list(panels.values()), ("actions off the data", "states with impossible optimism"))
    return figure


def _measured(tables: Tables, measures: tuple[str, str]) -> pd.DataFrame:
    """Two measures of diagnostics.csv at states of the data, with the lowest and the highest seed."""
    table = headline(tables["diagnostics"])
    rows = per_dataset(table[(table["start"] == "data") & table["measure"].isin(measures)], tables)
    rows["update"] = whole(rows["update"])
    return rows[["dataset", "method", "family", "label", "measure", "update", "mean", "lowest", "highest"]]


def _draw(
    rows: pd.DataFrame, looks: dict[str, Look], page: Page, measures: tuple[str, str], scale: float = 1
) -> tuple[Figure, dict[str, Axes]]:
    """Per dataset two measures against updates, the first with its lowest and highest seed."""
    figure, panels = panel_grid(page, rows["dataset"].unique(), sharex=True)
    for dataset, panel in panels.items():
        for (family, name), own in _there(rows, dataset).groupby(["family", "label"], sort=False):
            first, second = (own[own["measure"] == measure] for measure in measures)
            line(panel, first["update"], scale * first["mean"], looks[family], name)
            band(panel, first["update"], scale * first["lowest"], scale * first["highest"], looks[family])
            panel.plot(second["update"], scale * second["mean"], "--", color=looks[family].colour)
    update_axis(panels.values())
    return figure, panels


def _there(rows: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """The dataset's rows that have something to show."""
    return rows[(rows["dataset"] == dataset) & rows["update"].notna()]


def _value_axis(panel: Axes, rows: pd.DataFrame, nothing: str) -> None:
    if rows.empty:
        panel.set_yticks([])
        say(panel, nothing)
    else:
        value_axis(panel, "y")
