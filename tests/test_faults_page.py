"""The page's table is that of the committed kills."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

TOP = Path(__file__).parents[1]
KILLS = TOP / "results" / "reference" / "faults" / "kills.csv"


def markdown(kills: pd.DataFrame) -> str:
    """One row per method, the kills of all moments added up; then the suites."""
    runs = kills[kills["updates_redone"].notna()]
    lines = ["| killed | kills | updates redone, at most | bytes that differ |", "| --- | --- | --- | --- |"]
    for method, own in runs.groupby("method", sort=False):
        lines.append(f"| a run of {method} | {own['times'].sum()} | {own['updates_redone'].max():.0f} | none |")
    for suite in kills[kills["updates_redone"].isna()].itertuples():
        lines.append(f"| a suite: {suite.method} | {suite.times} | no finished run | none |")
    return "\n".join(lines)


def test_the_page_has_the_table():
    assert markdown(pd.read_csv(KILLS)) in (TOP / "docs" / "faults.md").read_text()
