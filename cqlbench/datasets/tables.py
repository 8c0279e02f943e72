"""The package's two tables about its own datasets: reference returns and content hashes. Commands write them."""

from __future__ import annotations

import csv
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cqlbench.datasets.behaviour import load_behaviour
from cqlbench.datasets.collect import rollout
from cqlbench.datasets.kinds import dataset_ids
from cqlbench.errors import UserError
from cqlbench.seeding import seed_for
from cqlbench.tasks import TASKS, Task
from cqlbench.writers import aside

_FOLDER = Path(__file__).parent
REFERENCE_EPISODES = 100
_HOW = "undiscounted; {} and {}; actions sampled as in the datasets"


class Reference(NamedTuple):
    """What 0 and 1 of a score are: mean undiscounted returns over `episodes` episodes each."""

    task: str
    random_return: float
    expert_return: float
    episodes: int
    how: str
    mujoco_version: str


class ExpectedHash(NamedTuple):
    """The content hash of a dataset of so many transitions, and the simulator that made it."""

    dataset: str
    sha256: str
    transitions: int
    mujoco_version: str


def mujoco_version() -> str:
    """The installed MuJoCo; the pendulum does not use it, but one number then stands for the whole simulator."""
    return metadata.version("mujoco")


def read_references() -> dict[str, Reference]:
    """The reference of each task that has one."""
    return {
        task: Reference(task, float(random), float(expert), int(episodes), how, version)
        for task, random, expert, episodes, how, version in _read("references.csv")
    }


def find_reference(task: Task) -> Reference:
    """The task's reference. Raises UserError where the table has none."""
    references = read_references()
    if task.name not in references:
        raise UserError(
            f"{task.name} has no reference returns in the package's table; "
            f"measure them with: cqlbench datasets references {task.name}"
        )
    return references[task.name]


def measure_reference(task: Task) -> Reference:
    """Rolls out the random and the expert policy of `task` and writes its row of `references.csv`."""
    import gymnasium

    behaviour = load_behaviour(task)
    env = gymnasium.make(task.env_id)
    means = [
        np.mean(
            [
                rollout(env, policy, seed_for(f"{task.name}/reference-{name}"), episode).rewards.sum(dtype=float)
                for episode in range(REFERENCE_EPISODES)
            ]
        )
        for name, policy in (("random", behaviour.random), ("expert", behaviour.expert))
    ]
    env.close()
    random, expert = (round(float(mean), 6) for mean in means)
    # Of controllers in closed form the label says it all.
    trained = task.behaviour_env_steps > 0
    named = ("untrained", "last behaviour snapshot") if trained else (behaviour.random.label, behaviour.expert.label)
    reference = Reference(task.name, random, expert, REFERENCE_EPISODES, _HOW.format(*named), mujoco_version())
    rows = {**read_references(), task.name: reference}
    _write("references.csv", Reference._fields, [rows[name] for name in TASKS if name in rows])
    return reference


def read_hashes() -> dict[str, ExpectedHash]:
    """The expected hash of each dataset that has one."""
    return {
        dataset: ExpectedHash(dataset, sha256, int(transitions), version)
        for dataset, sha256, transitions, version in _read("hashes.csv")
    }


def write_hash(row: ExpectedHash) -> None:
    """Writes the dataset's row of `hashes.csv`."""
    rows = {**read_hashes(), row.dataset: row}
    _write("hashes.csv", ExpectedHash._fields, [rows[name] for name in dataset_ids() if name in rows])


def _read(name: str) -> list[list[str]]:
    path = _FOLDER / name
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.reader(file))[1:]


def _write(name: str, header: tuple[str, ...], rows: list) -> None:
    with aside(_FOLDER / name) as beside, beside.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(header)
        table.writerows(rows)
