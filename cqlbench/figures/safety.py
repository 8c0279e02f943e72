"""How bad it gets: the worst episodes beside the mean, along cql_alpha where the suite sweeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cqlbench import style
from cqlbench.figures.panels import broken, paired_panels
from cqlbench.figures.tables import Tables
from cqlbench.statistics import TAIL

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# A score beyond these, as an interval of few seeds may have, is cut.
SCORES = (-0.25, 1.25)


def safety(tables: Tables) -> Figure:
    """Per dataset two panels with a row per headline method and value of cql_alpha: scores, and early terminations.

    A row shows the mean score (filled), the mean of the worst episodes of each seed with its interval (open) and the
    worst episode of all (bar). The values of one family's cql_alpha follow each other, joined by lines. All datasets
    share both axes.
    """
    from matplotlib.lines import Line2D

    table = _shown(tables)
    datasets = sorted(table["dataset"].unique())
    # In every dataset the same methods, in the same order.
    methods = table[table["dataset"] == datasets[0]]
    names = broken(style.label(row.method, row.family) for row in methods.itertuples(index=False))
    scores = table[["score_mean", "cvar", "cvar_low", "cvar_high", "worst"]].stack().dropna().clip(*SCORES)
    low, high = 100 * min([0, *scores]), 100 * max([0.1, *scores])
    margin = 0.05 * (high - low)
    figure, pairs = paired_panels(datasets, names)
    for dataset, (left, right) in pairs.items():
        own = table[table["dataset"] == dataset].reset_index(drop=True)
        for family in style.ordered(own["family"]):
            _family(left, right, own[own["family"] == family], family)
        left.set(xlabel="score (0: random, 100: expert)", xlim=(low - margin, high + margin))
        right.set(xlabel="episodes that ended early (%)", xlim=(-4, 104))
    tail = f"{100 * TAIL:g} %"
    entries = [
        Line2D([], [], color="0.4", marker="o", linestyle="none", label="mean"),
        Line2D(
            [], [], color="0.4", marker="o", markerfacecolor="white", label=f"mean of a seed's worst {tail} of episodes"
        ),
        Line2D([], [], color="0.4", marker="|", markersize=9, linestyle="none", label="worst episode of all seeds"),
    ]
    figure.legend(handles=entries, loc="outside lower center", ncols=len(entries))
    return figure


def _shown(tables: Tables) -> pd.DataFrame:
    """The methods to show, by family and cql_alpha."""
    table = tables["safety"][tables["safety"]["shown"].astype(bool)]
    order = {family: place for place, family in enumerate(style.ordered(table["family"]))}
    return table.assign(place=table["family"].map(order)).sort_values(["dataset", "place", "cql_alpha", "method"])


def _family(left: Axes, right: Axes, rows: pd.DataFrame, family: str) -> None:
    """A family's rows, at the heights of their index."""
    shade, marker = style.colour(family), style.marker(family)
    places = rows.index
    for column, stroke, face in (("score_mean", "-", shade), ("cvar", "--", "white")):
        left.plot(100 * rows[column], places, stroke, color=shade, linewidth=0.8, alpha=0.5)
        left.plot(100 * rows[column], places, marker, color=shade, markerfacecolor=face, markersize=6, zorder=3)
    left.hlines(places, 100 * rows["cvar_low"], 100 * rows["cvar_high"], color=shade, linewidth=2, alpha=0.5)
    left.plot(100 * rows["worst"], places, "|", color=shade, markersize=9)
    right.plot(100 * rows["terminated"], places, marker + "-", color=shade, markersize=6, linewidth=0.8)
    low, high = 100 * rows["terminated_lowest"], 100 * rows["terminated_highest"]
    right.hlines(places, low, high, color=shade, linewidth=2, alpha=0.5)
    for row in rows[rows["seeds"] == 0].itertuples():
        left.text(0.01, row.Index, "no finished run", transform=left.get_yaxis_transform(), va="center", fontsize=6.5)
