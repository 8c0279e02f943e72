"""`cqlbench train` and `cqlbench evaluate`: a single run by hand, and what the workflow calls."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Annotated

import typer

from cqlbench import runs
from cqlbench.cli.settings import TAKES_SETTINGS, read_settings
from cqlbench.errors import UserError
from cqlbench.tasks import score_of

RESULTS = Path("results")


def add_commands(app: typer.Typer) -> None:
    """Adds this room's commands."""
    app.command(
        context_settings=TAKES_SETTINGS,
        epilog="Example: cqlbench train --dataset hopper/medium-v0 --method cql --cql-alpha 5 --seed 0 "
        "--updates 10000 --out /tmp/run",
    )(train)
    app.command(epilog="Example: cqlbench evaluate /tmp/run --episodes 50")(evaluate)


def train(
    context: typer.Context,
    dataset: Annotated[str, typer.Option(help="Dataset id, such as hopper/medium-v0.")],
    method: Annotated[str, typer.Option(help="A known method, or one's own class as my_method.py:MyMethod.")],
    seed: Annotated[int, typer.Option(help="Seed of the run.")] = 0,
    updates: Annotated[int, typer.Option(help="Gradient steps.")] = runs.Protocol.updates,
    evaluate_every: Annotated[int, typer.Option(help="Updates between evaluations.")] = runs.Protocol.evaluate_every,
    episodes: Annotated[int, typer.Option(help="Episodes per evaluation.")] = runs.Protocol.episodes,
    value_states: Annotated[
        int, typer.Option(help="States at which predicted and true value are compared; 0: none.")
    ] = runs.Protocol.value_states,
    out: Annotated[Path | None, typer.Option(help="Run folder; by default its place under --results.")] = None,
    results: Annotated[Path, typer.Option(help="Results folder, with the datasets in it.")] = RESULTS,
    device: Annotated[str, typer.Option(help="Torch device.")] = "cpu",
    checkpoint_every: Annotated[
        float,
        typer.Option(min=0, metavar="SECONDS", help="Seconds between checkpoints; 0: as often as metrics are logged."),
    ] = runs.CHECKPOINT_SECONDS,
    resume: Annotated[
        bool, typer.Option(help="Go on from a checkpoint that a killed run of the same method, data and code has left.")
    ] = True,
    tensorboard: Annotated[bool, typer.Option(help="Write event files for TensorBoard into the run folder.")] = False,
    keep_going: Annotated[
        bool, typer.Option(help="Supervise the run in a process of its own; a failed run is recorded, and exits 0.")
    ] = False,
    time_limit: Annotated[
        float | None, typer.Option(metavar="MINUTES", help="With --keep-going: a longer run is recorded as so.")
    ] = None,
) -> None:
    """Train and evaluate one run.

    Any setting of the method is an option too: --cql-alpha 5 --width 64 --no-normalise-observations and so on;
    an unknown one is refused with the list of those it has.
    """
    protocol = runs.Protocol(updates, evaluate_every, episodes, value_states)
    run = runs.make_run(dataset, method, read_settings(context.args), protocol, seed)
    folder = out or run.folder(results)
    if time_limit is not None and not keep_going:
        raise UserError("--time-limit: needs --keep-going, which watches over the run from a process of its own.")
    # No number is neither above nor below.
    if time_limit is not None and not time_limit > 0:
        raise UserError(f"--time-limit {time_limit:g}: not allowed; it must be above 0, in minutes.")
    if keep_going:
        from cqlbench.supervision import supervise

        words = ["--results", str(results), "--out", str(folder), "--device", device]
        words += ["--checkpoint-every", str(checkpoint_every), "--resume" if resume else "--no-resume"]
        command = [sys.executable, "-m", "cqlbench", "train", *run.arguments(), *words]
        if outcome := supervise([*command, "--tensorboard"] if tensorboard else command, folder, time_limit):
            print(f"{folder}: {outcome}", file=sys.stderr)
    else:
        _train_here(run, results, folder, device, runs.Resume(checkpoint_every, resume), tensorboard)


def evaluate(
    folder: Annotated[Path, typer.Argument(help="A finished run's folder.")],
    episodes: Annotated[int, typer.Option(min=1, help="Episodes to run.")] = 10,
) -> None:
    """Run episodes of a finished run's policy and print their returns."""
    import statistics

    from cqlbench.records import read_record
    from cqlbench.trained import evaluate_run

    outcome = evaluate_run(folder, episodes)
    for number, episode in enumerate(outcome):
        ending = "terminated" if episode.terminated else "cut by the time limit"
        print(f"episode {number:3d}  return {episode.return_:9.1f}  {episode.length:5d} steps, {ending}")
    mean = statistics.fmean(episode.return_ for episode in outcome)
    references = read_record(folder / runs.PROVENANCE).get("dataset", {})
    if references.get("ref_min") is None or references.get("ref_max") is None:
        print(f"mean return {mean:.1f} over {episodes} episodes; no references are known, so it has no score")
        return
    score = score_of(mean, references["ref_min"], references["ref_max"])
    print(f"mean return {mean:.1f} over {episodes} episodes, score {100 * score:.1f} (0 random, 100 expert)")


def _train_here(
    run: runs.Run, results: Path, folder: Path, device: str, resume: runs.Resume, tensorboard: bool
) -> None:
    # torch brings a million objects and no garbage. Not looking for any while it is imported, nor once more when the
    # process ends, is the larger part of a second saved.
    gc.disable()
    from cqlbench.cli.progress import watch
    from cqlbench.execution import execute
    from cqlbench.supervision import sole_trainer

    gc.enable()
    if run.config.remark:
        print(run.config.remark)
    with sole_trainer(folder), watch(run, folder if tensorboard else None) as progress:
        status = execute(run, results / "datasets", folder, progress, device, resume)
    print(f"{status}: {folder}")
    gc.freeze()
