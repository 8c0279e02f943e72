"""`cqlbench price`, `status` and `retry`: what a suite will cost, how far it is, and doing its failed runs again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cqlbench.cli.workflow import SUITE

Results = Annotated[Path, typer.Option(help="The folder that holds runs/.")]


def add_commands(app: typer.Typer) -> None:
    """Adds `price`, `status` and `retry`."""
    app.command(epilog="Example: cqlbench price quick")(price)
    app.command(epilog="Example: cqlbench status quick")(status)
    app.command(
        context_settings={"allow_extra_args": True},
        epilog="Example: cqlbench retry quick --retrain-stale -- --cores 4",
    )(retry)


def price(
    suite_file: Annotated[Path | None, typer.Argument(**SUITE, help="The suite to price: a file or a name.")] = None,
    results: Results = Path("results"),
    measure: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Write the rates of all finished runs to this table.")
    ] = None,
) -> None:
    """Prints how many runs a suite has, how many are done, and about how many CPU hours are to go.

    The estimate comes from finished runs of the same method and network size: those in the results folder, or else
    the package's own table, which `--measure cqlbench/rates.csv` writes.
    """
    from cqlbench import costs
    from cqlbench.errors import UserError
    from cqlbench.suites import load_suite

    if not suite_file and not measure:
        raise UserError("price: name a suite file, or a table to write with --measure.")
    if measure:
        costs.write_rates(costs.measure_rates(results), measure)
    if suite_file:
        print(costs.price(load_suite(suite_file), results, costs.known_rates(results)))


def status(
    suite_file: Annotated[Path, typer.Argument(**SUITE, help="The suite to look at: a file or a name.")],
    results: Results = Path("results"),
) -> None:
    """Says how far a suite is: runs done, running, failed, diverged and left, CPU hours spent and to go.

    Reads the run folders only, so it can be asked while the suite runs, and of a results folder copied from elsewhere.
    """
    from cqlbench.standing import look_at
    from cqlbench.suites import load_suite

    print(look_at(load_suite(suite_file), results))


def retry(
    context: typer.Context,
    suite_file: Annotated[Path, typer.Argument(**SUITE, help="The suite to complete: a file or a name.")],
    results: Results = Path("results"),
    retrain_stale: Annotated[
        bool, typer.Option("--retrain-stale", help="Also remove runs of other training code or data than the present.")
    ] = False,
) -> None:
    """Takes back a suite's failed runs, says which, and runs the suite with Snakemake.

    One that timed out, ran out of memory or was killed goes on from its last checkpoint. What stands after `--` goes
    to Snakemake; with its `--dry-run` nothing is removed either, only listed. A run that diverged is a result, not a
    failure: it would diverge again.
    """
    import shutil

    from cqlbench import runs
    from cqlbench.cli.workflow import is_dry_run, run_suite
    from cqlbench.datasets.sources import content_hash
    from cqlbench.provenance import code_fingerprint
    from cqlbench.records import read_record
    from cqlbench.suites import load_suite

    suite = load_suite(suite_file)
    code = code_fingerprint()
    # A dataset that is not there tells nothing: it may have been cleared away to save room.
    present = {dataset: content_hash(dataset, results / "datasets") for dataset in suite.datasets * retrain_stale}
    dry_run = is_dry_run(context.args)
    for run in dict.fromkeys(run for _, run in suite.runs()):
        folder = run.folder(results)
        if not (status := read_record(folder / runs.STATUS)):
            continue
        stale = status["status"] in runs.RESULTS_OF_TRAINING
        if not stale:
            reason = f"{status['status']} ({status.get('reason')})"
        else:
            made_of = read_record(folder / runs.PROVENANCE)
            if retrain_stale and made_of.get("code_fingerprint") != code:
                reason = "made by other training code"
            elif retrain_stale and present[run.dataset] not in (None, made_of.get("dataset", {}).get("content_hash")):
                reason = "made from other data"
            else:
                continue
        if dry_run:
            print(f"would be removed and trained again, {reason}: {folder}")
        else:
            print(f"removed, {reason}: {folder}")
            if stale:
                shutil.rmtree(folder)
            else:
                # What it can go on from stays.
                (folder / runs.STATUS).unlink()
    raise typer.Exit(run_suite(suite_file, results, context.args))
