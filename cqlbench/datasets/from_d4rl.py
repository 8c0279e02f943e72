"""D4RL's files: one row per step in one HDF5 file, episodes one after the other."""

from __future__ import annotations

import csv
import dataclasses
import shlex
from pathlib import Path
from typing import NamedTuple

from cqlbench.datasets.boundaries import find_ends
from cqlbench.datasets.foreign import Origin, check_shapes, read_flags
from cqlbench.datasets.guard import has, open_hdf5, read_hdf5
from cqlbench.datasets.offline import Recording
from cqlbench.datasets.tables import mujoco_version
from cqlbench.errors import UserError
from cqlbench.tasks import find_task

# Where D4RL's own table of addresses points to (d4rl/gym_mujoco/__init__.py).
SERVER = "http://rail.eecs.berkeley.edu/datasets/offline_rl"


class Domain(NamedTuple):
    """What D4RL normalises with, and after how many steps it cuts; None where that was not looked up.

    Farama-Foundation/D4RL: d4rl/infos.py, gym_mujoco/__init__.py and hand_manipulation_suite/__init__.py.
    `env_id` is the environment here that is nearest to D4RL's, empty where there is none: of the MuJoCo tasks version
    4, which has the rewards and, of Walker2d, the feet of version 2; version 5 has not.
    """

    name: str
    random_return: float
    expert_return: float
    episode_limit: int | None
    env_id: str


def read_domains() -> list[Domain]:
    """The package's table of D4RL's domains."""
    with (Path(__file__).parent / "d4rl_tasks.csv").open(newline="") as file:
        return [
            Domain(name, float(random), float(expert), int(limit) if limit else None, env_id)
            for name, random, expert, limit, env_id in list(csv.reader(file))[1:]
        ]


def find_domain(name: str) -> Domain | None:
    """The domain of `hopper-medium-v2`; None for a name that D4RL has no references for."""
    return next((domain for domain in read_domains() if f"{name}-".startswith(f"{domain.name}-")), None)


def d4rl_file(folder: Path, name: str) -> Path:
    """Where `hopper-medium-v2` lies in `folder`: under its name, or as D4RL's server calls it, hopper_medium-v2."""
    served = folder / _served_name(name)
    return served if served.is_file() else folder / f"{name}.hdf5"


def how_to_get(name: str, path: Path) -> str:
    """What to do where `path`, the file of `hopper-medium-v2`, is missing: a command, for those served by a rule."""
    domain, version = find_domain(name), name.rpartition("-")[2]
    if domain is None or not domain.env_id or version not in ("v1", "v2"):
        return "get it from D4RL's server and put it there"
    address = f"{SERVER}/gym_mujoco_{version}/{_served_name(name)}"
    return f"get it with: curl -fL --create-dirs -o {shlex.quote(str(path))} {address}"


def _served_name(name: str) -> str:
    stem, _, version = name.rpartition("-")
    return f"{stem.replace('-', '_')}-{version}.hdf5"


def named_origin(name: str, path: Path) -> Origin:
    """What is known of a D4RL dataset by its name. Raises UserError for a name that is none of D4RL's."""
    domain = find_domain(name)
    if domain is None:
        raise UserError(
            f"d4rl:{name}: D4RL has no references for it; names begin with "
            f"{', '.join(domain.name for domain in read_domains())}. Any other file: file:{path}"
        )
    task = dataclasses.replace(find_task(domain.name), env_id=domain.env_id) if domain.env_id else None
    simulator = (
        f"policies are evaluated in {task.env_id} with MuJoCo {mujoco_version()}, whose rewards are the same and whose "
        "physics is another release's: scores may differ from D4RL's own, and nobody has measured by how much"
        if task
        else "it is not here, so there is no simulator for a policy trained on them"
    )
    return Origin(
        str(path),
        task=task,
        action_limit=1.0,
        episode_limit=domain.episode_limit,
        references=(domain.random_return, domain.expert_return),
        notes=(f"The data come from D4RL's own simulator; {simulator}. The references are D4RL's.",),
    )


def read(path: Path, origin: Origin) -> tuple[Recording, Origin]:
    """The steps in a file of D4RL's layout: observations, actions, rewards, terminals, and where they are stored
    timeouts and next_observations. Other arrays (infos, metadata) are not looked at.

    Raises UserError as `read_hdf5`, `read_flags` and `find_ends` do.
    """
    with open_hdf5(path) as file:
        arrays = {name: read_hdf5(file, name) for name in ("observations", "actions", "rewards", "terminals")}
        optional = {name: read_hdf5(file, name) for name in ("timeouts", "next_observations") if has(file, name)}
    check_shapes(str(path), arrays | optional)
    terminals = read_flags(f"{path}: terminals", arrays.pop("terminals"))
    timeouts = read_flags(f"{path}: timeouts", optional["timeouts"]) if "timeouts" in optional else None
    following = optional.get("next_observations")
    ends, notes = find_ends(str(path), terminals, timeouts, arrays["observations"], following, origin.episode_limit)
    recording = Recording(**arrays, terminals=terminals, ends=ends, next_observations=following)
    return recording, origin._replace(notes=(*origin.notes, *notes))
