"""A suite's seconds are added up by kind of work; what was not noted is said, not guessed."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from synthetic_runs import make_suite
from typer.testing import CliRunner

from cqlbench import accounting, runs
from cqlbench.accounting import Scheduler, account, note_time, timing_of_dataset, timing_of_step, write_costs
from cqlbench.cli import app

SUITE = """
name: two
datasets: [pendulum/medium-v0]
seeds: [0, 1]
protocol: {updates: 100, evaluate_every: 50, episodes: 1}
methods: {bc: {}, copy: {algorithm: bc}}
"""


def write(path: Path, content: dict, ended: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    os.utime(path, (ended, ended))


def timing(**spent: tuple[float, float]) -> dict[str, float]:
    """Wall-clock and CPU seconds of each kind of work, as a process notes them."""
    return {
        f"{unit}_{work}": value
        for work, pair in spent.items()
        for unit, value in zip(("seconds", "cpu_seconds"), pair, strict=True)
    }


RUN = timing(imports=(2, 1.5), loading=(1, 1), training=(10, 9), evaluation=(3, 2.5), job=(18, 16))


@pytest.fixture
def suite(tmp_path):
    return make_suite(tmp_path, SUITE)


@pytest.fixture
def made(suite, tmp_path):
    """The suite, its folder of results and the moment at which its last job ended: two runs, which its two methods
    share, one made long ago; a dataset of long ago; three steps."""
    now, results = time.time(), tmp_path / "results"
    for number, folder in enumerate(sorted({run.folder(results) for _, run in suite.runs()})):
        write(folder / runs.TIMING, RUN, now - 7 if number else now - 1e6)
        write(folder / runs.STATUS, {"status": "done"}, now)
    write(timing_of_dataset(results / "datasets", "pendulum/medium-v0"), timing(datasets=(5, 4)), now - 1e6)
    for number, step in enumerate(accounting.STEPS):
        write(timing_of_step(tmp_path, step), timing(**{step: (2, 1)}), now - 4 + 2 * number)
    return suite, results, now


def by_work(rows):
    return {row["work"]: row for row in rows}


def test_seconds_are_added_up_by_work(made, tmp_path):
    suite, results, _ = made
    rows = by_work(account(suite, results, tmp_path, Scheduler(age=40, cpu_seconds=3)))
    assert (rows["training"]["jobs"], rows["training"]["earlier"]) == (2, 1)
    assert (rows["training"]["wall_seconds"], rows["training"]["cpu_seconds"]) == (20, 18)
    assert rows["evaluation"]["cpu_seconds"] == 5
    # What the run's own process noted, and what the job took beyond that.
    assert rows["imports"]["wall_seconds"] == 2 * (2 + 18 - 16)
    assert rows["imports"]["cpu_seconds"] == 2 * (1.5 + 16 - 14)
    assert (rows["datasets"]["jobs"], rows["datasets"]["earlier"], rows["datasets"]["cpu_seconds"]) == (1, 1, 4)
    assert sum(row["cpu_seconds"] for row in rows.values()) == pytest.approx(2 * 16 + 4 + 3 + 3)
    assert sum(row["share_of_cpu"] for row in rows.values()) == pytest.approx(1)


def test_scheduling_is_when_nothing_ran(made, tmp_path, monkeypatch):
    suite, results, now = made
    monkeypatch.setattr(accounting, "process_age", lambda: time.time() - now)
    row = by_work(account(suite, results, tmp_path, Scheduler(age=time.time() - now + 40, cpu_seconds=3)))["scheduling"]
    # Of 40 seconds, 18 were the new run's, which ended 7 s ago, 6 the steps', which began a second later.
    assert row["wall_seconds"] == pytest.approx(40 - 18 - 6, abs=0.1)
    assert row["cpu_seconds"] == 3


def test_jobs_at_once_are_not_idle_twice():
    jobs = [accounting.Job({"training": accounting.Spent(wall, 1)}, ended) for wall, ended in ((4, 6), (1, 5), (3, 9))]
    # Busy from 2 to 9, without a gap; the first begins before the time looked at.
    assert accounting._idle(jobs, 3, 12) == 3
    assert accounting._idle(jobs, 0, 12) == 5
    assert accounting._idle([], 3, 12) == 9


def test_what_was_not_noted_is_untimed(made, tmp_path):
    suite, results, now = made
    older, newer = sorted({run.folder(results) for _, run in suite.runs()})
    write(older / runs.TIMING, {"seconds_total": 14, "seconds_training": 10, "seconds_evaluation": 3}, now)
    timing_of_dataset(results / "datasets", "pendulum/medium-v0").unlink()
    rows = by_work(account(suite, results, tmp_path, None))
    assert (rows["training"]["jobs"], rows["training"]["untimed"], rows["training"]["cpu_seconds"]) == (1, 1, 9)
    assert (rows["datasets"]["jobs"], rows["datasets"]["untimed"]) == (0, 1)
    assert rows["training"]["earlier"] is None
    assert rows["scheduling"]["cpu_seconds"] is None and rows["scheduling"]["share_of_cpu"] is None
    # A run that is not over is no job yet.
    (newer / runs.STATUS).unlink()
    untrained = account(suite, results, tmp_path, None)
    assert by_work(untrained)["training"]["jobs"] == 0
    assert accounting.training_share(untrained) == "No run has noted its CPU time."


def test_a_failed_run_is_not_training(made, tmp_path):
    suite, results, now = made
    folder = min(run.folder(results) for _, run in suite.runs())
    write(folder / runs.STATUS, {"status": "failed"}, now)
    write(folder / runs.TIMING, timing(job=(6, 5)), now)
    rows = by_work(account(suite, results, tmp_path, None))
    assert (rows["failed runs"]["jobs"], rows["failed runs"]["cpu_seconds"]) == (1, 5)
    assert (rows["training"]["jobs"], rows["training"]["untimed"]) == (1, 0)


def test_the_table_leaves_the_unknown_empty(made, tmp_path):
    suite, results, _ = made
    write_costs(account(suite, results, tmp_path, None), tmp_path / "costs.csv")
    rows = by_work(csv.DictReader((tmp_path / "costs.csv").open()))
    assert list(rows["training"]) == accounting.COLUMNS
    assert rows["scheduling"]["cpu_seconds"] == rows["scheduling"]["earlier"] == ""
    assert float(rows["training"]["cpu_seconds"]) == 18


def test_the_command_writes_the_table_and_says_the_share(made, tmp_path):
    suite, results, _ = made
    words = ["costs", str(tmp_path / "synthetic.yaml"), "--results", str(results), "--out", str(tmp_path)]
    outcome = CliRunner().invoke(app, words, catch_exceptions=False)
    assert (tmp_path / "costs.csv").is_file()
    assert "Training updates took 46.2 % of 39 seconds of CPU time." in outcome.output


def test_note_time_counts_the_whole_process(tmp_path):
    note_time("statistics", tmp_path / "new" / "statistics.json")
    noted = json.loads((tmp_path / "new" / "statistics.json").read_text())
    assert 0 < noted["cpu_seconds_statistics"] <= time.process_time()


@pytest.mark.parametrize("words", [[], ["--mode"]])
def test_the_scheduler_is_the_snakemake_above_this_process(tmp_path, words):
    code = "from cqlbench.accounting import find_scheduler; print(find_scheduler())"
    (tmp_path / "snakemake").write_text(
        "import subprocess, sys, time\n"
        "while time.process_time() < 0.3: pass\n"
        "time.sleep(0.5)\n"
        f"subprocess.run(['bash', '-c', '{sys.executable} -c \"{code}\"; true'])\n"
    )
    began = time.perf_counter()
    command = [sys.executable, str(tmp_path / "snakemake"), *words]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    elapsed = time.perf_counter() - began
    if words:
        # On a cluster's node a deputy starts the job; the scheduler itself is out of sight.
        assert printed.strip() == "None"
    else:
        found = eval(printed, {"Scheduler": Scheduler})
        assert 0.8 <= found.age <= elapsed + 0.05
        assert 0.25 <= found.cpu_seconds <= 0.6
