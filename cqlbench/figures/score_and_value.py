"""What a method achieves beside what it promises: the one figure that answers a suite's question."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING

from cqlbench import style
from cqlbench.figures.panels import broken, paired_panels
from cqlbench.figures.tables import Tables, headline_labels, headline_rows
from cqlbench.statistics import CONFIDENCE

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# An interval beyond these scores, as two seeds may have, is cut: it would leave the runs themselves no room.
SCORES = (-0.25, 1.25)
# Differences beyond EXPLODED make the value axis logarithmic outside of +-LINEAR.
EXPLODED, LINEAR = 1_000.0, 100.0
# More seeds than this without a result are counted in the row; the report names them all.
NAMED = 5
FANTASY = "#A04000"


def score_and_value(tables: Tables) -> Figure:
    """Per dataset two panels with one row per headline method: its final score, and predicted minus true value.

    A row shows the mean over seeds with its interval and a faint dot per seed, and says in words what it lacks: seeds
    without a result, an interval (one seed), a value. All datasets share both axes.
    """
    from matplotlib.lines import Line2D

    table, finals, holes = (headline_rows(tables[name]) for name in ("table", "finals", "holes"))
    families, datasets = style.ordered(table["family"]), sorted(table["dataset"].unique())
    labels = headline_labels(table)
    score_limits, value_limits = _score_limits(table, finals), _value_limits(table, finals)
    figure, pairs = paired_panels(datasets, broken(labels[family] for family in families))
    for dataset, (scores, values) in pairs.items():
        for place, family in enumerate(families):
            row = table[(table["dataset"] == dataset) & (table["family"] == family)].iloc[0]
            seeds = finals[(finals["dataset"] == dataset) & (finals["family"] == family)]
            _row(scores, place, family, 100 * row[["score_mean", "low", "high"]], 100 * seeds["score"])
            difference = row[["difference_mean", "difference_low", "difference_high"]]
            _row(values, place, family, difference, seeds["difference_mean"])
            lacks = holes[(holes["dataset"] == dataset) & (holes["method"] == row["method"])]
            _say(scores, place + 0.36, _shortcomings(row["seeds"], lacks[lacks["status"] != "done"]))
            if row["seeds"] and difference.isna().all():
                _say(values, place, "predicts no value")
        scores.set(xlabel="score (0: random, 100: expert)", xlim=score_limits)
        _value_axis(values, value_limits)
    entries = [
        Line2D([], [], color="0.4", marker="o", linestyle="none", label="mean"),
        Line2D([], [], color="0.4", linewidth=2, label=f"{100 * CONFIDENCE:g} % interval over seeds (Student's t)"),
        Line2D([], [], color="0.4", marker="o", markersize=4, alpha=0.4, linestyle="none", label="one seed"),
    ]
    figure.legend(handles=entries, loc="outside lower center", ncols=len(entries))
    return figure


def _row(panel: Axes, place: int, family: str, estimate: pd.Series, seeds: pd.Series) -> None:
    """A method's dots, interval and mean (`estimate`: mean, low, high); nothing where it has none."""
    mean, low, high = estimate
    shade, heights = style.colour(family), _spread(place, len(seeds))
    panel.plot(seeds, heights, "o", color=shade, alpha=0.4, markersize=4, markeredgewidth=0)
    panel.plot([low, high], [place, place], color=shade, linewidth=2, solid_capstyle="butt")
    panel.plot(
        mean, place, style.marker(family), color=shade, markersize=7, markeredgecolor="white", markeredgewidth=0.5
    )


def _spread(place: int, count: int) -> list[float]:
    """Heights around `place`, so that equal dots do not hide each other."""
    return [place + (0.36 * (index / (count - 1) - 0.5) if count > 1 else 0.0) for index in range(count)]


def _say(panel: Axes, height: float, words: str) -> None:
    """Small words at the left of a row."""
    panel.text(
        0.01,
        height,
        fill(words, 50),
        transform=panel.get_yaxis_transform(),
        va="center",
        fontsize=6.5,
        color="0.35",
        zorder=1.5,
        bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 0.5} if words else None,
    )


def _shortcomings(seeds: int, lacks: pd.DataFrame) -> str:
    """What a row lacks, in words: `failed: seed 1; one seed, no interval`."""
    words = []
    for status, own in lacks.groupby("status"):
        named = f"seed{'s' * (len(own) > 1)} {', '.join(str(seed) for seed in own['seed'])}"
        words.append(f"{status}: {named if len(own) <= NAMED else f'{len(own)} seeds'}")
    return "; ".join([*words, "one seed, no interval"] if seeds == 1 else words)


def _score_limits(table: pd.DataFrame, finals: pd.DataFrame) -> tuple[float, float]:
    """Room for every seed and for the part of every interval where scores lie."""
    bounds = table[["low", "high"]].stack().dropna().clip(*SCORES)
    shown = [0.0, 0.1, *finals["score"], *bounds]
    margin = 0.05 * (max(shown) - min(shown))
    return 100 * (min(shown) - margin), 100 * (max(shown) + margin)


def _value_limits(table: pd.DataFrame, finals: pd.DataFrame) -> tuple[float, float]:
    """Room for every seed and, unless some explode, for every interval; zero stands well inside."""
    seeds, bounds = finals["difference_mean"].dropna(), table[["difference_low", "difference_high"]].stack().dropna()
    reach = max(seeds.abs().max(), 1.0) if len(seeds) else 1.0
    if reach > EXPLODED:
        return 2 * min(seeds.min(), -LINEAR), 2 * max(seeds.max(), LINEAR)
    shown = [-reach / 3, reach / 3, *seeds, *bounds]
    return 1.1 * min(shown), 1.1 * max(shown)


def _value_axis(panel: Axes, limits: tuple[float, float]) -> None:
    """The axis of predicted minus true value, its two sides named."""
    panel.set(xlabel="predicted minus true value", xlim=limits)
    if max(-limits[0], limits[1]) > EXPLODED:
        panel.set_xscale("symlog", linthresh=LINEAR)
        panel.set_xlim(limits)
    panel.axvline(0, color="0.2", linewidth=1, zorder=1)
    panel.axvspan(0, limits[1], color="#D55E00", alpha=0.06, linewidth=0, zorder=0)
    panel.set_title("← below: bound", loc="left", fontsize=8, color="0.2")
    panel.set_title("above: fantasy →", loc="right", fontsize=8, color=FANTASY)
