"""How bad it gets: the worst episodes beside the mean, along cql_alpha where the suite sweeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cqlbench import style
from cqlbench.figures.pages import Page
from cqlbench.figures.panels import below, few_ticks, row_panels, without_data
from cqlbench.figures.tables import Tables
from cqlbench.statistics import TAIL
from cqlbench.style import Look

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# A score beyond these, as an interval of few seeds may have, is cut.
SCORES = (-0.25, 1.25)


def safety_rows(tables: Tables) -> pd.DataFrame:
    """Each headline method and value of cql_alpha: mean, worst episodes, and the share of episodes that ended early."""
    table = tables["safety"][tables["safety"]["shown"].astype(bool)]
    rows = table.assign(
        label=[style.label(row.method, row.family) for row in table.itertuples(index=False)],
        place=table["family"].map(style.ordered(table["family"]).index).astype(int),
    ).sort_values(["dataset", "place", "cql_alpha", "method"], ignore_index=True)
    return rows[
        ["dataset", "method", "family", "label", "cql_alpha", "seeds", "score_mean", "cvar", "cvar_low", "cvar_high",
         "worst", "terminated", "terminated_lowest", "terminated_highest"]
    ]  # fmt: skip


def safety(rows: pd.DataFrame, looks: dict[str, Look], page: Page) -> Figure:
    """Per dataset two panels with a row per headline method and value of cql_alpha: scores, and early terminations.

    A row shows the mean score (filled), the mean of the worst episodes of each seed with its interval (open) and the
    worst episode of all (bar). The values of one family's cql_alpha follow each other, joined by lines. All datasets
    share both axes.
    """
    from matplotlib.lines import Line2D

    if not rows["seeds"].any():
        return without_data(page, "no episodes of a finished run")
    datasets = list(rows["dataset"].unique())
    # In every dataset the same methods, in the same order.
    names = list(rows.loc[rows["dataset"] == datasets[0], "label"])
    scores = rows[["score_mean", "cvar", "cvar_low", "cvar_high", "worst"]].stack().dropna().clip(*SCORES)
    low, high = 100 * min([0, *scores]), 100 * max([0.1, *scores])
    margin = 0.05 * (high - low)
    measures = ["score (0: random, 100: expert)", "episodes that ended early (%)"]
    figure, blocks = row_panels(page, datasets, names, measures)
    for dataset, (left, right) in blocks.items():
        own = rows[rows["dataset"] == dataset].reset_index(drop=True)
        for family, part in own.groupby("family", sort=False):
            _family(page, left, right, part, looks[str(family)])
        left.set_xlim(low - margin, high + margin)
        few_ticks(left, "x")
        right.set_xlim(-6, 106)
        right.set_xticks([0, 50, 100])
    grey: dict[str, Any] = {"color": "0.4", "linestyle": "none"}
    handles = {
        "mean": Line2D([], [], **grey, marker="o"),
        f"mean of a seed's worst {100 * TAIL:g} % of episodes": Line2D([], [], **grey, marker="o", mfc="white"),
        "worst episode of all seeds": Line2D([], [], **grey, marker="|", markersize=6 * page.line),
    }
    below(page, figure, handles)
    return figure


def _family(page: Page, left: Axes, right: Axes, rows: pd.DataFrame, look: Look) -> None:
    """A family's rows, at the heights of their index."""
    shade, places, size = look.colour, rows.index, 4 * page.line
    for column, stroke, face in (("score_mean", "-", shade), ("cvar", "--", "white")):
        left.plot(100 * rows[column], places, stroke, color=shade, linewidth=0.6 * page.line, alpha=0.5)
        left.plot(
            100 * rows[column], places, ls="", marker=look.marker, color=shade, mfc=face, markersize=size, zorder=3
        )
    thick: dict[str, Any] = {"color": shade, "linewidth": 1.5 * page.line, "alpha": 0.5}
    left.hlines(places, 100 * rows["cvar_low"], 100 * rows["cvar_high"], **thick)
    left.plot(100 * rows["worst"], places, "|", color=shade, markersize=6 * page.line)
    right.plot(100 * rows["terminated"], places, marker=look.marker, color=shade, markersize=size, lw=0.6 * page.line)
    right.hlines(places, 100 * rows["terminated_lowest"], 100 * rows["terminated_highest"], **thick)
    for row in rows[rows["seeds"] == 0].itertuples():
        left.text(
            0.01, row.Index, "no finished run", transform=left.get_yaxis_transform(), va="center",
            fontsize=page.remarks,
        )  # fmt: skip
