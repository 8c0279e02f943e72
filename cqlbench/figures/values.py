"""Predicted beside true value over training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cqlbench import style
from cqlbench.figures.panels import legend, line, panel_grid, value_axis
from cqlbench.figures.tables import Tables, headline_labels, headline_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def value_curves(tables: Tables) -> Figure:
    """Predicted (solid) and true (dashed) value against updates, per dataset."""
    curves = headline_rows(tables["curves"]).dropna(subset=["predicted_value"])
    labels = headline_labels(tables["table"])
    figure, panels = panel_grid(sorted(tables["table"]["dataset"].unique()))
    for dataset, panel in panels.items():
        here = curves[curves["dataset"] == dataset]
        for family in style.ordered(here["family"]):
            own = here[here["family"] == family]
            line(panel, own["update"], own["predicted_value"], family, labels[family])
            panel.plot(own["update"], own["true_discounted_return"], "--", color=style.colour(family))
        panel.set(xlabel="update", ylabel="value")
        value_axis(panel)
        if here.empty:
            panel.text(0.5, 0.5, "no values", transform=panel.transAxes, ha="center", color="0.4")
    legend(figure, panels, values=True)
    return figure
