"""Methods beside each other after training: final scores, aggregates, profiles, probability of improvement."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cqlbench import style
from cqlbench.figures.panels import band, legend, panel_grid
from cqlbench.figures.tables import Tables, by_family, headline_families, headline_labels, headline_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def scores(tables: Tables) -> Figure:
    """Final score per dataset: mean bars, a dot per seed."""
    table, finals = headline_rows(tables["table"]), headline_rows(tables["finals"])
    families = style.ordered(table["family"])
    methods = headline_labels(table)
    figure, panels = panel_grid(sorted(table["dataset"].unique()), sharey=True, height=0.4 * len(families) + 0.9)
    for dataset, panel in panels.items():
        for place, family in enumerate(families):
            row = table[(table["dataset"] == dataset) & (table["family"] == family)].iloc[0]
            seeds = finals[(finals["dataset"] == dataset) & (finals["family"] == family)]["score"]
            panel.barh(place, 100 * row["score_mean"], color=style.colour(family), alpha=0.45, height=0.7)
            panel.plot(
                100 * seeds,
                _spread(place, len(seeds)),
                style.marker(family),
                color=style.colour(family),
                markeredgecolor="white",
                markeredgewidth=0.5,
                linestyle="none",
            )
            if seeds.empty:
                panel.text(0, place, " no finished run", va="center", color="0.4")
        panel.set(
            yticks=range(len(families)),
            yticklabels=_broken(methods[family] for family in families),
            xlabel="score",
            ylim=(len(families) - 0.5, -0.5),
        )
        panel.grid(False, axis="y")
        panel.set_xlim(min(0, panel.get_xlim()[0]), max(panel.get_xlim()[1], 10))
    return figure


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
            yticklabels=_broken(labels[family] for family in order),
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
    names = _broken(labels[family] for family in order)
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


def _spread(place: int, count: int) -> list[float]:
    """Heights around `place`, so that equal dots do not hide each other."""
    return [place + (0.3 * (index / (count - 1) - 0.5) if count > 1 else 0.0) for index in range(count)]


def _broken(labels: Iterable[str]) -> list[str]:
    """Labels with each setting on its own line."""
    return [label.replace(", ", "\n") for label in labels]
