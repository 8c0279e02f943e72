"""Predicted beside true value: at the last update, and over training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cqlbench import style
from cqlbench.figures.panels import legend, line, panel_grid, value_axis
from cqlbench.figures.tables import Tables, headline_labels, headline_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def final_values(tables: Tables) -> Figure:
    """Predicted beside true value of every run at its last update; above the diagonal is overestimation."""
    finals = tables["finals"].dropna(subset=["predicted_value", "true_discounted_return"])
    labels = headline_labels(tables["table"])
    figure, panels = panel_grid(sorted(tables["table"]["dataset"].unique()), height=3.0)
    for dataset, panel in panels.items():
        here = finals[finals["dataset"] == dataset]
        for family in style.ordered(here["family"]):
            own = here[here["family"] == family]
            for headline, part in own.groupby("headline"):
                panel.plot(
                    part["true_discounted_return"],
                    part["predicted_value"],
                    style.marker(family),
                    linestyle="none",
                    color=style.colour(family),
                    markerfacecolor=style.colour(family) if headline else "none",
                    label=labels[family] if headline else f"{style.label(family, family)}, other settings",
                )
        if here.empty:
            panel.text(0.5, 0.5, "no values", transform=panel.transAxes, ha="center", color="0.4")
            continue
        both = here[["predicted_value", "true_discounted_return"]].to_numpy()
        # Room for the words above the highest point.
        span = [min(float(both.min()), 0.0) * 2, max(float(both.max()), 1.0) * 30]
        panel.set(xscale="symlog", yscale="symlog", xlabel="true discounted return", ylabel="predicted value")
        panel.plot(span, span, color="0.3", linewidth=0.8, zorder=0)
        panel.fill_between(span, span, span[1], color="#D55E00", alpha=0.06, linewidth=0, zorder=0)
        panel.set(xlim=span, ylim=span)
        panel.text(0.04, 0.95, "overestimates", transform=panel.transAxes, va="top", color="#A04000")
        panel.text(0.96, 0.05, "lower bound holds", transform=panel.transAxes, ha="right", color="0.3")
    legend(figure, panels)
    return figure


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
