"""A small set of logs with nothing wrong, and how it is written in each format."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

Arrays = dict[str, np.ndarray]


def steps(pairs: int = 30) -> Arrays:
    """Two states that a noisy policy drives home: `pairs` of an episode of 8 steps that terminates and one of 10 that
    is cut."""
    generator = np.random.default_rng(3)
    last = np.tile(np.isin(np.arange(18), [7, 17]), pairs)
    count = len(last)
    actions, observations, following = np.empty((3, count, 2))
    for step in range(count):
        begins = step == 0 or last[step - 1]
        observations[step] = generator.uniform(-1, 1, 2) if begins else following[step - 1]
        actions[step] = (0.2 * generator.normal(size=2) - 0.5 * observations[step]).clip(-0.9, 0.9)
        following[step] = observations[step] + 0.3 * actions[step]
    terminates = last & np.tile(np.arange(18) == 7, pairs)
    return {
        "observations": observations.astype(np.float32),
        "actions": actions.astype(np.float32),
        "rewards": -np.abs(observations).sum(1).astype(np.float32),
        "next_observations": following.astype(np.float32),
        "terminals": terminates,
        "timeouts": last & ~terminates,
    }


def describe_beside(path: Path, **said: Any) -> None:
    """PATH.yaml; JSON is YAML."""
    path.with_name(path.name + ".yaml").write_text(json.dumps(said))


def write_hdf5(path: Path, arrays: Arrays) -> None:
    """D4RL's layout."""
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array


def write_csv(path: Path, arrays: Arrays) -> None:
    """Vectors as name_0, name_1, ..."""
    columns = {}
    for name, array in arrays.items():
        columns |= {name: array} if array.ndim == 1 else {f"{name}_{i}": part for i, part in enumerate(array.T)}
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(columns)
        table.writerows(zip(*(column.tolist() for column in columns.values()), strict=True))


def write_parquet(path: Path, arrays: Arrays) -> None:
    """Vectors as lists."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns = {name: array.tolist() if array.ndim > 1 else array for name, array in arrays.items()}
    parquet.write_table(pyarrow.table(columns), path)


def write_replay_buffer(path: Path, arrays: Arrays) -> None:
    """d3rlpy's, by its own functions."""
    from cqlbench.algorithms.d3rlpy import d3rlpy

    ends = np.flatnonzero(arrays["terminals"] | arrays["timeouts"]) + 1
    episodes = [
        d3rlpy.dataset.Episode(
            arrays["observations"][begin:end],
            arrays["actions"][begin:end],
            arrays["rewards"][begin:end, None],
            bool(arrays["terminals"][end - 1]),
        )
        for begin, end in zip([0, *ends], ends, strict=False)
    ]
    with path.open("w+b") as file:
        d3rlpy.dataset.ReplayBuffer(d3rlpy.dataset.InfiniteBuffer(), episodes=episodes).dump(file)


def write_minari(root: Path, name: str, arrays: Arrays, monkeypatch: pytest.MonkeyPatch) -> None:
    """By Minari's own functions, without an environment."""
    import minari
    from gymnasium import spaces
    from minari.data_collector import EpisodeBuffer

    root.mkdir(exist_ok=True)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(root))
    ends = np.flatnonzero(arrays["terminals"] | arrays["timeouts"]) + 1
    buffers = [
        EpisodeBuffer(
            observations=np.vstack([arrays["observations"][begin:end], arrays["next_observations"][end - 1 : end]]),
            actions=arrays["actions"][begin:end],
            rewards=arrays["rewards"][begin:end],
            terminations=arrays["terminals"][begin:end],
            truncations=arrays["timeouts"][begin:end],
        )
        for begin, end in zip([0, *ends], ends, strict=False)
    ]
    minari.create_dataset_from_buffers(
        name,
        buffers,
        observation_space=spaces.Box(-np.inf, np.inf, (2,), np.float32),
        action_space=spaces.Box(-1, 1, (2,), np.float32),
    )
    monkeypatch.delenv("MINARI_DATASETS_PATH")


WRITERS = {
    "log.npz": lambda path, arrays: np.savez_compressed(path, **arrays),
    "log.hdf5": write_hdf5,
    "log.csv": write_csv,
    "log.parquet": write_parquet,
    "log.h5": write_replay_buffer,
}


def write(folder: Path, name: str, arrays: Arrays) -> Path:
    """The file `folder`/`name`, one of WRITERS."""
    WRITERS[name](folder / name, arrays)
    return folder / name
