"""Which figures a suite has, and how their files are written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cqlbench.figures.curves import learning_curves, sample_efficiency
from cqlbench.figures.safety import safety
from cqlbench.figures.score_and_value import score_and_value
from cqlbench.figures.summaries import aggregates, improvement, profile
from cqlbench.figures.sweeps import sweep
from cqlbench.figures.tables import Tables
from cqlbench.figures.values import action_gap, off_data, value_curves
from cqlbench.scores import read_table
from cqlbench.statistics import FOLDER as STATISTICS
from cqlbench.writers import aside

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = "figures"
SUFFIXES = ("svg", "png")

DRAWINGS: dict[str, Callable[[Tables], Figure]] = {
    "score-and-value": score_and_value,
    "aggregates": aggregates,
    "profile": profile,
    "improvement": improvement,
    "learning-curves": learning_curves,
    "value-curves": value_curves,
    "action-gap": action_gap,
    "off-data": off_data,
    "sample-efficiency": sample_efficiency,
    "safety": safety,
}


def figure_names(axes: list[str]) -> list[str]:
    """The figures of a suite that sweeps `axes` (`suite.axes`), without suffix, in the report's order."""
    return [*DRAWINGS, *(f"sweep-{axis}" for axis in sorted(axes))]


def draw_figures(folder: Path) -> None:
    """Draws every table of `folder`/statistics into `folder`/figures; a figure without data says so."""
    names = [
        "table", "finals", "holes", "aggregates", "profiles", "improvement", "sample_efficiency", "curves", "sweep",
        "diagnostics", "safety",
    ]  # fmt: skip
    tables = {name: read_table(folder / STATISTICS / f"{name}.csv") for name in names}
    axes = sorted(tables["sweep"]["axis"].unique())
    drawings = DRAWINGS | {f"sweep-{axis}": lambda tables, axis=axis: sweep(tables, axis) for axis in axes}
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    with drawing_style():
        for name, draw in drawings.items():
            save_figure(draw(tables), folder / FOLDER, name)


@contextmanager
def drawing_style() -> Iterator[None]:
    """How every figure looks, without a screen; the same tables give the same bytes."""
    import matplotlib

    matplotlib.use("Agg")
    import seaborn as sns

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
        yield


def save_figure(figure: Figure, folder: Path, name: str) -> None:
    """Writes a figure as each of SUFFIXES and closes it."""
    import matplotlib.pyplot as plt

    for suffix in SUFFIXES:
        metadata: dict[str, Any] = {"Date": None} if suffix == "svg" else {"Software": None}
        with aside(folder / f"{name}.{suffix}") as beside:
            figure.savefig(beside, format=suffix, dpi=150, bbox_inches="tight", metadata=metadata)
    plt.close(figure)
