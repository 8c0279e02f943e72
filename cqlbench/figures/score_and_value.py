"""What a method achieves beside what it promises: the one figure that answers a suite's question."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cqlbench.figures.pages import Page
from cqlbench.figures.panels import below, few_ticks, row_panels, value_axis
from cqlbench.figures.tables import Tables, headline, in_print, per_dataset
from cqlbench.figures.texts import wrapped
from cqlbench.statistics import CONFIDENCE
from cqlbench.style import Look

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
FANTASY = "#D55E00"


def score_and_value_rows(tables: Tables) -> pd.DataFrame:
    """Per dataset and method a row without a seed, the mean over seeds with its interval, and one row per seed.

    `lacks` says in words what a method has no result of.
    """
    import pandas as pd

    names = {"score_mean": "score", "difference_mean": "difference"}
    means = per_dataset(headline(tables["table"]), tables)
    holes = headline(tables["holes"])
    holes = holes[holes["status"] != "done"]
    means["lacks"] = [
        _shortcomings(row.seeds, holes[(holes["dataset"] == row.dataset) & (holes["method"] == row.method)])
        for row in means.itertuples(index=False)
    ]
    seeds = in_print(headline(tables["finals"]), tables).sort_values("dataset", kind="stable")
    seeds = seeds.drop(columns=["difference_low", "difference_high"])
    rows = pd.concat([means.rename(columns=names), seeds.rename(columns=names)], ignore_index=True)
    rows["seed"] = rows["seed"].astype("Int64")
    return rows[
        ["dataset", "method", "family", "label", "seed", "score", "low", "high", "difference", "difference_low",
         "difference_high", "lacks"]
    ]  # fmt: skip


def score_and_value(rows: pd.DataFrame, looks: dict[str, Look], page: Page) -> Figure:
    """Per dataset two panels with one row per headline method: its final score, and predicted minus true value.

    A row shows the mean over seeds with its interval and a faint dot per seed, and says in words what it lacks: seeds
    without a result, an interval (one seed), a value. All datasets share both axes. Where no method has a value, there
    are scores only.
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    means, seeds = rows[rows["seed"].isna()], rows[rows["seed"].notna()]
    names = dict(zip(means["family"], means["label"], strict=True))
    score_limits, value_limits = _score_limits(means, seeds), _value_limits(means, seeds)
    measures = ["score (0: random, 100: expert)", "predicted − true value"]
    valued = seeds["difference"].notna().any() or seeds.empty
    figure, blocks = row_panels(
        page, list(means["dataset"].unique()), list(names.values()), measures if valued else measures[:1]
    )
    for dataset, (scores, *values) in blocks.items():
        for place, family in enumerate(names):
            row = means[(means["dataset"] == dataset) & (means["family"] == family)].iloc[0]
            own, look = seeds[(seeds["dataset"] == dataset) & (seeds["family"] == family)], looks[family]
            _row(page, scores, place, look, 100 * row[["score", "low", "high"]], 100 * own["score"])
            _say(page, scores, place + 0.3, "" if row["lacks"] != row["lacks"] else row["lacks"])
            for panel in values:
                difference = row[["difference", "difference_low", "difference_high"]]
                _row(page, panel, place, look, difference, own["difference"])
                if len(own) and difference.isna().all():
                    _say(page, panel, place, "no value")
        scores.set_xlim(score_limits)
        few_ticks(scores, "x")
        for panel in values:
            _value_axis(page, panel, value_limits)
    grey: dict[str, Any] = {"color": "0.4", "marker": "o", "linestyle": "none"}
    handles: dict[str, Any] = {
        "mean": Line2D([], [], **grey),
        f"{100 * CONFIDENCE:g} % interval over seeds": Line2D([], [], color="0.4", linewidth=1.5 * page.line),
        "one seed": Line2D([], [], **grey, markersize=2.5 * page.line, alpha=0.4),
    }
    if valued:
        handles["predicts more than it gets"] = Patch(color=FANTASY, alpha=0.2, linewidth=0)
    below(page, figure, handles)
    return figure


def _row(page: Page, panel: Axes, place: int, look: Look, estimate: pd.Series, seeds: pd.Series) -> None:
    """A method's dots, interval and mean (`estimate`: mean, low, high); nothing where it has none."""
    mean, low, high = estimate
    shade, heights = look.colour, _spread(place, len(seeds))
    panel.plot(seeds, heights, "o", color=shade, alpha=0.4, markersize=2.5 * page.line, markeredgewidth=0)
    panel.plot([low, high], [place, place], color=shade, linewidth=1.5 * page.line, solid_capstyle="butt")
    panel.plot(
        mean,
        place,
        marker=look.marker,
        color=shade,
        markersize=4.5 * page.line,
        markeredgecolor="white",
        markeredgewidth=0.4,
    )


def _spread(place: int, count: int) -> list[float]:
    """Heights around `place`, so that equal dots do not hide each other."""
    return [place + (0.36 * (index / (count - 1) - 0.5) if count > 1 else 0.0) for index in range(count)]


def _say(page: Page, panel: Axes, height: float, words: str) -> None:
    """Small words at the left of a row."""
    place, figure = panel.get_subplotspec(), panel.get_figure(root=True)
    assert place and figure
    width = figure.get_size_inches()[0] / (place.get_gridspec().ncols + 1) - page.lines(1)
    panel.text(
        0.01, height, wrapped(words, width, page.remarks), transform=panel.get_yaxis_transform(), va="center",
        fontsize=page.remarks, linespacing=1, color="0.35", zorder=1.5,
        bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 0.5} if words else None,
    )  # fmt: skip


def _shortcomings(seeds: int, lacks: pd.DataFrame) -> str:
    """What a row lacks, in words: `failed: seed 1; one seed, no interval`."""
    words = []
    for status, own in lacks.groupby("status"):
        named = f"seed{'s' * (len(own) > 1)} {', '.join(str(seed) for seed in own['seed'])}"
        words.append(f"{status}: {named if len(own) <= NAMED else f'{len(own)} seeds'}")
    return "; ".join([*words, "one seed, no interval"] if seeds == 1 else words)


def _score_limits(means: pd.DataFrame, seeds: pd.DataFrame) -> tuple[float, float]:
    """Room for every seed and for the part of every interval where scores lie."""
    bounds = means[["low", "high"]].stack().dropna().clip(*SCORES)
    shown = [0.0, 0.1, *seeds["score"], *bounds]
    margin = 0.05 * (max(shown) - min(shown))
    return 100 * (min(shown) - margin), 100 * (max(shown) + margin)


def _value_limits(means: pd.DataFrame, seeds: pd.DataFrame) -> tuple[float, float]:
    """Room for every seed and, unless some explode, for every interval; zero stands well inside."""
    found, bounds = seeds["difference"].dropna(), means[["difference_low", "difference_high"]].stack().dropna()
    reach = max(found.abs().max(), 1.0) if len(found) else 1.0
    if reach > EXPLODED:
        return 2 * min(found.min(), -LINEAR), 2 * max(found.max(), LINEAR)
    shown = [-reach / 3, reach / 3, *found, *bounds]
    return 1.1 * min(shown), 1.1 * max(shown)


def _value_axis(page: Page, panel: Axes, limits: tuple[float, float]) -> None:
    """The axis of predicted minus true value, its side above zero shaded."""
    panel.set_xlim(limits)
    if max(-limits[0], limits[1]) > EXPLODED:
        value_axis(panel, "x", LINEAR)
        panel.set_xlim(limits)
    else:
        few_ticks(panel, "x")
    panel.axvline(0, color="0.2", linewidth=page.line / 2, zorder=1)
    panel.axvspan(0, limits[1], color=FANTASY, alpha=0.08, linewidth=0, zorder=0)
