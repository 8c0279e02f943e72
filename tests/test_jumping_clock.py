"""A clock that jumps by hours while a suite runs, or between two calls: nothing is done again, no time is negative."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from real_suites import SCORES, TINY, contents, cqlbench, finished, prepare, run_folders, run_through, start, wait_for

from cqlbench import runs

pytestmark = pytest.mark.slow
COSTS = "results/suites/tiny/costs.csv"
HOURS = 3600


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not shutil.which("cc"):
        pytest.skip("there is no C compiler, with which to tell processes another time of day")
    library = tmp_path_factory.mktemp("library") / "other_clock.so"
    source = Path(__file__).with_name("other_clock.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    # It does what it says.
    clock = Clock(library, library.parent)
    clock.put(-6)
    asked = [sys.executable, "-c", "import time; print(time.time())"]
    told = subprocess.run(asked, env=clock.environment, capture_output=True, text=True, check=True).stdout
    assert float(told) == pytest.approx(time.time() - 6 * HOURS, abs=60)
    return library


class Clock:
    """The time of day that processes with this `environment` are told; right until it is set."""

    def __init__(self, library: Path, folder: Path) -> None:
        self.file = folder / "clock"
        self.environment = {"LD_PRELOAD": str(library), "CLOCK_OFFSET": str(self.file)}

    def put(self, hours: float) -> None:
        """So many hours ahead of the right one."""
        self.file.write_text(f"{hours * HOURS:.0f}")


def costs(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / COSTS).set_index("work")[["wall_seconds", "cpu_seconds"]]


@pytest.fixture(scope="module")
def suite(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a suite whose clock nobody touched."""
    folder = prepare(tmp_path_factory.mktemp("clock") / "suite", TINY, results)
    run_through(folder, SCORES, "--cores", 2)
    return folder


def trained(folder: Path) -> dict[str, int]:
    """When each run that came to its end wrote its policy."""
    ended = {name: run for name, run in run_folders(folder).items() if (run / runs.FINISHED).is_file()}
    return {name: (run / runs.POLICY).stat().st_mtime_ns for name, run in ended.items()}


@pytest.mark.faults
def test_a_clock_that_is_put_ahead_while_a_suite_runs(suite, library, results, tmp_path, fault_table):
    folder = prepare(tmp_path / "suite", TINY, results)
    clock = Clock(library, folder)
    process = start(folder, COSTS, "--cores", 1, environment=clock.environment)
    wait_for(lambda: finished(folder), process)
    clock.put(6)
    printed, _ = process.communicate()
    assert process.returncode == 0, printed
    assert contents(folder) == contents(suite)
    assert (costs(folder) >= 0).all(axis=None) and (costs(folder)["wall_seconds"] < HOURS).all()
    before = finished(folder)
    for hours in (48, 0, -48):
        clock.put(hours)
        assert "Nothing to be done" in run_through(folder, COSTS, "--cores", 1, environment=clock.environment)
    assert finished(folder) == before
    fault_table("the clock is put ahead", "by six hours while a suite runs", 1, "nothing")
    fault_table("the clock jumps", "two days ahead, and back, between two calls of a suite", 3, "nothing")


def test_a_clock_that_is_put_back_while_a_suite_runs(library, results, tmp_path, fault_table):
    """To before the dataset was made. Snakemake believes no output that is older than what it was made from."""
    folder = prepare(tmp_path / "suite", TINY | {"seeds": [0, 1]}, results)
    clock = Clock(library, folder)
    process = start(folder, SCORES, "--cores", 1, environment=clock.environment)
    wait_for(lambda: finished(folder), process)
    clock.put(-6)
    printed, _ = process.communicate()
    assert process.returncode == 1 and "older modification time" in printed and "clock skew" in printed
    before = trained(folder)
    assert len(before) == 2
    # Once it is right again, runs are known to be finished.
    run_through(folder, SCORES, "--cores", 2)
    assert trained(folder) == before and len(finished(folder)) == 2
    fault_table("the clock is put back", "by six hours while a suite runs", 1, "nothing")


@pytest.mark.faults
@pytest.mark.parametrize("hours", [6, -6])
def test_files_that_were_written_by_a_wrong_clock(suite, hours, fault_table):
    """Of all runs, or of the dataset they were made from."""
    run_through(suite, COSTS, "--cores", 2)
    before = finished(suite).keys()
    for part in ("runs", "datasets", "suites"):
        for file in (suite / "results" / part).rglob("*"):
            stamp = time.time() + hours * HOURS
            os.utime(file, (stamp, stamp))
        planned = run_through(suite, COSTS, "--cores", 2, "--dry-run")
        assert "train " not in planned and "dataset " not in planned, planned
    run_through(suite, COSTS, "--cores", 2)
    assert "Nothing to be done" in run_through(suite, COSTS, "--cores", 2)
    assert finished(suite).keys() == before and (costs(suite) >= 0).all(axis=None)
    if hours > 0:
        # What has to be made from a file of the future is refused until that has another date.
        (suite / COSTS).unlink()
        refused = start(suite, COSTS, "--cores", 2)
        printed, _ = refused.communicate()
        assert refused.returncode == 1 and "older modification time" in printed and "clock skew" in printed
        subprocess.run(["find", suite / "results", "-newermt", "now", "-exec", "touch", "{}", "+"], check=True)
        run_through(suite, COSTS, "--cores", 2)
        assert finished(suite).keys() == before
    said = cqlbench("status", suite / "suite.yaml", "--results", suite / "results").stdout
    assert said.startswith("suite tiny: 3 runs: 3 done\n")
    fault_table("the clock jumps", f"files of a finished suite {hours:+d} hours off", 3, "nothing")
