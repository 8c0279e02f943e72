"""D4RL's files: one row per step in one HDF5 file, episodes one after the other."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

from cqlbench.datasets.boundaries import find_ends
from cqlbench.datasets.foreign import Origin, check_shapes, read_flags
from cqlbench.datasets.guard import has, open_hdf5, read_hdf5
from cqlbench.datasets.offline import Recording
from cqlbench.errors import UserError


class Domain(NamedTuple):
    """What D4RL normalises with, and after how many steps it cuts; None where that was not looked up.

    Farama-Foundation/D4RL: d4rl/infos.py, gym_mujoco/__init__.py and hand_manipulation_suite/__init__.py.
    """

    name: str
    random_return: float
    expert_return: float
    episode_limit: int | None


def read_domains() -> list[Domain]:
    """The package's table of D4RL's domains."""
    with (Path(__file__).parent / "d4rl_tasks.csv").open(newline="") as file:
        return [
            Domain(name, float(random), float(expert), int(limit) if limit else None)
            for name, random, expert, limit in list(csv.reader(file))[1:]
        ]


def find_domain(name: str) -> Domain | None:
    """The domain of `hopper-medium-v2`; None for a name that D4RL has no references for."""
    return next((domain for domain in read_domains() if f"{name}-".startswith(f"{domain.name}-")), None)


def d4rl_file(folder: Path, name: str) -> Path:
    """Where `hopper-medium-v2` lies in `folder`: under its name, or as D4RL's server calls it, hopper_medium-v2."""
    stem, _, version = name.rpartition("-")
    served = folder / f"{stem.replace('-', '_')}-{version}.hdf5"
    return served if served.is_file() else folder / f"{name}.hdf5"


def named_origin(name: str, path: Path) -> Origin:
    """What is known of a D4RL dataset by its name. Raises UserError for a name that is none of D4RL's."""
    domain = find_domain(name)
    if domain is None:
        raise UserError(
            f"d4rl:{name}: D4RL has no references for it; names begin with "
            f"{', '.join(domain.name for domain in read_domains())}. Any other file: file:{path}"
        )
    return Origin(
        str(path),
        action_limit=1.0,
        episode_limit=domain.episode_limit,
        references=(domain.random_return, domain.expert_return),
        notes=(
            "The data come from D4RL's own simulator, which is not the one here: there is no simulator for a policy "
            "trained on them, and its references are D4RL's.",
        ),
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
