"""The loop: a generator of (update, metrics). No file, no clock, no progress bar; the same for every method."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise

import numpy as np
import torch
from torch import Tensor

from cqlbench.algorithms.algorithm import Algorithm
from cqlbench.datasets import OfflineDataset
from cqlbench.errors import UserError
from cqlbench.normalisation import Normaliser
from cqlbench.seeding import generator_for
from cqlbench.tasks import Batch

# Batches are drawn this many updates at a time: one call of the generator and one copy instead of hundreds.
UPDATES_PER_DRAW = 256


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
    """The dataset as contiguous tensors, ready to be indexed."""

    def __init__(self, dataset: OfflineDataset, normaliser: Normaliser, device: torch.device) -> None:
        self.tensors = Batch(
            *(
                torch.from_numpy(np.ascontiguousarray(array)).to(device)
                for array in (
                    normaliser.observations(dataset.observations),
                    normaliser.actions_from_simulator(dataset.actions),
                    normaliser.rewards(dataset.rewards),
                    normaliser.observations(dataset.next_observations),
                    dataset.terminals,
                )
            )
        )
        self.size = len(self.tensors.rewards)
        self.stream = ("batches", dataset.id)

    def batches(self, seed: int, batch_size: int) -> Iterator[Batch]:
        """Endless batches, drawn with replacement. A function of (dataset, seed, batch size) alone, so that every
        method of a seed trains on the same ones."""
        generator = generator_for(*self.stream, seed)
        while True:
            indices = torch.from_numpy(generator.integers(self.size, size=(UPDATES_PER_DRAW, batch_size)))
            for row in indices.to(self.tensors.rewards.device):
                yield Batch(*(tensor.index_select(0, row) for tensor in self.tensors))


def train(
    algorithm: Algorithm, replay: Replay, seed: int, batch_size: int, stops: Sequence[int]
) -> Iterator[tuple[int, dict[str, float]]]:
    """Updates until the last of `stops` (increasing); yields at each with the mean of each metric since the one before.

    Raises Diverged where such a mean is not finite.
    """
    batches = replay.batches(seed, batch_size)
    for last, stop in pairwise([0, *stops]):
        sums: dict[str, Tensor | float] = {}
        for batch in islice(batches, stop - last):
            for name, value in algorithm.update(batch).items():
                sums[name] = sums.get(name, 0.0) + value
        means = {name: float(total) / (stop - last) for name, total in sums.items()}
        for name, value in means.items():
            if not math.isfinite(value):
                raise Diverged(stop, name)
        yield stop, means
