"""Minari's datasets: a folder with metadata and one HDF5 group per episode of T steps, observations with T + 1 rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cqlbench.datasets.foreign import Origin, check_shapes, join, read_flags
from cqlbench.datasets.guard import check_size, one_line, open_hdf5, quoted, read_hdf5
from cqlbench.datasets.offline import Recording
from cqlbench.datasets.tables import mujoco_version
from cqlbench.errors import UserError
from cqlbench.tasks import TASKS, Task


def read(folder: Path) -> tuple[Recording, Origin]:
    """The steps of every episode in the order of their numbers, the spaces, the simulator and the references.

    Observations that are a dictionary of boxes become one vector, the boxes in the order of their sorted keys.
    Raises UserError where the folder is not a Minari dataset in HDF5, and for spaces that no vector can be made of.
    """
    place = str(folder / "main_data.hdf5")
    metadata = folder / "metadata.json"
    try:
        about = json.loads(metadata.read_text(encoding="utf-8"))
        if about.get("data_format", "hdf5") != "hdf5":
            raise UserError(f"{folder}: its data_format is {one_line(str(about['data_format']))}; only hdf5 is read.")
        episodes = int(about["total_episodes"])
        leaves = list(_leaves(place, "observations", json.loads(about["observation_space"])))
        limit, choices, first = _action_bounds(place, json.loads(about["action_space"]))
        origin = _origin(place, about)._replace(action_limit=limit, choices=choices)
    except FileNotFoundError as error:
        raise UserError(f"{metadata} does not exist.") from error
    except (OSError, KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise UserError(f"{metadata} is not what Minari writes ({quoted(error)}).") from error
    if episodes < 1:
        raise UserError(f"{folder}: there are no episodes in it.")
    names = ("observations", "next_observations", "actions", "rewards", "terminals", "ends")
    parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
    size = 0
    with open_hdf5(folder / "main_data.hdf5") as file:
        for episode in range(episodes):
            group = f"episode_{episode}"
            rewards = read_hdf5(file, f"{group}/rewards")
            flags = [read_hdf5(file, f"{group}/{name}") for name in ("terminations", "truncations")]
            terminations, truncations = (read_flags(f"{place}: {group}", values) for values in flags)
            seen = [read_hdf5(file, f"{group}/{leaf}") for leaf in leaves]
            for leaf, values in zip(leaves, seen, strict=True):
                if len(values) != len(rewards) + 1:
                    raise UserError(
                        f"{place}: {group}/{leaf} has {len(values)} rows; there must be one more than the "
                        f"{len(rewards)} rewards."
                    )
            observations = np.concatenate([values.reshape(len(values), -1) for values in seen], axis=1)
            actions = read_hdf5(file, f"{group}/actions")
            parts["observations"].append(observations[:-1])
            parts["next_observations"].append(observations[1:])
            # The choices of a discrete space need not begin at 0; whole numbers of a box are quantities.
            parts["actions"].append(actions.astype(np.float32) if choices is None else actions - first)
            parts["rewards"].append(rewards)
            parts["terminals"].append(terminations)
            ends = terminations | truncations
            ends[-1:] = True
            parts["ends"].append(ends)
            check_shapes(f"{place}: {group}", {name: values[-1] for name, values in parts.items()})
            # One array may stand under a thousand names.
            size += sum(values[-1].nbytes for values in parts.values())
            check_size(place, size)
    return Recording(**{name: join(f"{place}: {name}", arrays) for name, arrays in parts.items()}), origin


def _origin(place: str, about: dict[str, Any]) -> Origin:
    """What the metadata say of simulator and references."""
    environment = dict(json.loads(about["env_spec"])) if about.get("env_spec") else {}
    random, expert = about.get("ref_min_score"), about.get("ref_max_score")
    references = None if random is None or expert is None else (float(random), float(expert))
    task = _task(environment)
    return Origin(
        place,
        task=task,
        episode_limit=int(environment["max_episode_steps"]) if environment.get("max_episode_steps") else None,
        references=references if references and np.isfinite(references).all() else None,
        notes=_simulator_notes(environment, task, about.get("requirements") or []),
    )


def _leaves(place: str, name: str, space: dict[str, Any]) -> Iterator[str]:
    """The boxes of an observation space, `observations/desired_goal`, by sorted keys."""
    if space["type"] == "Dict":
        for key in sorted(space["subspaces"]):
            yield from _leaves(place, f"{name}/{key}", space["subspaces"][key])
        return
    if space["type"] != "Box":
        raise UserError(
            f"{place}: {name} is of the kind {space['type']}; only boxes and dictionaries of them are loaded."
        )
    if len(space["shape"]) > 2 or (len(space["shape"]) == 2 and space["dtype"] == "uint8"):
        raise UserError(
            f"{place}: {name} is a picture of the shape {space['shape']}; pictures are not loaded, the networks here "
            "take vectors. Store features of them instead."
        )
    yield name


def _action_bounds(place: str, space: dict[str, Any]) -> tuple[float | None, int | None, int]:
    """(largest bound or None, None, 0) of a box; (None, number of choices, the first one) of a discrete space."""
    if space["type"] == "Discrete":
        return None, int(space["n"]), int(space["start"])
    if space["type"] != "Box":
        raise UserError(f"{place}: actions of the kind {space['type']} are not loaded; only Box and Discrete are.")
    bound = float(np.abs([space["low"], space["high"]]).max())
    return (bound if np.isfinite(bound) else None), None, 0


def _task(environment: dict[str, Any]) -> Task | None:
    """Ours, where the data say that they come from exactly its environment."""
    if environment.get("kwargs") or environment.get("additional_wrappers"):
        return None
    # Ours may name the module that registers them.
    return next((task for task in TASKS.values() if task.env_id.rpartition(":")[2] == environment.get("id")), None)


def _simulator_notes(environment: dict[str, Any], task: Task | None, requirements: list[str]) -> tuple[str, ...]:
    name = environment.get("id")
    if task is None:
        return (f"There is no simulator here for {name or 'an unnamed environment'}.",)
    if f"mujoco=={mujoco_version()}" in requirements:
        return ()
    said = " and ".join(requirement for requirement in requirements if requirement.startswith("mujoco"))
    return (f"The simulator is {name} with MuJoCo {mujoco_version()}; the data name {said or 'no release of it'}.",)
