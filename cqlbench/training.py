"""The loop: a generator of (update, metrics). No file, no clock, no progress bar; the same for every method."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import count, islice, pairwise

import numpy as np
import torch
from torch import Tensor

from cqlbench.algorithms.algorithm import Algorithm
from cqlbench.datasets import OfflineDataset
from cqlbench.errors import UserError
from cqlbench.normalisation import Normaliser
from cqlbench.seeding import generator_for
from cqlbench.tasks import Batch

# Batches are drawn and gathered for many updates at a time, of so many transitions together: one call of each instead
# of hundreds.
TRANSITIONS_PER_DRAW = 1 << 14
TRANSITIONS_PER_PIECE = 1 << 16
# What is read from the disk in one go: neighbours in the dataset, so of one or few episodes.
TRANSITIONS_PER_BLOCK = 1 << 10
# What of a dataset a batch is made of.
_FIELDS = ("observations", "actions", "rewards", "next_observations", "terminals")


class Diverged(Exception):
    """A logged metric is no longer a finite number; `update` says since when it was noticed."""

    def __init__(self, update: int, metric: str) -> None:
        super().__init__(f"{metric} is not finite")
        self.update, self.metric = update, metric


def draw_transitions(dataset: OfflineDataset, count: int) -> OfflineDataset:
    """`count` transitions of the dataset, the same for every seed; a smaller draw is part of every larger one.

    Raises UserError where the dataset has fewer.
    """
    size = len(dataset.rewards)
    if count > size:
        raise UserError(f"num_transitions: {count} is not allowed; {dataset.id} has {size}.")
    return dataset.draw(np.sort(generator_for("transitions", dataset.id).permutation(size)[:count]))


class Replay:
    """The dataset as one row per transition (N, 2 O + A + 2), so that a batch is one gather; `tensors` are its columns.

    The table is filled piece by piece: the dataset and the table are all the memory it takes.
    """

    def __init__(self, dataset: OfflineDataset, normaliser: Normaliser, device: torch.device) -> None:
        self.size = len(dataset.rewards)
        self.widths = _widths(dataset)
        table = torch.empty(self.size, sum(self.widths))
        for start in range(0, self.size, TRANSITIONS_PER_PIECE):
            piece = slice(start, start + TRANSITIONS_PER_PIECE)
            rows = (getattr(dataset, name)[piece] for name in _FIELDS)
            np.concatenate(_columns(normaliser, *rows), axis=1, out=table[piece].numpy())
        self.table = table.to(device)
        self.stream = ("batches", dataset.id)

    @property
    def tensors(self) -> Batch:
        """Every transition, as one batch."""
        return self._split(self.table)

    def batches(self, seed: int, batch_size: int, first: int = 0) -> Iterator[Batch]:
        """Endless batches from number `first` on, drawn with replacement. A function of (dataset, seed, batch size)
        alone, so that every method of a seed trains on the same ones."""
        generator = generator_for(*self.stream, seed)
        updates = max(1, TRANSITIONS_PER_DRAW // batch_size)
        for draw in count():
            drawn = generator.integers(self.size, size=(updates, batch_size))
            skipped = max(0, first - draw * updates)
            if skipped >= updates:
                continue
            self.prepare(seed, draw, drawn.size)
            indices = torch.from_numpy(drawn[skipped:])
            rows = self.table.index_select(0, indices.flatten().to(self.table.device))
            blocks = (column.contiguous().split(batch_size) for column in self._split(rows))
            yield from map(Batch._make, zip(*blocks, strict=True))

    def prepare(self, seed: int, draw: int, transitions: int) -> None:
        """Sees to it that `table` holds what draw number `draw` of a seed is made from; here it always does."""

    def _split(self, rows: Tensor) -> Batch:
        observations, actions, rewards, next_observations, terminals = rows.split(self.widths, 1)
        return Batch(observations, actions, rewards.squeeze(1), next_observations, terminals.squeeze(1))


class BufferedReplay(Replay):
    """Batches out of a buffer, a table of `capacity` transitions, through which the dataset passes in blocks.

    A pass over the dataset is cut into blocks from a place of its own on, so that every transition is as likely as any
    other, and has its own order of them. For each draw as many transitions come in as are drawn, in place of those
    that have been there longest; the blocks of the next draw are read ahead. The dataset itself may stay on the disk.
    """

    def __init__(self, dataset: OfflineDataset, normaliser: Normaliser, device: torch.device, capacity: int) -> None:
        self.dataset, self.normaliser = dataset, normaliser
        self.blocks = capacity // TRANSITIONS_PER_BLOCK
        self.size = self.blocks * TRANSITIONS_PER_BLOCK
        self.widths = _widths(dataset)
        self.table = torch.empty(self.size, sum(self.widths), device=device)
        self.stream = ("batches", dataset.id)
        # Seed, and how many of its blocks have come in.
        self.held = (-1, 0)
        if dataset.file:
            # What loading has looked at.
            dataset.file.release()

    def prepare(self, seed: int, draw: int, transitions: int) -> None:
        """Block number n stands in place n modulo `blocks`: a function of (dataset, seed, draw) alone."""
        incoming = min(self.blocks, max(1, transitions // TRANSITIONS_PER_BLOCK))
        end = self.blocks + draw * incoming
        have = self.held[1] if self.held[0] == seed and self.held[1] <= end else 0
        for number in range(max(have, end - self.blocks), end):
            place = number % self.blocks * TRANSITIONS_PER_BLOCK
            block = self._block(self._start(seed, number))
            self.table[place : place + TRANSITIONS_PER_BLOCK] = torch.from_numpy(block)
        self.held = (seed, end)
        if self.dataset.file:
            for start in (self._start(seed, number) for number in range(end, end + incoming)):
                self.dataset.file.expect(_FIELDS, start, start + TRANSITIONS_PER_BLOCK)

    def _block(self, start: int) -> np.ndarray:
        """The rows of the table from this transition on; after the last transition comes the first."""
        end, size = start + TRANSITIONS_PER_BLOCK, len(self.dataset.rewards)
        parts = [(start, end)] if end <= size else [(start, size), (0, end - size)]
        rows = [[self.dataset.rows(name, *part) for name in _FIELDS] for part in parts]
        return np.concatenate([np.concatenate(_columns(self.normaliser, *part), axis=1) for part in rows])

    def _start(self, seed: int, number: int) -> int:
        """The first transition of block number `number`."""
        transitions = len(self.dataset.rewards)
        whole, within = divmod(number, transitions // TRANSITIONS_PER_BLOCK)
        phase, order = _pass(self.dataset.id, transitions, seed, whole)
        return (phase + int(order[within]) * TRANSITIONS_PER_BLOCK) % transitions


@lru_cache(maxsize=4)
def _pass(dataset_id: str, transitions: int, seed: int, number: int) -> tuple[int, np.ndarray]:
    """Where the blocks of a pass start, and their order."""
    generator = generator_for("blocks", dataset_id, seed, number)
    return int(generator.integers(transitions)), generator.permutation(transitions // TRANSITIONS_PER_BLOCK)


def make_replay(
    dataset: OfflineDataset, normaliser: Normaliser, device: torch.device, buffer_transitions: int | None
) -> Replay:
    """What a run draws its batches from. A buffer as large as the dataset would hold all of it."""
    if buffer_transitions is None or buffer_transitions >= len(dataset.rewards):
        return Replay(dataset, normaliser, device)
    return BufferedReplay(dataset, normaliser, device, buffer_transitions)


def _widths(dataset: OfflineDataset) -> list[int]:
    observation_size, action_size = dataset.task.observation_size, dataset.task.action_size
    return [observation_size, action_size, 1, observation_size, 1]


def _columns(
    normaliser: Normaliser,
    observations: np.ndarray,
    actions: np.ndarray,
    rewards: np.ndarray,
    next_observations: np.ndarray,
    terminals: np.ndarray,
) -> list[np.ndarray]:
    """The columns of a replay's table for these rows of a dataset's fields."""
    return [
        normaliser.observations(observations),
        normaliser.actions_from_simulator(actions),
        normaliser.rewards(rewards)[:, None],
        normaliser.observations(next_observations),
        terminals[:, None],
    ]


def train(
    algorithm: Algorithm, replay: Replay, seed: int, batch_size: int, stops: Sequence[int], start: int = 0
) -> Iterator[tuple[int, dict[str, float]]]:
    """Updates from number `start` until the last of `stops` (increasing); yields at each stop after `start` with the
    mean of each metric since the one before.

    Raises Diverged where such a mean is not finite.
    """
    batches = replay.batches(seed, batch_size, start)
    for last, stop in pairwise([start, *(stop for stop in stops if stop > start)]):
        sums: dict[str, Tensor | float] = {}
        for batch in islice(batches, stop - last):
            for name, value in algorithm.update(batch).items():
                sums[name] = sums.get(name, 0.0) + value
        means = {name: float(total) / (stop - last) for name, total in sums.items()}
        for name, value in means.items():
            if not math.isfinite(value):
                raise Diverged(stop, name)
        yield stop, means
