"""Round trips: what is written in one format and read again is the same transitions."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from trajectories import assert_same, rows, transitions

from cqlbench.cli.datasets import export as command
from cqlbench.datasets import OfflineDataset, load
from cqlbench.datasets.export import export
from cqlbench.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore")
ARRAYS = ("observations", "actions", "rewards", "next_observations", "terminals", "truncations", "episode_lengths")


def test_minari_d4rl_npz_minari(results: Path, tmp_path: Path) -> None:
    ours = load("pendulum/medium-v0", results / "datasets")
    here, steps = ours, [f"file:{tmp_path / 'a.hdf5'}", f"file:{tmp_path / 'b.npz'}", "minari:test/c-v0"]
    hashes = set()
    for target in steps:
        export(here, target, tmp_path)
        here = load(target, tmp_path)
        hashes.add(here.content_hash)
        assert_same(here, {name: getattr(ours, name) for name in ARRAYS})
    assert len(hashes) == 1
    # The simulator goes along in the file of D4RL's layout, as there.
    with h5py.File(tmp_path / "a.hdf5") as file:
        np.testing.assert_array_equal(file["infos/qpos"][()], ours.qpos)
    again = tmp_path / "again.hdf5"
    export(ours, f"file:{again}", tmp_path)
    assert again.read_bytes() == (tmp_path / "a.hdf5").read_bytes()


@pytest.fixture
def six_episodes(tmp_path: Path) -> OfflineDataset:
    np.savez(tmp_path / "log.npz", **{k: v for k, v in rows().items() if k not in ("episodes", "steps")})
    return load(f"file:{tmp_path / 'log.npz'}")


@pytest.mark.parametrize("target", ["file:{}/x.npz", "file:{}/x.hdf5", "minari:some/x-v3"])
def test_every_kind_of_end_comes_back(six_episodes: OfflineDataset, tmp_path: Path, target: str) -> None:
    target = target.format(tmp_path)
    assert export(six_episodes, target, tmp_path).is_file()
    back = load(target, tmp_path)
    assert_same(back, transitions())
    assert back.content_hash == six_episodes.content_hash and back.reference_random is None
    assert not list(tmp_path.glob(".*"))


def test_transitions_that_are_no_episodes_are_not_minaris(six_episodes: OfflineDataset, tmp_path: Path) -> None:
    drawn = np.random.default_rng(0).standard_normal((17, 3)).astype(np.float32)
    np.savez(tmp_path / "drawn.npz", **{**rows(), "next_observations": drawn})
    with pytest.raises(UserError, match="whole episodes only"):
        export(load(f"file:{tmp_path / 'drawn.npz'}"), "minari:some/x-v0", tmp_path)
    for target in ("file:x.csv", "d4rl:hopper-medium-v2", "hopper/medium-v0"):
        with pytest.raises(UserError, match="cannot be written"):
            export(six_episodes, target, tmp_path)


def test_the_command(six_episodes: OfflineDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command(six_episodes.id, f"file:{tmp_path / 'y.npz'}", tmp_path)
    assert capsys.readouterr().out == f"{tmp_path / 'y.npz'}\n"
