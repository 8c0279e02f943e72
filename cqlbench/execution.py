"""One run from its description to its folder: load, train, evaluate, write."""

from __future__ import annotations

import ctypes
import math
import resource
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from cqlbench import runs
from cqlbench.algorithms.algorithm import Algorithm
from cqlbench.algorithms.registry import find_algorithm, load_class
from cqlbench.datasets import OfflineDataset, load
from cqlbench.diagnostics import compare_values, has_value
from cqlbench.evaluation import EpisodeResult, evaluate
from cqlbench.normalisation import Normaliser
from cqlbench.provenance import describe_machine, describe_provenance
from cqlbench.runs import Run
from cqlbench.tasks import TaskSpec
from cqlbench.training import Diverged, Replay, train
from cqlbench.writers import CsvWriter, write_json

# Rows of train.csv per evaluation.
LOGS_PER_EVALUATION = 5

VALUE_COLUMNS = ["update", "start", "states", "predicted_value", "predicted_value_mean", "true_discounted_return"]
VALUE_COLUMNS += ["true_standard_error", "difference_mean", "difference_standard_error"]
VALUE_COLUMNS += ["q_data", "q_policy", "q_uniform"]


class Progress(Protocol):
    """Who watches a run: a progress bar, plain lines, or nobody."""

    def trained(self, update: int, metrics: dict[str, float]) -> None: ...

    def evaluated(self, update: int, return_mean: float) -> None: ...


def prepare_process() -> None:
    """One torch thread, and an allocator that keeps what it has.

    glibc gives large blocks back to the system at each free, so that every activation of every update is paged in
    anew; keeping them made a CQL update with 64-unit layers a third shorter (17.4 to 12.2 ms). Not glibc: no change.
    """
    torch.set_num_threads(1)
    mmap_threshold, trim_threshold = -3, -1  # names of malloc.h
    keep = 1 << 30
    allocator = ctypes.CDLL(None)
    if hasattr(allocator, "mallopt"):
        allocator.mallopt(mmap_threshold, keep)
        allocator.mallopt(trim_threshold, keep)


def build_algorithm(run: Run, dataset: OfflineDataset, device: torch.device) -> Algorithm:
    """The run's method, freshly initialised from its seed."""
    spec = TaskSpec(dataset.task.observation_size, dataset.task.action_size)
    algorithm_class = load_class(find_algorithm(run.algorithm).path)
    return algorithm_class(spec, run.config, run.seed, device)


def execute(run: Run, datasets: Path, folder: Path, progress: Progress, device: str = "cpu") -> str:
    """Trains and evaluates `run` and fills `folder`; returns its status, `done` or `diverged`.

    Everything but `timing.json` is a function of the dataset's content, the config, the seed and the code.
    """
    prepare_process()
    began = time.perf_counter()
    dataset = load(run.dataset, datasets)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / runs.STATUS).unlink(missing_ok=True)
    write_json(folder / runs.CONFIG, run.description())
    write_json(folder / runs.PROVENANCE, describe_provenance(dataset))

    where = torch.device(device)
    normaliser = Normaliser.for_dataset(dataset, run.config)
    replay = Replay(dataset, normaliser, run.config.num_transitions, where)
    algorithm = build_algorithm(run, dataset, where)
    judge = _Judge(run, dataset, normaliser, algorithm, folder)
    points = run.protocol.evaluation_points()
    log_every = max(1, run.protocol.evaluate_every // LOGS_PER_EVALUATION)
    status: dict[str, Any] = {"status": "done", "reason": None, "update": run.protocol.updates}

    with CsvWriter(folder / runs.TRAIN) as log, judge:
        try:
            for update, metrics in train(
                algorithm, replay, run.seed, run.config.batch_size, run.protocol.updates, log_every
            ):
                log.write({"update": update} | metrics)
                progress.trained(update, metrics)
                if update >= points[0]:
                    progress.evaluated(update, judge.evaluate(update))
                    points = [point for point in points if point > update]
        except Diverged as error:
            # No evaluation here: parameters that are not numbers cannot act. Those before it count.
            status = {"status": "diverged", "reason": str(error), "update": error.update}
    tensors = {name: tensor.contiguous() for name, tensor in algorithm.state_dict().items()}
    save_file(tensors, folder / runs.POLICY)

    total = time.perf_counter() - began
    training = total - judge.seconds
    write_json(
        folder / runs.TIMING,
        {
            "seconds_total": total,
            "seconds_training": training,
            "seconds_evaluation": judge.seconds,
            "updates_per_second": status["update"] / training,
            "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
        | describe_machine(),
    )
    write_json(folder / runs.STATUS, status)
    return status["status"]


def evaluate_run(folder: Path, datasets: Path, episodes: int) -> list[EpisodeResult]:
    """Episodes of the policy a finished run has left in `folder`."""
    prepare_process()
    run = runs.read_run(folder)
    dataset = load(run.dataset, datasets)
    algorithm = build_algorithm(run, dataset, torch.device("cpu"))
    algorithm.load_state_dict(load_file(folder / runs.POLICY))
    return evaluate(algorithm, dataset.task, Normaliser.for_dataset(dataset, run.config), run.seed, episodes)


class _Judge:
    """Evaluates a run as it goes, into its three tables, and keeps the time this takes."""

    def __init__(
        self, run: Run, dataset: OfflineDataset, normaliser: Normaliser, algorithm: Algorithm, folder: Path
    ) -> None:
        self.run, self.dataset, self.normaliser, self.algorithm = run, dataset, normaliser, algorithm
        self.folder, self.seconds = folder, 0.0

    def __enter__(self) -> _Judge:
        self.open_tables = ExitStack()

        def table(name: str, columns: list[str]) -> CsvWriter:
            return self.open_tables.enter_context(CsvWriter(self.folder / name, columns))

        self.evaluations = table(runs.EVALUATION, ["update", "episodes", "return_mean", "return_std"])
        self.episodes = table(runs.EPISODES, ["update", "episode", "return", "length", "terminated"])
        self.values = table(runs.VALUES, VALUE_COLUMNS)
        return self

    def __exit__(self, *raised: Any) -> None:
        self.open_tables.__exit__(*raised)

    def evaluate(self, update: int) -> float:
        """One evaluation point; returns its mean return."""
        began = time.perf_counter()
        protocol = self.run.protocol
        results = evaluate(self.algorithm, self.dataset.task, self.normaliser, self.run.seed, protocol.episodes)
        returns = np.array([result.return_ for result in results])
        self.evaluations.write(
            {
                "update": update,
                "episodes": len(results),
                "return_mean": returns.mean(),
                "return_std": returns.std(ddof=1) if len(results) > 1 else math.nan,
            }
        )
        for episode, result in enumerate(results):
            row = {"return": result.return_, "length": result.length, "terminated": int(result.terminated)}
            self.episodes.write({"update": update, "episode": episode} | row)
        if protocol.value_states and has_value(self.algorithm):
            discount = getattr(self.run.config, "discount", 0.99)
            for row in compare_values(
                self.algorithm, self.dataset, self.normaliser, discount, self.run.seed, protocol.value_states
            ):
                self.values.write({"update": update} | row)
        self.seconds += time.perf_counter() - began
        return float(returns.mean())
