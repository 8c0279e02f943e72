"""The page's tables are those of the committed kills and of all other faults."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

TOP = Path(__file__).parents[1]
TABLES = TOP / "results" / "reference" / "faults"


def kill_table(kills: pd.DataFrame) -> str:
    """One row per method, the kills of all moments added up; then the suites."""
    runs = kills[kills["updates_redone"].notna()]
    lines = ["| killed | kills | updates redone, at most | bytes that differ |", "| --- | --- | --- | --- |"]
    for method, own in runs.groupby("method", sort=False):
        lines.append(f"| a run of {method} | {own['times'].sum()} | {own['updates_redone'].max():.0f} | none |")
    for suite in kills[kills["updates_redone"].isna()].itertuples():
        lines.append(f"| a suite: {suite.method} | {suite.times} | no finished run | none |")
    return "\n".join(lines)


def fault_table(faults: pd.DataFrame) -> str:
    """Every row, those of one fault together."""
    lines = ["| fault | how it was injected | times | what was lost |", "| --- | --- | --- | --- |"]
    for _, own in faults.groupby("fault", sort=False):
        lines += [f"| {row.fault} | {row.injected} | {row.times} | {row.lost} |" for row in own.itertuples()]
    return "\n".join(lines)


@pytest.mark.parametrize("table", [kill_table, fault_table])
def test_the_page_has_the_table(table):
    rows = pd.read_csv(TABLES / {kill_table: "kills.csv", fault_table: "faults.csv"}[table])
    assert table(rows) in (TOP / "docs" / "faults.md").read_text()


def test_the_page_says_what_checkpoints_cost():
    costs = pd.read_csv(TABLES.parent / "quick" / "costs.csv").set_index("work")
    share = costs["share_of_cpu"]["checkpoints"]
    assert (
        share < 0.01
        and f"checkpoints took {100 * share:.2f} % of the CPU time" in (TOP / "docs" / "faults.md").read_text()
    )
