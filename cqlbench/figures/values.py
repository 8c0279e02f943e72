"""What the critics say over training: of the policy beside the truth, of the data's actions beside others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cqlbench import style
from cqlbench.figures.panels import VALUES, band, legend, line, panel_grid, value_axis
from cqlbench.figures.tables import Tables, headline_labels, headline_rows

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
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
        _say_where_empty(panel, here, "no values")
    legend(figure, panels, VALUES)
    return figure


def action_gap(tables: Tables) -> Figure:
    """How much more the critic gives the data's actions than the policy's (solid) and uniform ones (dashed)."""
    figure, panels = _measured(tables, "q_data_minus_policy", "q_data_minus_uniform", "no values")
    for panel in panels.values():
        panel.axhline(0, color="0.2", linewidth=1, zorder=1)
        panel.set(xlabel="update", ylabel="Q of the data minus Q of others")
        value_axis(panel)
    legend(figure, panels, ("minus the policy's actions", "minus uniform actions"))
    return figure


def off_data(tables: Tables) -> Figure:
    """Share of the policy's actions off the data (solid), and of states promised more than the data's best (dashed)."""
    figure, panels = _measured(tables, "off_data", "impossible_optimism", "not measured", scale=100)
    for panel in panels.values():
        panel.set(xlabel="update", ylabel="share (%)", ylim=(-4, 104))
    legend(figure, panels, ("actions off the data", "states with impossible optimism"))
    return figure


def _measured(tables: Tables, solid: str, dashed: str, nothing: str, scale: float = 1) -> tuple[Figure, dict]:
    """Per dataset two measures of diagnostics.csv against updates, the first with its lowest and highest seed."""
    table = headline_rows(tables["diagnostics"])
    table = table[table["start"] == "data"]
    labels = headline_labels(tables["table"])
    figure, panels = panel_grid(sorted(tables["table"]["dataset"].unique()))
    for dataset, panel in panels.items():
        here = table[(table["dataset"] == dataset) & table["measure"].isin([solid, dashed])]
        for family in style.ordered(here["family"]):
            own = here[here["family"] == family]
            first, second = (own[own["measure"] == measure] for measure in (solid, dashed))
            line(panel, first["update"], scale * first["mean"], family, labels[family])
            band(panel, first["update"], scale * first["lowest"], scale * first["highest"], family)
            panel.plot(second["update"], scale * second["mean"], "--", color=style.colour(family))
        _say_where_empty(panel, here, nothing)
    return figure, panels


def _say_where_empty(panel: Axes, rows: pd.DataFrame, words: str) -> None:
    if rows.empty:
        panel.text(0.5, 0.5, words, transform=panel.transAxes, ha="center", color="0.4")
