"""A suite that is killed with all its children: nothing done is redone, nothing half-done is believed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from cqlbench import runs
from cqlbench.suites import load_suite

ROOT = Path(__file__).parents[1]
SUITE = {
    "name": "interrupted",
    "datasets": ["pendulum/medium-v0"],
    "seeds": [0, 1, 2],
    "protocol": {"updates": 400, "evaluate_every": 100, "episodes": 2, "value_states": 4},
    "common": {"width": 8, "batch_size": 32},
    "methods": {"bc": {}, "cql": {"cql_alpha": 1}},
}
# Every table that does not hold times.
TABLES = ("scores.csv", "values.csv", "training.csv", "episodes.csv", "statistics/finals.csv", "statistics/table.csv")


def command(folder: Path, *words: object) -> list[str]:
    fixed = ["snakemake", "--cores", 2, "--directory", folder, "--configfile", folder / "suite.yaml"]
    return [sys.executable, "-m", *map(str, [*fixed, *words])]


def start(folder: Path) -> subprocess.Popen:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # In a session of its own, so that all of it can be killed at once.
    return subprocess.Popen(
        command(folder), cwd=ROOT, env={**os.environ, "PATH": path}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, start_new_session=True,
    )  # fmt: skip


def prepare(folder: Path, results: Path) -> None:
    folder.mkdir()
    (folder / "suite.yaml").write_text(yaml.safe_dump(SUITE))
    shutil.copytree(results / "datasets", folder / "results" / "datasets")


def finished_runs(folder: Path) -> dict[Path, int]:
    """When each finished run wrote its policy."""
    suite = load_suite(folder / "suite.yaml")
    folders = [run.folder(folder / "results") for _, run in suite.runs()]
    return {run: (run / runs.POLICY).stat().st_mtime_ns for run in folders if (run / runs.STATUS).is_file()}


@pytest.mark.faults
@pytest.mark.parametrize("kills", [1, 4])
def test_a_killed_suite_goes_on(results, tmp_path, kills, fault_table):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        prepare(folder, results)
    undisturbed = start(whole)
    printed, _ = undisturbed.communicate()
    assert undisturbed.returncode == 0, printed

    finished: dict[Path, int] = {}
    for number in range(kills):
        suite = start(killed)
        until = time.monotonic() + 120
        # Some runs done, some going on.
        while not finished_runs(killed).keys() - finished.keys() and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(0.3 * number)
        os.killpg(suite.pid, signal.SIGKILL)
        suite.communicate()
        # Snakemake may have taken away the status of one that it had not heard of yet; that run will be known again.
        now = finished_runs(killed)
        assert all(now.get(run, when) == when for run, when in finished.items()), "a run has been done again"
        finished |= now
        assert all(json.loads((run / runs.STATUS).read_text())["status"] == "done" for run in now)
        # What to do about the lock is said by Snakemake itself.
        locked = start(killed)
        printed, _ = locked.communicate()
        assert locked.returncode != 0 and "--unlock" in printed, printed
        subprocess.run(command(killed, "--unlock"), cwd=ROOT, check=True, capture_output=True)
    suite = start(killed)
    printed, _ = suite.communicate()
    assert suite.returncode == 0, printed
    assert finished.items() <= finished_runs(killed).items(), "a run that was done has been done again"
    for table in TABLES:
        ours, theirs = (folder / "results/suites/interrupted" / table for folder in (killed, whole))
        assert ours.read_bytes() == theirs.read_bytes(), table
    assert (killed / "results/suites/interrupted/report.html").is_file()
    fault_table(fault="killed suite", method="snakemake and all its children", times=kills)
