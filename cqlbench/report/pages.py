"""What every page is made of: templates, embedded files, rows of tables, numbers in print."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

HERE = Path(__file__).parent
STYLE = HERE / "report.css"
SCRIPT = HERE / "report.js"
REPORT = "report.html"
# A table larger than this stays beside the page, which links it: a page of many megabytes opens slowly.
EMBEDDED_BYTES = 150_000
KINDS = {".csv": "text/csv", ".tex": "application/x-tex", ".bib": "application/x-bibtex", ".md": "text/markdown"}


def environment(**filters: Callable[..., Any]) -> Environment:
    """The templates of this folder, with `filters`; a name that a template lacks is an error."""
    made = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters |= filters
    return made


def embedded(path: Path, kind: str) -> str:
    """The file as a data address, so that the page needs nothing else."""
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def file_link(folder: Path, name: str) -> dict[str, Any]:
    """A file of `folder` to be saved from the page: in the page itself, or, where it is large, beside it."""
    inside = (folder / name).stat().st_size <= EMBEDDED_BYTES
    source = embedded(folder / name, KINDS[Path(name).suffix]) if inside else name
    return {"name": name, "source": source, "inside": inside}


def rows_of(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as dictionaries, None where a cell is empty."""
    return table.astype(object).where(table.notna(), None).to_dict("records")


def known(value: float | None) -> float | None:
    """The value, None where it is not a number."""
    return None if value is None or pd.isna(value) else value


def number(value: float | None) -> str:
    """A value in print: three significant digits, thousands told apart, a dash where there is none."""
    if value is None or pd.isna(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def points(score: float | None, sign: str = "") -> str:
    """A 0-1 score or a share as it is printed: x100, one decimal, a dash where there is none; `sign` "+" shows it."""
    return "–" if score is None or pd.isna(score) else f"{100 * score:{sign}z.1f}"


def seconds(value: float | None) -> str:
    """Seconds in print: tenths where there are few, a dash where they are not known."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
