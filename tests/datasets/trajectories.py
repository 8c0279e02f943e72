"""A few episodes with every kind of end, written in each format by somebody else's functions or by hand.

`transitions` says, one step at a time, what a reader must make of them.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import h5py
import numpy as np
import pytest

from cqlbench.datasets.offline import OfflineDataset


class Trajectory(NamedTuple):
    observations: np.ndarray  # (T + 1, 3) float32
    actions: np.ndarray  # (T, 1) float32
    rewards: np.ndarray  # (T,) float32
    terminated: bool
    truncated: bool


# (steps, terminated, truncated): one step that ends and one that is cut, a time limit of 5 reached, and reached by the
# very step that terminates.
ENDS = [(3, True, False), (1, True, False), (5, False, True), (1, False, True), (5, True, True), (2, False, True)]


def trajectories() -> list[Trajectory]:
    """Numbers of no special kind, within the bounds of the pendulum's spaces."""
    generator = np.random.default_rng(7)
    return [
        Trajectory(
            generator.uniform(-1, 1, (steps + 1, 3)).astype(np.float32),
            generator.uniform(-1, 1, (steps, 1)).astype(np.float32),
            generator.normal(size=steps).astype(np.float32),
            *ends,
        )
        for steps, *ends in ENDS
    ]


def transitions(next_stored: bool = True) -> dict[str, np.ndarray]:
    """What training must see. Where a format stores no next observations, the last step of a cut episode is not there
    and the last of a terminated one keeps its own observation as the next."""
    rows: list[tuple[Any, ...]] = []
    lengths = []
    for trajectory in trajectories():
        steps = len(trajectory.rewards)
        kept = steps if next_stored or trajectory.terminated else steps - 1
        for step in range(kept):
            last = step == kept - 1
            terminal = trajectory.terminated and last
            following = trajectory.observations[step if terminal and not next_stored else step + 1]
            rows.append(
                (
                    trajectory.observations[step],
                    trajectory.actions[step],
                    trajectory.rewards[step],
                    following,
                    float(terminal),
                    float(last and not terminal),
                )
            )
        if kept:
            lengths.append(kept)
    names = ("observations", "actions", "rewards", "next_observations", "terminals", "truncations")
    columns = {name: np.array(column, np.float32) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
    return columns | {"episode_lengths": np.array(lengths)}


def assert_same(dataset: OfflineDataset, expected: dict[str, np.ndarray]) -> None:
    """To the bit, types included."""
    for name, array in expected.items():
        found = getattr(dataset, name)
        assert found.dtype == array.dtype, name
        np.testing.assert_array_equal(found, array, err_msg=name)


def rows() -> dict[str, np.ndarray]:
    """One row per step, as flat formats hold them; an episode's last observation only as a next one."""
    each = trajectories()
    last = [np.arange(len(t.rewards)) == len(t.rewards) - 1 for t in each]
    return {
        "observations": np.concatenate([t.observations[:-1] for t in each]),
        "actions": np.concatenate([t.actions for t in each]),
        "rewards": np.concatenate([t.rewards for t in each]),
        "next_observations": np.concatenate([t.observations[1:] for t in each]),
        "terminals": np.concatenate([here & t.terminated for here, t in zip(last, each, strict=True)]),
        "timeouts": np.concatenate([here & t.truncated for here, t in zip(last, each, strict=True)]),
        "episodes": np.concatenate([np.full(len(t.rewards), number) for number, t in enumerate(each)]),
        "steps": np.concatenate([np.arange(len(t.rewards)) for t in each]),
    }


def write_d4rl(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """D4RL's layout (its wiki and offline_env.py): flat arrays, and groups that training does not look at."""
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array
        file["infos/qpos"] = np.zeros((len(arrays["rewards"]), 2))
        file["metadata/algorithm"] = b"SAC"


def write_csv(path: Path, arrays: dict[str, np.ndarray]) -> None:
    columns = {}
    for name, array in arrays.items():
        if array.ndim == 1:
            columns[name] = array
        else:
            columns |= {f"{name}_{index}": array[:, index] for index in range(array.shape[1])}
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(columns)
        table.writerows(zip(*(column.tolist() for column in columns.values()), strict=True))


def write_minari(root: Path, name: str, monkeypatch: pytest.MonkeyPatch, both_ends: bool = True) -> None:
    """By Minari's own functions, as a dataset of the pendulum's; `both_ends`: one episode terminates at its limit."""
    import minari
    from minari.data_collector import EpisodeBuffer

    (root / "minari").mkdir(exist_ok=True)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(root / "minari"))
    buffers = []
    for trajectory in trajectories():
        last = np.arange(len(trajectory.rewards)) == len(trajectory.rewards) - 1
        buffers.append(
            EpisodeBuffer(
                observations=trajectory.observations,
                actions=trajectory.actions,
                rewards=trajectory.rewards,
                terminations=last & trajectory.terminated,
                truncations=last & trajectory.truncated & (both_ends or not trajectory.terminated),
            )
        )
    minari.create_dataset_from_buffers(
        name, buffers, env=gymnasium.make("Pendulum-v1").spec, ref_min_score=-10.0, ref_max_score=10.0
    )
    monkeypatch.delenv("MINARI_DATASETS_PATH")


def describe_beside(path: Path, **said: Any) -> None:
    """PATH.yaml; JSON is YAML."""
    path.with_name(path.name + ".yaml").write_text(json.dumps(said))
