"""What the benchmarks write: tables, one page of them, one figure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cqlbench.bench.ratios import Spread
from cqlbench.bench.updates import FLOORS, Comparison, Row
from cqlbench.figures.pages import PAPER, drawing_style, save_figure
from cqlbench.figures.panels import legend, panel_grid
from cqlbench.provenance import describe_machine
from cqlbench.scores import read_table
from cqlbench.style import colour, label, marker
from cqlbench.writers import CsvWriter, write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BENCH, PAGE, FIGURE = "bench.csv", "bench.md", "bench"
COLUMNS = ("networks", "contender", "ms per update", "times as fast", "GFLOP/s", "of GEMM rate")
LINES = ("-", "--", ":")


def write_rows(rows: Sequence[Any], path: Path) -> None:
    """A CSV of named tuples of one kind, numbers to four digits."""
    with CsvWriter(path, list(rows[0]._fields)) as table:
        for row in rows:
            cells = row._asdict().items()
            table.write({key: f"{cell:.4g}" if isinstance(cell, float) else cell for key, cell in cells})


def read_rows(path: Path) -> list[Row]:
    """bench.csv. Raises UserError where it is not there."""
    return [Row(*values) for values in read_table(path, "`cqlbench bench`").itertuples(index=False)]


def cells(row: Row) -> tuple[str, ...]:
    """A row as COLUMNS show it."""
    ratio = Spread(row.ratio_median, row.ratio_low, row.ratio_high)
    return (
        f"2x{row.hidden}",
        label(row.contender, row.contender.partition(" ")[0]),
        f"{row.milliseconds_median:.2f}",
        "reference" if row.contender == row.reference else str(ratio),
        f"{row.gflops:.1f}",
        f"{row.gemm_share:.0%}",
    )


def markdown(rows: Iterable[Row]) -> str:
    """The table of bench.csv as a page shows it."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "| --- " * len(COLUMNS) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(cells(row)) + " |" for row in rows)]) + "\n"


def write_comparisons(comparisons: Sequence[Comparison], out: Path) -> None:
    """bench.csv, bench.md and the figure, into the folder `out`."""
    out.mkdir(parents=True, exist_ok=True)
    write_rows([row for comparison in comparisons for row in comparison.rows()], out / BENCH)
    rows = read_rows(out / BENCH)
    write_text(out / PAGE, _page(comparisons, rows))
    with drawing_style():
        save_figure(draw(rows), out, FIGURE)


def _page(comparisons: Sequence[Comparison], rows: Sequence[Row]) -> str:
    from importlib.metadata import version

    machine, device = describe_machine(), comparisons[0].device
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "d3rlpy"))
    lines = [
        "# One update, native and d3rlpy's",
        "",
        f"{machine['cpu']}, {machine['threads']} thread of {machine['cores']} cores, device {device}; {packages}.",
        f"Medians of {len(next(iter(comparisons[0].seconds.values())))} rounds.",
        "",
        markdown(rows),
        "## Verdicts",
        "",
        *(f"- {verdict}" for comparison in comparisons for verdict in comparison.verdicts()),
        "",
        "## The machine's rate of matrix products",
        "",
        "| update | kernel | GFLOP/s |",
        "| --- | --- | --- |",
        *(
            f"| {comparison.algorithm} at 2x{comparison.hidden} | {kernel} | {Spread.of(rates / 1e9)} |"
            for comparison in comparisons
            for kernel, rates in comparison.gemm.items()
        ),
    ]
    return "\n".join(lines) + "\n"


def draw(rows: Sequence[Row]) -> Figure:
    """How many times as fast as d3rlpy, by hidden units: a panel per algorithm, a line per contender, its floors."""
    figure, panels = panel_grid(PAPER, dict.fromkeys(row.algorithm for row in rows))
    for algorithm, panel in panels.items():
        own = [row for row in rows if row.algorithm == algorithm and row.contender != row.reference]
        sizes = sorted({row.hidden for row in own})
        contenders = list(dict.fromkeys(row.contender for row in own))
        for number, contender in enumerate(contenders):
            family = contender.partition(" ")[0]
            part = [row for row in own if row.contender == contender]
            # Side by side, so that no interval hides another.
            places = [sizes.index(row.hidden) + 0.1 * (number - (len(contenders) - 1) / 2) for row in part]
            ends = [
                [row.ratio_median - row.ratio_low for row in part],
                [row.ratio_high - row.ratio_median for row in part],
            ]
            panel.errorbar(
                places,
                [row.ratio_median for row in part],
                ends,
                fmt=marker(family) + LINES[number],
                color=colour(family),
                label=label(contender, family),
            )
            for place, row in zip(places, part, strict=True):
                if floor := FLOORS.get(contender, {}).get(row.hidden):
                    panel.plot(place, floor, "_", color="0.3", markersize=14, label="floor")
        panel.axhline(1, color="0.6", linewidth=1)
        panel.set(
            xticks=range(len(sizes)),
            xticklabels=[f"2x{size}" for size in sizes],
            xlim=(-0.5, len(sizes) - 0.5),
            ylim=(0, None),
            xlabel="hidden units",
            ylabel="times as fast as d3rlpy",
        )
    legend(PAPER, figure, panels.values())
    return figure
