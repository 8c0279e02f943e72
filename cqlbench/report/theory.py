"""From the tables and figures of the theory experiments to one page that opens from disk and needs nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cqlbench.errors import UserError
from cqlbench.figures import FOLDER as FIGURES
from cqlbench.report.pages import REPORT, STYLE, embedded, environment, file_link, number, rows_of
from cqlbench.theory.experiments import EXPERIMENTS
from cqlbench.theory.statements import STATEMENTS
from cqlbench.theory.verdicts import CONFIDENCE, VERDICTS, read_verdicts
from cqlbench.writers import write_text

# What report.css calls the verdicts.
CLASSES = {"holds": "held", "fails": "failed", "not tested": "undecided"}


def write_theory_report(folder: Path) -> Path:
    """Writes `folder`/report.html from verdicts.csv, the experiments' tables and figures; the page's path.

    Raises UserError where one of them has not been made yet.
    """
    verdicts = rows_of(read_verdicts(folder))
    page = (
        environment(number=number, percent=_percent)
        .get_template("theory.html")
        .render(
            style=STYLE.read_text(),
            verdicts=verdicts,
            classes=CLASSES,
            confidence=_percent(CONFIDENCE),
            figures=[_figure(folder, experiment, verdicts) for experiment in EXPERIMENTS],
            files=[
                file_link(folder, name) for name in (VERDICTS, *(f"{experiment}.csv" for experiment in EXPERIMENTS))
            ],
        )
    )
    path = folder / REPORT
    write_text(path, page)
    return path


def _figure(folder: Path, experiment: str, verdicts: list[dict[str, Any]]) -> dict[str, Any]:
    path = folder / FIGURES / f"{experiment}.svg"
    if not path.is_file():
        raise UserError(f"{path} does not exist. Draw it first with `cqlbench theory figure {experiment} {folder}`.")
    own = [row for row in verdicts if f"theorem-{row['theorem']}" == experiment]
    return {"image": embedded(path, "image/svg+xml"), "verdicts": own, **STATEMENTS[experiment]._asdict()}


def _percent(share: float) -> str:
    """A share in print, with one decimal at most."""
    return f"{100 * share:.1f}".removesuffix(".0") + " %"
