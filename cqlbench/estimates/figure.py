"""Each method's value by its own critic and by fitted Q evaluation, beside the truth where that is known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cqlbench import style
from cqlbench.estimates.tables import ESTIMATES
from cqlbench.figures.draw import FOLDER
from cqlbench.figures.pages import PAPER, Page, drawing_style, save_figure
from cqlbench.figures.panels import panel_grid, row_names, set_rows
from cqlbench.scores import read_table, write_table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

NAME = "estimates"
# Marker of each value and whether it is filled; the truth is a line.
MARKERS = {"predicted_value": ("o", "none"), "fqe_value": ("D", "full")}
NAMES = {"predicted_value": "by its own critic", "fqe_value": "by fitted Q evaluation", "true_value": "in truth"}


def draw_figure(folder: Path, page: Page = PAPER) -> None:
    """Draws `folder`/estimates.csv into `folder`/figures, with its data beside it.

    Raises UserError where `cqlbench estimates` has not made it.
    """
    table = read_table(folder / ESTIMATES, "`cqlbench estimates`")
    data = folder / FOLDER / f"{NAME}.csv"
    write_table(table[["dataset", "method", "family", "seed", *NAMES]], data)
    with drawing_style(page):
        save_figure(estimates(read_table(data), page), folder / FOLDER, NAME)


def estimates(rows: pd.DataFrame, page: Page) -> Figure:
    """A panel per dataset and a row per method; every seed has its own marks. The axis is logarithmic beyond 100."""
    methods = rows.drop_duplicates("method").set_index("method")["family"]
    order = style.ordered(methods)
    names = sorted(methods.index, key=lambda method: (order.index(methods[method]), method))
    looks = style.looks(methods)
    figure, panels = panel_grid(page, rows["dataset"].unique())
    for dataset, panel in panels.items():
        here = rows[rows["dataset"] == dataset]
        for place, method in enumerate(names):
            own = here[here["method"] == method]
            colour = looks[methods[method]].colour
            panel.plot(own["true_value"], [place] * len(own), "|", color="0.1", markersize=4 * page.font / 2)
            for lift, (measure, (marker, fill)) in zip((-0.14, 0.14), MARKERS.items(), strict=True):
                panel.plot(own[measure], [place + lift] * len(own), marker, color=colour, fillstyle=fill)
        panel.set_xscale("symlog", linthresh=100)
        set_rows(panel, row_names(page, [style.label(name, methods[name]) for name in names], page.width))
        panel.set_xlabel("discounted value of initial states")
    first = next(iter(panels.values()))
    for (measure, name), (marker, fill) in zip(NAMES.items(), [*MARKERS.values(), ("|", "full")], strict=True):
        if rows[measure].notna().any():
            first.plot([], [], marker, fillstyle=fill, color="0.3", label=name)
    figure.legend(loc="outside lower center", ncols=3)
    return figure
