"""Methods beside each other over all datasets: aggregates, profiles, probability of improvement."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cqlbench import style
from cqlbench.figures.panels import band, broken, legend, panel_grid
from cqlbench.figures.tables import Tables, by_family, headline_families, headline_labels

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def aggregates(tables: Tables) -> Figure:
    """Four summaries over all datasets, a point and an interval per method."""
    table, methods = tables["aggregates"], headline_families(tables)
    statistics = ["IQM", "Median", "Mean", "Optimality Gap"]
    figure, panels = panel_grid(statistics, sharey=True, height=0.4 * len(methods) + 1.0, width=2.3)
    order = style.ordered(methods.values())
    labels = headline_labels(tables["table"])
    for statistic, panel in panels.items():
        for row in table[table["statistic"] == statistic].itertuples(index=False):
            family = methods[row.method]
            place, shade = order.index(family), style.colour(family)
            panel.plot(
                [100 * row.low, 100 * row.high],
                [place, place],
                color=shade,
                linewidth=7,
                alpha=0.35,
                solid_capstyle="butt",
            )
            panel.plot(100 * row.estimate, place, style.marker(family), color=shade)
        better = "lower is better" if statistic == "Optimality Gap" else "higher is better"
        panel.set(
            title=statistic,
            xlabel=f"score\n({better})",
            yticks=range(len(order)),
            ylim=(len(order) - 0.5, -0.5),
            yticklabels=broken(labels[family] for family in order),
        )
    return figure


def profile(tables: Tables) -> Figure:
    """Fraction of runs above each score."""
    table, methods = tables["profiles"], headline_families(tables)
    figure, panels = panel_grid([""], width=6.0, height=3.4)
    for family, own, name in by_family(table, methods, tables):
        panels[""].plot(100 * own["tau"], own["fraction"], color=style.colour(family), label=name, linewidth=2)
        band(panels[""], 100 * own["tau"], own["low"], own["high"], family)
    panels[""].set(
        xlabel="score $\\tau$", ylabel="fraction of runs with score above $\\tau$", ylim=(-0.02, 1.02), xlim=(0, 120)
    )
    legend(figure, panels)
    return figure


def improvement(tables: Tables) -> Figure:
    """Probability that a run of the row's method beats a run of the column's."""
    table, methods = tables["improvement"], headline_families(tables)
    order, labels = style.ordered(methods.values()), headline_labels(tables["table"])
    figure, panels = panel_grid([""], width=max(1.35 * len(order) + 1.2, 4), height=max(0.7 * len(order) + 1, 2))
    panel = panels[""]
    grid = [[float("nan")] * len(order) for _ in order]
    for row in table.itertuples(index=False):
        y, x = order.index(methods[row.x]), order.index(methods[row.y])
        grid[y][x] = row.probability
        interval = f"\n[{row.low:.2f}, {row.high:.2f}]" if row.low == row.low else ""
        text = f"{row.probability:.2f}{interval}" if row.probability == row.probability else "no runs"
        panel.text(
            x,
            y,
            text,
            ha="center",
            va="center",
            fontsize=8,
            color="white" if abs(row.probability - 0.5) > 0.35 else "black",
        )
    panel.imshow(grid, cmap="PuOr", vmin=0, vmax=1, aspect="auto")
    names = broken(labels[family] for family in order)
    panel.set(
        xticks=range(len(order)),
        yticks=range(len(order)),
        xticklabels=names,
        yticklabels=names,
        xlabel="column method Y",
        ylabel="row method X",
        title="P(a run of X scores above a run of Y)",
    )
    panel.grid(False)
    return figure
