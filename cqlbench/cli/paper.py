"""What is made of several suites: the paper's value table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cqlbench.cli.workflow import SUITE


def add_commands(app: typer.Typer) -> None:
    """Adds `value-table`."""
    app.command(epilog="Example: cqlbench value-table workflow/config/paper-values.yaml --results results")(value_table)


def value_table(
    suite_files: Annotated[list[Path], typer.Argument(**SUITE, help="The suites: files or names.")],
    results: Annotated[Path, typer.Option(help="The folder that holds suites/.")] = Path("results"),
    out: Annotated[Path | None, typer.Option(help="Where to write; RESULTS/paper where left out.")] = None,
) -> None:
    """Prints predicted minus true value per method and dataset of suites with statistics; writes values.csv, values.md.

    Methods and datasets come in the order of the files; what two suites share is taken from the first.
    """
    from cqlbench.report.value_table import write_value_table
    from cqlbench.suites import load_suite

    folder = out or results / "paper"
    folder.mkdir(parents=True, exist_ok=True)
    print(write_value_table([load_suite(file) for file in suite_files], results, folder), end="")
