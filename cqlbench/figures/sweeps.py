"""Scores and values against a swept setting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cqlbench import style
from cqlbench.figures.pages import Page
from cqlbench.figures.panels import (
    VALUES,
    columns_for,
    few_ticks,
    legend,
    line,
    name_axes,
    panel_grid,
    say,
    value_axis,
)
from cqlbench.figures.tables import Tables
from cqlbench.style import Look

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def sweep_rows(tables: Tables, axis: str) -> pd.DataFrame:
    """Score (mean, lowest and highest seed) and values at each value of the setting."""
    rows = tables["sweep"][tables["sweep"]["axis"] == axis]
    # A switch is two words, not 0 and 1.
    switches = {"True": "true", "False": "false"}
    rows = rows.assign(
        value=[switches.get(str(value), value) for value in rows["value"]],
        label=[style.label(family, family) for family in rows["family"]],
        place=rows["family"].map(style.ordered(rows["family"]).index).astype(int),
    ).sort_values(["dataset", "place"], kind="stable", ignore_index=True)
    return rows[
        ["dataset", "family", "label", "axis", "value", "score_mean", "lowest", "highest", "predicted_value",
         "true_discounted_return"]
    ]  # fmt: skip


def sweep(rows: pd.DataFrame, looks: dict[str, Look], page: Page) -> Figure:
    """Score (mean and range of the seeds), and predicted beside true value, against a swept setting, per dataset."""
    import pandas as pd

    # Words (null, sample) stand among the numbers; then the values are only ordered places.
    sizes = pd.to_numeric(rows["value"], errors="coerce")
    words = bool(sizes.isna().any())
    order = list(dict.fromkeys(rows["value"].astype(str)))
    rows = rows.assign(place=[order.index(str(value)) for value in rows["value"]] if words else sizes)
    datasets = list(rows["dataset"].unique())
    kinds = ["score", "value"] if rows["predicted_value"].notna().any() else ["score"]
    # Score above value, or beside it where there is one dataset.
    columns = columns_for(len(datasets)) if len(datasets) > 1 else len(kinds)
    keys: list[tuple[str, str] | None] = []
    for first in range(0, len(datasets), columns):
        part = datasets[first : first + columns]
        for kind in kinds:
            keys += [*((dataset, kind) for dataset in part), *[None] * (columns - len(part))]
    if len(datasets) == 1:
        keys = [(datasets[0], kind) for kind in kinds]
    titles = {(dataset, "score"): dataset for dataset in datasets}
    figure, panels = panel_grid(page, keys, columns=columns, titles=titles, sharex=True)
    for (dataset, kind), panel in panels.items():
        here = rows[rows["dataset"] == dataset]
        for (family, name), own in here.groupby(["family", "label"], sort=False):
            own, look = own.sort_values("place"), looks[family]
            if kind == "score":
                line(panel, own["place"], 100 * own["score_mean"], look, name)
                panel.vlines(own["place"], 100 * own["lowest"], 100 * own["highest"], color=look.colour, alpha=0.4)
            elif own["predicted_value"].notna().any():
                line(panel, own["place"], own["predicted_value"], look, name)
                panel.plot(own["place"], own["true_discounted_return"], "--", color=look.colour)
        if kind == "value" and here["predicted_value"].isna().all():
            say(panel, "no values")
        elif kind == "value":
            value_axis(panel, "y")
        else:
            panel.set_ylim(min(0, panel.get_ylim()[0]))
            few_ticks(panel, "y")
        if words:
            panel.set(xticks=range(len(order)), xticklabels=order, xlim=(-0.5, len(order) - 0.5))
        else:
            _size_axis(panel, sorted(sizes.unique()))
        if dataset in datasets[::columns]:
            panel.set_ylabel(kind)
    name_axes(page, figure, panels.values(), rows["axis"].iloc[0], None)
    legend(page, figure, panels.values(), VALUES if "value" in kinds else None)
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
