"""A dataset larger than the memory of a run: loading, updates from the disk under a limit, and what is in a batch.

The limit is the kernel's on a process's own data (RLIMIT_DATA: heap and private pages, what cannot be given back), set
once everything is imported, so that it is what the run itself may have. What a process keeps of files beyond that, a
replay gives back as it reads, so that every block comes from the disk.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cqlbench.bench.ratios import Spread, Verdict, paired_ratio
from cqlbench.bench.scaling import DATASET, EPISODE_LENGTH, in_own_process, store_synthetic
from cqlbench.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOADING, MEMORY, BATCHES = "loading.csv", "memory.csv", "batches.csv"
TRANSITIONS = 1_000_000
# What loading so many may take.
LOADING_SECONDS = 5
# Of the process's own data, beyond that of what it imports; the dataset is half as large again.
CAP_MB = 128
BUFFER = 1 << 18
# How many times as long an update from the disk may take.
SLOWER = 1.2
ALGORITHMS = ("cql", "sac", "bc")
# Updates of a turn: about as long for each.
UPDATES = {"cql": 128, "sac": 256, "bc": 1_024}
BUFFERS = tuple(1 << power for power in range(14, 21))
BATCH_SIZE = 256


class Loading(NamedTuple):
    """One line of loading.csv: seconds to load and check a dataset that is in the system's file cache, or is not."""

    transitions: int
    in_file_cache: bool
    seconds_median: float
    seconds_high: float
    rounds: int


class Updates(NamedTuple):
    """One line of memory.csv: an update in memory and under the limit, in turn; times are wall clock."""

    algorithm: str
    hidden: int
    transitions: int
    dataset_mb: float
    cap_mb: int
    fits_in_memory: bool  # whether a run without a buffer can be started under the limit
    buffer_transitions: int
    own_data_mb: float  # of the process from the disk, beyond that of its imports
    read_mb_per_1000_updates: float
    milliseconds_in_memory: float
    milliseconds_from_disk: float
    ratio_median: float
    ratio_low: float
    ratio_high: float
    processor_ratio_median: float
    rounds: int

    @property
    def verdict(self) -> Verdict:
        claim = f"{self.algorithm} at 2x{self.hidden}, an update from the disk over one in memory"
        return Verdict(claim, Spread(self.ratio_median, self.ratio_low, self.ratio_high), SLOWER, ceiling=True)


class Batches(NamedTuple):
    """One line of batches.csv: what is in a batch drawn from a buffer, and from the whole dataset where it is as large.

    `variance` is that of the batch's mean of a number that is the same all through an episode, over what it would be
    were every draw from another episode."""

    transitions: int
    buffer_transitions: int
    episodes_in_dataset: int
    episodes_in_batch: float
    variance: float
    batches: int


class Measured(NamedTuple):
    """All that `cqlbench bench memory` measures."""

    loading: list[Loading]
    updates: list[Updates]
    batches: list[Batches]


def measure_memory(
    algorithms: Sequence[str], hidden: int, rounds: int, batches: int, advance: Callable[[], None]
) -> Measured:
    """Everything, on synthetic data in a temporary folder; `advance` is called after each part.

    Raises UserError off Linux, whose kernel limits and tells what is measured here.
    """
    if sys.platform != "linux":
        raise UserError(f"bench memory limits a process as Linux does, and {sys.platform} does not; run it on Linux.")
    with tempfile.TemporaryDirectory(prefix="cqlbench-") as folder:
        root = Path(folder)
        in_own_process(store_synthetic, root, TRANSITIONS)
        advance()
        loading = measure_loading(root, rounds=3)
        in_batches = measure_batches(root, BUFFERS, batches)
        advance()
        updates = [measure_updates(root, name, hidden, BUFFER, CAP_MB, rounds, advance) for name in algorithms]
    return Measured(loading, updates, in_batches)


def measure_loading(root: Path, rounds: int) -> list[Loading]:
    """Loads the dataset in `root` in processes of their own."""
    seconds: dict[bool, list[float]] = {True: [], False: []}
    transitions = 0
    for _ in range(rounds):
        for in_file_cache in (False, True):
            transitions, spent = in_own_process(_load, root, in_file_cache)
            seconds[in_file_cache].append(spent)
    return [
        Loading(transitions, cached, float(np.median(spent)), max(spent), rounds) for cached, spent in seconds.items()
    ]


def _load(root: Path, in_file_cache: bool) -> tuple[int, float]:
    from cqlbench.datasets import load
    from cqlbench.datasets.mapped import MappedFile

    if not in_file_cache:
        for path in Path(root).rglob("*.npz"):
            MappedFile(path).release()
    began = time.perf_counter()
    dataset = load(DATASET, root)
    return len(dataset.rewards), time.perf_counter() - began


def measure_updates(
    root: Path, algorithm: str, hidden: int, buffer: int, cap_mb: int, rounds: int, advance: Callable[[], None]
) -> Updates:
    """Updates of one training in memory and of one from the disk, whose process may have `cap_mb` of its own data."""
    fits = in_own_process(_fits, root, algorithm, hidden, cap_mb)
    settings = {"width": hidden}
    with (
        _training(root, algorithm, settings, None) as in_memory,
        _training(root, algorithm, settings | {"buffer_transitions": buffer}, cap_mb) as from_disk,
    ):
        turns: dict[str, list[_Turn]] = {"in_memory": [], "from_disk": []}
        for number in range(rounds + 1):
            pair = [("in_memory", in_memory), ("from_disk", from_disk)]
            # The first round starts them and does not count; the one that reads all of the file starts before the
            # one that clears the system's cache of it.
            for name, training in pair[:: -1 if number % 2 else 1]:
                turn = training.submit(_take_turn, UPDATES[algorithm]).result()
                if number:
                    turns[name].append(turn)
            advance()
    memory, disk = (np.array([turn.milliseconds for turn in turns[name]]) for name in turns)
    processor = [np.array([turn.processor_milliseconds for turn in turns[name]]) for name in turns]
    last = turns["from_disk"][-1]
    return Updates(
        algorithm,
        hidden,
        last.transitions,
        last.dataset_mb,
        cap_mb,
        fits,
        buffer,
        max(turn.own_data_mb for turn in turns["from_disk"]),
        1000 * sum(turn.read_mb for turn in turns["from_disk"]) / (rounds * UPDATES[algorithm]),
        float(np.median(memory)),
        float(np.median(disk)),
        *paired_ratio(disk, memory),
        paired_ratio(processor[1], processor[0]).median,
        rounds,
    )


class _Turn(NamedTuple):
    transitions: int
    dataset_mb: float
    milliseconds: float
    processor_milliseconds: float
    read_mb: float
    own_data_mb: float


def _training(root: Path, algorithm: str, settings: dict[str, Any], cap_mb: int | None) -> ProcessPoolExecutor:
    """One process with a training of its own, which goes on by `_take_turn`."""
    return ProcessPoolExecutor(
        1, multiprocessing.get_context("spawn"), initializer=_begin, initargs=(root, algorithm, settings, cap_mb)
    )


# The training of this process: its dataset, and what makes an update.
_going_on: list[Any] = []
_imported_mb = 0.0


def _begin(root: Path, algorithm: str, settings: dict[str, Any], cap_mb: int | None) -> None:
    import torch

    from cqlbench.datasets import load
    from cqlbench.execution import build_algorithm, prepare_process
    from cqlbench.normalisation import Normaliser
    from cqlbench.runs import Protocol, make_run
    from cqlbench.training import make_replay

    prepare_process()
    global _imported_mb
    _imported_mb = _own_data_mb()
    if cap_mb is not None:
        limit = round(_imported_mb + cap_mb) << 20
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    run, device = make_run(DATASET, algorithm, settings, Protocol(), 0), torch.device("cpu")
    dataset = load(run.dataset, root, mapped=run.config.buffer_transitions is not None)
    replay = make_replay(dataset, Normaliser.for_dataset(dataset, run.config), device, run.config.buffer_transitions)
    batches = replay.batches(0, run.config.batch_size)
    _going_on[:] = [dataset, build_algorithm(run, dataset.task, device), batches]


def _take_turn(updates: int) -> _Turn:
    dataset, algorithm, batches = _going_on
    read, began, spent = _read_bytes(), time.perf_counter(), time.process_time()
    for batch in islice(batches, updates):
        algorithm.update(batch)
    seconds, processor = time.perf_counter() - began, time.process_time() - spent
    arrays = [array for array in vars(dataset).values() if isinstance(array, np.ndarray)]
    return _Turn(
        len(dataset.rewards),
        sum(array.nbytes for array in arrays) / 2**20,
        1000 * seconds / updates,
        1000 * processor / updates,
        (_read_bytes() - read) / 2**20,
        _own_data_mb() - _imported_mb,
    )


def _fits(root: Path, algorithm: str, hidden: int, cap_mb: int) -> bool:
    """Whether a run in memory can be started under the limit."""
    try:
        _begin(root, algorithm, {"width": hidden}, cap_mb)
    except MemoryError:
        return False
    except RuntimeError as error:  # torch's word for it
        if "allocate memory" not in str(error):
            raise
        return False
    return True


def _own_data_mb() -> float:
    return _kernel_says("/proc/self/status", "VmData:") / 2**10


def _read_bytes() -> int:
    """What this process has had read from the disk, what was read ahead for it included."""
    return _kernel_says("/proc/self/io", "read_bytes:")


def _kernel_says(path: str, key: str) -> int:
    return next(int(line.split()[1]) for line in Path(path).read_text().splitlines() if line.startswith(key))


def measure_batches(root: Path, buffers: Sequence[int], batches: int) -> list[Batches]:
    """Of each buffer the first batch of each of so many seeds: buffers that have nothing to do with each other."""
    import torch

    from cqlbench.algorithms.configs import MethodConfig
    from cqlbench.datasets import load
    from cqlbench.normalisation import Normaliser
    from cqlbench.seeding import generator_for
    from cqlbench.training import make_replay

    dataset = load(DATASET, root)
    transitions, episodes = len(dataset.rewards), len(dataset.episode_lengths)
    # A batch says by its rewards from which episodes it is.
    numbers = np.repeat(np.arange(episodes, dtype=np.float32), dataset.episode_lengths)
    dataset = dataclasses.replace(dataset, rewards=numbers)
    quantity = generator_for("memory", "quantity").standard_normal(episodes)
    quantity = (quantity - quantity.mean()) / quantity.std()
    normaliser = Normaliser.for_dataset(dataset, MethodConfig(normalise_observations=False))
    rows = []
    for buffer in [*(buffer for buffer in buffers if buffer < transitions), transitions]:
        replay = make_replay(dataset, normaliser, torch.device("cpu"), buffer)
        drawn = [next(replay.batches(seed, BATCH_SIZE)).rewards.numpy().astype(int) for seed in range(batches)]
        means = [quantity[batch].mean() for batch in drawn]
        rows.append(
            Batches(
                transitions,
                buffer,
                episodes,
                float(np.mean([len(np.unique(batch)) for batch in drawn])),
                float(np.var(means) * BATCH_SIZE),
                batches,
            )
        )
    return rows


def expected_variance(batches: Batches) -> float:
    """What docs/datasets.md declares: 1, and batch over episodes in the buffer where that is not the whole dataset."""
    if batches.buffer_transitions >= batches.transitions:
        return 1.0
    return 1 + BATCH_SIZE * EPISODE_LENGTH / batches.buffer_transitions


def verdicts(measured: Measured) -> list[str]:
    """A sentence for each thing that was to be."""
    sentences = []
    for row in measured.loading:
        where = "from the system's file cache" if row.in_file_cache else "from the disk"
        outcome = "met" if row.seconds_high <= LOADING_SECONDS else "missed"
        sentences.append(
            f"{row.transitions:,} transitions load {where} in {row.seconds_median:.2f} s, the slowest time of "
            f"{row.rounds} in {row.seconds_high:.2f} s, at most {LOADING_SECONDS}: {outcome}"
        )
    for updates in measured.updates:
        alone = "does" if updates.fits_in_memory else "does not"
        sentences.append(
            f"{updates.transitions:,} transitions, {updates.dataset_mb:.0f} MB; limited to {updates.cap_mb} MB, the "
            f"run has {updates.own_data_mb:.0f}; without a buffer it {alone} start"
        )
        sentences.append(str(updates.verdict))
    return sentences


def draw_memory(measured: Measured) -> Figure:
    """Updates from the disk over those in memory, and two measures of a batch by the size of the buffer."""
    from cqlbench.figures.pages import PAPER
    from cqlbench.figures.panels import legend, panel_grid
    from cqlbench.style import colour, label, marker

    names = ("time of an update, from disk / in memory", "episodes in a batch of 256", "variance of a batch's mean")
    figure, panels = panel_grid(PAPER, names)
    times, episodes, variance = (panels[name] for name in names)
    for place, row in enumerate(measured.updates):
        errors = [[row.ratio_median - row.ratio_low], [row.ratio_high - row.ratio_median]]
        look = {"color": colour(row.algorithm), "marker": marker(row.algorithm)}
        times.errorbar(place, row.ratio_median, errors, capsize=3, linestyle="", **look)
    times.axhline(SLOWER, color="0.2", linewidth=1)
    times.set_xticks(range(len(measured.updates)), [label(row.algorithm, row.algorithm) for row in measured.updates])
    times.set(xlim=(-0.5, len(measured.updates) - 0.5), ylim=(0, None))
    *buffered, whole = measured.batches
    sizes = [row.buffer_transitions for row in buffered]
    look = {"color": colour("cql"), "marker": "o"}
    episodes.plot(sizes, [row.episodes_in_batch for row in buffered], label="from a buffer", **look)
    episodes.axhline(whole.episodes_in_batch, color="0.5", linestyle="--", label="from the whole dataset")
    episodes.set(ylim=(0, 1.1 * whole.episodes_in_batch))
    variance.plot(sizes, [row.variance for row in buffered], **look)
    variance.plot(sizes, [expected_variance(row) for row in buffered], ":", color="0.2", label="as declared")
    variance.axhline(whole.variance, color="0.5", linestyle="--")
    variance.set(yscale="log")
    variance.set_yticks([1, 2, 4, 8], ["1", "2", "4", "8"])
    ticks = sizes[::2]
    for panel in (episodes, variance):
        panel.set(xscale="log", xlabel="transitions in the buffer")
        panel.set_xticks(ticks, [f"{size:,}" for size in ticks])
        panel.minorticks_off()
    legend(PAPER, figure, panels.values())
    return figure


def markdown(folder: Path) -> str:
    """What docs/datasets.md shows of the three tables in `folder`. Raises UserError where one is not there."""
    from cqlbench.scores import read_table
    from cqlbench.style import label

    command = "`cqlbench bench memory`"
    loading, updates, batches = (read_table(folder / name, command) for name in (LOADING, MEMORY, BATCHES))
    lines = ["| 1,000,000 transitions | median, s | slowest, s |", "| --- | --- | --- |"]
    for row in loading.itertuples():
        where = "in the system's file cache" if row.in_file_cache else "on the disk alone"
        lines.append(f"| {where} | {row.seconds_median:.2f} | {row.seconds_high:.2f} |")
    lines += [
        "",
        "| an update of | in memory, ms | from the disk, ms | times as long | processor time | MB read per 1,000 |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in updates.itertuples():
        ratio = Spread(row.ratio_median, row.ratio_low, row.ratio_high)
        lines.append(
            f"| 2x{row.hidden} {label(row.algorithm, row.algorithm)} | {row.milliseconds_in_memory:.2f} | "
            f"{row.milliseconds_from_disk:.2f} | {ratio} | {row.processor_ratio_median:.2f} | "
            f"{row.read_mb_per_1000_updates:.1f} |"
        )
    lines += [
        "",
        "| transitions in the buffer | episodes in a batch | variance of the mean | as declared |",
        "| --- | --- | --- | --- |",
    ]
    for row in batches.itertuples():
        size = f"{row.buffer_transitions:,}" if row.buffer_transitions < row.transitions else "all"
        lines.append(f"| {size} | {row.episodes_in_batch:.0f} | {row.variance:.2f} | {expected_variance(row):.2f} |")
    return "\n".join(lines) + "\n"
