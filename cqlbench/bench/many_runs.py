"""Everything around the training against the number of runs: made-up run folders, and the real commands on them.

The folders hold what a run of `full` writes, but for its policy, which none of these commands opens. Their numbers mean
nothing.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from cqlbench import runs
from cqlbench.bench.scaling import LINEAR
from cqlbench.errors import UserError
from cqlbench.runs import Run
from cqlbench.scores import read_table
from cqlbench.seeding import generator_for
from cqlbench.suites import load_suite

TABLE = "many_runs.csv"
# 20 datasets x 50 methods x 1, 3 and 10 seeds.
SIZES = (1_000, 3_000, 10_000)
TASKS, KINDS = ("pendulum", "hopper", "halfcheetah", "walker2d"), ("random", "medium", "expert")
MIXTURES = ("medium-replay", "medium-expert")
RATES = [0.00003, 0.0001, 0.0003, 0.001]
SUITE: dict[str, Any] = {
    "name": "many",
    "datasets": [f"{task}/{kind}-v0" for task in TASKS for kind in (*KINDS, *MIXTURES)],
    "protocol": {"updates": 30_000, "evaluate_every": 5_000, "episodes": 10, "value_states": 32},
    "common": {"width": 64},
    "methods": {
        "cql": {"cql_alpha": [0.5, 1, 2, 5, 10], "actor_learning_rate": RATES},
        "d3rlpy-cql": {"cql_alpha": [0.5, 1, 2, 5, 10], "actor_learning_rate": RATES},
        "sac": {"actor_learning_rate": RATES},
        "bc": {"learning_rate": RATES},
        "d3rlpy-sac": {},
        "d3rlpy-bc": {},
    },
    "headline": {"cql_alpha": 10, "actor_learning_rate": 0.0001, "learning_rate": 0.001},
}
# Of so many runs one has failed; of so many, one has diverged.
FAILED_ONE_IN, DIVERGED_ONE_IN = 500, 100
# The first step for which there are runs.
TRAINED = "dry run, all trained"
METRICS = ("td_loss", "q_data", "conservative_gap", "actor_loss", "q_policy", "entropy", "temperature")


class Row(NamedTuple):
    """One line of many_runs.csv: what a command took of the clock, and at most of memory, on a suite of so many runs.

    A child's peak begins with what this process has, and is no lower.
    `written_mb` is the size of what it left, 0 for a command that only prints.
    """

    runs: int
    step: str
    seconds: float
    peak_memory_mb: float
    written_mb: float


class Bound(NamedTuple):
    """What the largest suite may take: the sum of `quantity` over these steps."""

    claim: str
    steps: tuple[str, ...]
    quantity: str
    most: float


BOUNDS = (
    Bound("dry run with nothing made, seconds", ("dry run, nothing made",), "seconds", 60),
    Bound(
        "scores, figures and report, statistics being there, seconds", ("scores", "figures", "report"), "seconds", 120
    ),
    Bound("report, MB", ("report",), "written_mb", 20),
)


def measure_many_runs(sizes: Sequence[int], advance: Callable[[], None]) -> list[Row]:
    """Rows of each step for a suite of each size, 1,000 runs per seed; `advance` is called after each step.

    Raises UserError where a size is not a multiple of the runs per seed, where the current folder has no Snakefile, or
    where a command fails.
    """
    per_seed = _runs_per_seed()
    if wrong := [size for size in sizes if size < per_seed or size % per_seed]:
        raise UserError(f"--runs: {wrong[0]} is not allowed; give multiples of {per_seed}, as 1000,10000.")
    if not Path("Snakefile").is_file():
        raise UserError("there is no Snakefile here; call this in the top folder of the repository.")
    rows = []
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="cqlbench-") as folder:
            rows += _measure(Path(folder), size // per_seed, advance)
    return rows


def steps(folder: Path) -> dict[str, tuple[list[str], list[str]]]:
    """Each step's command, and what it leaves in the suite's folder, in their order; `folder` has results/ and the
    suite's file."""
    suite, results = folder / "many.yaml", folder / "results"
    out = results / "suites" / "many"
    dry_run = ["snakemake", "-n", "--configfile", str(suite), "--config", f"results={results}"]
    given, to = [str(suite), "--results", str(results)], ["--out", str(out)]
    return {
        "DAG, nothing made": ([*dry_run, "--quiet", "all"], []),
        "dry run, nothing made": (dry_run, []),
        TRAINED: (dry_run, []),
        "status": (["cqlbench", "status", *given], []),
        "scores": (
            ["cqlbench", "scores", *given, *to],
            ["scores.csv", "runs.csv", "values.csv", "training.csv", "episodes.csv"],
        ),
        "statistics": (["cqlbench", "statistics", str(out)], ["statistics"]),
        "figures": (["cqlbench", "figures", str(out)], ["figures"]),
        "costs": (["cqlbench", "costs", *given, *to], ["costs.csv"]),
        "report": (
            ["cqlbench", "report", str(out), "--suite", str(suite), "--results", str(results)],
            ["report.html"],
        ),
        "dry run, all made": (dry_run, []),
    }


def write_runs(suite_file: Path, results: Path) -> None:
    """The folders of all runs of the suite, as if they had been trained."""
    for method, run in load_suite(suite_file).runs():
        write_run(run, run.folder(results), generator_for("many-runs", method.label, run.dataset, run.seed))


def write_run(run: Run, folder: Path, generator: np.random.Generator) -> None:
    """One of them: done, diverged half-way or failed before its first update."""
    folder.mkdir(parents=True)
    status: dict[str, Any] = {"status": runs.DONE, "reason": None, "update": run.protocol.updates}
    if not generator.integers(FAILED_ONE_IN):
        status = {"status": runs.FAILED, "reason": "ValueError: made up", "update": None}
        _write_json(folder / runs.TIMING, {"seconds_job": 3.0, "cpu_seconds_job": 2.5})
    else:
        points, logs = run.protocol.evaluation_points(), run.protocol.log_points()
        if not generator.integers(DIVERGED_ONE_IN):
            half = run.protocol.updates // 2
            status = {"status": runs.DIVERGED, "reason": f"td_loss was inf after update {half}", "update": half}
            points, logs = [[point for point in some if point <= half] for some in (points, logs)]
        _write_tables(run, folder, generator, points, logs)
        _write_json(folder / runs.PROVENANCE, _provenance(run))
        _write_json(folder / runs.TIMING, _timing(generator))
    _write_json(folder / runs.CONFIG, run.description())
    _write_json(folder / runs.STATUS, status)


def _write_tables(run: Run, folder: Path, generator: np.random.Generator, points: list[int], logs: list[int]) -> None:
    episodes, states = run.protocol.episodes, run.protocol.value_states
    level = generator.uniform(300, 2_500)
    returns = {point: level + 100 * generator.standard_normal(episodes) for point in points}
    _write_csv(
        folder / runs.EVALUATION,
        ["update", "episodes", "return_mean", "return_std"],
        [[point, episodes, some.mean(), some.std(ddof=1)] for point, some in returns.items()],
    )
    _write_csv(
        folder / runs.EPISODES,
        ["update", "episode", "return", "length", "terminated"],
        [[point, index, value, 500, 1] for point, some in returns.items() for index, value in enumerate(some)],
    )
    _write_csv(
        folder / runs.TRAIN,
        ["update", *METRICS],
        [[point, *generator.standard_normal(len(METRICS))] for point in logs],
    )
    measures = len(runs.VALUE_COLUMNS) - 3
    _write_csv(
        folder / runs.VALUES,
        runs.VALUE_COLUMNS,
        [
            [point, start, states, *np.abs(generator.standard_normal(measures))]
            for point in points
            for start in ("data", "initial")
        ],
    )


def _provenance(run: Run) -> dict[str, Any]:
    content = f"content of {run.dataset}"
    made_of = {"id": run.dataset, "content_hash": content, "expected_hash": content, "warning": None}
    return {
        "code_version": "0",
        "code_fingerprint": "0",
        "packages": {"torch": "0", "mujoco": "0"},
        "dataset": {**made_of, "ref_min": 20.0, "ref_max": 3220.0},
    }


def _timing(generator: np.random.Generator) -> dict[str, Any]:
    works = {"imports": 2.0, "loading": 0.5, "training": float(generator.uniform(50, 200)), "evaluation": 11.0}
    return {
        "seconds_total": sum(works.values()),
        **{f"{unit}_{work}": spent for unit in ("seconds", "cpu_seconds") for work, spent in works.items()},
        **{f"{unit}_job": 2 + sum(works.values()) for unit in ("seconds", "cpu_seconds")},
        "updates_per_second": 100.0,
        "peak_memory_mb": 410.0,
        "cpu": "none",
        "cores": 2,
        "threads": 1,
    }


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2))


def _write_csv(path: Path, columns: list[str], rows: list[list[Any]]) -> None:
    path.write_text("\n".join(",".join(map(str, row)) for row in [columns, *rows]) + "\n")


def _runs_per_seed() -> int:
    with tempfile.TemporaryDirectory(prefix="cqlbench-") as folder:
        return len(load_suite(_write_suite(Path(folder), 1)).runs())


def _write_suite(folder: Path, seeds: int) -> Path:
    path = folder / "many.yaml"
    path.write_text(yaml.safe_dump(SUITE | {"seeds": list(range(seeds))}, sort_keys=False))
    return path


def _measure(folder: Path, seeds: int, advance: Callable[[], None]) -> list[Row]:
    suite_file = _write_suite(folder, seeds)
    results = folder / "results"
    count, rows = seeds * _runs_per_seed(), []
    for step, (command, leaves) in steps(folder).items():
        if step == TRAINED:
            write_runs(suite_file, results)
        seconds, peak = _call(command, folder / "log")
        left = [results / "suites" / "many" / name for name in leaves]
        rows.append(Row(count, step, seconds, peak, sum(map(_size, left)) / 1e6))
        advance()
    return rows


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _call(words: list[str], log: Path) -> tuple[float, float]:
    """Seconds and peak memory in MB of a command of this environment."""
    began = time.perf_counter()
    with log.open("w") as output:
        child = subprocess.Popen([sys.executable, "-m", *words], stdout=output, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        *_, reason = ["no output", *log.read_text().strip().splitlines()]
        raise UserError(f"`{' '.join(words)}` failed: {reason}")
    return seconds, _megabytes(used)


def _megabytes(used: resource.struct_rusage) -> float:
    # Bytes on macOS, kibibytes elsewhere.
    return used.ru_maxrss / 1024 / (1024 if sys.platform == "darwin" else 1)


def exponent(rows: Sequence[Row], step: str) -> float:
    """b of seconds ~ runs^b of this step, fitted to the largest decade of suites."""
    largest = max(row.runs for row in rows)
    decade = [row for row in rows if row.step == step and row.runs >= largest / 10]
    return float(np.polyfit(np.log([row.runs for row in decade]), np.log([row.seconds for row in decade]), 1)[0])


def markdown(rows: Sequence[Row]) -> str:
    """Seconds of each step by size, with the memory and the files of the largest, as a page shows them."""
    sizes = sorted({row.runs for row in rows})
    by_place = {(row.step, row.runs): row for row in rows}
    columns = ["step", *(f"{size:,} runs, s" for size in sizes), "memory, MB", "left, MB"]
    lines = ["| " + " | ".join(columns) + " |", "| --- " * len(columns) + "|"]
    for step in dict.fromkeys(row.step for row in rows):
        seconds = [f"{by_place[step, size].seconds:.1f}" for size in sizes]
        largest = by_place[step, sizes[-1]]
        left = f"{largest.written_mb:.1f}" if largest.written_mb else ""
        lines.append("| " + " | ".join([step, *seconds, f"{largest.peak_memory_mb:.0f}", left]) + " |")
    return "\n".join([*lines, "", *(f"- {sentence}" for sentence in verdicts(rows))]) + "\n"


def read_rows(path: Path) -> list[Row]:
    """many_runs.csv. Raises UserError where it is not there."""
    return [Row(*values) for values in read_table(path, "`cqlbench bench many-runs`").itertuples(index=False)]


def verdicts(rows: Sequence[Row]) -> list[str]:
    """A sentence per step, and one per bound on the largest suite."""
    largest = max(row.runs for row in rows)
    sentences = []
    if len({row.runs for row in rows if row.runs >= largest / 10}) > 1:
        for step in dict.fromkeys(row.step for row in rows):
            grows = exponent(rows, step)
            outcome = "linear or better" if grows <= LINEAR else "worse than linear"
            sentences.append(f"{step}: grows as runs^{grows:.2f}, {outcome}")
    for bound in BOUNDS:
        measured = sum(getattr(row, bound.quantity) for row in rows if row.runs == largest and row.step in bound.steps)
        outcome = "met" if measured <= bound.most else "missed"
        sentences.append(f"{bound.claim}, with {largest:,} runs: {measured:.1f}, at most {bound.most:g}: {outcome}")
    return sentences
