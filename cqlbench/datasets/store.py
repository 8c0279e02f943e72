"""Where datasets lie: a Minari root, and beside each dataset's HDF5 a flat copy that loads at once.

A Minari file has a group per episode and takes seconds to read where episodes are short; training processes read the
flat copy. The HDF5 is the dataset; the copy is rebuilt from it when it is missing or is not the same data.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

import numpy as np
import psutil

from cqlbench.datasets.behaviour import load_behaviour
from cqlbench.datasets.collect import Episode, collect
from cqlbench.datasets.kinds import KINDS, parse_id
from cqlbench.datasets.mapped import MappedFile
from cqlbench.datasets.minari_root import minari_works_in
from cqlbench.datasets.offline import OfflineDataset, flatten, hash_of
from cqlbench.datasets.tables import Reference, find_reference, mujoco_version, read_hashes
from cqlbench.errors import UserError
from cqlbench.tasks import Task
from cqlbench.writers import aside

DEFAULT_ROOT = Path("results/datasets")
TRANSITIONS = 100_000
NAMESPACE = "cqlbench"
_FLAT = "transitions.npz"


def dataset_folder(root: Path, dataset_id: str) -> Path:
    """The dataset's folder in the Minari root. Raises UserError for an unknown id."""
    parse_id(dataset_id)
    return Path(root) / NAMESPACE / dataset_id


def dataset_file(root: Path, dataset_id: str) -> Path:
    """The file whose existence means that the dataset is there. Raises UserError for an unknown id."""
    return dataset_folder(root, dataset_id) / "data" / "main_data.hdf5"


def make_dataset(dataset_id: str, root: Path = DEFAULT_ROOT, transitions: int = TRANSITIONS) -> OfflineDataset:
    """Rolls the dataset out, stores it under the Minari root `root` in place of any older one, and loads it.

    The folder appears whole or not at all. Raises UserError for an unknown id, a task without behaviour policies or
    without reference returns, and fewer than one transition per policy.
    """
    import gymnasium

    task, kind = parse_id(dataset_id)
    behaviour = load_behaviour(task)
    policies = KINDS[kind](behaviour)
    if transitions < len(policies):
        raise UserError(
            f"transitions: {transitions} is not allowed for {dataset_id}; it must be at least {len(policies)}, "
            "one for each policy."
        )
    find_reference(task)  # not there: said before the rollouts, not after
    env = gymnasium.make(task.env_id)
    episodes = collect(env, policies, dataset_id, transitions)
    env.close()
    recipe = {
        "kind": kind,
        "policies": [policy.label for policy in policies],
        "shares": "equal",
        "order": "episodes of the policies alternate",
        "algorithm": f"{behaviour.algorithm}; actions sampled, rounded to 1e-4",
    }
    store_episodes(dataset_id, episodes, root, recipe)
    return load(dataset_id, root)


def store_episodes(dataset_id: str, episodes: Sequence[Episode], root: Path, recipe: dict) -> None:
    """Stores `episodes` under the Minari root `root` in place of any older dataset of this id.

    The folder appears whole or not at all. Raises UserError for an unknown id or a task without reference returns.
    """
    task, _ = parse_id(dataset_id)
    reference = find_reference(task)
    arrays = flatten(episodes, sum(len(episode.rewards) for episode in episodes))
    folder = dataset_folder(root, dataset_id)
    Path(root).mkdir(parents=True, exist_ok=True)
    # A hidden folder is one that Minari does not list.
    workshop = Path(tempfile.mkdtemp(dir=root, prefix=".making-"))
    try:
        about = {"recipe": recipe, "content_hash": hash_of(arrays)}
        _write_minari(workshop.resolve(), dataset_id, task, episodes, reference, about)
        _write_flat(dataset_folder(workshop, dataset_id) / _FLAT, arrays)
        folder.parent.mkdir(parents=True, exist_ok=True)
        for namespace in (Path(NAMESPACE), Path(NAMESPACE, task.name)):
            os.replace(workshop / namespace / "namespace_metadata.json", root / namespace / "namespace_metadata.json")
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(dataset_folder(workshop, dataset_id), folder)
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


def load(dataset_id: str, root: Path = DEFAULT_ROOT, mapped: bool = False) -> OfflineDataset:
    """The dataset as flat arrays, checked against its own content hash; with `mapped` they stay on the disk.

    Raises UserError for an unknown id, for a dataset that has not been made, for one whose file has changed since, and
    for one that is larger than the free memory and not `mapped`.
    """
    task, _ = parse_id(dataset_id)
    stored = stored_metadata(dataset_id, root)
    if stored is None:
        raise UserError(
            f"{dataset_id} is not in {root}; make it with: cqlbench datasets make {dataset_id} --root {root}"
        )
    flat = dataset_folder(root, dataset_id) / _FLAT
    if not mapped:
        _check_memory(dataset_id, flat)
    file, arrays = _map_flat(flat) if mapped else (None, _read_flat(flat))
    if arrays is None or hash_of(arrays) != stored["content_hash"]:
        episodes = _read_minari(dataset_folder(root, dataset_id) / "data")
        place = functools.partial(_array_on_disk, flat.parent) if mapped else np.empty
        arrays = flatten(episodes, stored["total_steps"], place)
        if hash_of(arrays) != stored["content_hash"]:
            raise UserError(
                f"{dataset_file(root, dataset_id)} is not the data it was made with; "
                f"make it again with: cqlbench datasets make {dataset_id} --root {root}"
            )
        _write_flat(flat, arrays)
        if mapped:
            file, arrays = _map_flat(flat)
            assert arrays is not None
    expected = read_hashes().get(dataset_id)
    warning = None
    if expected is not None and expected.transitions != len(arrays["rewards"]):
        warning = (
            f"{dataset_id} has {len(arrays['rewards']):,} transitions, not the {expected.transitions:,} of the "
            "package's table: results on it are not comparable with published ones."
        )
        expected = None
    elif expected is not None and expected.sha256 != stored["content_hash"]:
        warning = (
            f"{dataset_id} (sha256 {stored['content_hash'][:12]}, made with MuJoCo {stored['mujoco_version']}) is not "
            f"the data of the package's table (sha256 {expected.sha256[:12]}, MuJoCo {expected.mujoco_version}): "
            "results on it may differ from published ones."
        )
    return OfflineDataset(
        id=dataset_id,
        task=task,
        **arrays,
        content_hash=stored["content_hash"],
        expected_hash=expected.sha256 if expected else None,
        warning=warning,
        reference_random=stored["ref_min_score"],
        reference_expert=stored["ref_max_score"],
        file=file,
    )


def stored_metadata(dataset_id: str, root: Path = DEFAULT_ROOT) -> dict | None:
    """What the dataset's `metadata.json` says; None where the dataset has not been made, or only half of it is there,
    or it is not one of ours.
    """
    # Of other people's data, `d4rl:NAME` and so on, nothing is known before they are read.
    if ":" in dataset_id or not dataset_file(root, dataset_id).exists():
        return None
    try:
        return json.loads((dataset_folder(root, dataset_id) / "data" / "metadata.json").read_text())
    except (OSError, ValueError):
        return None


def _write_flat(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with aside(path) as beside, beside.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def _read_flat(path: Path) -> dict[str, np.ndarray] | None:
    """The arrays, or None where the file is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None


def _check_memory(dataset_id: str, flat: Path) -> None:
    size, free = flat.stat().st_size if flat.is_file() else 0, psutil.virtual_memory().available
    if size > free:
        raise UserError(
            f"{dataset_id}: its {size / 1e9:,.1f} GB do not fit into the {free / 1e9:,.1f} GB of free memory; set "
            "buffer_transitions, which leaves them on the disk."
        )


def _map_flat(path: Path) -> tuple[MappedFile, dict[str, np.ndarray]] | tuple[None, None]:
    """The file and its arrays on the disk, or nothing where it is missing or damaged."""
    try:
        file = MappedFile(path)
    except (OSError, ValueError, zipfile.BadZipFile):
        return None, None
    return file, file.arrays


def _array_on_disk(folder: Path, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array in a file without a name, which is gone with it."""
    with tempfile.TemporaryFile(dir=folder) as file:
        return np.memmap(file, dtype, "w+", shape=shape)


def _write_minari(
    root: Path, dataset_id: str, task: Task, episodes: Sequence[Episode], reference: Reference, extra: dict
) -> None:
    """A Minari dataset with our metadata, under `root`."""
    import gymnasium
    import minari
    from minari.data_collector import EpisodeBuffer

    # Minari looks an environment up by gymnasium's own id, which does not name the module that registers it.
    spec = gymnasium.make(task.env_id).spec
    assert spec is not None
    buffers = []
    for episode in episodes:
        last = np.arange(len(episode.rewards)) == len(episode.rewards) - 1
        buffers.append(
            EpisodeBuffer(
                observations=episode.observations,
                actions=episode.actions,
                rewards=episode.rewards,
                terminations=last & episode.terminated,
                truncations=last & (not episode.terminated),
                infos={"qpos": episode.qpos, "qvel": episode.qvel},
            )
        )
    with minari_works_in(root), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the fields that a local dataset has no use for
        dataset = minari.create_dataset_from_buffers(
            f"{NAMESPACE}/{dataset_id}",
            buffers,
            env=spec.id,
            # MuJoCo's own space is float64; ours says what is stored.
            observation_space=gymnasium.spaces.Box(-np.inf, np.inf, (task.observation_size,), np.float32),
            algorithm_name=extra["recipe"].get("algorithm", "").partition(",")[0],
            description="Local data of cqlbench; the recipe is in the metadata.",
            requirements=[f"mujoco=={mujoco_version()}", f"gymnasium=={metadata.version('gymnasium')}"],
            ref_min_score=reference.random_return,
            ref_max_score=reference.expert_return,
            num_episodes_average_score=reference.episodes,
        )
        dataset.storage.update_metadata(
            {
                **extra,
                "reference_how": reference.how,
                "d4rl_ref_min_score": task.d4rl_random,
                "d4rl_ref_max_score": task.d4rl_expert,
                "mujoco_version": mujoco_version(),
                "gymnasium_version": metadata.version("gymnasium"),
            }
        )


def _read_minari(folder: Path) -> Iterator[Episode]:
    import minari

    for episode in minari.MinariDataset(folder).iterate_episodes():
        yield Episode(
            episode.observations,
            episode.actions,
            episode.rewards,
            bool(episode.terminations[-1]),
            episode.infos["qpos"],
            episode.infos["qvel"],
        )
