"""`cqlbench compare` and `cqlbench compare-calibration`: a method against others, and what the verdicts are worth."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import pandas as pd


def add_commands(app: typer.Typer) -> None:
    """Adds `compare` and `compare-calibration`."""
    app.command(
        context_settings={"allow_extra_args": True},
        epilog="Example: cqlbench compare my_method.py:MyMethod --suite workflow/config/quick.yaml --cores 8",
    )(compare)
    app.command("compare-calibration", epilog="Example: cqlbench compare-calibration --out results/reference/compare")(
        compare_calibration
    )


def compare(
    context: typer.Context,
    method: Annotated[
        str | None,
        typer.Argument(
            help="One's own class as my_method.py:MyMethod; with --scores a method's name in the file, which may be "
            "left out where it has one beside --against."
        ),
    ] = None,
    suite: Annotated[
        Path | None, typer.Option(metavar="SUITE.yaml", help="The suite whose datasets, seeds and budget are used.")
    ] = None,
    against: Annotated[
        list[str] | None, typer.Option(help="The method to compare with; may be given several times. Default: cql.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting of one's own method.")
    ] = None,
    cores: Annotated[str, typer.Option(help="How many runs at once.")] = "all",
    scores: Annotated[
        Path | None,
        typer.Option(metavar="FILE.csv", help="Scores trained elsewhere: dataset, method, seed, score (0-1)."),
    ] = None,
    results: Annotated[Path, typer.Option(help="The folder that holds runs/.")] = Path("results"),
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE.csv", help="Write the comparison here; else into the folder of what was trained."),
    ] = None,
) -> None:
    """Compares a method with others per dataset, seed by seed, and says what the seeds can carry: better, worse, or no
    evidence either way.

    Trains with Snakemake what is missing, from the repository's top folder; runs that are there are taken as they are.
    What stands after `--` goes to Snakemake. With --scores nothing is trained: a method that the file does not have is
    taken from the suite's own runs, if the file's columns dataset_hash, updates and episodes say that it is the same
    data, budget and protocol.
    """
    from cqlbench import comparison
    from cqlbench.errors import UserError
    from cqlbench.scores import write_table

    references = list(dict.fromkeys(against or ["cql"]))
    if scores:
        if settings or context.args:
            raise UserError(f"--scores {scores}: nothing is trained, so --set and words for Snakemake say nothing.")
        own, table = _read(scores, method, suite, references, results)
    elif method and suite:
        own, table, folder = _train(context.args, method, suite, settings or [], references, cores, results)
        out = out or folder / comparison.COMPARISON
    else:
        raise UserError("compare: name a method and a suite to train it on, or a table of scores with --scores.")
    compared = comparison.compare(table, own, references)
    if out:
        write_table(compared, out)
    print(comparison.markdown(compared))
    print("\n".join(comparison.summarise(table, own, references)))


def _read(
    scores: Path, method: str | None, suite_file: Path | None, references: list[str], results: Path
) -> tuple[str, pd.DataFrame]:
    """The method to compare and the runs of a score file, with those of the suite that it lacks."""
    from cqlbench.errors import UserError
    from cqlbench.score_files import add_baselines, find_baselines, read_scores
    from cqlbench.suites import load_suite

    suite = load_suite(suite_file) if suite_file else None
    table = read_scores(scores, suite)
    others = sorted(set(table["method"]) - set(references))
    if method is None and len(others) != 1:
        raise UserError(
            f"{scores}: say which method to compare, as in `cqlbench compare NAME --scores {scores}`; beside "
            f"{', '.join(references)} the file has {', '.join(others) or 'none'}."
        )
    own = method or others[0]
    if own in references:
        raise UserError(f"--against {own}: a method cannot be compared with itself; name another.")
    if suite and not set(references) <= set(table["method"]):
        table = add_baselines(scores, table, find_baselines(suite, results), references)
    return own, table


def _train(
    words: list[str],
    method: str,
    base: Path,
    settings: list[str],
    references: list[str],
    cores: str,
    results: Path,
) -> tuple[str, pd.DataFrame, Path]:
    """The method's family, the runs of the suite made for it, trained where they were missing, and its folder."""
    from cqlbench.cli.workflow import is_dry_run, run_suite
    from cqlbench.comparison import runs_of_suite
    from cqlbench.comparison_suites import family_of, refuse_other_data, write_comparison_suite
    from cqlbench.errors import UserError
    from cqlbench.suites import load_suite

    if not Path("Snakefile").is_file():
        raise UserError("compare: no Snakefile here; call it from the top folder of the repository.")
    values = dict(setting.partition("=")[::2] for setting in settings)
    suite_file = write_comparison_suite(base, method, values, references, results)
    refuse_other_data(load_suite(suite_file), results)
    # What Snakemake prints stands apart from the comparison.
    code = run_suite(suite_file, results, words, cores, sys.stderr)
    if code or is_dry_run(words):
        raise typer.Exit(code)
    table = runs_of_suite(suite_file.parent, results)
    print(f"{suite_file.parent / 'report.html'} has the figures and every run; {suite_file} is the suite.\n")
    if table["code_fingerprint"].nunique() > 1:
        print("These runs were made by different versions of the training code; the report says which.\n")
    if table["score"].isna().any():
        print(f"Runs without a score are left out below. To make them again: cqlbench retry {suite_file}\n")
    return family_of(method), table, suite_file.parent


def compare_calibration(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for calibration.csv.")],
    repetitions: Annotated[int | None, typer.Option(min=1, help="Comparisons simulated per row.")] = None,
) -> None:
    """Simulates comparisons of which the truth is known: coverage, false positives and power of the verdicts."""
    from cqlbench import calibration
    from cqlbench.scores import write_table

    table = calibration.calibrate(repetitions or calibration.REPETITIONS)
    write_table(table, out / calibration.CALIBRATION)
    print(calibration.markdown(table))
    expected = table[table["expected_within"]]
    within = expected["coverage_within"] & expected["false_positives_within"]
    print(
        f"{out / calibration.CALIBRATION}: {within.sum()} of {len(expected)} rows that were expected within "
        f"{100 * calibration.TOLERANCE:g} points of what is stated are"
    )
