"""What is measured: numbers under the words that print them, in sections, with the tables and figures' data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

# A number is a share, printed as a percentage, where its words say so.
SHARE = "share of"
LEAST = 0.0001


@dataclass(frozen=True)
class Section:
    """One part of the report: numbers by their words, what they mean, and a table where there is one row per column."""

    title: str
    numbers: Mapping[str, float]
    meaning: str = ""
    table: pd.DataFrame = field(default_factory=pd.DataFrame)


def printed(words: str, value: float) -> str:
    """A number as it is printed: a share as a percentage, counts whole, others with three significant digits."""
    if words.startswith(SHARE):
        return f"{100 * value:.3g} %"
    # Smaller ones are rounding, which differs between machines.
    if 0 < value < LEAST:
        return f"below {LEAST:g}"
    return short(value)


def short(value: float) -> str:
    """Counts whole with thousands told apart, others with three significant digits."""
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{value:,.0f}"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e15 else f"{value:.3g}"
