"""From run folders to the report: five commands, each reading what those before it wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cqlbench.cli.workflow import SUITE

SuiteFile = Annotated[Path, typer.Argument(**SUITE, help="The suite: a file, or the name of one in workflow/config.")]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The suite's folder of results.")]
Results = Annotated[Path, typer.Option(help="The folder that holds runs/.")]
Out = Annotated[Path | None, typer.Option(help="Where to write; RESULTS/suites/NAME where left out.")]


def add_commands(app: typer.Typer) -> None:
    """Adds `scores`, `statistics`, `figures`, `costs` and `report`."""
    app.command(epilog="Example: cqlbench scores quick")(scores)
    app.command(epilog="Example: cqlbench statistics results/suites/quick")(statistics)
    app.command(epilog="Example: cqlbench figures results/suites/quick --style talk")(figures)
    app.command(epilog="Example: cqlbench costs quick")(costs)
    app.command(epilog="Example: cqlbench report results/suites/quick --suite quick")(report)


def scores(
    suite_file: SuiteFile,
    results: Results = Path("results"),
    out: Out = None,
) -> None:
    """Collects a suite's run folders into scores.csv, runs.csv, values.csv, training.csv and episodes.csv."""
    from cqlbench.accounting import note_time, timing_of_step
    from cqlbench.scores import RUNS, collect_tables, write_table
    from cqlbench.suites import load_suite
    from cqlbench.taken import add_taken

    suite = load_suite(suite_file)
    folder = out or results / "suites" / suite.name
    tables = add_taken(collect_tables(suite, results), suite, results / "datasets")
    for name, table in tables.items():
        write_table(table, folder / name)
    runs = tables[RUNS]
    note_time("scores", timing_of_step(folder, "scores"))
    counts = ", ".join(f"{count} {status}" for status, count in runs["status"].value_counts().sort_index().items())
    print(f"{folder}: {len(runs)} runs ({counts})")


def statistics(folder: Folder) -> None:
    """Computes estimates and intervals over seeds from what `cqlbench scores` wrote into DIR/statistics."""
    from cqlbench.accounting import note_time, timing_of_step
    from cqlbench.statistics import write_statistics

    write_statistics(folder)
    note_time("statistics", timing_of_step(folder, "statistics"))


def figures(
    folder: Folder,
    style: Annotated[str, typer.Option(help="paper (into DIR/figures) or talk (into DIR/figures/talk).")] = "paper",
) -> None:
    """Draws DIR/statistics into DIR/figures: each figure as SVG, PDF and PNG, and its data as CSV."""
    from cqlbench.accounting import note_time, timing_of_step
    from cqlbench.errors import UserError
    from cqlbench.figures import FOLDER, PAGES, draw_figures

    if style not in PAGES:
        raise UserError(f"--style: {style!r} is not a style. Choose {' or '.join(PAGES)}.")
    if style != "paper":
        draw_figures(folder, PAGES[style], folder / FOLDER / style)
        return
    draw_figures(folder)
    note_time("figures", timing_of_step(folder, "figures"))


def costs(suite_file: SuiteFile, results: Results = Path("results"), out: Out = None) -> None:
    """Adds up what a suite has taken by kind of work, from the timings of its runs and commands, into costs.csv.

    Called by Snakemake, it also counts Snakemake's own time; by hand, that is not to be known.
    """
    from cqlbench.accounting import COSTS, account, find_scheduler, training_share, write_costs
    from cqlbench.suites import load_suite

    suite = load_suite(suite_file)
    folder = out or results / "suites" / suite.name
    rows = account(suite, results, folder, find_scheduler())
    write_costs(rows, folder / COSTS)
    print(f"{folder / COSTS}: {training_share(rows)}")


def report(
    folder: Folder,
    suite: Annotated[
        Path | None,
        typer.Option(
            **SUITE, help="The suite: a file, or the name of one in workflow/config; left out for imported tables."
        ),
    ] = None,
    results: Results = Path("results"),
) -> None:
    """Writes DIR/report.html, one page that needs nothing else, and summary.md, table.tex, references.bib for papers.

    With --suite it also judges the suite's claims (DIR/claims.csv).
    """
    from cqlbench.report.build import write_report
    from cqlbench.suites import load_suite

    print(write_report(folder, results, load_suite(suite) if suite else None))
