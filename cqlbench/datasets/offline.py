"""A dataset as training sees it: contiguous arrays of transitions, and the hash that says which data they are."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cqlbench.datasets.collect import Episode
from cqlbench.datasets.mapped import MappedFile
from cqlbench.tasks import Task

_HASHED = (
    "observations",
    "actions",
    "rewards",
    "next_observations",
    "terminals",
    "truncations",
    "qpos",
    "qvel",
)
# Rows that are worked on at a time where all at once would be a copy of the dataset.
_ROWS = 1 << 16


@dataclass(frozen=True)
class OfflineDataset:
    """N transitions of E episodes, in the order of their episodes. O and A are the task's sizes.

    `expected_hash` is the package's for this id and this number of transitions, None where it has none; `warning` is
    one line of what a reader of results must know: that the hash or the number of transitions differs from the
    package's, or what is doubtful in data from elsewhere. `reference_random` and `reference_expert` are mean
    undiscounted returns, None where nobody gave them; without a simulator `task.env_id` is empty, without stored
    simulator states `qpos` and `qvel` have no columns. Of a mapped dataset the arrays are those of `file`, on the disk
    and read-only.
    """

    id: str
    task: Task
    observations: np.ndarray  # (N, O) float32
    actions: np.ndarray  # (N, A) float32, in the environment's units
    rewards: np.ndarray  # (N,) float32
    next_observations: np.ndarray  # (N, O) float32
    terminals: np.ndarray  # (N,) float32: 1 where the task's own rule ended the episode, and nowhere else
    truncations: np.ndarray  # (N,) float32: 1 where the time limit or the end of collecting cut it
    episode_lengths: np.ndarray  # (E,) int64
    qpos: np.ndarray  # (N, ...) float64, the simulator's positions at `observations`
    qvel: np.ndarray  # (N, ...) float64, its velocities
    content_hash: str
    expected_hash: str | None
    warning: str | None
    reference_random: float | None
    reference_expert: float | None
    file: MappedFile | None = None

    def draw(self, indices: np.ndarray) -> OfflineDataset:
        """Only the transitions at `indices`, each as an episode of its own; id, hash and references stay."""
        arrays = {name: getattr(self, name)[indices] for name in _HASHED}
        return dataclasses.replace(self, **arrays, episode_lengths=np.ones(len(indices), np.int64), file=None)

    def rows(self, name: str, start: int, stop: int) -> np.ndarray:
        """Rows start to stop of an array; of a mapped dataset a copy of them in memory."""
        return self.file.read(name, start, stop) if self.file else getattr(self, name)[start:stop]

    def observation_std(self, dtype: type[np.floating]) -> np.ndarray:
        """Standard deviation of each coordinate of the observations, (O,), computed in `dtype`."""
        if self.file is None:
            return self.observations.std(0, dtype=dtype)
        # NumPy's is a copy of the array; another order of summation, and so another last bit.
        mean = self.observations.mean(0, dtype=np.float64)
        squares = sum(np.square(rows - mean).sum(0) for rows in _pieces(self.observations))
        return np.sqrt(squares / len(self.observations)).astype(dtype)

    @property
    def episode_starts(self) -> np.ndarray:
        """Index of each episode's first transition, (E,) int64."""
        return np.cumsum(self.episode_lengths) - self.episode_lengths

    @property
    def episode_returns(self) -> np.ndarray:
        """Undiscounted return of each episode, (E,) float64; a cut episode's is what it had earned by then."""
        return np.add.reduceat(self.rewards.astype(np.float64), self.episode_starts)


def flatten(
    episodes: Iterable[Episode],
    transitions: int,
    allocate: Callable[[tuple[int, ...], np.dtype], np.ndarray] = np.empty,
) -> dict[str, np.ndarray]:
    """The array fields of OfflineDataset out of episodes, each of at least one transition, `transitions` in all.

    Takes one episode at a time, so that a dataset being read is never in memory twice; with an `allocate` that makes
    arrays elsewhere, never at all.

    Here, once, it is decided what an end means: the last transition of an episode is terminal where the task's own
    rule ended it and truncated everywhere else, never both. Both keep their true next observation.
    """
    arrays: dict[str, np.ndarray] = {}
    lengths: list[int] = []
    end = 0
    for episode in episodes:
        terminals, truncations = np.zeros((2, len(episode.rewards)), np.float32)
        (terminals if episode.terminated else truncations)[-1] = 1
        parts = {
            "observations": episode.observations[:-1],
            "actions": episode.actions,
            "rewards": episode.rewards,
            "next_observations": episode.observations[1:],
            "terminals": terminals,
            "truncations": truncations,
            "qpos": episode.qpos[:-1],
            "qvel": episode.qvel[:-1],
        }
        if not arrays:
            arrays = {name: allocate((transitions, *part.shape[1:]), part.dtype) for name, part in parts.items()}
        for name, part in parts.items():
            arrays[name][end : end + len(part)] = part
        lengths.append(len(episode.rewards))
        end += lengths[-1]
    return arrays | {"episode_lengths": np.array(lengths, np.int64)}


class Recording(NamedTuple):
    """N steps of data from elsewhere, one after the other as they happened; `assemble` decides what their ends mean."""

    observations: np.ndarray  # (N, O)
    actions: np.ndarray  # (N, A)
    rewards: np.ndarray  # (N,)
    terminals: np.ndarray  # (N,) bool: the task's own rule ended the episode with this step
    ends: np.ndarray  # (N,) bool: the last step of an episode, for whatever reason
    next_observations: np.ndarray | None  # (N, O); None where only the observations that were acted upon are stored


def assemble(recording: Recording) -> dict[str, np.ndarray]:
    """The array fields of OfflineDataset out of a recording, by the rule of `flatten`.

    A terminal step ends its episode wherever it stands and is terminal also where a time limit falls on it; every
    other end, that of the recording too, is a truncation. Where the next observations are not stored, a step's is
    the observation of the step after it; the last step of a truncated episode then has none and is left out, and the
    last of a terminated one keeps its own observation in that place, which no target looks at.
    """
    ends = recording.ends | recording.terminals
    ends[-1] = True
    episodes = np.cumsum(ends) - ends
    steps = np.arange(len(ends))
    following = recording.next_observations
    kept = steps
    if following is None:
        following = recording.observations[np.where(ends, steps, steps + 1)]
        kept = np.flatnonzero(~ends | recording.terminals)
    _, lengths = np.unique(episodes[kept], return_counts=True)
    last = np.zeros(len(kept), bool)
    last[np.cumsum(lengths) - 1] = True
    terminals = recording.terminals[kept]
    chosen = {
        "observations": recording.observations,
        "actions": recording.actions,
        "rewards": recording.rewards,
        "next_observations": following,
    }
    # Nothing left out: no copy.
    whole = len(kept) == len(steps)
    return {
        **{name: np.asarray(array if whole else array[kept], np.float32) for name, array in chosen.items()},
        "terminals": terminals.astype(np.float32),
        "truncations": (last & ~terminals).astype(np.float32),
        "qpos": np.empty((len(kept), 0)),
        "qvel": np.empty((len(kept), 0)),
        "episode_lengths": lengths.astype(np.int64),
    }


def hash_of(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 (hex) of the transitions, whatever file they lie in.

    The simulator states count as float32: a last bit of theirs that differs between processors, while every
    transition agrees, is not other data.
    """
    digest = hashlib.sha256()
    for name in _HASHED:
        digest.update(f"{name}{arrays[name].shape}".encode())
        for rows in _pieces(arrays[name]):
            digest.update(np.ascontiguousarray(rows, "<f4").data)
    return digest.hexdigest()


def _pieces(array: np.ndarray) -> Iterator[np.ndarray]:
    """The rows of `array`, some at a time."""
    return (array[start : start + _ROWS] for start in range(0, len(array), _ROWS))
