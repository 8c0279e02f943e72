"""The loop: a generator of (update, metrics). No file, no clock, no progress bar; the same for every method."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
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
        observation_size, action_size = dataset.task.observation_size, dataset.task.action_size
        self.widths = [observation_size, action_size, 1, observation_size, 1]
        table = torch.empty(self.size, sum(self.widths))
        for start in range(0, self.size, TRANSITIONS_PER_PIECE):
            piece = slice(start, start + TRANSITIONS_PER_PIECE)
            columns = (
                normaliser.observations(dataset.observations[piece]),
                normaliser.actions_from_simulator(dataset.actions[piece]),
                normaliser.rewards(dataset.rewards[piece])[:, None],
                normaliser.observations(dataset.next_observations[piece]),
                dataset.terminals[piece, None],
            )
            np.concatenate(columns, axis=1, out=table[piece].numpy())
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
            indices = torch.from_numpy(drawn[skipped:])
            rows = self.table.index_select(0, indices.flatten().to(self.table.device))
            blocks = (column.contiguous().split(batch_size) for column in self._split(rows))
            yield from map(Batch._make, zip(*blocks, strict=True))

    def _split(self, rows: Tensor) -> Batch:
        observations, actions, rewards, next_observations, terminals = rows.split(self.widths, 1)
        return Batch(observations, actions, rewards.squeeze(1), next_observations, terminals.squeeze(1))


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
