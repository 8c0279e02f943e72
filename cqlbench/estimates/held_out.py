"""Episodes set apart before training, so that something is left to test on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml

from cqlbench.datasets import OfflineDataset
from cqlbench.errors import UserError
from cqlbench.seeding import generator_for
from cqlbench.tasks import TASKS
from cqlbench.writers import aside, write_text

KEPT, HELD_OUT = "kept.npz", "held-out.npz"


def set_apart(dataset: OfflineDataset, share: float, folder: Path) -> tuple[int, int]:
    """Writes `share` of the dataset's episodes, at least one, to `folder`/HELD_OUT and the others to `folder`/KEPT.

    Whole episodes, drawn from the dataset's id; what the columns do not say (bounds, references, the task where it has
    a simulator) stands in a YAML beside each. A run on the one file cannot see the other. Returns how many episodes
    each has, kept and held out. Raises UserError where none would be left to train on.
    """
    count = len(dataset.episode_lengths)
    apart = max(1, round(share * count))
    if apart >= count:
        raise UserError(f"share: {share:g} of the {count} episodes of {dataset.id} leaves none to train on.")
    chosen = np.zeros(count, bool)
    chosen[generator_for("held out", dataset.id).permutation(count)[:apart]] = True
    transitions = np.repeat(chosen, dataset.episode_lengths)
    folder.mkdir(parents=True, exist_ok=True)
    for name, mask in ((KEPT, ~transitions), (HELD_OUT, transitions)):
        with aside(folder / name) as beside, beside.open("wb") as file:
            np.savez(
                file,
                allow_pickle=False,
                observations=dataset.observations[mask],
                actions=dataset.actions[mask],
                rewards=dataset.rewards[mask],
                next_observations=dataset.next_observations[mask],
                terminals=dataset.terminals[mask],
                timeouts=dataset.truncations[mask],
            )
        write_text(folder / f"{name}.yaml", yaml.safe_dump(_description(dataset), sort_keys=False))
    return count - apart, apart


def _description(dataset: OfflineDataset) -> dict[str, str | int | float]:
    task = dataset.task
    said: dict[str, str | int | float] = {"action_limit": task.action_limit, "episode_limit": task.episode_limit}
    if task.name in TASKS:
        said["task"] = task.name
    if dataset.reference_random is not None and dataset.reference_expert is not None:
        said |= {"reference_random": dataset.reference_random, "reference_expert": dataset.reference_expert}
    return said
