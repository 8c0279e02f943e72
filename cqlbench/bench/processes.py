"""Several trainings at once: how much of a processor each loses to its neighbours, beside what matrix products lose.

Processes on one machine share its memory, its caches and its clock's headroom, so N of them never do N times the work
of one. How much that is the machine's own doing, N loops of nothing but matrix products say in the same minute.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import NamedTuple

import numpy as np
import psutil

from cqlbench.bench.ratios import Spread, Verdict
from cqlbench.errors import UserError

TRAINING, GEMM = "training", "gemm"
# Trainings at once keep at least this share of what matrix products at once keep.
FLOOR = 0.85
# Updates between two looks at the clock.
BLOCK_UPDATES = 10


class Row(NamedTuple):
    """One line of processes.csv: per kind of work, the rate of `processes` at once over that many times one alone."""

    hidden: int
    processes: int
    work: str
    unit: str
    rate_single: float
    rate_together: float
    efficiency_median: float
    efficiency_low: float
    efficiency_high: float


class Measured(NamedTuple):
    """Both kinds of work, and the training's efficiency over that of the matrix products, round by round."""

    rows: list[Row]
    verdict: Verdict


def compare_processes(
    hidden: int, processes: int, rounds: int, seconds: float, advance: Callable[[], None]
) -> Measured:
    """One training, `processes` trainings, one GEMM loop, `processes` GEMM loops, in turn, each for `seconds`.

    Raises UserError where the machine has fewer cores than `processes`.
    """
    cores = psutil.cpu_count() or 1
    if not 2 <= processes <= cores:
        raise UserError(f"--processes {processes} is not allowed; it must be from 2 to this machine's cores, {cores}.")
    rates: dict[tuple[str, int], list[float]] = {(work, n): [] for work in (TRAINING, GEMM) for n in (1, processes)}
    with _workers(hidden, processes) as workers:
        for _ in range(rounds):
            for work, number in rates:
                rates[work, number].append(_rate_together(workers[:number], work, seconds))
            advance()
    measured = {key: np.array(values) for key, values in rates.items()}
    efficiency = {work: measured[work, processes] / (processes * measured[work, 1]) for work in (TRAINING, GEMM)}
    rows = [
        Row(
            hidden,
            processes,
            work,
            unit,
            float(np.median(measured[work, 1])),
            float(np.median(measured[work, processes])),
            *Spread.of(efficiency[work]),
        )
        for work, unit in ((TRAINING, "updates/s"), (GEMM, "GFLOP/s"))
    ]
    kept = Spread.of(efficiency[TRAINING] / efficiency[GEMM])
    claim = f"cql at 2x{hidden}, {processes} processes, efficiency over that of matrix products"
    return Measured(rows, Verdict(claim, kept, FLOOR))


def _rate_together(workers: Sequence[Connection], work: str, seconds: float) -> float:
    """The sum of the workers' rates while all of them work."""
    for worker in workers:
        worker.send((work, seconds))
    return sum(worker.recv() for worker in workers)


@contextmanager
def _workers(hidden: int, number: int) -> Iterator[list[Connection]]:
    """Processes that wait for work and answer with its rate; each has done a little of either kind before."""
    context = multiprocessing.get_context("spawn")
    pairs = [context.Pipe() for _ in range(number)]
    children = [context.Process(target=_serve, args=(theirs, hidden), daemon=True) for _, theirs in pairs]
    for child in children:
        child.start()
    for _, theirs in pairs:
        theirs.close()  # so that a child that dies ends our waiting
    try:
        workers = [ours for ours, _ in pairs]
        for work in (TRAINING, GEMM):
            _rate_together(workers, work, 0)
        yield workers
    finally:
        for child in children:
            child.terminate()
            child.join()


def _serve(connection: Connection, hidden: int) -> None:
    """Works for as long as each request says, at least one block, and answers with updates/s or GFLOP/s."""
    import torch

    from cqlbench.bench.machine import Gemm
    from cqlbench.bench.updates import CONTENDERS, TASK, PremadeReplay, gemm_rows
    from cqlbench.execution import build_algorithm, prepare_process
    from cqlbench.training import train

    prepare_process()
    device = torch.device("cpu")
    run = CONTENDERS["cql"][0].run(hidden)
    algorithm, replay = build_algorithm(run, TASK, device), PremadeReplay(run.config, device)
    gemm = Gemm(gemm_rows("cql", run.config), hidden, device)
    while True:
        work, seconds = connection.recv()
        amount = 0.0
        began = time.perf_counter()
        while not amount or time.perf_counter() - began < seconds:
            if work == TRAINING:
                next(train(algorithm, replay, run.seed, run.config.batch_size, [BLOCK_UPDATES]))
                amount += BLOCK_UPDATES
            else:
                amount += gemm.multiply() / 1e9
        connection.send(amount / (time.perf_counter() - began))
