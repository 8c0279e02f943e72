"""From a suite's statistics tables to its figures, each as SVG and PNG. A figure reads tables and never computes one.

Scores are stored 0-1 and drawn x100. The bytes depend on the tables only: no date, no random ids.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cqlbench import style
from cqlbench.scores import read_table
from cqlbench.statistics import FOLDER as STATISTICS
from cqlbench.writers import aside

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FOLDER = "figures"
SUFFIXES = ("svg", "png")
# Width and height of one panel, inches.
PANEL = (3.4, 2.6)
# More datasets than this go into further rows of panels.
COLUMNS = 4

Tables = dict[str, "pd.DataFrame"]


def figure_names(axes: list[str]) -> list[str]:
    """The figures of a suite that sweeps `axes` (`suite.axes`), without suffix, in the report's order."""
    return [*DRAWINGS, *(f"sweep-{axis}" for axis in sorted(axes))]


def draw_figures(folder: Path) -> None:
    """Draws every table of `folder`/statistics into `folder`/figures; a figure without data says so."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import seaborn as sns

    names = ("table", "finals", "aggregates", "profiles", "improvement", "sample_efficiency", "curves", "sweep")
    tables = {name: read_table(folder / STATISTICS / f"{name}.csv") for name in names}
    axes = sorted(tables["sweep"]["axis"].unique())
    drawings = DRAWINGS | {f"sweep-{axis}": lambda tables, axis=axis: _sweep(tables, axis) for axis in axes}
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    with (
        sns.axes_style("whitegrid", {"axes.edgecolor": "0.6", "grid.color": "0.9"}),
        matplotlib.rc_context(
            {
                "svg.hashsalt": "cqlbench",
                "legend.frameon": False,
                "font.size": 9,
                "axes.titlesize": 9,
                "lines.markersize": 5,
            }
        ),
    ):
        for name, draw in drawings.items():
            figure = draw(tables)
            for suffix in SUFFIXES:
                path = folder / FOLDER / f"{name}.{suffix}"
                metadata: dict[str, Any] = {"Date": None} if suffix == "svg" else {"Software": None}
                with aside(path) as beside:
                    figure.savefig(beside, format=suffix, dpi=150, bbox_inches="tight", metadata=metadata)
            plt.close(figure)


def _scores(tables: Tables) -> Figure:
    """Final score per dataset: mean bars, a dot per seed."""
    table, finals = _headline(tables["table"]), _headline(tables["finals"])
    families = style.ordered(table["family"])
    methods = _labels(table)
    figure, panels = _panels(sorted(table["dataset"].unique()), sharey=True, height=0.4 * len(families) + 0.9)
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


def _aggregates(tables: Tables) -> Figure:
    """Four summaries over all datasets, a point and an interval per method."""
    table, methods = tables["aggregates"], _families(tables)
    statistics = ["IQM", "Median", "Mean", "Optimality Gap"]
    figure, panels = _panels(statistics, sharey=True, height=0.4 * len(methods) + 1.0, width=2.3)
    order = style.ordered(methods.values())
    labels = _labels(tables["table"])
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


def _profile(tables: Tables) -> Figure:
    """Fraction of runs above each score."""
    table, methods = tables["profiles"], _families(tables)
    figure, panels = _panels([""], width=6.0, height=3.4)
    for family, own, name in _by_family(table, methods, tables):
        panels[""].plot(100 * own["tau"], own["fraction"], color=style.colour(family), label=name, linewidth=2)
        _band(panels[""], 100 * own["tau"], own["low"], own["high"], family)
    panels[""].set(
        xlabel="score $\\tau$", ylabel="fraction of runs with score above $\\tau$", ylim=(-0.02, 1.02), xlim=(0, 120)
    )
    _legend(figure, panels)
    return figure


def _improvement(tables: Tables) -> Figure:
    """Probability that a run of the row's method beats a run of the column's."""
    table, methods = tables["improvement"], _families(tables)
    order, labels = style.ordered(methods.values()), _labels(tables["table"])
    figure, panels = _panels([""], width=max(1.35 * len(order) + 1.2, 4), height=max(0.7 * len(order) + 1, 2))
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


def _sample_efficiency(tables: Tables) -> Figure:
    """IQM of all datasets against updates."""
    table, methods = tables["sample_efficiency"], _families(tables)
    figure, panels = _panels([""], width=6.0, height=3.4)
    for family, own, name in _by_family(table, methods, tables):
        _line(panels[""], own["update"], 100 * own["iqm"], family, name)
        _band(panels[""], own["update"], 100 * own["low"], 100 * own["high"], family)
    panels[""].set(xlabel="update", ylabel="IQM score")
    _legend(figure, panels)
    return figure


def _learning_curves(tables: Tables) -> Figure:
    """Mean score against updates, per dataset; the band runs from the lowest seed to the highest.

    Not an interval: with three seeds Student's would be wider than all there is to see.
    """
    curves = _headline(tables["curves"])
    labels = _labels(tables["table"])
    figure, panels = _panels(sorted(tables["table"]["dataset"].unique()))
    for dataset, panel in panels.items():
        for family in style.ordered(curves["family"]):
            own = curves[(curves["dataset"] == dataset) & (curves["family"] == family)]
            _line(panel, own["update"], 100 * own["score_mean"], family, labels[family])
            _band(panel, own["update"], 100 * own["lowest"], 100 * own["highest"], family)
        panel.set(xlabel="update", ylabel="score")
    _legend(figure, panels)
    return figure


def _values(tables: Tables) -> Figure:
    """Predicted beside true value of every run at its last update; above the diagonal is overestimation."""
    finals = tables["finals"].dropna(subset=["predicted_value", "true_discounted_return"])
    labels = _labels(tables["table"])
    figure, panels = _panels(sorted(tables["table"]["dataset"].unique()), height=3.0)
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
    _legend(figure, panels)
    return figure


def _value_curves(tables: Tables) -> Figure:
    """Predicted (solid) and true (dashed) value against updates, per dataset."""
    curves = _headline(tables["curves"]).dropna(subset=["predicted_value"])
    labels = _labels(tables["table"])
    figure, panels = _panels(sorted(tables["table"]["dataset"].unique()))
    for dataset, panel in panels.items():
        here = curves[curves["dataset"] == dataset]
        for family in style.ordered(here["family"]):
            own = here[here["family"] == family]
            _line(panel, own["update"], own["predicted_value"], family, labels[family])
            panel.plot(own["update"], own["true_discounted_return"], "--", color=style.colour(family))
        panel.set(xlabel="update", ylabel="value")
        _value_axis(panel)
        if here.empty:
            panel.text(0.5, 0.5, "no values", transform=panel.transAxes, ha="center", color="0.4")
    _legend(figure, panels, values=True)
    return figure


def _sweep(tables: Tables, axis: str) -> Figure:
    """Score (mean and range of the seeds), and predicted beside true value, against a swept setting, per dataset."""
    import pandas as pd

    table = tables["sweep"][tables["sweep"]["axis"] == axis].copy()
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
    figure, panels = _panels(keys, columns=min(COLUMNS, len(datasets)))
    for (dataset, row), panel in panels.items():
        for family in style.ordered(table["family"]):
            own = table[(table["dataset"] == dataset) & (table["family"] == family)].sort_values("place")
            shade = style.colour(family)
            if row == "score":
                _line(panel, own["place"], 100 * own["score_mean"], family, style.label(family, family))
                panel.vlines(own["place"], 100 * own["lowest"], 100 * own["highest"], color=shade, alpha=0.4)
            elif own["predicted_value"].notna().any():
                _line(panel, own["place"], own["predicted_value"], family, style.label(family, family))
                panel.plot(own["place"], own["true_discounted_return"], "--", color=shade)
        if row == "value":
            _value_axis(panel)
        else:
            panel.set_ylim(min(0, panel.get_ylim()[0]))
        if words:
            panel.set(xticks=range(len(order)), xticklabels=order, xlim=(-0.5, len(order) - 0.5))
        else:
            _size_axis(panel, sorted(sizes.unique()))
        panel.set(title=dataset, xlabel=axis, ylabel=row)
    _legend(figure, panels, values="value" in rows)
    return figure


DRAWINGS: dict[str, Callable[[Tables], Figure]] = {
    "scores": _scores,
    "values": _values,
    "aggregates": _aggregates,
    "profile": _profile,
    "improvement": _improvement,
    "learning-curves": _learning_curves,
    "value-curves": _value_curves,
    "sample-efficiency": _sample_efficiency,
}


def _panels(
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


def _headline(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["headline"].astype(bool)]


def _families(tables: Tables) -> dict[str, str]:
    """The family of each headline method."""
    table = _headline(tables["table"])
    return dict(zip(table["method"], table["family"], strict=True))


def _labels(table: pd.DataFrame) -> dict[str, str]:
    """Each family's headline method in print."""
    table = _headline(table)
    return {row.family: style.label(row.method, row.family) for row in table.itertuples(index=False)}


def _by_family(table: pd.DataFrame, methods: dict[str, str], tables: Tables) -> list[tuple[str, pd.DataFrame, str]]:
    """(family, its rows, its name in print) in the order of every figure."""
    labels = _labels(tables["table"])
    families = table["method"].map(methods)
    return [(family, table[families == family], labels[family]) for family in style.ordered(families)]


def _line(panel: Axes, x: pd.Series, y: pd.Series, family: str, name: str) -> None:
    panel.plot(
        x,
        y,
        style.marker(family) + "-",
        color=style.colour(family),
        label=name,
        markeredgecolor="white",
        markeredgewidth=0.5,
    )


def _band(panel: Axes, x: pd.Series, low: pd.Series, high: pd.Series, family: str) -> None:
    panel.fill_between(x, low, high, color=style.colour(family), alpha=0.15, linewidth=0)


def _spread(place: int, count: int) -> list[float]:
    """Heights around `place`, so that equal dots do not hide each other."""
    return [place + (0.3 * (index / (count - 1) - 0.5) if count > 1 else 0.0) for index in range(count)]


def _broken(labels: Iterable[str]) -> list[str]:
    """Labels with each setting on its own line."""
    return [label.replace(", ", "\n") for label in labels]


def _size_axis(panel: Axes, sizes: list[float]) -> None:
    """The swept values as ticks, on a logarithmic axis where they span a decade; zero stands left of the smallest."""
    from matplotlib.ticker import NullLocator

    positive = [size for size in sizes if size > 0]
    if positive and positive[-1] >= 8 * positive[0]:
        panel.set_xscale("symlog", linthresh=positive[0], linscale=0.5)
    panel.set_xticks(sizes, [f"{size:g}" for size in sizes])
    panel.xaxis.set_minor_locator(NullLocator())
    panel.margins(x=0.08)


def _value_axis(panel: Axes) -> None:
    """A logarithmic axis on both sides of zero; with more ticks where the values lie close together."""
    from matplotlib.ticker import FuncFormatter, SymmetricalLogLocator

    panel.set_yscale("symlog")
    low, high = panel.get_ylim()
    if high < 100 * max(low, 1):
        panel.yaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=1, subs=[1, 2, 5]))
        panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _legend(figure: Figure, panels: dict[Any, Axes], values: bool = False) -> None:
    """One legend for all panels, under them; `values` explains solid and dashed lines."""
    from matplotlib.lines import Line2D

    entries: dict[str, Any] = {}
    for panel in panels.values():
        handles, labels = panel.get_legend_handles_labels()
        entries |= dict(zip(labels, handles, strict=True))
    if values:
        entries |= {"predicted value": Line2D([], [], color="0.4"), "true value": Line2D([], [], color="0.4", ls="--")}
    if entries:
        width, height = figure.get_size_inches()
        columns = max(1, min(len(entries), int(13 * width / (max(map(len, entries)) + 8))))
        # The legend gets its own room instead of the panels'.
        figure.set_size_inches(width, height + 0.2 * -(-len(entries) // columns))
        figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=columns)
