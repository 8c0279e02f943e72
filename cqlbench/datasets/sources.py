"""Every dataset by its id, wherever it comes from: `hopper/medium-v0`, `minari:ID`, `d4rl:NAME`, `file:PATH`."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import yaml

from cqlbench.datasets import from_d3rlpy, from_d4rl, from_logs, from_minari, store
from cqlbench.datasets.foreign import Origin, build
from cqlbench.datasets.guard import one_line, open_hdf5, quoted
from cqlbench.datasets.kinds import parse_id
from cqlbench.datasets.minari_root import minari_folder
from cqlbench.datasets.offline import OfflineDataset, Recording
from cqlbench.errors import UserError
from cqlbench.tasks import find_task

HDF5_SUFFIXES = (".hdf5", ".h5")
# What FILE.yaml may say beside a file.
_NUMBERS = ("action_limit", "reference_random", "reference_expert")
_COUNTS = ("episode_limit", "discrete_actions")
_DESCRIPTION_BYTES = 100_000
# Of the name of a file or folder, in bytes, on every usual file system.
LONGEST_NAME = 255
DESCRIPTION_KEYS = ("columns", "task", *_NUMBERS, *_COUNTS)


def split_id(dataset_id: str) -> tuple[str, str]:
    """(source, name): `("d4rl", "hopper-medium-v2")`; the source of our own datasets is "".

    Raises UserError for an id that no source can have.
    """
    source, colon, name = dataset_id.partition(":")
    if not colon:
        parse_id(dataset_id)
        return "", dataset_id
    forms = {
        "minari": (r"([\w-]+/)*[\w-]+-v\d+", "as minari:mujoco/hopper/medium-v0"),
        "d4rl": (r"[a-z0-9]+(-[a-z0-9]+)*-v\d+", "as d4rl:hopper-medium-v2"),
        "file": (rf".*({'|'.join(map(re.escape, (*from_logs.SUFFIXES, *HDF5_SUFFIXES)))})", "as file:logs/plant.npz"),
    }
    if source not in forms:
        raise UserError(
            f"dataset: {dataset_id!r} has no known source; it may be {', '.join(f'{name}:' for name in forms)}."
        )
    form, example = forms[source]
    if (length := len(name.encode(errors="replace"))) > LONGEST_NAME:
        raise UserError(
            f"dataset: {quoted(dataset_id)} is not allowed: its name, which is also that of a folder of results, has "
            f"{length} bytes and must have at most {LONGEST_NAME}; link it to a shorter path."
        )
    if not re.fullmatch(form, name) or not name.isprintable():
        allowed = f" in {', '.join((*from_logs.SUFFIXES, *HDF5_SUFFIXES))}" if source == "file" else ""
        raise UserError(f"dataset: {dataset_id!r} is not allowed; its name is one{allowed}, {example}.")
    return source, name


def dataset_file(root: Path, dataset_id: str) -> Path:
    """The file whose existence means that the dataset is there. Raises UserError as `split_id` does."""
    source, name = split_id(dataset_id)
    if source == "minari":
        return minari_folder(root, name) / "main_data.hdf5"
    if source == "d4rl":
        return from_d4rl.d4rl_file(Path(root) / "d4rl", name)
    return Path(name) if source == "file" else store.dataset_file(root, dataset_id)


def found_ids(root: Path) -> list[str]:
    """Ids of the datasets from elsewhere that lie in `root`, sorted."""
    described = (path.parent.parent for path in Path(root).glob("**/data/metadata.json"))
    names = [folder.relative_to(root).as_posix() for folder in described]
    ids = [f"minari:{name}" for name in names if not name.startswith((f"{store.NAMESPACE}/", "."))]
    for path in Path(root, "d4rl").glob("*.hdf5"):
        # As D4RL's server calls it: hopper_medium-v2.
        ids.append(f"d4rl:{path.stem.replace('_', '-')}")
    return sorted(ids)


def load(dataset_id: str, root: Path = store.DEFAULT_ROOT, mapped: bool = False) -> OfflineDataset:
    """The dataset as flat arrays; `root` is the folder of those that have no path.

    With `mapped` the arrays of our own stay on the disk; data from elsewhere are read into memory in either case.

    Raises UserError for an id that no source can have, for a dataset that is not there, and for one that cannot be
    used; a doubt about one that can is its `warning`.
    """
    if split_id(dataset_id)[0] == "":
        return store.load(dataset_id, root, mapped)
    return build(dataset_id, *read(dataset_id, root))


def read(dataset_id: str, root: Path = store.DEFAULT_ROOT) -> tuple[Recording, Origin]:
    """The steps of data from elsewhere as they lie in their file, before `build` looks at them.

    Raises UserError as `load` does, except for what is wrong with single numbers.
    """
    source, name = split_id(dataset_id)
    path = dataset_file(root, dataset_id)
    if missing := why_missing(dataset_id, root):
        raise UserError(missing)
    if source == "minari":
        return from_minari.read(path.parent)
    if source == "d4rl":
        return from_d4rl.read(path, from_d4rl.named_origin(name, path))
    return _read_file(path)


def why_missing(dataset_id: str, root: Path) -> str | None:
    """Where data from elsewhere are not there: which file that is and how to get it. None where it is, and for our own,
    which are made."""
    source, name = split_id(dataset_id)
    path = dataset_file(root, dataset_id)
    if not source or path.is_file():
        return None
    ways = {
        "minari": f"download it with: cqlbench datasets download {name} --root {root}",
        "d4rl": from_d4rl.how_to_get(name, path),
        "file": "paths are relative to where the command is started",
    }
    return f"{dataset_id}: {path} does not exist; {ways[source]}"


def content_hash(dataset_id: str, root: Path) -> str | None:
    """Of the data that lie there now, None where there are none. Of those from elsewhere raises UserError as `load`."""
    if split_id(dataset_id)[0] == "":
        stored = store.stored_metadata(dataset_id, root)
        return stored["content_hash"] if stored else None
    return None if why_missing(dataset_id, root) else load(dataset_id, root).content_hash


def _read_file(path: Path) -> tuple[Recording, Origin]:
    origin, columns = _described(path)
    if path.suffix not in HDF5_SUFFIXES:
        return from_logs.read(path, origin, columns)
    with open_hdf5(path) as file:
        replay_buffer = from_d3rlpy.is_replay_buffer(file)
    return from_d3rlpy.read(path, origin) if replay_buffer else from_d4rl.read(path, origin)


def _plain_yaml(path: Path) -> Any:
    """What a YAML file says. Raises ValueError for one of a size that no description has, and for one that refers to
    its own parts, which may say billions of words in a few lines."""
    if path.stat().st_size > _DESCRIPTION_BYTES:
        raise ValueError(f"it has more than {_DESCRIPTION_BYTES:,} bytes")
    text = path.read_text(encoding="utf-8")
    if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
        raise ValueError("it has aliases")
    return yaml.safe_load(text)


def _described(path: Path) -> tuple[Origin, from_logs.Columns]:
    """What `PATH.yaml` says of the file: its columns, bounds, references, task. Raises UserError for anything else."""
    beside = path.with_name(path.name + ".yaml")
    try:
        said = _plain_yaml(beside) if beside.is_file() else {}
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise UserError(
            f"{beside} is not YAML that is read here ({one_line(' '.join(str(error).split()))})."
        ) from error
    if not isinstance(said, dict):
        raise UserError(f"{beside} must be a mapping with keys of {', '.join(DESCRIPTION_KEYS)}.")

    def refuse(key: str, allowed: str) -> UserError:
        return UserError(f"{beside}: {key}: {quoted(said.get(key))} is not allowed; it must be {allowed}.")

    for key, value in said.items():
        if key not in DESCRIPTION_KEYS:
            raise UserError(
                f"{beside}: {one_line(str(key))}: no such key; the allowed ones are {', '.join(DESCRIPTION_KEYS)}."
            )
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if key in _NUMBERS and not number:
            raise refuse(key, "a number")
        if key in _COUNTS and not (number and isinstance(value, int) and value >= 1):
            raise refuse(key, "a whole number from 1")
    if said.get("action_limit", 1) <= 0:
        raise refuse("action_limit", "above 0")
    if ("reference_random" in said) != ("reference_expert" in said):
        raise UserError(f"{beside}: reference_random and reference_expert go together; one of them is missing.")
    if "reference_random" in said and said["reference_random"] == said["reference_expert"]:
        raise refuse("reference_expert", "another number than reference_random")
    columns = said.get("columns", {})
    if not isinstance(columns, dict) or not all(
        role in from_logs.USUAL_NAMES
        and (isinstance(names, str) or (isinstance(names, list) and names and all(isinstance(n, str) for n in names)))
        for role, names in columns.items()
    ):
        raise refuse("columns", f"a mapping of {', '.join(from_logs.USUAL_NAMES)} to a name or a list of names")
    if columns and path.suffix in HDF5_SUFFIXES:
        raise UserError(
            f"{beside}: columns: HDF5 files are read in D4RL's or d3rlpy's layout; store .npz for another one."
        )
    if not isinstance(said.get("task", ""), str):
        raise refuse("task", "a name")
    task = find_task(said["task"]) if "task" in said else None
    references = None
    if "reference_random" in said:
        references = float(said["reference_random"]), float(said["reference_expert"])
    notes = () if task else ("There is no simulator for data of one's own.",)
    origin = Origin(
        str(path),
        task=task,
        action_limit=said.get("action_limit", task.action_limit if task else None),
        choices=said.get("discrete_actions"),
        episode_limit=said.get("episode_limit", task.episode_limit if task else None),
        references=references,
        notes=notes,
    )
    return origin, columns
