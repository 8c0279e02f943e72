"""`cqlbench action-values` and its figure: learned Q beside true Q where the true one is known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cqlbench.cli.workflow import SUITE


def add_commands(app: typer.Typer) -> None:
    """Adds `action-values` and `action-value-figure`."""
    app.command(
        "action-values",
        epilog="Example: cqlbench action-values lqr --results results --out results/suites/lqr",
    )(action_values)
    app.command("action-value-figure", epilog="Example: cqlbench action-value-figure results/suites/lqr")(figure)


def action_values(
    suite_file: Annotated[Path, typer.Argument(**SUITE, help="The suite: a file, or a name in workflow/config.")],
    results: Annotated[Path, typer.Option(help="The folder that holds runs/.")] = Path("results"),
    out: Annotated[Path | None, typer.Option(help="Where to write; RESULTS/suites/NAME where left out.")] = None,
) -> None:
    """Computes learned and true Q over the action axis for a suite's runs on lqr1/medium-v0.

    Writes action-values.csv (the curves), action-value-peaks.csv and action-value-expectations.csv: what was expected
    before the runs, judged.
    """
    from cqlbench.scores import write_table
    from cqlbench.suites import load_suite
    from cqlbench.theory.action_values import CURVES, EXPECTATIONS, PEAKS, judge, measure

    suite = load_suite(suite_file)
    folder = out or results / "suites" / suite.name
    curves, peaks = measure(suite, results)
    verdicts = judge(peaks, len(suite.seeds))
    for table, name in ((curves, CURVES), (peaks, PEAKS), (verdicts, EXPECTATIONS)):
        write_table(table, folder / name)
    for row in verdicts.itertuples(index=False):
        print(f"{row.number}. {row.family}: {row.expectation}: {row.verdict} ({row.holding} of {row.cases} cases)")


def figure(folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder with the tables.")]) -> None:
    """Draws the tables of `cqlbench action-values` into DIR/figures, as SVG and PNG."""
    from cqlbench.theory.action_value_figure import draw_figure

    draw_figure(folder)
