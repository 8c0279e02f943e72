"""What is refused, what is loaded with a warning, and what a file may say of itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from trajectories import assert_same, describe_beside, rows, transitions, write_csv, write_d4rl

from cqlbench.datasets import OfflineDataset, load
from cqlbench.errors import UserError

STEPS = ("observations", "actions", "rewards")
FLAGS = ("terminals", "timeouts")
WITH_NEXT = (*STEPS, "next_observations", *FLAGS)


def some(*names: str) -> dict[str, np.ndarray]:
    return {name: array.copy() for name, array in rows().items() if name in names}


def load_npz(folder: Path, arrays: dict[str, np.ndarray], **said: Any) -> OfflineDataset:
    np.savez(folder / "log.npz", **arrays)
    if said:
        describe_beside(folder / "log.npz", **said)
    return load(f"file:{folder / 'log.npz'}")


def refusal(folder: Path, arrays: dict[str, np.ndarray], **said: Any) -> str:
    with pytest.raises(UserError) as error:
        load_npz(folder, arrays, **said)
    assert "\n" not in str(error.value) and "log.npz" in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(("value", "shown"), [(np.nan, "nan"), (np.inf, "inf"), (1e300, "1e+300")])
def test_numbers_that_are_none_are_refused_with_their_place(tmp_path: Path, value: float, shown: str) -> None:
    arrays = some(*WITH_NEXT)
    arrays["observations"] = arrays["observations"].astype(float)
    arrays["observations"][7, 2] = value
    said = refusal(tmp_path, arrays)
    assert f"observations is {shown} in row 7, column 2" in said and "one of 1 numbers" in said
    for name in ("rewards", "actions", "next_observations"):
        arrays = some(*WITH_NEXT)
        arrays[name][4] = np.nan
        assert f"{name} is nan in row 4" in refusal(tmp_path, arrays)


def test_actions_outside_their_bounds_are_kept_and_told(tmp_path: Path) -> None:
    arrays = some(*WITH_NEXT)
    arrays["actions"][[2, 5], 0] = [1.5, -1.25]
    bounded = load_npz(tmp_path, arrays, action_limit=1.0)
    assert "2 of 17 actions lie outside [-1, 1], up to 1.5" in (bounded.warning or "")
    assert bounded.task.action_limit == 1 and bounded.actions[2, 0] == 1.5
    (tmp_path / "log.npz.yaml").unlink()
    unbounded = load_npz(tmp_path, arrays)
    assert unbounded.task.action_limit == 1.5 and "the largest in the data, 1.5" in (unbounded.warning or "")
    # A last bit beyond the bound is rounding.
    arrays["actions"][[2, 5], 0] = np.nextafter(np.float32(1), np.float32(2))
    assert "bound" not in (load_npz(tmp_path, arrays).warning or "")


def test_a_time_limit_marked_as_termination_is_suspected(tmp_path: Path) -> None:
    size, limit = 40, 10
    ends = np.arange(size) % limit == limit - 1
    arrays = {
        "observations": np.zeros((size, 1), np.float32),
        "actions": np.zeros((size, 1), np.float32),
        "rewards": np.zeros(size, np.float32),
    }
    wrong = load_npz(tmp_path, arrays | {"terminals": ends, "timeouts": ~ends & False})
    assert "4 of 4 episodes of 10 steps" in (wrong.warning or "") and wrong.terminals.sum() == 4
    right = load_npz(tmp_path, arrays | {"terminals": ~ends & False, "timeouts": ends})
    assert "was the time limit" not in (right.warning or "")
    # One that falls short of the limit is its own.
    mixed = ends.copy()
    mixed[[13, 14]] = True
    assert "was the time limit" not in (
        load_npz(tmp_path, arrays | {"terminals": mixed & (np.arange(size) == 13), "timeouts": ends}).warning or ""
    )
    known = load_npz(
        tmp_path, arrays | {"terminals": ends & (np.arange(size) == 9), "timeouts": ends}, episode_limit=10
    )
    assert "1 of 4 episodes of 10 steps, the time limit" in (known.warning or "")


def test_a_termination_in_the_middle_is_kept(tmp_path: Path) -> None:
    arrays = some(*WITH_NEXT)
    arrays["terminals"][5] = True  # the second step of five
    dataset = load_npz(tmp_path, arrays)
    assert dataset.terminals[5] == 1 and len(dataset.rewards) == 17
    np.testing.assert_array_equal(dataset.episode_lengths, [3, 1, 2, 3, 1, 5, 2])


@pytest.mark.parametrize("end", ["terminals", "timeouts"])
def test_a_recording_that_stops_is_cut_there(tmp_path: Path, end: str) -> None:
    arrays = {name: array[:7] for name, array in some(*WITH_NEXT).items()}
    whole = load_npz(tmp_path, arrays)
    assert whole.truncations[-1] == 1 and whole.terminals[-1] == 0 and len(whole.rewards) == 7
    del arrays["next_observations"]
    cut = load_npz(tmp_path, arrays)
    assert len(cut.rewards) == 6 and cut.truncations[-1] == 1
    # Nothing is left of one step whose next observation nobody stored.
    last = {name: array[:1] for name, array in some(*STEPS, end).items()}
    if end == "timeouts":
        assert "no transition is left" in refusal(tmp_path, last)
    else:
        last["terminals"][:] = True
        assert len(load_npz(tmp_path, last | {"timeouts": ~last["terminals"]}).rewards) == 1


def test_scattered_rows_are_sorted_by_their_steps(tmp_path: Path) -> None:
    arrays = some(*STEPS, "next_observations", "terminals", "episodes", "steps")
    # Numbers that fall, and the rows of two episodes that were written in turns.
    arrays["episodes"] = 100 - arrays["episodes"]
    order = np.array([0, 1, 2, 3, *(4, 10, 5, 11, 6, 12, 7, 13, 8, 14), 9, 15, 16])
    shuffled = {name: array[order] for name, array in arrays.items()}
    found = load_npz(tmp_path, shuffled)
    # Episodes stand in the order of their first rows, so the fifth now comes before the fourth.
    episodes = np.split(np.arange(17), [3, 4, 9, 10, 15])
    expected = np.concatenate([episodes[index] for index in (0, 1, 2, 4, 3, 5)])
    np.testing.assert_array_equal(found.observations, transitions()["observations"][expected])
    np.testing.assert_array_equal(found.terminals, transitions()["terminals"][expected])
    del shuffled["steps"]
    assert "row 6 (the first is 0) belongs to episode 98 again" in refusal(tmp_path, shuffled)
    # Numbers that fall but stand together are in order as they are.
    del arrays["steps"]
    assert_same(load_npz(tmp_path, arrays), transitions())


def test_episodes_that_share_a_number_are_not_joined(tmp_path: Path) -> None:
    arrays = some(*STEPS, "terminals", "episodes", "steps")
    arrays["episodes"][arrays["episodes"] == 5] = 2  # as where two files were put together
    assert "rows 4 and 15 are both step 0 of episode 2" in refusal(tmp_path, arrays)


def test_done_is_read_by_what_it_does_at_timeouts(tmp_path: Path) -> None:
    arrays = some(*STEPS, "next_observations", "timeouts")
    cut = rows()["timeouts"] & ~rows()["terminals"]
    either = rows()["terminals"] | rows()["timeouts"]
    assert_same(load_npz(tmp_path, arrays | {"timeouts": cut, "done": either}), transitions())
    assert_same(load_npz(tmp_path, arrays | {"timeouts": cut, "done": rows()["terminals"]}), transitions())
    del arrays["timeouts"]
    assert "termination or a cut" in refusal(tmp_path, arrays | {"done": either})
    said = load_npz(tmp_path, arrays | {"done": either}, columns={"timeouts": "done"})
    assert said.terminals.sum() == 0 and said.truncations.sum() == 6 and "No terminations" in (said.warning or "")


def test_columns_can_be_named(tmp_path: Path) -> None:
    arrays = some(*WITH_NEXT)
    named = {"s": arrays["observations"], "torque": arrays["actions"][:, 0], "r": arrays["rewards"]}
    named |= {"then": arrays["next_observations"], "fell": arrays["terminals"].astype(float), "cut": arrays["timeouts"]}
    columns = {"observations": "s", "actions": "torque", "rewards": "r", "next_observations": "then"}
    columns |= {"terminals": "fell", "timeouts": "cut"}
    assert_same(load_npz(tmp_path, named, columns=columns), transitions())
    assert "columns.actions: 'force' is not in" in refusal(tmp_path, named, columns=columns | {"actions": "force"})
    (tmp_path / "log.npz.yaml").unlink()
    assert "observations is missing" in refusal(tmp_path, named)


def test_a_table_of_named_quantities(tmp_path: Path) -> None:
    path = tmp_path / "plant.csv"
    path.write_text(
        "patient,hour,glucose,pulse,dose,outcome,died\n"
        "mary,0,1.5,60,0.25,0,0\nmary,1,2.5,70,0.5,1,1\njohn,0,3.5,80,0.75,0,0\njohn,1,4.5,90,1,2,0\n"
    )
    describe_beside(
        path,
        columns={
            "observations": ["glucose", "pulse"],
            "actions": "dose",
            "rewards": "outcome",
            "terminals": "died",
            "episodes": "patient",
            "steps": "hour",
        },
        reference_random=0,
        reference_expert=2,
    )
    dataset = load(f"file:{path}")
    np.testing.assert_array_equal(dataset.observations, np.float32([[1.5, 60], [2.5, 70], [3.5, 80]]))
    np.testing.assert_array_equal(dataset.next_observations, np.float32([[2.5, 70], [2.5, 70], [4.5, 90]]))
    np.testing.assert_array_equal(dataset.terminals, [0, 1, 0])
    np.testing.assert_array_equal(dataset.truncations, [0, 0, 1])
    assert (dataset.reference_random, dataset.reference_expert) == (0, 2)
    path.write_text(path.read_text().replace("3.5", "high"))
    with pytest.raises(UserError, match="glucose is 'high' in row 2"):
        load(f"file:{path}")


def test_whole_numbers_in_one_column_are_choices(tmp_path: Path) -> None:
    arrays = some(*WITH_NEXT)
    arrays["actions"] = np.arange(17) % 3
    dataset = load_npz(tmp_path, arrays)
    np.testing.assert_array_equal(dataset.actions, np.eye(3, dtype=np.float32)[np.arange(17) % 3])
    assert dataset.task.action_size == 3 and "3 choices" in (dataset.warning or "")
    assert load_npz(tmp_path, arrays, discrete_actions=5).task.action_size == 5
    assert "2 in row 2" in refusal(tmp_path, arrays, discrete_actions=2)
    doses = load_npz(tmp_path, arrays, action_limit=2)
    assert doses.task.action_size == 1 and doses.task.action_limit == 2
    (tmp_path / "log.npz.yaml").unlink()
    assert "too many for choices" in refusal(tmp_path, arrays | {"actions": np.arange(17) * 1000})


def test_a_simulator_of_ours_can_be_named(tmp_path: Path) -> None:
    dataset = load_npz(tmp_path, some(*WITH_NEXT), task="pendulum")
    assert dataset.task.env_id == "Pendulum-v1" and dataset.reference_random is not None
    assert "17 and 6" in refusal(tmp_path, some(*WITH_NEXT), task="halfcheetah")


@pytest.mark.parametrize(
    ("said", "place"),
    [
        ({"column": {}}, "column: no such key"),
        ({"columns": {"observation": "x"}}, "columns"),
        ({"columns": {"rewards": 3}}, "columns"),
        ({"action_limit": 0}, "action_limit: 0 is not allowed"),
        ({"action_limit": "one"}, "action_limit"),
        ({"episode_limit": 2.5}, "episode_limit: 2.5"),
        ({"discrete_actions": True}, "discrete_actions"),
        ({"reference_random": 1}, "go together"),
        ({"reference_random": 1, "reference_expert": 1.0}, "another number"),
        ({"action_limit": float("inf")}, "action_limit"),
        ([1], "must be a mapping"),
    ],
)
def test_what_stands_beside_a_file_is_checked(tmp_path: Path, said: Any, place: str) -> None:
    np.savez(tmp_path / "log.npz", **some(*WITH_NEXT))
    (tmp_path / "log.npz.yaml").write_text(json.dumps(said))
    with pytest.raises(UserError) as error:
        load(f"file:{tmp_path / 'log.npz'}")
    assert place in str(error.value) and "log.npz.yaml" in str(error.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rewards": None}, "rewards is missing"),
        ({"terminals": None, "timeouts": None}, "nothing says where episodes end"),
        ({"timeouts": None, "next_observations": None}, "nothing says where an episode was cut"),
        ({"actions": np.zeros((16, 1))}, r"actions has the shape (16, 1)"),
        ({"rewards": np.zeros((17, 2))}, r"rewards has the shape (17, 2)"),
        (dict.fromkeys(["observations", "next_observations"], np.zeros((17, 8, 8, 3))), "pictures"),
        ({"next_observations": np.zeros((17, 2))}, "next_observations has the shape (17, 2), observations (17, 3)"),
        ({"next_observations": np.zeros((17, 2)), "timeouts": None}, "next_observations has the shape (17, 2)"),
        ({"terminals": np.full(17, 0.5)}, "terminals is 0.5 in row 0"),
        ({"obs": np.zeros((17, 3))}, "observations may be observations or obs"),
        ({name: array[:0] for name, array in some(*WITH_NEXT).items()}, "no steps"),
    ],
)
def test_what_cannot_be_a_dataset_is_one_sentence(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    arrays = {name: array for name, array in (some(*WITH_NEXT) | change).items() if array is not None}
    assert said in refusal(tmp_path, arrays)


def test_a_d4rl_file_without_any_cut_is_refused(tmp_path: Path) -> None:
    write_d4rl(tmp_path / "x.hdf5", some(*STEPS, "terminals"))
    with pytest.raises(UserError, match="nothing says where an episode was cut"):
        load(f"file:{tmp_path / 'x.hdf5'}")
    describe_beside(tmp_path / "x.hdf5", columns={"rewards": "r"})
    with pytest.raises(UserError, match="D4RL's or d3rlpy's layout"):
        load(f"file:{tmp_path / 'x.hdf5'}")


def test_numbered_columns_have_no_gap(tmp_path: Path) -> None:
    write_csv(tmp_path / "x.csv", some(*WITH_NEXT))
    path = tmp_path / "x.csv"
    path.write_text(path.read_text().replace("next_observations_1", "next_observations_7"))
    with pytest.raises(UserError, match=r"have a gap.*\[0, 2, 7\]"):
        load(f"file:{path}")


def make_minari(root: Path, monkeypatch: pytest.MonkeyPatch, observations: Any, **spaces: Any) -> None:
    """One episode of two steps in spaces of one's own."""
    import minari
    from minari.data_collector import EpisodeBuffer

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(root))
    actions = np.array([spaces["action_space"].sample() for _ in range(2)])
    buffer = EpisodeBuffer(
        observations=observations,
        actions=actions,
        rewards=np.ones(2),
        terminations=np.array([False, False]),
        truncations=np.array([False, True]),
    )
    minari.create_dataset_from_buffers("test/own-v0", [buffer], **spaces)
    monkeypatch.delenv("MINARI_DATASETS_PATH")


BOX = gymnasium.spaces.Box(-1, 1, (2,), np.float32)


@pytest.mark.filterwarnings("ignore")
def test_dictionaries_of_boxes_become_vectors_by_sorted_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = ["observation", "desired_goal", "achieved_goal"]
    space = gymnasium.spaces.Dict([(key, BOX) for key in keys])
    observations = {key: np.full((3, 2), index, np.float32) for index, key in enumerate(keys)}
    make_minari(tmp_path, monkeypatch, observations, observation_space=space, action_space=BOX)
    dataset = load("minari:test/own-v0", tmp_path)
    np.testing.assert_array_equal(dataset.observations, np.float32([[2, 2, 1, 1, 0, 0]] * 2))
    assert dataset.task.env_id == "" and "no simulator here for an unnamed environment" in (dataset.warning or "")


@pytest.mark.filterwarnings("ignore")
def test_choices_of_minari_begin_where_their_space_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = gymnasium.spaces.Discrete(4, start=5, seed=0)
    make_minari(tmp_path, monkeypatch, np.zeros((3, 2), np.float32), observation_space=BOX, action_space=space)
    dataset = load("minari:test/own-v0", tmp_path)
    assert dataset.actions.shape == (2, 4) and (dataset.actions.sum(1) == 1).all()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("space", "observations", "said"),
    [
        (gymnasium.spaces.Box(0, 255, (8, 8, 3), np.uint8), np.zeros((3, 8, 8, 3), np.uint8), "is a picture"),
        (gymnasium.spaces.Discrete(3), np.zeros(3, np.int64), "of the kind Discrete"),
    ],
)
def test_spaces_without_a_vector_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, space: gymnasium.Space, observations: np.ndarray, said: str
) -> None:
    make_minari(tmp_path, monkeypatch, observations, observation_space=space, action_space=BOX)
    with pytest.raises(UserError, match=said):
        load("minari:test/own-v0", tmp_path)
