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
REPORT = "report.html"


def environment(**filters: Callable[..., str]) -> Environment:
    """The templates of this folder, with `filters`; a name that a template lacks is an error."""
    made = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters |= filters
    return made


def embedded(path: Path, kind: str) -> str:
    """The file as a data address, so that the page needs nothing else."""
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def file_link(folder: Path, name: str) -> dict[str, str]:
    """A table of `folder` to be saved from the page."""
    return {"name": name, "source": embedded(folder / name, "text/csv")}


def rows_of(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as dictionaries, None where a cell is empty."""
    return table.astype(object).where(table.notna(), None).to_dict("records")


def number(value: float | None) -> str:
    """A value in print: three significant digits, thousands told apart, a dash where there is none."""
    if value is None or pd.isna(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
