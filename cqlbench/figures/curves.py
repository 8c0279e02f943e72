"""Scores over training: per dataset, and over all datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cqlbench import style
from cqlbench.figures.panels import band, legend, line, panel_grid
from cqlbench.figures.tables import Tables, by_family, headline_families, headline_labels, headline_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def learning_curves(tables: Tables) -> Figure:
    """Mean score against updates, per dataset; the band runs from the lowest seed to the highest.

    Not an interval: with three seeds Student's would be wider than all there is to see.
    """
    curves = headline_rows(tables["curves"])
    labels = headline_labels(tables["table"])
    figure, panels = panel_grid(sorted(tables["table"]["dataset"].unique()))
    for dataset, panel in panels.items():
        for family in style.ordered(curves["family"]):
            own = curves[(curves["dataset"] == dataset) & (curves["family"] == family)]
            line(panel, own["update"], 100 * own["score_mean"], family, labels[family])
            band(panel, own["update"], 100 * own["lowest"], 100 * own["highest"], family)
        panel.set(xlabel="update", ylabel="score")
    legend(figure, panels)
    return figure


def sample_efficiency(tables: Tables) -> Figure:
    """IQM of all datasets against updates."""
    table, methods = tables["sample_efficiency"], headline_families(tables)
    figure, panels = panel_grid([""], width=6.0, height=3.4)
    for family, own, name in by_family(table, methods, tables):
        line(panels[""], own["update"], 100 * own["iqm"], family, name)
        band(panels[""], own["update"], 100 * own["low"], 100 * own["high"], family)
    panels[""].set(xlabel="update", ylabel="IQM score")
    legend(figure, panels)
    return figure
