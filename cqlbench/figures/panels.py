"""What the figures are made of: a grid of panels, a family's line and band, the axis of values, labels, one legend."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from cqlbench import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# What solid and dashed lines are where both values are drawn.
VALUES = ("predicted value", "true value")
# Width and height of one panel, inches.
PANEL = (3.4, 2.6)
# More datasets than this go into further rows of panels; of pairs of panels, more than PAIRS.
COLUMNS, PAIRS = 4, 2


def panel_grid(
    keys: Any, columns: int = COLUMNS, width: float = PANEL[0], height: float = PANEL[1], sharey: bool = False
) -> tuple[Figure, dict[Any, Axes]]:
    """A grid of panels, one per key with the key as its title; a None and the places left over stay empty."""
    import matplotlib.pyplot as plt

    keys = list(keys)
    columns = min(columns, len(keys)) or 1
    lines = -(-len(keys) // columns) or 1
    figure, grid = plt.subplots(
        lines, columns, figsize=(width * columns, height * lines), squeeze=False, sharey=sharey, layout="constrained"
    )
    panels = {}
    for key, panel in zip_longest(keys, grid.flat):
        if key is None:
            panel.set_axis_off()
        else:
            panels[key] = panel
            panel.set_title(key if isinstance(key, str) else "")
    return figure, panels


def paired_panels(datasets: list[str], names: list[str]) -> tuple[Figure, dict[str, tuple[Axes, Axes]]]:
    """Per dataset two panels side by side under its name, with a row for each of `names` on their common y axis."""
    import matplotlib.pyplot as plt

    columns = min(PAIRS, len(datasets))
    lines = -(-len(datasets) // columns)
    # A row has room for every line of the longest name.
    height = max(0.36, *(0.16 * (name.count("\n") + 1) for name in names)) * len(names) + 1.25
    figure = plt.figure(figsize=(6.2 * columns, height * lines + 0.3), layout="constrained")
    pairs = {}
    for dataset, block in zip(datasets, figure.subfigures(lines, columns, squeeze=False).flat, strict=False):
        left, right = block.subplots(1, 2, sharey=True)
        block.suptitle(dataset, x=0.01, ha="left", fontsize=10, fontweight="bold")
        left.set(yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.4, -0.6))
        pairs[dataset] = (left, right)
    return figure, pairs


def line(panel: Axes, x: pd.Series, y: pd.Series, family: str, name: str) -> None:
    """A family's line, with its colour and markers; `name` goes into the legend."""
    panel.plot(
        x,
        y,
        style.marker(family) + "-",
        color=style.colour(family),
        label=name,
        markeredgecolor="white",
        markeredgewidth=0.5,
    )


def band(panel: Axes, x: pd.Series, low: pd.Series, high: pd.Series, family: str) -> None:
    """A family's shade from `low` to `high`."""
    panel.fill_between(x, low, high, color=style.colour(family), alpha=0.15, linewidth=0)


def value_axis(panel: Axes) -> None:
    """A logarithmic axis on both sides of zero; with more ticks where the values lie close together."""
    from matplotlib.ticker import FuncFormatter, SymmetricalLogLocator

    panel.set_yscale("symlog")
    low, high = panel.get_ylim()
    if high < 100 * max(low, 1):
        panel.yaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=1, subs=[1, 2, 5]))
        panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def broken(labels: Iterable[str]) -> list[str]:
    """Labels with each setting on its own line."""
    return [label.replace(", ", "\n") for label in labels]


def legend(figure: Figure, panels: dict[Any, Axes], strokes: tuple[str, str] | None = None) -> None:
    """One legend for all panels, under them; `strokes` says what solid and what dashed lines are."""
    from matplotlib.lines import Line2D

    entries: dict[str, Any] = {}
    for panel in panels.values():
        handles, labels = panel.get_legend_handles_labels()
        entries |= dict(zip(labels, handles, strict=True))
    if strokes:
        entries |= {name: Line2D([], [], color="0.4", ls=ls) for name, ls in zip(strokes, ("-", "--"), strict=True)}
    if entries:
        width, height = figure.get_size_inches()
        columns = max(1, min(len(entries), int(13 * width / (max(map(len, entries)) + 8))))
        # The legend gets its own room instead of the panels'.
        figure.set_size_inches(width, height + 0.2 * -(-len(entries) // columns))
        figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=columns)
