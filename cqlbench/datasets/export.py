"""A dataset in other people's formats, so that other codebases can be run on the same transitions."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import numpy as np

from cqlbench.datasets.minari_root import minari_works_in, move_in
from cqlbench.datasets.offline import OfflineDataset
from cqlbench.datasets.sources import split_id
from cqlbench.errors import UserError
from cqlbench.writers import aside


def export(dataset: OfflineDataset, target: str, root: Path) -> Path:
    """Writes the dataset as what `target` names and returns the file: `file:PATH` as .npz or in D4RL's layout as
    .hdf5, `minari:ID` into the Minari root `root`.

    It appears whole or not at all, in place of an older one. Loaded again it is the same transitions. Raises UserError
    for another kind of target, and for Minari where the data are not whole episodes.
    """
    source, name = split_id(target)
    path = Path(name)
    if source == "file":
        path.parent.mkdir(parents=True, exist_ok=True)
    if source == "file" and path.suffix == ".npz":
        with aside(path) as beside, beside.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **_columns(dataset))
    elif source == "file" and path.suffix == ".hdf5":
        _write_d4rl(dataset, path)
    elif source == "minari":
        return _write_minari(dataset, name, root)
    else:
        raise UserError(f"{target!r} cannot be written; it must be file:PATH.npz, file:PATH.hdf5 or minari:ID.")
    return path


def _columns(dataset: OfflineDataset) -> dict[str, np.ndarray]:
    """One row per transition."""
    return {
        "observations": dataset.observations,
        "actions": dataset.actions,
        "rewards": dataset.rewards,
        "next_observations": dataset.next_observations,
        "terminals": dataset.terminals.astype(bool),
        "timeouts": dataset.truncations.astype(bool),
    }


def _write_d4rl(dataset: OfflineDataset, path: Path) -> None:
    import h5py

    columns = _columns(dataset)
    if dataset.qpos.shape[1]:
        columns |= {"infos/qpos": dataset.qpos, "infos/qvel": dataset.qvel}
    with aside(path) as beside, h5py.File(beside, "w") as file:
        for name, values in columns.items():
            file.create_dataset(name, data=values, compression="gzip")


def _write_minari(dataset: OfflineDataset, name: str, root: Path) -> Path:
    import gymnasium
    import minari
    from minari.data_collector import EpisodeBuffer

    inside = np.flatnonzero((dataset.terminals == 0) & (dataset.truncations == 0))
    broken = inside[(dataset.next_observations[inside] != dataset.observations[inside + 1]).any(1)]
    if len(broken):
        raise UserError(
            f"{dataset.id}: the next observation of transition {broken[0]} is not the observation of the one that "
            "follows; Minari stores whole episodes only. Write an .npz or .hdf5 file."
        )
    buffers = [
        EpisodeBuffer(
            observations=np.concatenate([dataset.observations[steps], dataset.next_observations[steps][-1:]]),
            actions=dataset.actions[steps],
            rewards=dataset.rewards[steps],
            terminations=dataset.terminals[steps].astype(bool),
            truncations=dataset.truncations[steps].astype(bool),
        )
        for steps in (
            slice(start, start + length)
            for start, length in zip(dataset.episode_starts, dataset.episode_lengths, strict=True)
        )
    ]
    task = dataset.task
    bounds = (-task.action_limit, task.action_limit, (task.action_size,), np.float32)
    references = {"ref_min_score": dataset.reference_random, "ref_max_score": dataset.reference_expert}
    Path(root).mkdir(parents=True, exist_ok=True)
    # A hidden folder is one that Minari does not list; what is moved away in the end is not missed.
    with tempfile.TemporaryDirectory(dir=root, prefix=".making-", ignore_cleanup_errors=True) as workshop:
        with minari_works_in(Path(workshop)), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the fields that nobody knows here
            minari.create_dataset_from_buffers(
                name,
                buffers,
                env=gymnasium.make(task.env_id).spec if task.env_id else None,
                observation_space=gymnasium.spaces.Box(-np.inf, np.inf, (task.observation_size,), np.float32),
                action_space=gymnasium.spaces.Box(*bounds),
                description=f"{dataset.id}, written by cqlbench; sha256 {dataset.content_hash}",
                **{key: value for key, value in references.items() if value is not None},
            )
        move_in(Path(workshop), Path(root))
    return Path(root) / name / "data" / "main_data.hdf5"
