"""Whole `cqlbench train` commands, native and d3rlpy's: imports, reading the dataset and evaluation included."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cqlbench.bench.ratios import Spread, paired_ratio
from cqlbench.errors import UserError

CONTENDERS = ("cql", "d3rlpy-cql")


class Row(NamedTuple):
    """One line of end_to_end.csv: the native command against d3rlpy's, seconds of wall clock."""

    dataset: str
    hidden: int
    updates: int
    contender: str
    reference: str
    ratio_median: float
    ratio_low: float
    ratio_high: float
    seconds_median: float
    reference_seconds_median: float

    def __str__(self) -> str:
        ratio = Spread(self.ratio_median, self.ratio_low, self.ratio_high)
        return (
            f"cqlbench train, {self.updates:,} updates on {self.dataset}, 2x{self.hidden}, one evaluation: "
            f"{self.contender} {self.seconds_median:.1f} s, {self.reference} {self.reference_seconds_median:.1f} s, "
            f"ratio {ratio}"
        )


def compare_commands(
    dataset: str, results: Path, hidden: int, updates: int, pairs: int, advance: Callable[[], None]
) -> Row:
    """Runs `pairs` pairs of commands in turn, with one evaluation of ten episodes at the end of each.

    Raises UserError where a command fails, with its last line.
    """
    contender, reference = CONTENDERS
    seconds: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    with tempfile.TemporaryDirectory(prefix="cqlbench-") as folder:
        for _ in range(pairs):
            for method in CONTENDERS:
                words = ["--dataset", dataset, "--method", method, "--width", str(hidden), "--updates", str(updates)]
                words += ["--evaluate-every", str(updates), "--results", str(results), "--out", f"{folder}/{method}"]
                seconds[method].append(_seconds([sys.executable, "-m", "cqlbench", "train", *words]))
                advance()
    times = {name: np.array(values) for name, values in seconds.items()}
    ratio = paired_ratio(times[reference], times[contender])
    medians = (float(np.median(times[name])) for name in CONTENDERS)
    return Row(dataset, hidden, updates, contender, reference, *ratio, *medians)


def _seconds(command: list[str]) -> float:
    began = time.perf_counter()
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode:
        *_, reason = ["no output", *ended.stderr.strip().splitlines()]
        raise UserError(f"`cqlbench {' '.join(command[3:])}` failed: {reason}")
    return time.perf_counter() - began
