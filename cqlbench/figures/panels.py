"""What the figures are made of: grids of panels, a method's line and band, the axes, and the names of the methods."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise, zip_longest
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from cqlbench.figures.pages import PAPER, Page
from cqlbench.figures.texts import text_width, wrapped
from cqlbench.style import Look

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

Key = TypeVar("Key", bound=Hashable)
Direction = Literal["x", "y"]

# What solid and dashed lines are where both values are drawn.
VALUES = ("predicted value", "true value")
# So many methods are named at the ends of their lines, where there is one panel; more, in a legend.
FEW = 5
# About so many points of a line have a marker.
MARKED = 8
SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
# The share of a figure's width that names beside rows or lines may take.
NAMES = 0.3


def columns_for(count: int) -> int:
    """How many panels stand side by side in a grid of `count`."""
    return next((columns for most, columns in ((1, 1), (2, 2), (3, 3), (4, 2), (6, 3), (12, 4)) if count <= most), 5)


def panel_grid(
    page: Page,
    keys: Iterable[Key | None],
    columns: int | None = None,
    ratio: float | None = None,
    titles: Mapping[Key, str] | None = None,
    sharex: bool = False,
    sharey: bool = False,
) -> tuple[Figure, dict[Key, Axes]]:
    """A grid of panels, one per key; a None and the places left over stay empty.

    A panel's title is its key where that is a text, or what `titles` has for it. `ratio` is a panel's height over its
    width, without the title. With a shared x axis only the lowest panel of a column has its numbers.
    """
    import matplotlib.pyplot as plt

    keys = list(keys)
    columns = columns or columns_for(len(keys))
    rows = -(-len(keys) // columns) or 1
    width = (page.width if len(keys) > 1 else page.column) / columns
    words: Mapping[Any, str] = titles if titles is not None else {key: key for key in keys if isinstance(key, str)}
    shown = [wrapped(words[key], width - page.lines(2.2), page.font) if key in words else "" for key in keys]
    above = page.lines(max((title.count("\n") + 1 for title in shown if title), default=0))
    height = width * (ratio or page.ratio) + above
    figure, grid = plt.subplots(
        rows, columns, figsize=(width * columns, height * rows), squeeze=False, sharey=sharey, layout="constrained"
    )
    panels: dict[Key, Axes] = {}
    for key, title, panel in zip_longest(keys, shown, grid.flat):
        if key is None:
            panel.set_axis_off()
            continue
        panels[key] = panel
        panel.set_title(title)
        if sharex and len(panels) > 1:
            panel.sharex(next(iter(panels.values())))
    if sharex:
        for place, key in enumerate(keys):
            below = keys[place + columns] if place + columns < len(keys) else None
            if key is not None and below is not None:
                panels[key].tick_params(labelbottom=False)
    return figure, panels


def name_axes(page: Page, figure: Figure, panels: Iterable[Axes], x: str | None, y: str | None) -> None:
    """Names the y axis at the first panel of each row, and the x axis at the lowest of each column."""
    columns: dict[int, Axes] = {}
    for panel in panels:
        place = panel.get_subplotspec()
        assert place
        width, height = figure.get_size_inches()
        spans = place.get_gridspec()
        if y and place.is_first_col():
            panel.set_ylabel(wrapped(y, height / spans.nrows - page.lines(1), page.font))
        columns[place.colspan.start] = panel
    for panel in columns.values():
        if x:
            panel.set_xlabel(wrapped(x, width / spans.ncols - page.lines(3), page.font))


def row_panels(
    page: Page, datasets: Sequence[str], names: Sequence[str], measures: Sequence[str]
) -> tuple[Figure, dict[str, Sequence[Axes]]]:
    """Per dataset a panel for each of `measures`, side by side, with a row for each of `names` on a common y axis.

    The measures name the x axes, which every dataset shares: numbers stand under the lowest panels only.
    """
    import matplotlib.pyplot as plt

    each = len(measures)
    blocks = next((blocks for most, blocks in ((1, 1), (8, 2), (len(datasets), 3)) if len(datasets) <= most))
    columns = blocks * each
    lines = -(-len(datasets) // blocks) or 1
    shown = row_names(page, names, page.width)
    beside = max((text_width(name, page.ticks) for name in shown), default=0)
    width = (page.width - beside) / columns - page.lines(1)
    # Bold letters are wider.
    titles = {dataset: wrapped(dataset, each * width, 1.15 * page.font) for dataset in datasets}
    labels = [wrapped(measure, width, page.ticks) for measure in measures]
    above = page.lines(0.5 + max(title.count("\n") + 1 for title in titles.values()))
    below = page.lines(2.5 + max(label.count("\n") for label in labels))
    figure, grid = plt.subplots(
        lines, columns, figsize=(page.width, lines * (rows_height(page, shown) + above) + below), squeeze=False,
        sharex="col", sharey=True, layout="constrained",
    )  # fmt: skip
    panels = [row[place : place + each] for row in grid for place in range(0, columns, each)]
    found = dict(zip(datasets, panels, strict=False))
    for panel in (panel for block in panels[len(datasets) :] for panel in block):
        panel.set_axis_off()
    for place, (dataset, block) in enumerate(found.items()):
        block[0].set_title(titles[dataset], loc="left", fontweight="bold")
        if place + blocks >= len(datasets):
            for panel, label in zip(block, labels, strict=True):
                panel.set_xlabel(label, fontsize=page.ticks)
                panel.tick_params(labelbottom=True)
    set_rows(grid[0, 0], shown)
    return figure, found


def row_names(page: Page, names: Iterable[str], width: float) -> list[str]:
    """Names in lines that leave most of a figure of `width` inches to its panels."""
    return [wrapped(name, NAMES * width, page.ticks) for name in names]


def rows_height(page: Page, names: Sequence[str]) -> float:
    """The height of rows with room for every line of the longest name, inches."""
    return page.lines(max([1.7, *(name.count("\n") + 1.1 for name in names)])) * max(len(names), 1)


def set_rows(panel: Axes, names: Sequence[str]) -> None:
    """A row for each of `names`, from the top."""
    panel.set(yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.4, -0.6))


def line(panel: Axes, x: pd.Series, y: pd.Series, look: Look, name: str, markevery: Any = None) -> None:
    """A method's line, with its colour and markers; `name` goes beside it or into the legend.

    Where it has many points, some are marked, the last one too.
    """
    panel.plot(
        x, y, marker=look.marker, color=look.colour, label=name, markeredgecolor="white", markeredgewidth=0.4,
        markevery=markevery or slice(None, None, -max(1, len(x) // MARKED)),
    )  # fmt: skip


def band(panel: Axes, x: pd.Series, low: pd.Series, high: pd.Series, look: Look) -> None:
    """A method's shade from `low` to `high`."""
    panel.fill_between(x, low, high, color=look.colour, alpha=0.15, linewidth=0)


def update_axis(panels: Iterable[Axes]) -> None:
    """Updates in thousands or millions."""
    from matplotlib.ticker import EngFormatter, MaxNLocator

    for panel in panels:
        panel.xaxis.set_major_locator(MaxNLocator(_most(panel, "x", 0.5), steps=[1, 2, 2.5, 5, 10]))
        panel.xaxis.set_major_formatter(EngFormatter(sep=""))


def few_ticks(panel: Axes, direction: Direction) -> None:
    """No more numbers than there is room for."""
    from matplotlib.ticker import MaxNLocator

    axis, most = _axis(panel, direction), _most(panel, direction, 0.4 if direction == "x" else 0.3)
    axis.set_major_locator(MaxNLocator(most, steps=[1, 2, 5, 10]))


def value_axis(panel: Axes, direction: Direction, linear: float = 1.0) -> None:
    """A logarithmic axis on both sides of zero, linear to +-`linear`, with as many round numbers as have room."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axis, most = _axis(panel, direction), _most(panel, direction, 0.32 if direction == "x" else 0.2)
    if direction == "x":
        panel.set_xscale("symlog", linthresh=linear)
    else:
        panel.set_yscale("symlog", linthresh=linear)
    limits = panel.get_xlim() if direction == "x" else panel.get_ylim()
    low, high = axis.get_transform().transform(np.array(limits))
    for ticks in _round_numbers(*limits, linear, most):
        places = (axis.get_transform().transform(np.array(ticks)) - low) / (high - low)
        if len(ticks) > 1 and np.diff(places).min() * most >= 1:
            break
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(_power))


def _round_numbers(low: float, high: float, linear: float, most: int) -> Iterator[list[float]]:
    """Ever fewer numbers from `low` to `high`: zero and multiples of powers of ten, where these are many enough."""
    from matplotlib.ticker import MaxNLocator

    powers = linear * 10.0 ** np.arange(12)
    for factors, stride in (((1, 1.5, 2, 3, 5, 7), 1), ((1, 2, 5), 1), ((1, 3), 1), *(((1,), n) for n in range(1, 12))):
        sizes = np.outer(powers[stride - 1 :: stride], factors).ravel()
        ticks = np.concatenate([-sizes[::-1], [0], sizes])
        shown = [float(tick) for tick in ticks[(low <= ticks) & (ticks <= high)]]
        if len(shown) < 2:
            # The numbers lie close together: any round ones.
            break
        yield shown
    yield [float(tick) for tick in MaxNLocator(most).tick_values(low, high) if low <= tick <= high]


def _power(value: float, _: Any = None) -> str:
    """1000 and less as they are, more as a power of ten."""
    if abs(value) < 10_000:
        return f"{value:g}".replace("-", "−")
    factor, exponent = f"{value:.0e}".split("e")
    factor = factor.replace("1", "").replace("-", "−")
    return f"{factor}{'·' if factor.strip('−') else ''}10{str(int(exponent)).translate(SUPERSCRIPTS)}"


def _axis(panel: Axes, direction: Direction) -> Axis:
    return panel.xaxis if direction == "x" else panel.yaxis


def _most(panel: Axes, direction: Direction, inches: float) -> int:
    """How many numbers have room along a panel's axis, each taking `inches` on paper."""
    import matplotlib

    place, figure = panel.get_subplotspec(), panel.get_figure(root=True)
    assert place and figure
    width, height = figure.get_size_inches()
    spans = place.get_gridspec()
    length = width / spans.ncols if direction == "x" else height / spans.nrows
    return max(2, int((length - 0.3) / (inches * matplotlib.rcParams["font.size"] / PAPER.font)))


def legend(page: Page, figure: Figure, panels: Iterable[Axes], strokes: tuple[str, str] | None = None) -> None:
    """One legend for all panels, under them, or beside a single one if it is long.

    `strokes` says what solid and what dashed lines are.
    """
    from matplotlib.lines import Line2D

    panels = list(panels)
    entries: dict[str, Any] = {}
    for panel in panels:
        handles, labels = panel.get_legend_handles_labels()
        entries |= dict(zip(labels, handles, strict=True))
    if strokes:
        entries |= {name: Line2D([], [], color="0.4", ls=ls) for name, ls in zip(strokes, ("-", "--"), strict=True)}
    if len(panels) > 1 or len(entries) <= FEW:
        below(page, figure, entries)
        return
    names = [wrapped(name, 0.4 * page.width, page.font) for name in entries]
    height = page.lines(1.25 * sum(name.count("\n") + 1 for name in names))
    figure.set_size_inches(page.width, max(height, figure.get_size_inches()[1]))
    figure.legend(entries.values(), names, loc="outside right center")


def below(page: Page, figure: Figure, entries: dict[str, Any]) -> None:
    """A legend under all panels, which keep their room: the figure grows by it. `entries`: handles by name."""
    if not entries:
        return
    width, height = figure.get_size_inches()
    # A handle with its gaps takes about five letters' heights.
    beside = 5 * page.font / 72
    names = [wrapped(name, width - beside - 0.2, page.font) for name in entries]
    widths = [text_width(name, page.font) + beside for name in names]
    columns = next(count for count in range(len(names), 0, -1) if count == 1 or _columns_width(widths, count) <= width)
    rows = -(-len(names) // columns)
    figure.set_size_inches(
        width, height + page.lines(1.25 * rows * (max(name.count("\n") for name in names) + 1) + 0.5)
    )
    figure.legend(entries.values(), names, loc="outside lower center", ncols=columns)


def _columns_width(widths: Sequence[float], count: int) -> float:
    """What `count` columns take that are filled one after the other, as equally as possible."""
    size, longer = divmod(len(widths), count)
    ends = [size * place + min(place, longer) for place in range(count + 1)]
    return sum(max(widths[first:last]) for first, last in pairwise(ends))


def name_lines(page: Page, figure: Figure, panels: Sequence[Axes], strokes: tuple[str, str] | None = None) -> None:
    """Names the methods: at the ends of their lines if there is one panel with few of them, in a legend otherwise.

    Call it when the panels are drawn: lines without a name are not asked for.
    """
    panel = panels[0]
    width, height = figure.get_size_inches()
    points = {line: np.asarray(line.get_xydata()) for line in panel.lines}
    lines = [line for line in panel.lines if not str(line.get_label()).startswith("_") and len(points[line])]
    names = row_names(page, [str(line.get_label()) for line in lines], width)
    if len(panels) > 1 or len(lines) > FEW or any(name.count("\n") > 1 for name in names):
        legend(page, figure, panels, strokes)
        return
    figure.draw_without_rendering()
    heights = [page.lines(name.count("\n") + 1) / (height * panel.get_position().height) for name in names]
    ends = [(float(points[line][-1, 0]), float(points[line][-1, 1])) for line in lines]
    to_share = panel.transData + panel.transAxes.inverted()
    places = _apart([float(to_share.transform(end)[1]) for end in ends], heights)
    for line, name, end, place in zip(lines, names, ends, places, strict=True):
        line.set_label("_" + name)
        panel.annotate(
            name, xy=end, xycoords="data", xytext=(1.06, place), textcoords="axes fraction", va="center",
            fontsize=page.ticks,
            arrowprops={"arrowstyle": "-", "color": line.get_color(), "linewidth": page.line / 2, "shrinkA": 1},
        )  # fmt: skip
    legend(page, figure, [], strokes)


def _apart(places: Sequence[float], heights: Sequence[float]) -> list[float]:
    """Places from 0 to 1 as near to `places` as a walk upwards and one downwards find, for boxes of these heights."""
    order = sorted(range(len(places)), key=lambda index: (places[index], -index))
    found = list(places)
    bottom, top = 0.0, 1.0
    for index in order:
        found[index] = max(found[index], bottom + heights[index] / 2)
        bottom = found[index] + heights[index] / 2
    for index in reversed(order):
        found[index] = min(found[index], top - heights[index] / 2)
        top = found[index] - heights[index] / 2
    return found


def say(panel: Axes, words: str) -> None:
    """Words in the middle of a panel without lines."""
    panel.text(0.5, 0.5, words, transform=panel.transAxes, ha="center", va="center", color="0.4")


def without_data(page: Page, words: str) -> Figure:
    """A figure that says why it is empty."""
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(page.column, page.lines(4)))
    figure.text(0.5, 0.5, wrapped(words, page.column - page.lines(1), page.font), ha="center", va="center", color="0.4")
    return figure
