"""Learned Q beside true Q over the action axis: one row of panels per method, one panel per state."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cqlbench import style
from cqlbench.figures.draw import FOLDER
from cqlbench.figures.pages import PAPER, drawing_style, save_figure
from cqlbench.figures.panels import legend, panel_grid
from cqlbench.scores import read_table
from cqlbench.theory.action_values import CURVES, PEAKS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAME = "action-values"
# The data's density fills this share of a panel's height.
DENSITY_HEIGHT = 0.4


def draw_figure(folder: Path) -> None:
    """Draws the tables of `cqlbench action-values` in `folder` into `folder`/figures.

    Raises UserError where they have not been made.
    """
    curves, peaks = (read_table(folder / name, "`cqlbench action-values`") for name in (CURVES, PEAKS))
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    with drawing_style():
        save_figure(action_values(curves, peaks), folder / FOLDER, NAME)


def action_values(curves: pd.DataFrame, peaks: pd.DataFrame) -> Figure:
    """Every seed has its own lines: the critic's Q with its peak marked, and the true Q of its own policy.

    Without a finished run of a method with a value there are no panels, and the figure says so.
    """
    families = curves.drop_duplicates("method").set_index("method")["family"].to_dict()
    order = style.ordered(families.values())
    methods = sorted(families, key=lambda method: (order.index(families[method]), method))
    states = sorted(curves["state"].unique())
    figure, panels = panel_grid(PAPER, [(method, state) for method in methods for state in states], columns=len(states))
    if not panels:
        figure.text(0.5, 0.5, "no finished run of a method with a value", ha="center", color="0.4")
        return figure
    for (method, state), panel in panels.items():
        own, marks = (table[(table["method"] == method) & (table["state"] == state)] for table in (curves, peaks))
        if state != states[0]:
            panel.sharey(panels[method, states[0]])
        _lines(panel, own, marks, families[method])
        panel.set(title=f"{style.label(method, families[method])}: s = {state:g}", xlabel="action", xlim=(-1, 1))
    for method in methods:
        panels[method, states[0]].set_ylabel("Q(s, a)")
    first = panels[methods[0], states[0]]
    first.plot([], [], "o-", color="0.3", label="learned Q of each seed, its peak")
    first.plot([], [], "--", color="0.3", label="true Q of its policy")
    legend(PAPER, figure, panels.values())
    return figure


def _lines(panel: Axes, own: pd.DataFrame, marks: pd.DataFrame, family: str) -> None:
    one = own[own["seed"] == own["seed"].min()]
    panel.fill_between(
        one["action"],
        DENSITY_HEIGHT * one["behaviour_density"] / one["behaviour_density"].max(),
        transform=panel.get_xaxis_transform(),
        color="0.85",
        linewidth=0,
        zorder=0,
        label="density of the data's actions",
    )
    panel.plot(one["action"], one["optimal_value"], ":", color="black", label="optimal Q")
    colour = style.colour(family)
    for _, seed in own.groupby("seed"):
        panel.plot(seed["action"], seed["true_value"], "--", color="0.3", linewidth=0.8)
        panel.plot(seed["action"], seed["predicted_value"], "-", color=colour, linewidth=1)
    panel.plot(marks["peak_action"], marks["peak_predicted"], "o", color=colour, markeredgecolor="white")
