"""A dataset's health on the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

import pandas as pd

from cqlbench.inspection.health import Health
from cqlbench.inspection.numbers import printed, short
from cqlbench.inspection.rules import SEVERITIES

WIDTH = 110
# Of tables with a row per column so many are printed.
MOST_ROWS = 12


def text(health: Health) -> str:
    """The findings first, the gravest at the top, each with the number it rests on; then the numbers."""
    return "\n".join(_lines(health))


def _lines(health: Health) -> Iterator[str]:
    yield health.dataset.id
    yield f"{health.verdict}."
    for severity in SEVERITIES:
        for finding in health.findings:
            if finding.severity == severity:
                yield ""
                yield from _wrapped(f"{severity.upper()}: {finding.sentence}", "", "  ")
                yield from _wrapped(f"({finding.evidence})", "  ", "  ")
    if health.dataset.warning:
        yield ""
        yield from _wrapped(f"Said on loading: {health.dataset.warning}", "", "  ")
    for section in health.sections:
        yield ""
        yield section.title
        width = max(map(len, section.numbers), default=0)
        for words, value in section.numbers.items():
            yield f"  {words:<{width}}  {printed(words, value)}"
        if len(section.table):
            yield from _table(section.table)
        if section.meaning:
            yield from _wrapped(section.meaning, "  ", "  ")


def _wrapped(words: str, first: str, later: str) -> list[str]:
    return textwrap.wrap(words, WIDTH, initial_indent=first, subsequent_indent=later)


def _table(table: pd.DataFrame) -> Iterator[str]:
    shown = table.head(MOST_ROWS)
    cells = [list(table.columns), *([_cell(value) for value in row] for row in shown.itertuples(index=False))]
    widths = [max(len(row[column]) for row in cells) for column in range(len(table.columns))]
    for row in cells:
        yield "  " + "  ".join(
            f"{cell:<{width}}" if column == 0 else f"{cell:>{width}}"
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
    if len(table) > MOST_ROWS:
        yield f"  and {len(table) - MOST_ROWS} more (all with --html)"


def _cell(value: str | float) -> str:
    return value if isinstance(value, str) else short(float(value))
