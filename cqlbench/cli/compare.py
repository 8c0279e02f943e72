"""`cqlbench compare` and `cqlbench compare-calibration`: a method against others, and what the verdicts are worth."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cqlbench.cli.workflow import SUITE

if TYPE_CHECKING:
    import pandas as pd

    from cqlbench.comparison_suites import Choice

Against = Annotated[
    list[str] | None, typer.Option(help="The method to compare with; may be given several times. Default: cql.")
]


def add_commands(app: typer.Typer) -> None:
    """Adds `compare`, `comparison` and `compare-calibration`."""
    app.command(
        context_settings={"allow_extra_args": True},
        epilog="Example: cqlbench compare my_method.py:MyMethod --suite quick --cores 8",
    )(compare)
    app.command(epilog="Example: cqlbench comparison results/suites/quick d3rlpy-cql --against cql --against bc")(
        comparison
    )
    app.command("compare-calibration", epilog="Example: cqlbench compare-calibration --out results/reference/compare")(
        compare_calibration
    )


def compare(
    context: typer.Context,
    method: Annotated[
        str | None,
        typer.Argument(
            help="One's own class as my_method.py:MyMethod, a method of the suite, or any known one; with --scores a "
            "method's name in the file, which may be left out where it has one beside --against."
        ),
    ] = None,
    suite: Annotated[
        Path | None,
        typer.Option(**SUITE, help="The suite whose datasets, seeds and budget are used: a file, or a name as quick."),
    ] = None,
    against: Against = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting of the method.")
    ] = None,
    cores: Annotated[str, typer.Option(help="How many runs at once.")] = "all",
    train_baselines: Annotated[
        bool, typer.Option("--train-baselines", help="Take no runs from results/reference/; train them.")
    ] = False,
    time_limit: Annotated[
        float | None,
        typer.Option(
            metavar="MINUTES",
            help="A run that takes longer is stopped and marked; by default ten times what the slowest method compared "
            "with is priced, at least half an hour, and no limit where that has never been measured.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be trained; write nothing.")] = False,
    scores: Annotated[
        Path | None,
        typer.Option(metavar="FILE.csv", help="Scores trained elsewhere: dataset, method, seed, score (0-1)."),
    ] = None,
    results: Annotated[Path, typer.Option(help="The folder that holds runs/ and reference/.")] = Path("results"),
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="With --scores: write the comparison here.")
    ] = None,
) -> None:
    """Compares a method with others per dataset, seed by seed, and says what the seeds can carry: better, worse, or no
    evidence either way.

    Trains with Snakemake what is missing, from the repository's top folder. Runs that are there are taken as they are;
    so are the suite's committed ones in results/reference/, where data, settings, budget and protocol are the same.
    What stands after `--` goes to Snakemake. With --scores nothing is trained: a method that the file does not have is
    taken from the suite's own runs, if the file's columns dataset_hash, updates and episodes say that it is the same
    data, budget and protocol.
    """
    from cqlbench.comparison import compare, markdown, summarise
    from cqlbench.comparison_suites import Choice
    from cqlbench.errors import UserError
    from cqlbench.scores import write_table

    references = tuple(dict.fromkeys(against or ["cql"]))
    if scores:
        if settings or context.args:
            raise UserError(f"--scores {scores}: nothing is trained, so --set and words for Snakemake say nothing.")
        own, table = _read(scores, method, suite, list(references), results)
        compared = compare(table, own, list(references))
        if out:
            write_table(compared, out)
        print(markdown(compared))
        print("\n".join(summarise(table, own, list(references))))
    elif method and suite:
        if out:
            raise UserError("--out: only with --scores; else comparison.csv is in the folder of what was trained.")
        values = dict(setting.partition("=")[::2] for setting in settings or [])
        choice = Choice(method, references, values, time_limit, train_baselines)
        words = [*context.args, *["--dry-run"] * dry_run]
        _train(suite, choice, words, cores, results)
    else:
        raise UserError("compare: name a method and a suite to train it on, or a table of scores with --scores.")


def comparison(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of an analysed suite.")],
    method: Annotated[str, typer.Argument(help="The family that is judged, as the suite calls it.")],
    against: Against = None,
) -> None:
    """Compares a suite's families as `compare` does, from its tables: writes DIR/comparison.csv and comparison.md."""
    from cqlbench.comparison import write_comparison

    print(write_comparison(folder, method, list(dict.fromkeys(against or ["cql"]))), end="")


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
    if absent := [name for name in references if name not in set(table["method"])]:
        if not suite:
            raise UserError(
                f"--against {absent[0]}: not in {scores}, which has {', '.join(sorted(set(table['method'])))}. With "
                "--suite it is taken from that suite's runs."
            )
        table = add_baselines(scores, table, find_baselines(suite, results), references)
    return own, table


def _train(base: Path, choice: Choice, words: list[str], cores: str, results: Path) -> None:
    """Plans the suite of the comparison, makes it with Snakemake, and prints what it came to."""
    import tempfile

    from cqlbench.cli.workflow import is_dry_run, run_suite
    from cqlbench.comparison import COMPARISON_TEXT
    from cqlbench.comparison_suites import plan_comparison, refuse_other_data, write_suite
    from cqlbench.datasets import dataset_file
    from cqlbench.errors import UserError
    from cqlbench.suites import load_suite

    if not Path("Snakefile").is_file():
        raise UserError("compare: no Snakefile here; call it from the top folder of the repository.")
    dry_run = is_dry_run(words)
    plan = plan_comparison(base, choice, results)
    files = [dataset_file(results / "datasets", dataset) for dataset in load_suite(base).datasets]
    missing = [str(file) for file in files if not file.exists()]
    if plan.trained and missing and not dry_run:
        # What the data turn out to be decides which runs may be taken. What Snakemake prints stands apart from the
        # comparison.
        if code := run_suite(base, results, [*missing, *words], cores, sys.stderr):
            raise typer.Exit(code)
        plan = plan_comparison(base, choice, results)
    limit = f"{plan.content['time_limit']:g} minutes" if "time_limit" in plan.content else "as long as it wants"
    print(*plan.sources, *[f"A run may take {limit}."] * bool(plan.trained), sep="\n", file=sys.stderr)
    with tempfile.TemporaryDirectory() as passing:
        folder = results / "suites" / plan.content["name"]
        suite_file = write_suite(plan.content, Path(passing) if dry_run else folder)
        refuse_other_data(load_suite(suite_file), results)
        code = run_suite(suite_file, results, words, cores, sys.stderr)
    if code or dry_run:
        raise typer.Exit(code)
    print(f"{folder / 'report.html'} has the figures and every run; {suite_file} is the suite.\n")
    print((folder / COMPARISON_TEXT).read_text(encoding="utf-8"), end="")


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
