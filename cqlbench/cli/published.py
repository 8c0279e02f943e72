"""`cqlbench published` and `cqlbench import-scores`: other people's numbers, printed and read in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def add_commands(app: typer.Typer) -> None:
    """Adds `published` and `import-scores`."""
    app.command(epilog="Example: cqlbench published --dataset hopper-medium-v2 --algorithm CQL --seeds 5")(published)
    app.command(
        "import-scores",
        epilog="Example: cqlbench import-scores curves.csv.gz --out results/imported --references d4rl",
    )(import_scores)


def published(
    dataset: Annotated[str | None, typer.Option(help="With its version, as in hopper-medium-v2.")] = None,
    algorithm: Annotated[str | None, typer.Option(help="CQL, for example.")] = None,
    seeds: Annotated[
        int | None,
        typer.Option(min=2, help="Also print what means of so many seeds would be called reproduced, and what not."),
    ] = None,
) -> None:
    """Prints the scores (x100) that papers and codebases report, each with its source and what is to be known of it.

    With --seeds the verdicts are those of seeds that spread as the published ones do.
    """
    from cqlbench.published.lookup import describe, find_published

    print(describe(find_published(dataset, algorithm), seeds))


def import_scores(
    file: Annotated[Path, typer.Argument(metavar="FILE.csv[.gz]", help="One row per run and evaluation.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to write.")],
    references: Annotated[
        str | None, typer.Option(help="By what returns become scores: d4rl. Not needed where the file has scores, 0-1.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="The report's heading; else the file's name.")] = None,
    note: Annotated[str, typer.Option(help="What a reader should know of these runs.")] = "",
    source: Annotated[str | None, typer.Option(help="Where the file is from.")] = None,
    algorithm_column: Annotated[str, typer.Option(help="What the column is called.")] = "algorithm",
    dataset_column: Annotated[str, typer.Option(help="What the column is called.")] = "dataset",
    seed_column: Annotated[str, typer.Option(help="What the column is called.")] = "seed",
    update_column: Annotated[str, typer.Option(help="What the column of gradient steps is called.")] = "step",
    return_column: Annotated[str, typer.Option(help="What the column of undiscounted returns is called.")] = "return",
    score_column: Annotated[str, typer.Option(help="What the column of scores (0-1) is called.")] = "score",
) -> None:
    """Makes of a table of other people's runs a folder that `cqlbench statistics`, `figures` and `report` read.

    The file is checked first: what is missing, there twice, no number, x100 or not evaluated when the other runs were
    is refused by its line. A seed that a method lacks on one dataset is named, and left out of the aggregates.
    """
    from cqlbench.published.curves import describe_source, read_curves, write_curves

    header = {
        "algorithm": algorithm_column, "dataset": dataset_column, "seed": seed_column, "update": update_column,
        "return": return_column, "score": score_column,
    }  # fmt: skip
    table = read_curves(file, header, references)
    origin = describe_source(file, references)
    about = {"title": title or file.name, "note": note, "source": f"{source}: {origin}" if source else origin}
    runs = write_curves(table, out, about)
    for hole in runs[runs["status"] == "missing"].itertuples(index=False):
        print(f"missing: {hole.method} on {hole.dataset}, seed {hole.seed}")
    done = int((runs["status"] == "done").sum())
    print(
        f"{out}: {done} runs of {runs['method'].nunique()} methods on {runs['dataset'].nunique()} datasets, "
        f"{table['update'].nunique()} evaluations each, up to {table['update'].max():,} updates. "
        f"Go on with: cqlbench statistics {out}"
    )
