"""Scores and values against a swept setting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cqlbench import style
from cqlbench.figures.panels import COLUMNS, VALUES, legend, line, panel_grid, value_axis
from cqlbench.figures.tables import Tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def sweep(tables: Tables, axis: str) -> Figure:
    """Score (mean and range of the seeds), and predicted beside true value, against a swept setting, per dataset."""
    import pandas as pd

    table = tables["sweep"][tables["sweep"]["axis"] == axis].copy()
    # A switch is two words, not 0 and 1.
    switches = {"True": "true", "False": "false"}
    table["value"] = [switches.get(str(value), value) for value in table["value"]]
    # Words (null, sample) stand among the numbers; then the values are only ordered places.
    sizes = pd.to_numeric(table["value"], errors="coerce")
    words = sizes.isna().any()
    order = list(dict.fromkeys(table.sort_values("dataset", kind="stable")["value"].astype(str)))
    table["place"] = [order.index(str(value)) for value in table["value"]] if words else sizes
    datasets = sorted(table["dataset"].unique())
    rows = ["score", "value"] if table["predicted_value"].notna().any() else ["score"]
    keys: list[Any] = []
    for first in range(0, len(datasets), COLUMNS):
        part = datasets[first : first + COLUMNS]
        empty = [None] * (min(COLUMNS, len(datasets)) - len(part))
        for row in rows:
            keys += [*((dataset, row) for dataset in part), *empty]
    figure, panels = panel_grid(keys, columns=min(COLUMNS, len(datasets)))
    for (dataset, row), panel in panels.items():
        for family in style.ordered(table["family"]):
            own = table[(table["dataset"] == dataset) & (table["family"] == family)].sort_values("place")
            shade = style.colour(family)
            if row == "score":
                line(panel, own["place"], 100 * own["score_mean"], family, style.label(family, family))
                panel.vlines(own["place"], 100 * own["lowest"], 100 * own["highest"], color=shade, alpha=0.4)
            elif own["predicted_value"].notna().any():
                line(panel, own["place"], own["predicted_value"], family, style.label(family, family))
                panel.plot(own["place"], own["true_discounted_return"], "--", color=shade)
        if row == "value":
            value_axis(panel)
        else:
            panel.set_ylim(min(0, panel.get_ylim()[0]))
        if words:
            panel.set(xticks=range(len(order)), xticklabels=order, xlim=(-0.5, len(order) - 0.5))
        else:
            _size_axis(panel, sorted(sizes.unique()))
        panel.set(title=dataset, xlabel=axis, ylabel=row)
    legend(figure, panels, VALUES if "value" in rows else None)
    return figure


def _size_axis(panel: Axes, sizes: list[float]) -> None:
    """The swept values as ticks, on a logarithmic axis where they span a decade; zero stands left of the smallest."""
    from matplotlib.ticker import NullLocator

    positive = [size for size in sizes if size > 0]
    if positive and positive[-1] >= 8 * positive[0]:
        panel.set_xscale("symlog", linthresh=positive[0], linscale=0.5)
    panel.set_xticks(sizes, [f"{size:g}" for size in sizes])
    panel.xaxis.set_minor_locator(NullLocator())
    panel.margins(x=0.08)
