"""The paper's value table: predicted minus true value of every method on every dataset, out of several suites."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from cqlbench import style
from cqlbench.errors import UserError
from cqlbench.report.pages import number
from cqlbench.scores import read_table, write_table
from cqlbench.statistics import FOLDER
from cqlbench.suites import Suite
from cqlbench.writers import write_text

TABLE = "values.csv"
PAGE = "values.md"
COLUMNS = [
    "method", "family", "dataset", "suite", "seeds", "failed", "diverged", "predicted_value", "true_discounted_return",
    "difference_mean", "difference_low", "difference_high",
]  # fmt: skip


def write_value_table(suites: Sequence[Suite], results: Path, folder: Path) -> str:
    """Writes values.csv and values.md into `folder`; returns the latter.

    Raises UserError where a suite has no statistics under `results`.
    """
    table = value_table(suites, results)
    page = markdown(table)
    write_table(table, folder / TABLE)
    write_text(folder / PAGE, page)
    return page


def value_table(suites: Sequence[Suite], results: Path) -> pd.DataFrame:
    """COLUMNS, one row per method and dataset, both in the order in which the suites name them.

    Means over seeds of the last evaluation at states of the data, and Student's interval of the difference. What two
    suites share is taken from the first. Empty for a method that has no value. Raises UserError where two suites call
    different runs by one name.
    """
    _require_same_runs(suites)
    parts = [
        read_table(Path(results) / "suites" / suite.name / FOLDER / "table.csv").assign(suite=suite.name)
        for suite in suites
    ]
    table = pd.concat(parts, ignore_index=True).drop_duplicates(["method", "dataset"])
    orders = {
        "method": _order(method.label for suite in suites for method in suite.methods),
        "dataset": _order(dataset for suite in suites for dataset in suite.datasets),
    }
    return table.sort_values(list(orders), key=lambda column: column.map(orders[str(column.name)]), ignore_index=True)[
        COLUMNS
    ]


def _require_same_runs(suites: Sequence[Suite]) -> None:
    """One method of one dataset has one config and one budget in all suites, the seeds aside."""
    found: dict[tuple[str, str], tuple[str, str]] = {}
    for suite in suites:
        for method, run in suite.runs():
            first, settings = found.setdefault((method.label, run.dataset), (suite.name, run.config_hash))
            if run.config_hash != settings:
                raise UserError(
                    f"{method.label} on {run.dataset} has other settings or another budget in {suite.name} than in "
                    f"{first}: one table cannot hold both. Make a table of each suite."
                )


def markdown(table: pd.DataFrame) -> str:
    """A row per method, a column per dataset: the mean difference, its interval, and seeds that failed or diverged.

    A dash stands for what was not run or has no value.
    """
    datasets = list(dict.fromkeys(table["dataset"]))
    lines = [f"| predicted minus true value | {' | '.join(datasets)} |", "| --- |" + " --- |" * len(datasets)]
    for (method, family), own in table.groupby(["method", "family"], sort=False):
        cells = {row["dataset"]: _cell(row) for row in own.to_dict("records")}
        lines.append(f"| {' | '.join([style.label(method, family), *(cells.get(name, '–') for name in datasets)])} |")
    return "\n".join(lines) + "\n"


def _cell(row: dict[str, Any]) -> str:
    cell = f"**{number(row['difference_mean'])}**" if pd.notna(row["difference_mean"]) else number(None)
    if pd.notna(row["difference_low"]):
        cell += f" ({number(row['difference_low'])} to {number(row['difference_high'])})"
    if row["diverged"]:
        cell += f"; {row['diverged']} of {row['seeds']} diverged"
    return cell + (f"; {row['failed']} of {row['failed'] + row['seeds']} failed" if row["failed"] else "")


def _order(names: Iterable[str]) -> dict[str, int]:
    return {name: place for place, name in enumerate(dict.fromkeys(names))}
