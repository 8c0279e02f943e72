"""The same episodes in every format give the same transitions, to the bit."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trajectories import (
    assert_same,
    describe_beside,
    rows,
    trajectories,
    transitions,
    write_csv,
    write_d4rl,
    write_minari,
)

from cqlbench.datasets import OfflineDataset, dataset_file, load
from cqlbench.datasets.describe import describe
from cqlbench.datasets.offline import Recording, assemble
from cqlbench.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore")  # of Minari and d3rlpy, about what these data have no use for

FLAGS = ("terminals", "timeouts")
STEPS = ("observations", "actions", "rewards")


def some(*names: str) -> dict[str, np.ndarray]:
    return {name: array for name, array in rows().items() if name in names}


def write_d3rlpy(path: Path) -> None:
    """By d3rlpy's own functions."""
    from cqlbench.algorithms.d3rlpy import d3rlpy

    episodes = [
        d3rlpy.dataset.Episode(t.observations[:-1], t.actions, t.rewards[:, None], t.terminated) for t in trajectories()
    ]
    with path.open("w+b") as file:
        d3rlpy.dataset.ReplayBuffer(d3rlpy.dataset.InfiniteBuffer(), episodes=episodes).dump(file)


WITH_NEXT = (*STEPS, "next_observations", *FLAGS)
# Each stores the next observations; a row per format and way to mark ends.
FULL = {
    "full.npz": some(*WITH_NEXT),
    "ids.npz": some(*STEPS, "next_observations", "terminals", "episodes"),
    "found.hdf5": some(*STEPS, "next_observations", "terminals"),
    "full.csv": some(*WITH_NEXT),
    "full.hdf5": some(*WITH_NEXT),
    "full.parquet": some(*WITH_NEXT),
}
CUT = {
    "cut.npz": some(*STEPS, *FLAGS),
    "ids.csv": some(*STEPS, "terminals", "episodes"),
    "cut.hdf5": some(*STEPS, *FLAGS),
    "limit.hdf5": some(*STEPS, "terminals"),
}


def write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    if path.suffix == ".npz":
        np.savez_compressed(path, **arrays)
    elif path.suffix == ".csv":
        write_csv(path, arrays)
    elif path.suffix == ".parquet":
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        columns = {name: array.tolist() if array.ndim > 1 else array for name, array in arrays.items()}
        parquet.write_table(pyarrow.table(columns), path)
    else:
        write_d4rl(path, arrays)


@pytest.mark.parametrize("name", FULL)
def test_files_with_next_observations(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, FULL[name])
    assert_same(load(f"file:{tmp_path / name}"), transitions())


@pytest.mark.parametrize("name", CUT)
def test_files_without_next_observations_lose_the_last_step_of_cut_episodes(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    arrays = CUT[name]
    if name.startswith("limit"):
        # Ends at a limit of 5 only: what the limit cannot tell is left out of this file.
        keep = np.isin(rows()["episodes"], [0, 1, 2, 4])
        arrays = {key: array[keep] for key, array in arrays.items()}
        describe_beside(path, episode_limit=5)
        write(path, arrays)
        dataset = load(f"file:{path}")
        np.testing.assert_array_equal(dataset.episode_lengths, [3, 1, 4, 5])
        assert "cut after 5 steps" in (dataset.warning or "")
        return
    write(path, arrays)
    assert_same(load(f"file:{path}"), transitions(next_stored=False))


def test_minari(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_minari(tmp_path, "test/pendulum-v0", monkeypatch)
    dataset = load("minari:test/pendulum-v0", tmp_path / "minari")
    assert_same(dataset, transitions())
    assert dataset.task.name == "pendulum" and dataset.task.action_limit == 2
    assert (dataset.reference_random, dataset.reference_expert) == (-10, 10)
    # Where Minari itself keeps datasets it is found too.
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    assert load("minari:test/pendulum-v0", tmp_path / "elsewhere").content_hash == dataset.content_hash


def test_d3rlpy_replay_buffer(tmp_path: Path) -> None:
    write_d3rlpy(tmp_path / "buffer.h5")
    assert_same(load(f"file:{tmp_path / 'buffer.h5'}"), transitions(next_stored=False))


def test_d3rlpy_draws_the_pairs_that_are_loaded(tmp_path: Path) -> None:
    from cqlbench.algorithms.d3rlpy import d3rlpy

    write_d3rlpy(tmp_path / "buffer.h5")
    ours = load(f"file:{tmp_path / 'buffer.h5'}")
    theirs = d3rlpy.dataset.ReplayBuffer.load(
        io.BytesIO((tmp_path / "buffer.h5").read_bytes()), d3rlpy.dataset.InfiniteBuffer()
    )
    picked = [
        theirs.transition_picker(episode, index)
        for episode in theirs.episodes
        for index in range(episode.transition_count)
    ]
    assert len(picked) == len(ours.rewards) == theirs.transition_count
    for index, transition in enumerate(picked):
        np.testing.assert_array_equal(transition.observation, ours.observations[index])
        np.testing.assert_array_equal(transition.action, ours.actions[index])
        assert transition.reward[0] == ours.rewards[index] and transition.terminal == ours.terminals[index]
        if not transition.terminal:
            np.testing.assert_array_equal(transition.next_observation, ours.next_observations[index])


def test_d3rlpys_own_minari_reader_shifts_what_ours_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cqlbench.algorithms.d3rlpy import d3rlpy

    # Theirs refuses an episode that terminates at its limit, too.
    write_minari(tmp_path, "test/pendulum-v0", monkeypatch, both_ends=False)
    ours = load("minari:test/pendulum-v0", tmp_path / "minari")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    theirs, _ = d3rlpy.datasets.get_minari("test/pendulum-v0")
    # Joined with T + 1 rows each, the observations of episode k stand k rows late beside its actions.
    joined = np.concatenate([trajectory.observations for trajectory in trajectories()])
    third = theirs.episodes[2]
    start = ours.episode_starts[2]
    np.testing.assert_array_equal(third.actions, ours.actions[start : start + 5])
    np.testing.assert_array_equal(third.observations, joined[start : start + 5])
    assert not np.array_equal(third.observations, ours.observations[start : start + 5])
    np.testing.assert_array_equal(ours.observations[start : start + 5], joined[start + 2 : start + 7])


def test_what_d3rlpy_is_trained_on_is_what_was_loaded(tmp_path: Path) -> None:
    import torch

    from cqlbench.algorithms.configs import D3rlpyCQLConfig
    from cqlbench.normalisation import Normaliser
    from cqlbench.training import Replay

    write(tmp_path / "full.npz", FULL["full.npz"])
    dataset = load(f"file:{tmp_path / 'full.npz'}")
    normaliser = Normaliser.for_dataset(dataset, D3rlpyCQLConfig.resolve({"normalise_observations": False}))
    batch = Replay(dataset, normaliser, torch.device("cpu")).tensors
    for name, tensor in batch._asdict().items():
        np.testing.assert_array_equal(tensor.numpy(), transitions()[name], err_msg=name)


def test_the_content_hash_is_of_the_transitions_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_minari(tmp_path, "test/pendulum-v0", monkeypatch)
    datasets = [load("minari:test/pendulum-v0", tmp_path / "minari")]
    for name in FULL:
        if not name.endswith(".parquet"):
            write(tmp_path / name, FULL[name])
            datasets.append(load(f"file:{tmp_path / name}"))
    assert len({dataset.content_hash for dataset in datasets}) == 1
    write(tmp_path / "cut.npz", CUT["cut.npz"])
    assert load(f"file:{tmp_path / 'cut.npz'}").content_hash != datasets[0].content_hash


def test_float64_is_cast_once(tmp_path: Path) -> None:
    wide = {
        name: array.astype(np.float64) if array.dtype == np.float32 else array
        for name, array in some(*WITH_NEXT).items()
    }
    wide["rewards"] = wide["rewards"] + 1e-12  # nothing that 32 bits could hold
    np.savez(tmp_path / "wide.npz", **wide)
    assert_same(load(f"file:{tmp_path / 'wide.npz'}"), transitions())


@given(lengths=st.lists(st.integers(1, 4), min_size=1, max_size=6), data=st.data(), next_stored=st.booleans())
def test_assembling_agrees_with_going_step_by_step(lengths: list[int], data: st.DataObject, next_stored: bool) -> None:
    terminated = [data.draw(st.booleans()) for _ in lengths]
    # An end that is marked beside a termination changes nothing.
    marked = [True if not ended else data.draw(st.booleans()) for ended in terminated]
    size = sum(lengths)
    last = np.zeros(size, bool)
    last[np.cumsum(lengths) - 1] = True
    terminals, ends = last.copy(), last.copy()
    terminals[last], ends[last] = terminated, marked
    observations = np.arange(size, dtype=np.float32)[:, None]
    following = observations + 0.5 if next_stored else None
    arrays = assemble(Recording(observations, -observations, observations[:, 0], terminals, ends, following))
    expected, expected_lengths, begin = [], [], 0
    for length, ended in zip(lengths, terminated, strict=True):
        kept = length if next_stored or ended else length - 1
        for step in range(begin, begin + kept):
            final = step == begin + kept - 1
            own = step if final and ended else step + 1
            expected.append((step, step + 0.5 if next_stored else own, final and ended, final and not ended))
        expected_lengths += [kept] if kept else []
        begin += length
    columns = [
        arrays["observations"][:, 0],
        arrays["next_observations"][:, 0],
        arrays["terminals"],
        arrays["truncations"],
    ]
    np.testing.assert_array_equal(np.stack(columns, 1), np.array(expected, float).reshape(-1, 4))
    np.testing.assert_array_equal(arrays["episode_lengths"], expected_lengths)


def test_d4rl_by_name(tmp_path: Path) -> None:
    (tmp_path / "d4rl").mkdir()
    write_d4rl(tmp_path / "d4rl" / "ant_medium_replay-v2.hdf5", FULL["full.hdf5"])
    dataset = load("d4rl:ant-medium-replay-v2", tmp_path)
    assert_same(dataset, transitions())
    assert (dataset.reference_random, dataset.reference_expert) == (-325.6, 3879.7)
    assert dataset.task.env_id == ""
    assert dataset.warning is not None and "no simulator" in dataset.warning and "\n" not in dataset.warning
    assert "no simulator" in describe(dataset)
    # Of the first releases no timeouts are stored: the domain's own limit cuts.
    write_d4rl(tmp_path / "d4rl" / "pen-human-v0.hdf5", some(*STEPS, "terminals"))
    assert "100 steps" in (load("d4rl:pen-human-v0", tmp_path).warning or "")


def test_d4rl_is_evaluated_in_the_environment_nearest_to_its_own(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    sizes = {"observations": (9, 11), "actions": (9, 3), "rewards": 9}
    arrays = {name: generator.uniform(-1, 1, size) for name, size in sizes.items()}
    (tmp_path / "d4rl").mkdir()
    path = tmp_path / "d4rl" / "hopper_medium_replay-v2.hdf5"
    write_d4rl(path, arrays | {name: np.zeros(9, bool) for name in ("terminals", "timeouts")})
    dataset = load("d4rl:hopper-medium-replay-v2", tmp_path)
    assert (dataset.task.env_id, dataset.task.episode_limit) == ("Hopper-v4", 1000)
    assert (dataset.reference_random, dataset.reference_expert) == (-20.272305, 3234.3)
    assert dataset.warning is not None and "Hopper-v4" in dataset.warning and "\n" not in dataset.warning
    # A file of that name that is not the hopper's is not evaluated as one.
    path.rename(path.with_name("walker2d_medium_replay-v2.hdf5"))
    with pytest.raises(UserError, match="11 observations and 3 actions are not those of the task walker2d"):
        load("d4rl:walker2d-medium-replay-v2", tmp_path)


def test_the_table_of_d4rl_agrees_with_the_tasks() -> None:
    import gymnasium

    from cqlbench.datasets.from_d4rl import find_domain, read_domains
    from cqlbench.tasks import TASKS

    for task in TASKS.values():
        domain = find_domain(f"{task.name}-medium-v2")
        assert (domain is None) == (task.d4rl_random is None), task.name
        if domain:
            assert (domain.random_return, domain.expert_return) == (task.d4rl_random, task.d4rl_expert)
            assert domain.episode_limit == task.episode_limit
            spec = gymnasium.spec(domain.env_id)
            assert spec.max_episode_steps == task.episode_limit
    maze = find_domain("maze2d-umaze-v1")
    assert maze is not None and maze.random_return == 23.85
    ant = find_domain("antmaze-umaze-v0")
    assert ant is not None and ant.expert_return == 1.0
    assert find_domain("maze2d-umaze-v0") is None
    assert len(read_domains()) == 13


def test_a_third_partys_real_file() -> None:
    path = Path(__file__).parents[3] / "shared/data/neorl2/DMSD-high-20000-val.npz"
    if not path.is_file():
        pytest.skip(f"{path.name} is other people's data and not there")
    dataset = load(f"file:{path}")
    with np.load(path) as arrays:
        np.testing.assert_array_equal(dataset.next_observations, arrays["next_obs"])
        # `done` is no truncation there: it is never set, while every hundredth step is truncated.
        np.testing.assert_array_equal(dataset.truncations, arrays["truncated"])
        assert dataset.terminals.sum() == 0 and set(dataset.episode_lengths) == {100}
    assert dataset.reference_random is None and "no scores" in describe(dataset)


@pytest.mark.parametrize(
    ("dataset_id", "said"),
    [
        ("hub:a/b-v0", "minari:, d4rl:, file:"),
        ("minari:mujoco/hopper", "minari:mujoco/hopper/medium-v0"),
        ("minari:../../x-v0", "minari:mujoco/hopper/medium-v0"),
        ("d4rl:Hopper", "d4rl:hopper-medium-v2"),
        ("file:logs/plant.pkl", ".npz"),
        ("file:", ".npz"),
        ("file:logs/plant.npz", "does not exist"),
        ("minari:a/b-v0", "cqlbench datasets download a/b-v0"),
        ("d4rl:hopper-medium-v2", "d4rl/hopper-medium-v2.hdf5 does not exist"),
        ("d4rl:hopper-medium-replay-v2", "/gym_mujoco_v2/hopper_medium_replay-v2.hdf5"),
        ("d4rl:hopper-medium-v0", "get it from D4RL's server"),
    ],
)
def test_what_is_not_there_is_one_sentence(dataset_id: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        load(dataset_id, tmp_path)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_what_lies_in_the_folder_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from cqlbench.cli.datasets import list_datasets
    from cqlbench.datasets.sources import found_ids

    write_minari(tmp_path, "test/pendulum-v0", monkeypatch)
    root = tmp_path / "minari"
    (root / "d4rl").mkdir()
    for name in ("ant_medium_replay-v2", "pen-human-v0"):
        write_d4rl(root / "d4rl" / f"{name}.hdf5", FULL["full.hdf5"])
    found = ["d4rl:ant-medium-replay-v2", "d4rl:pen-human-v0", "minari:test/pendulum-v0"]
    assert found_ids(root) == found and all(len(load(name, root).rewards) for name in found)
    capsys.readouterr()
    list_datasets(root)
    assert capsys.readouterr().out.splitlines()[-3:] == found
    assert found_ids(tmp_path / "nowhere") == []


def test_files_of_ids(tmp_path: Path) -> None:
    assert dataset_file(tmp_path, "d4rl:hopper-medium-v2") == tmp_path / "d4rl/hopper-medium-v2.hdf5"
    assert dataset_file(tmp_path, "file:logs/plant.npz") == Path("logs/plant.npz")
    assert dataset_file(tmp_path, "minari:a/b-v0") == tmp_path / "a/b-v0/data/main_data.hdf5"


def test_every_field_has_its_type(tmp_path: Path) -> None:
    write(tmp_path / "full.npz", FULL["full.npz"])
    dataset: OfflineDataset = load(f"file:{tmp_path / 'full.npz'}")
    assert dataset.qpos.shape == dataset.qvel.shape == (17, 0)
    assert dataset.episode_returns.sum() == pytest.approx(dataset.rewards.sum(dtype=float))
    assert len(dataset.draw(np.array([1, 3])).rewards) == 2


def test_a_run_on_data_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cqlbench.cli.progress import watch
    from cqlbench.execution import execute
    from cqlbench.runs import Protocol, make_run
    from cqlbench.trained import evaluate_run

    protocol = Protocol(updates=2, evaluate_every=2, episodes=1, value_states=0)

    def train(dataset: str, **changes: int) -> str:
        run = make_run(dataset, "bc", {"batch_size": 4}, dataclasses.replace(protocol, **changes), 0)
        with watch(run) as progress:
            return execute(run, tmp_path / "minari", tmp_path / "run", progress)

    write(tmp_path / "full.npz", FULL["full.npz"])
    assert train(f"file:{tmp_path / 'full.npz'}") == "done"
    with pytest.raises(UserError, match="no simulator is known for these data"):
        evaluate_run(tmp_path / "run", 1)
    write_minari(tmp_path, "test/pendulum-v0", monkeypatch)
    with pytest.raises(UserError, match="value_states: 3 is not allowed"):
        train("minari:test/pendulum-v0", value_states=3)
    assert train("minari:test/pendulum-v0") == "done"


def test_the_folder_of_a_run_on_data_from_elsewhere() -> None:
    from cqlbench.runs import Protocol, make_run

    def folder(dataset: str) -> str:
        return make_run(dataset, "bc", {}, Protocol(), 0).folder(Path("r")).parents[2].as_posix()

    assert folder("hopper/medium-v0") == "r/runs/hopper/medium-v0"
    assert folder("d4rl:hopper-medium-v2") == "r/runs/d4rl/hopper-medium-v2"
    assert folder("file:../my logs/a:b.npz") == "r/runs/file/.._my_logs_a_b.npz"
    assert folder("file:/x/plant.npz") == "r/runs/file/_x_plant.npz"
