"""`cqlbench theory`: the paper's theorems on MDPs whose values are known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

theory = typer.Typer(help="Test the paper's theorems where every value is known exactly.", no_args_is_help=True)
Experiment = Annotated[str, typer.Argument(help="theorem-3.1 to theorem-3.6, unseen-action or gridworld.")]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The folder with the experiments' tables.")]


def add_commands(app: typer.Typer) -> None:
    """Adds `theory` with its subcommands."""
    app.add_typer(theory, name="theory")


@theory.command(epilog="Example: cqlbench theory run theorem-3.2 --draws 200 --out results/theory")
def run(
    experiment: Experiment,
    out: Annotated[Path, typer.Option(help="Folder for the table, as EXPERIMENT.csv.")],
    draws: Annotated[
        int | None, typer.Option(min=1, help="How many MDPs with a dataset; 500 where left out.", show_default=False)
    ] = None,
    families: Annotated[
        str | None,
        typer.Option(help="Of garnet, gridworld, chain and icu-sepsis; the first three where left out."),
    ] = None,
) -> None:
    """Draw MDPs and datasets, run exact tabular CQL on them and check one theorem on each; one row per draw."""
    import pandas as pd

    from cqlbench.scores import write_table
    from cqlbench.theory.experiments import DRAWN_FAMILIES, DRAWS, rows_of

    chosen = DRAWN_FAMILIES if families is None else tuple(families.split(","))
    table = pd.DataFrame(rows_of(experiment, draws or DRAWS, chosen))
    write_table(table, out / f"{experiment}.csv")
    print(f"{out / experiment}.csv: {len(table)} rows")


@theory.command(epilog="Example: cqlbench theory figure theorem-3.2 results/theory")
def figure(experiment: Experiment, folder: Folder) -> None:
    """Draw one experiment's table into DIR/figures, as SVG and PNG."""
    from cqlbench.theory.figures import draw_figure

    draw_figure(experiment, folder)


@theory.command(epilog="Example: cqlbench theory verdicts results/theory")
def verdicts(folder: Folder) -> None:
    """Count the violations of each theorem, with an exact interval, into DIR/verdicts.csv, and print them."""
    from cqlbench.theory.verdicts import markdown, write_verdicts

    print(markdown(write_verdicts(folder)), end="")


@theory.command(epilog="Example: cqlbench theory report results/theory")
def report(folder: Folder) -> None:
    """Write DIR/report.html: each theorem's condition in words, its verdict and its figure."""
    from cqlbench.report.theory import write_theory_report

    print(write_theory_report(folder))
