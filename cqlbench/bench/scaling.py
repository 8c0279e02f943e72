"""Time and memory of a run against the number of transitions it trains on: linear, or worse?

Every run is a whole one (`execute`) on a real dataset on disk, in a process of its own. What a process imports before
torch would hide in the memory of torch, so this module imports little and the rest where it is used.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cqlbench.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cqlbench.datasets.collect import Episode

SIZES = tuple(round(10 ** (half / 2)) for half in range(8, 13))
# The synthetic dataset takes this one's name, and with it Hopper's sizes.
DATASET = "hopper/medium-v0"
EPISODE_LENGTH = 500
# An exponent up to this passes as linear: times of one machine are not repeatable to the last percent.
LINEAR = 1.1
# What the largest run may take beyond torch.
MEMORY_LIMIT_MB = 600
QUANTITIES = {
    "seconds_loading": "seconds of loading",
    "seconds_per_1000_updates": "seconds per 1,000 updates",
    "peak_memory_mb": "peak memory beyond torch, MB",
}


class Row(NamedTuple):
    """One line of scaling.csv: a run's times, and the peak of its memory beyond a process that has imported torch."""

    transitions: int
    seconds_loading: float
    seconds_per_1000_updates: float
    peak_memory_mb: float


def measure_scaling(
    sizes: Sequence[int], settings: dict[str, Any], updates: int, rounds: int, advance: Callable[[], None]
) -> list[Row]:
    """CQL with `settings` on a dataset of each size: medians of `rounds` runs; `advance` is called after each.

    Raises UserError off Linux, where a process does not tell its peak memory.
    """
    if sys.platform != "linux":
        raise UserError(f"bench scaling reads peak memory from /proc, which {sys.platform} has not; run it on Linux.")
    rows = []
    with tempfile.TemporaryDirectory(prefix="cqlbench-") as folder:
        for size in sizes:
            in_own_process(store_synthetic, Path(folder), size)
            measured = []
            for _ in range(rounds):
                measured.append(in_own_process(measure_run, Path(folder), settings, updates))
                advance()
            rows.append(Row(size, *np.median(measured, axis=0).tolist()))
    return rows


def store_synthetic(root: Path, transitions: int) -> None:
    """Stores a dataset of Hopper's size whose numbers mean nothing, its states those in which Hopper starts."""
    from cqlbench.datasets.store import store_episodes

    bounds = [*range(0, transitions, EPISODE_LENGTH), transitions]
    store_episodes(DATASET, [_episode(index, int(length)) for index, length in enumerate(np.diff(bounds))], root, {})


def _episode(index: int, length: int) -> Episode:
    from cqlbench.datasets.collect import Episode
    from cqlbench.seeding import generator_for
    from cqlbench.tasks import find_task

    task, generator = find_task("hopper"), generator_for("scaling", index)
    return Episode(
        observations=generator.standard_normal((length + 1, task.observation_size), np.float32),
        actions=generator.uniform(-1, 1, (length, task.action_size)).astype(np.float32),
        rewards=generator.standard_normal(length, np.float32),
        terminated=True,
        qpos=np.tile([0.0, 1.25, 0.0, 0.0, 0.0, 0.0], (length + 1, 1)),
        qvel=np.zeros((length + 1, 6)),
    )


def measure_run(root: Path, settings: dict[str, Any], updates: int) -> tuple[float, float, float]:
    """The measured columns of a Row, for one run of CQL in this process, which must be a fresh one."""
    importlib.import_module("torch")
    before = _peak_memory_mb()
    from cqlbench.execution import Unwatched, execute
    from cqlbench.runs import TIMING, Protocol, make_run

    with tempfile.TemporaryDirectory(prefix="cqlbench-") as folder:
        execute(make_run(DATASET, "cql", settings, Protocol(updates=updates), 0), root, Path(folder), Unwatched())
        timing = json.loads(Path(folder, TIMING).read_text())
    seconds = 1000 * timing["seconds_training"] / updates
    return timing["seconds_loading"], seconds, _peak_memory_mb() - before


def _peak_memory_mb() -> float:
    """The most this process has had in memory. Not ru_maxrss, which begins with what the parent process had."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def in_own_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """What the function returns, run in a fresh process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def exponent(rows: Sequence[Row], quantity: str) -> float:
    """b of quantity ~ transitions^b, fitted to the largest decade, where what every run pays weighs least."""
    largest = max(row.transitions for row in rows)
    decade = [row for row in rows if row.transitions >= largest / 10]
    transitions = np.log([row.transitions for row in decade])
    return float(np.polyfit(transitions, np.log([getattr(row, quantity) for row in decade]), 1)[0])


def verdicts(rows: Sequence[Row]) -> list[str]:
    """A sentence per quantity, and one about the memory of the largest run."""
    sentences = []
    for quantity, name in QUANTITIES.items():
        grows = exponent(rows, quantity)
        outcome = "linear or better" if grows <= LINEAR else "worse than linear"
        sentences.append(f"{name}: grows as transitions^{grows:.2f}, {outcome}")
    last = rows[-1]
    outcome = "met" if last.peak_memory_mb <= MEMORY_LIMIT_MB else "missed"
    sentences.append(
        f"{QUANTITIES['peak_memory_mb']}, at {last.transitions:,} transitions: {last.peak_memory_mb:.0f}, "
        f"at most {MEMORY_LIMIT_MB}: {outcome}"
    )
    return sentences


def draw_scaling(rows: Sequence[Row]) -> Figure:
    """A panel per quantity, both axes logarithmic, with what a growth in proportion to the largest run would be."""
    from cqlbench.figures.pages import PAPER
    from cqlbench.figures.panels import legend, panel_grid
    from cqlbench.style import colour

    figure, panels = panel_grid(PAPER, QUANTITIES.values())
    transitions = np.array([row.transitions for row in rows])
    for quantity, name in QUANTITIES.items():
        panel, measured = panels[name], np.array([getattr(row, quantity) for row in rows])
        panel.loglog(transitions, measured, "o-", color=colour("cql"), label="measured")
        in_proportion = measured[-1] * transitions / transitions[-1]
        panel.plot(transitions, in_proportion, "--", color="0.5", label="in proportion")
        panel.set(xlabel="transitions", ylim=(in_proportion[0], 2 * measured.max()))
        panel.yaxis.set_major_formatter("{x:g}")
    panels[QUANTITIES["peak_memory_mb"]].axhline(MEMORY_LIMIT_MB, color="0.2", linewidth=1, label="limit")
    legend(PAPER, figure, panels.values())
    return figure
