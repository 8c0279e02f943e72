"""`cqlbench hold-out`, `estimate`, `estimates` and `estimate-figure`: what logs alone say of finished runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cqlbench.cli.workflow import SUITE

Results = Annotated[Path, typer.Option(help="The folder that holds runs/ and datasets/.")]


def add_commands(app: typer.Typer) -> None:
    """Adds this room's commands."""
    app.command("hold-out", epilog="Example: cqlbench hold-out file:plant.npz --out split --share 0.1")(hold_out)
    app.command(
        epilog="Example: cqlbench estimate results/runs/file/plant.npz/cql/*/seed=0 --held-out file:later.npz "
        "--out estimates.csv"
    )(estimate)
    app.command(epilog="Example: cqlbench estimates plant.yaml --results results")(estimates)
    app.command("estimate-figure", epilog="Example: cqlbench estimate-figure results/suites/plant")(figure)


def hold_out(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="Dataset id, such as file:plant.npz.")],
    out: Annotated[Path, typer.Option(help="The folder to write to.")],
    share: Annotated[float, typer.Option(min=0, max=1, help="Of the episodes, how many are held out.")] = 0.1,
    results: Results = Path("results"),
) -> None:
    """Split a dataset's episodes in two: kept.npz to train on and held-out.npz to test on.

    Which episodes are held out depends on the dataset's id alone.
    """
    from cqlbench.datasets import load
    from cqlbench.estimates.held_out import HELD_OUT, KEPT, set_apart

    kept, apart = set_apart(load(dataset, results / "datasets"), share, out)
    print(f"{kept:,} episodes to train on: file:{out / KEPT}")
    print(f"{apart:,} episodes held out:   file:{out / HELD_OUT}")


def estimate(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of finished runs.")],
    out: Annotated[Path, typer.Option(help="The table to write.")],
    held_out: Annotated[
        str | None, typer.Option(metavar="DATASET", help="Episodes that the runs were not trained on.")
    ] = None,
    updates: Annotated[
        int | None, typer.Option(min=1, help="Updates of the fitted Q evaluation; 10,000 where left out.")
    ] = None,
    results: Results = Path("results"),
) -> None:
    """Estimate the value of finished runs' policies from logs alone: a table with a row per run.

    Fitted Q evaluation, the method's own value of initial states, and TD errors and the conservative gap, also on
    held-out episodes. These are estimates; where there is a simulator, the true value stands beside them.
    """
    import pandas as pd

    from cqlbench.datasets import load
    from cqlbench.estimates.fqe import Settings
    from cqlbench.estimates.measures import HeldOut, estimate_run
    from cqlbench.estimates.tables import COLUMNS
    from cqlbench.scores import write_table

    datasets = results / "datasets"
    settings = Settings(updates) if updates else Settings()
    apart = HeldOut(held_out, load(held_out, datasets)) if held_out else None
    rows = []
    for folder in folders:
        row = estimate_run(folder, datasets, apart, settings)
        print(
            f"{folder}: {row['status']}; value by fitted Q evaluation {row['fqe_value']:.4g}, by its own critic "
            f"{row['predicted_value']:.4g}, true {row['true_value']:.4g}",
            flush=True,
        )
        rows.append(row)
    write_table(pd.DataFrame(rows, columns=COLUMNS), out)


def estimates(
    suite_file: Annotated[Path, typer.Argument(**SUITE, help="The suite: a file, or a name in workflow/config.")],
    results: Results = Path("results"),
    out: Annotated[Path | None, typer.Option(help="Its folder; RESULTS/suites/NAME where left out.")] = None,
) -> None:
    """Join the estimates of a suite's runs into estimates.csv, and over seeds into statistics/estimates.csv.

    estimates.md has the latter in print. Where the truth is known, estimate-expectations.csv holds what was expected
    of Hopper's runs against it.
    """
    from cqlbench.estimates.expectations import judge
    from cqlbench.estimates.printed import SUMMARY, markdown
    from cqlbench.estimates.tables import ESTIMATES, collect, summarise
    from cqlbench.scores import write_table
    from cqlbench.statistics import FOLDER
    from cqlbench.suites import load_suite
    from cqlbench.writers import write_text

    suite = load_suite(suite_file)
    folder = out or results / "suites" / suite.name
    table = collect(suite, folder)
    write_table(table, folder / ESTIMATES)
    summary = summarise(table)
    write_table(summary, folder / FOLDER / ESTIMATES)
    write_text(folder / SUMMARY, markdown(summary) + "\n")
    verdicts = judge(table)
    if (verdicts["verdict"] != "undecided").any():
        write_table(verdicts, folder / "estimate-expectations.csv")
        for row in verdicts.itertuples(index=False):
            counted = f"{row.verdict} ({row.holding} of {row.cases} seeds)"
            print(f"{row.number}. {row.family} on {row.dataset}: {row.expectation}: {counted}")


def figure(folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder with estimates.csv.")]) -> None:
    """Draw DIR/estimates.csv into DIR/figures: each run's value by its critic, by fitted Q evaluation, and in truth."""
    from cqlbench.estimates.figure import draw_figure

    draw_figure(folder)
