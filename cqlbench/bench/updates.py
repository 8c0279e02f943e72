"""Native against d3rlpy, update for update: the real training loop, the same batches, turn and turn about.

Every contender of a comparison lives in this one process. A round is one block of updates of each, one after the other,
and one measurement of the machine's rate of matrix products; ratios are taken within a round, so that what the machine
does besides falls on all of them alike.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Any, NamedTuple

import numpy as np
import torch

from cqlbench.algorithms.configs import MethodConfig
from cqlbench.bench.machine import Gemm, synchronise, update_flops
from cqlbench.bench.ratios import Spread, Verdict, paired_ratio
from cqlbench.datasets import OfflineDataset
from cqlbench.execution import build_algorithm
from cqlbench.normalisation import Normaliser
from cqlbench.runs import Protocol, Run, make_run, readable
from cqlbench.seeding import generator_for
from cqlbench.tasks import Batch, TaskSpec, find_task
from cqlbench.training import Replay, train

TASK = find_task("hopper")
HIDDEN = (64, 128, 256)
# Different batches, handed out again and again.
BATCHES = 64
TRANSITIONS = 10_000
# A block lasts at least this long for the fastest contender, and has at least so many updates.
BLOCK_SECONDS = 0.25
BLOCK_UPDATES = 5


@dataclass(frozen=True)
class Contender:
    """A method with some settings of its own; both sides have the same networks, batch and number of samples."""

    method: str
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """`cql backward_actions=2`, as a suite would call it."""
        return " ".join([self.method, *(f"{key}={readable(value)}" for key, value in self.settings.items())])

    def run(self, hidden: int) -> Run:
        """The run it is built from, with two hidden layers of `hidden` units."""
        return make_run(f"{TASK.name}/medium-v0", self.method, {"width": hidden} | self.settings, Protocol(), seed=0)


# The reference stands last.
CONTENDERS = {
    "cql": (
        Contender("cql"),
        Contender("cql", {"backward_actions": 2}),
        Contender("cql", {"networks": "readable"}),
        Contender("d3rlpy-cql"),
    ),
    "sac": (Contender("sac"), Contender("sac", {"networks": "readable"}), Contender("d3rlpy-sac")),
    "bc": (Contender("bc"), Contender("bc", {"networks": "readable"}), Contender("d3rlpy-bc")),
}

# How many times faster than d3rlpy a contender must be, by its hidden units.
FLOORS = {
    "cql": {64: 2.2, 128: 1.7, 256: 1.5},
    "cql backward_actions=2": {64: 3.0, 128: 3.0, 256: 2.8},
    "sac": dict.fromkeys(HIDDEN, 1.6),
    "bc": dict.fromkeys(HIDDEN, 1.6),
}
# How many times its matrix products alone a contender may take.
CEILINGS = {"cql": {256: 1.4}}


class Row(NamedTuple):
    """One line of bench.csv: a contender against its reference, and the share it reaches of the machine's GEMM rate."""

    algorithm: str
    hidden: int
    contender: str
    reference: str
    ratio_median: float
    ratio_low: float
    ratio_high: float
    milliseconds_median: float
    gflops: float
    gemm_share: float


@dataclass(frozen=True)
class Comparison:
    """What was measured of one algorithm at one size, R rounds of it."""

    algorithm: str
    hidden: int
    device: str
    seconds: dict[str, np.ndarray]  # contender -> seconds per update (R,); the reference is the last
    flops: dict[str, int]  # contender -> operations per update
    gemm: dict[str, np.ndarray]  # kernel -> FLOP/s (R,)

    @property
    def reference(self) -> str:
        return list(self.seconds)[-1]

    def ratio(self, contender: str) -> Spread:
        """How many times faster than the reference."""
        return paired_ratio(self.seconds[self.reference], self.seconds[contender])

    def over_limit(self, contender: str) -> Spread:
        """How many times as long an update takes as its matrix products alone, by the fastest kernel."""
        fastest = max(self.gemm.values(), key=lambda rates: float(np.median(rates)))
        return Spread.of(self.seconds[contender] * fastest / self.flops[contender])

    def rows(self) -> list[Row]:
        """The lines of bench.csv."""
        return [
            Row(
                self.algorithm,
                self.hidden,
                contender,
                self.reference,
                *self.ratio(contender),
                milliseconds_median=1e3 * float(np.median(seconds)),
                gflops=self.flops[contender] / float(np.median(seconds)) / 1e9,
                gemm_share=1 / self.over_limit(contender).median,
            )
            for contender, seconds in self.seconds.items()
        ]

    def verdicts(self) -> list[Verdict]:
        """One per floor and ceiling that stands for this size; they are of one CPU thread."""
        found: list[Verdict] = []
        if self.device != "cpu":
            return found
        for name in self.seconds:
            at_size = f"{name} at 2x{self.hidden}"
            if floor := FLOORS.get(name, {}).get(self.hidden):
                found.append(Verdict(f"{at_size}, times as fast as {self.reference}", self.ratio(name), floor))
            if most := CEILINGS.get(name, {}).get(self.hidden):
                claim = f"{at_size}, times as long as its matrix products"
                found.append(Verdict(claim, self.over_limit(name), most, ceiling=True))
        return found


class PremadeReplay(Replay):
    """Batches made beforehand, the same for whoever asks."""

    def __init__(self, config: MethodConfig, device: torch.device) -> None:
        dataset = synthetic_dataset()
        super().__init__(dataset, Normaliser.for_dataset(dataset, config), device)
        self.premade = list(islice(super().batches(seed=0, batch_size=config.batch_size), BATCHES))

    def batches(self, seed: int, batch_size: int, first: int = 0) -> Iterator[Batch]:
        assert first == 0 and batch_size == len(self.premade[0].rewards), batch_size
        return cycle(self.premade)


def synthetic_dataset() -> OfflineDataset:
    """Transitions of Hopper's size that no simulator made: an update takes as long whatever its numbers are."""
    generator = generator_for("bench", "transitions")
    empty = np.zeros((TRANSITIONS, 0))

    def normal(*shape: int) -> np.ndarray:
        return generator.standard_normal(shape, np.float32)

    return OfflineDataset(
        id="bench",
        task=TASK,
        observations=normal(TRANSITIONS, TASK.observation_size),
        actions=generator.uniform(-1, 1, (TRANSITIONS, TASK.action_size)).astype(np.float32),
        rewards=normal(TRANSITIONS),
        next_observations=normal(TRANSITIONS, TASK.observation_size),
        terminals=(generator.random(TRANSITIONS) < 0.01).astype(np.float32),
        truncations=np.zeros(TRANSITIONS, np.float32),
        episode_lengths=np.ones(TRANSITIONS, np.int64),
        qpos=empty,
        qvel=empty,
        content_hash="",
        expected_hash=None,
        warning=None,
        reference_random=0.0,
        reference_expert=1.0,
    )


def compare(
    algorithm: str,
    hidden: int,
    device: torch.device,
    rounds: int,
    updates: int | None,
    advance: Callable[[], None],
) -> Comparison:
    """Measures all contenders of `algorithm` in `rounds` rounds; `advance` is called after each.

    A block is of `updates` updates; None: as many as last BLOCK_SECONDS.
    """
    runs = {contender.name: contender.run(hidden) for contender in CONTENDERS[algorithm]}
    config: Any = next(iter(runs.values())).config
    replay = PremadeReplay(config, device)
    algorithms = {name: build_algorithm(run, TASK, device) for name, run in runs.items()}

    def loop(name: str, stops: Sequence[int]) -> Iterator[tuple[int, dict[str, float]]]:
        return train(algorithms[name], replay, 0, config.batch_size, stops)

    def seconds_of(block: Iterator[tuple[int, dict[str, float]]]) -> float:
        synchronise(device)
        began = time.perf_counter()
        next(block)
        synchronise(device)
        return time.perf_counter() - began

    warm_ups = {name: loop(name, [BLOCK_UPDATES, 2 * BLOCK_UPDATES]) for name in runs}
    for block in warm_ups.values():
        next(block)
    fastest = min(seconds_of(block) for block in warm_ups.values()) / BLOCK_UPDATES
    if updates is None:
        updates = max(BLOCK_UPDATES, math.ceil(BLOCK_SECONDS / fastest))

    loops = {name: loop(name, range(updates, (rounds + 1) * updates, updates)) for name in runs}
    gemm = Gemm(gemm_rows(algorithm, config), hidden, device)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    rates: dict[str, list[float]] = {kernel: [] for kernel in gemm.kernels}
    for number in range(rounds):
        # Every second round backwards, so that nobody always comes after the same neighbour.
        for name in list(loops)[:: 1 if number % 2 == 0 else -1]:
            seconds[name].append(seconds_of(loops[name]) / updates)
        for kernel, rate in gemm.measure().items():
            rates[kernel].append(rate)
        advance()
    spec = TaskSpec(TASK.observation_size, TASK.action_size)
    configs: dict[str, Any] = {name: run.config for name, run in runs.items()}
    return Comparison(
        algorithm,
        hidden,
        str(device),
        {name: np.array(values) for name, values in seconds.items()},
        {name: update_flops(algorithm, spec, config) for name, config in configs.items()},
        {kernel: np.array(values) for kernel, values in rates.items()},
    )


def gemm_rows(algorithm: str, config: Any) -> int:
    """Rows of the largest product of an update: one per state, or one per state and action in CQL's critics."""
    return config.batch_size * (3 * config.num_action_samples + 1 if algorithm == "cql" else 1)
