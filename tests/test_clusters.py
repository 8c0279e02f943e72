"""What a cluster needs of the workflow and needs no cluster to be seen; the rest is in tests/slurm."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from cqlbench import costs
from cqlbench.suites import load_suite

ROOT = Path(__file__).parents[1]
SMOKE = ROOT / "workflow" / "config" / "smoke.yaml"


def plan(folder: Path, *words: object) -> str:
    """What a dry run of the smoke suite prints."""
    fixed = ["-m", "snakemake", "--dry-run", "--directory", folder, "--configfile", SMOKE]
    done = subprocess.run([sys.executable, *map(str, [*fixed, *words])], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def jobs(printed: str) -> dict[str, int]:
    """The table of jobs."""
    return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", printed, re.MULTILINE)}


@pytest.mark.slow
def test_the_profile_plans_the_same_jobs_in_fewer_pieces(tmp_path):
    here, there = plan(tmp_path, "--cores", 2), plan(tmp_path, "--profile", ROOT / "profiles" / "slurm")
    assert jobs(here) == jobs(there)
    assert jobs(here)["train"] == len(load_suite(SMOKE).runs())
    commands = [sorted(re.findall(r"^ *Shell command: (.*)$", printed, re.MULTILINE)) for printed in (here, there)]
    assert commands[0] == commands[1]
    # All that follows the runs waits in the queue once.
    assert "Group job analysis" in there and "Group job" not in here


@pytest.mark.slow
def test_a_number_of_jobs_makes_no_cluster_of_this_machine(tmp_path):
    printed = plan(tmp_path, "--cores", 2, "--jobs", 2)
    assert "Group job" not in printed and "runtime=" not in printed


@pytest.mark.slow
def test_a_job_on_a_node_is_the_run_that_it_is_told(tmp_path):
    """As Slurm's executor tells it: the commas of a run's name once stood for other wildcards."""
    name = next(
        str(run.folder(Path("results")).relative_to("results/runs"))
        for method, run in load_suite(SMOKE).runs()
        if method.family == "cql"
    )
    assert name.count(",") > 1
    told = ["--target-jobs", f"train:run={name}", "--allowed-rules", "train", "--force", "--nolock", "--cores", 1]
    printed = plan(tmp_path, *told, "--mode", "remote", "--executor", "slurm-jobstep", "--jobs", 1)
    assert f": train {name}\n" in printed
    assert jobs(printed) == {"train": 1, "total": 1}


def test_the_page_names_what_jobs_ask_for():
    page = (ROOT / "docs" / "clusters.md").read_text()
    dataset = costs.DATASET_MB + costs.NODE_MB
    for words in (
        f"{costs.NODE_MB:,} MB for what starts it",
        f"| {dataset:,} MB | {costs.DATASET_MINUTES} |",
        f"`time_limit` and {costs.SETTING_UP_MINUTES}; without one {costs.SLOWER} times",
        f"{costs.UNMEASURED_MINUTES // 60} hours where",
    ):
        assert words in page, words
