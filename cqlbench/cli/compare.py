"""`cqlbench compare` and `cqlbench compare-calibration`: a method against others, and what the verdicts are worth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def add_commands(app: typer.Typer) -> None:
    """Adds `compare` and `compare-calibration`."""
    app.command(
        epilog="Example: cqlbench compare --scores mine.csv --against cql",
    )(compare)
    app.command("compare-calibration", epilog="Example: cqlbench compare-calibration --out results/reference/compare")(
        compare_calibration
    )


def compare(
    method: Annotated[
        str | None,
        typer.Argument(help="The method's name in the file; left out where it has one beside --against."),
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option(metavar="FILE.csv", help="Scores trained elsewhere: dataset, method, seed, score (0-1)."),
    ] = None,
    suite: Annotated[
        Path | None, typer.Option(metavar="SUITE.yaml", help="The suite whose datasets and seeds are compared.")
    ] = None,
    against: Annotated[
        list[str] | None, typer.Option(help="The method to compare with; may be given several times. Default: cql.")
    ] = None,
    results: Annotated[Path, typer.Option(help="The folder that holds runs/.")] = Path("results"),
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Also write the comparison to this table.")
    ] = None,
) -> None:
    """Compares a method with others per dataset, seed by seed, and says what the seeds can carry: better, worse, or no
    evidence either way.

    A method that the file does not have is taken from the suite's own runs, if the file's columns dataset_hash, updates
    and episodes say that it is the same data, budget and protocol.
    """
    from cqlbench import comparison
    from cqlbench.errors import UserError
    from cqlbench.score_files import add_baselines, find_baselines, read_scores
    from cqlbench.scores import write_table
    from cqlbench.suites import load_suite

    references = list(dict.fromkeys(against or ["cql"]))
    if not scores:
        raise UserError("compare: name a table of scores with --scores.")
    loaded = load_suite(suite) if suite else None
    table = read_scores(scores, loaded)
    others = sorted(set(table["method"]) - set(references))
    if method is None and len(others) != 1:
        raise UserError(
            f"{scores}: say which method to compare, as in `cqlbench compare NAME --scores {scores}`; beside "
            f"{', '.join(references)} the file has {', '.join(others) or 'none'}."
        )
    own = method or others[0]
    if own in references:
        raise UserError(f"--against {own}: a method cannot be compared with itself; name another.")
    if loaded and not set(references) <= set(table["method"]):
        table = add_baselines(scores, table, find_baselines(loaded, results), references)
    compared = comparison.compare(table, own, references)
    if out:
        write_table(compared, out)
    print(comparison.markdown(compared))
    print("\n".join(comparison.summarise(table, own, references)))


def compare_calibration(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for calibration.csv.")],
    repetitions: Annotated[int | None, typer.Option(min=1, help="Comparisons simulated per row.")] = None,
) -> None:
    """Simulates comparisons of which the truth is known: coverage, false positives and power of the verdicts."""
    from cqlbench import calibration
    from cqlbench.scores import write_table

    table = calibration.calibrate(repetitions or calibration.REPETITIONS)
    write_table(table, out / calibration.CALIBRATION)
    expected = table[table["expected_within"]]
    within = expected["coverage_within"] & expected["false_positives_within"]
    print(
        f"{out / calibration.CALIBRATION}: {within.sum()} of {len(expected)} rows that were expected within "
        f"{100 * calibration.TOLERANCE:g} points of what is stated are"
    )
