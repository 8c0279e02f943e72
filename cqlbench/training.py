"""The loop: a generator of (update, metrics). No file, no clock, no progress bar; the same for every method."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from cqlbench.algorithms.algorithm import Algorithm
from cqlbench.datasets import OfflineDataset
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


class Replay:
    """The dataset as contiguous tensors, ready to be indexed."""

    def __init__(
        self, dataset: OfflineDataset, normaliser: Normaliser, num_transitions: int | None, device: torch.device
    ) -> None:
        size = len(dataset.rewards)
        kept: slice | np.ndarray = slice(None)
        if num_transitions is not None and num_transitions < size:
            # One order per dataset: the small draws are part of the larger ones, whatever the run's seed.
            kept = np.sort(generator_for("transitions", dataset.id).permutation(size)[:num_transitions])
        self.tensors = Batch(
            *(
                torch.from_numpy(np.ascontiguousarray(array[kept])).to(device)
                for array in (
                    normaliser.observations(dataset.observations),
                    normaliser.actions_from_simulator(dataset.actions),
                    dataset.rewards,
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
    algorithm: Algorithm, replay: Replay, seed: int, batch_size: int, updates: int, log_every: int
) -> Iterator[tuple[int, dict[str, float]]]:
    """Runs `updates` updates; yields every `log_every` of them with the mean of each metric since the last time.

    Raises Diverged where such a mean is not finite.
    """
    sums: dict[str, Tensor | float] = {}
    batches = replay.batches(seed, batch_size)
    since = 0
    for update in range(1, updates + 1):
        for name, value in algorithm.update(next(batches)).items():
            sums[name] = sums.get(name, 0.0) + value
        since += 1
        if update % log_every == 0 or update == updates:
            means = {name: float(total) / since for name, total in sums.items()}
            for name, value in means.items():
                if not math.isfinite(value):
                    raise Diverged(update, name)
            yield update, means
            sums, since = {}, 0
