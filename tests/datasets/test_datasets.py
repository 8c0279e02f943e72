from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
from pathlib import Path

import gymnasium
import minari
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cqlbench.datasets import dataset_file, dataset_ids, load, make_dataset, store
from cqlbench.datasets.behaviour import load_behaviour
from cqlbench.datasets.collect import Episode, collect, restore
from cqlbench.datasets.describe import describe
from cqlbench.datasets.offline import OfflineDataset, flatten, hash_of
from cqlbench.datasets.tables import ExpectedHash
from cqlbench.errors import UserError
from cqlbench.tasks import find_task

HOPPER = "hopper/medium-expert-v0"
PENDULUM = "pendulum/random-expert-v0"
TRANSITIONS = 1501


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("datasets")
    make_dataset(HOPPER, root, TRANSITIONS)
    make_dataset(PENDULUM, root, TRANSITIONS)
    return root


@pytest.fixture(scope="module", params=[HOPPER, PENDULUM])
def dataset(request: pytest.FixtureRequest, root: Path) -> OfflineDataset:
    return load(request.param, root)


def inside(dataset: OfflineDataset) -> np.ndarray:
    """Indices of the transitions that are not the last of their episode."""
    return np.flatnonzero((dataset.terminals == 0) & (dataset.truncations == 0))


def test_shapes_and_types(dataset: OfflineDataset) -> None:
    task = dataset.task
    assert dataset.observations.shape == dataset.next_observations.shape == (TRANSITIONS, task.observation_size)
    assert dataset.actions.shape == (TRANSITIONS, task.action_size)
    for name in ("rewards", "terminals", "truncations"):
        assert getattr(dataset, name).shape == (TRANSITIONS,)
    for name in ("observations", "next_observations", "actions", "rewards", "terminals", "truncations"):
        assert getattr(dataset, name).dtype == np.float32
    for states in (dataset.qpos, dataset.qvel):
        assert len(states) == TRANSITIONS and states.dtype == np.float64
    assert np.abs(dataset.actions).max() <= task.action_limit


def test_exactly_the_asked_number_of_transitions(dataset: OfflineDataset) -> None:
    assert dataset.episode_lengths.sum() == TRANSITIONS
    assert len(dataset.episode_returns) == len(dataset.episode_lengths)
    assert dataset.episode_returns.sum() == pytest.approx(dataset.rewards.sum(dtype=float))


def test_next_observation_is_the_following_one_inside_an_episode(dataset: OfflineDataset) -> None:
    here = inside(dataset)
    np.testing.assert_array_equal(dataset.next_observations[here], dataset.observations[here + 1])


def test_every_episode_ends_once_and_in_one_way(dataset: OfflineDataset) -> None:
    last = dataset.episode_starts + dataset.episode_lengths - 1
    ends = dataset.terminals + dataset.truncations
    np.testing.assert_array_equal(np.flatnonzero(ends), last)
    assert ends.max() == 1


def test_a_cut_is_a_truncation_whose_last_transition_is_kept(root: Path) -> None:
    pendulum = load(PENDULUM, root)
    assert pendulum.terminals.sum() == 0  # the pendulum never ends by itself
    # 750 and 751 transitions of episodes of 200: each share ends with a cut one.
    assert sorted(pendulum.episode_lengths) == [150, 151] + [200] * 6
    last = pendulum.episode_starts + pendulum.episode_lengths - 1
    # The last next observation is no copy: it obeys the pendulum's own law, angular velocity from the action.
    velocity = pendulum.qvel[last, 0] + 0.05 * (15 * np.sin(pendulum.qpos[last, 0]) + 3 * pendulum.actions[last, 0])
    np.testing.assert_allclose(pendulum.next_observations[last, 2], np.clip(velocity, -8, 8), atol=1e-5)


def test_terminal_states_are_those_the_task_ends_in(root: Path) -> None:
    hopper = load(HOPPER, root)
    assert hopper.terminals.sum() > 0
    height, angle = hopper.next_observations[:, 0], hopper.next_observations[:, 1]
    np.testing.assert_array_equal(hopper.terminals == 1, (height <= 0.7) | (np.abs(angle) >= 0.2))


def test_policies_alternate_and_share_equally() -> None:
    task = find_task("pendulum")
    behaviour = load_behaviour(task)
    policies = (behaviour.random, behaviour.expert)
    env = gymnasium.make(task.env_id)
    together = collect(env, policies, "a name", 1600)
    assert sum(len(episode.rewards) for episode in together) == 1600
    # A policy of its own gives the same episodes, the first four of the pair being the first policy's.
    alone = collect(env, policies[:1], "a name", 800)
    for mixed, single in zip(together[::2], alone, strict=True):
        np.testing.assert_array_equal(mixed.observations, single.observations)


def test_same_name_same_bytes_other_name_other_data(root: Path, tmp_path: Path) -> None:
    again = make_dataset(HOPPER, tmp_path, TRANSITIONS)
    assert again.content_hash == load(HOPPER, root).content_hash
    for name in ("data/main_data.hdf5", "data/metadata.json", "transitions.npz"):
        first, second = (base / "cqlbench" / HOPPER / name for base in (root, tmp_path))
        assert first.read_bytes() == second.read_bytes(), name
    other = make_dataset("hopper/medium-v0", tmp_path, TRANSITIONS // 2)
    assert not np.array_equal(other.observations[0], again.observations[0])


def test_hash_sees_every_array(root: Path) -> None:
    arrays = {
        field.name: getattr(load(PENDULUM, root), field.name)
        for field in dataclasses.fields(OfflineDataset)
        if isinstance(getattr(load(PENDULUM, root), field.name), np.ndarray)
    }
    whole = hash_of(arrays)
    for name in set(arrays) - {"episode_lengths"}:  # those follow from the ends
        changed = {**arrays, name: arrays[name].copy()}
        changed[name].flat[7] += 1
        assert hash_of(changed) != whole, name


def test_stored_states_restore_what_was_recorded(dataset: OfflineDataset) -> None:
    env = gymnasium.make(dataset.task.env_id)
    for index in inside(dataset)[::97]:
        observation = restore(env, dataset.qpos[index], dataset.qvel[index])
        np.testing.assert_array_equal(observation, dataset.observations[index])
        observation, reward, *_ = env.step(dataset.actions[index])
        assert reward == pytest.approx(dataset.rewards[index], abs=1e-5)
        np.testing.assert_allclose(observation, dataset.next_observations[index], atol=1e-5)


def test_minari_opens_what_we_wrote(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(root))
    assert {f"cqlbench/{HOPPER}", f"cqlbench/{PENDULUM}"} == set(minari.list_local_datasets())
    stored = minari.load_dataset(f"cqlbench/{HOPPER}")
    ours = load(HOPPER, root)
    assert stored.total_steps == TRANSITIONS
    assert stored.recover_environment().spec.id == "Hopper-v5"
    assert stored.storage.metadata["content_hash"] == ours.content_hash
    assert stored.storage.metadata["d4rl_ref_max_score"] == ours.task.d4rl_expert
    expert = np.array([ours.reference_expert])
    assert minari.get_normalized_score(stored, expert) == pytest.approx(1)
    for start, episode in zip(ours.episode_starts, stored.iterate_episodes(), strict=True):
        length = len(episode.rewards)
        assert episode.observations.shape == (length + 1, 11)
        assert episode.observations.dtype == stored.observation_space.dtype == np.float32
        np.testing.assert_array_equal(episode.observations[:-1], ours.observations[start : start + length])
        np.testing.assert_array_equal(episode.observations[1:], ours.next_observations[start : start + length])
        np.testing.assert_array_equal(episode.infos["qpos"][:-1], ours.qpos[start : start + length])


def test_another_hash_is_a_warning_that_names_mujoco(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = load(PENDULUM, root)
    assert ours.expected_hash is None and "transitions" in (ours.warning or "")  # the table knows the full size only
    row = ExpectedHash(PENDULUM, ours.content_hash, TRANSITIONS, "3.1.6")
    monkeypatch.setattr(store, "read_hashes", lambda: {PENDULUM: row})
    assert load(PENDULUM, root).expected_hash == ours.content_hash
    assert load(PENDULUM, root).warning is None
    monkeypatch.setattr(store, "read_hashes", lambda: {PENDULUM: row._replace(sha256="0" * 64)})
    different = load(PENDULUM, root)
    assert different.warning is not None
    assert re.fullmatch(r"[^\n]*MuJoCo 3\.1\.6[^\n]*", different.warning)
    assert "differs" in describe(different) and different.warning in describe(different)


@pytest.mark.parametrize("damage", ["missing", "half", "other data"])
def test_the_flat_copy_is_rebuilt(root: Path, tmp_path: Path, damage: str) -> None:
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    flat = tmp_path / "cqlbench" / HOPPER / "transitions.npz"
    before = flat.read_bytes()
    if damage == "missing":
        flat.unlink()
    elif damage == "half":
        flat.write_bytes(before[: len(before) // 2])
    else:
        shutil.copy(tmp_path / "cqlbench" / PENDULUM / "transitions.npz", flat)
    assert load(HOPPER, tmp_path).content_hash == load(HOPPER, root).content_hash
    assert flat.read_bytes() == before


def test_a_changed_file_is_refused(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    (tmp_path / "cqlbench" / HOPPER / "transitions.npz").unlink()
    path = dataset_file(tmp_path, HOPPER).with_name("metadata.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "content_hash": "0" * 64}))
    with pytest.raises(UserError, match="make it again"):
        load(HOPPER, tmp_path)


def test_a_making_that_dies_leaves_nothing_to_believe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What Snakemake leaves: the folder of the output made in advance, its file deleted, the rest of an older one.
    folder = dataset_file(tmp_path, PENDULUM).parent
    folder.mkdir(parents=True)
    (folder / "metadata.json").write_text("{}")
    with pytest.raises(UserError, match="cqlbench datasets make"):
        load(PENDULUM, tmp_path)

    class Died(BaseException):
        pass

    def die(*_: object) -> None:
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(store, "_write_flat", die)
        with pytest.raises(Died):
            make_dataset(PENDULUM, tmp_path, 100)
    assert not dataset_file(tmp_path, PENDULUM).exists()
    assert os.listdir(tmp_path) == ["cqlbench"]
    assert len(make_dataset(PENDULUM, tmp_path, 100).rewards) == 100


@pytest.mark.parametrize("dataset_id", ["hopper", "hopper/medium", "hopper/best-v0", "Hopper/medium-v0", "", "../x"])
def test_a_wrong_id_is_one_sentence(dataset_id: str, tmp_path: Path) -> None:
    for function in (lambda: load(dataset_id, tmp_path), lambda: make_dataset(dataset_id, tmp_path)):
        with pytest.raises(UserError) as error:
            function()
        assert repr(dataset_id) in str(error.value) and "medium-replay" in str(error.value)
        assert "\n" not in str(error.value)


def test_too_few_transitions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="transitions: 1 is not allowed"):
        make_dataset(PENDULUM, tmp_path, 1)


def test_ids_and_files() -> None:
    assert len(dataset_ids()) == len(set(dataset_ids())) == 48
    assert dataset_file(Path("r"), "hopper/medium-v0").as_posix() == ("r/cqlbench/hopper/medium-v0/data/main_data.hdf5")


@given(lengths=st.lists(st.integers(1, 5), min_size=1, max_size=6), data=st.data())
@settings(max_examples=50)
def test_flattening_keeps_every_transition(lengths: list[int], data: st.DataObject) -> None:
    ends = [data.draw(st.booleans()) for _ in lengths]
    values = iter(range(1000))
    episodes = []
    for length, terminated in zip(lengths, ends, strict=True):
        row = np.array([next(values) for _ in range(length + 1)], np.float32)[:, None]
        episodes.append(Episode(row, row[:-1], row[:-1, 0], terminated, row.astype(float), row.astype(float)))
    flat = flatten(iter(episodes), sum(lengths))
    np.testing.assert_array_equal(flat["next_observations"], flat["observations"] + 1)
    np.testing.assert_array_equal(flat["qpos"], flat["observations"])
    last = np.cumsum(lengths) - 1
    np.testing.assert_array_equal(flat["terminals"][last], ends)
    np.testing.assert_array_equal(flat["truncations"][last], ~np.array(ends))
    assert flat["terminals"].sum() + flat["truncations"].sum() == len(lengths)
