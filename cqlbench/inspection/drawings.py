"""The page's two figures, out of the tables of pictures.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from cqlbench.figures.pages import Page
from cqlbench.figures.panels import panel_grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# One colour for counts, one scale for the rest; style.py's colours are the methods'.
COUNTS = "0.45"
SCALE = "cividis"


def draw_histograms(rows: pd.DataFrame, page: Page) -> Figure:
    """A panel per quantity of `histogram_rows`."""
    names = list(rows["panel"].unique())
    figure, panels = panel_grid(page, names, columns=len(names))
    for name, panel in panels.items():
        here = rows[rows["panel"] == name]
        panel.stairs(here["count"], [*here["low"], here["high"].iloc[-1]], fill=True, color=COUNTS)
        panel.grid(axis="x", visible=False)
        panel.set_ylim(0)
    panels[names[0]].set_ylabel("how many")
    return figure


def draw_coverage(states: pd.DataFrame, actions: pd.DataFrame, page: Page) -> Figure:
    """Left the sample of `state_rows`, coloured by return, right the shares of `action_rows`."""
    from matplotlib.colors import PowerNorm

    figure, panels = panel_grid(page, ["states", "actions"], columns=2)
    left, right = panels.values()
    points = left.scatter(
        states["first"], states["second"], c=states["return"], s=3, linewidths=0, cmap=SCALE, rasterized=True
    )
    left.set_xlabel("first principal component")
    left.set_ylabel("second")
    figure.colorbar(points, ax=left, label="return of its episode")
    shares = actions.pivot(index="action", columns="low", values="share")
    low, high = actions["low"].min(), actions["high"].max()
    # Shares at a bound are often many times those inside, which must be seen beside them.
    shown = right.imshow(
        shares, aspect="auto", cmap=SCALE, norm=PowerNorm(0.4, vmin=0), interpolation="nearest",
        extent=(low, high, len(shares) - 0.5, -0.5),
    )  # fmt: skip
    right.grid(visible=False)
    right.set_xlabel("between the bounds")
    right.set_ylabel("action")
    right.set_yticks(range(0, len(shares), max(1, len(shares) // 8)))
    figure.colorbar(shown, ax=right, label="share of the steps")
    return figure
