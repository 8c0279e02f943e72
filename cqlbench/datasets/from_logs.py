"""One's own logs: .npz, .csv or .parquet with one row per step, under names that are usual or said beside the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cqlbench.datasets.boundaries import find_ends
from cqlbench.datasets.foreign import Origin, check_shapes, read_flags
from cqlbench.datasets.guard import check_size, listed, one_line, open_npz, quoted, read_npy, reason_of
from cqlbench.datasets.offline import Recording
from cqlbench.errors import UserError

# What each role is usually called. `dones` are ends of either kind where timeouts are marked too.
USUAL_NAMES = {
    "observations": ("observations", "observation", "obs", "states", "state"),
    "actions": ("actions", "action"),
    "rewards": ("rewards", "reward"),
    "next_observations": ("next_observations", "next_observation", "next_obs", "next_states", "next_state"),
    "terminals": ("terminals", "terminal", "terminations", "terminated"),
    "timeouts": ("timeouts", "timeout", "truncations", "truncated"),
    "dones": ("dones", "done"),
    "episodes": ("episodes", "episode", "episode_ids", "episode_id"),
    "steps": ("steps", "step", "timesteps", "timestep"),
}
SUFFIXES = (".npz", ".csv", ".parquet")
_VECTORS = ("observations", "actions", "next_observations")
_REQUIRED = ("observations", "actions", "rewards")

Columns = dict[str, str | list[str]]


def read(path: Path, origin: Origin, columns: Columns) -> tuple[Recording, Origin]:
    """The steps in the file. `columns` says what a role of USUAL_NAMES is called, one name or a list of them.

    Episodes end where terminals, timeouts or dones say so or the episode number changes. Rows of one episode that do
    not stand together are put in the order of their steps.
    Raises UserError for a role that is missing or ambiguous, for a column that is not there or not of numbers, for
    episodes whose rows are scattered without steps, and as `find_ends` does.
    """
    with _open(path) as available:
        names = {role: found for role in USUAL_NAMES if (found := _find(path, role, columns, available))}
        arrays = {role: _read(path, role, found, available) for role, found in names.items()}
    for role in _REQUIRED:
        if role not in arrays:
            raise UserError(
                f"{path}: {role} is missing; it has {listed(list(available))}. "
                f"Say what it is called: columns in {path}.yaml"
            )
    check_shapes(str(path), arrays)
    episodes, steps = arrays.pop("episodes", None), arrays.pop("steps", None)
    if episodes is not None:
        episodes, order = _order(path, episodes, steps)
        if order is not None:
            arrays = {role: array[order] for role, array in arrays.items()}
    flags: dict[str, np.ndarray] = {
        role: read_flags(f"{path}: {' '.join(names[role])}", arrays.pop(role))
        for role in ("terminals", "timeouts", "dones")
        if role in arrays
    }
    terminals, notes = _terminals(path, flags, len(arrays["rewards"]), episodes is not None)
    marks = [flags[role] for role in ("timeouts", "dones") if role in flags]
    if episodes is not None:
        marks.append(np.append(episodes[1:] != episodes[:-1], True))
    marked = np.logical_or.reduce(marks) if marks else None
    following = arrays.pop("next_observations", None)
    ends, more = find_ends(str(path), terminals, marked, arrays["observations"], following, origin.episode_limit)
    recording = Recording(**arrays, terminals=terminals, ends=ends, next_observations=following)
    return recording, origin._replace(notes=(*origin.notes, *notes, *more))


def _find(path: Path, role: str, columns: Columns, available: Mapping[str, object]) -> list[str]:
    """The columns of a role, none where the file has none."""
    if role in columns:
        asked = columns[role]
        found = [asked] if isinstance(asked, str) else asked
        if isinstance(asked, str) and asked not in available:
            found = _numbered(path, asked, available) or [asked]
        for name in found:
            if name not in available:
                raise UserError(
                    f"{path}.yaml: columns.{role}: {quoted(name)} is not in {path}, which has "
                    f"{listed(list(available))}."
                )
        return found
    # What was said to be one role is not another one too.
    taken = {name for asked in columns.values() for name in ([asked] if isinstance(asked, str) else asked)}
    choices = [
        found
        for name in USUAL_NAMES[role]
        if name not in taken and (found := [name] if name in available else _numbered(path, name, available))
    ]
    if len(choices) > 1:
        raise UserError(
            f"{path}: {role} may be {' or '.join(found[0] for found in choices)}; say which: columns in {path}.yaml"
        )
    return choices[0] if choices else []


def _numbered(path: Path, name: str, available: Mapping[str, object]) -> list[str]:
    """`name_0`, `name_1`, ... without a gap."""
    numbers = sorted(
        int(column.removeprefix(f"{name}_"))
        for column in available
        if column.startswith(f"{name}_") and column.removeprefix(f"{name}_").isdecimal()
    )
    if numbers != list(range(len(numbers))):
        raise UserError(f"{path}: the columns {name}_0, {name}_1, ... have a gap or begin elsewhere: {numbers}.")
    return [f"{name}_{number}" for number in numbers]


def _read(path: Path, role: str, names: list[str], available: Mapping[str, Callable[[], np.ndarray]]) -> np.ndarray:
    parts, size = [], 0
    for name in names:
        parts.append(available[name]())
        size += parts[-1].nbytes
        check_size(f"{path}: {role}", size)
    for index, (name, part) in enumerate(zip(names, parts, strict=True)):
        if part.dtype.kind not in "biuf" and role != "episodes" and len(part):
            wrong = next((row for row, value in enumerate(part) if not _is_number(value)), None)
            if wrong is not None:
                raise UserError(
                    f"{path}: {one_line(name)} is {quoted(part[wrong])} in row {wrong} (the first is 0); it must be a "
                    "number."
                )
            # Numbers that are too large for their column's type.
            parts[index] = np.array([float(value) for value in part])
        if len(parts) > 1 and part.ndim != 1:
            raise UserError(f"{path}: {name} is one of several columns of {role} and must be one number per step.")
    if role not in _VECTORS and len(parts) > 1:
        raise UserError(f"{path}: {role} must be one column, not {', '.join(names)}.")
    return parts[0] if len(parts) == 1 else np.stack(parts, axis=1)


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _order(path: Path, episodes: np.ndarray, steps: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    """The episode of each row, numbered by first appearance, and how to sort the rows; None where they stand right.

    Scattered rows of one number are put together only by their steps: without these, two episodes that were given the
    same number would become one, with a transition in it that never was.
    """
    if episodes.ndim != 1:
        episodes = episodes.reshape(len(episodes), -1)[:, 0]
    import pandas as pd

    numbers, _ = pd.factorize(episodes)
    if (numbers < 0).any():
        raise UserError(f"{path}: the episode of row {np.argmin(numbers)} (the first is 0) is missing.")
    if steps is None:
        if (np.diff(numbers) < 0).any():
            row = int(np.argmax(np.diff(numbers) < 0)) + 1
            raise UserError(
                f"{path}: row {row} (the first is 0) belongs to episode {episodes[row]} again, after another one "
                "began; add a column of steps to sort by, or give every episode a number of its own."
            )
        return numbers, None
    steps = steps.reshape(len(steps), -1)[:, 0]
    order = np.lexsort((steps, numbers))
    again = np.flatnonzero((np.diff(numbers[order]) == 0) & ~(np.diff(steps[order]) > 0))
    if len(again):
        first, second = order[again[0]], order[again[0] + 1]
        raise UserError(
            f"{path}: rows {first} and {second} are both step {steps[first]} of episode {episodes[first]}; "
            "give every episode a number of its own."
        )
    return numbers[order], None if (np.diff(order) == 1).all() else order


def _terminals(path: Path, flags: dict[str, np.ndarray], size: int, numbered: bool) -> tuple[np.ndarray, list[str]]:
    """(N,) bool, and what is to be said about it.

    A `done` of its own does not say which end it was. Where it is also set at every timeout it is any end (as gym had
    it), so the others are terminations; where it is not, it is the termination itself.
    """
    if "terminals" in flags:
        return flags["terminals"], []
    if "dones" in flags:
        if "timeouts" not in flags:
            raise UserError(
                f"{path}: done may be a termination or a cut, and the two mean opposite things; say which in "
                f"{path}.yaml, columns: {{terminals: done}} or {{timeouts: done}}, or add a column of timeouts."
            )
        dones, timeouts = flags["dones"], flags["timeouts"]
        return (dones & ~timeouts if dones[timeouts].all() else dones), []
    if "timeouts" not in flags and not numbered:
        raise UserError(
            f"{path}: nothing says where episodes end; it needs terminals, timeouts, or episode numbers. "
            f"Say what they are called: columns in {path}.yaml"
        )
    return np.zeros(size, bool), ["No terminations are marked; every end counts as a cut."]


@contextmanager
def _open(path: Path) -> Iterator[Mapping[str, Callable[[], np.ndarray]]]:
    """The file's columns by name, each read when it is called."""
    if path.suffix == ".npz":
        with open_npz(path) as entries:
            yield {name: partial(read_npy, entry) for name, entry in entries.items()}
    elif not path.is_file():
        raise UserError(f"{path} does not exist.")
    elif path.suffix == ".csv":
        yield _csv_columns(path)
    else:
        with _open_parquet(path) as columns:
            yield columns


def _csv_columns(path: Path) -> Mapping[str, Callable[[], np.ndarray]]:
    import pandas as pd

    # A digit and a comma become eight bytes.
    check_size(str(path), 4 * path.stat().st_size)
    try:
        # No compression: the file is as large as it looks.
        table = pd.read_csv(path, compression=None, float_precision="round_trip")
    except (ValueError, OSError) as error:
        raise UserError(f"{path} cannot be read as CSV ({reason_of(error)}).") from error
    return {str(name): table[name].to_numpy for name in table}


@contextmanager
def _open_parquet(path: Path) -> Iterator[Mapping[str, Callable[[], np.ndarray]]]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise UserError(f"{path}: reading parquet needs pyarrow; pip install pyarrow, or store .npz.") from error

    def column(file: parquet.ParquetFile, name: str) -> np.ndarray:
        parts, size = [], 0
        # How long the lists in a column are shows only when they are read: few at a time.
        for batch in file.iter_batches(batch_size=256, columns=[name]):
            size += batch.nbytes
            check_size(f"{path}: {name}", size)
            parts.append(batch.column(0))
        values = pyarrow.chunked_array(parts, file.schema_arrow.field(name).type).combine_chunks()
        if not (pyarrow.types.is_list(values.type) or pyarrow.types.is_fixed_size_list(values.type)):
            return values.to_numpy(zero_copy_only=False)
        if len(set(values.value_lengths().to_pylist())) > 1:
            raise UserError(f"{path}: {name} holds lists of different lengths; each step needs as many numbers.")
        return values.flatten().to_numpy(zero_copy_only=False).reshape(len(values), -1)

    try:
        with parquet.ParquetFile(path) as file:
            # Compressed, a column of equal numbers is next to nothing; as an array each takes eight bytes. Of single
            # columns nothing is asked: pyarrow ends the process where their statistics are damaged.
            check_size(str(path), 8 * file.metadata.num_rows * file.metadata.num_columns)
            yield {name: partial(column, file, name) for name in file.schema_arrow.names}
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as parquet ({reason_of(error)}).") from error
