"""A dataset's health as one page that opens from disk and needs nothing else."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from jinja2 import FileSystemLoader

from cqlbench.figures.pages import PAPER, drawing_style, save_figure
from cqlbench.inspection.drawings import draw_coverage, draw_histograms
from cqlbench.inspection.health import Health
from cqlbench.inspection.numbers import printed, short
from cqlbench.inspection.pictures import STATES, action_rows, histogram_rows, state_rows
from cqlbench.inspection.rules import RULES
from cqlbench.report.pages import STYLE, embedded, environment
from cqlbench.writers import write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_page(health: Health, path: Path) -> None:
    """Writes the page to `path`."""
    templates = environment(printed_of=_printed_of, cell=_cell).overlay(loader=FileSystemLoader(Path(__file__).parent))
    dataset = health.dataset
    numbers = {words: value for section in health.sections for words, value in section.numbers.items()}
    with drawing_style():
        figures = [
            _picture(
                draw_histograms(histogram_rows(dataset), PAPER),
                "Returns and lengths of episodes, and rewards of steps",
                "How many episodes or steps lie in each bin.",
            ),
            _picture(
                draw_coverage(state_rows(dataset, health.seed), action_rows(dataset), PAPER),
                "States and actions",
                f"Left, at most {STATES:,} states drawn by chance on their two principal components: where it is empty "
                "there are no data. Right, one row per action column: how its values spread between the bounds.",
            ),
        ]
    page = templates.get_template("page.html").render(
        style=STYLE.read_text(),
        health=health,
        dataset=dataset,
        mean_return=short(dataset.episode_returns.mean()),
        figures=figures,
        rules=RULES,
        numbers=numbers,
        spoken={finding.rule for finding in health.findings},
    )
    write_text(path, page)


def _picture(figure: Figure, title: str, reading: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        save_figure(figure, Path(folder), "figure")
        source = embedded(Path(folder) / "figure.svg", "image/svg+xml")
    return {"source": source, "title": title, "reading": reading}


def _printed_of(value: float, words: str) -> str:
    return printed(words, value)


def _cell(value: object) -> str:
    return value if isinstance(value, str) else "–" if pd.isna(value) else short(float(value))  # type: ignore
