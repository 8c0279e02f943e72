"""`cqlbench datasets ...`: make, download, list, show and inspect datasets, train behaviour policies, write tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Root = Annotated[Path, typer.Option(help="Folder of the datasets, a Minari root.")]
DatasetId = Annotated[str, typer.Argument(help="Such as hopper/medium-v0.", metavar="ID")]
AnyId = Annotated[
    str,
    typer.Argument(help="Such as hopper/medium-v0, minari:ID, d4rl:NAME or file:PATH.", metavar="ID"),
]
DEFAULT_ROOT = Path("results/datasets")


def add_commands(app: typer.Typer) -> None:
    """Adds this room's commands."""
    # Not above: its options are those of this module.
    from cqlbench.cli import inspection

    room = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")
    app.add_typer(room, name="datasets", help="Make, list and show the datasets.")
    room.command("list", epilog="Example: cqlbench datasets list")(list_datasets)
    room.command("make", epilog="Example: cqlbench datasets make hopper/medium-v0")(make)
    room.command("show", epilog="Example: cqlbench datasets show hopper/medium-v0")(show)
    room.command("download", epilog="Example: cqlbench datasets download mujoco/hopper/medium-v0")(download)
    room.command("export", epilog="Example: cqlbench datasets export hopper/medium-v0 file:hopper.hdf5")(export)
    room.command(
        "train-behaviour", epilog="Example: cqlbench datasets train-behaviour hopper --out results/behaviours --seed 1"
    )(train_behaviour)
    room.command("references", epilog="Example: cqlbench datasets references hopper walker2d")(references)
    room.command("hashes", epilog="Example: cqlbench datasets hashes hopper/medium-v0")(hashes)
    inspection.add_commands(room)


def list_datasets(root: Root = DEFAULT_ROOT) -> None:
    """Lists every dataset: its transitions, whether it is made, and whether it is the expected data.

    Below them, those from elsewhere that lie in the same folder.
    """
    from cqlbench.datasets.kinds import dataset_ids
    from cqlbench.datasets.sources import found_ids
    from cqlbench.datasets.store import TRANSITIONS, stored_metadata
    from cqlbench.datasets.tables import read_hashes

    expected = read_hashes()
    print(f"{'id':<28} {'transitions':>11}  {'made':<5} hash")
    for dataset_id in dataset_ids():
        stored = stored_metadata(dataset_id, root)
        transitions = stored["total_steps"] if stored else TRANSITIONS
        row = expected.get(dataset_id)
        if not stored:
            verdict = ""
        elif row is None or row.transitions != transitions:
            verdict = "none expected"
        else:
            verdict = "as expected" if row.sha256 == stored["content_hash"] else "differs"
        print(f"{dataset_id:<28} {transitions:>11,}  {'yes' if stored else 'no':<5} {verdict}".rstrip())
    for dataset_id in found_ids(root):
        print(dataset_id)


def make(
    dataset_id: DatasetId,
    root: Root = DEFAULT_ROOT,
    transitions: Annotated[int, typer.Option(help="How many; hashes are known for the default only.")] = 100_000,
) -> None:
    """Rolls a dataset out of the package's behaviour policies and stores it with Minari."""
    from cqlbench.accounting import note_time, timing_of_dataset
    from cqlbench.datasets import dataset_file, make_dataset

    dataset = make_dataset(dataset_id, root, transitions)
    note_time("datasets", timing_of_dataset(root, dataset_id))
    if dataset.warning:
        typer.echo(f"warning: {dataset.warning}", err=True)
    print(f"{len(dataset.rewards):,} transitions in {dataset_file(root, dataset_id)}, sha256 {dataset.content_hash}")


def show(dataset_id: AnyId, root: Root = DEFAULT_ROOT) -> None:
    """Prints returns, lengths, ends, action coverage, reference scores and hash of a dataset."""
    from cqlbench.datasets import load
    from cqlbench.datasets.describe import describe

    print(describe(load(dataset_id, root)))


def download(
    name: Annotated[str, typer.Argument(help="As the hub calls it.", metavar="ID")],
    root: Root = DEFAULT_ROOT,
    wait: Annotated[float, typer.Option(help="Seconds to wait for the hub's first answer.", min=0.1)] = 0.8,
) -> None:
    """Downloads a dataset from the Minari hub; a suite then calls it minari:ID. Nothing else asks the network."""
    from cqlbench.datasets import load
    from cqlbench.datasets.hub import download as fetch
    from cqlbench.datasets.sources import split_id

    _, name = split_id(f"minari:{name.removeprefix('minari:')}")
    fetch(name, root, wait)
    dataset = load(f"minari:{name}", root)
    if dataset.warning:
        typer.echo(f"warning: {dataset.warning}", err=True)
    print(f"{len(dataset.rewards):,} transitions of {dataset.id}, sha256 {dataset.content_hash}")


def export(
    dataset_id: AnyId,
    target: Annotated[
        str, typer.Argument(help="file:PATH.hdf5 (D4RL's layout), file:PATH.npz or minari:ID.", metavar="TARGET")
    ],
    root: Root = DEFAULT_ROOT,
) -> None:
    """Writes a dataset in another format, so that other codebases can be run on the same transitions."""
    from cqlbench.datasets import load
    from cqlbench.datasets.export import export as write

    print(write(load(dataset_id, root), target, root))


def train_behaviour(
    task: Annotated[str, typer.Argument(help="Such as hopper.")],
    out: Annotated[Path, typer.Option(help="Folder for TASK.npz and TASK.csv.")] = Path("results/behaviours"),
    seed: Annotated[int, typer.Option(help="Seed of the training.", min=0)] = 0,
) -> None:
    """Trains a task's behaviour policy with PPO and keeps snapshots along training; takes minutes.

    The package's own lie in cqlbench/datasets/behaviours; after replacing one, measure its references and make its
    datasets and their hashes again.
    """
    from cqlbench.datasets.behaviour import train_behaviour as train
    from cqlbench.tasks import find_task

    print(train(find_task(task), out, seed))


def references(tasks: Annotated[list[str], typer.Argument(help="Such as hopper.", metavar="TASK...")]) -> None:
    """Measures what 0 and 1 of a score are, and writes the package's table of references."""
    from cqlbench.datasets.tables import measure_reference
    from cqlbench.tasks import find_task

    for task in [find_task(name) for name in tasks]:
        row = measure_reference(task)
        print(
            f"{row.task}: random {row.random_return:.2f}, expert {row.expert_return:.2f}, {row.episodes} episodes each"
        )


def hashes(
    dataset_ids: Annotated[list[str], typer.Argument(help="Such as hopper/medium-v0.", metavar="ID...")],
    root: Root = DEFAULT_ROOT,
) -> None:
    """Writes the hashes of datasets already made into the package's table, as the expected ones."""
    from cqlbench.datasets import load
    from cqlbench.datasets.store import stored_metadata
    from cqlbench.datasets.tables import ExpectedHash, write_hash

    for dataset_id in dataset_ids:
        dataset = load(dataset_id, root)
        stored = stored_metadata(dataset_id, root)
        assert stored is not None, dataset_id
        row = ExpectedHash(dataset_id, dataset.content_hash, len(dataset.rewards), stored["mujoco_version"])
        write_hash(row)
        print(f"{row.dataset} {row.sha256}")
