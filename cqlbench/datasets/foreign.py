"""Data from elsewhere becomes an OfflineDataset here, whatever file it lay in: checked, cast, and with its doubts.

A reader (from_d4rl, from_d3rlpy, from_logs, from_minari) hands over a Recording and an Origin. What cannot be used is a
UserError that names the place; what can be used but should be known becomes the dataset's warning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from cqlbench.datasets.guard import check_size
from cqlbench.datasets.offline import OfflineDataset, Recording, assemble, hash_of
from cqlbench.datasets.tables import find_reference
from cqlbench.errors import UserError
from cqlbench.tasks import Task

# More choices than this in whole-number actions are taken for a mistake, not for a discrete action.
MOST_CHOICES = 256
# Of episodes as long as the longest, the share of terminations from which a time limit is suspected behind them.
SUSPECT_SHARE = 0.5
# How far beyond its limit an action may be by rounding alone.
ROUNDING = 1e-6


class Origin(NamedTuple):
    """What a source says of its data beside the steps; None where it says nothing."""

    place: str  # the file, for sentences about it
    task: Task | None = None  # one of ours, whose simulator the data come from
    action_limit: float | None = None  # actions lie in [-limit, limit]
    choices: int | None = None  # actions are whole numbers from 0 to below this
    episode_limit: int | None = None  # steps after which an episode is cut
    references: tuple[float, float] | None = None  # return of a random and of an expert policy
    notes: tuple[str, ...] = ()  # sentences for whoever reads results on these data


def build(dataset_id: str, recording: Recording, origin: Origin) -> OfflineDataset:
    """The dataset of a recording whose arrays are as they were read: of any number type, one column or several.

    Raises UserError for pictures, for numbers that are not finite in float32, for actions that are not what the origin
    says and for a recording of which no transition is left.
    """
    if len(recording.rewards) == 0:
        raise UserError(f"{origin.place}: there are no steps in it.")
    actions, limit, action_notes = _actions(recording.actions, origin)
    recording = recording._replace(
        observations=_columns(origin.place, "observations", recording.observations),
        actions=actions,
        rewards=_finite(origin.place, "rewards", _one_column(f"{origin.place}: rewards", recording.rewards)),
        next_observations=None
        if recording.next_observations is None
        else _columns(origin.place, "next_observations", recording.next_observations),
    )
    arrays = assemble(recording)
    if len(arrays["rewards"]) == 0:
        raise UserError(
            f"{origin.place}: no transition is left; every episode is one step that was cut, whose next observation "
            "is not in the file. Store next_observations."
        )
    lengths = _lengths(recording)
    notes = [*origin.notes, *action_notes, *_suspicions(recording, lengths, origin.episode_limit)]
    random, expert = _references(origin)
    return OfflineDataset(
        id=dataset_id,
        task=_task(dataset_id, arrays, limit, int(lengths.max()), origin),
        **arrays,
        content_hash=hash_of(arrays),
        expected_hash=None,
        warning=" ".join(notes) or None,
        reference_random=random,
        reference_expert=expert,
        file=None,
    )


def check_shapes(place: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Raises UserError where an array has not one row for each of `rewards`, or next observations are of another shape
    than observations."""
    for name, array in arrays.items():
        alike = "observations" if name == "next_observations" else "rewards"
        same = slice(None) if name == "next_observations" else slice(1)
        if array.shape[same] != arrays[alike].shape[same]:
            raise UserError(
                f"{place}: {name} has the shape {array.shape}, {alike} {arrays[alike].shape}; each has a row per step, "
                "and next_observations the columns of observations."
            )


def join(place: str, parts: list[np.ndarray]) -> np.ndarray:
    """The parts one after the other. Raises UserError where their rows have different shapes."""
    shapes = {part.shape[1:] for part in parts}
    if len(shapes) > 1:
        raise UserError(f"{place} has another shape in some episode than in others: {sorted(shapes)}.")
    return np.concatenate(parts)


def read_flags(place: str, values: np.ndarray) -> np.ndarray:
    """(N,) bool out of truth values or of numbers that are 0 or 1. Raises UserError where they are not."""
    values = _one_column(place, values)
    wrong = np.flatnonzero((values != 0) & (values != 1))
    if len(wrong):
        raise UserError(f"{place} is {values[wrong[0]]} in row {wrong[0]} (the first is 0); it must be 0 or 1.")
    return values.astype(bool)


def _one_column(place: str, values: np.ndarray) -> np.ndarray:
    if values.ndim == 2 and values.shape[1] == 1:
        return values[:, 0]
    if values.ndim != 1:
        raise UserError(f"{place} has the shape {values.shape}; it must be one number per step.")
    return values


def _columns(place: str, name: str, values: np.ndarray) -> np.ndarray:
    """(N, columns) float32, finite."""
    if values.ndim > 2:
        raise UserError(
            f"{place}: {name} has the shape {values.shape}; pictures and other arrays of several dimensions are not "
            "loaded, the networks here take vectors. Store features of them instead."
        )
    if values.shape[1:] == (0,):
        raise UserError(f"{place}: {name} has no columns.")
    return _finite(place, name, values[:, None] if values.ndim == 1 else values)


def _finite(place: str, name: str, values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        cast = np.asarray(values, np.float32)
    wrong = np.argwhere(~np.isfinite(cast))
    if len(wrong):
        row, *column = (int(index) for index in wrong[0])
        where = f"row {row}" + (f", column {column[0]}" if column else "")
        raise UserError(
            f"{place}: {name} is {values[tuple(wrong[0])]} in {where} (the first is 0), one of {len(wrong):,} numbers "
            "that are not finite in 32 bits; leave such episodes out, or fill the gap."
        )
    return cast


def _actions(actions: np.ndarray, origin: Origin) -> tuple[np.ndarray, float, list[str]]:
    """(N, A) float32, the limit of each coordinate, and what is to be said about them."""
    choices = origin.choices
    whole = actions.dtype.kind in "biu" and (actions.ndim == 1 or actions.shape[1:] == (1,))
    if choices is None and origin.action_limit is None and whole and actions.min() >= 0:
        choices = int(actions.max()) + 1
        if choices > MOST_CHOICES:
            raise UserError(
                f"{origin.place}: actions are whole numbers up to {choices - 1}, too many for choices; say "
                "action_limit where they are quantities, discrete_actions where they are choices."
            )
    if choices is not None:
        picked = _one_column(f"{origin.place}: actions", actions)
        wrong = np.flatnonzero((picked < 0) | (picked >= choices) | (picked != np.floor(picked)))
        if len(wrong):
            raise UserError(
                f"{origin.place}: actions is {picked[wrong[0]]} in row {wrong[0]} (the first is 0); it must be a whole "
                f"number from 0 to {choices - 1}."
            )
        check_size(f"{origin.place}: {choices:,} choices, a column for each", 4 * choices * len(picked))
        columns = np.zeros((len(picked), choices), np.float32)
        columns[np.arange(len(picked)), picked.astype(int)] = 1
        return (
            columns,
            1.0,
            [
                f"Actions are {choices} choices, loaded as {choices} columns of 0 and 1: behaviour cloning can be "
                "trained on them, the actor-critic methods are made for continuous actions."
            ],
        )
    columns = _columns(origin.place, "actions", actions)
    largest = float(np.abs(columns).max(initial=0))
    limit = origin.action_limit
    if limit is None:
        if largest <= 1 + ROUNDING:
            return columns, 1.0, []
        said = f"No bound of the actions is known; the largest in the data, {largest:g}, is taken for it."
        return columns, largest, [said]
    outside = np.count_nonzero((np.abs(columns) > limit * (1 + ROUNDING)).any(1))
    said = f"{outside:,} of {len(columns):,} actions lie outside [-{limit:g}, {limit:g}], up to {largest:g}."
    return columns, limit, [said] if outside else []


def _lengths(recording: Recording) -> np.ndarray:
    """Steps of each episode, as recorded."""
    ends = recording.ends | recording.terminals
    return np.diff(np.union1d(np.flatnonzero(ends), [len(ends) - 1]), prepend=-1)


def _suspicions(recording: Recording, lengths: np.ndarray, episode_limit: int | None) -> list[str]:
    """A time limit that was written down as a termination: every return beyond it would count as nothing."""
    limit = episode_limit or int(lengths.max())
    there = recording.terminals[np.cumsum(lengths)[lengths == limit] - 1]
    known = episode_limit is not None
    if limit == 1 or there.sum() < (1 if known else 2) or there.mean() < (0 if known else SUSPECT_SHARE):
        return []
    return [
        f"{there.sum():,} of {len(there):,} episodes of {limit:,} steps, "
        f"{'the time limit' if known else 'the longest there are'}, end as a termination: was the time limit marked as "
        "one? Then their last targets are wrong."
    ]


def _references(origin: Origin) -> tuple[float | None, float | None]:
    if origin.references is not None:
        return origin.references
    if origin.task is not None:
        reference = find_reference(origin.task)
        return reference.random_return, reference.expert_return
    return None, None


def _task(dataset_id: str, arrays: Mapping[str, np.ndarray], limit: float, longest: int, origin: Origin) -> Task:
    """The simulator's task where there is one, otherwise one of the data's own sizes and no simulator."""
    sizes = arrays["observations"].shape[1], arrays["actions"].shape[1]
    task = origin.task
    if task is None:
        return Task(dataset_id, "", *sizes, limit, origin.episode_limit or longest, 0)
    if sizes != (task.observation_size, task.action_size):
        raise UserError(
            f"{origin.place}: {sizes[0]} observations and {sizes[1]} actions are not those of the task {task.name}, "
            f"{task.observation_size} and {task.action_size}."
        )
    return task
