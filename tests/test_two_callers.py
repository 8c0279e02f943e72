"""Two people start the same suite at the same time: in one folder, and in two with one results folder."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from killing import training_command
from real_suites import SAME_BYTES, SCORES, TINY, contents, prepare, run_folders, run_through, start

from cqlbench import runs

pytestmark = pytest.mark.slow
SHORT = TINY | {"seeds": [0, 1]}
# Longer than a second caller waits for the first.
LONG = SHORT | {"protocol": TINY["protocol"] | {"updates": 120_000, "evaluate_every": 30_000}}


def two_folders(folder: Path, suite: dict[str, Any], results: Path) -> tuple[Path, Path]:
    """Two working directories; the second one's results are the first one's."""
    folder.mkdir()
    first, second = prepare(folder / "first", suite, results), prepare(folder / "second", suite)
    (second / "results").symlink_to(first / "results")
    return first, second


def undisturbed(folder: Path, suite: dict[str, Any], results: Path) -> bytes:
    """What a run of seed 0 leaves that is the same whenever it is done."""
    budget = [f"--{key.replace('_', '-')}={value}" for key, value in {**suite["protocol"], **suite["common"]}.items()]
    words = ("--dataset", "pendulum/medium-v0", "--method", "bc", "--results", results, *budget)
    subprocess.run(training_command(folder, *words), check=True, capture_output=True)
    return b"".join((folder / file).read_bytes() for file in SAME_BYTES)


def trained(folder: Path) -> dict[str, int]:
    """When each run wrote its policy."""
    return {name: (run / runs.POLICY).stat().st_mtime_ns for name, run in run_folders(folder).items()}


def test_one_folder_has_one_caller_and_two_folders_share_the_work(results, tmp_path, fault_table):
    first, second = two_folders(tmp_path / "callers", SHORT, results)
    callers = [start(folder, SCORES, "--cores", 1) for folder in (first, second)]
    while not (first / ".snakemake" / "locks").is_dir() or not any((first / ".snakemake" / "locks").iterdir()):
        time.sleep(0.02)
    third = start(first, SCORES, "--cores", 1)
    said, _ = third.communicate()
    assert third.returncode == 1 and "no other Snakemake process" in said and "--unlock" in said, said
    for caller in callers:
        printed, _ = caller.communicate()
        assert caller.returncode == 0, printed
    assert len(contents(first)) == 2 and contents(first)["bc 0"] == undisturbed(tmp_path / "alone", SHORT, results)
    before = trained(first)
    for folder in (first, second):
        run_through(folder, SCORES, "--cores", 1)
    assert trained(first) == before
    fault_table("two callers of one suite", "in one folder", 1, "nothing")
    fault_table("two callers of one suite", "in two folders with one results folder, runs of a second", 1, "nothing")


@pytest.mark.faults
def test_a_long_run_is_not_waited_for(results, tmp_path, fault_table):
    first, second = two_folders(tmp_path / "callers", LONG, results)
    callers = [start(first, SCORES, "--cores", 1)]
    # Of two that begin a run in the same instant one Snakemake takes the other's log away, and with it what it says.
    time.sleep(3)
    callers.append(start(second, SCORES, "--cores", 1))
    printed = [caller.communicate()[0] for caller in callers]
    refused = [said for caller, said in zip(callers, printed, strict=True) if caller.returncode]
    assert refused and all("another process is training into it; nothing was touched" in said for said in refused)
    assert contents(first)["bc 0"] == undisturbed(tmp_path / "alone", LONG, results)
    before = trained(first)
    for folder in (first, second):
        run_through(folder, SCORES, "--cores", 1)
    assert trained(first) == before and len(contents(first)) == 2
    fault_table(
        "two callers of one suite", "in two folders with one results folder, runs of half a minute", 1, "nothing"
    )
