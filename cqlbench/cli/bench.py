"""`cqlbench bench`: how fast an update is here, beside d3rlpy's and beside what the machine can do."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cqlbench.errors import UserError

if TYPE_CHECKING:
    from cqlbench.bench.updates import Comparison

bench = typer.Typer()
Out = Annotated[Path | None, typer.Option(help="Folder for the table, as CSV.", show_default=False)]
Rounds = Annotated[int, typer.Option(min=2, help="Rounds; a ratio is taken within each.")]


def add_commands(app: typer.Typer) -> None:
    """Adds `bench` with its subcommands."""
    app.add_typer(bench, name="bench")


@bench.callback(invoke_without_command=True, epilog="Example: cqlbench bench --algorithms cql --hidden 64 --pairs 10")
def updates(
    context: typer.Context,
    out: Annotated[
        Path | None, typer.Option(help="Folder for bench.csv, bench.md and the figure.", show_default=False)
    ] = None,
    algorithms: Annotated[str, typer.Option(help="Which of cql, sac and bc.")] = "cql,sac,bc",
    hidden: Annotated[str, typer.Option(help="Units of each of the two hidden layers.")] = "64,128,256",
    pairs: Annotated[int, typer.Option(min=2, help="Rounds; each pairs every contender with d3rlpy.")] = 20,
    updates: Annotated[
        int | None, typer.Option(min=1, help="Updates per block; by default as many as last a quarter of a second.")
    ] = None,
    device: Annotated[str, typer.Option(help="Torch device.")] = "cpu",
) -> None:
    """Compare updates per second with d3rlpy's: the real training loop, the same batches, in turn, on one thread.

    Each ratio comes with its 10th and 90th percentile over the rounds, and the operations per second with their share
    of what matrix products alone reach in the same rounds. Where the percentiles are further apart than a factor of
    1.25, no verdict is given. On an idle machine: about five minutes.
    """
    if context.invoked_subcommand:
        return
    import torch

    from cqlbench.bench.tables import write_comparisons
    from cqlbench.bench.updates import compare
    from cqlbench.execution import find_device, prepare_process

    names, sizes = _chosen(algorithms, hidden)
    if device.startswith("cuda") and not torch.cuda.is_available():
        print(f"Skipped: --device {device} needs a GPU, and torch {torch.__version__} finds none here.")
        return
    where = find_device(device)
    prepare_process()
    comparisons = []
    with _bar(len(names) * len(sizes) * pairs) as advance:
        for name in names:
            for size in sizes:
                comparisons.append(compare(name, size, where, pairs, updates, advance))
    _show(comparisons)
    if out:
        write_comparisons(comparisons, out)
        print(f"written: {out}")


@bench.command("end-to-end", epilog="Example: cqlbench bench end-to-end --dataset hopper/medium-v0 --updates 2000")
def end_to_end(
    dataset: Annotated[str, typer.Option(help="Dataset id; it must be there.")] = "hopper/medium-v0",
    hidden: Annotated[int, typer.Option(min=1, help="Units of each of the two hidden layers.")] = 64,
    updates: Annotated[int, typer.Option(min=1, help="Updates of each run.")] = 2_000,
    pairs: Annotated[int, typer.Option(min=2, help="Pairs of runs.")] = 5,
    results: Annotated[Path, typer.Option(help="Results folder, with the datasets in it.")] = Path("results"),
    out: Out = None,
) -> None:
    """Compare whole `cqlbench train` commands, native CQL's and d3rlpy's: imports and evaluation included.

    By default the budget of a fifth of a run of `quick`, whose share of evaluations it keeps.
    """
    from cqlbench.bench.end_to_end import compare_commands
    from cqlbench.bench.tables import write_rows

    with _bar(2 * pairs) as advance:
        row = compare_commands(dataset, results, hidden, updates, pairs, advance)
    print(row)
    if out:
        out.mkdir(parents=True, exist_ok=True)
        write_rows([row], out / "end_to_end.csv")


@bench.command(epilog="Example: cqlbench bench processes --processes 2 --hidden 64")
def processes(
    hidden: Annotated[int, typer.Option(min=1, help="Units of each of the two hidden layers.")] = 64,
    processes: Annotated[int, typer.Option(min=2, help="Trainings at once.")] = 2,
    rounds: Rounds = 15,
    seconds: Annotated[float, typer.Option(min=0, help="How long each measurement lasts.")] = 1.0,
    out: Out = None,
) -> None:
    """Measure what several trainings at once lose to each other, beside what loops of matrix products lose."""
    from cqlbench.bench.processes import compare_processes
    from cqlbench.bench.ratios import Spread
    from cqlbench.bench.tables import write_rows

    with _bar(rounds) as advance:
        measured = compare_processes(hidden, processes, rounds, seconds, advance)
    for row in measured.rows:
        spread = Spread(row.efficiency_median, row.efficiency_low, row.efficiency_high)
        print(
            f"{row.work}: one {row.rate_single:.4g} {row.unit}, {row.processes} at once {row.rate_together:.4g}, "
            f"efficiency {spread}"
        )
    print(measured.verdict)
    if out:
        out.mkdir(parents=True, exist_ok=True)
        write_rows(measured.rows, out / "processes.csv")


@bench.command(epilog="Example: cqlbench bench profile --algorithms cql --hidden 64")
def profile(
    algorithms: Annotated[str, typer.Option(help="Which of cql, sac and bc.")] = "cql,sac,bc",
    hidden: Annotated[str, typer.Option(help="Units of each of the two hidden layers.")] = "64,128,256",
    updates: Annotated[int, typer.Option(min=1, help="Updates to watch.")] = 50,
    out: Out = None,
) -> None:
    """Show where an update's time goes: matrix products, other operations, or between operations."""
    from cqlbench.bench.profile import profile_updates
    from cqlbench.bench.tables import write_rows
    from cqlbench.execution import prepare_process

    names, sizes = _chosen(algorithms, hidden)
    prepare_process()
    rows = []
    with _bar(len(names) * len(sizes)) as advance:
        for name in names:
            for size in sizes:
                rows += profile_updates(name, size, updates)
                advance()
    for row in rows:
        print(
            f"2x{row.hidden} {row.contender}, {row.part}: {row.milliseconds:.2f} ms in {row.calls:.0f} calls, "
            f"{row.share:.0%}"
        )
    if out:
        out.mkdir(parents=True, exist_ok=True)
        write_rows(rows, out / "profile.csv")


@bench.command(epilog="Example: cqlbench bench scaling --out results/bench")
def scaling(
    hidden: Annotated[int, typer.Option(min=1, help="Units of each of the two hidden layers.")] = 64,
    updates: Annotated[int, typer.Option(min=1, help="Updates of each run.")] = 1_000,
    rounds: Annotated[int, typer.Option(min=1, help="Runs of each size, of which the medians count.")] = 3,
    out: Annotated[Path | None, typer.Option(help="Folder for scaling.csv and the figure.", show_default=False)] = None,
) -> None:
    """Measure whole CQL runs on 10,000 to 1,000,000 transitions: loading, updates, peak memory.

    Says of each whether it grows linearly or better. Needs about 500 MB of temporary disk.
    """
    from cqlbench.bench.scaling import SIZES, draw_scaling, measure_scaling, verdicts
    from cqlbench.bench.tables import write_rows
    from cqlbench.figures.pages import drawing_style, save_figure

    with _bar(len(SIZES) * rounds) as advance:
        rows = measure_scaling(SIZES, {"width": hidden}, updates, rounds, advance)
    for row in rows:
        print(
            f"{row.transitions:,} transitions: loading {row.seconds_loading:.2f} s, 1,000 updates "
            f"{row.seconds_per_1000_updates:.2f} s, peak memory beyond torch {row.peak_memory_mb:.0f} MB"
        )
    for sentence in verdicts(rows):
        print(sentence)
    if out:
        out.mkdir(parents=True, exist_ok=True)
        write_rows(rows, out / "scaling.csv")
        with drawing_style():
            save_figure(draw_scaling(rows), out, "scaling")


@bench.command(epilog="Example: cqlbench bench memory --out results/bench")
def memory(
    algorithms: Annotated[str, typer.Option(help="Which of cql, sac and bc.")] = "cql,sac,bc",
    hidden: Annotated[int, typer.Option(min=1, help="Units of each of the two hidden layers.")] = 64,
    rounds: Rounds = 15,
    batches: Annotated[int, typer.Option(min=2, help="Batches of each size of buffer.")] = 200,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the three tables and the figure.", show_default=False)
    ] = None,
) -> None:
    """Measure a dataset larger than a run's memory: loading, updates from the disk, what is in a batch.

    Updates in memory and from the disk, under a limit of the kernel's on the process, are taken in turn. Needs about
    500 MB of temporary disk; some minutes.
    """
    from cqlbench.bench.memory import BATCHES, LOADING, MEMORY, draw_memory, measure_memory, verdicts
    from cqlbench.bench.tables import write_rows
    from cqlbench.figures.pages import drawing_style, save_figure

    names, _ = _chosen(algorithms, str(hidden))
    with _bar(2 + len(names) * (rounds + 1)) as advance:
        measured = measure_memory(names, hidden, rounds, batches, advance)
    for sentence in verdicts(measured):
        print(sentence)
    if out:
        out.mkdir(parents=True, exist_ok=True)
        write_rows(measured.loading, out / LOADING)
        write_rows(measured.updates, out / MEMORY)
        write_rows(measured.batches, out / BATCHES)
        with drawing_style():
            save_figure(draw_memory(measured), out, "memory")


@bench.command("many-runs", epilog="Example: cqlbench bench many-runs --runs 1000,3000,10000 --out results/bench")
def many_runs(
    runs: Annotated[str, typer.Option(help="Runs of each suite, multiples of 1,000.")] = "1000,3000,10000",
    out: Out = None,
) -> None:
    """Measure all that a suite takes beside training, on made-up run folders: dry run, status, scores to report.

    Says of each step whether it grows linearly or better. Needs the repository's top folder as the current one and,
    for 10,000 runs, about 500 MB of temporary disk.
    """
    from cqlbench.bench.many_runs import TABLE, measure_many_runs, steps, verdicts
    from cqlbench.bench.tables import write_rows

    sizes = sorted(set(_whole_numbers("--runs", runs, "1000,10000")))
    with _bar(len(sizes) * len(steps(Path()))) as advance:
        rows = measure_many_runs(sizes, advance)
    for row in rows:
        print(f"{row.runs:,} runs, {row.step}: {row.seconds:.1f} s, {row.peak_memory_mb:.0f} MB of memory")
    for sentence in verdicts(rows):
        print(sentence)
    if out:
        out.mkdir(parents=True, exist_ok=True)
        write_rows(rows, out / TABLE)


def _show(comparisons: list[Comparison]) -> None:
    from rich.console import Console
    from rich.table import Table

    from cqlbench.bench.tables import COLUMNS, cells

    table = Table(*COLUMNS)
    for comparison in comparisons:
        for row in comparison.rows():
            table.add_row(*cells(row))
        table.add_section()
    # In a file or a pipe rich would take 80 columns, too few for the table.
    Console(width=None if sys.stdout.isatty() else 110).print(table)
    for comparison in comparisons:
        for verdict in comparison.verdicts():
            print(verdict)


@contextmanager
def _bar(total: int) -> Iterator[Callable[[], None]]:
    """A progress bar on standard error; yields what to call after each of `total` parts."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("measuring", total=total)
        yield lambda: bar.advance(task)


def _chosen(algorithms: str, hidden: str) -> tuple[list[str], list[int]]:
    """The algorithms and sizes that are named, apart. Raises UserError for one that there is not."""
    from cqlbench.bench.updates import CONTENDERS

    names = algorithms.split(",")
    if wrong := [name for name in names if name not in CONTENDERS]:
        raise UserError(f"--algorithms: {wrong[0]!r} is not known; name some of {','.join(CONTENDERS)}.")
    return names, _whole_numbers("--hidden", hidden, "64,128,256")


def _whole_numbers(option: str, text: str, example: str) -> list[int]:
    """The numbers in `text`, from 1, apart. Raises UserError for anything else."""
    words = text.split(",")
    if wrong := [word for word in words if not (word.isdecimal() and int(word))]:
        raise UserError(f"{option}: {wrong[0]!r} is not allowed; give whole numbers from 1, as {example}.")
    return [int(word) for word in words]
