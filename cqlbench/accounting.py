"""Where the time of a suite went: wall-clock and CPU seconds of its processes by kind of work.

Every process notes its own: a run in its `timing.json`, the making of a dataset beside the dataset, the commands from
scores to figures under `timings/` in the suite's folder. Nothing is sampled, and nothing is guessed: a process whose
timing is not there is counted as untimed.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from cqlbench import runs
from cqlbench.datasets.store import dataset_folder
from cqlbench.records import read_record
from cqlbench.stopwatch import Stopwatch, process_age
from cqlbench.suites import Suite
from cqlbench.writers import CsvWriter, write_json

COSTS = "costs.csv"
COLUMNS = ["work", "jobs", "earlier", "untimed", "wall_seconds", "cpu_seconds", "share_of_cpu"]
# What a run's process spends its time on; `imports` is also all that no other kind claims, such as its supervisor.
RUN_WORKS = ("training", "evaluation", "loading", "imports")
# Only of runs that took long enough to save any.
CHECKPOINTS = "checkpoints"
# All of a run that came to nothing.
FAILED = "failed runs"
# The commands that make the suite's folder before its costs are added up.
STEPS = ("scores", "statistics", "figures")


class Spent(NamedTuple):
    """Seconds of one kind of work; `cpu` is of all its processes and threads."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Job:
    """One job, by kind of work; `ended` is when its timing was written, in seconds since the epoch."""

    works: dict[str, Spent]
    ended: float

    @property
    def began(self) -> float:
        return self.ended - sum(spent.wall for spent in self.works.values())


@dataclass(frozen=True)
class Scheduler:
    """The Snakemake that called this process: how long ago it was started, and its own CPU seconds since."""

    age: float
    cpu_seconds: float


def timing_of_step(folder: Path | str, step: str) -> Path:
    """Where one of STEPS notes its time in the suite's folder."""
    return Path(folder) / "timings" / f"{step}.json"


def timing_of_dataset(root: Path, dataset_id: str) -> Path:
    """Where the making of a dataset under `root` notes its time. Raises UserError for an unknown id."""
    return dataset_folder(root, dataset_id) / runs.TIMING


def note_time(work: str, path: Path) -> None:
    """Writes that this process has spent all its time until now on `work`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, Stopwatch(before=work).timings())


def find_scheduler() -> Scheduler | None:
    """The Snakemake process among this one's ancestors; None where there is none, or where it runs elsewhere and this
    job is in the hands of its deputy, as on a cluster."""
    this = psutil.Process()
    for ancestor in this.parents():
        words = ancestor.cmdline()
        if any(Path(word).name == "snakemake" for word in words[:3]):
            if "--mode" in words:
                return None
            times = ancestor.cpu_times()
            # psutil's times of creation share an error of up to a second.
            age = process_age() + this.create_time() - ancestor.create_time()
            return Scheduler(age, times.user + times.system)
    return None


def account(suite: Suite, results: Path, folder: Path, scheduler: Scheduler | None) -> list[dict[str, Any]]:
    """One row of COLUMNS per kind of work; `folder` is the suite's own, `results` holds its runs and datasets.

    `jobs` counts the processes whose timings were added up, `untimed` those that exist without one, `earlier` those of
    `jobs` that ended before this scheduler began. The wall-clock seconds of `scheduling` are those since it began in
    which none of the suite's jobs ran; its CPU seconds are the scheduler's own. What is not known is None.
    """
    now = time.time()
    folders = {run.folder(results) for _, run in suite.runs()}
    run_jobs = [_read_run(path) for path in sorted(folders) if (path / runs.STATUS).is_file()]
    # Data from elsewhere are not made here.
    made = [dataset for dataset in suite.datasets if ":" not in dataset]
    datasets = {dataset_folder(results / "datasets", dataset) for dataset in made}
    dataset_jobs = [_read_job(path / runs.TIMING, "datasets") for path in sorted(datasets) if path.is_dir()]
    step_jobs = {step: _read_job(timing_of_step(folder, step), step) for step in STEPS}
    jobs = [job for job in (*run_jobs, *dataset_jobs, *step_jobs.values()) if job]

    def row(work: str, candidates: Iterable[Job | None]) -> dict[str, Any]:
        known = list(candidates)
        counted = [job for job in known if job and work in job.works]
        return {
            "work": work,
            "jobs": len(counted),
            "earlier": sum(job.ended < now - scheduler.age for job in counted) if scheduler else None,
            "untimed": known.count(None),
            "wall_seconds": sum(job.works[work].wall for job in counted),
            "cpu_seconds": sum(job.works[work].cpu for job in counted),
        }

    rows = [row(work, run_jobs) for work in RUN_WORKS]
    if any(job and CHECKPOINTS in job.works for job in run_jobs):
        rows.append(row(CHECKPOINTS, run_jobs) | {"untimed": 0})
    if any(job and FAILED in job.works for job in run_jobs):
        rows.append(row(FAILED, run_jobs) | {"untimed": 0})
    rows.append(row("datasets", dataset_jobs))
    rows.append(
        {
            "work": "scheduling",
            "jobs": int(scheduler is not None),
            "earlier": 0 if scheduler else None,
            "untimed": int(scheduler is None),
            "wall_seconds": _idle(jobs, now - scheduler.age, now - process_age()) if scheduler else None,
            "cpu_seconds": scheduler.cpu_seconds if scheduler else None,
        }
    )
    rows += [row(step, [job]) for step, job in step_jobs.items()]
    total = sum(row["cpu_seconds"] or 0.0 for row in rows)
    return [row | {"share_of_cpu": _share(row["cpu_seconds"], total)} for row in rows]


def training_share(rows: list[dict[str, Any]]) -> str:
    """In a sentence, how much of the CPU time that is known went into updates."""
    training = next(row for row in rows if row["work"] == "training")
    if not training["jobs"]:
        return "No run has noted its CPU time."
    total = sum(row["cpu_seconds"] or 0.0 for row in rows)
    without = f" (runs not counted, which did not note theirs: {training['untimed']})" if training["untimed"] else ""
    return f"Training updates took {100 * training['share_of_cpu']:.1f} % of {_duration(total)} of CPU time{without}."


def write_costs(rows: list[dict[str, Any]], path: Path) -> None:
    """Writes the rows of `account`, seconds to the hundredth, shares to four digits."""
    digits = {"wall_seconds": 2, "cpu_seconds": 2, "share_of_cpu": 4}
    path.parent.mkdir(parents=True, exist_ok=True)
    with CsvWriter(path, COLUMNS) as table:
        for row in rows:
            rounded = {key: round(row[key], places) for key, places in digits.items() if row[key] is not None}
            table.write(row | rounded)


def _read_run(folder: Path) -> Job | None:
    """A run that is over; None where its CPU time has not been noted."""
    path = folder / runs.TIMING
    if not path.is_file():
        return None
    timing = read_record(path)
    if read_record(folder / runs.STATUS)["status"] not in runs.RESULTS_OF_TRAINING:
        if "cpu_seconds_job" not in timing:
            return None
        works = {FAILED: _spent(timing, "job")}
    elif "cpu_seconds_training" not in timing:
        return None
    else:
        # One that diverged before its first evaluation has spent nothing on any.
        works = {work: _spent(timing, work) if f"seconds_{work}" in timing else Spent(0, 0) for work in RUN_WORKS}
        if f"seconds_{CHECKPOINTS}" in timing:
            works[CHECKPOINTS] = _spent(timing, CHECKPOINTS)
        if "cpu_seconds_job" in timing:
            whole, known = _spent(timing, "job"), works.values()
            rest = Spent(whole.wall - sum(s.wall for s in known), whole.cpu - sum(s.cpu for s in known))
            works["imports"] = Spent(works["imports"].wall + rest.wall, works["imports"].cpu + rest.cpu)
    return Job(works, path.stat().st_mtime)


def _read_job(path: Path, work: str) -> Job | None:
    if not path.is_file():
        return None
    return Job({work: _spent(read_record(path), work)}, path.stat().st_mtime)


def _spent(timing: dict[str, float], work: str) -> Spent:
    return Spent(timing[f"seconds_{work}"], timing[f"cpu_seconds_{work}"])


def _idle(jobs: list[Job], began: float, ended: float) -> float:
    """Seconds between `began` and `ended` in which none of the jobs ran."""
    idle, free_from = 0.0, began
    for job in sorted(jobs, key=lambda job: job.began):
        if job.ended > began:
            idle += max(0.0, job.began - free_from)
            free_from = max(free_from, job.ended)
    return idle + max(0.0, ended - free_from)


def _share(cpu_seconds: float | None, total: float) -> float | None:
    return None if cpu_seconds is None or not total else cpu_seconds / total


def _duration(seconds: float) -> str:
    """In the unit that a person would choose."""
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"
