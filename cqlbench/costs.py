"""What a suite costs: CPU hours from measured update rates; what a run is given: memory and, on a cluster, minutes.

Rates are never typed by hand: they are read from finished runs, first those under this results folder, then those the
package's table was written from (`cqlbench price --measure`).
"""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import psutil

from cqlbench import runs
from cqlbench.algorithms.registry import find_algorithm
from cqlbench.errors import UserError
from cqlbench.records import read_record
from cqlbench.suites import Suite
from cqlbench.writers import CsvWriter

RATES = "rates.csv"
COLUMNS = ["algorithm", "width", "depth", "updates_per_second", "machine"]
# Peak resident memory of a process, rounded up: a run of a native method and one of any other, without what large
# batches add; making a dataset.
NATIVE_RUN_MB = 700
OTHER_RUN_MB = 900
DATASET_MB = 900
# On a node, what starts a job beside its own processes: two of Snakemake, which hold the suite and what its methods
# import.
NODE_MB = 1000
# Of what a cluster grants a job, in minutes: for all that is no update, from starting Python to waiting for a file
# system, also where the run has a limit of its own; for a run whose kind nobody has measured; for making a dataset.
SETTING_UP_MINUTES = 10
UNMEASURED_MINUTES = 12 * 60
DATASET_MINUTES = 60
# How many times as long as on the machine that was measured an update may take: a node is older, or shared.
SLOWER = 3


class Kind(NamedTuple):
    """What the cost of an update depends on; width and depth are empty for a method without them.

    `algorithm` has another number of critics, another variant, a drawn backward or readable networks in it:
    `cql backward_actions=2`.
    """

    algorithm: str
    width: str
    depth: str


class Rate(NamedTuple):
    """Updates per CPU second of a whole run, evaluations included and imports left out, on one thread of `machine`."""

    updates_per_second: float
    machine: str


@dataclass(frozen=True)
class Price:
    """What is left to do of a suite; `hours` is None where a kind of run has never been measured."""

    suite: str
    runs: int
    done: int
    failed: int
    hours: float | None
    unmeasured: tuple[Kind, ...]

    def __str__(self) -> str:
        counts = (
            f"suite {self.suite}: {self.runs} runs ({self.done} done{f', {self.failed} failed' * bool(self.failed)})"
        )
        if self.hours is not None:
            return f"{counts}, about {self.hours:.1f} CPU hours to go"
        kind = self.unmeasured[0]
        size = f" with width {kind.width} and depth {kind.depth}" if kind.width and kind.depth else ""
        return f"{counts}, CPU hours to go unknown: no run of {kind.algorithm}{size} has been measured"


def price(suite: Suite, results: Path, rates: dict[Kind, Rate]) -> Price:
    """Counts the suite's runs and estimates, at these rates, the CPU hours of those that have no status yet."""
    statuses, seconds, unmeasured = [], 0.0, []
    # Two methods of a suite may share a run.
    planned = {run.folder(results): run for _, run in suite.runs()}
    for folder, run in planned.items():
        if status := read_record(folder / runs.STATUS):
            statuses.append(status["status"])
            continue
        expected = expected_seconds(run, rates)
        if expected is not None:
            seconds += expected
        elif (kind := _kind(run.algorithm, run.config.settings())) not in unmeasured:
            unmeasured.append(kind)
    done = sum(status in runs.RESULTS_OF_TRAINING for status in statuses)
    return Price(
        suite=suite.name,
        runs=len(planned),
        done=done,
        failed=len(statuses) - done,
        hours=None if unmeasured else seconds / 3600,
        unmeasured=tuple(unmeasured),
    )


def known_rates(results: Path) -> dict[Kind, Rate]:
    """Of each kind the rate of finished runs under `results`, or else the package's."""
    return {**read_rates(), **measure_rates(results)}


def expected_seconds(run: runs.Run, rates: dict[Kind, Rate]) -> float | None:
    """What the run takes at these rates; None where runs of its kind have none."""
    rate = rates.get(_kind(run.algorithm, run.config.settings()))
    return run.protocol.updates / rate.updates_per_second if rate else None


def measure_rates(results: Path) -> dict[Kind, Rate]:
    """The median rate of each kind over the finished runs under `results`."""
    measured: dict[Kind, list[Rate]] = defaultdict(list)
    for path in sorted((Path(results) / "runs").rglob(runs.TIMING)):
        # Without a status the run is being made, or was stopped.
        if read_record(path.parent / runs.STATUS).get("status") != runs.DONE:
            continue
        timing, config = read_record(path), read_record(path.parent / runs.CONFIG)
        try:
            rate = config["protocol"]["updates"] / _seconds(timing)
            measured[_kind(config["algorithm"], config["settings"])].append(Rate(rate, timing["cpu"]))
        except (KeyError, TypeError, ZeroDivisionError) as error:
            raise UserError(f"{path} and {runs.CONFIG} beside it do not say what the run cost ({error!r}).") from error
    return {
        kind: Rate(median(rate.updates_per_second for rate in rates), rates[-1].machine)
        for kind, rates in measured.items()
    }


def _seconds(timing: dict[str, Any]) -> float:
    """CPU seconds, which a busy machine hardly stretches; those of the clock where a run has not noted them."""
    keys = [f"cpu_seconds_{work}" for work in ("loading", "training", "evaluation")]
    return sum(timing[key] for key in keys) if timing.keys() >= set(keys) else timing["seconds_total"]


def read_rates() -> dict[Kind, Rate]:
    """The package's table; empty where there is none yet."""
    table = resources.files("cqlbench") / RATES
    if not table.is_file():
        return {}
    return {
        Kind(row["algorithm"], row["width"], row["depth"]): Rate(float(row["updates_per_second"]), row["machine"])
        for row in csv.DictReader(table.read_text().splitlines())
    }


def write_rates(rates: dict[Kind, Rate], path: Path) -> None:
    """Writes `rates` as the table that `read_rates` reads. Raises UserError where there are none."""
    if not rates:
        raise UserError("nothing to write: no finished run has been found; run a suite first.")
    with CsvWriter(path, COLUMNS) as table:
        for kind, rate in sorted(rates.items()):
            row = {"updates_per_second": f"{rate.updates_per_second:.1f}", "machine": rate.machine}
            table.write(kind._asdict() | row)


def run_memory_mb(run: runs.Run) -> int:
    """The memory to set aside for `run`, in MB: its process, and the activations of the critics on one batch.

    Each state of the batch meets its own action and `num_action_samples` from each of three sources; every layer keeps
    its float32 outputs for the way back, and as much again for their gradients.
    """
    native = find_algorithm(run.algorithm).implementation == "cqlbench"
    settings = run.config.settings()
    actions = 3 * settings.get("num_action_samples", 0) + 1
    layers = settings.get("depth", 0) + 1
    critics = settings.get("num_critics", 2)
    activations = critics * run.config.batch_size * actions * settings.get("width", 0) * layers * 2 * 4
    return (NATIVE_RUN_MB if native else OTHER_RUN_MB) + math.ceil(activations / 2**20)


def run_minutes(run: runs.Run, rates: dict[Kind, Rate], time_limit: float | None) -> int:
    """The minutes to ask a cluster for: what `run` takes at these rates on a slower machine, or its own limit.

    Of the two the run's own limit is reached first, because it leaves a status. A run whose kind has no rate is given
    UNMEASURED_MINUTES.
    """
    if time_limit is not None:
        return SETTING_UP_MINUTES + math.ceil(time_limit)
    seconds = expected_seconds(run, rates)
    return UNMEASURED_MINUTES if seconds is None else SETTING_UP_MINUTES + math.ceil(SLOWER * seconds / 60)


def free_memory_mb(limits: Iterable[Path] = (Path("/sys/fs/cgroup/memory.max"),)) -> int:
    """Memory that runs may take on this machine, in MB: what is free, or a container's limit where that is lower."""
    free = psutil.virtual_memory().available
    for path in limits:
        if path.is_file() and (limit := path.read_text().strip()).isdigit():
            free = min(free, int(limit))
    return max(free // 2**20, OTHER_RUN_MB)


def _kind(algorithm: str, settings: dict[str, Any]) -> Kind:
    # A dialect costs what its algorithm does; these settings change what an update is.
    words = [algorithm.partition("@")[0]]
    for key, usual in (("num_critics", 2), ("variant", "H"), ("backward_actions", None), ("networks", "fused")):
        if settings.get(key, usual) != usual:
            words.append(f"{key}={settings[key]}")
    return Kind(" ".join(words), str(settings.get("width", "")), str(settings.get("depth", "")))
