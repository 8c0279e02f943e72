"""A dataset's health as one page that opens from disk and needs nothing else."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from jinja2 import FileSystemLoader

from cqlbench.figures.pages import PAPER, drawing_style
from cqlbench.inspection.drawings import draw_coverage, draw_histograms
from cqlbench.inspection.health import Health
from cqlbench.inspection.numbers import printed, short
from cqlbench.inspection.pictures import STATES, action_rows, histogram_rows, state_rows
from cqlbench.inspection.rules import RULES
from cqlbench.report.pages import STYLE, environment, points
from cqlbench.tasks import score_of
from cqlbench.writers import write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_page(health: Health, path: Path) -> None:
    """Writes the page to `path`."""
    templates = environment(printed_of=_printed_of, cell=_cell).overlay(loader=FileSystemLoader(Path(__file__).parent))
    dataset = health.dataset
    mean_return = dataset.episode_returns.mean()
    random, expert = dataset.reference_random, dataset.reference_expert
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
        mean_return=short(mean_return),
        mean_score=None if random is None or expert is None else points(score_of(mean_return, random, expert)),
        figures=figures,
        rules=RULES,
        numbers=numbers,
        spoken={finding.rule for finding in health.findings},
    )
    write_text(path, page)


def _picture(figure: Figure, title: str, reading: str) -> dict[str, Any]:
    import matplotlib.pyplot as plt

    drawn = io.BytesIO()
    figure.savefig(drawn, format="svg", metadata={"Title": title, "Date": None})
    plt.close(figure)
    source = f"data:image/svg+xml;base64,{base64.b64encode(drawn.getvalue()).decode()}"
    return {"source": source, "title": title, "reading": reading}


def _printed_of(value: float, words: str) -> str:
    return printed(words, value)


def _cell(value: str | float) -> str:
    return value if isinstance(value, str) else "–" if pd.isna(value) else short(float(value))
