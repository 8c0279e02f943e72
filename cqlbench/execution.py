"""One run from its description to its folder: load, train, evaluate, write."""

from __future__ import annotations

import ctypes
import math
import resource
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from safetensors.torch import save_file

from cqlbench import runs
from cqlbench.algorithms.algorithm import Algorithm, Resumable
from cqlbench.algorithms.configs import discount_of
from cqlbench.algorithms.registry import find_algorithm, load_class
from cqlbench.checkpoints import Checkpoint, Checkpoints
from cqlbench.datasets import OfflineDataset, load
from cqlbench.diagnostics import Neighbourhoods, best_return, compare_actions, compare_values, has_value
from cqlbench.errors import UserError
from cqlbench.evaluation import EpisodeResult, evaluate
from cqlbench.normalisation import Normaliser
from cqlbench.provenance import describe_machine, describe_provenance
from cqlbench.runs import Resume, Run
from cqlbench.stopwatch import Stopwatch
from cqlbench.tasks import Task, TaskSpec
from cqlbench.training import Diverged, draw_transitions, make_replay, train
from cqlbench.writers import CsvWriter, aside, write_json


class Progress(Protocol):
    """Who watches a run: a progress bar, plain lines, or nobody (`Unwatched`)."""

    def told(self, text: str) -> None:
        """What a person should know of a run that goes on from a checkpoint."""

    def started(self, update: int) -> None:
        """Updates begin after number `update`, 0 but for a run that goes on."""

    def trained(self, update: int, metrics: dict[str, float]) -> None: ...

    def evaluated(self, update: int, measures: dict[str, float]) -> None:
        """`return_mean` where there is a simulator, and what values.csv says from states of the data, where known."""


class Unwatched:
    """A Progress for whom nobody looks."""

    def told(self, text: str) -> None: ...

    def started(self, update: int) -> None: ...

    def trained(self, update: int, metrics: dict[str, float]) -> None: ...

    def evaluated(self, update: int, measures: dict[str, float]) -> None: ...


def prepare_process() -> None:
    """One torch thread, and an allocator that keeps what it has.

    glibc gives large blocks back to the system at each free, so that every activation of every update is paged in
    anew. Not glibc: no change.
    """
    torch.set_num_threads(1)
    mmap_threshold, trim_threshold = -3, -1  # names of malloc.h
    allocator = ctypes.CDLL(None)
    if hasattr(allocator, "mallopt"):
        # The largest that every glibc takes.
        allocator.mallopt(mmap_threshold, 1 << 25)
        allocator.mallopt(trim_threshold, 1 << 30)


def find_device(name: str) -> torch.device:
    """The torch device called `name`. Raises UserError where torch does not know it or it is not there."""
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device: {name!r} cannot be used here ({str(error).splitlines()[0]}); try cpu.") from error


def build_algorithm(run: Run, task: Task, device: torch.device) -> Algorithm:
    """The run's method, freshly initialised from its seed."""
    spec = TaskSpec(task.observation_size, task.action_size)
    algorithm_class = load_class(find_algorithm(run.algorithm).path)
    return algorithm_class(spec, run.config, run.seed, device)


def execute(
    run: Run, datasets: Path, folder: Path, progress: Progress, device: str = "cpu", resume: Resume | None = None
) -> str:
    """Trains and evaluates `run` and fills `folder`; returns its status, `done` or `diverged`.

    Everything but `timing.json` is a function of the dataset's content, the config, the seed, the code and the device,
    also where the process was killed on the way: the run goes on from its newest checkpoint in `folder`.
    That file says where the time went: `imports` (from the start of the process to this call), `loading` (reading the
    dataset, building the method, saving its policy), `training` and `evaluation`, wall clock and CPU; of a run that
    was killed, without what was lost by it.
    Without a simulator a run has no episodes and no true value: each evaluation is a row of evaluation.csv with 0
    episodes and no number as its return, and one of values.csv with the distances of the policy's actions from the
    data's; `cqlbench estimate` says what else can be known of it.
    Raises UserError where the dataset is not there or too small, or the device is not to be had.
    """
    stopwatch = Stopwatch(before="imports")
    prepare_process()
    where = find_device(device)
    buffered = run.config.buffer_transitions is not None
    dataset = load(run.dataset, datasets, mapped=buffered)
    # Of the episodes as they were collected: a draw of transitions has none.
    best = best_return(dataset, discount_of(run.config))
    if run.config.num_transitions is not None:
        dataset = draw_transitions(dataset, run.config.num_transitions)
    states = run.protocol.value_states
    if states and dataset.task.env_id and dataset.qpos.shape[1] == 0:
        raise UserError(
            f"value_states: {states} is not allowed; {dataset.id} has no simulator states to start from: set it to 0."
        )
    if states > len(dataset.rewards):
        raise UserError(f"value_states: {states} is not allowed; the run has {len(dataset.rewards)} transitions.")
    provenance = describe_provenance(dataset) | {"device": str(where)}
    # A commit that leaves the training code as it is makes no other run.
    made_of = {key: value for key, value in provenance.items() if key != "code_version"}
    resume = resume or Resume()
    saved = Checkpoints(folder, {"run": run.description(), "made_of": made_of}, resume.every)
    if resume.go_on and (known := saved.finished()):
        progress.told("this run was finished before; --no-resume trains it again")
        write_json(folder / runs.STATUS, known)
        return known["status"]
    runs.clear_folder(folder)
    write_json(folder / runs.CONFIG, run.description())
    write_json(folder / runs.PROVENANCE, provenance)

    normaliser = Normaliser.for_dataset(dataset, run.config)
    # Before the replay is made: what this takes for a moment, the replay takes for good.
    around = Neighbourhoods.around(dataset, normaliser, run.seed, states) if states else None
    replay = make_replay(dataset, normaliser, where, run.config.buffer_transitions)
    algorithm = build_algorithm(run, dataset.task, where)
    points = set(run.protocol.evaluation_points())
    status: dict[str, Any] = {"status": "done", "reason": None, "update": run.protocol.updates}

    start = Checkpoint(0, {}, {}, {})
    if not resume.go_on:
        saved.remove()
    elif found := saved.newest(progress.told):
        start = found
        assert isinstance(algorithm, Resumable)  # or nothing would have been saved
        algorithm.load_training_state(start.method)
        stopwatch.add(start.timings)
        progress.told(f"going on after update {start.update:,}, from a checkpoint")
    stopwatch.lap("loading")
    progress.started(start.update)

    with _Tables(folder, start.tables) as tables:
        judge = _Judge(run, dataset, best, around, normaliser, algorithm, tables)
        try:
            stops = run.protocol.log_points()
            for update, metrics in train(algorithm, replay, run.seed, run.config.batch_size, stops, start.update):
                tables[runs.TRAIN].write({"update": update} | metrics)
                progress.trained(update, metrics)
                if update in points:
                    stopwatch.lap("training")
                    progress.evaluated(update, judge.evaluate(update))
                    stopwatch.lap("evaluation")
                if saved.due and isinstance(algorithm, Resumable):
                    stopwatch.lap("training")
                    state = algorithm.training_state()
                    saved.save(Checkpoint(update, state, tables.contents(), stopwatch.timings()))
                    stopwatch.lap("checkpoints")
        except Diverged as error:
            # No evaluation here: parameters that are not numbers cannot act. Those before it count.
            status = {"status": "diverged", "reason": str(error), "update": error.update}
        stopwatch.lap("training")
    tensors = {name: tensor.contiguous() for name, tensor in algorithm.state_dict().items()}
    with aside(folder / runs.POLICY) as beside:
        save_file(tensors | normaliser.state_dict(), beside)

    stopwatch.lap("loading")
    seconds, before = stopwatch.seconds, start.timings
    write_json(
        folder / runs.TIMING,
        {
            # Without the imports, which do not grow with the run.
            "seconds_total": sum(seconds.values()) - seconds["imports"],
            **stopwatch.timings(),
            **{f"{unit}_job_before": _total(before, unit) for unit in ("seconds", "cpu_seconds") if before},
            "updates_per_second": status["update"] / seconds["training"],
            "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
        | describe_machine(),
    )
    saved.finish(status)
    write_json(folder / runs.STATUS, status)
    saved.remove()
    return status["status"]


def _total(timings: dict[str, float], unit: str) -> float:
    return sum(spent for key, spent in timings.items() if key.startswith(f"{unit}_"))


class _Tables(ExitStack):
    """The tables of a run as it goes, by file name; each goes on from its content in `earlier`."""

    def __init__(self, folder: Path, earlier: dict[str, bytes]) -> None:
        super().__init__()
        columns = {
            runs.TRAIN: None,
            runs.EVALUATION: ["update", "episodes", "return_mean", "return_std"],
            runs.EPISODES: ["update", "episode", "return", "length", "terminated"],
            runs.VALUES: runs.VALUE_COLUMNS,
        }
        self.tables = {
            name: self.enter_context(CsvWriter(folder / name, known, earlier.get(name, b"")))
            for name, known in columns.items()
        }

    def __getitem__(self, name: str) -> CsvWriter:
        return self.tables[name]

    def contents(self) -> dict[str, bytes]:
        return {name: table.content for name, table in self.tables.items()}


class _Judge:
    """Evaluates a run as it goes, into its tables."""

    def __init__(
        self,
        run: Run,
        dataset: OfflineDataset,
        best: float,
        around: Neighbourhoods | None,
        normaliser: Normaliser,
        algorithm: Algorithm,
        tables: _Tables,
    ) -> None:
        self.run, self.dataset, self.normaliser, self.algorithm = run, dataset, normaliser, algorithm
        self.best, self.around, self.tables = best, around, tables

    def evaluate(self, update: int) -> dict[str, float]:
        """One evaluation point; returns its mean return, and its values from states of the data."""
        protocol, task = self.run.protocol, self.dataset.task
        results: list[EpisodeResult] = []
        if task.env_id:
            results = evaluate(self.algorithm, task, self.normaliser, self.run.seed, protocol.episodes)
        returns = np.array([result.return_ for result in results])
        self.tables[runs.EVALUATION].write(
            {
                "update": update,
                "episodes": len(results),
                "return_mean": returns.mean() if results else math.nan,
                "return_std": returns.std(ddof=1) if len(results) > 1 else math.nan,
            }
        )
        for episode, result in enumerate(results):
            row = {"return": result.return_, "length": result.length, "terminated": int(result.terminated)}
            self.tables[runs.EPISODES].write({"update": update, "episode": episode} | row)
        measures = {"return_mean": float(returns.mean())} if results else {}
        if self.around:
            distances = compare_actions(self.algorithm, self.around)
            for row in self._value_rows():
                on_data = row["start"] == "data"
                row |= distances if on_data else {}
                self.tables[runs.VALUES].write({"update": update} | row)
                if on_data:
                    measures |= {key: float(value) for key, value in row.items() if key not in ("start", "states")}
        return measures

    def _value_rows(self) -> list[dict[str, Any]]:
        states = self.run.protocol.value_states
        if not has_value(self.algorithm) or not self.dataset.task.env_id:
            return [{"start": "data", "states": states}]
        discount = discount_of(self.run.config)
        return compare_values(self.algorithm, self.dataset, self.normaliser, discount, self.run.seed, states, self.best)
