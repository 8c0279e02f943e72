"""How far every method is from CQL on each dataset, and whether these runs can tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cqlbench import style
from cqlbench.figures.pages import Page
from cqlbench.figures.panels import below, few_ticks, row_panels, without_data
from cqlbench.figures.tables import Tables, headline_methods, in_print
from cqlbench.statistics.paired import BETTER, WORSE

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

# An interval beyond these differences of scores, as three seeds may have, is cut.
DIFFERENCES = (-1.25, 1.25)


def comparison_rows(tables: Tables) -> pd.DataFrame:
    """Each headline method's score minus the first one's, which is CQL's where there is one, as comparisons.csv has it.

    Where that table has the pair the other way round, signs and verdict are turned.
    """
    import pandas as pd

    table = tables["comparisons"]
    reference, family = next(iter(headline_methods(tables).items()), ("", ""))
    turned = table[table["x"] == reference].rename(columns={"y": "method"}).drop(columns="x")
    turned = turned.assign(
        difference=-turned["difference"],
        low=-turned["high"],
        high=-turned["low"],
        verdict=turned["verdict"].replace({BETTER: WORSE, WORSE: BETTER}),
    )
    straight = table[table["y"] == reference].rename(columns={"x": "method"}).drop(columns="y")
    rows = in_print(pd.concat([straight, turned]).sort_values("dataset"), tables)
    rows = rows.sort_values("dataset", kind="stable", ignore_index=True).assign(
        reference=style.label(reference, family)
    )
    return rows[
        ["dataset", "method", "family", "label", "reference", "seeds", "difference", "low", "high", "p_holm", "verdict"]
    ]


def comparisons(rows: pd.DataFrame, looks: dict[str, style.Look], page: Page) -> Figure:
    """Per dataset a row per method: the difference of scores with its interval, filled where it is told from zero."""
    from matplotlib.lines import Line2D

    if rows.empty:
        return without_data(page, "one method: nothing to compare")
    names = dict(zip(rows["family"], rows["label"], strict=True))
    places = {family: place for place, family in enumerate(names)}
    shown = 100 * rows[["difference", "low", "high"]].clip(*DIFFERENCES)
    low, high = min(-10, shown.min().min()), max(10, shown.max().max())
    margin = 0.05 * (high - low)
    measure = f"score minus that of {rows['reference'].iloc[0]}"
    figure, blocks = row_panels(page, list(rows["dataset"].unique()), list(names.values()), [measure])
    for dataset, (panel,) in blocks.items():
        panel.axvline(0, color="0.2", linewidth=page.line / 2, zorder=1)
        for row in rows[rows["dataset"] == dataset].itertuples(index=False):
            place, look = places[row.family], looks[row.family]
            told = row.verdict in (BETTER, WORSE)
            panel.hlines(place, 100 * row.low, 100 * row.high, color=look.colour, linewidth=1.2 * page.line)
            panel.plot(
                100 * row.difference, place, marker=look.marker, color=look.colour,
                markerfacecolor=look.colour if told else "white", markersize=4.5 * page.line,
            )  # fmt: skip
        panel.set_xlim(low - margin, high + margin)
        few_ticks(panel, "x")
    grey: dict[str, Any] = {"color": "0.4", "marker": "o", "linestyle": "none"}
    handles = {
        "told apart, all comparisons corrected for": Line2D([], [], **grey),
        "no evidence either way": Line2D([], [], **grey, markerfacecolor="white"),
        "95 % interval of each alone": Line2D([], [], color="0.4", linewidth=1.2 * page.line),
    }
    below(page, figure, handles)
    return figure
